"""One run of a verb over all its inputs: checks before, progress during, report after."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click
from tqdm import tqdm

from faceparts._headers import one_line, read_limit
from faceparts.cli import _report, _resume, _waiting
from faceparts.cli._held import HeldInterrupts
from faceparts.cli._options import STREAM, Common, check
from faceparts.cli._outputs import Outputs
from faceparts.cli._version import versions
from faceparts.cli._video_steps import VideoSteps
from faceparts.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from faceparts.errors import FacePartsError, UsageError
from faceparts.images import Picture, read_picture
from faceparts.run import Result, run
from faceparts.streams.files import (
    REPORT_NAME,
    InputFile,
    is_video,
    list_inputs,
    output_path,
    write_atomic,
)
from faceparts.types import Face, Frame, Head, Image

FoundT = TypeVar("FoundT", Head, Face)


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureFrame(Frame):
    """A frame that still knows the file it came from."""

    picture: Picture
    item: InputFile


@dataclass(eq=False)
class Session:
    """What is to be done and what was done so far.

    Args:
        verb: name of the command, for the report.
        common: the options that all verbs share.
        items: the pictures, found and counted before any work.
        settings: everything that the run was told, for the report.
        models: name, file and sha256 of the nets in use, for the report.
        left_out: how many files are no inputs, by reason; for the report.
        earlier: what an interrupted run did; its entries go into this report too.
    """

    verb: str
    common: Common
    items: list[InputFile]
    settings: dict[str, Any]
    models: list[dict[str, str]]
    left_out: dict[str, int] = field(default_factory=dict)
    earlier: _resume.Earlier = field(default_factory=_resume.Earlier)
    entries: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def name_outputs(self, suffix: str | Callable[[InputFile], str]) -> dict[str, Path]:
        """Output file of every input, mirrored into the output folder; empty without a folder."""
        out_dir = self.common.out_dir
        if out_dir is None:
            return {}
        endings = [suffix if isinstance(suffix, str) else suffix(item) for item in self.items]
        return {
            item.key: output_path(item, out_dir, suffix=ending)
            for item, ending in zip(self.items, endings, strict=True)
        }

    @cached_property
    def results(self) -> Outputs:
        """The files that this run writes."""
        common = self.common
        return Outputs(self.items, common.out_dir, common.force, self.earlier)

    def require_free(self, paths: Iterable[Path], there: Collection[Path] = ()) -> None:
        """Stop before the work if files of the run as a whole could not be written in the end.

        Args:
            there: those of the paths that are there already as they are to be.

        Raises:
            UsageError: a path is an input, or is to be the report or another of them too, or exists
                and ``--force`` is not given.
        """
        paths, reports = list(paths), [self.common.report]
        if self.common.out_dir is not None:
            reports.append(self.common.out_dir / REPORT_NAME)
        names = {report.resolve() for report in reports if report is not None}
        for path in paths:
            if path.resolve() in names:
                raise UsageError(f"{path}: the report goes there; give it another name")
        for i, path in enumerate(paths):
            for other in paths[:i]:
                if path.resolve() == other.resolve():
                    raise UsageError(
                        f"{path}: {other.name} goes there; give that file another name"
                    )
        self.results.require_free(path for path in paths if path not in there)

    def attempt(self, step: Callable[[], object]) -> None:
        """Do something for the run as a whole; what goes wrong is told and fails the run."""
        try:
            step()
        except (FacePartsError, OSError) as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            click.echo(f"faceparts: FAILED {one_line(self.errors[-1])}", err=True)

    def process(
        self,
        parse: Callable[[Image], Sequence[FoundT]],
        effect: Callable[[Image, Sequence[FoundT]], Image] | None,
        outputs: Mapping[str, Sequence[Path]],
        write: Callable[[PictureFrame, Image, Sequence[FoundT]], Sequence[str]],
        finish: Callable[[], None] = lambda: None,
        find: Callable[[PictureFrame], Sequence[FoundT]] | None = None,
        videos: VideoSteps | None = None,
    ) -> int:
        """Take all pictures through `faceparts.run.run` and write the report.

        Args:
            outputs: for each key the files that must not exist yet.
            write: gets the frame, the changed picture and what was found.
            finish: writes what belongs to the run as a whole; called after an interruption too.
            find: in place of ``parse`` where the frame's pixels alone do not tell enough.
            videos: what is done with inputs that are videos by their name, after the pictures;
                ``None`` takes them for pictures.

        Returns:
            The exit code: 0 all done, 1 something failed, 130 interrupted (Ctrl-C, SIGTERM).
        """
        common = self.common
        todo = self._todo()
        self.entries += self.earlier.entries
        self.results.taken = frozenset(
            path for key in self.earlier.failed for path in outputs.get(key, ())
        )
        reports = self._reports(outputs)
        notes: dict[str, tuple[str, ...]] = {}
        streams: dict[str, BinaryIO | OSError] = {}

        def read(item: InputFile) -> PictureFrame:
            self.results.refuse_existing(outputs.get(item.key, ()))
            source: Path | BinaryIO | OSError
            if item.path is None or item.key in streams:
                source = streams.pop(item.key)
            else:
                source = item.path
            if isinstance(source, OSError):
                raise source
            picture = read_picture(
                source,
                name="standard input" if item.path is None else str(item.path),
                max_pixels=common.max_megapixels * 1_000_000,
            )
            notes[item.key] = picture.notes
            return PictureFrame(item.key, picture.image, picture=picture, item=item)

        held = HeldInterrupts()

        def write_whole(
            frame: PictureFrame, image: Image, found: Sequence[FoundT]
        ) -> Sequence[str]:
            if not common.to_stdout:  # a pipe may block for ever
                held.hold()
            return write(frame, image, found)

        clips = [item for item in todo if videos is not None and is_video(item.path)]
        stills = [item for item in todo if videos is None or not is_video(item.path)]

        def read_video(item: InputFile) -> Frame:
            self.results.refuse_existing(outputs.get(item.key, ()))
            assert videos is not None
            frame, notes[item.key] = videos.read(item)
            return frame

        def work() -> Generator[Result[Any], None, None]:
            source = self._with_streams(stills, streams)
            yield from run(source, read, parse, effect, write_whole, find=find, jobs=common.jobs)
            if videos is not None:
                shown = self._shows_progress()
                write_video = partial(videos.write, hold=held.hold, shown=shown)
                look: Any = partial(videos.find, shown=shown)  # in the place of ``parse``
                yield from run(clips, read_video, parse, None, write_video, find=look)

        started, start = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
        interrupted, whole_run = False, dict[str, str]()

        def tell(status: str) -> dict[str, Any]:
            return _report.report(
                self.verb,
                status,
                self.settings,
                self.entries,
                errors=self.errors,
                seconds=time.perf_counter() - start,
                started=started,
                versions=versions(),
                models=self.models,
                left_out=self.left_out,
                resumed=len(self.earlier.entries),
                outputs_sha256=whole_run,
            )

        # Marks the folder as results from the first moment on, even if the process is killed.
        _publish(tell("running"), reports)
        clock, paths = _resume.Clock(), {item.key: item.path for item in todo}
        clip_keys = {item.key for item in clips}
        with (
            tqdm(
                total=len(todo),
                unit="picture",
                file=sys.stderr,
                disable=not self._shows_progress(),
                dynamic_ncols=True,
            ) as bar,
            closing(work()) as results,
        ):
            try:
                for result in results:
                    state = _resume.state_of(paths.get(result.key))
                    digests = [self.results.sha256.get(name) for name in result.outputs]
                    told = videos.told(result) if result.key in clip_keys and videos else None
                    entry = _report.picture_entry(
                        result, notes.pop(result.key, ()), state, digests, told
                    )
                    self.entries.append(entry)
                    held.release()
                    if result.error is not None:
                        line = one_line(f"{result.key}: {result.error}")
                        bar.write(f"faceparts: FAILED {line}", sys.stderr)
                    bar.update()
                    if reports and clock.is_due():
                        with clock:
                            _publish(tell("running"), reports)
            except KeyboardInterrupt:
                interrupted = True
        before = set(self.results.sha256)
        self.attempt(finish)
        whole_run |= {k: v for k, v in self.results.sha256.items() if k not in before}
        place = {item.key: i for i, item in enumerate(self.items)}
        self.entries.sort(key=lambda entry: place[entry["input"]])
        failed = bool(self.errors) or any(e["status"] == "failed" for e in self.entries)
        status = "interrupted" if interrupted else "failed" if failed else "done"
        done: dict[str, Any] = tell(status)
        text = _publish(done, reports)
        if common.json:
            click.echo(text, nl=False)
        if not common.quiet:
            where = f"; report: {reports[0]}" if reports else ""
            for line in (*_report.warnings_of(done), f"{_report.summary(done)}{where}"):
                click.echo(f"faceparts: {one_line(line)}", err=True)
        return EXIT_INTERRUPTED if interrupted else EXIT_FAILED if failed else 0

    def _todo(self) -> list[InputFile]:
        done = {entry["input"] for entry in self.earlier.entries}
        return [item for item in self.items if item.key not in done]

    def _with_streams(
        self, todo: Sequence[InputFile], streams: dict[str, BinaryIO | OSError]
    ) -> Iterator[InputFile]:
        """The inputs; standard input and pipes are read when their turn comes, here.

        `run` reads in another thread, which Ctrl-C does not reach: waiting for a pipe there could
        not be ended.
        """
        limit = read_limit(self.common.max_megapixels * 1_000_000)
        for item in todo:
            if _waiting.is_stream(item.path):
                try:
                    streams[item.key] = io.BytesIO(_waiting.read_stream(item.path, limit + 1))
                except OSError as error:  # raised again when the picture is read
                    streams[item.key] = error
            yield item

    def _shows_progress(self) -> bool:
        if self.common.progress is not None:
            return self.common.progress
        return sys.stderr.isatty() and not self.common.quiet

    def _reports(self, outputs: Mapping[str, Sequence[Path]]) -> list[Path]:
        """Files for the report; without ``--force`` an earlier one is kept under a number."""
        asked, out_dir = self.common.report, self.common.out_dir
        if asked is not None:
            refuse_among(f"--report {asked}", asked, outputs)
            self.results.require_free([asked])
        if out_dir is None:
            return [asked] if asked is not None else []
        path = out_dir / REPORT_NAME
        if path.exists() and not self.common.force:
            path.rename(_free_name(path))
        return [path] if asked is None else [path, asked]


def refuse_among(option: str, path: Path, outputs: Mapping[str, Sequence[Path]]) -> None:
    """Stop before the work if a file of the run as a whole would lie where a picture's result goes.

    Raises:
        UsageError: it is one of the outputs, or lies in one that is a folder.
    """
    place = path.resolve()
    for result in (result for results in outputs.values() for result in results):
        if result.resolve() in (place, *place.parents):
            raise UsageError(f"{option}: results go to {result}; give another name")


def _publish(done: Mapping[str, Any], paths: Iterable[Path]) -> str:
    """Write the report to all its files and return its text."""
    text = _report.to_json(done)
    for path in paths:
        write_atomic(path, text.encode(), force=True)
    return text


def open_session(
    verb: str,
    common: Common,
    settings: Mapping[str, Any],
    models: list[dict[str, str]],
    *,
    videos: bool = False,
) -> Session:
    """Find the inputs and put together what the report will say about the run.

    Args:
        videos: take videos from folders too.

    Raises:
        UsageError: no input at all, options that exclude each other, or nothing like this run to
            resume.
    """
    check(common)
    items, left_out = list_inputs(
        common.inputs, out_dir=common.out_dir, recursive=common.recursive, videos=videos
    )
    if common.to_stdout and len(items) != 1:
        raise UsageError(f"-o - takes one picture, got {len(items)}; use -o DIR")
    if common.to_stdout and videos and is_video(items[0].path):
        raise UsageError("-o - takes a picture, got a video; use -o DIR")
    told = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(common).items()}
    told |= dict(settings)
    earlier = _resume.Earlier()
    if common.resume and common.out_dir is not None:
        earlier = _resume.read_earlier(common.out_dir, verb, told, models, items)
    return Session(verb, common, items, told, models, left_out, earlier)


def emit(data: bytes) -> list[str]:
    """Write the one result to standard output."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return [STREAM]


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return kept
