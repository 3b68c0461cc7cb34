"""``faceparts data answers``: asks, goes on, refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from cli_world import Done, call, call_process, make_card, make_net
from data_world import pattern, save_pair, save_set
from faceparts.cli import _data_answers
from faceparts.cli._data_answers import parse_net
from faceparts.datasets import celebamask
from faceparts.errors import BadData, UsageError
from faceparts.labels import CELEBA19
from faceparts.train import answers

K = len(CELEBA19.parts)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    save_set(tmp_path / "people")
    make_net(tmp_path / "net.onnx", make_card())
    return tmp_path


def ask(world: Path, *more: object, source: str = "people:train") -> Done:
    nets = () if "--net" in more else ("--net", world / "net.onnx")
    return call(
        *("data", "answers", f"celebamask:{world}/{source}", world / "said", "--threads", 2),
        *nets,
        *more,
    )


def report(world: Path) -> Any:
    return json.loads((world / "said" / "report.json").read_text("utf-8"))


def test_every_picture_gets_its_answer_once(world: Path) -> None:
    done = ask(world, "--json")
    assert done.code == 0, done.err
    assert done.json == report(world)
    assert done.json["made"] == done.json["pictures"] == 3
    (net,) = done.json["nets"]
    digest = hashlib.sha256((world / "net.onnx").read_bytes()).hexdigest()
    assert net == {"net": "net.onnx", "share": 1.0, "sha256": digest}
    dataset = celebamask.load(world / "people", "train")
    for sample in (dataset[i] for i in range(3)):
        path = world / "said" / f"{sample.key}.png"
        kept = answers.read(path, K, sample.labels.shape)
        assert np.abs(kept.sum(-1).astype(int) - 255).max() <= K / 2
    path.unlink()
    before = (world / "said" / f"{dataset[0].key}.png").stat().st_mtime_ns
    again = ask(world)
    assert again.code == 0 and "1 answers written" in again.out.decode()
    assert "2 were there" in again.out.decode()
    assert (world / "said" / f"{dataset[0].key}.png").stat().st_mtime_ns == before
    assert "3 answers written" in ask(world, "--force", "--closer").out.decode()


def test_as_process_with_progress(world: Path) -> None:
    done = call_process(
        *("data", "answers", f"celebamask:{world}/people:train", world / "said"),
        *("--net", f"{world}/net.onnx=0.5", "--net", "partnet=0.5", "--progress"),
    )
    assert done.code == 0, done.err
    assert "3/3" in done.err and report(world)["nets"][1]["share"] == 0.5


def test_other_nets_and_other_folders_are_refused(world: Path) -> None:
    assert ask(world).code == 0
    other = ask(world, "--closer")
    assert other.code == 2 and "something else than answers of these nets" in other.err
    make_net(world / "net.onnx", make_card(notes="another net of this name"))
    renewed = ask(world)
    assert renewed.code == 2 and "something else than answers of these nets" in renewed.err
    (world / "said" / "report.json").write_text("[]", "utf-8")
    assert ask(world).code == 2
    (world / "said" / "report.json").unlink()
    full = ask(world)
    assert full.code == 2 and "not empty" in full.err
    for out in (world / "people", world, world / "people" / "train" / "images" / "said"):
        inside = call(
            "data", "answers", f"celebamask:{world}/people:train", out, "--net", "partnet"
        )
        assert inside.code == 2 and "is, holds or lies in the dataset" in inside.err
        assert not (world / "people" / "train" / "images" / "said").exists()


def test_a_damaged_picture_fails_alone(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = celebamask.load(world / "people", "train")
    broken = dataset.pairs[1]
    broken.image.write_bytes(broken.image.read_bytes()[:99])
    done = ask(world)
    assert done.code == 1 and f"FAILED {broken.key}" in done.err
    assert list(report(world)["failed"]) == [broken.key]
    assert report(world)["status"] == "failed" and report(world)["made"] == 2

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_data_answers.answers, "shrink", interrupt)
    assert ask(world, "--force").code == 130


def test_labels_of_another_size_are_named(world: Path) -> None:
    pair = celebamask.load(world / "people", "train").pairs[0]
    PilImage.fromarray(pattern(7, (50, 40))).save(pair.image)
    done = ask(world)
    assert done.code == 1 and f"FAILED {pair.key}" in done.err
    assert "80x96 labels for a picture of 40x50" in done.err
    assert report(world)["made"] == 2


def test_nets_and_shares() -> None:
    assert parse_net("partnet") == ("partnet", 1.0)
    assert parse_net("a=b.onnx") == ("a=b.onnx", 1.0)
    assert parse_net("a=b.onnx=0.25") == ("a=b.onnx", 0.25)
    for text in ("partnet=", "partnet=-1", "partnet=nan", "=1", "partnet=0"):
        with pytest.raises(UsageError, match="wanted a number above 0"):
            parse_net(text)


def test_usage(world: Path) -> None:
    assert "no such" in ask(world, source="nowhere:train").err
    assert ask(world, "--net", world / "none.onnx").code != 0
    assert ask(world, "--label-set", "nothing").code == 2
    with pytest.raises(BadData):
        answers.read(world / "nothing.png", K, (4, 4))


def test_forced_answers_of_other_nets_leave_none_of_the_old_ones(world: Path) -> None:
    """A forced run that fails half-way must not let old answers pass for its own."""
    assert ask(world, "--closer").code == 0
    dataset = celebamask.load(world / "people", "train")
    key, image = dataset.pairs[0].key, dataset.pairs[0].image
    good = image.read_bytes()
    image.write_bytes(good[:50])
    assert ask(world, "--force").code == 1
    assert not (world / "said" / f"{key}.png").exists()
    image.write_bytes(good)
    done = ask(world)
    assert done.code == 0 and "1 answers written" in done.out.decode()
    assert (world / "said" / f"{key}.png").is_file()


def test_answers_about_other_pictures_of_the_same_names_are_refused(world: Path) -> None:
    assert ask(world).code == 0
    before = {p: p.read_bytes() for p in (world / "said").iterdir()}
    for seed, name in enumerate(("t0", "t1", "t2")):
        save_pair(world / "others", "train", name, pattern(50 + seed))
        save_pair(world / "people", "val", name, pattern(60 + seed))
    for source, why in (("others:train", "t0: was another picture"), ("people:val", "source")):
        other = ask(world, source=source)
        assert other.code == 2 and "about these pictures" in other.err and why in other.err
    assert {p: p.read_bytes() for p in (world / "said").iterdir()} == before
    done = ask(world, "--force", source="others:train")
    assert done.code == 0 and "3 answers written" in done.out.decode()
    assert {p: p.read_bytes() for p in (world / "said").iterdir()} != before
    assert ask(world).code == 2


def test_a_picture_that_was_mended_is_asked_about(world: Path) -> None:
    """Only what there is an answer about must be the same; a set may also grow."""
    image = celebamask.load(world / "people", "train").pairs[0].image
    good = image.read_bytes()
    image.write_bytes(good[:50])
    assert ask(world).code == 1
    image.write_bytes(good)
    save_pair(world / "people", "train", "t9", pattern(9))
    done = ask(world)
    assert done.code == 0 and "2 answers written" in done.out.decode()
    assert len(report(world)["sha256"]) == 4
    assert report(world)["sha256"]["t0"] == hashlib.sha256(good).hexdigest()


def test_a_report_that_does_not_name_its_pictures(world: Path) -> None:
    assert ask(world).code == 0
    told = report(world)
    del told["sha256"]
    (world / "said" / "report.json").write_text(json.dumps(told), "utf-8")
    done = ask(world)
    assert done.code == 2 and "report.json does not say whose they are" in done.err


def test_a_net_that_contradicts_the_labels_is_found_out(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one whose card tells a wrong mean: its answers would spoil a training."""
    monkeypatch.setattr(_data_answers, "TRIAL", 2)
    monkeypatch.setattr(answers, "agreement", lambda *_: (40, 100))
    done = ask(world)
    assert done.code == 1
    assert (
        "BadWeights: net.onnx agrees with 40 % of the labelled pixels; nothing was kept" in done.err
    )
    assert not list((world / "said").glob("*.png"))
    monkeypatch.setattr(answers, "agreement", lambda *_: (95, 100))
    good = ask(world, "--force")
    assert good.code == 0
    assert report(world)["agreement"] == {"net.onnx": 0.95}
    assert "net.onnx: as labelled in 95.0 % of the pixels" in good.out.decode()


def test_without_labels_nothing_can_be_said(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_data_answers, "TRIAL", 1)
    monkeypatch.setattr(answers, "agreement", lambda *_: (0, 0))
    assert ask(world).code == 0
    assert report(world)["agreement"] == {"net.onnx": None}


def test_a_card_beside_a_file_is_part_of_the_net(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(b"net")
    alone = _data_answers._hash(str(path))
    (tmp_path / "a.json").write_text('{"mean": [0, 0, 0]}')
    one = _data_answers._hash(str(path))
    (tmp_path / "a.json").write_text('{"mean": [1, 1, 1]}')
    assert len({alone, one, _data_answers._hash(str(path))}) == 3
