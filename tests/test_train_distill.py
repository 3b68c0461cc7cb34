"""Teachers: ONNX and TFLite files answer alike, answers are translated, a student learns them."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from faceparts import cards, labels
from faceparts.errors import BadWeights, UsageError
from faceparts.labels import CELEBA19, FACE2, HAIR2, LAPA11, LFW3
from faceparts.train import augment, distill, loop
from faceparts.train.config import Distill, Phase, Source
from faceparts.train.distill import Teacher, TfliteSegmenter, load_teacher
from faceparts.train.nets import partnet
from faceparts.train.parts import PartsTask
from faceparts.types import LabelSet, ModelCard
from tflite_file import write_tflite
from train_world import PARTS, one_thread, write_world

SIDE = 16
KERNEL = np.float32([[2, -1, 0], [0, 2, -1], [-1, 0, 2]])
CARD = ModelCard(
    name="tiny",
    task="segment",
    label_set="lfw3",
    input_px=SIDE,
    mean=(127.5, 120.0, 110.0),
    std=(127.5, 100.0, 90.0),
    margin=0.25,
    trained_on=(),
    license="",
    data_license="",
    commercial_ok=True,
    metrics={},
    output="logits",
)


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    with one_thread():
        yield


def write_onnx(path: Path, kernel: np.ndarray = KERNEL, card: ModelCard = CARD) -> Path:
    shapes = [["n", 3, card.input_px, card.input_px], ["n", len(kernel), "h", "w"]]
    image, logits = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("image", "logits"), shapes, strict=True)
    )
    stored = numpy_helper.from_array(kernel[:, :, None, None], "kernel")
    node = helper.make_node("Conv", ["image", "kernel"], ["logits"])
    graph = helper.make_graph([node], "tiny", [image], [logits], [stored])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = cards.KEY, cards.to_json(card)
    onnx.save(model, path)
    return path


def crops(seed: int = 0, side: int = SIDE, count: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def by_hand(pictures: np.ndarray) -> np.ndarray:
    """(N, 3, S, S) probabilities of the tiny net."""
    logits = ((pictures - np.array(CARD.mean)) / np.array(CARD.std)) @ KERNEL.T
    odds = np.exp(logits)
    return (odds / odds.sum(-1, keepdims=True)).transpose(0, 3, 1, 2)


def test_tflite_answers_as_onnx_and_as_by_hand(tmp_path: Path) -> None:
    pictures = crops()
    lite = TfliteSegmenter(write_tflite(tmp_path / "a.tflite", KERNEL, CARD))
    assert lite.label_set == LFW3
    assert lite.card == CARD
    got = lite.predict(pictures)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, by_hand(pictures), atol=1e-5)
    other = load_teacher(str(write_onnx(tmp_path / "a.onnx")), tmp_path, LFW3).segmenter
    np.testing.assert_allclose(other.predict(pictures), got, atol=1e-5)
    assert lite.predict(pictures[:0]).shape == (0, 3, SIDE, SIDE)


def test_tflite_that_puts_out_ids_and_its_inner_tensor(tmp_path: Path) -> None:
    pictures = crops(1)
    card = replace(CARD, output="probs")
    hard = TfliteSegmenter(write_tflite(tmp_path / "a.tflite", KERNEL, card, ids=True))
    found = hard.predict(pictures)
    assert np.array_equal(found.argmax(1), by_hand(pictures).argmax(1))
    assert set(np.unique(found).tolist()) == {0.0, 1.0}
    soft = TfliteSegmenter(write_tflite(tmp_path / "b.tflite", KERNEL, CARD, ids=True, tensor=3))
    np.testing.assert_allclose(soft.predict(pictures), by_hand(pictures), atol=1e-5)


def test_whole_numbers_in_and_out(tmp_path: Path) -> None:
    detail: dict[str, Any] = {"dtype": np.int8, "quantization": (0.5, -3)}
    values = np.float32([-100.0, -1.0, 0.0, 0.2, 1.0, 100.0])
    assert distill._quantized(values, detail).tolist() == [-128, -5, -3, -3, -1, 127]
    plain: dict[str, Any] = {"dtype": np.float32, "quantization": (0.0, 0)}
    assert distill._quantized(values, plain).dtype == np.float32
    lite = TfliteSegmenter(write_tflite(tmp_path / "a.tflite", KERNEL, CARD))
    lite._output = {**lite._output, "quantization": (0.5, 2)}
    maps = lite._as_maps(np.int8([[[[2, 4]], [[2, 2]], [[2, 0]]]]), 3)  # logits 0 1, 0 0, 0 -1
    odds = np.exp([1, 0, -1])
    np.testing.assert_allclose(maps[:, 0], [[1 / 3, p] for p in odds / odds.sum()], rtol=1e-5)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no card", r"a\.json: no card for a\.tflite \(.*; write its ModelCard as a JSON object"),
        ("text card", r"a\.json: no card for a\.tflite"),
        ("list card", r"a\.json: no card for a\.tflite"),
        ("half card", r"a\.json: "),
        ("odd tensor", r'a\.json: "tensor" is \'3\'; wanted a whole number'),
        ("no tensor", r"a\.tflite: no tensor 99; correct it in a\.json"),
        ("cut", r"a\.tflite: not a readable TFLite file"),
        ("missing", r"a\.tflite: not a readable TFLite file"),
        ("size", r"a\.tflite: takes \[1, 16, 16, 3\], its card says \[1, 32, 32, 3\]"),
        ("parts", r"a\.tflite: puts out \[1, 16, 16, 3\]; wanted 2 maps or one of ids"),
    ],
)
def test_files_that_are_refused(damage: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    card, beside = CARD, path.with_suffix(".json")
    if damage in ("size", "parts"):
        card = replace(CARD, **{"size": {"input_px": 32}, "parts": {"label_set": "face2"}}[damage])
    tensor = {"odd tensor": {"tensor": "3"}, "no tensor": {"tensor": 99}}.get(damage, {})
    write_tflite(path, KERNEL, CARD)
    written = write_tflite(tmp_path / "b.tflite", KERNEL, card, **tensor)
    beside.write_text(written.with_suffix(".json").read_text())
    if damage == "no card":
        beside.unlink()
    elif damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage.endswith("card"):
        beside.write_text({"text card": "{", "list card": "[]", "half card": "{}"}[damage])
    with pytest.raises(BadWeights, match=message):
        TfliteSegmenter(path).predict(crops())


def test_without_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("ai_edge_litert"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'faceparts\[keypoints\]'"):
        TfliteSegmenter(tmp_path / "a.tflite")


class Says:
    """A segmenter with one answer everywhere."""

    card = CARD

    def __init__(self, label_set: LabelSet, **probs: float) -> None:
        self.label_set, self.probs = label_set, probs

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        answer = np.zeros(len(self.label_set.parts), np.float32)
        for part, value in self.probs.items():
            answer[self.label_set.id(part)] = value
        return np.broadcast_to(
            answer[None, :, None, None], (len(pictures), len(answer), SIDE, SIDE)
        ).copy()


def answer_of(source: Says, trained: LabelSet, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.setattr(distill.files, "load", lambda *_, **__: source)
    teacher = load_teacher("one", Path("data"), trained)
    probs = teacher.predict(crops(side=20))
    assert probs.shape == (2, len(trained.parts), 10, 10)
    assert np.allclose(probs, probs[0, :, :1, :1])
    pairs = zip(trained.parts, probs[0, :, 0, 0].tolist(), strict=True)
    return {part: round(value, 4) for part, value in pairs if value}


def test_answers_are_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Says(CELEBA19, hair=0.25, left_eye=0.75)
    assert answer_of(same, CELEBA19, monkeypatch) == {"hair": 0.25, "left_eye": 0.75}
    merged = Says(CELEBA19, hair=0.2, left_eye=0.5, nose=0.3)
    assert answer_of(merged, LFW3, monkeypatch) == {"hair": 0.2, "face": 0.8}
    # LaPa's background may be an ear or clothes; what is left of the answer is made whole
    unsure = Says(LAPA11, background=0.2, hair=0.6, nose=0.2)
    assert answer_of(unsure, CELEBA19, monkeypatch) == {"hair": 0.75, "nose": 0.25}
    assert answer_of(Says(LAPA11, background=0.6, hair=0.4), CELEBA19, monkeypatch) == {}


def test_a_teacher_of_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill.files, "load", lambda *_, **__: Says(HAIR2, hair=1.0))
    with pytest.raises(BadWeights, match="one: a teacher of hair2 knows no part of face2; take an"):
        load_teacher("one", Path("data"), FACE2)


def test_a_teacher_is_silent_under_what_was_pasted() -> None:
    teacher = Teacher(Says(LFW3, hair=1.0), np.eye(3, dtype=np.float32))
    covered = np.zeros((2, 20, 20), bool)
    covered[1, 4:8, 10:20] = True
    probs = teacher.batch(crops(side=20), covered)
    assert probs[0, 1].eq(1).all()
    says = probs[1].sum(0) > 0
    wanted = np.ones((10, 10), bool)
    wanted[2:4, 5:10] = False
    assert np.array_equal(says.numpy(), wanted)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_a_student_learns_what_its_teacher_says(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = write_world(tmp_path / "world")
    if kind == "onnx":
        write_onnx(world / "teacher.onnx")
    else:
        write_tflite(world / "teacher.tflite", KERNEL, CARD)
    monkeypatch.setattr(partnet, "build", lambda parts: nn.Conv2d(3, parts, 1))
    monkeypatch.setattr(augment, "photometric", lambda image, rng: image)  # both see the same
    recipe = replace(
        PARTS,
        label_set="lfw3",
        phases=(Phase(1.0, 32, 2),),
        data=(Source("celebamask", "people", "train", 1.0, weight=0.0),),  # labels do not count
        distill=Distill(f"teacher.{kind}", weight=1.0, temperature=2.0),
        loss={"ce": 1.0},
        optimizer="adamw",
        lr=0.05,
        steps=60,
        val=(),
        bf16=False,
    )
    task = loop.make_task(recipe, world)
    assert isinstance(task, PartsTask)
    batch = task.batch(1000, recipe.phases[0])
    assert batch.teacher is not None
    before, _ = task.loss(loop.make_net(recipe, 3), batch, 0.0)
    student = loop.train(recipe, world, tmp_path / "out", quiet=True).net
    after, shares = task.loss(student, batch, 1.0)
    assert shares["distill"] == pytest.approx(after.item(), rel=1e-5)
    assert after.item() < before.item() / 5
    with torch.no_grad():
        logits = nn.functional.interpolate(student(batch.images), (16, 16), mode="area")
    agreed = logits.argmax(1) == batch.teacher.argmax(1)
    assert agreed.float().mean() > 0.9


def test_every_label_set_can_teach_itself() -> None:
    for name in labels.names():
        own = labels.get(name)
        table = np.eye(len(own.parts), dtype=np.float32)
        got = Teacher(Says(own, **{own.parts[1]: 1.0}), table).predict(crops(side=8))
        assert (got[:, 1] == 1).all()
