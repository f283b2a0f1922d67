"""A whole run on pictures: what it keeps of them, what its page shows, that it ends the same."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from medrl.clinic.phantoms.cases import phantom_cases
from medrl.learning import gathering, reinforcement
from medrl.learning.session import resume_run, run_recipe
from medrl.report import write_report
from medrl.run import RunFolder
from medrl.run.pictures import SIDE, keep_pictures
from medrl.schema import Recipe
from tests.learning.conftest import paid_by_tokens, tiny_recipe
from tests.learning.test_exact_resume import assert_same, silent
from tests.tiny_vision import noise
from tests.vision.pictures import Shown

LETTERED = {"source": "clinic:phantoms-closed-test", "size": 3}


@pytest.fixture
def recipe(seeing: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)
    return tiny_recipe(
        seeing("qwen2_vl"),
        {"objective": "grpo", "answers_per_prompt": 2, "perturb": {"kind": "grey"}},
        train={"source": "clinic:phantoms-closed-train", "size": 8},
        evaluation={
            "sets": {"test-id": LETTERED, "grey": LETTERED | {"perturb": {"kind": "grey"}}},
            "max_new_tokens": 6,
        },
    )


def test_pictures_stand_beside_their_episodes(recipe: Recipe, tmp_path: Path) -> None:
    run_recipe(recipe, tmp_path / "run", silent())
    rows = [json.loads(line) for line in (tmp_path / "run/episodes.jsonl").open()]
    for row in rows:
        [seen], [grey] = row["pictures"], row["perturbed"]
        assert Image.open(tmp_path / "run" / seen).size == (64, 64)
        assert Image.open(tmp_path / "run" / grey).getextrema() == ((128, 128),) * 3
        assert len(row["perturbed_right"]) == 2
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(found) == 2 * len(rows)
    assert Image.open(io.BytesIO(base64.b64decode(found[0]))).size == (64, 64)
    assert "perturbed: 0 of 2 right" in page and "img-src data:" in page


def test_a_stopped_run_goes_on_bit_for_bit(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_recipe(recipe, tmp_path / "whole", silent())

    class Killed(BaseException):
        pass

    update, seen = reinforcement.RLLearner.update, []

    def dies(self: object, *args: object) -> object:
        seen.append(1)
        if len(seen) == 2:
            raise Killed
        return update(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(reinforcement.RLLearner, "update", dies)
        with pytest.raises(Killed):
            run_recipe(recipe, tmp_path / "cut", silent())
    resume_run(recipe, tmp_path / "cut", silent())
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_picture_is_kept_once_and_small(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", "") as run:
        big = Shown(noise(0, 3 * SIDE, SIDE), "big")
        assert keep_pictures(run, [big, big]) == keep_pictures(run, [big]) * 2
        [path] = set(keep_pictures(run, [big]))
        assert Image.open(tmp_path / "run" / path).size == (SIDE, SIDE // 3)
        phantoms = [c.images[0] for c in phantom_cases("phantoms-test", 3)]
        assert len(set(keep_pictures(run, phantoms))) == 3
    assert len(list((tmp_path / "run/pictures").iterdir())) == 4
