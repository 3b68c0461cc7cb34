"""What every effect promises; a new file in faceparts/effects is tested here at once."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_type_hints

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn import drawn_face
from faceparts import folder
from faceparts import labels as label_sets
from faceparts.types import Effect, Face, Image

PACKAGE = "faceparts.effects"
effects = pytest.mark.parametrize("name", folder.names(PACKAGE))


def effect_class(name: str) -> Any:
    return folder.load(PACKAGE, name).EFFECT


def make(name: str) -> Effect:
    return effect_class(name)()  # type: ignore[no-any-return]  # loaded by name


def visible(picture: NDArray[np.uint8], image: Image) -> NDArray[np.uint8]:
    """The picture's RGB, with whatever it made transparent left as it was."""
    if picture.shape[2] == 3:
        return picture
    return np.where(picture[..., 3:] > 0, picture[..., :3], image)


def test_the_effects_there_are() -> None:
    assert {"solid", "mosaic", "blur", "cutout", "recolor", "overlay"} <= set(folder.names(PACKAGE))


@effects
def test_is_a_frozen_dataclass_with_one_line_of_help(name: str) -> None:
    kind = effect_class(name)
    assert dataclasses.is_dataclass(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().anything = 1
    assert "__doc__" in vars(kind)
    assert kind.__doc__.endswith(".")
    assert "\n" not in kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    assert inspect.getmodule(kind).__doc__


@effects
def test_fields_are_flags(name: str) -> None:
    kind = effect_class(name)
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        assert hints[field.name] in (str, int, float, bool), field.name
        assert isinstance(field.default, hints[field.name]), field.name
        assert field.metadata["help"], field.name


@effects
def test_no_faces_gives_an_equal_copy(name: str) -> None:
    for hw in ((1, 1), (3, 500), (160, 200)):
        image = np.random.default_rng(1).integers(0, 256, (*hw, 3), dtype=np.uint8)
        got = make(name)(image, [])
        assert np.array_equal(got, image)
        assert not np.shares_memory(got, image)


@effects
def test_faces_may_be_given_one_after_the_other(name: str) -> None:
    """A generator is used up by looking at it: nothing may be left unhidden for that."""
    image, face = drawn_face()
    wanted = make(name)(image, [face])
    assert not np.array_equal(wanted[..., :3], image)
    assert np.array_equal(make(name)(image, (f for f in [face])), wanted)  # type: ignore[arg-type]


@effects
def test_input_stays_as_it_was(name: str) -> None:
    image, face = drawn_face()
    before, labels = image.copy(), face.labels.copy()
    got = make(name)(image, [face])
    assert np.array_equal(image, before)
    assert np.array_equal(face.labels, labels)
    assert not np.shares_memory(got, image)
    image.flags.writeable = False
    assert np.array_equal(make(name)(image, [face]), got)
    assert got.flags.writeable


@effects
def test_something_happens_and_only_near_the_head(name: str) -> None:
    image, face = drawn_face((300, 400), (250, 120), (60, 80))
    got = make(name)(image, [face])
    assert got.dtype == np.uint8
    assert got.shape[:2] == image.shape[:2]
    assert got.shape[2] in (3, 4)
    assert not np.array_equal(got[..., :3], image)
    x0, y0, x1, y1 = face.head.box_xyxy
    near = np.zeros((300, 400), bool)
    near[int(y0 - 25) : int(y1 + 25), int(x0 - 25) : int(x1 + 25)] = True
    assert np.array_equal(visible(got, image)[~near], image[~near])


@effects
@pytest.mark.parametrize(
    "center_xy",
    [(0, 80), (200, 80), (100, 0), (100, 160), (0, 0), (-300, 80), (100, 900), (205, 165)],
)
def test_heads_half_and_fully_outside(name: str, center_xy: tuple[float, float]) -> None:
    image, face = drawn_face(center_xy=center_xy)
    got = make(name)(image, [face])
    assert got.shape[:2] == image.shape[:2]


@effects
@pytest.mark.parametrize("hw", [(1, 1), (1, 40), (40, 1), (7, 5), (601, 33)])
def test_any_picture_size(name: str, hw: tuple[int, int]) -> None:
    image, face = drawn_face(hw, (hw[1] / 2, hw[0] / 2), (max(hw[1], 2), max(hw[0], 2)))
    assert make(name)(image, [face]).shape[:2] == hw


@effects
@pytest.mark.parametrize("size_px", [1.5, 3, 8, 20])
def test_tiny_heads(name: str, size_px: float) -> None:
    image, face = drawn_face((40, 40), (20.3, 19.6), (size_px, size_px))
    assert make(name)(image, [face]).shape[:2] == (40, 40)


@effects
@pytest.mark.parametrize("set_name", ["celeba19", "bisenet19", "lapa11", "lfw3", "fasseg6"])
def test_any_label_set_with_hair_and_face(name: str, set_name: str) -> None:
    image, face = drawn_face(label_set=label_sets.get(set_name))
    assert not np.array_equal(make(name)(image, [face])[..., :3], image)


@effects
def test_many_faces(name: str) -> None:
    image = drawn_face()[0]
    faces: list[Face] = [drawn_face(center_xy=(x, 80), seed=x)[1] for x in (40, 90, 120, 190)]
    assert make(name)(image, faces).shape[:2] == image.shape[:2]


@effects
def test_same_again(name: str) -> None:
    image, face = drawn_face(roll_deg=20)
    assert np.array_equal(make(name)(image, [face]), make(name)(image, [face]))


@effects
def test_face_of_another_picture_is_refused(name: str) -> None:
    image, face = drawn_face()
    with pytest.raises(ValueError, match=r"face 0 was found in a picture of \(160, 200\)"):
        make(name)(image[1:], [face])
