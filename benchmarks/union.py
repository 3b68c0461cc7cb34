"""What the keypoint road adds to our head detector: recall by size, pose and occlusion.

SCUT-HEAD val: 110 photos with every head boxed, from all sides. Finds are matched best first to
the free marked head that they overlap most, from an IoU of 0.5 on (as in benchmarks/heads.py).
"Covered" asks less of a box and matters more for hiding: at least 70 % of the marked box lies under
found boxes. COCO: people of val2017 photos with at least one head keypoint marked as visible; one
is found if at least half of these lie in one found box. No people: 60 photos without any; what is
found there is wrong.

- headnet: the shipped detector at its default threshold.
- keypoints: a pose model for one person on the upper bodies below headnet's heads, on the whole
photo and on its tiles, at the card's threshold; box around the head.
- union: both, joined as --detector headnet+keypoints does.
- "no tiles": neither part looks at tiles (nor headnet at enlarged parts).

"At precision 0.9" is the largest recall with at least that precision; the curve of headnet runs
over all its finds from a score of 0.02 on, that of the union over these and the keypoints' finds at
the card's threshold. Some settings of the union (trust in boxes and scores, the threshold of
keypoints) were chosen on the photos with even numbers, so results on the odd ones are given too.

SCUT-HEAD has neither pose nor occlusion marked; stand-ins:
- pose: what the pose model sees on a crop around the *marked* head, keypoints that score at least
0.3 and lie in the box: both eyes and the nose = frontal; some of them = profile; none = from
behind, or too dark or blurred. Only heads of at least 24 px: below, it sees little of anything.
- occlusion: the share of the marked box under another marked box that reaches further down, so is
most likely nearer: none, up to 30 %, more.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _report import ROOT, arguments, data_folder, file_id, progress, publish
from _union_page import SYSTEMS, markdown
from faceparts import weights
from faceparts.datasets import scut_head
from faceparts.detect import _head_rules as rules
from faceparts.detect import headnet
from faceparts.detect._fuse import fuse
from faceparts.detect._pose_models import PoseModel, open_pose_model
from faceparts.detect._regions import body_around, heads_worth_looking, tiles, touches, whole
from faceparts.detect.keypoints import heads_from_people
from faceparts.errors import FacePartsError
from faceparts.evaluate import heads as rates
from faceparts.images import read_picture
from faceparts.types import Head, Image

LEAST_SCORE = 0.02
COVERED = 0.7
POSE_PX = 24
SEEN = 0.3
Found = dict[str, list[Head]]
Array = NDArray[np.float64]


@dataclass(eq=False)
class Tally:
    """Per marked head: what it is like, and by which system it was found."""

    groups: dict[str, list[NDArray[np.bool_]]] = field(default_factory=dict)
    found: dict[str, list[NDArray[np.bool_]]] = field(default_factory=dict)
    covered: dict[str, list[NDArray[np.bool_]]] = field(default_factory=dict)

    def add(self, table_of: dict[str, Any], name: str, values: NDArray[np.bool_]) -> None:
        """Note the values of one photo."""
        table_of.setdefault(name, []).append(values)


def main() -> None:
    args = _arguments().parse_args()
    data = data_folder(args, "scut_head", "no_people", "coco_keypoints", "photos")
    try:
        eyes = _Eyes(args)
        results = {
            "files": [file_id(weights.find("headnet")), file_id(args.pose)],
            "threshold": {"headnet": eyes.threshold, "keypoints": eyes.model.card.threshold},
            "scut_head": _scut_head(args, data / "scut_head", eyes),
            "others": _others(args, data, eyes),
        }
    except FacePartsError as error:
        sys.exit(str(error))
    publish("union", args, __doc__ or "", results, markdown(results))


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.add_argument(
        "--pose", type=Path, required=True, metavar="FILE", help="pose model, such as MoveNet"
    )
    parser.set_defaults(page=ROOT / "docs" / "keypoints.md")
    return parser


class _Eyes:
    """The detectors, each opened once."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.model: PoseModel = open_pose_model(args.pose, threads=args.threads)
        self._full = headnet.load(threads=args.threads)
        self._plain = headnet.load(threads=args.threads, tiles=False)
        self._all = headnet.load(threads=args.threads, min_score=LEAST_SCORE)
        self.threshold = self._full.card.threshold

    def look(self, image: Image, *, curves: bool) -> tuple[Found, Found]:
        """Heads by system at default thresholds, and for the curves."""
        own, plain = self._full.detect(image), self._plain.detect(image)
        body = self.model.card.body
        regions = [whole(image), *tiles(image)]
        people = [p[0] for p in self.model.find(image, regions)]
        near = {
            name: [p[0] for p in self.model.find(image, heads_worth_looking(some, image, body))]
            for name, some in (("own", own), ("plain", plain))
        }
        card = self.model.card
        keypoints = {
            name: heads_from_people(
                seen, card.threshold, scale=card.head_scale, known=known, image=image
            )
            for name, seen, known in (
                ("own", people + near["own"], own),
                ("plain", people[:1] + near["plain"], plain),
            )
        }
        found = {
            "headnet": own,
            "headnet, no tiles": plain,
            "keypoints": keypoints["own"],
            "keypoints, no tiles": keypoints["plain"],
            "union": fuse({"headnet": own, "keypoints": keypoints["own"]}),
            "union, no tiles": fuse({"headnet": plain, "keypoints": keypoints["plain"]}),
        }
        if not curves:
            return found, {}
        weak = self._all.detect(image)
        every = fuse({"headnet": weak, "keypoints": keypoints["own"]})
        return found, {"headnet": weak, "union": every}


