"""Audits: groups, gaps, chance, and what counts as found."""

import json
from dataclasses import replace

import numpy as np
import pytest

from evaluate_world import (
    EVIL,
    Boxes,
    Codebook,
    ListOf,
    assert_safe,
    drawn_sample,
    head_sample,
    sample,
)
from faceparts import labels
from faceparts.evaluate import audit, audit_units, groups, page_audit, protocols, run_parts
from faceparts.evaluate.audit import Settings, Units
from faceparts.types import Head

SET = labels.CELEBA19
FAST = Settings(small=5, resamples=200, seed=1)


def units(found, group, picture=None, order=("a", "b", "c")):
    found = np.array(found, np.int64)
    ones = np.ones_like(found)
    return Units(
        ("heads",),
        np.arange(len(found)) if picture is None else np.array(picture),
        np.stack([found, ones, ones], axis=1)[:, None],
        {"kind": list(group)},
        {"kind": list(order)},
        is_recall=True,
    )


def test_recall_by_group_by_hand():
    found = audit.audit(
        units([1] * 9 + [0] + [1] * 4 + [0] * 6 + [1, 1], "a" * 10 + "b" * 10 + "cc"), FAST
    )
    assert found["metric"] == "recall"
    assert found["overall"]["value"] == pytest.approx(15 / 22, abs=1e-6)
    one = found["by"]["kind"]
    assert [(r["group"], r["units"], r["value"], r["small"]) for r in one["groups"]] == [
        ("a", 10, 0.9, False),
        ("b", 10, 0.4, False),
        ("c", 2, 1.0, True),
    ]
    gap = one["gap"]
    assert (gap["best"], gap["worst"], gap["difference"]) == ("a", "b", 0.5)
    assert gap["low"] > 0 and gap["excludes_zero"] and gap["by_chance"] < 0.1
    for row in one["groups"]:
        assert row["low"] <= row["value"] <= row["high"]


def test_all_found_is_not_surely_all_found():
    found = audit.audit(units([1] * 20, "a" * 20), FAST)
    row = found["by"]["kind"]["groups"][0]
    assert (row["value"], row["high"]) == (1, 1) and row["low"] == pytest.approx(0.839, abs=1e-3)
    assert found["by"]["kind"]["gap"] is None


def test_the_not_measurable_are_listed_but_not_compared():
    group = ["a"] * 10 + [groups.UNKNOWN] * 10
    one = audit.audit(units([1] * 10 + [0] * 10, group), FAST)["by"]["kind"]
    assert [r["group"] for r in one["groups"]] == ["a", groups.UNKNOWN]
    assert not one["groups"][1]["compared"] and one["gap"] is None


def test_chance_alone_makes_gaps_that_are_not_shown():
    """Groups that are the same: the share by chance is spread out, not small."""
    rng = np.random.default_rng(0)
    shares = []
    for trial in range(12):
        found = (rng.random(60) < 0.7).astype(int)
        settings = Settings(small=5, resamples=100, seed=trial)
        one = audit.audit(units(found, "abc" * 20), settings)["by"]["kind"]
        shares.append(one["gap"]["by_chance"])
    assert sum(s < 0.05 for s in shares) <= 3 and np.mean(shares) > 0.25


def test_heads_of_one_picture_stand_or_fall_together():
    """40 heads on 4 pictures say less than 40 heads on 40 pictures."""
    found = [1] * 20 + [0] * 20
    wide = audit.audit(units(found, "a" * 40, np.repeat(np.arange(4), 10)), FAST)["overall"]
    narrow = audit.audit(units(found, "a" * 40), FAST)["overall"]
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])
    assert (wide["pictures"], narrow["pictures"]) == (4, 40)


def test_seeds_repeat():
    of = units([1, 0] * 15, "ab" * 15)
    assert audit.audit(of, FAST) == audit.audit(of, FAST)


def test_nothing_to_audit():
    with pytest.raises(ValueError, match="holds no labelled head"):
        audit.audit(units([], ""), FAST)


# --- a parser ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parsed():
    """16 drawn faces, half of them dark; the model fails where the red channel is dark."""
    samples = []
    for i in range(16):
        one = drawn_sample(i, 48, mirrored=i == 4)
        image = np.uint8(one.image * (0.35 if i % 2 else 1.0))
        samples.append(replace(one, key=str(i), image=image))

    class Dark(Codebook):
        def predict(self, crops):
            probs = np.full((len(crops), 19, *crops.shape[1:3]), 0.05 / 18, np.float32)
            ids = self.answers[self.calls] if crops.mean() > 70 else 0 * self.answers[self.calls]
            probs[0, :] = np.where(np.arange(19)[:, None, None] == ids, 0.95, probs[0])
            self.calls += 1
            return probs

    model = Dark(side_px=48)
    model.answers = [s.labels for s in samples]
    protocol = replace(protocols.get("celebamask18"), size_px=0)
    return run_parts.evaluate_parts(model, ListOf(samples), protocol)


