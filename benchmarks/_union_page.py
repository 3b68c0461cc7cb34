"""The tables that benchmarks/union.py writes into docs/keypoints.md."""

from __future__ import annotations

from typing import Any

from _report import percent, table

SYSTEMS = (
    *("headnet", "headnet, no tiles", "keypoints", "keypoints, no tiles"),
    *("union", "union, no tiles"),
)
CURVES = ("headnet", "union")


def markdown(results: dict[str, Any]) -> str:
    """The tables of the page."""
    scut, others = results["scut_head"], results["others"]
    groups = [
        (name, g["heads"], *(percent(g["recall"][s]) for s in SYSTEMS))
        for name, g in scut["groups"].items()
    ]
    covered = [
        (name, g["heads"], *(percent(g["covered"][s]) for s in SYSTEMS))
        for name, g in scut["groups"].items()
    ]
    curves = []
    for name in (*SYSTEMS, *(f"{n}, curve" for n in CURVES)):
        for part in ("", "odd "):
            c = scut["curves"].get(part + name)
            if c is not None and (not part or name.endswith("curve")):
                curves.append(
                    (
                        f"{name} ({part.strip()} photos)" if part else name,
                        percent(c["precision"]),
                        percent(c["recall"]),
                        percent(c["recall_at_precision_0.9"]),
                        percent(c["average_precision"]),
                    )
                )
    rows = [
        (
            f"{name}, {o['photos']} photos, {what}",
            *(o[key][s] for s in SYSTEMS),
        )
        for name, o in others.items()
        for what, key in (("heads found", "heads"), (f"of {o['people']} people", "people_found"))
        if key == "heads" or o["people"]
    ]
    said = "; ".join(
        f"{name}: " + ", ".join(f"{k} {v}" for k, v in sorted(o["seen_by"].items()))
        for name, o in others.items()
    )
    boxes = [
        (name, r["heads"], percent(r["iou_at_least_half"]), r["mean_iou"], r["median_size_ratio"])
        for name, r in scut["rules"].items()
    ]
    return "\n\n".join(
        [
            "Recall in percent at default thresholds, SCUT-HEAD val:",
            table(("marked heads", "heads", *SYSTEMS), groups),
            "Covered in percent:",
            table(("marked heads", "heads", *SYSTEMS), covered),
            "Precision and recall; curves reach down to scores of 0.02:",
            table(
                ("system", "precision %", "recall %", "recall at precision 0.9 %", "AP %"), curves
            ),
            "Other photos, heads found:",
            table(("photos", *SYSTEMS), rows),
            f"Who saw what in the union: {said}.",
            "Boxes of the two rules where the pose model sees two points of a marked head:",
            table(
                ("rule", "heads", "IoU at least 0.5 %", "mean IoU", "median size / marked size"),
                boxes,
            ),
            f"Files: {', '.join(results['files'])}; thresholds: "
            + ", ".join(f"{name} {value:g}" for name, value in results["threshold"].items())
            + ".",
        ]
    )
