"""What a session asks of a verb that takes videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from faceparts.run import Result
from faceparts.streams.files import InputFile
from faceparts.types import Frame, Head, Image


class VideoSteps(Protocol):
    """What a verb does with a video: the steps of `faceparts.run.run`, and what it says of it."""

    def read(self, item: InputFile) -> tuple[Frame, tuple[str, ...]]:
        """Open it: its first frame, and notes on how it was read."""

    def find(self, frame: Any, *, shown: bool) -> Sequence[Head]:
        """The best sight of every head in it."""

    def write(
        self,
        frame: Any,
        image: Image,
        found: Sequence[Head],
        *,
        hold: Callable[[], None],
        shown: bool,
    ) -> Sequence[str]:
        """Write the result; ``hold`` is called when nothing may interrupt any more."""

    def told(self, result: Result[Any]) -> dict[str, Any]:
        """What the report says of it besides."""
