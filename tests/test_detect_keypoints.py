"""Body keypoints -> heads: the published rule, every refinement, and the detector around them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceparts.detect import _head_rules as rules
from faceparts.detect import keypoints
from faceparts.detect._people import KEYPOINTS, Person, head_points, to_coco
from faceparts.detect._pose_card import PoseCard
from faceparts.detect._regions import Box
from faceparts.detect.keypoints import Keypoints, heads_from_people
from faceparts.errors import UsageError
from faceparts.types import POINTS, Head, Image

NAN = math.nan
NOBODY = np.full((17, 3), NAN)


def rows(**points: tuple[float, float] | tuple[float, float, float]) -> np.ndarray:
    """(17, 3) keypoints: those named, score 1 unless given; the others unseen."""
    out = NOBODY.copy()
    for name, point in points.items():
        out[KEYPOINTS.index(name)] = (*point, 1.0)[:3]
    return out


def projected(
    size: float, middle: tuple[float, float], turn_deg: float = 0, roll_deg: float = 0
) -> np.ndarray:
    """(17, 3): the five head keypoints of a rigid head, seen from the front and turned."""
    turn, roll = math.radians(turn_deg), math.radians(roll_deg)
    out = NOBODY.copy()
    for i in range(5):
        u = rules.ACROSS[i] * math.cos(turn) + rules.AHEAD[i] * math.sin(turn)
        v = rules.DOWN[i]
        x = middle[0] + size * (u * math.cos(roll) - v * math.sin(roll))
        y = middle[1] + size * (u * math.sin(roll) + v * math.cos(roll))
        out[i] = x, y, 1.0
    return out


def middle_and_size(box: Box) -> tuple[float, float, float]:
    x0, y0, x1, y1 = box
    return (x0 + x1) / 2, (y0 + y1) / 2, math.sqrt((x1 - x0) * (y1 - y0))


# --- people -----------------------------------------------------------------------------------


def test_a_keypoint_with_a_value_that_is_no_number_is_unseen():
    person = Person(
        rows(
            nose=(1, 2, NAN),
            left_eye=(math.inf, 2, 0.5),
            right_eye=(3, 4, 7),
            left_ear=(1e38, 2, 0.5),
        )
    )
    assert np.isnan(person.keypoints[[0, 1, 3]]).all()
    assert person.keypoints[2].tolist() == [3, 4, 1]
    assert not person.keypoints.flags.writeable
    with pytest.raises(ValueError, match=r"got shape \(16, 3\), wanted \(17, 3\)"):
        Person(np.zeros((16, 3)))


def test_only_keypoints_from_the_threshold_on_are_seen():
    seen = Person(rows(nose=(1, 2, 0.3), left_eye=(3, 4, 0.29))).seen(0.3)
    assert seen[0].tolist() == [1, 2, 0.3]
    assert np.isnan(seen[1:]).all()


def test_other_orders_become_cocos_and_points_become_the_heads():
    given_rows = [[[1, 2, 0.5], [3, 4, 0.6], [5, 6, 0.7]]]
    (coco,) = to_coco(given_rows, ("right_ear", "chin", "nose"))
    assert coco[4].tolist() == [1, 2, 0.5] and coco[0].tolist() == [5, 6, 0.7]
    assert np.isnan(coco[[1, 2, 3, *range(5, 17)]]).all()
    points = head_points(coco)
    assert points[POINTS.index("right_ear")].tolist() == [1, 2, 0.5]
    assert points[POINTS.index("nose")].tolist() == pytest.approx([5, 6, 0.7])
    unseen = [i for i, name in enumerate(POINTS) if name not in ("right_ear", "nose")]
    assert np.isnan(points[unseen]).all()


# --- the published rule -----------------------------------------------------------------------


def test_the_rule_on_paper():
    # nose (50, 60), eyes (46, 56) and (54, 56): mean (50, 57.33), largest distance 8, radius 24
    points = rows(nose=(50, 60), left_eye=(54, 56), right_eye=(46, 56))[:5]
    assert rules.mean_centre(points) == (50, pytest.approx(57.3333, abs=1e-4))
    assert rules.largest_distance(points) == 8
    np.testing.assert_allclose(rules.s0_box(points), [26, 33.3333, 74, 81.3333], atol=1e-4)
    np.testing.assert_allclose(
        rules.s0_box(points, factor=5), [10, 17.3333, 90, 97.3333], atol=1e-4
    )


def test_the_rule_is_at_least_20_px_and_with_one_point_just_that():
    near = rows(left_eye=(10, 10), right_eye=(4, 10))[:5]
    assert rules.s0_box(near) == (-13, -10, 27, 30)
    one = rows(left_ear=(100, 50))[:5]
    assert rules.largest_distance(one) == 0
    assert rules.s0_box(one) == (80, 30, 120, 70)
    assert rules.s0_box(one, least_radius_px=5) == (95, 45, 105, 55)


def test_without_a_point_there_is_no_box():
    assert math.isnan(rules.mean_centre(NOBODY[:5])[0])
    assert rules.largest_distance(NOBODY[:5]) == 0
    assert rules.s0_box(NOBODY[:5]) is None
    assert rules.fixed_box(NOBODY[:5], 30) is None
    assert rules.head_box(NOBODY) is None


def test_boxes_of_a_fixed_side():
    points = rows(nose=(10, 20), left_ear=(30, 20))[:5]
    assert rules.fixed_box(points, 100) == (-30, -30, 70, 70)


# --- size -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        *(("left_ear", "right_ear", 70), ("left_eye", "right_eye", 28.5)),
        *(("nose", "left_ear", 46), ("nose", "right_ear", 46), ("nose", "left_eye", 22)),
        *(("left_eye", "left_ear", 36), ("right_eye", "left_ear", 56)),
    ],
)
def test_a_head_of_100_px_from_any_two_points(one, other, apart):
    points = rows(**{one: (0, 0), other: (apart * 0.6, apart * 0.8)})[:5]
    assert rules.size_from_head(points) == pytest.approx(100)


def test_a_profile_keeps_its_size_by_ear_and_nose():
    # seen from the side: both eyes at one place, which alone would make the head tiny
    points = rows(nose=(0, 0), left_eye=(12, -10), right_eye=(11, -10), left_ear=(46, 0))[:5]
    assert rules.size_from_head(points) == pytest.approx(100)


def test_one_point_or_coinciding_points_tell_no_size():
    assert math.isnan(rules.size_from_head(rows(nose=(1, 1))[:5]))
    assert math.isnan(rules.size_from_head(rows(nose=(1, 1), left_eye=(1, 1))[:5]))
    assert math.isnan(rules.size_from_head(NOBODY[:5]))


def test_size_from_shoulders_hips_and_ankles():
    shoulders = {"left_shoulder": (130, 100), "right_shoulder": (0, 100)}
    assert rules.size_from_body(rows(**shoulders)) == pytest.approx(100)
    hips = {"left_hip": (120, 470), "right_hip": (10, 470)}
    assert rules.size_from_body(rows(**shoulders, **hips)) == pytest.approx(200)
    # seen from the side the shoulders say nothing, the trunk does
    side = {"left_shoulder": (50, 100), "right_shoulder": (48, 100)}
    trunk = {"left_hip": (49, 285), "right_hip": (49, 285)}
    assert rules.size_from_body(rows(**side, **trunk)) == pytest.approx(100)
    assert rules.size_from_body(rows(nose=(0, 10), left_ankle=(9, 510))) == pytest.approx(100)
    for nothing in (NOBODY, rows(left_shoulder=(1, 1)), rows(left_hip=(0, 0), right_hip=(9, 0))):
        assert math.isnan(rules.size_from_body(nothing))
    # ankles above the head: somebody else's
    assert math.isnan(rules.size_from_body(rows(nose=(0, 500), left_ankle=(9, 10))))


def test_an_ear_of_somebody_else_is_left_out():
    eyes = {"left_eye": (110, 50), "right_eye": (90, 50)}
    own = rows(**eyes, left_ear=(125, 55), right_ear=(75, 55))[:5]
    assert rules.without_stray_ear(own) is own
    mixed = rows(**eyes, left_ear=(300, 80), right_ear=(75, 55))[:5]
    cleaned = rules.without_stray_ear(mixed)
    assert np.isnan(cleaned[3]).all() and np.isfinite(cleaned[[1, 2, 4], 0]).all()
    assert np.isfinite(mixed[3]).all()
    box = rules.head_box(np.concatenate([mixed, NOBODY[5:]]))
    assert box is not None and middle_and_size(box)[2] < 90


# --- orientation ------------------------------------------------------------------------------


def test_the_axis_comes_from_the_ears_then_the_eyes_then_the_shoulders():
    ears = rows(left_ear=(60, 80), right_ear=(0, 0), left_eye=(28, 0), right_eye=(0, 0))
    assert rules.across_axis(ears, 140) == (pytest.approx(0.6), pytest.approx(0.8))
    eyes = rows(left_eye=(30, 0), right_eye=(0, 40))
    assert rules.across_axis(eyes, 100) == (pytest.approx(0.6), pytest.approx(-0.8))
    shoulders = rows(left_shoulder=(80, 60), right_shoulder=(0, 0), left_eye=(2, 0))
    assert rules.across_axis(shoulders, 100) == (pytest.approx(0.8), pytest.approx(0.6))
    assert rules.across_axis(shoulders[:5], 100) == (1, 0)
    assert rules.across_axis(NOBODY, 100) == (1, 0)


def test_eyes_that_nearly_coincide_say_nothing_about_tilt():
    profile = rows(left_eye=(0, 8), right_eye=(0, 0))
    assert rules.across_axis(profile, 100) == (1, 0)


def test_from_behind_the_axis_points_to_the_right_too():
    assert rules.across_axis(rows(left_ear=(0, 0), right_ear=(70, 0)), 100) == (1, 0)


@pytest.mark.parametrize("turn_deg", [-75, -30, 0, 30, 75])
def test_the_turn_is_read_off_how_points_lie_beside_each_other(turn_deg):
    points = projected(100, (40, 60), turn_deg)[:5]
    assert math.degrees(rules.turn_rad(points, 100, (1, 0))) == pytest.approx(turn_deg, abs=3)
    one_ear = points.copy()
    one_ear[3 if turn_deg > 0 else 4] = NAN  # the hidden one
    assert math.degrees(rules.turn_rad(one_ear, 100, (1, 0))) == pytest.approx(turn_deg, abs=5)
    face = np.concatenate([points[:3], NOBODY[:2]])
    assert math.degrees(rules.turn_rad(face, 100, (1, 0))) == pytest.approx(turn_deg, abs=12)


def test_one_point_or_a_head_from_behind_tell_no_turn():
    assert rules.turn_rad(rows(nose=(9, 9))[:5], 100, (1, 0)) == 0
    assert rules.turn_rad(NOBODY[:5], 100, (1, 0)) == 0
    assert rules.turn_rad(rows(left_ear=(0, 0), right_ear=(66, 0))[:5], 100, (1, 0)) == 0


# --- the box around the head ------------------------------------------------------------------


def test_points_vote_for_the_middle_by_their_scores():
    # size 100: the nose says (0, 0), the left eye says (20, 0)
    points = rows(nose=(0, 14.5, 0.9), left_eye=(33, 2, 0.3))[:5]
    assert rules.weighted_centre(points, 100, (1, 0), 0) == pytest.approx((5, 0))
    points[1, 2] = 0.9
    assert rules.weighted_centre(points, 100, (1, 0), 0) == pytest.approx((10, 0))
    assert math.isnan(rules.weighted_centre(NOBODY[:5], 100, (1, 0), 0)[0])


def test_a_head_from_behind_has_its_middle_between_the_ears():
    points = rows(left_ear=(0, 8), right_ear=(66, 8))[:5]
    assert rules.weighted_centre(points, 100, (1, 0), 0) == pytest.approx((33, 0))


def test_the_box_has_the_size_and_the_aspect():
    x0, y0, x1, y1 = rules.box_around((10, 20), 100)
    assert (x1 - x0) * (y1 - y0) == pytest.approx(10_000)
    assert (x1 - x0) / (y1 - y0) == pytest.approx(0.86)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((10, 20))


@settings(max_examples=100, deadline=None)
@given(
    st.floats(10, 500),
    st.floats(-300, 3000),
    st.floats(-300, 3000),
    st.floats(-60, 60),
    st.floats(-35, 35),
)
def test_a_rigid_head_is_found_where_it_is(size, x, y, turn_deg, roll_deg):
    box = rules.head_box(projected(size, (x, y), turn_deg, roll_deg))
    assert box is not None
    got_x, got_y, got_size = middle_and_size(box)
    assert math.hypot(got_x - x, got_y - y) < 0.12 * size
    assert 0.75 * size < got_size < 1.3 * size


@pytest.mark.parametrize("turn_deg", [-80, 80])
def test_a_profile_with_one_ear_lies_around_the_head_and_not_around_the_face(turn_deg):
    seen = projected(100, (200, 100), turn_deg)
    seen[4 if turn_deg < 0 else 3] = NAN
    box = rules.head_box(seen)
    assert box is not None
    x, y, size = middle_and_size(box)
    assert (x, y) == (pytest.approx(200, abs=12), pytest.approx(100, abs=12))
    assert size == pytest.approx(100, rel=0.15)


def test_a_single_point_takes_its_size_from_the_body_or_from_outside():
    body = {"left_shoulder": (165, 190), "right_shoulder": (35, 190)}
    box = rules.head_box(rows(nose=(100, 114.5), **body))
    assert box is not None
    assert middle_and_size(box) == pytest.approx((100, 100, 100))
    alone = rows(nose=(100, 114.5))
    assert rules.head_box(alone) is None
    told = rules.head_box(alone, 2.0, 100)
    assert told is not None  # what is told from outside is not scaled
    assert middle_and_size(told) == pytest.approx((100, 100, 100))


def test_sizes_are_scaled_by_what_the_card_says():
    points = rows(left_ear=(70, 0), right_ear=(0, 0))
    box = rules.head_box(points, 1.5)
    assert box is not None and middle_and_size(box)[2] == pytest.approx(150)


# --- heads of people --------------------------------------------------------------------------


def person(*args: float, score: float = 0.8, **options: float) -> Person:
    points = projected(*args, **options)  # type: ignore[arg-type]  # test passes words through
    points[:5, 2] = score
    return Person(points)


def test_a_person_becomes_a_head_with_points_and_mean_score():
    points = projected(100, (200, 100))
    points[:5, 2] = [0.9, 0.8, 0.7, 0.1, 0.6]
    (head,) = heads_from_people([Person(points)], 0.5)
    assert head.score == pytest.approx(0.75) and head.source == "keypoints"
    assert middle_and_size(head.box_xyxy) == pytest.approx((200, 100, 100), abs=12)
    assert np.isnan(head.points[POINTS.index("left_ear")]).all()
    np.testing.assert_allclose(head.points[POINTS.index("nose")], points[0], rtol=1e-6)


def test_nobody_and_people_without_a_head_give_no_head():
    body = rows(left_shoulder=(130, 100), right_shoulder=(0, 100))
    nan_scores = projected(100, (200, 100))
    nan_scores[:, 2] = NAN
    weak = projected(100, (200, 100)) * [1, 1, 0.2]
    for people in ([], [Person(body)], [Person(NOBODY)], [Person(nan_scores)], [Person(weak)]):
        for rule in keypoints.RULES:
            assert heads_from_people(people, 0.3, rule=rule) == []
        assert heads_from_people(people, 0.3, box_px=50) == []


def test_heads_beside_the_picture_are_left_out():
    image = np.zeros((150, 300, 3), np.uint8)
    people = [
        Person(projected(100, xy)) for xy in ((200, 100), (-51, 100), (-40, 100), (9e30, 9e30))
    ]
    heads = heads_from_people(people, 0.3, image=image)
    assert sorted(round(middle_and_size(h.box_xyxy)[0]) for h in heads) == [-40, 200]
    assert len(heads_from_people(people[:2], 0.3)) == 2


def test_a_person_who_was_seen_twice_counts_once_and_neighbours_stay():
    points = [projected(100, xy) for xy in ((200, 100), (204, 98), (290, 100))]
    for scale, rows_of in zip((0.6, 0.9, 0.5), points, strict=True):
        rows_of[:, 2] *= scale
    for options in ({}, {"rule": "s0"}, {"box_px": 600}):
        heads = heads_from_people(map(Person, points), 0.3, **options)
        assert [round(h.score, 2) for h in heads] == [0.9, 0.5]


def test_the_published_rule_and_fixed_boxes_are_asked_for():
    seen = Person(projected(100, (200, 100)))
    (s0,) = heads_from_people([seen], 0.3, rule="s0")
    assert s0.size_wh == pytest.approx((2 * 3 * 66, 2 * 3 * 66))
    (fixed,) = heads_from_people([seen], 0.3, rule="s0", box_px=80)
    assert fixed.size_wh == pytest.approx((80, 80))
    assert middle_and_size(fixed.box_xyxy)[:2] == pytest.approx(middle_and_size(s0.box_xyxy)[:2])


def test_one_visible_point_is_nothing_alone_but_a_head_where_another_detector_saw_one():
    nose = Person(rows(nose=(100, 114.5)))
    assert heads_from_people([nose], 0.3) == []
    (by_rule,) = heads_from_people([nose], 0.3, rule="s0")
    assert by_rule.box_xyxy == (80, 94.5, 120, 134.5)
    known = [
        Head(box, 0.9, Head.no_points()) for box in ((0, 0, 900, 900), (60, 60, 140, 140), (0,) * 4)
    ]
    (head,) = heads_from_people([nose], 0.3, known=known)
    assert middle_and_size(head.box_xyxy) == pytest.approx((100, 100, 80), abs=3)
    assert heads_from_people([nose], 0.3, known=known[2:]) == []


wild = st.one_of(st.floats(), st.floats(-400, 900), st.sampled_from([0.0, 1e38, -1e38, math.nan]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.tuples(wild, wild, wild), min_size=17, max_size=17), max_size=3))
def test_no_numbers_whatever_make_it_crash(people: list[list[tuple[float, float, float]]]) -> None:
    for options in ({}, {"rule": "s0"}, {"box_px": 30}):
        heads = heads_from_people(
            [Person(np.array(p)) for p in people],
            0.3,
            image=np.zeros((99, 200, 3), np.uint8),
            **options,
        )
        assert len(heads) <= len(people)
        for head in heads:
            assert 0.3 <= head.score <= 1 and np.isfinite(head.box_xyxy).all()


# --- the detector -----------------------------------------------------------------------------


class FakeModel:
    """Puts the same people into every region, and remembers the regions."""

    def __init__(self, people: Sequence[Person] = (), sees_many: bool = False) -> None:
        self.card = PoseCard("single-person", name="fake", threshold=0.4, body=3)
        self.people, self.sees_many, self.view_px = list(people), sees_many, 101
        self.regions: list[Box] = []

    def find(self, image: Image, regions: Sequence[Box]) -> list[list[Person]]:
        self.regions = list(regions)
        return [self.people for _ in regions]


class FakeFinder:
    def detect(self, image: Image) -> list[Head]:
        return [
            Head((100, 50, 120, 70), 0.9, Head.no_points()),
            Head((900, 50, 920, 70), 0.8, Head.no_points()),
        ]


IMAGE = np.zeros((200, 300, 3), np.uint8)


def test_whole_picture_tiles_and_bodies_below_known_heads_are_looked_at():
    model = FakeModel()
    assert Keypoints(model, finder=FakeFinder()).detect(IMAGE) == []
    tiles = [
        (float(x), float(y), x + 100.0, y + 100.0) for y in (0, 50, 100) for x in range(0, 201, 50)
    ]
    assert model.regions == [(0, 0, 300, 200), *tiles, (80, 42, 140, 102)]
    Keypoints(model, finder=FakeFinder(), tiles=False).detect(IMAGE)
    assert model.regions == [(0, 0, 300, 200), (80, 42, 140, 102)]
    Keypoints(model, tiles=False).detect(IMAGE)
    assert model.regions == [(0, 0, 300, 200)]


def test_a_model_that_sees_everybody_needs_no_heads():
    model = FakeModel(sees_many=True)
    Keypoints(model, finder=FakeFinder()).detect(IMAGE)
    assert model.regions == [(0, 0, 300, 200)]
    model.view_px = 100  # tiles of 100 px show more than the whole picture does
    Keypoints(model).detect(IMAGE)
    assert len(model.regions) == 16


def test_the_threshold_is_the_cards_unless_given():
    model = FakeModel([person(60, (150, 100), score=0.35)])
    assert Keypoints(model).detect(IMAGE) == []
    (head,) = Keypoints(model, min_score=0.3).detect(IMAGE)
    assert head.score == pytest.approx(0.35)
    assert Keypoints(model).card.threshold == 0.4


def test_options_out_of_range_are_refused():
    for options, message in (
        ({"min_score": 2}, r"min_score: got 2, wanted 0 to 1"),
        ({"rule": "s1"}, r"rule: got 's1', wanted one of head, s0"),
        ({"box_px": 0}, r"box_px: got 0, wanted 1 to 100000"),
        ({"factor": NAN}, r"factor: got nan, wanted 0.1 to 100"),
    ):
        with pytest.raises(UsageError, match=message):
            Keypoints(FakeModel(), **options)
    with pytest.raises(UsageError, match=r"'keypoints' ships no weights; pass a pose model"):
        keypoints.load()
    with pytest.raises(ValueError, match="image: got float64"):
        Keypoints(FakeModel()).detect_with(np.zeros((9, 9, 3)), [])
