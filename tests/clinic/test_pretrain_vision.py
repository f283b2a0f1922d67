"""Making the base vision-language model: lessons as tokens, a model like the real ones, a pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from transformers import AutoModelForImageTextToText, PreTrainedTokenizerFast

from medrl.attention import install
from medrl.clinic import pretrain_vision
from medrl.clinic.making import END
from medrl.clinic.phantoms.pretraining import SHARES, Lesson, LessonHabits, Lessons
from medrl.clinic.pretrain_vision import VisionConfig
from medrl.learning.policy import load_policy
from medrl.model import without_marks
from medrl.schema import ModelSpec
from medrl.vision.families import family_of
from medrl.vision.sight import Sight

SMALL = VisionConfig(
    vocabulary=600, hidden=48, layers=2, heads=3, intermediate=64, eye_width=32, eye_layers=1,
    eye_heads=2, lessons=6, text_steps=1, report_steps=1, steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    lessons = Lessons(1).lessons(SHARES)
    texts = ["".join(pretrain_vision.framed(next(lessons))) for _ in range(400)]
    marks = (
        pretrain_vision.IMAGE,
        pretrain_vision.VIDEO,
        pretrain_vision.START,
        pretrain_vision.STOP,
    )
    return pretrain_vision.learn_tokenizer(texts, SMALL.vocabulary, SMALL.context, marks)


@pytest.fixture(scope="module")
def sight(tokenizer: PreTrainedTokenizerFast) -> Sight:
    model = pretrain_vision.build_model(tokenizer, SMALL)
    install(model)
    processor = pretrain_vision.build_processor(SMALL)
    family = family_of(model.config)
    return Sight("", processor, tokenizer, family, model, pretrain_vision.IMAGE)


def test_a_lesson_is_framed_as_exams_are() -> None:
    assert pretrain_vision.framed(Lesson((), "What is it?", "a mass.")) == (
        "User: What is it?\nAssistant:",
        " a mass.",
    )
    exam = Lesson((), "User: Which?\nAssistant:", "<answer>B</answer>")
    assert pretrain_vision.framed(exam) == (exam.prompt, exam.answer)


def test_a_picture_of_64_pixels_is_sixteen_tokens_and_only_answers_are_learned(
    sight: Sight, tokenizer: PreTrainedTokenizerFast
) -> None:
    lessons = Lessons(0).lessons({"short_answer": 1.0})
    lesson = next(lessons)
    found = pretrain_vision.member(sight, lesson, 3)
    mark = sight.model.config.image_token_id
    assert found.token_ids.count(mark) == 16 and found.group == 3
    learnt = [found.token_ids[t] for t in found.written]
    end = tokenizer.convert_tokens_to_ids(END)
    assert learnt[-1] == end
    assert tokenizer.decode(learnt[:-1]) == pretrain_vision.framed(lesson)[1]


def test_text_comes_first_then_reports_then_everything() -> None:
    steps = list(pretrain_vision.batches(LessonHabits(), replace(SMALL, lessons=40)))
    assert [weight for weight, _ in steps] == [0.5, 0.0, 0.1, 0.1]
    text, reports, *rest = (lessons for _, lessons in steps)
    assert len(rest) == 2 and all(len(lessons) == 40 for lessons in (text, reports, *rest))
    assert not any(lesson.pictures for lesson in text)
    assert {lesson.prompt for lesson in reports if lesson.pictures} == {"Write a report."}
    assert len({lesson.prompt for lessons in rest for lesson in lessons}) > 20


def test_the_loss_is_the_models_own(sight: Sight) -> None:
    """Packed in one row, against one lesson after the other through the model's own forward;
    letters behind a bracket count once more, by themselves."""
    bracket = sight.tokenizer(" (", add_special_tokens=False)["input_ids"][-1]
    lessons = Lessons(0).lessons({"short_answer": 0.5, "letters": 0.5})
    members = [pretrain_vision.member(sight, next(lessons), i) for i in range(4)]
    every, letters = [], []
    with torch.no_grad():
        found = float(pretrain_vision.lesson_loss(sight.model, members, bracket, 0.7))
        for one in members:
            ids = torch.tensor([one.token_ids])
            inputs = dict(one.media.inputs) if one.media else {}
            seen = (ids == sight.model.config.image_token_id).int()
            logits = sight.model(input_ids=ids, mm_token_type_ids=seen, **inputs).logits[0]
            log_probs = torch.log_softmax(without_marks(sight.model.config, logits), -1)
            for t in one.written:
                every.append(-float(log_probs[t - 1, one.token_ids[t]]))
                if sight.tokenizer.decode(one.token_ids[:t]).endswith("("):
                    letters.append(every[-1])
    assert len(letters) > 3
    assert found == pytest.approx(fmean(every) + 0.7 * fmean(letters), rel=1e-4)


def test_a_pass_leaves_a_model_that_is_loaded_like_any_other(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain_vision, "build_tokenizer", lambda habits, config: tokenizer)
    record = pretrain_vision.pretrain(tmp_path / "one", SMALL, LessonHabits())
    made = json.loads((tmp_path / "one" / "made.json").read_text())
    assert made == {"passes": [json.loads(json.dumps(record))]}
    saved = AutoModelForImageTextToText.from_pretrained(tmp_path / "one")
    assert saved.dtype == torch.bfloat16 and saved.num_parameters() == record["parameters"]
    policy = load_policy(ModelSpec(path=str(tmp_path / "one")))
    assert policy.sight is not None and policy.context == SMALL.context
    again = pretrain_vision.pretrain(tmp_path / "two", SMALL, LessonHabits())
    assert again["data_sha256"] == record["data_sha256"]
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("one", "two")]
    assert weights[0] == weights[1]


def test_a_second_pass_goes_on_from_the_first(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrain_vision, "build_tokenizer", lambda habits, config: tokenizer)
    first, second = tmp_path / "first", tmp_path / "second"
    pretrain_vision.pretrain(first, SMALL, LessonHabits())
    still = replace(SMALL, seed=1, text_steps=0, report_steps=1, steps=0, learning_rate=1e-12)
    pretrain_vision.pretrain(second, still, LessonHabits(), start=first)
    made = json.loads((second / "made.json").read_text())
    assert [one["config"]["seed"] for one in made["passes"]] == [0, 1]
    weights = [(folder / "model.safetensors").read_bytes() for folder in (first, second)]
    assert weights[0] == weights[1]  # it began with them, and has not moved
    assert (first / "tokenizer.json").read_text() == (second / "tokenizer.json").read_text()