# --- SCUT-HEAD --------------------------------------------------------------------------------


def _scut_head(args: argparse.Namespace, root: Path, eyes: _Eyes) -> dict[str, Any]:
    dataset = scut_head.load(root, "val")
    count = min(len(dataset), args.limit or len(dataset))
    tally = Tally()
    matches: dict[str, list[rates.Matches]] = {}
    rules_table: dict[str, list[tuple[float, float]]] = {}
    for i in range(count):
        if i % 10 == 0:
            progress(f"SCUT-HEAD: photo {i} of {count}")
        sample = dataset[i]
        marked = sample.boxes_xyxy.astype(np.float64)
        found, curves = eyes.look(sample.image, curves=True)
        for name, some in found.items():
            boxes = _boxes(some, sample.image)
            tally.add(tally.found, name, _matched(boxes, [h.score for h in some], marked))
            tally.add(tally.covered, name, _covered(boxes, marked))
        for group, values in _groups(eyes, sample.image, marked, i, rules_table).items():
            tally.add(tally.groups, group, values)
        for name, some in {**found, **{f"{n}, curve": c for n, c in curves.items()}}.items():
            one = rates.match(_boxes(some, sample.image), [h.score for h in some], marked)
            for part in ("", "even " if i % 2 == 0 else "odd "):
                matches.setdefault(part + name, []).append(one)
    pooled = {name: rates.curve(rates.pool(some)) for name, some in matches.items()}
    return {
        "photos": count,
        "curves": {
            name: {
                "average_precision": rates.average_precision(c),
                "precision": float(c.precision[-1]) if len(c.precision) else None,
                "recall": float(c.recall[-1]) if len(c.recall) else 0.0,
                "recall_at_precision_0.9": rates.recall_at_precision(c, 0.9)[0],
                "threshold_there": rates.recall_at_precision(c, 0.9)[1],
            }
            for name, c in pooled.items()
        },
        "groups": _by_group(tally),
        "rules": {
            name: {
                "heads": len(values),
                "iou_at_least_half": float(np.mean([iou >= 0.5 for iou, _ in values])),
                "mean_iou": float(np.mean([iou for iou, _ in values])),
                "median_size_ratio": float(np.median([ratio for _, ratio in values])),
            }
            for name, values in rules_table.items()
        },
    }


