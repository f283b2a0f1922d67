"""``medrl eval`` by both protocols: what it prints, writes, refuses and never drops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medrl.evaluation.statistics import wilson
from medrl.examination import over_questions
from tests.learning.conftest import tiny_recipe
from tests.test_cli import Left, medrl, question, write_rows


@pytest.fixture(scope="module")
def recipe(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text(tiny_recipe(tiny("qwen2")).to_yaml())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """60 questions and a bad row, which is few enough to go on."""
    good = [question(i, answer="ABCD"[i % 4]) for i in range(60)]
    return write_rows(tmp_path / "mine.jsonl", *good, question(99, answer="F"))


def evaluated(recipe: Path, data: Path, *more: object) -> Left:
    left = medrl("eval", recipe, "--data", "jsonl", "--data-path", data, "--quiet", *more)
    assert left.code == 0, left.err
    return left


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows_of(left: Left, start: str) -> tuple[list[str], list[str]]:
    """Cells of a set in the table of accuracies and in the one beside it."""
    right, beside = [line.split() for line in left.out.splitlines() if line.startswith(start)]
    return right, beside


def test_by_likelihood(recipe: Path, data: Path, tmp_path: Path) -> None:
    to, folder = tmp_path / "rows.jsonl", tmp_path / "harness"
    left = evaluated(
        recipe, data, "--protocol", "likelihood", "--to", to, "--harness-json", folder,
        "--shuffles", 1,
    )  # fmt: skip
    for columns in (("protocol", "n", "acc_norm", "chance"), ("unread", "tied", "set aside")):
        assert any(all(c in line for c in columns) for line in left.out.splitlines())
    rows = lines(to)
    assert [row["set"] for row in rows] == ["jsonl"] * 60 + ["jsonl shuffled 1"] * 60
    assert {row["protocol"] for row in rows} == {"likelihood"}
    first = rows[:60]
    right = sum(row["outcome"] == "correct" for row in first)
    assert right == sum(row["answer"] == row["gold"] for row in first)
    low, high = wilson(right, 60).low, wilson(right, 60).high
    shown = f"{100 * right / 60:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    right_cells, beside = rows_of(left, " jsonl  ")
    assert right_cells[1:3] == ["likelihood", "60"] and right_cells[-1] == "25.0"
    assert shown in left.out
    assert beside == ["jsonl", "0", "0", "1"]  # unread, tied, set aside

    [results] = folder.glob("*/results_*.json")
    found = json.loads(results.read_text())
    assert set(found["results"]) == {"medrl_jsonl", "medrl_jsonl_shuffled_1"}
    assert found["results"]["medrl_jsonl"]["acc,none"] == pytest.approx(right / 60)
    assert found["n-samples"]["medrl_jsonl"] == {"original": 61, "effective": 60}
    assert found["medrl"]["jsonl"]["protocol"] == "likelihood"


def test_a_recipes_sets_are_cut_as_the_recipe_says(recipe: Path, tmp_path: Path) -> None:
    rows = [question(i, answer="AAB"[i % 3]) for i in range(9)]
    path = write_rows(tmp_path / "mine.jsonl", *rows)
    even = f"{{source: jsonl, path: {path}, split: null, balanced: true, size: 4}}"
    to = tmp_path / "rows.jsonl"
    left = medrl(
        "eval", recipe, f"evaluation.sets={{even: {even}}}", "--protocol", "likelihood", "--to", to
    )
    assert left.code == 0, left.err
    assert [row["gold"] for row in lines(to)] == ["A", "A", "B", "B"]


def test_the_bad_row_is_named(recipe: Path, data: Path) -> None:
    left = medrl("eval", recipe, "--data", "jsonl", "--data-path", data, "--protocol", "likelihood")
    assert left.code == 0 and "mine.jsonl:61" in left.out and "'F'" in left.out
    assert "240/240" in left.out  # progress, in options


def test_in_writing(recipe: Path, data: Path, tmp_path: Path) -> None:
    to, folder = tmp_path / "rows.jsonl", tmp_path / "harness"
    left = evaluated(recipe, data, "--size", 5, "--to", to, "--harness-json", folder)
    right, beside = rows_of(left, " jsonl  ")
    assert right[1:3] == ["generated", "5"] and "[0.0, 43.4]" in left.out
    assert len(beside) == 7 and beside[-1] == "0"  # unread, several, cut, format, thinks, aside
    rows = lines(to)
    assert {row["protocol"] for row in rows} == {"generated"} and len(rows) == 5
    [results] = folder.glob("*/results_*.json")
    found = json.loads(results.read_text())
    assert list(found["results"]) == ["medrl_jsonl_generated"]
    unread = sum(row["outcome"] == "no_answer" for row in rows) / 5
    assert found["results"]["medrl_jsonl_generated"]["no_answer,none"] == pytest.approx(unread)


def test_several_samples_of_a_run_in_several_orders(
    tiny: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    run, to, folder = tmp_path / "run", tmp_path / "rows.jsonl", tmp_path / "harness"
    run.mkdir()
    (run / "recipe.yaml").write_text(tiny_recipe(tiny("qwen2")).to_yaml())
    (run / "model").symlink_to(tiny("llama"))
    left = evaluated(
        run, data, "--size", 3, "--samples", 2, "--shuffles", 1, "--to", to,
        "--harness-json", folder,
    )  # fmt: skip
    assert "sampled at temperature 1;" in left.out  # as this recipe trains
    assert "pass@1" in left.out and "pass@2" in left.out and "pass@4" not in left.out
    rows = lines(to)
    assert [row["set"] for row in rows] == ["jsonl"] * 6 + ["jsonl shuffled 1"] * 6
    assert {row["protocol"] for row in rows} == {"generated"}
    [samples] = folder.glob("*/samples_medrl_jsonl_generated_shuffled_1_*.jsonl")
    shuffled = lines(samples)
    assert [s["resps"][0] for s in shuffled] == [
        [row["text"] for row in rows[6 + i : 8 + i]] for i in (0, 2, 4)
    ]
    assert shuffled[0]["doc"]["options"] != question(0)["options"]


def test_options_texts_can_be_asked_for(recipe: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "harness"
    more = ("--protocol", "likelihood", "--continuation", "text", "--size", 3)
    evaluated(recipe, data, *more, "--harness-json", folder)
    [samples] = folder.glob("*/samples_medrl_jsonl_texts_*.jsonl")
    arguments = lines(samples)[0]["arguments"]
    assert arguments["gen_args_1"]["arg_1"] == " insulin"
    assert "insulin" not in arguments["gen_args_1"]["arg_0"]


def test_a_stored_evaluation_is_compared_in_pairs(
    recipe: Path, data: Path, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    before = tmp_path / "before.jsonl"
    likelihood = ("--protocol", "likelihood")
    evaluated(recipe, data, *likelihood, "--to", before)
    same = evaluated(recipe, data, *likelihood, "--against", before)
    assert f"jsonl: against {before}: +0.0 points" in same.out and "p = 1" in same.out
    other = evaluated(recipe, data, *likelihood, "--against", before, "--model", tiny("llama"))
    assert "jsonl: against" in other.out
    refused = medrl("eval", recipe, "--data", "jsonl", "--data-path", data, "--against", before)
    assert refused.code == 2 and "different protocols" in refused.err
    assert "--protocol" in refused.err
    fewer = medrl(
        "eval", recipe, "--data", "jsonl", "--data-path", data, *likelihood, "--size", 3,
        "--against", before,
    )  # fmt: skip
    assert fewer.code == 2 and "not to the questions asked now" in fewer.err


def test_long_prompts_are_set_aside_up_to_a_share(recipe: Path, tmp_path: Path) -> None:
    long = question(70, question="Fever and cough. " * 600)
    few = write_rows(tmp_path / "few.jsonl", *[question(i) for i in range(60)], long)
    left = evaluated(recipe, few, "--protocol", "likelihood")
    right, beside = rows_of(left, " jsonl  ")
    assert right[2] == "60" and beside[-1] == "1"
    many = write_rows(tmp_path / "many.jsonl", *[question(i) for i in range(9)], long)
    for protocol in ("likelihood", "generated"):
        refused = medrl(
            "eval", recipe, "--data", "jsonl", "--data-path", many, "--protocol", protocol
        )
        assert refused.code == 2 and "q70" in refused.err and "context of 1024" in refused.err


def test_public_sets_come_with_a_word_on_contamination(
    recipe: Path, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """The training cases of a run are known, so they are compared."""
    options = dict(zip("ABCD", ("glucagon", "insulin", "cortisol", "leptin"), strict=True))
    rows = [
        {"question": f"Patient {n} has polyuria and thirst since {n} weeks, and a glucose of 400 "
         f"mg/dL in room {n} today. Which hormone is lacking?", "options": options,
         "answer_idx": "B", "answer": "insulin"}
        for n in range(3)
    ]  # fmt: skip
    test = write_rows(tmp_path / "test.jsonl", *rows)
    train = write_rows(tmp_path / "train.jsonl", rows[1])
    run = tmp_path / "run"
    trained = tiny_recipe(tiny("qwen2"), train={"source": "medqa", "path": str(train)})
    run.mkdir()
    (run / "recipe.yaml").write_text(trained.to_yaml())
    (run / "model").symlink_to(tiny("qwen2"))
    arguments = ("--data", "medqa", "--data-path", test, "--protocol", "likelihood")
    left = medrl("eval", run, *arguments)
    assert left.code == 0, left.err
    assert "medqa: public since 2020" in left.out
    assert "1 of 3 test questions occur in 1 training texts (1 exactly" in left.out
    stranger = medrl("eval", run, *arguments, "--model", tiny("llama"))
    assert "public since 2020" in stranger.out and "training texts" not in stranger.out
    train.unlink()
    gone = medrl("eval", run, *arguments)
    assert gone.code == 0 and "not compared with the training cases" in gone.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--protocol", "letters"], 2, "--protocol"),
        (["--protocol", "likelihood", "--samples", "2"], 2, "of protocol generated"),
        (["--protocol", "likelihood", "--temperature", "1"], 2, "of protocol generated"),
        (["--continuation", "text"], 2, "of protocol likelihood"),
        (["--samples", "2", "--against", "x"], 2, "one answer per question"),
        (["--against", "no/such.jsonl"], 2, "no/such.jsonl"),
        (["--protocol", "likelihood", "--token-budget", "5"], 2, "token_budget is 5"),
        (["--harness-json", "/dev/null/x"], 3, "/dev/null/x"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], code: int, message: str, recipe: Path
) -> None:
    left = medrl("eval", recipe, *arguments)
    assert left.code == code and message in left.err, left.err


def test_an_interval_over_questions_not_answers() -> None:
    """Eight answers to each of ten questions are ten questions."""
    values = [0.0, 1.0] * 5
    found = over_questions(values)
    # t of 9 degrees at 97.5 % is 2.262; the deviation of ten halves is 0.527.
    assert found.low == pytest.approx(0.5 - 2.262 * 0.52705 / 10**0.5, abs=1e-3)
    assert found.high - found.low > wilson(40, 80).high - wilson(40, 80).low
    assert over_questions([0.0] * 7) == wilson(0, 7)
    assert over_questions([1.0] * 7) == wilson(7, 7)
    assert (over_questions([0.5]).low, over_questions([0.5]).high) == (0.0, 1.0)
