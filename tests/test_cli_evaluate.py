"""``faceparts evaluate`` as it is called: what it writes, refuses and exits with."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from cli_world import call, call_process, make_card, make_net
from dataset_folders import draw, write_scut_head
from evaluate_world import assert_safe, write_packed
from faceparts.cli import _evaluation
from faceparts.errors import UsageError
from faceparts.segment import forest
from faceparts.segment._trees import Trees
from forest_world import write_fasseg


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces in the packed CelebAMask layout, four to train and four to measure."""
    root = tmp_path_factory.mktemp("celebamask")
    for i in range(8):
        one = draw(i)
        square = type(one)(one.image[:, :90], one.ids[:, :90], one.box_xyxy, one.points, one.marks)
        write_packed(root, "val" if i % 2 else "train", f"face{i}", square)
    return root


@pytest.fixture(scope="module")
def other_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = make_card(name="learnt", trained_on=("CelebAMask-HQ: 4 pictures",))
    return make_net(tmp_path_factory.mktemp("net") / "learnt.onnx", card)


def evaluate(net: Path, data: Path, *more: object, split: str = "val"):
    return call(
        *("evaluate", net, "--data", f"celebamask:{data}:{split}"),
        *("--protocol", "celebamask18", "--threads", 1, *more),
    )


def test_as_a_real_process(net: Path, data: Path, tmp_path: Path) -> None:
    done = call_process(
        *("evaluate", net, "--data", f"celebamask:{data}:val", "--protocol", "celebamask18"),
        *("-o", tmp_path / "r", "--progress"),
    )
    assert done.code == 0, done.err
    assert b"mean F1 of the foreground classes" in done.out
    assert "4/4" in done.err and "hash" not in done.err
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    card = report["card"]
    assert card["protocol"]["name"] == "celebamask18"
    assert card["data"]["dataset"] == "celebamask" and card["data"]["pictures"] == 4
    assert card["model"]["sha256"] == sha256(net.read_bytes()).hexdigest()
    assert card["held_out"]["status"] == "held out"
    assert card["versions"]["numpy"] == np.__version__
    first = (data / "val" / "images" / "face1.jpg").read_bytes()
    assert report["pictures"][0]["sha256"] == sha256(first).hexdigest()
    seen = assert_safe((tmp_path / "r" / "report.html").read_text())
    assert len(seen.named("img")) == 9
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["report.html", "report.json"]


def test_json_is_the_report(net: Path, data: Path, tmp_path: Path) -> None:
    done = evaluate(net, data, "--json", "-o", tmp_path / "r", "--no-pictures", "--limit", 2)
    assert done.code == 0, done.err
    assert done.json == json.loads((tmp_path / "r" / "report.json").read_text())
    assert done.json["card"]["data"]["only_first"] == 2 and len(done.json["pictures"]) == 2
    assert "<img" not in (tmp_path / "r" / "report.html").read_text()
    assert evaluate(net, data, "--quiet").out == b""


def test_nothing_is_overwritten(net: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    done = evaluate(net, data, "-o", tmp_path)
    assert done.code == 1 and "report.html: exists already" in done.err
    assert (tmp_path / "report.html").read_text() == "mine"
    assert not (tmp_path / "report.json").exists()
    assert evaluate(net, data, "-o", tmp_path, "--force").code == 0
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_all_is_written_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="a folder"):
        _evaluation.write_all({tmp_path / "a": "x", tmp_path / "b": "y"}, force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]


def test_data_that_was_trained_on_is_refused(other_net: Path, data: Path, tmp_path: Path) -> None:
    done = evaluate(other_net, data, split="train")
    assert done.code == 2
    assert "says it was trained on this dataset ('CelebAMask-HQ: 4 pictures')" in done.err
    assert "or --anyway" in done.err
    done = evaluate(other_net, data, "--anyway", "-o", tmp_path, split="train")
    assert done.code == 0 and b"NOT A TEST" in done.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["card"]["held_out"]["is_test"] is False
    assert "Not a test" in (tmp_path / "report.html").read_text()


