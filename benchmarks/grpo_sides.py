"""One GRPO step on either side: medrl's learner and TRL's trainer, both the real classes.

A step is: sample G answers to each prompt, reward them, learn from them in one optimiser step.
*Sampling* is all from prompt texts to rewards (encoding, generation, decoding and the reward
function included), *learning* all the rest (padding or laying out, reference log-probs, forward,
backward, clipping, optimiser step).

What is the same: weights, prompts, G, lengths, the reward function, loss (GRPO, mean over each
answer), AdamW (fused, betas 0.9 and 0.95), learning rate, clipping. What each does its own way, by
its defaults: how it samples, lays out tokens, computes log-probs, reads pictures and cuts into
micro-batches (TRL: as many rows as the batch has, unless told otherwise; medrl: its token budget).

Pictures are PNG files. medrl opens them as part of sampling; TRL's data loader does so outside of
its time, once for every answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from bench_learner import LEARNING_RATE, make_learner, make_policy
from bench_model import EndAt, Lengths, Question, case
from bench_sight import official_processor
from datasets import Dataset, Image
from measure import Clock, wait
from transformers import (
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from medrl.learning.groups import Group
from medrl.learning.policy import pick_device


@dataclass(frozen=True)
class Job:
    """What both sides do.

    Attributes:
        model: folder of the model.
        steps: questions of each step; all have a picture, or none has.
        group: G, answers per prompt.
        max_new_tokens: most tokens of an answer.
        beta: coefficient of the KL penalty; 0: no reference model.
        trl_rows: rows of one of TRL's micro-batches; 0: all rows of the step.
        token_budget: tokens of one of medrl's micro-batches.
        computing: see :class:`measure.Clock`.
    """

    model: Path
    steps: list[list[Question]]
    group: int
    max_new_tokens: int
    beta: float
    trl_rows: int
    token_budget: int
    computing: bool = False

    @property
    def rows(self) -> int:
        """Answers of a step."""
        return len(self.steps[0]) * self.group

    @property
    def sees(self) -> bool:
        """Whether the questions have pictures."""
        return self.steps[0][0].picture is not None

    def shortened(self, steps: int) -> Job:
        """The first steps of it."""
        return replace(self, steps=self.steps[:steps])


def reward_of(text: str) -> float:
    """A number in [0, 1000) that depends on every word. No two answers to a prompt are equal, so no
    group may be skipped; and a group's deviation is far above the small number (TRL: 1e-4, medrl:
    1e-6) that is added to it."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32 * 1000


class MedrlSide:
    """medrl's steps.

    Attributes:
        parameters: of the model.
        clock: parts ``sampling`` and ``learning``.
        lengths: of each step so far.
    """

    def __init__(self, job: Job) -> None:
        self.job, policy = job, make_policy(job.model)
        self.learner = make_learner(
            policy, len(job.steps[0]), job.group, job.max_new_tokens, job.beta, job.token_budget
        )
        self.parameters = sum(p.numel() for p in policy.model.parameters())
        self.clock = Clock(policy.device, job.computing)
        self.lengths: list[Lengths] = []

    def step(self, index: int) -> None:
        """One step on the prompts of that number."""
        cases = [case(n, question) for n, question in enumerate(self.job.steps[index])]
        with self.clock.part("sampling"):
            groups = [_rewarded(g) for g in self.learner.rollout(lambda attempt: cases, index)]
        with self.clock.part("learning"):
            self.learner.update(groups, index)
        self.lengths.append([[e.policy_tokens for e in g.episodes] for g in groups])


def _rewarded(group: Group) -> Group:
    """The same with our rewards: the recipe's grader has nothing to say about random words."""
    episodes = tuple(replace(e, reward=reward_of(e.text)) for e in group.episodes)
    return replace(group, episodes=episodes)


class _Trainer(GRPOTrainer):
    """TRL's trainer with a stopwatch around what makes up sampling; nothing else is changed.

    Attributes:
        clock: what the stopwatch reads.
        prompt_ids: what was read last, one prompt per answer.
    """

    clock: Clock
    sampling_seconds = 0.0
    prompt_ids: Sequence[list[int]] = ()

    def _generate(self, prompts: list[Any]) -> Any:
        result = self._timed(super()._generate, prompts)
        self.prompt_ids = result[0]
        return result

    def _calculate_rewards(self, *args: Any) -> Any:
        return self._timed(super()._calculate_rewards, *args)

    def _timed(self, function: Callable[..., Any], *args: Any) -> Any:
        wait(self.accelerator.device)
        started = self.clock.now()
        result = function(*args)
        wait(self.accelerator.device)
        self.sampling_seconds += self.clock.now() - started
        return result


