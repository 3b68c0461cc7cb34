"""Inputs are found once and never among results; no two results share a name."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceparts.errors import UsageError
from faceparts.streams.files import (
    PICTURE_SUFFIXES,
    REPORT_NAME,
    InputFile,
    find_inputs,
    list_inputs,
    output_path,
)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make files from a list of names; the working folder is a fresh one."""
    monkeypatch.chdir(tmp_path)

    def make_files(names: str) -> None:
        for name in names.split():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(name)

    return make_files


Make = Callable[[str], None]


def found(*arguments: str, out_dir: str | None = None, recursive: bool = True) -> dict[str, str]:
    """Key -> path of what is found."""
    inputs = find_inputs(
        arguments, out_dir=None if out_dir is None else Path(out_dir), recursive=recursive
    )
    keys = {item.key: "-" if item.path is None else item.path.as_posix() for item in inputs}
    assert len(keys) == len(inputs)
    return keys


# ---- find_inputs --------------------------------------------------------------------------------


def test_folder_is_mirrored_sorted_and_filtered(make: Make) -> None:
    make("p/b.PNG p/a.jpg p/notes.txt p/.hidden.jpg p/.cache/x.jpg p/sub/deep/c.tiff p/z.heic")
    assert list(found("p").items()) == [
        ("a.jpg", "p/a.jpg"),
        ("b.PNG", "p/b.PNG"),
        ("sub/deep/c.tiff", "p/sub/deep/c.tiff"),
        ("z.heic", "p/z.heic"),
    ]
    assert list(found("p", recursive=False)) == ["a.jpg", "b.PNG", "z.heic"]
    assert list(found(".")) == ["p/a.jpg", "p/b.PNG", "p/sub/deep/c.tiff", "p/z.heic"]
    assert list(found(os.path.abspath("p"), recursive=False)) == ["a.jpg", "b.PNG", "z.heic"]


def test_explicit_files_are_always_taken(make: Make) -> None:
    make("p/notes.txt p/.hidden.jpg p/a[1].jpg")
    assert list(found("p/notes.txt", "p/.hidden.jpg", "p/a[1].jpg")) == [
        *("notes.txt", ".hidden.jpg", "a[1].jpg"),
    ]


def test_standard_input_comes_once(make: Make) -> None:
    make("a.jpg")
    assert find_inputs(["-", "a.jpg", "-"], out_dir=None) == [
        InputFile(None, "-"),
        InputFile(Path("a.jpg"), "a.jpg"),
    ]


def test_patterns(make: Make) -> None:
    make("p/a.jpg p/b.png p/n.txt p/.h.jpg p/s/c.jpg p/s/t/d.jpg q/a.jpg")
    assert found("p/*.jpg") == {"a.jpg": "p/a.jpg"}
    assert list(found("p/**/*.jpg")) == ["a.jpg", "s/c.jpg", "s/t/d.jpg"]
    assert list(found("p/**.jpg")) == ["a.jpg"]
    assert list(found("*/a.jpg")) == ["p/a.jpg", "q/a.jpg"]
    assert list(found("p/*")) == ["a.jpg", "b.png", "s/c.jpg", "s/t/d.jpg"]
    assert list(found("p/**")) == ["a.jpg", "b.png", "s/c.jpg", "s/t/d.jpg"]
    assert list(found("p/[ab].???")) == ["a.jpg", "b.png"]
    assert list(found(os.path.abspath("p") + "/*.png")) == ["b.png"]


def test_every_file_comes_once(make: Make) -> None:
    make("p/a.jpg p/s/b.jpg")
    os.symlink("a.jpg", "p/same.jpg")
    assert list(found("p/a.jpg", "p", "p/*.jpg", "./p/../p/a.jpg")) == ["a.jpg", "s/b.jpg"]


def test_a_file_goes_before_links_to_it(make: Make) -> None:
    make("p/real.jpg")
    os.symlink("real.jpg", "p/link.jpg")
    os.symlink("real.jpg", "p/zlink.jpg")
    assert found("p") == {"real.jpg": "p/real.jpg"}
    assert found("p/link.jpg", "p/zlink.jpg") == {"link.jpg": "p/link.jpg"}