def test_a_held_out_split_is_not_proven_by_words(other_net: Path, data: Path) -> None:
    assert evaluate(other_net, data, "--quiet").code == 0
    done = evaluate(other_net, data, "--prove", "--quiet")
    assert done.code == 3
    assert "faceparts: not proven: the card of learnt names this dataset" in done.err


def test_lists_settle_it(other_net: Path, data: Path, tmp_path: Path) -> None:
    def sums(split: str) -> Path:
        images = sorted((data / split / "images").iterdir())
        file = tmp_path / f"{split}.txt"
        file.write_text("\n".join(sha256(i.read_bytes()).hexdigest() for i in images))
        return file

    done = evaluate(other_net, data, "--trained-on-list", sums("train"), "--prove", "--json")
    assert done.code == 0, done.err
    assert done.json["card"]["held_out"]["status"] == "held out"
    assert done.json["card"]["held_out"]["lists"][0]["file"] == "train.txt"
    done = evaluate(other_net, data, "--trained-on-list", sums("val"))
    assert done.code == 2 and "4 of these pictures are in the list of training" in done.err
    done = evaluate(
        other_net, data, "--trained-on-list", sums("val"), "--anyway", "--prove", "--quiet"
    )
    assert done.code == 3
    empty = tmp_path / "empty.txt"
    empty.write_text("none")
    done = evaluate(other_net, data, "--trained-on-list", empty)
    assert done.code == 1 and "BadData" in done.err and "not a list of" in done.err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "name a MODEL"),
        (("partnet",), "give --data NAME:ROOT:SPLIT and --protocol NAME"),
        (("partnet", "--protocol", "lapa10"), "give --data NAME:ROOT:SPLIT"),
        (("partnet", "--protocol", "nosuch"), "'nosuch' is not one of"),
        (("partnet", "--protocol", "lapa10", "--data", "celebamask"), "wanted NAME:ROOT:SPLIT"),
        (("partnet", "--protocol", "lapa10", "--data", "no:x:val"), "no dataset named 'no'"),
        (("partnet", "--compare", "a", "b"), "leave MODEL out"),
        (("--compare", "a"), "requires 2 arguments"),
    ],
)
def test_wrong_command_lines(arguments: tuple[str, ...], what: str) -> None:
    done = call("evaluate", *arguments)
    assert done.code == 2, done.err
    assert what in done.err


def test_roots_may_hold_colons() -> None:
    name = _evaluation.parse_data("celebamask:C:/data:val")
    assert (name.name, str(name.root), name.split) == ("celebamask", "C:/data", "val")
    for wrong in ("a:b", ":b:c", "a::c", "a:b:"):
        with pytest.raises(UsageError, match="wanted NAME:ROOT:SPLIT"):
            _evaluation.parse_data(wrong)


def test_what_does_not_fit_is_refused_before_any_work(net: Path, tmp_path: Path) -> None:
    write_scut_head(tmp_path, "val", "a", draw())
    done = call("evaluate", net, "--data", f"scut_head:{tmp_path}:val", "--protocol", "lapa10")
    assert done.code == 2 and "scut_head has head boxes, no part labels" in done.err
    (tmp_path / "val" / "images").rename(tmp_path / "gone")
    done = call("evaluate", net, "--data", f"celebamask:{tmp_path}:val", "--protocol", "lapa10")
    assert done.code == 1 and "BadData" in done.err


def test_a_picture_that_is_no_square_stops_it(net: Path, tmp_path: Path) -> None:
    write_packed(tmp_path / "data", "val", "wide", draw())
    done = evaluate(net, tmp_path / "data", "-o", tmp_path / "out")
    assert done.code == 1
    assert "a picture of 120x90 pixels under protocol celebamask18" in done.err
    assert not (tmp_path / "out").exists()


def test_another_alignment(net: Path, data: Path, heads_file: Path) -> None:
    done = evaluate(net, data, "--alignment", "detector", "--detector", "whole", "--json")
    assert done.code == 0, done.err
    assert done.json["card"]["protocol"]["name"] == "celebamask18, alignment detector"
    assert done.json["card"]["detector"]["name"] == "whole"
    done = evaluate(net, data, "--alignment", "detector", "--detector", heads_file, "--json")
    assert done.code == 0, done.err
    found = done.json["card"]["detector"]
    assert found["sha256"] == sha256(heads_file.read_bytes()).hexdigest()
    assert found["min_score"] == 0.3