class TRLSide:
    """TRL's steps: its own training loop, interrupted before each step.

    Args:
        forced: lengths that the answers of each step must have, if the model ends answers.

    Attributes:
        clock: parts ``sampling`` and ``learning``.
        lengths: of each step so far.
        written, rewards: token ids of the last step's answers, and their rewards.
    """

    def __init__(self, job: Job, forced: Sequence[Lengths] | None) -> None:
        self.job, self.forced, self.device = job, forced, pick_device()
        self.clock = Clock(self.device, job.computing)
        self.lengths: list[Lengths] = []
        loader = AutoModelForImageTextToText if job.sees else AutoModelForCausalLM
        model: Any = loader.from_pretrained(job.model, dtype=torch.float32)
        self.generate, model.generate = model.generate, self._generate
        self.end = model.config.get_text_config().eos_token_id
        self.written: list[list[int]] = []
        self.rewards: list[float] = []
        self.hook: EndAt | None = None
        self.trainer = _Trainer(
            model=model.to(self.device),
            reward_funcs=self._reward,
            args=grpo_config(job, self.device),
            train_dataset=_dataset([question for step in job.steps for question in step]),
            processing_class=_processing(job, model),
        )
        self.trainer.clock = self.clock

    def _generate(self, **inputs: Any) -> torch.Tensor:
        if self.forced is not None:
            lengths = self.forced[self.trainer.state.global_step]
            prompt = inputs["input_ids"].shape[1]
            self.hook = EndAt(lengths, prompt, self.end, self.clock)
            inputs["logits_processor"] = LogitsProcessorList([self.hook])
        result: torch.Tensor = self.generate(**inputs)
        return result

    def _reward(
        self, completions: list[Any], completion_ids: list[list[int]], **columns: Any
    ) -> list[float | None]:
        self.written = completion_ids
        texts = [c[0]["content"] for c in completions] if self.job.sees else completions
        self.rewards = [reward_of(text) for text in texts]
        return [*self.rewards]

    def run(self, before: Callable[[int], None]) -> None:
        """All steps of the job; ``before`` is called before each, outside of its time."""
        run_trainer(self.trainer, Between(self, before))

    def finish_step(self, started: float) -> None:
        """Book a step that began then."""
        wait(self.device)
        seconds = self.clock.now() - started
        hook = self.hook.seconds if self.hook else 0.0
        sampling = self.trainer.sampling_seconds
        self.clock.book("sampling", sampling - hook)
        self.clock.book("learning", seconds - sampling)
        self.trainer.sampling_seconds = 0.0
        lengths, group = [len(ids) for ids in self.written], self.job.group
        self.lengths.append([lengths[i : i + group] for i in range(0, len(lengths), group)])


def _dataset(questions: Sequence[Question]) -> Dataset:
    """As TRL wants it: with pictures questions are said by a user."""
    if questions[0].picture is None:
        return Dataset.from_list([{"prompt": question.text} for question in questions])
    rows = [
        {"prompt": [{"role": "user", "content": q.text}], "image": str(q.picture)}
        for q in questions
    ]
    return Dataset.from_list(rows).cast_column("image", Image())


def _processing(job: Job, model: Any) -> Any:
    """What makes inputs of questions: a tokenizer, or the processor that ``transformers`` has."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(job.model)
    if not job.sees:
        return tokenizer
    image_processor = AutoImageProcessor.from_pretrained(job.model, backend="pil")
    return official_processor(image_processor, tokenizer, model.config)


class _Stepper(Protocol):
    clock: Clock

    def finish_step(self, started: float) -> None: ...


class Between(TrainerCallback):
    """Lets something else happen between the steps of a trainer, and times the steps."""

    def __init__(self, side: _Stepper, before: Callable[[int], None]) -> None:
        self.side, self.before, self.started = side, before, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called by the trainer."""
        self.before(state.global_step)
        self.started = self.side.clock.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called by the trainer."""
        self.side.finish_step(self.started)


def run_trainer(trainer: Trainer, between: Between) -> None:
    """All steps of a trainer, without what it prints at the end."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(between)
    trainer.train()


def grpo_config(job: Job, device: torch.device) -> GRPOConfig:
    """TRL's defaults but for what must agree with medrl, and no logging or saving."""
    per_step = job.trl_rows or job.rows
    return GRPOConfig(
        **quiet(job.model, device),
        max_steps=len(job.steps),
        per_device_train_batch_size=per_step,
        gradient_accumulation_steps=job.rows // per_step,
        steps_per_generation=job.rows // per_step,
        num_generations=job.group,
        max_completion_length=job.max_new_tokens,
        temperature=1.0,
        beta=job.beta,
        loss_type="grpo",
        shuffle_dataset=False,
    )


def quiet(folder: Path, device: torch.device) -> dict[str, Any]:
    """What TRL's trainers are told alike: medrl's optimiser, no checkpointing of activations."""
    return {
        "output_dir": str(folder.parent / "trl"),
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch_fused",
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "gradient_checkpointing": False,
        "bf16": device.type == "cuda",
        "use_cpu": device.type == "cpu",
        "dataloader_pin_memory": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "no",
    }
