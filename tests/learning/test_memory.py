"""What a training needs at least, and that what cannot fit is refused before any work."""

from __future__ import annotations

import pytest

from medrl.errors import ModelError
from medrl.learning import memory
from medrl.learning.memory import training_bytes
from medrl.learning.preparation import prepare
from tests.learning.conftest import MakeRecipe


def test_training_bytes_count_every_copy(make_recipe: MakeRecipe) -> None:
    plain = make_recipe({"kl_coefficient": 0.0})
    assert training_bytes(plain, 100, 100) == 4 * (100 + 300)
    assert training_bytes(make_recipe({"kl_coefficient": 0.1}), 100, 100) == 4 * (200 + 300)
    both = make_recipe({"kl_coefficient": 0.1, "critic": "copy"})
    assert training_bytes(both, 100, 100) == 4 * (200 + 300 + 400)
    adapters = make_recipe({"kl_coefficient": 0.1}, lora_rank=2)
    assert training_bytes(adapters, 100, 5) == 4 * (100 + 15)


def test_a_model_too_large_for_the_memory_is_refused_before_any_work(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda device: 500_000)
    with pytest.raises(ModelError, match=r"optimiser need .* but cpu has 0.0 GiB") as refused:
        prepare(make_recipe())
    assert "lora_rank" in refused.value.fix
    prepare(make_recipe({"kl_coefficient": 0.0}, lora_rank=1))