def test_a_forest(tmp_path: Path) -> None:
    """A tree that says skin where it is bright and background where it is dark."""
    parts = ("background", "mouth", "nose", "right_eye", "left_eye", "hair", "skin")
    trees = Trees(
        kind="vote",
        roots=np.int32([0]),
        feature=np.int16([0, -1, -1]),
        threshold=np.float32([0.56, 0, 0]),
        left=np.int32([1, 0, 0]),
        value=np.eye(7, dtype=np.float32)[[0, 6]],
        tree_part=np.int32([]),
        baseline=np.float64([]),
    )
    card = make_card(name="wood", label_set="wood7", trained_on=("nothing",))
    wood = forest.Forest(card, parts, 32, (forest.Stage(("gray", "xy"), trees),))
    file = tmp_path / "wood.npz"
    file.write_bytes(forest.to_bytes(wood))
    data = write_fasseg(tmp_path / "fasseg", 3)
    for protocol in ("fasseg-clean", "fasseg-seed"):
        done = call(
            *("evaluate", file, "--data", f"fasseg:{data}:v2-test", "--protocol", protocol),
            *("--json", "-o", tmp_path / protocol),
        )
        assert done.code == 0, done.err
        assert done.json["card"]["model"]["sha256"] == sha256(file.read_bytes()).hexdigest()
        rates = done.json["classes"]
        assert rates["skin"]["f1"] > 0.6 and rates["hair"]["recall"] == 0
        assert rates["skin"]["recall"] > 0.8
    assert done.json["scores"]["pixel_accuracy"] > 0.5
    assert set(done.json["classes"]) == {*parts}


def test_a_detector_is_no_parser(heads_file: Path, data: Path) -> None:
    done = evaluate(heads_file, data)
    assert done.code == 2
    assert "finds heads; 'faceparts audit' measures how" in done.err


# --- two of them ---------------------------------------------------------------------------------


def test_two_reports(net: Path, other_net: Path, data: Path, tmp_path: Path) -> None:
    for name, file in (("a", net), ("b", other_net)):
        assert evaluate(file, data, "-o", tmp_path / name, "--quiet").code == 0
    out = tmp_path / "c"
    done = call(
        *("evaluate", "--compare", tmp_path / "a", tmp_path / "b", "-o", out, "--resamples", 100)
    )
    assert done.code == 0, done.err
    assert b"A colours, B learnt" in done.out and b"No difference" in done.out
    found = json.loads((out / "comparison.json").read_text())
    assert found["scores"]["mean_f1"]["difference"] == 0
    assert found["method"]["resamples"] == 100
    assert_safe((out / "comparison.html").read_text())
    again = call("evaluate", "--compare", tmp_path / "a", tmp_path / "b", "-o", out)
    assert again.code == 1 and "exists already" in again.err


def test_two_models(net: Path, other_net: Path, data: Path) -> None:
    done = call(
        *("evaluate", "--compare", net, other_net, "--data", f"celebamask:{data}:val", "--json"),
        *("--protocol", "celebamask18", "--resamples", 100),
    )
    assert done.code == 0, done.err
    assert done.json["b"]["model"]["name"] == "learnt"
    done = call("evaluate", "--compare", net, other_net)
    assert done.code == 2 and "give --data NAME:ROOT:SPLIT and --protocol" in done.err
    assert "no folder of a report" in done.err


def test_reports_of_other_pictures_are_refused(net: Path, data: Path, tmp_path: Path) -> None:
    assert evaluate(net, data, "-o", tmp_path / "a", "--quiet").code == 0
    assert evaluate(net, data, "-o", tmp_path / "b", "--quiet", "--limit", 2).code == 0
    done = call("evaluate", "--compare", tmp_path / "a", tmp_path / "b")
    assert done.code == 2 and "not measured alike: data" in done.err
    (tmp_path / "b" / "report.json").write_text("{}")
    done = call("evaluate", "--compare", tmp_path / "a", tmp_path / "b" / "report.json")
    assert done.code == 1 and "not a report of 'faceparts evaluate'" in done.err
