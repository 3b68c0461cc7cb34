"""What a run writes: all of a picture or nothing, never over an input or a result of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from faceparts.cli._resume import Earlier
from faceparts.errors import UnwritableOutput, UsageError
from faceparts.streams.files import InputFile, path_atomic, write_atomic


class _Terms(TypedDict):
    force: bool
    forbidden: list[Path]


@dataclass(eq=False)
class _Written:
    """Files of one picture with their sha256, and folders that were made for them."""

    digests: dict[Path, str] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)


@dataclass(eq=False)
class Outputs:
    """The files that a run writes, and those that it must not touch.

    Args:
        items: the pictures of the run.
        out_dir: the output folder; ``None`` without one.
        force: results of earlier runs may be replaced.
        earlier: what an interrupted run did.
        taken: results of pictures that an earlier run failed on: what is there is another's.
        sha256: of every file written, by its path relative to the output folder.
    """

    items: Sequence[InputFile]
    out_dir: Path | None
    force: bool
    earlier: Earlier
    taken: frozenset[Path] = frozenset()
    sha256: dict[str, str] = field(default_factory=dict)
    _written: dict[tuple[int, int], Path] = field(default_factory=dict)

    def write(self, files: Iterable[tuple[Path, bytes]]) -> list[str]:
        """Write all files of one picture or, if one cannot be written, none of them.

        Returns:
            Their paths, relative to the output folder.

        Raises:
            UnwritableOutput: a file exists and ``--force`` is not given, or would replace an input.
        """
        with self._all_or_none() as written:
            for path, data in files:
                write_atomic(path, data, **self._terms(path, written))
                written.digests[path] = hashlib.sha256(data).hexdigest()
        return [self._relative(path) for path in written.digests]

    def produce(self, path: Path, make: Callable[[Path], object], *, suffix: str) -> list[str]:
        """Let somebody write a large file by name, which gets its own name if that ends well.

        Args:
            make: gets the name to write to.
            suffix: ending of that name.

        Returns:
            As `write`.

        Raises:
            UnwritableOutput: as `write`.
        """
        with self._all_or_none() as written:
            terms = self._terms(path, written)
            with path_atomic(path, suffix=suffix, **terms) as temporary:
                make(temporary)
                with temporary.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            written.digests[path] = digest
        return [self._relative(path)]

    def _terms(self, path: Path, written: _Written) -> _Terms:
        """On what terms a file may be written; notes the folders that will be made for it."""
        self._refuse_written(path)
        written.folders += [folder for folder in path.parents if not folder.exists()]
        return {"force": self.may_replace(path), "forbidden": self._inputs_at(path)}

    @contextmanager
    def _all_or_none(self) -> Iterator[_Written]:
        """Remove what was written in the block if it does not end well, else remember it."""
        written = _Written()
        try:
            yield written
        except BaseException:
            for path in written.digests:
                path.unlink(missing_ok=True)
            for folder in sorted(written.folders, reverse=True):  # what lies inside comes first
                with suppress(OSError):
                    folder.rmdir()
            raise
        self._written |= {_file_at(path): path for path in written.digests}
        self.sha256 |= {self._relative(path): digest for path, digest in written.digests.items()}

    def drop_others(
        self, folder: Path, is_result: Callable[[Path], bool], written: Collection[str]
    ) -> None:
        """Remove what an earlier run wrote into a picture's folder and this one did not.

        Without ``--force``, which replaces the results of a picture as a whole, only what a report
        tells of.

        Args:
            is_result: whether a file of that folder may be a result; others stay.
            written: paths from `write`.
        """
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            ours = is_result(path) if self.force else path in self.earlier.own
            if ours and self._relative(path) not in written and not self._inputs_at(path):
                path.unlink(missing_ok=True)

    def may_replace(self, path: Path) -> bool:
        """Whether a file that exists may be written again."""
        if self.force or path in self.earlier.own:
            return True
        return self.taken.isdisjoint((path, *path.parents)) and self.earlier.may_replace(path)

    def _relative(self, path: Path) -> str:
        inside = self.out_dir is not None and path.is_relative_to(self.out_dir)
        return (path.relative_to(self.out_dir) if self.out_dir and inside else path).as_posix()

    def refuse_existing(self, paths: Iterable[Path]) -> None:
        """Stop before the work if its results could not be written in the end.

        Raises:
            UnwritableOutput: one of the paths is an input, or exists and ``--force`` is not given.
        """
        for path in paths:
            for one in self._inputs_at(path):
                raise UnwritableOutput(
                    f"{path}: would overwrite the input {one}; choose another folder with -o"
                )
            if path.exists() and not self.may_replace(path):
                advice = "choose another folder with -o or give --force"
                if self.earlier != Earlier():
                    advice = "no run has written it so; move it away, or begin anew with --force"
                raise UnwritableOutput(f"{path}: exists already; {advice}")

    def require_free(self, paths: Iterable[Path]) -> None:
        """The same for files of the run as a whole: without them nothing is begun.

        Raises:
            UsageError: as `refuse_existing`.
        """
        try:
            self.refuse_existing(paths)
        except UnwritableOutput as error:
            raise UsageError(str(error)) from None

    def _refuse_written(self, path: Path) -> None:
        """Keep ``--force`` from replacing results of this very run.

        Names that differ in case, or in how accents are composed, are one file on some systems.
        """
        try:
            other = self._written.get(_file_at(path))
        except OSError:
            return
        if other is not None:
            raise UnwritableOutput(
                f"{path}: would overwrite the result {other} of this run; rename an input"
            )

    def _inputs_at(self, path: Path) -> list[Path]:
        """The input that a path leads to, through links or not, if it does."""
        try:
            one = self._input_files.get(_file_at(path))
        except OSError:
            return []
        return [] if one is None else [one]

    @cached_property
    def _input_files(self) -> dict[tuple[int, int], Path]:
        found = {}
        for item in self.items:
            if item.path is not None:
                with suppress(OSError):
                    found[_file_at(item.path)] = item.path
        return found


def _file_at(path: Path) -> tuple[int, int]:
    """What tells a file from all others, whatever its names."""
    status = path.stat()
    return status.st_dev, status.st_ino
