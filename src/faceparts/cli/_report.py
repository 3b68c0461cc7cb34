"""The run's report: what was found where, what was written, what failed and why. Pure functions."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from faceparts.run import Result
from faceparts.streams.results import part_areas
from faceparts.types import POINTS, Face, Head

SCHEMA = 1


def picture_entry(
    result: Result[Any],
    notes: Sequence[str],
    state: Mapping[str, int | None] | None = None,
    digests: Sequence[str | None] = (),
    video: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One picture of the report; ``None`` where something does not apply.

    Args:
        state: ``input_bytes`` and ``input_mtime_ns`` of the file.
        digests: sha256 of the result's outputs, in their order.
        video: what there is to say of a video; its ``heads`` are the best sight of each.
    """
    height, width = result.source_hw or (None, None)
    entry: dict[str, Any] = {
        "input": result.key,
        **(state or {"input_bytes": None, "input_mtime_ns": None}),
        "status": result.status,
        "error": result.error,
        "width_px": width,
        "height_px": height,
        "notes": list(notes),
        "heads": [head_entry(found) for found in result.found],
        "outputs": list(result.outputs),
        "outputs_sha256": list(digests),
        "seconds": round(result.seconds, 4),
    }
    more = {"video": dict(video)} if video is not None else {}
    return entry | more | ({"trace": result.trace} if result.trace else {})


def head_entry(found: Head | Face) -> dict[str, Any]:
    """One head: box and points in picture pixels, and the area of each part if it was segmented."""
    head = found.head if isinstance(found, Face) else found
    entry: dict[str, Any] = {
        "box_xyxy": [round(v, 2) for v in head.box_xyxy],
        "score": round(head.score, 4),
        "source": head.source,
        "points_xys": {
            name: None if math.isnan(x) else [round(x, 2), round(y, 2), _number(score)]
            for name, (x, y, score) in zip(POINTS, head.points.tolist(), strict=True)
        },
    }
    if head.seen_by:
        entry["seen_by"] = list(head.seen_by)
    if isinstance(found, Face):
        entry["parts_px"] = part_areas(found)
        sure = found.confidence[found.labels != 0]
        entry["mean_confidence"] = round(float(sure.mean()), 4) if sure.size else None
    return entry


def read_head(entry: Mapping[str, Any]) -> Head:
    """The head that `head_entry` told of, as far as it did."""
    points = [entry["points_xys"].get(name) or (math.nan,) * 3 for name in POINTS]
    values = [[math.nan if v is None else v for v in point] for point in points]
    return Head(
        entry["box_xyxy"],
        entry["score"],
        np.asarray(values, np.float32),
        entry["source"],
        tuple(entry.get("seen_by", ())),
    )


def report(
    verb: str,
    status: str,
    settings: Mapping[str, Any],
    pictures: Sequence[Mapping[str, Any]],
    *,
    errors: Sequence[str],
    seconds: float,
    started: str,
    versions: Mapping[str, str],
    models: Iterable[Mapping[str, Any]],
    left_out: Mapping[str, int],
    resumed: int = 0,
    outputs_sha256: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The whole report.

    Args:
        status: ``"running"``, ``"done"``, ``"failed"`` (at least one picture) or ``"interrupted"``.
        settings: everything that the run was told.
        pictures: from `picture_entry`.
        errors: what went wrong with the run as a whole, one line each.
        started: ISO 8601.
        left_out: how many files of folders and patterns are no inputs, by reason.
        resumed: how many of the pictures an interrupted run did.
        outputs_sha256: files of the run as a whole, below the output folder, with their sha256.
    """
    counts = Counter(str(p["status"]) for p in pictures)
    return {
        "faceparts_report": SCHEMA,
        "status": status,
        "verb": verb,
        "started": started,
        "seconds": round(seconds, 3),
        "counts": {
            "pictures": len(pictures),
            **{name: counts[name] for name in ("ok", "no_faces", "failed")},
            "heads": sum(len(p["heads"]) for p in pictures),
            "videos": sum("video" in p for p in pictures),
        },
        "settings": dict(settings),
        "versions": dict(versions),
        "models": [dict(m) for m in models],
        "errors": list(errors),
        "left_out": dict(left_out),
        "resumed": resumed,
        "outputs_sha256": dict(outputs_sha256 or {}),
        "pictures": list(pictures),
    }


def to_json(value: object) -> str:
    """Readable JSON text that is always valid UTF-8, even where file names are not.

    Numbers that JSON cannot hold become ``null``.
    """
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        return to_json(_finite(value))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=1, allow_nan=False) + "\n"
    return text


def _finite(value: Any) -> Any:
    """The same with ``None`` for every number that is none or has no end."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def summary(done: Mapping[str, Any]) -> str:
    """The report in one line for a person."""
    counts = done["counts"]
    text = (
        f"{counts['pictures']} picture{'s' * (counts['pictures'] != 1)}: "
        f"{counts['ok']} with {counts['heads']} head{'s' * (counts['heads'] != 1)}, "
        f"{counts['no_faces']} without, {counts['failed']} failed; {done['seconds']:.1f} s"
    )
    if videos := done["counts"]["videos"]:
        text += f" ({videos} of them {'a video' if videos == 1 else 'videos'})"
    if done["resumed"]:
        text += f" ({done['resumed']} of them done before)"
    return f"interrupted after {text}" if done["status"] == "interrupted" else text


_NAMED = 20


def warnings_of(done: Mapping[str, Any]) -> list[str]:
    """What a person should look at, one line each: files left out, photos with nothing hidden."""
    lines = []
    if left_out := [f"{count} {reason}" for reason, count in done["left_out"].items()]:
        lines.append(f"left out: {', '.join(left_out)}")
    bare = [str(p["input"]) for p in done["pictures"] if p["status"] == "no_faces"]
    if bare and done["verb"] == "hide":
        more = f" and {len(bare) - _NAMED} more (see the report)" if len(bare) > _NAMED else ""
        lines.append(f"nothing hidden, look at them: {', '.join(bare[:_NAMED])}{more}")
    if done["verb"] == "hide":
        lines += [line for p in done["pictures"] if (line := _bare_frames(p))]
    return lines


def _bare_frames(entry: Mapping[str, Any]) -> str:
    """When there is nothing hidden in a video that has heads; empty if there is no such time."""
    video = entry.get("video", {})
    if entry["status"] != "ok" or not (spans := video.get("without_heads_s")):
        return ""
    times = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in spans[:_NAMED])
    more = f" and {len(spans) - _NAMED} times more" if len(spans) > _NAMED else ""
    return (
        f"{entry['input']}: nothing hidden in {video['frames_without_heads']} of "
        f"{video['frames']} frames, look at them: {times}{more}"
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
