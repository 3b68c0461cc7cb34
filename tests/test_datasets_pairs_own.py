"""``pairs``: own masks, CVAT exports and labelme files, and every way to get them wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_folders import draw, save, write_pairs, write_pairs_cvat, write_pairs_labelme
from faceparts import labels
from faceparts.datasets import _description, _labelme, pairs
from faceparts.datasets._pairs import Gap
from faceparts.errors import BadData
from faceparts.types import IGNORE

RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
GREY = np.full((1, 3, 3), 90, np.uint8)


def masks(root: Path, toml: str, mask: Any, *, name: str = "a", tail: str = ".png") -> Path:
    """One grey picture of 3 x 1 pixels with its mask."""
    save(root / "images" / f"{name}.jpg", GREY)
    save(root / "masks" / f"{name}{tail}", np.uint8(mask))
    (root / "pairs.toml").write_text(toml)
    return root


def test_colours_make_a_set_of_their_own(tmp_path: Path) -> None:
    toml = 'name = "mine"\n[parts]\nhorn = [255, 0, 0]\nbackground = [0, 0, 0]\ntail = [0, 255, 0]'
    own = pairs.load(masks(tmp_path, toml, [[RED, GREEN, BLACK]]), "all")
    assert own.label_set.name == "mine"
    assert own.label_set.parts == ("background", "horn", "tail")
    assert own[0].labels.tolist() == [[1, 2, 0]]
    assert own[0].key == "a"


def test_ids_several_colours_and_what_is_unknown(tmp_path: Path) -> None:
    toml = "[parts]\nbackground = 0\nhair = 13\nhat = 200\nunknown = 7"
    own = pairs.load(masks(tmp_path / "ids", toml, [[13, 7, 200]]), "all")
    assert own[0].labels.tolist() == [[1, IGNORE, 2]]
    toml = "[parts]\nbackground = [0, 0, 0]\nhair = [[255, 0, 0], [0, 255, 0]]"
    own = pairs.load(masks(tmp_path / "colours", toml, [[RED, GREEN, BLACK]]), "all")
    assert own[0].labels.tolist() == [[1, 1, 0]]
    assert own.label_set is labels.HAIR2


def test_soft_colours(tmp_path: Path) -> None:
    toml = "max_distance = 40\n[parts]\nbackground = [0, 0, 0]\nhair = [255, 0, 0]"
    own = pairs.load(masks(tmp_path, toml, [[(240, 9, 9), (120, 0, 0), (9, 0, 0)]]), "all")
    assert own[0].labels.tolist() == [[1, IGNORE, 0]]


def test_samples_in_another_set(tmp_path: Path) -> None:
    toml = 'label_set = "lfw3"\n[parts]\nbackground = 0\nnose = 1\nhat = 2'
    own = pairs.load(masks(tmp_path, toml, [[0, 1, 2]]), "all")
    assert own.label_set is labels.LFW3
    assert own[0].labels.tolist() == [[0, labels.LFW3.id("face"), IGNORE]]
    own = pairs.load(masks(tmp_path, f'rest = "background"\n{toml}', [[0, 1, 2]]), "all")
    assert own[0].labels.tolist() == [[0, labels.LFW3.id("face"), 0]]


def test_the_viewers_left_becomes_the_subjects(tmp_path: Path) -> None:
    toml = '{}name = "eyes2"\n[parts]\nbackground = 0\nleft_eye = 1\nright_eye = 2'
    own = pairs.load(masks(tmp_path / "a", toml.format(""), [[1, 0, 2]]), "all")
    theirs = pairs.load(masks(tmp_path / "b", toml.format('left = "viewer"\n'), [[1, 0, 2]]), "all")
    assert own.label_set == theirs.label_set
    assert own[0].labels.tolist() == [[1, 0, 2]]
    assert theirs[0].labels.tolist() == [[2, 0, 1]]


def test_deep_folders_tails_and_masks_beside_the_pictures(tmp_path: Path) -> None:
    toml = 'images = "x"\nmasks = "x"\nmask_tail = "_m.png"\n[parts]\nbackground = 0\nhair = 1'
    for name in ("b/2", "b/10", "a"):
        save(tmp_path / "x" / f"{name}.png", GREY)
        save(tmp_path / "x" / f"{name}_m.png", np.uint8([[0, 1, 0]]))
    (tmp_path / "pairs.toml").write_text(toml)
    own = pairs.load(tmp_path, "all")
    assert [p.key for p in own.pairs] == ["a", "b/10", "b/2"]
    assert own[1].labels.tolist() == [[0, 1, 0]]


def test_lists_make_splits(tmp_path: Path) -> None:
    toml = '[parts]\nbackground = 0\n[splits]\ntrain = "lists/train.txt"\nval = "val.txt"'
    for name in ("a", "b.c", "d"):
        masks(tmp_path, toml, [[0, 0, 0]], name=name)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text("d\nb.c\n")
    (tmp_path / "val.txt").write_text("a.jpg\n")
    assert [p.key for p in pairs.load(tmp_path, "train").pairs] == ["d", "b.c"]
    assert [p.key for p in pairs.load(tmp_path, "val").pairs] == ["a"]
    assert [p.key for p in pairs.load(tmp_path, "all").pairs] == ["a", "b.c", "d"]
    with pytest.raises(BadData, match="pairs: no split 'test'; there are: all, train, val"):
        pairs.load(tmp_path, "test")
    (tmp_path / "val.txt").write_text("e.jpg\n")
    with pytest.raises(BadData, match=r"val\.txt: 'e\.jpg' is no picture of the folder"):
        pairs.load(tmp_path, "val")
    (tmp_path / "val.txt").unlink()
    with pytest.raises(BadData, match=r"val\.txt: missing; it is named in pairs\.toml"):
        pairs.load(tmp_path, "val")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[parts", r"pairs\.toml: not TOML"),
        ("a = " + "[" * 5000, r"pairs\.toml: not TOML"),
        ("colour = 3", r"pairs\.toml: unknown key 'colour'; known: kind, name, images"),
        ("parts = 3", r"parts is 3; wanted a table \[parts\]"),
        ('left = "right"', r"left is 'right'; wanted 'subject' or 'viewer'"),
        ('kind = "coco"', r"kind is 'coco'; wanted 'masks' or 'cvat' or 'labelme'"),
        ('rest = "skin"', r"rest is 'skin'; wanted 'unknown' or 'background'"),
        ("name = 3", r"name is 3; wanted text"),
        ("max_distance = -1", r"max_distance is -1; wanted a number from 0 to 442"),
        ("max_distance = true", r"max_distance is True; wanted a number"),
        ("[splits]\ntrain = 3", r"splits\.train is 3; wanted text"),
        ("[parts]\nhair = 256", r"parts\.hair is 256; wanted an id 0\.\.255, a colour"),
        ("[parts]\nhair = [1, 2]", r"parts\.hair is \[1, 2\]; wanted an id"),
        ("[parts]\nhair = []", r"parts\.hair is \[\]; wanted an id"),
        ("[parts]\nhair = true", r"parts\.hair is True; wanted an id"),
        ("[parts]\nhair = 1", r"no 'background' among hair; name one so, or with \[rename\]"),
        ("[parts]\nbackground = 0\nhair = 0", r"two of the \[parts\] share an id or a colour"),
        ("[parts]\nbackground = 0\nhair = [1, 2, 3]", r"\[parts\] mixes ids and colours"),
        ('kind = "masks"', r"pairs\.toml: no \[parts\]; wanted part names"),
        (
            'label_set = "celeba"\n[parts]\nbackground = 0',
            r"pairs\.toml: no label set 'celeba'; there are: bisenet19",
        ),
        (
            'name = "lfw3"\n[parts]\nbackground = 0\nhorn = 1',
            r"pairs\.toml: the name 'lfw3' belongs to another label set",
        ),
        ('masks = "no"\n[parts]\nbackground = 0', r"no: no such folder; say in pairs\.toml where"),
    ],
)
def test_descriptions_that_do_not_hold(toml: str, message: str, tmp_path: Path) -> None:
    masks(tmp_path, toml, [[0, 0, 0]])
    with pytest.raises(BadData, match=message):
        pairs.load(tmp_path, "all")


def test_descriptions_that_are_no_text_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pairs.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadData, match=r"pairs\.toml: not TOML"):
        pairs.load(tmp_path, "all")
    monkeypatch.setattr(_description, "MAX_BYTES", 1)
    with pytest.raises(BadData, match=r"pairs\.toml: over 1 bytes"):
        pairs.load(tmp_path, "all")


def test_too_many_colours(tmp_path: Path) -> None:
    colours = [[i, 0, 1] for i in range(256)]
    masks(tmp_path, f"[parts]\nbackground = [0, 0, 0]\nhair = {colours}", [[0, 0, 0]])
    with pytest.raises(BadData, match=r"257 colours; wanted at most 255"):
        pairs.load(tmp_path, "all")


def test_masks_that_nothing_explains(tmp_path: Path) -> None:
    own = pairs.load(
        masks(tmp_path / "ids", "[parts]\nbackground = 0\nhair = 9", [[0, 9, 4]]), "all"
    )
    with pytest.raises(BadData, match=r"a\.png: id 4 is none of 0, 9, 255; add it to \[parts\]"):
        own[0]
    toml = "[parts]\nbackground = [0, 0, 0]\nhair = [255, 0, 0]"
    own = pairs.load(masks(tmp_path / "colours", toml, [[RED, BLACK, GREEN]]), "all")
    with pytest.raises(BadData, match=r"a\.png: colour 0,255,0 at x 2, y 0 is none"):
        own[0]


def test_pictures_and_masks_without_each_other(tmp_path: Path) -> None:
    root = masks(tmp_path, "[parts]\nbackground = 0", [[0, 0, 0]])
    (root / "masks" / "a.png").unlink()
    with pytest.raises(BadData, match=r"a\.jpg: no mask .*a\.png; make one, or move the picture"):
        pairs.load(root, "all")
    (root / "images" / "a.jpg").unlink()
    with pytest.raises(BadData, match="no pairs in it; see the docstring"):
        pairs.load(root, "all")


@pytest.mark.parametrize("name", ['""', '" "', '"a\\nb"', '"a\\u001b[31m"'])
def test_part_names_that_are_no_plain_text(name: str, tmp_path: Path) -> None:
    masks(tmp_path, f"[parts]\nbackground = 0\n{name} = 1", [[0, 0, 0]])
    with pytest.raises(BadData, match=r"pairs\.toml: the part name .* is no plain text"):
        pairs.load(tmp_path, "all")


def test_too_many_parts(tmp_path: Path) -> None:
    names = [f"p{i}" for i in range(255)]
    (tmp_path / "labels.txt").write_text("\n".join(names))
    labelme(tmp_path, box("p1", (0, 0), (1, 1)))
    with pytest.raises(BadData, match=r"labels\.txt: 256 parts; wanted at most 255"):
        pairs.load(tmp_path, "all")
    (tmp_path / "labels.txt").write_text("\n".join(names[:-1]))
    assert pairs.load(tmp_path, "all")[0].labels.max() == 2


def test_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"no pairs\.toml with \[parts\], no labelmap\.txt of CVAT"):
        pairs.load(tmp_path, "all")


def test_cvat_lists_and_renamed_labels(tmp_path: Path) -> None:
    for key in ("1", "2"):
        write_pairs_cvat(tmp_path, "all", key, draw(int(key)))
    assert [p.key for p in pairs.load(tmp_path, "default").pairs] == ["1", "2"]
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("2\n")
    assert [p.key for p in pairs.load(tmp_path, "val").pairs] == ["2"]
    text = (tmp_path / "labelmap.txt").read_text().replace("hair:", "Hair (all):")
    (tmp_path / "labelmap.txt").write_text(text.replace("hat:", "Cap:"))
    (tmp_path / "pairs.toml").write_text('[rename]\n"Hair (all)" = "hair"\nCap = "hair"\n')
    own = pairs.load(tmp_path, "all")
    assert len(own.label_set.parts) == 18
    hair = own[0].labels == own.label_set.id("hair")
    assert np.array_equal(hair, draw(1).ids == labels.CELEBA19.id("hair"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("background:0,0,0\n", r"labelmap\.txt: row 1 has 2 fields; wanted 4"),
        ("background:0,0::\n", r"labelmap\.txt: colour '0,0' of background: wanted r,g,b"),
        ("background:0,0,x::\n", r"labelmap\.txt: colour '0,0,x' of background: wanted r,g,b"),
        ("hair:1,2,3::\n", r"labelmap\.txt: no 'background' among hair"),
        ("# only a comment:::\n", r"labelmap\.txt: no 'background' among no names"),
        ("background:0,0,0::\nhair:0,0,0::\n", r"labelmap\.txt: two labels share a colour"),
    ],
)
def test_cvat_label_maps_that_do_not_read(text: str, message: str, tmp_path: Path) -> None:
    write_pairs_cvat(tmp_path, "all", "1", draw(1))
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(BadData, match=message):
        pairs.load(tmp_path, "all")


def test_cvat_without_pictures(tmp_path: Path) -> None:
    for key in ("1", "2"):
        write_pairs_cvat(tmp_path, "all", key, draw(1))
    (tmp_path / "JPEGImages" / "2.jpg").unlink()
    with pytest.raises(BadData, match=r"2\.png: no picture 2 in .*JPEGImages; export with 'Save"):
        pairs.load(tmp_path, "all")
    (tmp_path / "JPEGImages" / "1.jpg").unlink()
    with pytest.raises(
        BadData, match=r"JPEGImages: no pictures in it; export from CVAT with 'Save"
    ):
        pairs.load(tmp_path, "all")


def labelme(root: Path, *shapes: dict[str, Any], **content: Any) -> Path:
    save(root / "a.jpg", np.full((3, 4, 3), 90, np.uint8))
    size = {"imageHeight": 3, "imageWidth": 4}
    (root / "a.json").write_text(json.dumps({**size, "shapes": shapes, **content}))
    return root


def box(label: str, *points: tuple[float, float], kind: str = "rectangle") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind}


def test_labelme_shapes_lie_on_top_of_each_other(tmp_path: Path) -> None:
    root = labelme(
        tmp_path,
        box("hair", (0, 0), (3, 2)),
        box("hat", (2, 2), (1, 0)),
        box("__ignore__", (2, 1), (4, 3)),
        box("_background_", (0, 0), (1, 1)),
    )
    own = pairs.load(root, "all")
    assert own.label_set.parts == ("background", "hair", "hat")
    assert own[0].labels.tolist() == [[0, 2, 1, 0], [1, 2, 255, 255], [0, 0, 255, 255]]


def test_labelme_circles(tmp_path: Path) -> None:
    """Around the middle of a 4 x 3 picture, radius 1.2: the plus of pixels around (1.5, 1.5)."""
    own = pairs.load(labelme(tmp_path, box("hair", (1.5, 1.5), (2.7, 1.5), kind="circle")), "all")
    assert own[0].labels.tolist() == [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]]


def test_labelme_names_from_a_list_and_renamed(tmp_path: Path) -> None:
    root = labelme(tmp_path, box("Hair", (0, 0), (1, 1)))
    (root / "labels.txt").write_text("__ignore__\n_background_\nhat\nHair\n")
    (root / "pairs.toml").write_text('[rename]\nHair = "hair"\n')
    own = pairs.load(root, "all")
    assert own.label_set.parts == ("background", "hat", "hair")
    assert own[0].labels.max() == 2


def test_labelme_two_files_and_their_pictures(tmp_path: Path) -> None:
    labelme(tmp_path / "x", box("hair", (0, 0), (1, 1)))
    labelme(tmp_path / "y", box("beard", (0, 0), (1, 1)))
    own = pairs.load(tmp_path, "all")
    assert [p.key for p in own.pairs] == ["x/a", "y/a"]
    assert own.label_set.parts == ("background", "beard", "hair")
    (tmp_path / "y" / "a.jpg").rename(tmp_path / "y" / "a.PNG")
    assert pairs.load(tmp_path, "all").pairs[1].image.name == "a.PNG"
    (tmp_path / "y" / "a.PNG").unlink()
    with pytest.raises(BadData, match=r"a\.json: no picture a\.jpg, \.png \.\.\. beside it"):
        pairs.load(tmp_path, "all")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"a\.json: not JSON"),
        ("[]", r"a\.json: no list 'shapes' in it"),
        ('{"shapes": 3}', r"a\.json: no list 'shapes' in it"),
        ('{"shapes": [{"points": []}]}', r"a\.json: shape 1 has no label"),
        ('{"shapes": [3]}', r"a\.json: shape 1 has no label"),
    ],
)
def test_labelme_files_that_do_not_read(content: str, message: str, tmp_path: Path) -> None:
    labelme(tmp_path)
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(BadData, match=message):
        pairs.load(tmp_path, "all")


def test_labelme_files_that_are_gone_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pairs.load(labelme(tmp_path, box("hair", (0, 0), (1, 1))), "all")
    monkeypatch.setattr(_labelme, "MAX_BYTES", 3)
    with pytest.raises(BadData, match=r"a\.json: missing, or over 3 bytes"):
        own[0]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (box("hair", (0, 0), kind="point"), r"shape 1 is a point of 1 points; wanted a polygon"),
        (box("hair", (0, 0), (1, 1), kind="line"), r"shape 1 is a line of 2 points"),
        (box("hair", (0, 0), (1, 1), kind="polygon"), r"shape 1 is a polygon of 2 points"),
        (box("hair", (0, 0), (1, 1), kind="mask"), r"shape 1 is a mask of 2 points"),
        ({"label": "hair", "points": "x"}, r"points of shape 1 do not read"),
        ({"label": "hair", "points": [[1, 2, 3]]}, r"points of shape 1 do not read"),
        ({"label": "hair", "points": [[10**400, 2]]}, r"points of shape 1 do not read"),
        (box("hair", (0, 0), (1, float("nan"))), r"a point of shape 1 is far outside"),
        (box("hair", (0, 0), (1, 1e9)), r"a point of shape 1 is far outside"),
        ({"label": "hair"}, r"shape 1 is a polygon of|points of shape 1 do not read"),
    ],
)
def test_labelme_shapes_without_area(shape: dict[str, Any], message: str, tmp_path: Path) -> None:
    own = pairs.load(labelme(tmp_path, shape), "all")
    with pytest.raises(BadData, match=message):
        own[0]


@pytest.mark.parametrize(("height", "width"), [(None, 4), (0, 4), (-3, -4), (3, "4"), (1e3, 4)])
def test_labelme_files_without_a_size(height: Any, width: Any, tmp_path: Path) -> None:
    root = labelme(tmp_path, box("hair", (0, 0), (1, 1)), imageHeight=height, imageWidth=width)
    with pytest.raises(BadData, match=r"a\.json: imageHeight .*wanted whole numbers"):
        pairs.load(root, "all")[0]


def test_labelme_sizes_are_checked_before_they_are_allocated(tmp_path: Path) -> None:
    root = labelme(tmp_path, box("hair", (0, 0), (1, 1)), imageHeight=10**6, imageWidth=10**6)
    with pytest.raises(BadData, match=r"wanted whole numbers of at most 178000000 pixels together"):
        pairs.load(root, "all")[0]


def test_labelme_label_that_is_not_on_the_list(tmp_path: Path) -> None:
    root = labelme(tmp_path, box("hair", (0, 0), (1, 1)))
    (root / "labels.txt").write_text("hat\n")
    with pytest.raises(
        BadData, match=r"a\.json: label 'hair' of shape 1 is none of background, hat"
    ):
        pairs.load(root, "all")[0]


def test_labelme_size_of_another_picture(tmp_path: Path) -> None:
    root = labelme(tmp_path, box("hair", (0, 0), (1, 1)), imageHeight=4)
    with pytest.raises(BadData, match=r"a\.json: 4x4 labels for a picture of 4x3"):
        pairs.load(root, "all")[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(points=JSON, kind=JSON, height=JSON | st.integers(1, 9), width=JSON | st.integers(1, 9))
def test_damaged_labelme_files_are_bad_data_or_labels(
    points: Any, kind: Any, height: Any, width: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    shape = {"label": "hair", "points": points, "shape_type": kind}
    content = {"imageHeight": height, "imageWidth": width, "shapes": [shape]}
    path.write_text(json.dumps(content))
    try:
        drawn = _labelme.draw_shapes(path, {"hair": 1})
    except BadData as error:
        assert "fuzz.json: " in str(error)
    else:
        assert drawn.shape == (height, width)


def inside(x: float, y: float, points: list[tuple[float, float]]) -> bool:
    """Even-odd rule, one point at a time."""
    odd = False
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 <= y) != (y1 <= y) and x >= x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            odd = not odd
    return odd


coordinate = st.integers(-12, 40).map(lambda i: i / 4 + 0.1)


@settings(max_examples=80, deadline=None)
@given(points=st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=7))
def test_polygons_hold_the_pixels_whose_centres_they_hold(
    points: list[tuple[float, float]],
) -> None:
    ids = np.zeros((7, 8), np.uint8)
    _labelme.fill_polygon(ids, np.array(points), 5)
    expected = [[5 * inside(x + 0.5, y + 0.5, points) for x in range(8)] for y in range(7)]
    assert ids.tolist() == expected


def test_the_three_forms_agree(tmp_path: Path) -> None:
    for write, name in (
        (write_pairs, "masks"),
        (write_pairs_cvat, "cvat"),
        (write_pairs_labelme, "labelme"),
    ):
        write(tmp_path / name, "all", "1", draw(2))
        own = pairs.load(tmp_path / name, "all")
        assert own.label_set is labels.CELEBA19
        assert np.array_equal(own[0].labels, draw(2).ids)


def test_a_check_of_a_list_names_each_picture_that_is_missing_once(tmp_path: Path) -> None:
    toml = '[splits]\nsome = "some.txt"\n[parts]\nbackground = 0\nhair = 1'
    for name in "abc":
        masks(tmp_path, toml, [[0, 1, 0]], name=name)
    (tmp_path / "some.txt").write_text("a.jpg\nb\nnobody\n")
    (tmp_path / "masks" / "a.png").unlink()
    gaps: list[Gap] = []
    own = pairs.load(tmp_path, "some", gaps=gaps)
    assert [pair.key for pair in own.pairs] == ["b"]
    assert [gap.key for gap in gaps] == ["a", "nobody"]
    assert "no mask" in gaps[0].reason
    assert "'nobody' is no picture of the folder" in gaps[1].reason


def test_a_folder_with_gaps_alone_is_no_error_to_a_check(tmp_path: Path) -> None:
    masks(tmp_path, "[parts]\nbackground = 0\nhair = 1", [[0, 1, 0]])
    (tmp_path / "masks" / "a.png").unlink()
    gaps: list[Gap] = []
    assert len(pairs.load(tmp_path, "all", gaps=gaps)) == 0
    assert [gap.key for gap in gaps] == ["a"]


def test_a_check_goes_on_after_a_damaged_labelme_file(tmp_path: Path) -> None:
    for name in ("x", "y"):
        labelme(tmp_path / name, box("hair", (0, 0), (1, 1)))
    damaged = next((tmp_path / "x").glob("*.json"))
    damaged.write_text("{")
    with pytest.raises(BadData, match="not JSON"):
        pairs.load(tmp_path, "all")
    gaps: list[Gap] = []
    own = pairs.load(tmp_path, "all", gaps=gaps)
    assert gaps == []
    assert own.label_set.parts == ("background", "hair")
    with pytest.raises(BadData, match="not JSON"):
        own[0]
    assert own[1].labels.any()