def test_what_is_passed_over_is_counted(make: Make) -> None:
    make(
        f"p/a.jpg p/b.MOV p/s/c.mov p/notes p/x.mpo p/y.CR2 p/z.hif p/.h.jpg p/._a.jpg p/.DS_Store "
        "p/.c/i.jpg "
        f"old/r.jpg old/{REPORT_NAME} old/r.jpg.npz old/deep/r.npz"
    )
    os.mkfifo("p/pipe.jpg")
    items, left_out = list_inputs(["p", "old", "p/*"], out_dir=None)
    assert [item.key for item in items] == ["a.jpg", "x.mpo", "y.CR2", "z.hif"]
    report = Path("old", REPORT_NAME).resolve()
    assert left_out == {
        "no picture by its name (.mov)": 4,  # two, and again for the pattern
        "no picture by its name (no ending)": 2,
        "hidden": 2,
        "hidden folder": 1,
        f"beside or below {report}, which marks results": 1,
    }
    assert list_inputs(["p/a.jpg"], out_dir=None)[1] == {}


def test_links_are_followed_but_not_in_circles(make: Make) -> None:
    make("p/a.jpg other/b.jpg")
    os.symlink("..", "p/up")
    os.symlink("../p", "p/self")
    os.symlink("../../other", "p/gone")
    assert list(found("p")) == ["a.jpg", "up/other/b.jpg"]
    assert list(found("p/**/*.jpg")) == ["a.jpg"]


def test_dead_links_are_errors_for_later_and_pipes_nothing(make: Make) -> None:
    make("p/a.jpg")
    os.symlink("nowhere", "p/dead.jpg")
    assert list(found("p")) == ["a.jpg", "dead.jpg"]
    assert list(found("p/dead.jpg")) == ["dead.jpg"]
    os.mkfifo("p/pipe.jpg")
    assert list(found("p")) == ["a.jpg", "dead.jpg"]
    assert list(found("p/pipe.jpg")) == ["pipe.jpg"]


def test_names_from_different_folders_never_clash(make: Make) -> None:
    make("x/a.jpg y/a.jpg x/b.jpg z/c.jpg u/x/a.jpg v/A.jpg")
    assert found("x/a.jpg", "y/a.jpg", "z/c.jpg") == {
        "x/a.jpg": "x/a.jpg",
        "y/a.jpg": "y/a.jpg",
        "c.jpg": "z/c.jpg",
    }
    whole = found("x", "y")  # a folder moves as a whole, so that its pictures stay together
    assert list(whole) == ["x/a.jpg", "x/b.jpg", "y/a.jpg"]
    deeper = found("x", "u/x")
    top = Path.cwd().name
    assert list(deeper) == [f"{top}/x/a.jpg", f"{top}/x/b.jpg", "u/x/a.jpg"]
    assert list(found("y/a.jpg", "v/A.jpg")) == ["y/a.jpg", "v/A.jpg"]
    assert list(found("y/../y", "x/")) == ["y/a.jpg", "x/a.jpg", "x/b.jpg"]


def test_clash_that_no_folder_in_front_resolves(make: Make) -> None:
    make("x/a.jpg X/a.jpg")
    if len(os.listdir()) == 1:  # a file system that takes both for one
        assert len(found("x", "X")) == 1
    else:
        assert len(found("x", "X")) == 2


def test_results_are_no_inputs(make: Make) -> None:
    make(f"p/a.jpg p/out/a.jpg old/{REPORT_NAME} old/r.jpg old/deep/r.jpg")
    assert list(found("p", out_dir="p/out")) == ["a.jpg"]
    assert list(found("p/a.jpg", "p/out/a.jpg", out_dir="p/out")) == ["a.jpg"]
    assert list(found("p", "old", "old/deep/r.jpg", "old/deep", "old/*.jpg")) == [
        *("a.jpg", "out/a.jpg"),
    ]
    os.symlink("../old/r.jpg", "p/link.jpg")
    os.symlink("../old", "p/linked")
    assert list(found("p", out_dir="p/out")) == ["a.jpg"]
    os.symlink("p/out", "elsewhere")
    assert list(found("p", out_dir="elsewhere")) == ["a.jpg"]


