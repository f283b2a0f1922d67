"""The probability reward, against the model's own logits one text at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medrl.cases.case import Case
from medrl.grading import Grader, declared_answer
from medrl.grading.format import Format
from medrl.learning.policy import Policy, load_policy
from medrl.prompt import Prompt
from medrl.rewards import probability
from medrl.rewards.answer_part import answer_part
from medrl.rewards.probability import LEAD, Probability, ProbabilitySpec
from medrl.rewards.term import RewardContext
from medrl.schema import ModelSpec
from tests.rewards.conftest import phrase, reply, told, values
from tests.tiny import CONTEXT, case, tokenizer


def build(policy: Policy, format: Format = "think_answer", budget: int = 8192) -> Probability:
    spec = ProbabilitySpec(term="probability", token_budget=budget)
    term = spec.build(RewardContext(policy, Grader(format=format)))
    assert isinstance(term, Probability)
    return term


def mean_probability(policy: Policy, before: list[int], reference: list[int]) -> float:
    """By one plain forward pass of the unmodified model."""
    with torch.no_grad():
        logits = policy.model(torch.tensor([before + reference])).logits[0]
    rows = logits[len(before) - 1 : -1].softmax(-1)
    return float(rows[range(len(reference)), reference].mean())


FRAMES: list[tuple[Format, str, str, str, str]] = [
    # format, reply, the part of it before the answer, the same without reasoning, space
    (
        "think_answer",
        "<think>{}</think><answer>A</answer>",
        "<think>{}</think><answer>",
        "<answer>",
        "",
    ),
    ("boxed", "{} so \\boxed{{A}}.", "{} so \\boxed{{", "\\boxed{{", ""),
    ("free", "{} The answer is A.", "{} The answer is", "The answer is", " "),
    ("free", "{}", "{}The answer is", "The answer is", " "),
]


@pytest.mark.parametrize(("format", "text", "before", "bare", "space"), FRAMES)
@pytest.mark.parametrize("to", [case("B"), phrase("acute gout")], ids=["letter", "phrase"])
def test_values_are_those_of_plain_passes(
    format: Format, text: str, before: str, bare: str, space: str, to: Case, policy: Policy
) -> None:
    """Every piece is encoded alone, so the pieces' tokens are put together here as well."""
    encode, gold = tokenizer().encode, space + to.reference.value
    gains = []
    for think in ("the fever and the cough", "aspirin", "rest rest rest", "User: A. B", "no"):
        answer = reply(text.format(think), to, Grader(format=format))
        [score] = build(policy, format).score([answer])
        lead = LEAD[format][0]
        kept = before.format(think).removesuffix(lead)
        read = [*encode(kept), *encode(lead)] if format == "free" else encode(before.format(think))
        empty = [*encode(bare.format().removesuffix(lead)), *encode(lead)]
        prompt = list(answer.prompt.token_ids)
        gain = mean_probability(policy, prompt + read, encode(gold)) - mean_probability(
            policy, prompt + empty, encode(gold)
        )
        assert score.value == pytest.approx(max(0.0, gain), rel=1e-3, abs=1e-7)
        gains.append(gain)
    assert max(gains) > 1e-4  # a random model gives each of 400 tokens next to nothing


def test_the_gain_is_clipped() -> None:
    pairs = [(0.75, 0.25), (0.25, 0.75), (1.0, 0.0), (0.5, 0.5)]
    assert [probability._gain(*pair).value for pair in pairs] == [0.5, 0.0, 1.0, 0.0]


def test_the_mean_is_of_probabilities_and_not_of_their_logarithms(policy: Policy) -> None:
    """One unlikely token does not take all: the reason RLPR gives for the mean."""
    term = build(policy)
    prompt, reference = tuple(tokenizer().encode("What is it?")), (5, 6, 7)
    [found] = term.mean_probabilities(
        [probability._Text(Prompt("", tuple(prompt)), (9, 10), reference)]
    )
    with torch.no_grad():
        logits = policy.model(torch.tensor([[*prompt, 9, 10, 5, 6, 7]])).logits[0]
    each = [float(logits[len(prompt) + 1 + i].softmax(-1)[t]) for i, t in enumerate(reference)]
    assert found == pytest.approx(sum(each) / 3, rel=1e-5)
    assert found != pytest.approx((each[0] * each[1] * each[2]) ** (1 / 3), rel=1e-2)


@pytest.mark.parametrize("architecture", ["qwen2", "llama", "gemma2", "gpt2"])
def test_batches_shared_prompts_and_budgets_change_nothing(
    architecture: str, tiny: Callable[[str], Path]
) -> None:
    policy = load_policy(ModelSpec(path=str(tiny(architecture))))
    thinks = ["", "the fever", "the fever and the cough suggest pneumonia", "rest " * 9, "no"]
    answers = [
        reply(told("A", think), to, group=group, prompt=prompt)
        for group, (prompt, to) in enumerate(
            [("What is it? " * 5, case("B")), ("Why?", phrase("acute gout")), ("Why?", case("C"))]
        )
        for think in thinks
    ]
    alone = [build(policy).score([answer])[0].value for answer in answers]
    for budget in (1, 60, 200, 8192):
        assert values(build(policy, budget=budget), *answers) == pytest.approx(
            alone, rel=1e-3, abs=1e-7
        )
    assert len({round(v, 6) for v in alone if v}) > 3


