"""Pictures: the same each time, marked as drawn, and every attribute is there to be seen."""

from __future__ import annotations

import io
import pickle
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter

from medrl.clinic.phantoms.phantom import (
    MODALITIES,
    NOTICE,
    Phantom,
    phantom,
    png_bytes,
    save,
)
from medrl.errors import DataError

CHEST = {
    "opacity": "none",
    "zone": "none",
    "density": "none",
    "effusion": "none",
    "heart": "normal",
    "right nodules": "zero",
    "left nodules": "zero",
}
OPACITY = {"opacity": "left", "zone": "lower", "density": "faint"}
BRAIN = {
    "mass": "none",
    "side": "none",
    "lobe": "none",
    "size": "none",
    "intensity": "none",
    "shift": "none",
    "ventricles": "equal",
    "spots": "zero",
}
MASS = {"mass": "ring", "side": "left", "lobe": "frontal", "size": "small", "intensity": "dark"}
FUNDUS = {
    "eye": "right",
    "disc": "pink",
    "cup": "small",
    "vessels": "straight",
    "exudates": "none",
    "upper haemorrhages": "zero",
    "lower haemorrhages": "zero",
}
LESION = {
    "colour": "brown",
    "size": "medium",
    "border": "regular",
    "bulge": "none",
    "darker part": "equal",
    "spots": "zero",
}


def pixels(modality: str, attributes: dict[str, str], seed: int, size: int = 64) -> np.ndarray:
    return np.asarray(phantom(modality, attributes, seed, size).open(), dtype=np.float32)


def some(modality: str, seed: int) -> Phantom:
    attributes = random.Random(seed).choice(list(MODALITIES[modality].combinations()))
    return phantom(modality, attributes, seed)


@pytest.mark.parametrize("name", MODALITIES)
@pytest.mark.parametrize("size", [32, 64, 224])
def test_a_picture_is_rgb_and_the_same_each_time(name: str, size: int) -> None:
    first = some(name, 3)
    picture = Phantom(name, first.values, 3, size)
    again = pickle.loads(pickle.dumps(picture))
    image = picture.open()
    assert image.mode == "RGB" and image.size == (size, size)
    assert again == picture and hash(again) == hash(picture)
    assert again.open().tobytes() == image.tobytes()
    assert np.asarray(image).std() > 10
    other = Phantom(name, first.values, 4, size)
    assert other.fingerprint != picture.fingerprint
    assert other.open().tobytes() != image.tobytes()