def test_a_parser_that_fails_in_the_dark(parsed):
    of = audit_units.of_parser(parsed, sides_corrected=False)
    assert of.classes == SET.parts[1:] and of.pictures == 16
    found = audit.audit(of, FAST)
    assert found["metric"] == "f1"
    gap = found["by"]["brightness"]["gap"]
    assert gap["excludes_zero"] and gap["by_chance"] < 0.01 and gap["difference"] > 0.9
    assert gap["worst"].startswith("dark") or gap["worst"].startswith("dim")
    size = found["by"]["head size"]
    assert [r["group"] for r in size["groups"]] == ["below 64 px"] and size["gap"] is None
    classes = found["by"]["brightness"]["classes"]
    assert "skin" in classes and "hat" not in classes
    assert set(found["by"]["brightness"]["gaps_of_classes"]) == set(classes)


def test_swapped_sides_are_put_right_for_audits(parsed):
    assert [p.swapped for p in parsed.pictures].count(True) == 1
    right, wrong = (audit_units.of_parser(parsed, sides_corrected=s) for s in (True, False))
    left = SET.id("left_eye") - 1
    mirror = SET.id("right_eye")
    assert right.counts[4, left, 1] == parsed.pictures[4].matrix[mirror].sum()
    assert wrong.counts[4, left, 1] == parsed.pictures[4].matrix[SET.id("left_eye")].sum()
    np.testing.assert_array_equal(np.delete(right.counts, 4, 0), np.delete(wrong.counts, 4, 0))


def test_only_classes_that_all_compared_groups_hold_are_compared():
    counts = np.zeros((12, 2, 3), np.int64)
    counts[:, 0] = 5, 5, 5
    counts[:6, 1] = 1, 9, 9  # a class that only group a has
    of = Units(
        ("skin", "hat"),
        np.arange(12),
        counts,
        {"kind": ["a"] * 6 + ["b"] * 6},
        {"kind": ["a", "b"]},
    )
    one = audit.audit(of, FAST)["by"]["kind"]
    assert one["classes"] == ["skin"]
    assert [r["value"] for r in one["groups"]] == [1, 1]
    assert one["groups"][0]["classes"] == {"skin": 1.0, "hat": pytest.approx(1 / 9, abs=1e-6)}
    assert one["groups"][1]["classes"]["hat"] is None


def test_shrunk_pictures_lose_detail_and_keep_labels():
    one = drawn_sample(0, 64)
    small = audit_units.Shrunk(ListOf([one]), 12)[0]
    np.testing.assert_array_equal(small.labels, one.labels)
    assert small.image.shape == one.image.shape

    def roughness(image):
        return np.abs(np.diff(image.astype(float), axis=1)).mean()

    assert roughness(small.image) < 0.5 * roughness(one.image)
    larger = audit_units.Shrunk(ListOf([one]), 60)
    assert (larger[0].labels == 255).all() and len(larger) == 1


def test_sizes_are_compared_on_the_same_pictures():
    """A parser that reads ids from colours blurs with them: the smaller, the worse."""
    samples = []
    for i in range(6):
        ids = drawn_sample(i, 64).labels
        samples.append(sample(ids, f"s{i}", i))
    dataset, model = ListOf(samples), Codebook(side_px=64)
    protocol = replace(protocols.get("celebamask18"), size_px=0)
    whole = run_parts.evaluate_parts(model, dataset, protocol)
    seen = []
    of = audit_units.of_parser_shrunk(
        model, dataset, whole, [10, 25, 25, 60], on_picture=lambda: seen.append(1)
    )
    assert len(seen) == 18 and sorted(set(of.picture)) == list(range(6))
    one = audit.audit(of, FAST)["by"][audit_units.SHRUNK_AXIS]
    assert [r["group"] for r in one["groups"]] == ["as it is", "25 px", "10 px"]
    values = [r["value"] for r in one["groups"]]
    assert values[0] == 1 and values[0] > values[1] > values[2]
    assert one["gap"]["best"] == "as it is" and one["gap"]["excludes_zero"]


# --- a detector ----------------------------------------------------------------------------------


def test_a_detector_on_part_labels():
    samples = [drawn_sample(i, 64) for i in range(4)]
    empty = replace(samples[0], labels=samples[0].labels * 0)
    box = groups.head_box(samples[0].labels, SET)
    of = audit_units.of_detector_on_parts(Boxes([box]), ListOf([*samples, empty]))
    assert of.counts[:, 0, 0].tolist() == [1, 1, 1, 1] and of.picture.tolist() == [0, 1, 2, 3]
    of = audit_units.of_detector_on_parts(Boxes([(0, 0, 9, 9)]), ListOf(samples), limit=3)
    assert of.counts[:, 0, 0].tolist() == [0, 0, 0]
    assert set(of.groups) == set(groups.AXES)


