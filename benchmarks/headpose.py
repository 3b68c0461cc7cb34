"""Head pose: yaw as ``measure`` reports it against FASSEG V3's test photos, and what it costs.

Photos of persons 08-15 go through head detector and parser; the largest face counts, the whole
picture where no head is found. Error and accuracy after moving the answer to the nearest of 13
poses, as in Khan et al., ICME 2017, and as measured. Time: median of the pose alone for one face.
What was learnt from persons 01-07 and how: docs/headpose.md. Needs ``fasseg`` in the data folder.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from _report import ROOT, arguments, data_folder, median_ms, progress, publish, table
from faceparts import _headpose
from faceparts.datasets._pairs import read_rgb
from faceparts.measure import measure
from faceparts.parse import FaceParser
from faceparts.train import headpose


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--parser", default="partnet", help="weights (default: partnet)")
    parser.set_defaults(page=ROOT / "docs" / "headpose.md")
    args = parser.parse_args()
    data = data_folder(args, "fasseg")
    detecting = FaceParser(segmenter=args.parser, threads=args.threads)
    whole = FaceParser("whole", args.parser, threads=args.threads)
    photos = headpose.list_v3(data / "fasseg", "Test")[: args.limit]
    told, missed, face = [], 0, None
    for photo in photos:
        image = read_rgb(photo.path)
        faces = detecting.parse(image)
        missed += not faces
        face = max(faces or whole.parse(image), key=lambda f: f.area_px())
        yaw = measure(face)["yaw_deg"]
        told.append(0.0 if np.isnan(yaw) else yaw)
        progress(f"{photo.key}: {yaw:.0f}")
    assert face is not None
    last = face
    results: dict[str, Any] = headpose.score(np.array(told), [p.yaw_deg for p in photos])
    results["no_head_found"] = missed
    calls = {"pose": lambda _: _headpose.measure_pose(last.labels, last.label_set)}
    results["pose_ms"] = median_ms(calls, 30)["pose"]
    publish("headpose", args, __doc__ or "", results, to_markdown(results))


def to_markdown(results: dict[str, Any]) -> str:
    """One row of scores."""
    names = ("photos", "pose_mae_deg", "pose_accuracy", "within_15_deg", "mae_deg", "pose_ms")
    row = [f"{results[name]:.3g}" for name in names]
    return table([name.replace("_", " ") for name in names], [row])


if __name__ == "__main__":
    main()
