"""Head pose: targets, trees, scores, recipes and a whole run on drawn photos."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from drawn import drawn_face
from faceparts import _headpose, _layout
from faceparts.errors import BadData, BadRecipe
from faceparts.labels import CELEBA19, FASSEG6
from faceparts.train import _headpose_classic as classic
from faceparts.train import _headpose_fit as fit
from faceparts.train import _headpose_modern as modern
from faceparts.train import _headpose_teacher as teacher
from faceparts.train import config, headpose_run
from faceparts.train import headpose as pose
from faceparts.train._headpose_pixels import ClassicSettings, make_maps
from faceparts.train._headpose_recipe import Pseudo, recipe_from_table
from faceparts.train._headpose_share import best_share, errors_by_share
from faceparts.train._headpose_vary import _move_border, alter_photos, vary_map
from faceparts.train._kept import Kept, kept_in

RECIPE = config.find_recipe("headpose-fasseg")


def shipped_table() -> dict[str, Any]:
    return tomllib.loads(RECIPE.read_text("utf-8"))


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 25.0])
@pytest.mark.parametrize("pitch", [-20.0, 0.0, 15.0])
@pytest.mark.parametrize("roll", [-10.0, 30.0])
def test_the_pose_of_turned_points(yaw: float, pitch: float, roll: float) -> None:
    points = np.zeros((478, 3))
    for i, (right, left) in enumerate(teacher.PAIRS):
        points[right], points[left] = (-1 - i, i, 0), (1 + i, i, 0)
    points[teacher.TOP], points[teacher.CHIN] = (0, -5, 0), (0, 5, 0)
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    # positive pitch: the back of the head goes down, so its z axis gains y
    about_x = np.array([[1, 0, 0], [0, math.cos(b), math.sin(b)], [0, -math.sin(b), math.cos(b)]])
    about_z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    assert teacher.pose_of_points(points @ (about_y @ about_x).T)[:2] == pytest.approx((yaw, pitch))
    assert teacher.pose_of_points(points @ about_z.T)[2] == pytest.approx(roll)


def test_series_that_are_turned_as_a_whole() -> None:
    yaw = np.array([-30.0, 0, 30, 90, -30, 0, 30, 90])
    owner = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    told = yaw + np.where(owner == 1, 8, -3) + np.array([0, 1, -1, -40, 0, 0, 0, 0])
    rows = fit.Rows(np.zeros((8, 1), np.float32), np.zeros((8, 1), np.float32), yaw, yaw, owner)
    assert pose.session_offsets(rows, told).tolist() == [8] * 4 + [-3] * 4


def test_scores_by_hand() -> None:
    one = pose.score(np.array([1.0, 20.0, -100.0, 44.0]), [0, 30, -90, 75])
    assert one["photos"] == 4
    assert one["mae_deg"] == pytest.approx((1 + 10 + 10 + 31) / 4)
    assert one["pose_mae_deg"] == (0 + 15 + 0 + 30) / 4
    assert one["pose_accuracy"] == 0.5
    assert one["within_15_deg"] == 0.75
    confusion = np.array(one["confusion"])
    assert confusion.sum() == 4
    assert confusion[(30 + 90) // 15, (15 + 90) // 15] == 1
    assert confusion[(75 + 90) // 15, (45 + 90) // 15] == 1


# --- trees ----------------------------------------------------------------------------------------


def drawn_rows(people: int = 4, seed: int = 0) -> fit.Rows:
    """Feature 5 is the yaw, feature 6 the pitch, the rest noise; the mirror negates feature 5."""
    rng = np.random.default_rng(seed)
    count, width = people * 13, len(_layout.column_names())
    yaw = np.tile(np.arange(-90, 91, 15), people).astype(float)
    pitch = rng.uniform(-20, 20, count)
    first = rng.integers(-50, 50, (count, width)).astype(np.float32)
    first[:, 5], first[:, 6] = 10 * yaw, 20 * pitch
    second = first.copy()
    second[:, 5] *= -1
    return fit.Rows(np.rint(first), np.rint(second), yaw, pitch, np.repeat(np.arange(people), 13))


HOW = fit.TreeSettings(20, 20, 1, 1.0)


def test_exported_trees_say_what_scikit_learn_says() -> None:
    rows = drawn_rows()
    fitted = fit.fit_angle(rows, "yaw", HOW, 0)
    trees = fit.to_trees(fitted)
    trees.check(rows.first.shape[1])
    told = [trees.predict(f.astype(np.int16)) for f in rows.first]
    assert told == pytest.approx(fitted.predict(rows.first), abs=1 / _headpose.PER_DEGREE)


def test_support_vectors_say_what_scikit_learn_says() -> None:
    rows = drawn_rows()
    x = np.concatenate([rows.first, rows.second])
    y = np.concatenate([rows.yaw_deg, -rows.yaw_deg])
    svr = fit.fit_svr(x, y, replace(HOW, svr_share=0.5, svr_c=30.0, svr_gamma=0.002))
    svr.check(x.shape[1])
    wanted = make_pipeline(StandardScaler(), SVR(C=30.0, gamma=0.002, epsilon=3.0)).fit(x, y)
    new = drawn_rows(2, seed=5).first
    assert svr.predict(new) == pytest.approx(wanted.predict(new), abs=0.01)


def test_trees_and_support_vectors_share_the_yaw() -> None:
    rows = drawn_rows()
    alone, none = (fit.fit_yaw(rows, replace(HOW, svr_share=s), 0) for s in (1.0, 0.0))
    both = fit.fit_yaw(rows, replace(HOW, svr_share=0.25), 0)
    assert none.svr is None
    told = [model.predict(rows.first) for model in (none, alone, both)]
    assert told[2] == pytest.approx(0.75 * told[0] + 0.25 * told[1], abs=1e-3)
    assert not np.allclose(told[0], told[1], atol=1)
    halves = fit.predict_halves(both, rows)
    for share, model in ((0, none), (0.25, both), (1, alone)):
        wanted = fit.predict_angle(model, rows, "yaw")
        assert halves.at(share) == pytest.approx(wanted, abs=1e-3)
    alike = fit.predict_halves(none, rows)  # no support vectors: trees at every share
    assert alike.at(1) == pytest.approx(alike.at(0))


def test_the_share_of_support_vectors_is_chosen_on_two_kinds_of_people() -> None:
    truth, other = np.arange(-90.0, 91, 15), np.array([-20.0, 10.0])
    # Trees are right and support vectors off for training persons, the other way round for others;
    # two runs whose errors at share 0 and 1 are opposite and so cancel out in the mean.
    left = [fit.Halves(truth, truth * 1.2) for _ in range(2)]
    many = [fit.Halves(other + e, other) for e in (9.0, -3.0)]
    rows = errors_by_share([0.0, 1.0], left, truth, many, other)
    assert [row["share"] for row in rows] == [0, 1]
    # Knots take the stretch of 1.2 back for those they were told from, and bring it to the others.
    assert [row["left_out_mae_deg"] for row in rows] == pytest.approx([0, 0], abs=1e-3)
    assert rows[0]["others_mae_deg"] == pytest.approx(3, abs=1e-3)
    assert rows[1]["others_mae_deg"] == pytest.approx((20 + 10) * (1 - 1 / 1.2) / 2, abs=1e-3)
    alone = errors_by_share([0.0, 1.0], left, truth, [], None)
    assert "others_mae_deg" not in alone[0]
    assert best_share(alone) == 0  # equal: the first


def test_people_left_out_are_told_from_others() -> None:
    rows = drawn_rows()
    told = pose.predict_left_out(rows, rows, None, HOW, 0).at(0)
    assert np.abs(told - rows.yaw_deg).mean() < 8
    # Nobody learns from the person that is told: with wrong labels it changes nothing for itself.
    wrong = np.where(rows.owner == 2, -rows.yaw_deg, rows.yaw_deg)
    varied = replace(rows, yaw_deg=wrong)
    again = pose.predict_left_out(rows, varied, None, HOW, 0).at(0)
    assert again[rows.owner == 2] == pytest.approx(told[rows.owner == 2])
    assert not np.allclose(again, told)


def test_answers_of_the_mirror_are_used() -> None:
    rows = drawn_rows()
    for angle, sign in (("yaw", -1), ("pitch", 1)):
        fitted = fit.fit_angle(rows, angle, HOW, 0)
        swapped = replace(rows, first=rows.second, second=rows.first)
        assert fit.predict_angle(fitted, swapped, angle) == pytest.approx(
            sign * fit.predict_angle(fitted, rows, angle)
        )


def test_too_few_targets() -> None:
    rows = drawn_rows(1)
    with pytest.raises(BadData, match="headpose: 0 rows with a known pitch; wanted at least 10"):
        fit.fit_angle(replace(rows, pitch_deg=np.full(13, np.nan)), "pitch", HOW, 0)


def test_a_tree_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_STEP", 3)
    fitted = fit.fit_angle(drawn_rows(), "yaw", HOW, 0)
    with pytest.raises(BadData, match=r"headpose: a tree of \d+ nodes; wanted a smaller one"):
        fit.to_trees(fitted)


def test_a_person_that_sat_turned_is_turned_back() -> None:
    rows = drawn_rows(5)
    rows = replace(rows, yaw_deg=rows.yaw_deg - np.where(rows.owner == 2, 10, 0))
    learn = {"even_out": True, "seed": 0, "threads": 1}
    yaw = pose.learn_yaw(rows, rows, None, HOW, **learn)
    turned = yaw.report["session_offset_deg"]
    assert turned["02"] == pytest.approx(10, abs=2.5)
    assert all(abs(turned[p]) < 4 for p in ("00", "01", "03", "04"))
    labels = rows.yaw_deg + np.where(rows.owner == 2, 10, 0)
    evened = np.abs(yaw.tell(rows) - labels).mean()
    plain = pose.learn_yaw(rows, rows, None, HOW, **learn | {"even_out": False})
    assert evened < np.abs(plain.tell(rows) - labels).mean()


# --- varied copies --------------------------------------------------------------------------------


def drawn_groups() -> np.ndarray:
    return _layout.group_ids(drawn_face()[1].labels, CELEBA19, "sided")[0]


def test_varied_maps_keep_the_parts_and_are_all_different() -> None:
    ids = drawn_groups()
    rng = np.random.default_rng(0)
    seen = [vary_map(ids, rng) for _ in range(12)]
    ears = {list(_layout.GROUPS).index(n) for n in ("right_ear", "left_ear")}
    for one in seen:
        assert set(np.unique(ids)) - ears <= set(np.unique(one)) <= set(np.unique(ids))
    assert len({one.tobytes() for one in seen}) == 12
    assert np.array_equal(ids, drawn_groups())


def test_without_strength_a_map_only_gets_room() -> None:
    ids = drawn_groups()
    varied = vary_map(ids, np.random.default_rng(0), 0.0)
    pad = (varied.shape[0] - ids.shape[0]) // 2
    h, w = ids.shape
    assert pad > 0
    assert np.array_equal(varied[pad : pad + h, pad : pad + w], ids)
    assert np.count_nonzero(varied != 10) == np.count_nonzero(ids != 10)


def test_borders_move_by_a_radius() -> None:
    skin, hair = list(_layout.GROUPS).index("skin"), list(_layout.GROUPS).index("hair")
    ids = np.full((20, 20), skin, np.uint8)
    ids[:8] = hair
    ids[19] = 10
    for radius, rows in ((2.0, 10), (-3.0, 5), (0.5, 8)):
        moved = ids.copy()
        _move_border(moved, hair, skin, radius)
        assert (moved == hair).sum(axis=0).tolist() == [rows] * 20
        assert (moved[19] == 10).all()
    small = np.full((9, 9), skin, np.uint8)
    small[4, 4] = hair
    _move_border(small, hair, skin, -1.0)
    assert small[4, 4] == hair  # nothing vanishes


def test_rows_of_copies_belong_to_their_owners() -> None:
    labels = [drawn_face()[1].labels, np.zeros((40, 40), np.uint8), np.zeros((0, 0), np.uint8)]
    seen = [pose.features_of(ids, CELEBA19, "sided") for ids in labels]
    rows = fit.Rows(
        np.array([s[0] for s in seen], np.float32),
        np.array([s[1] for s in seen], np.float32),
        np.array([15.0, 30.0, 45.0]),
        np.array([1.0, 2.0, 3.0]),
        np.array([7, 8, 9]),
    )
    sources = [pose.source_of(ids, CELEBA19, "sided", False) * 3 for ids in labels]
    varied = pose.vary_rows(rows, sources, "sided", 0)
    assert varied.owner.tolist() == [7, 7, 7, 7, 8, 9]  # of nothing there are no copies
    assert varied.yaw_deg.tolist() == [15, 15, 15, 15, 30, 45]
    assert varied.pitch_deg.tolist() == [1, 1, 1, 1, 2, 3]
    assert np.array_equal(varied.first[0], rows.first[0])
    assert not np.array_equal(varied.first[1], rows.first[0])


def test_the_map_of_a_mirrored_photo_is_turned_back() -> None:
    labels = drawn_face()[1].labels
    mirrored = np.array(CELEBA19.mirror, np.uint8)[labels[:, ::-1]]
    there = pose.source_of(labels, CELEBA19, "sided", False)
    back = pose.source_of(mirrored, CELEBA19, "sided", True)
    assert np.array_equal(there[0], back[0])


def test_altered_photos() -> None:
    image = drawn_head(30, 0)[0]
    rng = np.random.default_rng(0)
    found = alter_photos(image, 5, rng)
    assert [mirrored for _, mirrored in found] == [True, False, True, False, True]
    assert np.array_equal(found[0][0], image[:, ::-1])
    for other, _ in found:
        assert other.dtype == np.uint8
        assert 0.3 * 96 <= other.shape[0] <= 96
        assert abs(other.shape[1] / other.shape[0] - 80 / 96) < 0.05
        assert abs(other.mean() - image.mean()) < 60
    # What lies in the middle stays about there.
    small = np.asarray(cv2.resize(found[1][0], (80, 96)), float)
    assert np.corrcoef(small.ravel(), image.ravel())[0, 1] > 0.6


# --- the classical road ---------------------------------------------------------------------------


def pixel_world(people: int) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    drawn = [drawn_head(yaw, 50 + p) for p in range(people) for yaw in (-30, 0, 30)]
    images = [classic.shrink_photo(image, 48) for image, _ in drawn]
    ids = [classic.shrink_ids(i, image) for (_, i), image in zip(drawn, images, strict=True)]
    return images, ids, [p for p in range(people) for _ in range(3)]


FOREST = ClassicSettings(
    features=("rgb", "xy"), rounds=1, context=("probs:0,2",), trees=5, per_class=20, folds=3
)


def test_maps_come_from_forests_that_did_not_see_the_person() -> None:
    images, ids, persons = pixel_world(3)
    how = {"seed": 0, "threads": 1}
    fits: list[int] = []
    maps, others = make_maps(
        images, ids, persons, images[:1], FOREST, **how, tick=lambda: fits.append(1)
    )
    assert len(fits) == 2 * (3 + 1)
    assert [m.shape for m in maps] == [(*image.shape[:2], 6) for image in images]
    for probs in (*maps, *others):
        assert probs.sum(axis=2) == pytest.approx(np.ones(probs.shape[:2]), abs=1e-5)
    right = [(m.argmax(axis=2) == i).mean() for m, i in zip(maps, ids, strict=True)]
    assert min(right) > 0.85
    # A photo without labels is told by the same forest as that person's others.
    alone = make_maps([*images, images[0]], [*ids, None], [*persons, 0], [], FOREST, **how)[0]
    assert np.array_equal(alone[-1], maps[0])
    # Wrong labels of person 2 change other people's maps, not those of person 2 in the first stage.
    first = replace(FOREST, rounds=0)
    wrong = [i if p != 2 else np.full_like(i, 3) for i, p in zip(ids, persons, strict=True)]
    one = make_maps(images, ids, persons, [], first, **how)[0]
    other = make_maps(images, wrong, persons, [], first, **how)[0]
    assert np.array_equal(one[6], other[6])
    assert not np.array_equal(one[0], other[0])


def test_people_that_nobody_can_be_left_out_of() -> None:
    images, ids, persons = pixel_world(1)
    with pytest.raises(BadData, match="photos of one person; wanted two or more people"):
        make_maps(images, ids, persons, [], FOREST, seed=0, threads=1)


def test_small_photos_and_labels() -> None:
    photo = classic.shrink_photo(np.zeros((100, 61, 3), np.uint8), 50)
    assert photo.shape == (50, 30, 3)
    assert classic.shrink_ids(np.full((100, 61), 3, np.uint8), photo).tolist() == [[3] * 30] * 50


# --- recipes --------------------------------------------------------------------------------------


def test_the_shipped_recipe_is_read() -> None:
    recipe = recipe_from_table(shipped_table(), "headpose-fasseg.toml")
    assert recipe.name == RECIPE.stem
    assert recipe.roads == ("modern", "classical")
    assert recipe.pseudo.folders[0] == "distilled/helen"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"colour": 1}, "unknown key 'colour'"),
        ({"roads": ["side"]}, r"roads = \['side'\]; wanted some of modern, classical"),
        ({"roads": []}, r"roads = \[\]"),
        ({"trees": {"yaw_trees": 0}}, r"trees: yaw_trees = 0; wanted 1\.\.10000"),
        ({"trees": {"leaves": 0}}, "trees: unknown key 'leaves'"),
        ({"plain_trees": {"svr_share": 1.5}}, r"plain_trees: svr_share = 1.5; wanted 0\.\.1"),
        ({"trees": {"svr_gamma": 0.0}}, "trees: svr_gamma = 0.0; wanted 1e-09"),
        ({"classical": {"pose_svr_c": 0.0}}, "classical: pose_svr_c = 0.0; wanted 0.001"),
        ({"classical": {"pose_svr_shares": [0.5, 2]}}, "classical: pose_svr_shares = 2; wanted 0"),
        ({"classical": {"pose_svr_shares": []}}, r"pose_svr_shares = \[\]; wanted at least one"),
        ({"altered": -1}, r"altered = -1; wanted 0\.\.100"),
        ({"classical": {"folds": 1}}, r"classical: folds = 1; wanted 2\.\.100"),
        ({"pseudo": {"held_out": 1.0}}, "pseudo: held_out = 1.0"),
    ],
)
def test_wrong_recipes_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecipe, match=message):
        recipe_from_table(shipped_table() | changed, "r.toml")


# --- a whole run ----------------------------------------------------------------------------------

PAINT = {0: (255, 0, 0), 1: (0, 255, 0), 2: (255, 255, 0), 3: (127, 0, 0), 4: (0, 255, 255)}
PAINT |= {5: (0, 0, 255)}
TRUE_COLORS = np.array(
    [(90, 90, 200), (200, 60, 60), (220, 180, 150), (40, 30, 20), (240, 200, 90)]
)


def drawn_head(yaw: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo and its FASSEG6 labels: the face slides over the head as it turns."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((96, 80), np.uint8)
    y, x = np.mgrid[:96, :80]
    shift = -24 * math.sin(math.radians(yaw))
    for part, cx, cy, rx, ry in (
        ("hair", 40, 48, 34, 40),
        ("skin", 40 + 0.7 * shift, 55, 24, 32),
        ("eyes", 32 + shift, 47, 4, 3),
        ("eyes", 48 + shift, 47, 4, 3),
        ("nose", 40 + shift, 56, 4, 7),
        ("mouth", 40 + shift, 72, 8, 4),
    ):
        inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
        ids[inside & ((ids != 0) | (part == "hair"))] = FASSEG6.id(part)
    colors = np.vstack([TRUE_COLORS, (60, 120, 60)])
    image = colors[ids] + rng.integers(-12, 12, (96, 80, 3))
    return np.clip(image, 0, 255).astype(np.uint8), ids


@pytest.fixture(scope="module")
def drawn_v3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    paint = np.array([PAINT[i] for i in range(6)], np.uint8)
    for part, people, yaws in (
        ("Train", (1, 2, 3, 4), range(-90, 91, 30)),
        ("Test", (8,), (-60, 0)),
    ):
        for person in people:
            for yaw in yaws:
                image, ids = drawn_head(yaw, person * 1000 + yaw)
                folder = f"+{yaw}" if yaw > 0 else str(yaw)
                for kind, array in (("RGB", image), ("labels", paint[ids])):
                    path = root / f"fasseg/V3/{part}_{kind}/{folder}/personne{person:02d}x.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if kind == "labels" and (part, yaw) == ("Test", 0):
                        continue  # a photo without a label
                    cv2.imwrite(str(path), array[..., ::-1])
    return root


SMALL = {
    "name": "small",
    "task": "headpose",
    "trees": {"yaw_trees": 10, "pitch_trees": 2, "min_leaf": 1, "max_features": 0.5},
    "plain_trees": {"yaw_trees": 10, "pitch_trees": 2, "min_leaf": 1, "max_features": 0.5},
    "altered": 2,
    "classical": {"features": ["rgb", "xy"], "work_px": 48, "trees": 4, "folds": 2}
    | {
        "segments": 60,
        "pose_trees": 20,
        "per_class": 15,
        "altered": 1,
        "copies": 1,
        "context": ["probs:0,2"],
    },
}


class DrawnReader:
    """Stands in for a parser: reads the parts off the drawn colours."""

    def __init__(self, recipe: Any, threads: int) -> None:
        self.found = type("Found", (), {"label_set": CELEBA19})
        self.missed: list[str] = []

    def __call__(self, key: str, image: np.ndarray) -> Any:
        from faceparts.types import Crop, Face, Head

        colors = np.vstack([TRUE_COLORS, (60, 120, 60)])
        near = np.abs(image[:, :, None].astype(int) - colors).sum(axis=3).argmin(axis=2)
        names = ("background", "mouth", "skin", "hair", "nose", "left_eye")
        ids = np.array([CELEBA19.id(n) for n in names], np.uint8)[near]
        h, w = ids.shape
        crop = Crop(np.zeros((4, 4, 3), np.uint8), np.eye(2, 3), (h, w))
        head = Head((0, 0, w, h), 1, Head.no_points())
        return Face(head, crop, ids, np.ones((h, w), np.float32), (0, 0, w, h), CELEBA19)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_whole_run(
    drawn_v3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(modern, "MapReader", DrawnReader)
    small = json.loads(json.dumps(SMALL))
    small["trees"] |= {"svr_share": share}
    small["classical"] |= {"pose_svr_shares": [share]}
    headpose_run.train(small, Path("small.toml"), drawn_v3, tmp_path, threads=1, quiet=True)
    report = json.loads((tmp_path / "report.json").read_text())
    for road, way in (("modern", "sided"), ("modern", "plain"), ("classical", "pixels")):
        assert report[road][way]["test"]["photos"] == 2
        assert report[road][way]["left_out_persons"]["pose_mae_deg"] <= 20
    assert report["classical"]["pixels"]["segmentation_accuracy"]["left_out_persons"] > 0.8
    assert "| modern: sided | test | 2 |" in (tmp_path / "report.md").read_text()
    assert kept_in(tmp_path) == Kept("headpose", small["name"])
    shipped = _headpose.read(tmp_path / "headpose.npz")
    assert json.loads(shipped.card)["pitch_known"] is False
    assert set(shipped.trees) == {("sided", "yaw"), ("plain", "yaw")}
    assert set(shipped.svrs) == ({"sided"} if share else set())
    nothing = np.zeros(len(_layout.column_names()), np.int16)
    yaw, pitch = shipped.angles("sided", (nothing, nothing))
    assert yaw == 0
    assert math.isnan(pitch)


def test_answers_of_several_runs_are_averaged(
    drawn_v3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    told = {0: 15.0, 1: 45.0}

    def take(
        how: Any, learn: list[Any], test: list[Any], others: Any, seed: int, *rest: Any
    ) -> Any:
        asked.append(seed)
        rows, wanted = (fit.Rows(*np.zeros((2, len(p), 1)), *table_of(p)) for p in (learn, test))
        told_deg = np.full(len(test), told[seed])
        one = classic._Told(
            rows,
            fit.Halves(rows.yaw_deg, rows.yaw_deg),
            wanted,
            fit.Halves(told_deg, told_deg),
            None,
            {"test": 0.8 + 0.1 * seed},
        )
        return {"pixels": one, "superpixels": one}

    def table_of(photos: list[Any]) -> tuple[np.ndarray, ...]:
        yaw = np.array([p.yaw_deg for p in photos], float)
        return yaw, np.full(len(yaw), np.nan), np.array([p.person for p in photos])

    monkeypatch.setattr(classic, "_take", take)
    table = {**SMALL, "roads": ["classical"], "classical": {"repeats": 2, "work_px": 48}}
    headpose_run.train(table, Path("small.toml"), drawn_v3, tmp_path, threads=1, quiet=True)
    report = json.loads((tmp_path / "report.json").read_text())["classical"]["pixels"]
    assert asked == [0, 1]
    assert report["segmentation_accuracy"] == {"test": 0.85}
    photos = classic.read_photos(drawn_v3 / "fasseg", "Test", 48, quiet=True)
    wanted = pose.score(np.full(len(photos), 30.0), [p.yaw_deg for p in photos])
    assert report["test"] == wanted
    single = report["pose_mae_deg_of_each_run"]
    assert single["left_out_persons"] == [0.0, 0.0]
    assert single["test"] == [
        pose.score(np.full(len(photos), yaw), [p.yaw_deg for p in photos])["pose_mae_deg"]
        for yaw in (15.0, 45.0)
    ]
    assert "of each run alone" in (tmp_path / "report.md").read_text()


def test_pseudo_labels(drawn_v3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "data" / "many"
    photos.mkdir(parents=True)
    truth = {}
    for i, yaw in enumerate(range(-40, 41, 4)):
        image = drawn_head(yaw, i)[0]
        cv2.imwrite(str(photos / f"{i:02d}.jpg"), image[..., ::-1])
        truth[i] = yaw
    (tmp_path / "data" / "fasseg").symlink_to(drawn_v3 / "fasseg")
    asked: list[float] = []

    def look(image: np.ndarray, face: np.ndarray) -> tuple[float, float, float]:
        middle = float(np.nonzero(face)[1].mean())
        asked.append(middle)
        return (40 - middle) * 2.0, 5.0 + middle / 10, 0.95

    monkeypatch.setattr(modern, "MapReader", DrawnReader)
    monkeypatch.setattr(modern, "open_teacher", lambda path: look)
    table = SMALL | {
        "roads": ["modern"],
        "pseudo": {"teacher": "t", "folders": ["many"], "per_folder": 50, "held_out": 0.25},
    }
    data = tmp_path / "data"
    headpose_run.train(table, Path("s.toml"), data, tmp_path / "out", threads=1, quiet=True)
    report = json.loads((tmp_path / "out/report.json").read_text())["modern"]
    assert report["pseudo"]["photos"] == 21
    assert report["pseudo"]["held_out"] == 5
    assert report["sided"]["yaw_against_teacher"]["photos"] == 5
    card = json.loads(_headpose.read(tmp_path / "out/headpose.npz").card)
    assert card["pitch_known"] is True


def test_other_people_choose_the_share_on_the_classical_road(
    drawn_v3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "data" / "many"
    photos.mkdir(parents=True)
    for i, yaw in enumerate(range(-40, 41, 4)):
        cv2.imwrite(str(photos / f"{i:02d}.jpg"), drawn_head(yaw, i)[0][..., ::-1])
    (tmp_path / "data" / "fasseg").symlink_to(drawn_v3 / "fasseg")

    def look(image: np.ndarray, face: np.ndarray) -> tuple[float, float, float]:
        return (40 - float(np.nonzero(face)[1].mean())) * 2.0, 5.0, 0.95

    monkeypatch.setattr(modern, "MapReader", DrawnReader)
    monkeypatch.setattr(modern, "open_teacher", lambda path: look)
    table = SMALL | {
        "roads": ["classical"],
        "pseudo": {"teacher": "t", "folders": ["many"], "per_folder": 50},
        "classical": SMALL["classical"] | {"pose_svr_shares": [0.0, 1.0]},
    }
    out = tmp_path / "out"
    headpose_run.train(table, Path("s.toml"), tmp_path / "data", out, threads=1, quiet=True)
    report = json.loads((out / "report.json").read_text())["classical"]
    assert report["photos"]["others"] == 21
    for road in ("pixels", "superpixels"):
        rows = report[road]["errors_by_svr_share"]
        assert [row["share"] for row in rows] == [0, 1]
        products = [row["left_out_mae_deg"] * row["others_mae_deg"] for row in rows]
        assert report[road]["svr_share"] == rows[int(np.argmin(products))]["share"]
    assert (
        "| share | left-out persons, degrees | other people, degrees |"
        in (out / "report.md").read_text()
    )


def test_data_that_is_missing(tmp_path: Path, drawn_v3: Path) -> None:
    with pytest.raises(BadData, match="no photo; wanted FASSEG V3 as published"):
        pose.list_v3(tmp_path, "Train")
    wrong = tmp_path / "V3/Train_RGB/+17/personne01.png"
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"")
    with pytest.raises(BadData, match=r"wanted a name such as V3/Train_RGB/\+15/personne01"):
        pose.list_v3(tmp_path, "Train")
    with pytest.raises(BadData, match=r"no \.jpg file; wanted a folder of photos"):
        modern.list_pictures(Pseudo("t", ("none",)), tmp_path, 0)


def test_a_teacher_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "teacher.tflite"
    path.write_bytes(b"nothing")
    with pytest.raises(BadData, match="not a usable TFLite net"):
        teacher.open_teacher(path)
