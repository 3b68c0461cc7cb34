"""``faceparts VERB ...``: finds the verbs in this folder, turns errors into exit codes."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import click

from faceparts import __version__, folder
from faceparts.errors import FacePartsError, UnknownName, UsageError

ALIASES = {"anonymize": "hide"}
"""Other names of verbs."""

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
"""Beside 0, all done. Interrupted is 130 by Ctrl-C and by SIGTERM: what follows is the same."""

_STDERR_FILENO = 2


class Verbs(click.Group):
    """Every file of ``faceparts.cli`` is a verb: it defines ``COMMAND``; imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in folder.names("faceparts.cli") if name != "main"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in self.list_commands(ctx):
            return None
        command = folder.load("faceparts.cli", name).COMMAND
        return command if isinstance(command, click.Command) else None


@click.command(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all done, 1 something failed, 2 usage, 3 not proven, 130 interrupted "
    "(Ctrl-C, SIGTERM). "
    "'faceparts anonymize' is 'faceparts hide'.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def faceparts() -> None:
    """Find every head in photos, segment faces into parts, hide faces. Works offline.

    \b
    Example:
      faceparts hide photos -o hidden
      faceparts hide --help
    """


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    _fill_closed_streams()
    _widen_stdout()
    try:
        with _sigterm_interrupts():
            code = faceparts.main(prog_name="faceparts", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (UsageError, UnknownName) as error:
        _tell(str(error))
        code = EXIT_USAGE
    except BrokenPipeError:  # the reader of a pipe has seen enough; nothing to flush to any more
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    except (FacePartsError, OSError) as error:
        _tell(f"{type(error).__name__}: {error}")
        code = EXIT_FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo("faceparts: interrupted", err=True)
        code = EXIT_INTERRUPTED
    except RuntimeError as error:
        if "Symlink loop" not in str(error):  # Path.resolve() before Python 3.13
            raise
        _tell(f"{error}; name a file or folder that does not lead to itself")
        code = EXIT_USAGE
    sys.exit(code if isinstance(code, int) else 0)


def _fill_closed_streams() -> None:
    """Put the null device where a standard stream is closed.

    Otherwise the next file that is opened, such as a result, would take its place, and what
    libraries print would go there.
    """
    handle = os.open(os.devnull, os.O_RDWR)
    while handle <= _STDERR_FILENO:
        handle = os.dup(handle)
    os.close(handle)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process


def _widen_stdout() -> None:
    """Results are UTF-8 wherever they are sent; a terminal shows the numbers of letters it lacks.

    Elsewhere than on Linux a pipe may start with an encoding that lacks letters of file names.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = sys.stdout.encoding if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does; a second one kills, whatever the process waits for.

    Nothing changes where the signal is ignored or handled already, or outside the main thread.
    """

    def interrupt(number: int, _: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    free = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not free or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _tell(error: str) -> None:
    """One line on standard error, whatever the names of files in it are."""
    from faceparts._headers import one_line

    click.echo(f"faceparts: {one_line(error)}", err=True)
