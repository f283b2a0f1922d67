"""What every test relies on: no network, one thread, and where the optional real data lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# Before anything imports torch, transformers or matplotlib: they read these once. One thread keeps
# the order of floating-point sums, and with it every seeded number, the same on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# A deadline fails tests on a busy machine and tells nothing about the code. CI draws the same
# examples every time; at home each run looks at new ones.
settings.register_profile("home", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci",
    settings.get_profile("home"),
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.load_profile("ci" if os.environ.get("CI") else "home")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real public data; a test that asks for it is skipped, with the reason, without."""
    folder = Path(os.environ.get("MEDRL_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set MEDRL_SHARED_DATA to a folder that has it")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny("qwen2")`` is the folder of a tiny random model; see ``tests/tiny.py``."""
    from transformers.utils.logging import disable_progress_bar

    from tests.tiny import save_tiny

    disable_progress_bar()
    made: dict[str, Path] = {}

    def folder(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = save_tiny(architecture, tmp_path_factory.mktemp(architecture))
        return made[architecture]

    return folder
