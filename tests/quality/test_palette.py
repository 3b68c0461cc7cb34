"""Label cleaning on the real FASSEG masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faceparts import _cleaning, _palette
from faceparts.datasets import fasseg
from faceparts.datasets._pairs import read_rgb
from faceparts.labels import FASSEG6
from faceparts.types import IGNORE

PAINT = np.uint8([fasseg.PAINT[part] for part in FASSEG6.parts])
EYES, NOSE, LEFT, RIGHT = FASSEG6.id("eyes"), FASSEG6.id("nose"), 101, 102


@pytest.fixture(scope="module")
def masks(data: Path) -> dict[str, list[Path]]:
    return {v: sorted((data / "fasseg" / v).rglob("*abels/**/*.png")) for v in ("V2", "V3")}


@pytest.mark.parametrize("version", ["V2", "V3"])
def test_one_mask_shows_the_whole_palette(version, masks):
    for path in masks[version][::40]:
        found = _palette.discover_palette([read_rgb(path)])
        assert sorted(found.tolist()) == sorted(PAINT.tolist()), path


@pytest.mark.parametrize(("version", "most"), [("V2", 0.012), ("V3", 0.01)])
def test_little_is_in_doubt_and_grey_levels_move_more(version, most, masks):
    doubtful, moved_by_grey = [], []
    for path in masks[version][::14]:
        image = read_rgb(path)
        ids = _palette.nearest_palette(image, PAINT)
        doubtful.append(np.mean(ids == IGNORE))
        grey = _palette.grey_palette(image, PAINT)
        moved_by_grey.append(np.mean((grey != ids)[ids != IGNORE]))
    assert 0 < np.mean(doubtful) <= most
    assert np.mean(moved_by_grey) > 0.005


def test_profiles_get_the_eye_that_is_seen(data):
    for split in ("v3-train", "v3-test"):
        dataset = fasseg.load(data / "fasseg", split)
        for i, pair in enumerate(dataset.pairs):
            yaw_deg = int(pair.labels.parent.name)
            if abs(yaw_deg) not in (0, 15, 90):
                continue
            ids = _cleaning.split_sides(dataset[i].labels, EYES, LEFT, RIGHT, NOSE)
            areas = {side: np.count_nonzero(ids == side) for side in (LEFT, RIGHT)}
            if abs(yaw_deg) < 90:
                assert min(areas.values()) > 20, pair.key
            else:  # the far eye may be seen, smaller
                seen = LEFT if yaw_deg > 0 else RIGHT
                assert max(areas, key=areas.__getitem__) == seen, pair.key