def test_each_sequence_is_computed_once(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    compute = Probability.mean_probabilities

    def counted(self: Probability, texts: list[object]) -> list[float]:
        asked.append(len(texts))
        return compute(self, texts)

    monkeypatch.setattr(Probability, "mean_probabilities", counted)
    answers = [reply(told("A", think)) for think in ("x", "y", "x")]
    one, _, three = values(build(policy), *answers)
    assert one == three and asked == [3]  # x, y, and nothing at all


def test_a_reply_without_a_place_for_an_answer_earns_nothing(policy: Policy) -> None:
    texts = ["B", "<think>x", "<answer>B", "<think><answer>B</answer></think>", ""]
    assert values(build(policy), *map(reply, texts)) == [0.0] * len(texts)
    free = build(policy, "free")
    grader = Grader(format="free")
    assert values(free, reply("<think>x", grader=grader), reply("", grader=grader)) == [0.0, 0.0]


def test_what_does_not_fit_is_a_failure_and_no_zero(policy: Policy) -> None:
    long = reply(told("A"), prompt="x" * (CONTEXT - len(tokenizer().encode(told(""))) + 8))
    [score] = build(policy).score([long])
    assert score.value is None and "context" in score.reason


def test_sampled_tokens_are_never_encoded_again(policy: Policy) -> None:
    """The policy may have spelled its reply in single characters: then so it is read."""
    text = told("A", "the fever and the cough")
    spelled = [i for c in text for i in tokenizer().encode(c)]
    assert len(spelled) > len(tokenizer().encode(text)) + 10
    answer = reply(text, answer_ids=[*spelled, policy.stop_ids[0]])
    texts = build(policy)._texts(answer)
    assert isinstance(texts, tuple)
    part = answer_part(text, "think_answer")
    assert part is not None and texts[0].reply == tuple(spelled[: part.at])
    assert texts[0].reference == tuple(tokenizer().encode("B"))
    whole = build(policy)._texts(reply(text))
    assert isinstance(whole, tuple) and whole[0].reply != texts[0].reply


def test_a_token_across_the_seam_is_cut(policy: Policy) -> None:
    """Only its part in front of the answer is encoded afresh."""
    tags = [i for i in range(len(tokenizer())) if tokenizer().decode([i]).startswith("></")]
    assert tags, "the tokenizer has no token across the seam: choose another text"
    text = "<think>x</think><answer></answer>"
    head = tokenizer().encode("<think>x</think><answer")
    rest = text.removeprefix("<think>x</think><answer" + tokenizer().decode([tags[0]]))
    answer = reply(text, answer_ids=[*head, tags[0], *tokenizer().encode(rest)])
    texts = build(policy)._texts(answer)
    assert isinstance(texts, tuple)
    assert texts[0].reply == (*head, *tokenizer().encode(">"))


def test_bytes_of_half_a_character_are_not_read(policy: Policy) -> None:
    text = told("é", "37 °C, naïve")
    ids = tokenizer().encode(text)
    texts = build(policy)._texts(reply(text, answer_ids=ids))
    assert isinstance(texts, tuple)
    assert tokenizer().decode(texts[0].reply) == "<think>37 °C, naïve</think><answer>"
    half = reply("<answer>\ufffd</answer>", answer_ids=tokenizer().encode("<answer>é")[:-1])
    assert not isinstance(build(policy)._texts(half), str)


@settings(max_examples=60)
@given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_the_tokens_before_an_answer_spell_the_text_before_it(
    policy: Policy, think: str, answer: str, after: str
) -> None:
    for format, text in (
        ("think_answer", f"<think>{think}</think><answer>{answer}</answer>{after}"),
        ("boxed", f"{think}\\boxed{{{answer}}}{after}"),
    ):
        part = answer_part(text, format)
        texts = build(policy, format)._texts(reply(text))
        if part is not None and isinstance(texts, tuple):
            assert tokenizer().decode(texts[0].reply) == text[: part.at]


def test_a_reply_that_does_not_reason_gains_nothing(policy: Policy) -> None:
    """It is what the others are held against."""
    assert values(build(policy), reply("<answer>A</answer>")) == [0.0]
    spec = ProbabilitySpec(term="probability", without="<think></think>")
    thinking = spec.build(RewardContext(policy, Grader(format="think_answer")))
    both = [reply(told("A", think)) for think in ("the fever", "aspirin", "rest rest", "no")]
    assert values(thinking, *both) != values(build(policy), *both)


def test_the_lead_is_how_the_grader_declares_answers() -> None:
    for format, (lead, space) in LEAD.items():
        assert declared_answer("B", format).startswith(f"{lead}{space}B")


def test_it_is_the_policy_as_it_is_now(tiny: Callable[[str], Path]) -> None:
    policy = load_policy(ModelSpec(path=str(tiny("qwen2"))))
    term = build(policy)
    answers = [reply(told("A", think)) for think in ("the fever", "aspirin", "no", "rest")]
    before = values(term, *answers)
    with torch.no_grad():
        for parameter in policy.trainable():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator()))
    assert values(term, *answers) != before
    assert all(p.grad is None for p in policy.trainable())
