"""A bare install starts fast and loads nothing that the command at hand does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faceparts import folder

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "error"}
VERBS = [name for name in folder.names("faceparts.cli") if name != "main"]


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        check=False,
    )


def modules_after(code: str) -> set[str]:
    done = run_python("-c", f"{code}\nimport sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


def test_import_loads_no_heavy_library() -> None:
    loaded = modules_after("import faceparts")
    assert loaded.isdisjoint({"torch", "cv2", "onnxruntime", "av", "PIL", "click"})
    assert "faceparts" in loaded


def test_the_command_line_itself_loads_no_heavy_library() -> None:
    loaded = modules_after("import faceparts.cli.main")
    assert loaded.isdisjoint({"torch", "cv2", "onnxruntime", "av", "PIL", "tqdm"})


def test_reading_pictures_loads_no_decoder_that_is_an_extra() -> None:
    assert "pi_heif" not in modules_after("import faceparts.images")


def test_version_as_a_process() -> None:
    done = run_python("-m", "faceparts", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("faceparts ")


@pytest.mark.parametrize("verb", [*VERBS, "anonymize"])
def test_help_of_every_verb_as_a_process(verb: str) -> None:
    done = run_python("-m", "faceparts", verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: faceparts {verb}")


@pytest.mark.parametrize("name", folder.names("faceparts.effects"))
def test_help_of_every_effect_as_a_process(name: str) -> None:
    done = run_python("-m", "faceparts", "apply", name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: faceparts apply {name}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "limit_s"),
    [(("-c", "import faceparts"), 0.15), (("-m", "faceparts", "--version"), 0.5)],
)
def test_start_up_time(arguments: tuple[str, ...], limit_s: float) -> None:
    """Processor time, the best of some tries: other work on the machine does not count."""
    times = []
    for _ in range(5):
        before = os.times()
        assert run_python(*arguments).returncode == 0
        after = os.times()
        spent = (after.children_user, after.children_system)
        times.append(sum(spent) - before.children_user - before.children_system)
    assert 0 < min(times) < limit_s
