"""``faceparts audit`` as it is called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cli_world import call, call_process, make_card, make_net
from dataset_folders import draw, write_figaro, write_scut_head
from evaluate_world import assert_safe, write_packed
from faceparts import labels
from faceparts.cli import _auditing
from faceparts.errors import UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces, every other one darker, in both the parts' and the heads' layout."""
    root = tmp_path_factory.mktemp("data")
    for i in range(6):
        one = draw(i)
        one = replace(one, image=(one.image * (0.4 if i % 2 else 1)).astype("uint8"))
        write_scut_head(root / "scut", "val", f"h{i}", one)
        square = replace(one, image=one.image[:, :90], ids=one.ids[:, :90])
        write_packed(root / "celeba", "val", f"p{i}", square)
    return root


def audit(model: object, where: str, *more: object):
    fast = ("--resamples", 100, "--threads", 1, "--small", 3)
    return call("audit", model, "--data", where, *fast, *more)


def test_a_parser_as_a_real_process(net: Path, data: Path, tmp_path: Path) -> None:
    done = call_process(
        *("audit", net, "--data", f"celebamask:{data}/celeba:val", "--small", 3),
        *("--resamples", 100, "-o", tmp_path / "a", "--progress"),
    )
    assert done.code == 0, done.err
    assert b"mean F1 of the parts" in done.out and "6/6" in done.err
    found = json.loads((tmp_path / "a" / "audit.json").read_text())
    assert set(found["by"]) == {
        *("skin tone (ITA, degrees)", "head size", "pose (yaw proxy)", "brightness")
    }
    assert found["metric"] == "f1" and found["overall"]["pictures"] == 6
    assert found["card"]["protocol"]["name"] == "celebamask18"
    assert found["by"]["brightness"]["gap"] is not None
    assert_safe((tmp_path / "a" / "audit.html").read_text())
    again = audit(net, f"celebamask:{data}/celeba:val", "-o", tmp_path / "a")
    assert again.code == 1 and "audit.html: exists already" in again.err


def test_a_detector_on_boxes_and_on_parts(heads_file: Path, data: Path, net: Path) -> None:
    done = audit(heads_file, f"scut_head:{data}/scut:val", "--json")
    assert done.code == 0, done.err
    assert done.json["metric"] == "recall" and done.json["overall"]["units"] == 6
    assert set(done.json["by"]) == {"head size", "brightness"}
    lowest = audit(heads_file, f"scut_head:{data}/scut:val", "--json", "--min-score", 0)
    assert lowest.json["card"]["model"]["min_score"] == 0.0
    done = audit(heads_file, f"scut_head:{data}/scut:val", "--json", "--tone-by", net)
    assert done.code == 0, done.err
    assert done.json["card"]["parser"]["name"] == "colours"
    done = audit("whole", f"celebamask:{data}/celeba:val", "--json")
    assert done.code == 0, done.err
    assert done.json["overall"]["units"] == 6 and len(done.json["by"]) == 4
    assert done.json["card"]["held_out"]["status"] == "not proven"
    assert audit("whole", f"celebamask:{data}/celeba:val", "--prove", "--quiet").code == 3
    assert audit(heads_file, f"scut_head:{data}/scut:val", "--prove", "--quiet").code == 0


def test_the_whole_picture_finds_large_heads(data: Path) -> None:
    done = audit("whole", f"scut_head:{data}/scut:val")
    assert done.code == 0 and b"recall of heads 0.0 %" in done.out


def test_what_does_not_go_together(net: Path, data: Path, tmp_path: Path) -> None:
    done = audit(net, f"scut_head:{data}/scut:val")
    assert done.code == 2 and "is a parser, but scut_head has head boxes only" in done.err
    write_figaro(tmp_path, "all", "a", draw())
    done = audit(net, f"figaro:{tmp_path}:all")
    assert done.code == 2 and "no protocol fits both the dataset (hair2)" in done.err
    done = audit("whole", f"figaro:{tmp_path}:all")
    assert done.code == 2 and "no labelled head in it" in done.err
    done = audit("whole", f"coco_keypoints:{tmp_path}:val2017")
    assert done.code == 2 and "has neither part labels nor head boxes" in done.err
    for model in (net, "whole"):
        done = audit(model, f"celebamask:{data}/celeba:val", "--tone-by", "nosuchmodel")
        assert done.code == 2 and "--tone-by nosuchmodel is for data with head boxes" in done.err
    done = audit("nosuchmodel", f"celebamask:{data}/celeba:val")
    assert done.code == 2 and "no weights named 'nosuchmodel'" in done.err


def test_shrunk_heads(net: Path, data: Path) -> None:
    where = f"celebamask:{data}/celeba:val"
    done = audit(net, where, "--json", "--shrink", "30, 12", "--progress")
    assert done.code == 0, done.err
    assert "18/18" in done.err
    rows = done.json["by"]["head size, the same pictures shrunk"]["groups"]
    assert [(r["group"], r["pictures"]) for r in rows] == [
        *(("as it is", 6), ("30 px", 6), ("12 px", 6)),
    ]
    for wrong in ("1", "x", "", "30,,12", "9999", "-5"):
        done = audit(net, where, f"--shrink={wrong}")
        assert done.code == 2 and "wanted pixels 4 to 2048" in done.err, wrong
    done = audit("whole", where, "--shrink", "30")
    assert done.code == 2 and "--shrink is for parsers, and whole is a detector" in done.err


def test_training_data_is_refused(data: Path, tmp_path: Path) -> None:
    learnt = make_net(
        tmp_path / "learnt.onnx", make_card(name="learnt", trained_on=("CelebAMask-HQ",))
    )
    where = f"celebamask:{data}/celeba:val"
    assert audit(learnt, where, "--quiet").code == 0
    done = audit(learnt, where, "--prove", "--quiet")
    assert done.code == 3 and "not proven" in done.err


def test_another_alignment(net: Path, data: Path) -> None:
    done = audit(
        *(net, f"celebamask:{data}/celeba:val", "--json"),
        *("--alignment", "detector", "--detector", "whole"),
    )
    assert done.code == 0, done.err
    assert done.json["card"]["protocol"]["alignment"] == "detector"
    assert done.json["card"]["detector"]["name"] == "whole"


def test_the_protocol_follows_from_the_labels() -> None:
    def name(source: object, parser: object) -> str:
        return _auditing.protocol_for(source, parser).name

    celeba = labels.CELEBA19
    assert name(celeba, celeba) == "celebamask18"
    assert name(labels.LAPA11, celeba) == "lapa10"
    assert name(labels.FASSEG6, celeba) == "fasseg-clean"
    assert name(labels.LFW3, celeba) == "lfw-pixel"
    assert name(celeba, labels.LFW3) == "lfw-pixel"
    assert name(labels.FACE2, celeba) == "visible-face"
    assert name(labels.NPRPORTRAIT15, celeba) == "nprportrait10"
    with pytest.raises(UsageError, match="no protocol fits both"):
        name(labels.HAIR2, celeba)
