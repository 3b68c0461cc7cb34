"""Videos as inputs of a verb: the steps that `Session.process` takes them through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from faceparts.cli._parser import Opened
from faceparts.cli._session import Session
from faceparts.run import Result
from faceparts.streams.files import InputFile
from faceparts.streams.video import OUT_SUFFIX, VideoReader
from faceparts.types import Face, Frame, Head, Image
from faceparts.video import Detect, Each, Seen, changed, look, write


@dataclass(frozen=True, eq=False, kw_only=True)
class VideoStart(Frame):
    """The first frame of a video, and the way to the others."""

    reader: VideoReader


@dataclass(eq=False)
class Videos:
    """What is done with a video: see `faceparts.video`.

    Args:
        parser: finds heads and parses them.
        effect: changes a frame.
        session: the run.
        targets: output file of every input.
        between, sure_score, hold_s: see `faceparts.video.look`.
    """

    parser: Opened
    effect: Callable[[Image, Sequence[Face]], Image]
    session: Session
    targets: Mapping[str, Path]
    between: Detect | None
    sure_score: float
    hold_s: float
    _seen: dict[str, Seen] = field(default_factory=dict)

    def read(self, item: InputFile) -> tuple[VideoStart, tuple[str, ...]]:
        """Open a video: its first frame, and notes on how it was read.

        Raises:
            UnreadableVideo: see `VideoReader`.
        """
        assert item.path is not None
        most = self.session.common.max_megapixels * 1_000_000
        reader = VideoReader(item.path, max_pixels=most)
        start = VideoStart(item.key, reader.first.image, reader.first.time_s, reader=reader)
        return start, reader.info.notes

    def find(self, frame: VideoStart, *, shown: bool) -> list[Head]:
        """The best sight of every head, best first.

        Raises:
            UnreadableVideo: see `VideoReader`.
        """
        with _bar(frame, "looking for heads", shown) as each:
            seen = look(
                frame.reader,
                self.parser.detect,
                between=self.between,
                sure_score=self.sure_score,
                hold_s=self.hold_s,
                each=each,
            )
        self._seen[frame.key] = seen
        return sorted((track.best for track in seen.tracks), key=lambda head: -head.score)

    def write(
        self,
        frame: VideoStart,
        image: Image,
        found: Sequence[Head],
        *,
        hold: Callable[[], None],
        shown: bool,
    ) -> list[str]:
        """Write the changed video.

        Args:
            image, found: not needed; a video is read again, frame by frame.
            hold: called when nothing may interrupt any more.

        Raises:
            UnreadableVideo, UnwritableOutput: see `faceparts.video`.
        """
        seen, reader = self._seen[frame.key], frame.reader
        frames = (new for new, _ in changed(reader, seen, self.parser.segment, self.effect))

        def make(path: Path) -> None:
            with _bar(frame, "writing", shown, len(seen.times_s)) as each:
                write(path, seen, frames, reader.info.size_wh, each)
            hold()

        return self.session.results.produce(self.targets[frame.key], make, suffix=OUT_SUFFIX)

    def told(self, result: Result[Any]) -> dict[str, Any]:
        """Frames, times and tracks for the report; as far as they were found."""
        seen = self._seen.pop(result.key, None)
        return {} if seen is None else seen.told()


@contextmanager
def _bar(frame: VideoStart, doing: str, shown: bool, total: int = 0) -> Iterator[Each]:
    """A progress bar over the frames of one video, below that of the run."""
    with tqdm(
        total=total or frame.reader.info.frames or None,
        desc=f"{frame.key}: {doing}",
        unit="frame",
        file=sys.stderr,
        disable=not shown,
        dynamic_ncols=True,
        leave=False,
        position=1,
    ) as bar:
        yield lambda _: bar.update()