def test_a_detector_on_boxes():
    boxes = [(0, 0, 10, 10), (20, 20, 60, 60), (70, 0, 90, 20)]
    seen = []
    of = audit_units.of_detector(
        Boxes([(1, 0, 10, 10), (68, 0, 90, 21)]),
        ListOf([head_sample(boxes), head_sample([])]),
        on_picture=lambda: seen.append(1),
    )
    assert of.counts[:, 0, 0].tolist() == [1, 0, 1] and len(seen) == 2
    assert list(of.groups["head size"]) == ["<16 px", "32-64 px", "16-32 px"]
    assert set(of.groups) == {"head size", "brightness"}  # no skin, no points


def test_points_tell_the_pose_of_boxes():
    one = head_sample([(0, 0, 20, 20), (30, 0, 50, 20)])
    points = np.full((2, 7, 3), np.nan, np.float32)
    points[0, :3] = (5, 5, 1), (15, 5, 1), (10, 9, 1)
    points[1, :3] = (35, 5, 1), (45, 5, 0), (32, 9, 1)
    of = audit_units.of_detector(Boxes([]), ListOf([replace(one, points=points)]))
    names = [groups.group_of(v, groups.POSES) for v in (0.0, 1.0)]
    assert list(of.groups["pose (yaw proxy)"]) == names


def test_a_parser_tells_the_tone_of_boxes():
    drawn = drawn_sample(0, 64)
    box = groups.head_box(drawn.labels, SET)
    one = replace(head_sample([box, (0, 0, 12, 12)], hw=(64, 64)), image=drawn.image)

    class Knows(Codebook):
        def predict(self, crops):
            probs = np.zeros((1, 19, 64, 64), np.float32)
            # a third of the crop is skin, but none in the second box
            probs[:, 1 if not self.calls else 13] = 1
            self.calls += 1
            return probs

    of = audit_units.of_detector(Boxes([]), ListOf([one]), tone_by=Knows(side_px=64))
    assert of.groups["skin tone (ITA, degrees)"][1] == groups.UNKNOWN
    assert of.groups["skin tone (ITA, degrees)"][0] in [name for name, _ in groups.TONES]


class Asleep:
    def detect(self, image):
        return [Head((0, 0, 1, 1), 0.1, Head.no_points())]


def test_the_page(parsed):
    found = audit.audit(audit_units.of_parser(parsed), FAST)
    card = {
        "data": {"dataset": EVIL, "split": "s"},
        "model": {"name": EVIL},
        "held_out": {"status": "not proven", "reason": EVIL, "is_test": True},
    }
    text = page_audit.render({"card": card, **found})
    seen = assert_safe(text)
    words = " ".join(seen.text)
    assert "individual typology angle" in words and "a gap is shown" in words
    assert "(small group)" in words or all(
        not r["small"] for one in found["by"].values() for r in one["groups"]
    )
    json.dumps(found, allow_nan=False)
    card["held_out"] = {"status": "trained on", "reason": "r", "is_test": False}
    assert "Not a test: r." in page_audit.render({"card": card, **found})
    recall = audit.audit(
        audit_units.of_detector(Asleep(), ListOf([head_sample([(0, 0, 20, 20)] * 3)])), FAST
    )
    card["held_out"] = {"status": "held out", "reason": "r", "is_test": True}
    assert "recall of heads" in page_audit.render({"card": card, **recall})


def test_a_picture_with_a_small_head_is_left_out_at_every_size():
    """Else the groups of the large sizes would hold other people than those of the small ones."""
    large, ids = drawn_sample(0, 64).labels, np.zeros((64, 64), np.uint8)
    ids[24:40, 24:40] = drawn_sample(1, 64).labels[16:48:2, 16:48:2]
    dataset = ListOf([sample(large, "large", 0), sample(ids, "small", 1)])
    box = groups.head_box(ids, SET)
    assert box is not None and max(box[2] - box[0], box[3] - box[1]) < 20
    model, protocol = Codebook(side_px=64), replace(protocols.get("celebamask18"), size_px=0)
    whole = run_parts.evaluate_parts(model, dataset, protocol)
    of = audit_units.of_parser_shrunk(model, dataset, whole, [20, 10])
    assert of.picture.tolist() == [0, 0, 0]
    assert of.groups[audit_units.SHRUNK_AXIS] == ["as it is", "20 px", "10 px"]
    of = audit_units.of_parser_shrunk(model, dataset, whole, [10])
    assert sorted(of.picture.tolist()) == [0, 0, 1, 1]
