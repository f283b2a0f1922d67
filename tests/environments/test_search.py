"""The search environment: a scripted policy's transcripts, rewards and endings, and its errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medrl.cases.case import Case, Provenance, Reference
from medrl.environments.environment import Ending
from medrl.environments.search import unsolved
from medrl.environments.search_protocol import HINT
from medrl.environments.search_spec import SearchSpec
from medrl.errors import DataError
from medrl.grading.verdict import Outcome
from medrl.learning.conversing import sample_conversations, setting_of, written_conversations
from medrl.learning.groups import Origin
from medrl.learning.policy import load_policy
from medrl.sampling.sampler import SamplingParams
from medrl.sampling.torch_sampler import TorchSampler
from medrl.schema import ModelSpec
from tests.environments.acting import GRADER
from tests.environments.searching import CASE, ROWS, TRUE, corpus_file, play, query, world

NOTHING_KEPT = f"<important_info>[]</important_info>{TRUE}"


def test_a_scripted_policy_replays_to_this_transcript(tmp_path: Path) -> None:
    environment, replies = play(
        world(tmp_path),
        [
            "<think>Toe, so gout.</think>" + query("treatment of gout", 1),
            f"<important_info>[1]</important_info>\n{TRUE}",
        ],
    )
    assert environment.opening == (
        "Find the documents that answer the question.\n"
        "<question>A man has great toe pain and a red joint. Which treatment helps?</question>\n"
        "<information>\n"
        "Doc 1 (Title: gout) Gout presents with great toe pain and a red joint.\n"
        "Doc 2 (Title: flu) First-line treatment of flu is oseltamivir.\n"
        "</information>\n"
    )
    first, last = replies
    assert (first.text, first.reward, first.event, first.over) == (
        "\n<information>\n"
        "Doc 1 (Title: gout) First-line treatment of gout is colchicine.\n"
        "Doc 2 (Title: gout) Gout presents with great toe pain and a red joint.\n"
        "</information>\n",
        0.0,
        "search",
        False,
    )
    assert (last.text, last.reward, last.event, last.over) == ("", 1.0, "complete", True)
    assert [d.id for d in environment.documents] == ["gout:signs", "gout:cure"]
    verdict = environment.verdict()
    assert verdict.outcome is Outcome.CORRECT
    assert verdict.answer == "First-line treatment of gout is colchicine."
    assert environment.measures() == {
        "turns": 2,
        "queries": 1,
        "invalid": 0,
        "documents": 2,
        "recall": 1.0,
        "gain": 1,
        "rescued": 1,
        "both_right": 0,
        "both_wrong": 0,
        "harmed": 0,
        "unread": 0,
    }


@pytest.mark.parametrize(
    ("arm", "reward"), [("gbr", 1.0), ("released", 2.0), ("accuracy", 1.0), ("recall", 0.5)]
)
def test_the_arms_pay_what_they_say(tmp_path: Path, arm: str, reward: float) -> None:
    none, first = "<important_info>[]</important_info>", "<important_info>[1]</important_info>"
    environment, replies = play(
        world(tmp_path, reward=arm), [none + query("treatment of gout"), first + TRUE]
    )
    assert [d.id for d in environment.documents] == ["gout:cure"]  # one of two gold documents
    assert environment.verdict().correct
    assert replies[-1].reward == reward


def test_a_search_can_harm(tmp_path: Path) -> None:
    easy = replace(CASE, question="What is the first-line treatment of gout?")
    assert play(world(tmp_path), [TRUE], easy)[1][0].reward == 0.0  # right before and after
    for arm, reward in (("gbr", -1.0), ("released", -1.0), ("accuracy", 0.0)):
        environment, replies = play(world(tmp_path, reward=arm), [NOTHING_KEPT], easy)
        assert replies[0].reward == reward
        assert environment.measures()["harmed"] == 1
        assert environment.verdict().outcome is Outcome.NO_ANSWER


def test_a_query_that_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    environment, replies = play(
        world(tmp_path),
        [
            "<important_info>[1]</important_info><query>treatment of gout</query>",
            '{"query": "treatment of gout"}</query>',
            f"<important_info>[1, 7]</important_info>{TRUE}",
        ],
    )
    hint, found, last = replies
    assert (hint.text, hint.event, hint.over, hint.reward) == (HINT, "invalid", False, 0.0)
    assert hint.text.endswith("<query>\n")
    assert found.event == "search"
    assert last.reward == 1.0  # the selection of the first turn counts, and 7 means nothing
    assert [d.id for d in environment.documents] == ["gout:signs", "gout:cure"]
    assert environment.measures()["invalid"] == 1
    assert not environment.verdict().format_ok


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_turn_behind_the_last_search_selects_only(tmp_path: Path, turns: int) -> None:
    made = world(tmp_path, turns=turns)
    assert made.most_turns == turns + 1
    environment, replies = play(made, [query("cough", 2)] * 9)
    assert [reply.event for reply in replies] == ["search"] * turns + ["selection"]
    assert replies[-1].over
    assert environment.measures()["queries"] == turns


def test_an_unreadable_last_turn_ends_the_episode(tmp_path: Path) -> None:
    environment, replies = play(world(tmp_path, turns=2), ["hm"] * 9)
    assert [(reply.event, reply.over) for reply in replies] == [
        ("invalid", False),
        ("invalid", True),
    ]
    assert environment.measures()["both_wrong"] == 1


def test_what_was_not_selected_counts_wholly(tmp_path: Path) -> None:
    environment, _ = play(world(tmp_path), [query("sneezing"), TRUE])
    assert [d.id for d in environment.documents] == ["gout:signs", "flu:cure", "cold:signs"]
    environment, _ = play(world(tmp_path, keep_first=True), [query("sneezing"), TRUE])
    assert [d.id for d in environment.documents] == ["gout:signs", "flu:cure"]


def test_the_first_selection_of_a_block_stands(tmp_path: Path) -> None:
    one, other = "<important_info>[1]</important_info>hm", "<important_info>[2]</important_info>"
    environment, _ = play(world(tmp_path), [one, other + TRUE])
    assert [d.id for d in environment.documents] == ["gout:signs"]


def test_a_selection_keeps_so_many_and_a_search_may_find_nothing(tmp_path: Path) -> None:
    made = world(tmp_path, k=5, selected=2)
    environment, replies = play(made, [query("unheard of", 3, 1, 2), TRUE])
    assert "No documents were found." in replies[0].text
    assert len(environment.documents) == 2


def test_a_search_that_is_cut_off_has_no_answer(tmp_path: Path) -> None:
    environment, _ = play(world(tmp_path), [query("treatment of gout", 1)])
    assert environment.verdict().outcome is Outcome.NO_ANSWER
    assert "gain" not in environment.measures()
    assert environment.measures()["recall"] == 1.0  # as far as it went


def test_options_are_shown_but_not_searched_for(tmp_path: Path) -> None:
    case = replace(CASE, reference=Reference("option", "B", ("oseltamivir", "colchicine")))
    made = world(tmp_path)
    environment, replies = play(made, [query("gout treatment", 1), TRUE], case)
    assert "\nA. oseltamivir\nB. colchicine</question>" in environment.opening
    assert [d.id for d in made.naive_documents(case)] == ["gout:signs", "flu:cure"]
    assert environment.verdict().answer == "B: colchicine"
    assert replies[-1].reward == 1.0


def test_many_searches_at_once_are_the_same_as_one_by_one(tmp_path: Path) -> None:
    made = world(tmp_path)
    scripts = [[query("treatment of gout", 1), TRUE], [query("cough"), TRUE], [NOTHING_KEPT]] * 5

    async def one(turns: list[str]) -> float:
        environment = made.open(CASE, 0)
        reply = await environment.step(turns[0])
        return reply.reward if reply.over else (await environment.step(turns[1])).reward

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*map(one, scripts))

    together = asyncio.run(all_of_them())
    assert together == [play(world(tmp_path), turns)[1][-1].reward for turns in scripts]
    assert made.scorer.naive.asked == 1


def test_the_generator_is_the_same_afterwards(tmp_path: Path) -> None:
    made = world(tmp_path)
    before = made.generator.fingerprint()
    play(made, [query("treatment of gout", 1), TRUE])
    assert made.generator.fingerprint() == before


def test_the_second_generator_is_swapped_in(tmp_path: Path) -> None:
    turns = [query("treatment of gout", 1), f"<important_info>[1]</important_info>{TRUE}"]
    rewards = [play(world(tmp_path, generator=g), turns)[1][-1].reward for g in ("topic", "bridge")]
    assert rewards == [1.0, 1.0]


def test_cases_that_naive_retrieval_solves_and_yes_or_no_are_dropped(tmp_path: Path) -> None:
    easy = replace(CASE, id="easy", question="What is the first-line treatment of gout?")
    label = Case("l", "Is it?", Reference("label", "yes", ("yes", "no")), Provenance("toy"))
    option = Case("o", "Is it?", Reference("option", "B", ("yes", "No")), Provenance("toy"))
    made = world(tmp_path)
    found = unsolved([easy, CASE, label, option], made)
    assert found.cases == (CASE,)
    assert (found.solved, found.yes_no) == (1, 2)
    play(made, [TRUE])
    assert made.scorer.naive.asked == 2  # no case is asked about twice


def test_disturbed_searches_are_disturbed_everywhere(tmp_path: Path) -> None:
    tags = {**CASE.tags, "wrong_answers": "aspirin"}
    case = replace(CASE, tags=tags)
    made = world(tmp_path, tamper={"kind": "counterfactual", "share": 0.5})
    environment, replies = play(made, [query("cough pain"), TRUE], case)
    assert "First-line treatment of gout is aspirin." in environment.opening
    assert "First-line treatment of gout is aspirin." in replies[0].text
    assert made.open(case, 1).opening == environment.opening
    calm = world(tmp_path, tamper={"kind": "counterfactual", "share": 0.0})
    assert calm.open(case, 0).opening == world(tmp_path).open(case, 0).opening


def test_recall_needs_gold_documents(tmp_path: Path) -> None:
    unknown = replace(CASE, tags={})
    with pytest.raises(DataError, match="gout-1 has no tag 'documents'"):
        world(tmp_path, reward="recall").open(unknown, 0)
    environment, _ = play(world(tmp_path), [TRUE], unknown)
    assert "recall" not in environment.measures()


def test_gold_may_be_the_work_that_passages_are_part_of(tmp_path: Path) -> None:
    case = replace(CASE, tags={"gold_module": "gout"})
    environment, replies = play(world(tmp_path, reward="recall", gold="gold_module"), [TRUE], case)
    assert replies[-1].reward == 1.0
    assert environment.measures()["recall"] == 1.0


def test_naive_answers_are_kept_on_disk(tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    first = world(tmp_path, cache=kept)
    before = play(first, [TRUE])[0].measures()
    again = world(tmp_path, cache=kept)
    assert play(again, [TRUE])[0].measures() == before
    assert (first.scorer.naive.asked, again.scorer.naive.asked) == (1, 0)
    for other in ({"generator": "bridge"}, {"k": 1}):
        changed = world(tmp_path, cache=kept, **other)
        play(changed, [TRUE])
        assert changed.scorer.naive.asked == 1


def test_an_own_folder_of_texts_is_searched(tmp_path: Path) -> None:
    for identity, _, text in ROWS:
        (tmp_path / f"{identity.replace(':', '-')}.md").write_text(f"# {identity[:4]}\n\n{text}")
    made = SearchSpec(corpus=str(tmp_path), k=2, gold="files").build(GRADER)
    case = replace(CASE, tags={"files": "gout-signs.md;gout-cure.md"})
    environment, replies = play(made, [query("treatment of gout", 1), TRUE], case)
    assert replies[-1].reward == 1.0
    assert environment.measures()["recall"] == 1.0
    assert "at most 3" in environment.opening


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    path = corpus_file(tmp_path)
    path.write_text("")
    with pytest.raises(DataError, match=r"corpus\.jsonl: there are no documents"):
        SearchSpec(corpus=str(path)).build(GRADER)


def test_a_demonstration_reads_like_the_episode(tmp_path: Path) -> None:
    made = world(tmp_path)
    opening, turns = made.demonstration(CASE, 0)
    assert [turn.speaker for turn in turns] == ["policy", "environment", "policy"]
    texts = [turn.text for turn in turns if turn.speaker == "policy"]
    assert texts == [
        '<important_info>[1]</important_info>\n<query>{"query": "treatment of gout"}</query>',
        "<important_info>[1, 2]</important_info>\n<search_complete>True</search_complete>",
    ]
    assert made.scorer.naive.asked == 0  # no generator is needed
    environment, replies = play(made, texts)
    assert environment.opening == opening
    assert (environment.measures()["invalid"], environment.verdict().correct) == (0, True)
    assert replies[0].text == turns[1].text
    assert replies[-1].over


def test_who_sees_the_answer_at_once_does_not_search(tmp_path: Path) -> None:
    _, turns = world(tmp_path, k=5).demonstration(CASE, 0)
    assert [turn.text for turn in turns] == [f"<important_info>[1, 3]</important_info>\n{TRUE}"]


def test_an_expert_needs_gold_and_what_is_sought(tmp_path: Path) -> None:
    for missing in ("sought", "documents"):
        tags = {name: value for name, value in CASE.tags.items() if name != missing}
        with pytest.raises(DataError, match="gout-1 has no tags 'sought' and 'documents'"):
            world(tmp_path).demonstration(replace(CASE, tags=tags), 0)


def test_searches_are_held_and_imitated(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    policy = load_policy(ModelSpec(path=str(tiny("qwen2"))))
    spec = world(tmp_path).spec
    setting = setting_of(spec, policy, GRADER)
    assert setting is not None
    [shown] = written_conversations(policy, [CASE], setting, GRADER, 0)
    _, turns = setting.world.demonstration(CASE, 0)
    [imitated] = shown.episodes
    assert imitated.turns == 2
    by = list(zip(imitated.token_ids, imitated.origins, strict=True))
    for speaker, origin in (("policy", Origin.POLICY), ("environment", Origin.ENVIRONMENT)):
        ids = [t for t, by_whom in by if by_whom is origin and t not in policy.stop_ids]
        told = "".join(turn.text for turn in turns if turn.speaker == speaker)
        assert policy.decode(ids).split() == told.split()
    sampler = TorchSampler(policy.model, policy.stop_ids)
    params = SamplingParams(4, temperature=1.0)
    [group] = sample_conversations(policy, sampler, [CASE], setting, 2, params, 0)
    assert [e.ending for e in group.episodes] == [Ending.FINISHED] * 2
    assert [e.terms["invalid"] for e in group.episodes] == [spec.turns] * 2
