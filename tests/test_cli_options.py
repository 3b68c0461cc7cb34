"""Flags made from effects, and the ends of ``main``."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest

from cli_world import SOURCE, call, encode, make_photo
from faceparts import folder
from faceparts.cli import _effects, main
from faceparts.cli._effects import EffectCommand, field_options, make_effect, try_out
from faceparts.cli._options import Common, Writing
from faceparts.errors import UnknownName, UsageError
from faceparts.labels import CELEBA19

EFFECTS = folder.names("faceparts.effects")


@pytest.mark.parametrize("name", EFFECTS)
def test_every_field_of_every_effect_is_a_flag(name: str) -> None:
    options = {option.name for option in field_options([name])}
    wanted = {f.name for f in fields(_effects.effect_class(name))}
    assert options == {f"effect_field_{field_name}" for field_name in wanted}
    taken = {f.name for kind in (Common, Writing) for f in fields(kind)}
    assert not wanted & taken, "the flag exists already"


@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_can_be_tried_out(name: str) -> None:
    assert try_out(make_effect(name, {}), CELEBA19) in (3, 4)


def test_unknown_parts_are_noticed_before_the_work() -> None:
    with pytest.raises(UnknownName, match="beard"):
        try_out(make_effect("cutout", {"what": "beard"}), CELEBA19)


def test_a_field_of_another_effect_is_refused() -> None:
    with pytest.raises(UsageError, match="--strength is no setting of solid; it has: what"):
        make_effect("solid", {"strength": 0.5})


def fake_effects(monkeypatch: pytest.MonkeyPatch, **kinds: type) -> None:
    def load(package: str, name: str) -> SimpleNamespace:
        return SimpleNamespace(EFFECT=kinds[name])

    monkeypatch.setattr(folder, "load", load)


@dataclass(frozen=True)
class Sparkle:
    """Sparkle."""

    many: bool = field(default=False, metadata={"help": "more of it"})
    size_share: float = field(default=0.5, metadata={"help": "how large"})

    def __call__(self, image: object, faces: object) -> np.ndarray:
        return np.zeros((2, 2, 3), np.uint8)


def test_flags_of_all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_effects(monkeypatch, sparkle=Sparkle)
    seen: list[object] = []

    @click.command(cls=EffectCommand, effects=("sparkle",))
    @click.option("--out")
    def command(out: str | None, chosen: dict[str, object]) -> None:
        seen.append((out, chosen))

    for arguments in ([], ["--many", "--size-share", "0.25"], ["--no-many", "--out", "x"]):
        command.main(arguments, standalone_mode=False)
    assert seen == [(None, {}), (None, {"many": True, "size_share": 0.25}), ("x", {"many": False})]


def test_a_default_of_0_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Plain:
        share: float = field(default=0.0, metadata={"help": "how much"})
        parts: str = field(default="", metadata={"help": "which"})

    fake_effects(monkeypatch, plain=Plain)
    assert [str(option.help)[-15:] for option in field_options(["plain"])] == [
        *(" [default: 0.0]", "[default: none]")
    ]


def test_effects_with_fields_that_make_no_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Listing:
        names: list[str] = field(default_factory=list, metadata={"help": "names"})

    @dataclass(frozen=True)
    class Needing:
        size: int = field(metadata={"help": "size"})

    @dataclass(frozen=True)
    class Silent:
        size: int = 1

    fake_effects(monkeypatch, listing=Listing, needing=Needing, silent=Silent)
    with pytest.raises(TypeError, match="field 'names' must be str, int, float or bool"):
        field_options(["listing"])
    with pytest.raises(TypeError, match="field 'size' must be str, int, float or bool and have"):
        field_options(["needing"])
    with pytest.raises(TypeError, match="field 'size' has no help text"):
        field_options(["silent"])


def test_unknown_verb_and_no_verb() -> None:
    done = call("fly")
    assert done.code == 2
    assert "No such command 'fly'" in done.err
    assert call("--help").out.startswith(b"Usage: faceparts")


def test_a_closed_pipe_is_no_stack_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(**_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(main.faceparts, "main", closed)
    done = call("models")
    assert (done.code, done.err) == (1, "")


def test_names_cannot_write_to_the_terminal(net: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a\nb\x1b[31m.png").write_bytes(b"no picture")
    options = ("--detector", "whole", "--model", net)
    done = call("hide", photos, "-o", tmp_path / "out", *options)
    assert done.code == 1
    assert "\x1b" not in done.err
    assert done.err.splitlines()[0].startswith(r"faceparts: FAILED a\nb\x1b[31m.png: Unreadable")
    missing = call("hide", "no\nsuch\x1b.png", "-o", tmp_path / "out", *options)
    assert missing.code == 2
    assert r"not found: no\nsuch\x1b.png" in missing.err


def test_standard_input_that_cannot_be_read(net: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(make_photo()))
    command = (
        'exec "$0" -m faceparts hide - "$1/a.png" -o "$1/out" --detector whole --model "$2" '
        "0>/dev/null"  # open, but for writing
    )
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, tmp_path, net],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert b"FAILED -: OSError: [Errno 9] Bad file descriptor" in done.stderr
    assert (tmp_path / "out" / "a.png").exists()


def test_no_standard_input_at_all(net: Path, tmp_path: Path) -> None:
    command = '"$0" -m faceparts hide - -o "$1" --detector whole --model "$2" <&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, tmp_path / "out", net],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == b"faceparts: there is no standard input (-); name a file\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "closed", "code", "told"),
    [
        (("hide", "-o", "out"), "2>&-", 0, b""),
        (("hide", "-o", "out"), ">&-", 0, b"1 picture: 1 with 1 head"),
        (("hide", "-o", "-"), ">&-", 2, b"there is no standard output (-o -, --json)"),
        (("hide", "-o", "out", "--json"), ">&-", 2, b"there is no standard output (-o -, --json)"),
        (("detect",), ">&-", 2, b"there is no standard output for the rows; use -o DIR"),
    ],
)
def test_standard_streams_that_are_closed(
    net: Path, tmp_path: Path, arguments: tuple[str, ...], closed: str, code: int, told: bytes
) -> None:
    (tmp_path / "a.png").write_bytes(encode(make_photo()))
    command = f'"$0" -m faceparts "$@" a.png --detector whole --model "{net}" {closed}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"},
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "out").exists() == (code == 0)


def test_no_command_is_described_in_half_a_sentence() -> None:
    for arguments in ((), ("data",)):
        listed = call(*arguments, "--help").out.decode().partition("Commands:")[2]
        assert listed and "..." not in listed


def test_a_report_on_standard_output_is_asked_for_by_json(net: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(make_photo()))
    options = ("--detector", "whole", "--model", net, "-o", tmp_path / "out")
    done = call("hide", tmp_path / "a.png", *options, "--report", "-")
    assert done.code == 2 and not (tmp_path / "out").exists()
    told = "--report -: got standard output, wanted a file; --json prints the report there"
    assert done.err == f"faceparts: {told}\n"
