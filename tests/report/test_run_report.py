"""The page of a run: complete, self-contained, honest about what is missing, and safe."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from medrl.errors import RunError
from medrl.report import write_report
from medrl.report.words import against_guessing
from medrl.run import LOGS, RunFolder
from tests.report.page import Page
from tests.report.synthetic import make_run

CLINIC = "This rehearsal runs on the teaching clinic: it proves mechanisms, never medicine."
EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)> &amp; "quoted\' $x^2$'


def small_run(path: Path, recipe: str = "name: tiny\n", **logs: list[dict[str, Any]]) -> Page:
    """The page of a run with just these log lines."""
    with RunFolder.create(path, recipe) as run:
        for name in LOGS:
            for row in logs.get(name, []):
                run.log(name, row)
    return Page(write_report(path))


# --- self-contained -----------------------------------------------------------------------------


def test_nothing_is_loaded_from_anywhere(finished: Page) -> None:
    assert not re.search(r"https?:|//[a-z]|@import", finished.source)
    loading = {"src", "srcset", "data", "poster", "action", "background"}
    for tag, attributes, _ in finished.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "image", "form"}
        assert not loading & set(attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"url\((?!#)", finished.source)


def test_ids_are_unique_and_every_reference_finds_one(finished: Page) -> None:
    ids = Counter(a["id"] for _, a, _ in finished.elements if "id" in a)
    assert ids and max(ids.values()) == 1
    used = set(re.findall(r'(?:href="#|url\(#|aria-labelledby=")([\w.-]+)', finished.source))
    assert used and used <= set(ids)


def test_the_policy_allows_the_one_script_there_is(finished: Page) -> None:
    (script,) = [text for tag, _, text in finished.elements if tag == "script"]
    digest = base64.b64encode(hashlib.sha256("".join(script).encode()).digest()).decode()
    (policy,) = [a["content"] for a in finished.attributes("meta") if "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_200_steps_and_60_episodes_stay_under_3_megabytes(tmp_path: Path) -> None:
    page = Page(write_report(make_run(tmp_path / "run", ppo_steps=200)))
    assert page.path.stat().st_size < 3_000_000
    assert len(page.all("details", "episode")) == 48


def test_the_same_run_gives_the_same_page(finished: Page) -> None:
    write_report(finished.path.parent)
    assert finished.path.read_text(encoding="utf-8") == finished.source


# --- what it says -------------------------------------------------------------------------------


def test_the_head_says_what_the_run_was(finished: Page) -> None:
    facts = dict(zip(finished.all("dt"), finished.all("dd"), strict=True))
    assert finished.all("h1") == ["med-rlvr finished"]
    assert (facts["Scale"], facts["Model"], facts["Seed"], facts["Steps"]) == (
        "rehearsal",
        "clinic:text-base",
        "3",
        "80",
    )
    assert facts["Time"] == "6 min 53 s"
    assert facts["Peak memory"] == "1.4 GiB"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", facts["Started"])
    assert CLINIC in finished.text


def test_a_run_without_the_clinic_does_not_speak_of_it(tmp_path: Path) -> None:
    recipe = "name: m\nmodel: Qwen/Qwen2.5-3B\ntrain: {source: medqa}\n"
    assert "clinic" not in small_run(tmp_path / "run", recipe).text


def test_a_clinic_test_set_is_enough_to_speak_of_it(tmp_path: Path) -> None:
    recipe = "name: m\nevaluation: {sets: {a: {source: 'clinic:test-id'}}}\n"
    assert CLINIC in small_run(tmp_path / "run", recipe).text


def test_the_table_shows_accuracy_interval_difference_and_failures(finished: Page) -> None:
    rows = finished.all("tr", "base") + finished.all("tr", "trained")
    id_base, ood_base, id_trained, _ = [row.replace("\N{NO-BREAK SPACE}", " ") for row in rows]
    assert "test-id n = 300 base 41.0 % 35.6 to 46.6 %" in id_base
    assert "+30.3" in id_base and "p < 0.001 higher" in id_base
    assert "41 (13.7 %) 20 (6.7 %) 21.0 %" in id_base
    assert id_trained.startswith("trained 71.3 %")
    assert "+3.7" in ood_base and "no clear change" in ood_base


def test_an_accuracy_that_guessing_would_reach_is_called_so(finished: Page) -> None:
    """Guessing gives 33 % in the synthetic run: out of distribution nothing is above that."""
    rows = finished.all("tr", "base") + finished.all("tr", "trained")
    told = ["no better than guessing (33.0" in row for row in rows]
    assert told == [False, True, False, True]


def test_worse_than_guessing_is_no_better_than_guessing() -> None:
    below = {"low": 0.101, "high": 0.244, "chance": 0.25}
    assert against_guessing(below).startswith("no better than guessing")
    assert against_guessing(below | {"low": 0.26, "high": 0.4}) == ""
    assert against_guessing({"low": 0.1, "high": 0.2}) == ""  # an older run does not know


def test_tables_have_headers_and_curves_have_words(finished: Page) -> None:
    tables = finished.source.split("<table")[1:]
    assert all('scope="' in table.split("</table>")[0] for table in tables)
    svgs = finished.attributes("svg")
    assert len(svgs) == 11
    for svg in svgs:
        assert svg["role"] == "img"
        assert re.search(r"over 80 steps\. .+ at step \d+, .+ at step \d+", svg["aria-label"])


def test_phases_count_over_the_whole_run_behind_the_sft_stage(finished: Page) -> None:
    steps = [row for row in finished.all("td") if re.fullmatch(r"\d+ to \d+", row)]
    # 60 PPO steps behind 20 of SFT; starts at 0, 6, 16, 27, 37, 47 of the PPO steps.
    assert steps == ["21 to 26", "27 to 36", "37 to 47", "48 to 57", "58 to 67", "68 to 80"]
    assert "direct-answer hacker" in finished.text


def test_stages_are_named_in_every_curve(finished: Page) -> None:
    texts = Counter(finished.all("text"))
    assert texts["SFT"] == texts["PPO"] == len(finished.all("svg"))


def test_recipe_machine_and_files_are_there(finished: Page) -> None:
    assert "source: clinic:train" in finished.all("pre", "code")[0]
    assert {"torch", "git commit", "ram"} <= set(finished.all("th"))
    assert {"2.13.0", "not known", "16.0 GiB"} <= set(finished.all("td"))
    assert {"recipe.yaml", "metrics.jsonl", "summary.json", "model"} <= set(finished.all("code"))
    assert "report.html" not in finished.all("code")


# --- episodes -----------------------------------------------------------------------------------


def test_episodes_are_spread_over_training_and_labelled(finished: Page) -> None:
    steps = [int(text.split()[1]) for text in finished.all("span", "step")]
    assert len(steps) == 48 and steps == sorted(steps)
    assert steps[0] == 1 and steps[-1] == 80
    assert max(later - earlier for earlier, later in pairwise(steps)) <= 2
    verdicts = finished.all("span", "verdict")
    assert [v == "written target" for v in verdicts] == [step <= 20 for step in steps]


def test_filters_count_what_they_show_and_wait_for_the_script(finished: Page) -> None:
    shown = Counter(a["data-outcome"] for a in finished.attributes("details") if "data-part" in a)
    buttons = {
        a["data-value"]: int("".join(text).split()[-1])
        for tag, a, text in finished.elements
        if tag == "button" and a["data-key"] == "outcome" and a["data-value"] != "all"
    }
    assert buttons == dict(shown)
    (controls,) = [a for a in finished.attributes("div") if a.get("id") == "controls"]
    assert "hidden" in controls  # shown by the script alone; without it nothing is filtered
    assert not any("hidden" in a for a in finished.attributes("details"))


def test_an_episode_shows_question_answer_gold_verdict_and_reward(tmp_path: Path) -> None:
    episode = {
        "stage": "ppo",
        "step": 1,
        "prompt": "User: What is it?",
        "text": "Hm. <think>fever</think> so <answer>B</answer>",
        "gold": "A",
        "options": ["malaria", "gout"],
        "outcome": "wrong",
        "answer": "B",
        "reason": "The answer tag holds B.",
        "reward": -0.5,
        "terms": {"rule": -1.0, "bonus": 0.5},
        "stop": "length",
        "tokens": 12,
        "case_id": "c-7",
    }
    page = small_run(tmp_path / "run", metrics=[{"stage": "ppo", "step": 1}], episodes=[episode])
    facts = dict(zip(page.all("dt"), page.all("dd"), strict=True))
    assert page.raw("span", "think") == ["<think>fever</think>"]
    assert page.raw("span", "answer") == ["<answer>B</answer>"]
    assert page.all("div", "text") == ["Hm. <think>fever</think> so <answer>B</answer>"]
    assert [text for text in page.all("li")] == ["A. malaria", "B. gout"]  # not in the prompt
    assert facts["Gold"] == "A. malaria" and facts["Read as"] == "B. gout"
    assert facts["Verdict"] == "wrong: The answer tag holds B."
    assert facts["Reward"] == "−0.5 (rule −1, bonus 0.5)"
    assert facts["Length"] == "12 tokens, cut by the limit"


# --- untrusted text -----------------------------------------------------------------------------


def test_whatever_a_file_says_is_shown_and_never_run(tmp_path: Path) -> None:
    keys = ("case_id", "prompt", "text", "gold", "outcome", "answer", "reason", "stop")
    episode: dict[str, Any] = dict.fromkeys(keys, EVIL)
    episode |= {"step": 1, "options": [EVIL + "2"], "terms": {EVIL: EVIL}, "stage": EVIL}
    recipe = f"name: {json.dumps(EVIL)}\nsummary: {json.dumps(EVIL)}\nmodel: {json.dumps(EVIL)}\n"
    folder = tmp_path / "run"
    with RunFolder.create(folder, recipe) as run:
        run.log("metrics", {"stage": EVIL, "step": 1, "reward": 0.0})
        run.log("metrics", {"stage": "ppo", "step": 1, "reward": 1.0})
        run.log("episodes", episode)
        run.record_evaluation("before", {EVIL: {"n": EVIL, "accuracy": EVIL}})
        run.write_json(
            "summary.json",
            {"phases": [{"phase": EVIL, "start": 0, "end": 2}], "machine": {EVIL: EVIL}},
        )
    page = Page(write_report(folder))
    assert len(page.all("script")) == 1 and not page.attributes("img")
    assert not any(name.startswith("on") for _, a, _ in page.elements for name in a)
    assert page.raw("div", "text")[0].strip() == EVIL
    assert page.all("h1")[0].startswith("</script><script>")


def test_text_without_a_form_in_utf8_does_not_stop_the_report(tmp_path: Path) -> None:
    page = small_run(
        tmp_path / "run", episodes=[{"stage": "ppo", "step": 1, "text": "a\ud800b\x00c"}]
    )
    assert "\\ud800" in page.source


# --- what is missing ----------------------------------------------------------------------------


def test_an_unfinished_run_says_so(unfinished: Page) -> None:
    assert unfinished.all("h1") == ["med-rlvr not finished"]
    assert "This run has not finished. The page shows the 30 of 60 steps" in unfinished.text
    assert "base 41.0" in unfinished.text and "after the run" in unfinished.text
    assert not unfinished.all("span", "chip")
    assert unfinished.all("figure")


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    page = small_run(tmp_path / "run")
    for nothing in ("No evaluation", "No step", "No episode"):
        assert f"{nothing} has been" in page.text
    assert page.all("h1") == ["tiny not finished"]


def test_one_step_is_enough_for_curves(tmp_path: Path) -> None:
    page = small_run(tmp_path / "run", metrics=[{"stage": "ppo", "step": 1, "reward": 0.5}])
    assert len(page.all("svg")) == 1


def test_any_key_may_be_missing_or_null(tmp_path: Path) -> None:
    rows = [
        {"stage": "ppo", "step": 1, "reward": 0.1, "accuracy": None},
        {"stage": "ppo", "step": 2, "accuracy": 0.5, "entropy": 1.0},
        {"stage": "ppo", "step": 3, "reward": 0.3, "accuracy": 0.5, "episodes": 8},
    ]
    folder = tmp_path / "run"
    with RunFolder.create(folder, "{}") as run:
        for row in rows:
            run.log("metrics", row)
        run.log("timings", {"stage": "ppo", "step": 2, "sampled_tokens": 10})
        run.log("episodes", {"stage": "ppo", "step": 9})
        run.record_evaluation("before", {"a": {"accuracy": None}})
        run.record_evaluation("after", {"a": {}, "b": {"n": 10, "no_answer": 1}})
        run.record_evaluation("comparison", {"a": {"difference": None}})
        run.write_json("summary.json", {})
    page = Page(write_report(folder))
    titles = [caption.split()[0] for caption in page.all("figcaption")]
    assert titles == ["Reward", "Accuracy", "Entropy"]
    assert page.all("h1") == ["Run finished"]
    assert "nan" not in page.source and "None" not in page.text and "Undefined" not in page.source


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        write_report(tmp_path)


def test_the_old_page_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "run", ppo_steps=4)
    old = write_report(folder).read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medrl.run.disk.os.replace", refuse)
    with pytest.raises(RunError, match="no room"):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == old
    assert not list(folder.glob(".partial*"))
