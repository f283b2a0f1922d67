"""The training loop. There is one, and this is it.

cases -> groups -> verdicts -> advantages -> loss -> update -> metrics -> checkpoint

A *learner* holds what one objective needs (``RLLearner``, ``SFTLearner``, ``ScoreLearner``); the
loop itself does not know which it drives. Everything random is derived from (seed, stage, step), so
a step can be repeated bit for bit after a resume without any stored generator state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from medrl.cases.case import Case
from medrl.errors import TrainingDiverged
from medrl.learning.groups import flatten
from medrl.learning.learner import Learner, Metrics
from medrl.learning.metrics import episode_record
from medrl.learning.optimiser import set_learning_rate
from medrl.learning.order import cases_for_step
from medrl.learning.plateau import Plateau
from medrl.run import (
    RunFolder,
    StopRequest,
    derive_seed,
    optimizer_to_tensors,
    peak_memory_bytes,
    save_checkpoint,
)
from medrl.schema import Recipe
from medrl.stages import Stage


def run_stage(
    recipe: Recipe,
    stage: Stage,
    stage_index: int,
    learner: Learner,
    cases: Sequence[Case],
    run: RunFolder,
    stop: StopRequest,
    first_step: int,
    steps_before: int,
    on_step: Callable[[Metrics], None],
    plateau: Plateau | None = None,
) -> bool:
    """Train one stage from ``first_step`` on; True when it finished, False when asked to stop.

    Args:
        steps_before: steps of earlier stages; checkpoints count steps over the whole run.
        on_step: shown the metrics of each step (the progress display).
        plateau: ends the stage before its last step.

    Raises:
        TrainingDiverged: a loss or gradient is not finite. The last checkpoint stays good.
    """
    seed = derive_seed(recipe.seed, "stage", stage_index)

    def checkpoint(done: int) -> None:
        optimizer, groups = optimizer_to_tensors(learner.optimizer)
        save_checkpoint(
            run,
            steps_before + done,
            {**learner.tensors(), "optimizer": optimizer},
            {
                "stage": stage_index,
                "step": done,
                "optimizer": groups,
                "validation": plateau.accuracies if plateau else [],
            },
            recipe.keep_checkpoints,
        )

    if first_step == 0:
        checkpoint(0)
    if plateau and plateau.reached:  # the run was killed before the next stage began
        return True
    for step in range(first_step, stage.steps):
        started = time.perf_counter()
        groups = learner.rollout(partial(draw_cases, cases, stage, seed, step), step)
        sampled = time.perf_counter()
        set_learning_rate(learner.optimizer, stage, step)
        try:
            metrics = learner.update(groups, step)
        except TrainingDiverged as error:
            raise TrainingDiverged(
                f"stage {stage_index} ({stage.label}), step {step + 1}: {error.message}; the "
                f"last good checkpoint is {_newest(run)}",
                "lower learning_rate or max_grad_norm and use --resume",
            ) from error
        ended = time.perf_counter()
        if plateau:
            metrics |= plateau.look(step + 1)

        place = {"stage": stage.objective, "step": step + 1}
        if stage.name:
            place["name"] = stage.name
        run.log("metrics", place | metrics)
        run.log(
            "timings",
            place
            | {
                "seconds": ended - started,
                "sampling_seconds": sampled - started,
                "learning_seconds": ended - sampled,
                "sampled_tokens": sum(e.policy_tokens for e in flatten(groups)),
                "learned_tokens": sum(len(e.token_ids) for e in flatten(groups)),
                "peak_memory_bytes": peak_memory_bytes(),
                **learner.spending(),
            },
        )
        for group in groups[: recipe.episodes_kept]:
            run.log("episodes", place | episode_record(group, run))
        on_step(metrics)
        last = step + 1 == stage.steps or (plateau is not None and plateau.reached)
        if last or stop.requested or (step + 1) % stage.checkpoint_every == 0:
            checkpoint(step + 1)
        if last or stop.requested:
            return last
    return True


def draw_cases(cases: Sequence[Case], stage: Stage, seed: int, step: int, batch: int) -> list[Case]:
    """The cases of a step; ``batch`` 0 is the ordinary one, others stand in for some of them.

    Further batches come from an order of their own, so that dynamic sampling does not change
    which cases the ordinary ones hold.
    """
    if batch == 0:
        return cases_for_step(cases, step, stage.prompts_per_step, seed)
    return cases_for_step(
        cases, step, stage.prompts_per_step, derive_seed(seed, "further batch", batch)
    )


def _newest(run: RunFolder) -> str:
    paths = run.checkpoint_paths()
    return str(paths[max(paths)]) if paths else "none"
