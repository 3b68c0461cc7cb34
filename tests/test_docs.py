"""What README and docs show is true: commands parse, code compiles, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from faceparts import folder
from faceparts.cli.main import faceparts

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\""
)
_SHELL = ("", "sh", "bash", "shell", "console", "text")


def blocks(text: str, *languages: str) -> Iterator[str]:
    for _, language, body in _FENCE.findall(text):
        if language in languages:
            yield body


def shown_commands(text: str) -> Iterator[list[str]]:
    """Arguments of every ``faceparts`` command line in fenced blocks."""
    for body in blocks(text, *_SHELL):
        for line in body.replace("\\\n", " ").splitlines():
            yield from _commands(line)


def named_commands(text: str) -> Iterator[list[str]]:
    """The same for inline code, which may leave out what goes without saying."""
    for code in re.findall(r"`([^`\n]+)`", _FENCE.sub("", text)):
        yield from _commands(code)


def _commands(line: str) -> Iterator[list[str]]:
    plain = line.strip().removeprefix("$ ")
    for piece in re.split(r"\s(?:\||&&|;|>>?|<)\s", plain):
        called = piece.removeprefix("python -m ")
        if called.startswith("faceparts ") and "..." not in called:
            yield shlex.split(called, comments=True)[1:]


def parse(arguments: list[str]) -> None:
    """Parse a command line as ``faceparts`` does, without doing anything."""
    command: click.Command = faceparts
    context = command.make_context("faceparts", list(arguments))
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, list(arguments))
        assert found is not None
        if isinstance(found, click.Group) and not arguments:
            raise click.MissingParameter(f"{name}: which?", param_hint="COMMAND", param_type="name")
        command, context = found, found.make_context(name, list(arguments), parent=context)


def _is_path(param: click.Parameter | None) -> bool:
    return param is not None and isinstance(param.type, click.Path)


def wrong_commands(text: str) -> list[str]:
    named = [(arguments, False) for arguments in named_commands(text)]
    wrong = []
    for arguments, is_whole in [*((a, True) for a in shown_commands(text)), *named]:
        try:
            parse(arguments)
        except click.exceptions.Exit:  # --help, --version
            continue
        except click.MissingParameter as error:
            if is_whole:
                wrong.append(f"faceparts {' '.join(arguments)}: {error.format_message()}")
        except click.ClickException as error:
            if isinstance(error, click.BadParameter) and _is_path(error.param):
                continue  # the reader's file need not be here
            wrong.append(f"faceparts {' '.join(arguments)}: {error.format_message()}")
    return wrong


def wrong_links(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere; ``#part`` is not looked at."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    targets = [one or other for one, other in _LINK.findall(text)]
    return [
        target
        for target in targets
        if not re.match(r"[a-z]+:|#", target) and not (page.parent / target.split("#")[0]).exists()
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_parse(page: Path) -> None:
    assert wrong_commands(page.read_text("utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_python_blocks_compile(page: Path) -> None:
    for body in blocks(page.read_text("utf-8"), "python", "py"):
        compile(body, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_relative_links_exist(page: Path) -> None:
    assert wrong_links(page) == []


def test_every_verb_and_effect_has_an_example() -> None:
    shown = list(shown_commands((ROOT / "docs" / "cli.md").read_text("utf-8")))
    verbs = {arguments[0] for arguments in shown if arguments}
    assert {name for name in folder.names("faceparts.cli") if name != "main"} <= verbs
    effects = {a[1] for a in shown if a[:1] == ["apply"] and len(a) > 1}
    assert set(folder.names("faceparts.effects")) <= effects


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command with everything below it, by their whole names."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands(found, f"{name} {below}")


@pytest.mark.parametrize("name", sorted(dict(commands(faceparts, "faceparts"))))
def test_every_help_has_an_example_that_parses(name: str) -> None:
    text = dict(commands(faceparts, "faceparts"))[name].help or ""
    assert "Example:\n" in text
    assert list(shown_commands(f"```\n{text}\n```"))
    assert wrong_commands(f"```\n{text}\n```") == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("```sh\nfaceparts fly a.jpg\n```", "No such command 'fly'"),
        ("```sh\n$ faceparts hide a.jpg -o out --colour red\n```", "No such option"),
        ("```sh\nfaceparts hide a.jpg \\\n  --effect no -o out\n```", "'no' is not one of"),
        ("```\ncat a.jpg | faceparts hide - > b.jpg\n```", "Missing option '-o'"),
        ("```\nfaceparts apply\n```", "apply: which?"),
        ("use `faceparts hide --colour red`", "No such option"),
    ],
)
def test_wrong_commands_are_noticed(text: str, what: str) -> None:
    (wrong,) = wrong_commands(text)
    assert what in wrong


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nfaceparts --version\nfaceparts hide --help  # help\n```",
        "```sh\ncat a.jpg | faceparts hide - -o - > b.jpg\n```",
        "`faceparts hide ... --what eyes`, `faceparts segment --overlay`, `faceparts apply`",
        "```python\nfaceparts fly\n```",
    ],
)
def test_right_commands_pass(text: str) -> None:
    assert wrong_commands(text) == []


def test_dead_links_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    (tmp_path / "b.md").write_text("")
    page.write_text(
        "[b](b.md#top) [c](c.md) ![d](d.png) [e](https://example.org) [f](#f) "
        '<img width="3" src="g.png">'
    )
    assert wrong_links(page) == ["c.md", "d.png", "g.png"]