def _boxes(heads: Sequence[Head], image: Image) -> Array:
    """Cut at the photo's edges, where marked boxes end."""
    return rates.within([h.box_xyxy for h in heads], image.shape)


def _matched(boxes: Array, scores: Sequence[float], marked: Array) -> NDArray[np.bool_]:
    """Which marked heads are matched; as `faceparts.evaluate.heads.match` does it."""
    iou = rates.overlap(boxes, marked)
    hit = np.zeros(len(marked), bool)
    for i in np.argsort(-np.asarray(scores), kind="stable"):
        if not marked.size:
            break
        best = int(np.argmax(iou[i]))
        if iou[i, best] >= 0.5:
            hit[best] = True
            iou[:, best] = -1
    return hit


def _covered(boxes: Array, marked: Array, grid: int = 16) -> NDArray[np.bool_]:
    """Which marked heads lie under the boxes by `COVERED` of their area, on a grid of points."""
    steps = (np.arange(grid) + 0.5) / grid
    hit = np.zeros(len(marked), bool)
    for i, (x0, y0, x1, y1) in enumerate(marked):
        x, y = (a.ravel() for a in np.meshgrid(x0 + steps * (x1 - x0), y0 + steps * (y1 - y0)))
        under = np.zeros(x.shape, bool)
        for left, top, right, bottom in boxes:
            under |= (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        hit[i] = under.mean() >= COVERED
    return hit


def _groups(
    eyes: _Eyes,
    image: Image,
    marked: Array,
    number: int,
    rules_table: dict[str, list[tuple[float, float]]],
) -> dict[str, NDArray[np.bool_]]:
    """Group name -> which marked heads are in it; see the module for the stand-ins."""
    size_px = np.sqrt(np.prod(marked[:, 2:] - marked[:, :2], axis=1))
    groups = {"all": np.ones(len(marked), bool)}
    groups["photos with odd numbers"] = np.full(len(marked), number % 2 == 1)
    for low, high in rates.SIZE_BINS_PX:
        name = f"{rates.size_name((low, high))} px"
        groups[name] = (size_px >= low) & (size_px < high)
    large = np.flatnonzero(size_px >= POSE_PX)
    eyes_seen, face_seen = np.zeros(len(marked), bool), np.zeros(len(marked), bool)
    for i, seen in zip(large, _seen_in(eyes, image, marked[large]), strict=True):
        inside = (seen[:, :2] >= marked[i, :2]) & (seen[:, :2] <= marked[i, 2:])
        face = inside[:3].all(axis=1)
        eyes_seen[i], face_seen[i] = face.all(), face.any()
        _try_rules(seen, marked[i], size_px[i], rules_table)
    big = size_px >= POSE_PX
    groups["frontal"] = big & eyes_seen
    groups["profile"] = big & face_seen & ~eyes_seen
    groups["from behind or unclear"] = big & ~face_seen
    hidden = np.array([_hidden_share(i, marked) for i in range(len(marked))])
    groups["not occluded"] = hidden == 0
    groups["occluded up to 30 %"] = (hidden > 0) & (hidden <= 0.3)
    groups["occluded more"] = hidden > 0.3
    return groups


def _seen_in(eyes: _Eyes, image: Image, marked: Array) -> Iterator[Array]:
    """(17, 3) keypoints that are seen in the crop around each marked head."""
    for box in marked:
        head = Head(tuple(box.tolist()), 1.0, Head.no_points())
        region = body_around(head, eyes.model.card.body)
        if touches(region, image):
            yield eyes.model.find(image, [region])[0][0].seen(SEEN)
        else:
            yield np.full((17, 3), np.nan)


def _try_rules(
    seen: Array, box: Array, size_px: float, rules_table: dict[str, list[tuple[float, float]]]
) -> None:
    """Both rules' boxes against the marked one, where two points of this head were seen."""
    points = seen[:5]
    there = np.isfinite(points[:, 0])
    inside = (points[there, :2] >= box[:2]) & (points[there, :2] <= box[2:])
    if there.sum() < 2 or not inside.all():
        return
    for name, got in (("s0", rules.s0_box(points)), ("head", rules.head_box(seen))):
        if got is not None:
            iou = float(rates.overlap([got], [box])[0, 0])
            ratio = float(np.sqrt((got[2] - got[0]) * (got[3] - got[1])) / size_px)
            rules_table.setdefault(name, []).append((iou, ratio))


def _hidden_share(i: int, marked: Array) -> float:
    """Largest share of a marked box under another one that reaches further down."""
    box = marked[i]
    low, high = np.maximum(box[:2], marked[:, :2]), np.minimum(box[2:], marked[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1) / np.prod(box[2:] - box[:2])
    nearer = marked[:, 3] > box[3]
    return float(np.max(shared, where=nearer, initial=0.0))


def _by_group(tally: Tally) -> dict[str, Any]:
    found = {name: np.concatenate(values) for name, values in tally.found.items()}
    covered = {name: np.concatenate(values) for name, values in tally.covered.items()}
    groups: dict[str, Any] = {}
    for name, values in tally.groups.items():
        inside = np.concatenate(values)
        groups[name] = {
            "heads": int(inside.sum()),
            "recall": {s: _share(found[s][inside]) for s in SYSTEMS},
            "covered": {s: _share(covered[s][inside]) for s in SYSTEMS},
        }
    return groups


def _share(values: NDArray[np.bool_]) -> float | None:
    return round(float(values.mean()), 6) if len(values) else None


# --- photos without boxes ---------------------------------------------------------------------


def _others(args: argparse.Namespace, data: Path, eyes: _Eyes) -> dict[str, Any]:
    coco = json.loads((data / "coco_keypoints" / "person_keypoints_val2017.json").read_text())
    names = {image["file_name"]: image["id"] for image in coco["images"]}
    sets: dict[str, tuple[list[Path], Callable[[Path], list[Array]] | None]] = {
        "coco_keypoints": (
            sorted((data / "coco_keypoints" / "val2017").glob("*.jpg")),
            lambda path: _visible_points(coco["annotations"], names.get(path.name)),
        ),
        "photos": (sorted((data / "photos").glob("*.jpg")), None),
        "no_people": (sorted((data / "no_people").glob("*.jpg")), None),
    }
    results = {}
    for name, (every, people_of) in sets.items():
        paths = every[: args.limit] if args.limit else every
        progress(f"{name}: {len(paths)} photos")
        heads, hit = dict.fromkeys(SYSTEMS, 0), dict.fromkeys(SYSTEMS, 0)
        seen_by: dict[str, int] = {}
        people = 0
        for path in paths:
            image = read_picture(path).image
            found, _ = eyes.look(image, curves=False)
            points = people_of(path) if people_of else []
            people += len(points)
            for system, some in found.items():
                heads[system] += len(some)
                hit[system] += sum(_holds(some, xy) for xy in points)
            for head in found["union"]:
                key = "+".join(head.seen_by)
                seen_by[key] = seen_by.get(key, 0) + 1
        results[name] = {
            "photos": len(paths),
            "people": people,
            "heads": heads,
            "people_found": hit,
            "seen_by": seen_by,
        }
    return results


def _visible_points(annotations: Sequence[Any], image_id: int | None) -> list[Array]:
    """(K, 2) head keypoints that are marked as visible, of each person who has any."""
    people = []
    for one in annotations:
        if one["image_id"] == image_id and not one["iscrowd"]:
            points = np.array(one["keypoints"], np.float64).reshape(17, 3)[:5]
            if (points[:, 2] == 2).any():
                people.append(points[points[:, 2] == 2, :2] + 0.5)
    return people


def _holds(heads: Sequence[Head], xy: Array) -> bool:
    return any(
        ((xy >= h.box_xyxy[:2]) & (xy <= h.box_xyxy[2:])).all(axis=1).mean() >= 0.5 for h in heads
    )


if __name__ == "__main__":
    main()
