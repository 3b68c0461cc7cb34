"""Two models on the same pictures: paired differences with intervals.

Each resample draws pictures once and takes them for both models, so what makes a picture hard for
both cancels out. Rates are pooled over the drawn pictures, as in the reports themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadData, UsageError
from faceparts.evaluate import bootstrap
from faceparts.evaluate.report import plain

REPORT_FILE = "report.json"
MAX_REPORT_BYTES = 2**30
Report = Mapping[str, Any]
Counts = NDArray[np.int64]


def read_report(path: Path) -> dict[str, Any]:
    """A report from its file, or from the folder that holds it.

    Raises:
        BadData: there is none, or the file is something else.
    """
    file = path / REPORT_FILE if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_REPORT_BYTES:
            raise BadData(f"{file}: larger than {MAX_REPORT_BYTES} bytes; not a report")
        found = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BadData(
            f"{file}: cannot be read ({error.strerror}); give a folder that "
            "'faceparts evaluate -o' wrote"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadData(f"{file}: not JSON ({error}); evaluate again") from error
    if not isinstance(found, dict) or found.get("faceparts_evaluation") != 1:
        raise BadData(f"{file}: not a report of 'faceparts evaluate'; evaluate again")
    card = found.get("card")
    parts = [card.get(key) for key in ("protocol", "data")] if isinstance(card, dict) else [None]
    if not all(isinstance(part, dict) for part in parts):
        raise BadData(f"{file}: does not say how it was measured; evaluate again")
    return found


def check_same(a: Report, b: Report) -> None:
    """Refuse to compare what was not measured alike.

    Raises:
        UsageError: protocol, detector or pictures differ; the message names the first difference.
    """
    for section in ("protocol", "data"):
        ours, theirs = a["card"][section], b["card"][section]
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                raise UsageError(
                    f"the two were not measured alike: {section} {key.replace('_', ' ')} is "
                    f"{_short(ours.get(key))} and {_short(theirs.get(key))}; "
                    "evaluate both in the same way"
                )
    files = [(r["card"]["detector"] or {}).get("sha256") for r in (a, b)]
    if files[0] != files[1]:
        raise UsageError(
            "the two were not measured alike: the heads were found by different detectors; "
            "evaluate both with the same one"
        )


def _short(value: object) -> str:
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:57]}..."


def compare(
    a: Report, b: Report, *, resamples: int = bootstrap.RESAMPLES, seed: int = 1
) -> dict[str, Any]:
    """Differences b - a of every score that the pictures can be drawn again for.

    Args:
        a, b: reports of `report.build` on the same pictures.
        resamples: how often the pictures are drawn.
        seed: of the draws.

    Raises:
        UsageError: see `check_same`; or there are no pictures.
        BadData: a report's rows are damaged.
    """
    check_same(a, b)
    parts = list(a["classes"])
    counts = [picture_counts(r, len(parts)) for r in (a, b)]
    if not len(counts[0]):
        raise UsageError("there are no pictures in these reports; nothing to compare")
    cells = [superpixel_counts(r) for r in (a, b)]
    measures = _measures(parts, cells[0].sum() > 0)
    values = [
        {
            name: measure(c.sum(axis=0)[None], s.sum(axis=0)[None])
            for name, measure in measures.items()
        }
        for c, s in zip(counts, cells, strict=True)
    ]
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in measures}
    for chunk in bootstrap.weights(len(counts[0]), resamples, seed):
        sums = [bootstrap.pooled(chunk, c) for c in counts]
        supers = [bootstrap.pooled(chunk, c) for c in cells]
        for name, measure in measures.items():
            drawn[name].append(measure(sums[1], supers[1]) - measure(sums[0], supers[0]))
    rows = {
        name: _row(
            float(values[0][name][0]), float(values[1][name][0]), np.concatenate(drawn[name])
        )
        for name in measures
    }
    protocol = a["card"]["protocol"]
    return {
        "faceparts_comparison": 1,
        "protocol": dict(protocol),
        "data": dict(a["card"]["data"]),
        "a": {"model": dict(a["card"]["model"]), "held_out": dict(a["card"]["held_out"])},
        "b": {"model": dict(b["card"]["model"]), "held_out": dict(b["card"]["held_out"])},
        "difference": "b - a",
        "headline": protocol["headline"],
        "method": {
            "paired_bootstrap": "pictures drawn with replacement, the same for both; rates pooled "
            "over the drawn pictures; percentile interval",
            "resamples": resamples,
            "level": bootstrap.LEVEL,
            "seed": seed,
        },
        "scores": {n: rows[n] for n in measures if not n.startswith("f1 of ")},
        "classes": {part: rows[f"f1 of {part}"] for part in parts},
        "pictures": _pictures(a, b),
    }


_Measure = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def _measures(parts: list[str], has_superpixels: bool) -> dict[str, _Measure]:
    """(b, K, 3) counts and (b, 2) superpixels -> (b,) rates, by name."""

    def pixels_right(c: NDArray[Any], _: NDArray[Any]) -> NDArray[np.float64]:
        return _ratio(c[..., 0].sum(axis=-1), c[..., 1].sum(axis=-1))

    found: dict[str, _Measure] = {
        "mean_f1": lambda c, _: bootstrap.mean(bootstrap.f1(c)[..., 1:]),
        "mean_iou": lambda c, _: bootstrap.mean(bootstrap.iou(c)),
        "pixel_accuracy": pixels_right,
    }
    if has_superpixels:
        found["superpixel_accuracy"] = lambda _, s: _ratio(s[..., 0], s[..., 1])
    return found | {f"f1 of {part}": _f1_of(i) for i, part in enumerate(parts)}


def _f1_of(number: int) -> _Measure:
    return lambda counts, _: bootstrap.f1(counts[..., number, :])


def _ratio(top: NDArray[Any], bottom: NDArray[Any]) -> NDArray[np.float64]:
    out = np.full(np.shape(bottom), np.nan)
    return np.asarray(np.divide(top, bottom, out=out, where=np.asarray(bottom) > 0))


def _row(a: float, b: float, drawn: NDArray[np.float64]) -> dict[str, Any]:
    low, high = bootstrap.interval(drawn)
    known = np.isfinite(low) and np.isfinite(high)
    return {
        "a": plain(a),
        "b": plain(b),
        "difference": plain(b - a),
        "low": plain(low),
        "high": plain(high),
        "excludes_zero": bool(known and (low > 0 or high < 0)),
    }


def picture_counts(report: Report, classes: int) -> Counts:
    """(N, K, 3) hits, labelled and predicted pixels of every picture and class.

    Raises:
        BadData: a picture has other rows than that.
    """
    rows = [
        np.array([p.get("hits"), p.get("labelled"), p.get("predicted")], dtype=object)
        for p in report["pictures"]
    ]
    for picture, row in zip(report["pictures"], rows, strict=True):
        if row.shape != (3, classes):
            raise BadData(
                f"report: picture {picture.get('key')!r} has no {classes} counts; evaluate again"
            )
    if not rows:
        return np.zeros((0, classes, 3), np.int64)
    return np.stack(rows).astype(np.int64).transpose(0, 2, 1)


def superpixel_counts(report: Report) -> Counts:
    """(N, 2) right and all superpixels of every picture; zeros where the protocol has none."""
    return np.array([p["superpixels"] for p in report["pictures"]], np.int64).reshape(-1, 2)


def _pictures(a: Report, b: Report) -> dict[str, Any]:
    """How many pictures each is better on, and where they differ most."""
    pairs = [
        (p["key"], q["score"] - p["score"])
        for p, q in zip(a["pictures"], b["pictures"], strict=True)
        if p["score"] is not None and q["score"] is not None
    ]
    pairs.sort(key=lambda pair: pair[1])
    better = sum(d > 0 for _, d in pairs)
    worse = sum(d < 0 for _, d in pairs)

    def named(some: list[tuple[str, float]]) -> list[dict[str, Any]]:
        return [{"key": key, "difference": plain(d)} for key, d in some]

    return {
        "better": better,
        "worse": worse,
        "equal": len(pairs) - better - worse,
        "most_worse": named(pairs[:5]),
        "most_better": named(pairs[::-1][:5]),
    }