def test_the_pictures_of_all_fields_have_fingerprints_of_their_own() -> None:
    found = {
        Phantom(name, tuple(a.values()), seed, size).fingerprint
        for name, modality in MODALITIES.items()
        for a in modality.combinations()
        for seed in (0, 1)
        for size in (64, 128)
    }
    assert len(found) == 4 * sum(len(list(m.combinations())) for m in MODALITIES.values())
    assert "brain phantom 7" in str(some("brain", 7))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("hand", ("none",), 0), "no phantom 'hand'"),
        (("lesion", ("green", "small", "regular", "none", "equal", "zero"), 0), "can show green"),
        (("lesion", ("red",), 0), "can show red"),
        (("lesion", ("red", "small", "regular", "none", "equal", "zero"), 0, 65), "65 pixels"),
        (("lesion", ("red", "small", "regular", "none", "equal", "zero"), 0, 24), "24 pixels"),
        (("chest", ("left", "none", "none", "none", "normal", "zero", "zero"), 0), "can show left"),
    ],
)
def test_what_cannot_be_drawn(fields: tuple, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Phantom(*fields)


@pytest.mark.parametrize("name", MODALITIES)
def test_a_saved_file_says_that_there_is_no_patient(name: str, tmp_path: Path) -> None:
    picture = some(name, 1)
    save(picture, tmp_path / "picture.png")
    read = Image.open(tmp_path / "picture.png")
    assert read.text == {"Comment": NOTICE, "Description": picture.fingerprint}
    assert "no patient" in NOTICE
    assert read.convert("RGB").tobytes() == picture.open().tobytes()
    assert png_bytes(picture) == png_bytes(picture)
    assert Image.open(io.BytesIO(png_bytes(picture))).format == "PNG"


# ---- what is to be seen -------------------------------------------------------------------------


def features(name: str, attributes: dict[str, str], seed: int) -> list[np.ndarray]:
    """The pixels at half size; how many pixels stand out from those around by how much, in each
    channel; how many edges run in which direction; and how many dots there are."""
    image = pixels(name, attributes, seed)
    contrast = image - uniform_filter(image, (9, 9, 1))
    bins = np.linspace(-120, 120, 33)
    standing_out = [np.histogram(contrast[:, :, c], bins)[0] for c in range(3)]
    down, across = np.gradient(gaussian_filter(image.mean(axis=2), 1.0))
    turn, steep = np.arctan2(down, across) % np.pi, np.hypot(down, across)
    edges = np.histogram(turn, 16, (0, np.pi), weights=np.minimum(steep, 20))[0]
    half = image[::2, ::2].ravel() + image[1::2, 1::2].ravel()
    return [half, np.sqrt(standing_out).ravel(), edges, dots(image)]


def dots(image: np.ndarray) -> np.ndarray:
    """How many small round things there are, lighter or darker than what is around them, by how
    much they stand out."""
    stands_out = gaussian_filter(image, (1.2, 1.2, 0)) - gaussian_filter(image, (3, 3, 0))
    found = []
    for sign in (1, -1):
        peaks = sign * stands_out
        highest = (maximum_filter(peaks, (5, 5, 1)) == peaks)[2:-2, 2:-2]
        for least in (10, 16, 24, 34, 46):
            found.append((highest & (peaks[2:-2, 2:-2] > least)).sum(axis=(0, 1)))
    return np.concatenate(found)


def told_apart(name: str, kinds: list[dict[str, str]], drawn: int = 50) -> float:
    """Accuracy of ridge regression on features, on other pictures than those it was fitted to;
    anatomy, position, light and noise differ from picture to picture."""
    gram, cross = 0.0, 0.0
    found = [
        [features(name, k, seed) for k in kinds for seed in range(first, first + drawn)]
        for first in (0, 10_000)
    ]
    for part, weight in enumerate((0.3, 0.5, 0.5, 1.0)):
        fitted, asked = (np.array([f[part] for f in side], dtype=float) for side in found)
        centre, scale = fitted.mean(axis=0), np.sqrt(fitted.var(axis=0).sum())
        fitted, asked = weight * (fitted - centre) / scale, weight * (asked - centre) / scale
        gram, cross = gram + fitted @ fitted.T, cross + asked @ fitted.T
    kind = np.repeat(np.arange(len(kinds)), drawn)
    wanted = np.eye(len(kinds))[kind] - 1 / len(kinds)
    weights = np.linalg.solve(gram + 0.5 * np.eye(len(gram)), wanted)
    return float((np.argmax(cross @ weights, axis=1) == kind).mean())


def alike(name: str, attribute: str) -> list[dict[str, str]]:
    """Attributes that differ in ``attribute`` alone, by as many values as can be."""
    groups = defaultdict(list)
    for a in MODALITIES[name].combinations():
        groups[tuple(v for k, v in a.items() if k != attribute)].append(a)
    most = max(len(group) for group in groups.values())
    return random.Random(attribute).choice([g for g in groups.values() if len(g) == most])


@pytest.mark.parametrize(
    ("name", "attribute"), [(n, a) for n, m in MODALITIES.items() for a in m.values]
)
def test_each_attribute_can_be_seen(name: str, attribute: str) -> None:
    kinds = alike(name, attribute)
    assert len(kinds) > 1
    assert told_apart(name, kinds) > 1 / len(kinds) + 0.25


@pytest.mark.parametrize(
    ("name", "without", "with_it"),
    [
        ("chest", CHEST | {"heart": "enlarged"}, CHEST | OPACITY | {"heart": "enlarged"}),
        ("chest", CHEST | OPACITY, CHEST | OPACITY | {"density": "dense"}),
        ("chest", CHEST, CHEST | {"left nodules": "one"}),
        ("brain", BRAIN, BRAIN | MASS),
        ("brain", BRAIN | MASS, BRAIN | MASS | {"mass": "solid"}),
        ("brain", BRAIN, BRAIN | {"spots": "one"}),
        ("fundus", FUNDUS | {"disc": "pale"}, FUNDUS | {"disc": "pale", "cup": "large"}),
        ("lesion", LESION | {"size": "small"}, LESION | {"size": "small", "border": "irregular"}),
    ],
)
def test_what_is_faint_can_be_seen(
    name: str, without: dict[str, str], with_it: dict[str, str]
) -> None:
    assert told_apart(name, [without, with_it]) > 0.75


# ---- where it is to be seen ---------------------------------------------------------------------


def change(name: str, before: dict[str, str], after: dict[str, str], seed: int) -> np.ndarray:
    """How much each pixel changes, 0 to 255."""
    return np.abs(pixels(name, after, seed) - pixels(name, before, seed)).max(axis=2)


def test_the_patients_right_is_on_the_left_of_the_picture() -> None:
    for seed in range(10):
        for before, after in (
            (CHEST, OPACITY),
            (CHEST, {"effusion": "left"}),
            (CHEST, {"left nodules": "two"}),
            (BRAIN, MASS),
            (BRAIN, {"ventricles": "larger left"}),
        ):
            name = "chest" if before is CHEST else "brain"
            mirrored = {
                key.replace("left", "right"): value.replace("left", "right")
                for key, value in after.items()
            }
            moved = change(name, before, before | after, seed) > 20
            assert moved[:, 32:].sum() > 5 * moved[:, :32].sum()
            moved = change(name, before, before | mirrored, seed) > 20
            assert moved[:, :32].sum() > 5 * moved[:, 32:].sum()


def test_the_heart_points_to_the_patients_left_and_the_disc_to_the_nose() -> None:
    for seed in range(10):
        grown = change("chest", CHEST, CHEST | {"heart": "enlarged"}, seed) > 20
        assert grown[:, 32:].sum() > grown[:, :32].sum()
        disc = pixels("fundus", FUNDUS, seed)[:, :, 2]  # blue is bright in the disc alone
        assert disc[16:48, 36:].max() > 1.5 * disc[16:48, 6:28].mean() + 40
        columns = np.argwhere(disc > 0.8 * disc.max())[:, 1]
        assert np.median(columns) > 34
        columns = np.argwhere(
            (left := pixels("fundus", FUNDUS | {"eye": "left"}, seed)[:, :, 2]) > 0.8 * left.max()
        )[:, 1]
        assert np.median(columns) < 30


@pytest.mark.parametrize(
    ("name", "before", "after", "rows", "columns"),
    [
        (
            "chest",
            CHEST,
            {"opacity": "right", "zone": "upper", "density": "dense"},
            (4, 36),
            (2, 32),
        ),
        ("chest", CHEST, {"effusion": "right"}, (32, 60), (0, 32)),
        ("brain", BRAIN, {**MASS, "lobe": "occipital", "side": "right"}, (34, 62), (4, 34)),
        ("brain", BRAIN, {"ventricles": "larger right"}, (16, 50), (16, 36)),
        ("fundus", FUNDUS, {"upper haemorrhages": "two"}, (0, 32), (4, 60)),
        ("fundus", FUNDUS, {"lower haemorrhages": "two"}, (32, 64), (4, 60)),
        ("fundus", FUNDUS, {"cup": "large"}, (20, 44), (34, 58)),
        ("lesion", LESION, {"darker part": "centre"}, (14, 50), (14, 50)),
        ("lesion", LESION, {"bulge": "top"}, (0, 32), (10, 54)),
    ],
)
def test_a_change_stays_where_it_belongs(
    name: str,
    before: dict[str, str],
    after: dict[str, str],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    """Pictures of one seed are the same pixel for pixel where the attributes say the same."""
    for seed in range(8):
        changed = change(name, before, before | after, seed)
        inside = np.zeros_like(changed, dtype=bool)
        inside[slice(*rows), slice(*columns)] = True
        assert changed[inside].max() > 40
        assert changed[~inside].max() == 0
