"""Whether a model fits at all, said before the work and not by the kernel."""

from __future__ import annotations

from medrl.errors import ModelError
from medrl.learning.policy import Policy
from medrl.run.hardware import memory_bytes
from medrl.schema import Recipe
from medrl.stages import PPOStage, RLStage


def training_bytes(recipe: Recipe, total: int, trained: int) -> int:
    """Bytes of weights, gradients, Adam moments, reference and critic copies (fp32)."""
    stages = [s for s in recipe.stages if isinstance(s, RLStage)]
    copies = 1
    if any(s.kl_coefficient > 0 for s in stages) and not recipe.model.lora_rank:
        copies += 1
    critics = [s.critic for s in stages if isinstance(s, PPOStage)]
    critic = 4 * total if "copy" in critics else 0
    return 4 * (copies * total + 3 * trained + critic)


def check_memory(recipe: Recipe, policy: Policy) -> None:
    """Refuse what cannot fit: weights, gradients and optimiser alone exceed the memory there is.

    Raises:
        ModelError: with both numbers.
    """
    trained, total = policy.sizes()
    needed, there = training_bytes(recipe, total, trained), memory_bytes(policy.device.type)
    if needed > there:
        raise ModelError(
            f"{recipe.model.path}: weights, gradients and optimiser need {needed / 2**30:.1f} GiB, "
            f"but {policy.device} has {there / 2**30:.1f} GiB",
            "train adapters (model.lora_rank=8), a smaller model, or on a larger machine",
        )