def test_what_was_left_out_is_said_when_nothing_is_left(make: Make) -> None:
    make(f"p/a.jpg p/b.jpg old/{REPORT_NAME} old/r.jpg e/n.txt")
    with pytest.raises(
        UsageError, match=r"no pictures in: p; left out 2 inside the output folder "
    ):
        found("p", out_dir=".")
    with pytest.raises(
        UsageError, match=rf"left out 1 beside or below .*{REPORT_NAME}, which marks"
    ):
        found("old")
    with pytest.raises(UsageError, match=r"no pictures in: e; looked for \.avif \.bmp .*\.webp$"):
        found("e")
    with pytest.raises(UsageError, match="no pictures in: no arguments; looked for"):
        found()


def test_a_report_that_appears_counts_at_once(make: Make) -> None:
    make("p/a.jpg")
    assert list(found("p")) == ["a.jpg"]
    make(f"p/{REPORT_NAME}")
    with pytest.raises(UsageError, match="left out 1"):
        found("p")


def test_missing_arguments_are_all_listed(make: Make) -> None:
    make("a.jpg")
    with pytest.raises(UsageError, match=r"not found: b\.jpg, q/\*\.png, '', x\[\0; check the"):
        found("a.jpg", "b.jpg", "q/*.png", "", "x[\0")


def test_folder_that_cannot_be_listed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make("p/a.jpg")

    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UsageError, match=r"p: cannot be listed \(Permission denied\)"):
        found("p")


# ---- output_path --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "suffix", "wanted"),
    [
        ("a.png", ".png", "a.png"),
        ("s/a.jpg", ".png", "s/a.jpg.png"),
        ("a.JPEG", ".jpg", "a.JPEG"),
        ("a.tif", ".tiff", "a.tif"),
        ("a.jpg.png", ".png", "a.jpg.png.png"),
        ("a.b.png", ".png", "a.b.png"),
        ("a.png", ".labels.png", "a.png.labels.png"),
        ("a", ".png", "a.png"),
        (".png", ".png", ".png.png"),
        ("a.jpg", ".npz", "a.jpg.npz"),
    ],
)
def test_output_names(key: str, suffix: str, wanted: str) -> None:
    assert output_path(InputFile(Path("p") / key, key), Path("out"), suffix=suffix) == Path(
        "out", *wanted.split("/")
    )


def test_output_of_standard_input() -> None:
    assert output_path(InputFile(None, "-"), Path("out"), suffix=".png") == Path("out/stdin.png")


NAMES = st.text("ab", min_size=1, max_size=2)
ENDINGS = st.lists(st.sampled_from(sorted(PICTURE_SUFFIXES)), min_size=1, max_size=3)


@settings(deadline=None)
@given(NAMES, ENDINGS, NAMES, ENDINGS, st.sampled_from([".png", ".jpg", ".tif", ".labels.png"]))
def test_different_pictures_have_different_outputs(
    one: str, ending: list[str], other: str, other_ending: list[str], suffix: str
) -> None:
    keys = one + "".join(ending), other + "".join(other_ending)
    paths = [output_path(InputFile(Path(key), key), Path(), suffix=suffix) for key in keys]
    assert (paths[0] == paths[1]) == (keys[0] == keys[1])


@pytest.mark.parametrize("suffix", ["png", "", "./png"])
def test_suffix_needs_its_dot(suffix: str) -> None:
    with pytest.raises(ValueError, match=r"suffix: got .*, wanted one such as '\.png'"):
        output_path(InputFile(Path("a"), "a"), Path("out"), suffix=suffix)


@pytest.mark.parametrize("key", ["../a.png", "/etc/a.png", "s/../../a.png", ""])
def test_key_never_leads_out(key: str) -> None:
    with pytest.raises(ValueError, match=r"key: got .*, wanted a relative path without '\.\.'"):
        output_path(InputFile(Path("a"), key), Path("out"), suffix=".png")
