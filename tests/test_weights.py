from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from faceparts import cards, weights
from faceparts.errors import BadWeights, UnknownName, UsageError
from faceparts.types import ModelCard


def test_the_card_is_read_from_the_file_without_onnx_or_protobuf(parser_file, parser_card):
    assert weights.read_card(parser_file) == parser_card
    code = (
        "import sys; from faceparts import weights; print(weights.read_card(sys.argv[1]).name);"
        "print(sorted({'onnx', 'google.protobuf', 'torch'} & set(sys.modules)))"
    )
    src = Path(weights.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(parser_file)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(src)},
    )
    assert done.stdout.split("\n")[:2] == ["tinyparser", "[]"]


@pytest.fixture
def models(tmp_path, monkeypatch, make_parser, parser_card) -> Path:
    """A folder of shipped nets: partnet in both precisions, headnet in one."""
    monkeypatch.setattr(weights, "MODELS", tmp_path)
    for name in ("partnet.onnx", "partnet.int8.onnx", "headnet.onnx"):
        make_parser(tmp_path / name, replace(parser_card, name=name))
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n"
        for p in sorted(tmp_path.glob("*.onnx"))
    ]
    (tmp_path / "SHA256SUMS").write_text("".join(lines))
    return tmp_path


def test_shipped_names_are_listed_once(models):
    assert weights.shipped() == ["headnet", "partnet"]


def test_a_name_gives_the_file_of_the_wanted_precision(models, monkeypatch):
    assert weights.find("partnet") == models / "partnet.int8.onnx"
    assert weights.find("partnet", precision="int8") == models / "partnet.int8.onnx"
    assert weights.find("partnet", precision="fp32") == models / "partnet.onnx"
    assert weights.find("headnet") == models / "headnet.onnx"
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    assert weights.find("partnet", device="cuda") == models / "partnet.onnx"
    assert weights.find("partnet", device="auto") == models / "partnet.onnx"


def test_unknown_names_are_listed(models):
    with pytest.raises(UnknownName, match=r"no weights named 'nose'.*headnet.onnx, partnet.int8"):
        weights.find("nose")
    with pytest.raises(UnknownName, match=r"'headnet' \(precision int8\)"):
        weights.find("headnet", precision="int8")
    with pytest.raises(UsageError, match="precision: got 'int4', wanted 'auto', 'int8' or 'fp32'"):
        weights.find("headnet", precision="int4")


def test_paths_are_taken_as_they_are(models, tmp_path):
    other = tmp_path / "deep" / "mine"
    other.parent.mkdir()
    other.write_bytes(b"")
    assert weights.find(other) == other
    assert weights.find(str(other)) == other
    for missing in (tmp_path / "none", str(tmp_path / "none"), "none.onnx"):
        with pytest.raises(BadWeights, match=r"none.*: no such weights file"):
            weights.find(missing)


def test_a_shipped_file_must_have_its_checksum(models):
    with (models / "headnet.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BadWeights, match=r"headnet.onnx: sha256 .* is not the listed .*again"):
        weights.find("headnet")
    assert weights.find("partnet")
    (models / "SHA256SUMS").unlink()
    with pytest.raises(BadWeights, match=r"partnet.int8.onnx: not listed in SHA256SUMS"):
        weights.find("partnet")


def test_damaged_files_are_refused_in_one_line(tmp_path, parser_file, monkeypatch):
    path = tmp_path / "bad.onnx"
    whole = parser_file.read_bytes()
    for content in (b"", b"garbage" * 99, whole[: len(whole) // 2], b"\x00" * 10_000):
        path.write_bytes(content)
        for act in (weights.session, weights.read_card):
            with pytest.raises(BadWeights, match=r"bad.onnx: not a usable ONNX file") as error:
                act(path)
            assert "\n" not in str(error.value)
    with pytest.raises(BadWeights, match=f"{tmp_path.name}: cannot be read: Is a directory"):
        weights.session(tmp_path)
    with pytest.raises(BadWeights, match="none: cannot be read: No such file"):
        weights.session(tmp_path / "none")
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 9)
    with pytest.raises(BadWeights, match=r"parser.onnx: \d+ bytes, wanted at most 9"):
        weights.session(parser_file)


def test_a_file_without_a_card_is_refused(tmp_path, make_net):
    node = helper.make_node("Identity", ["x"], ["y"])
    path = make_net(tmp_path / "a.onnx", None, [node], {}, {"x": [1]}, {"y": [1]})
    with pytest.raises(BadWeights, match=r"a.onnx: has no card"):
        weights.read_card(path)


def test_threads_and_devices(parser_file, monkeypatch):
    assert weights.session(parser_file, threads=1).get_session_options().intra_op_num_threads == 1
    options = weights.session(parser_file).get_session_options()
    assert options.intra_op_num_threads == weights.available_cores()
    with pytest.raises(UsageError, match="threads: got 0, wanted a whole number of at least 1"):
        weights.session(parser_file, threads=0)
    with pytest.raises(UsageError, match="device: got 'tpu', wanted 'cpu', 'cuda' or 'auto'"):
        weights.session(parser_file, device="tpu")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert weights.pick_device("auto") == "cpu"
    assert weights.session(parser_file, device="auto").get_providers() == ["CPUExecutionProvider"]
    with pytest.raises(UsageError, match=r"'cuda': this onnxruntime only has CPU.*onnxruntime-gpu"):
        weights.session(parser_file, device="cuda")


def test_cuda_that_does_not_start_is_an_error_not_a_slow_run(parser_file, monkeypatch):
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    assert weights.pick_device("auto") == "cuda"
    real = onnxruntime.InferenceSession

    def without_cuda(content, options, providers):
        assert providers == there
        return real(content, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", without_cuda)
    with pytest.raises(UsageError, match="'cuda': onnxruntime could not start CUDA"):
        weights.session(parser_file, device="cuda")


def test_cores_are_counted_where_affinity_is_unknown(monkeypatch):
    assert weights.available_cores() >= 1
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert weights.available_cores() == 1


def test_a_net_knows_its_shapes_and_is_opened_for_its_task_only(parser_file, parser_card):
    net = weights.open_net(parser_file, "segment", threads=1)
    assert net.card == parser_card
    assert net.input_shape == (None, 3, 32, 32)
    assert net.output_shapes == {"y": (None, 3, 32, 32)}
    with pytest.raises(BadWeights, match=r"is a net for 'segment', wanted one for 'detect'"):
        weights.open_net(parser_file, "detect")
    with pytest.raises(BadWeights, match=r"cannot run on input \(1, 3, 8, 8\)") as error:
        net.run(np.zeros((1, 8, 8, 3), np.uint8))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "inputs", [{"x": ["n", 4, 8, 8]}, {"x": ["n", 3]}, {"x": ["n", 3, 8, 8], "z": [1]}]
)
def test_other_inputs_are_refused(tmp_path, make_net, parser_card, inputs):
    path = tmp_path / "a.onnx"
    nodes = [helper.make_node("Identity", [name], [f"y{name}"]) for name in inputs]
    make_net(path, parser_card, nodes, {}, inputs, {f"y{k}": v for k, v in inputs.items()})
    with pytest.raises(BadWeights, match=r"inputs are .*; wanted one, float32 \(N, 3, H, W\)"):
        weights.open_net(path, "segment")


def takes_bytes(path: Path, card: ModelCard, out: Path) -> Path:
    """The same net behind its own normalisation: it takes pictures as they are."""
    model = onnx.load(str(path))
    (old,) = model.graph.input
    count, channels, height, width = (
        d.dim_param or d.dim_value for d in old.type.tensor_type.shape.dim
    )
    shape = [count, height, width, channels]
    for name, value in (("mean", card.mean), ("std", card.std)):
        tensor = onnx.numpy_helper.from_array(np.array(value, np.float32), name)
        model.graph.initializer.append(tensor)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["f"], to=1),
        helper.make_node("Sub", ["f", "mean"], ["c"]),
        helper.make_node("Div", ["c", "std"], ["d"]),
        helper.make_node("Transpose", ["d"], [old.name], perm=(0, 3, 1, 2)),
    ]
    for i, node in enumerate(nodes):
        model.graph.node.insert(i, node)
    old.CopyFrom(helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, shape))
    onnx.save(model, str(out))
    return out


def test_a_net_may_take_pictures_as_they_are(tmp_path, parser_file, parser_card):
    net = weights.open_net(parser_file, "segment", threads=1)
    same = weights.open_net(
        takes_bytes(parser_file, parser_card, tmp_path / "bytes.onnx"), "segment", threads=1
    )
    assert (net.takes_bytes, same.takes_bytes) == (False, True)
    assert same.input_shape == net.input_shape == (None, 3, 32, 32)
    images = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    wanted, got = net.run(images)["y"], same.run(images)["y"]
    assert got.shape == (2, 3, 32, 32) and np.ptp(got) > 1
    np.testing.assert_allclose(got, wanted, atol=1e-3)
    with pytest.raises(BadWeights, match=r"cannot run on input \(1, 8, 8, 3\)"):
        same.run(images[:1, :8, :8])


@pytest.mark.parametrize("shape", [["n", 3, 8, 8], ["n", 8, 3]])
def test_bytes_in_another_order_are_refused(tmp_path, parser_card, shape):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["pixels"], ["y"], to=1)],
        "bytes",
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {cards.KEY: cards.to_json(parser_card)})
    onnx.save(model, str(tmp_path / "a.onnx"))
    with pytest.raises(BadWeights, match=r"inputs are tensor\(uint8\) .*uint8 \(N, H, W, 3\)"):
        weights.open_net(tmp_path / "a.onnx", "segment")


def test_weights_stored_in_half_precision_are_taken(tmp_path, parser_file):
    model = onnx.load(str(parser_file))
    (old,) = [t for t in model.graph.initializer if t.name == "b"]
    half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(old).astype(np.float16), "b16")
    model.graph.initializer.remove(old)
    model.graph.initializer.append(half)
    model.graph.node.insert(0, helper.make_node("Cast", ["b16"], ["b"], to=1))
    onnx.save(model, str(tmp_path / "half.onnx"))
    assert weights.open_net(tmp_path / "half.onnx", "segment").card.name == "tinyparser"


def test_normalise_follows_the_card(parser_card):
    images = np.array([[[[0, 127, 255], [120, 110, 100]]], [[[255, 0, 9], [1, 2, 3]]]], np.uint8)
    mean, std = np.array([120.0, 110, 100]), np.array([60.0, 50, 40])
    expected = ((images - mean) / std).transpose(0, 3, 1, 2)
    blob = weights.normalise(images, parser_card)
    assert blob.dtype == np.float32
    np.testing.assert_allclose(blob, expected, atol=1e-5)
    assert weights.normalise(images[:0], parser_card).shape == (0, 3, 1, 2)


def test_opening_and_running_a_net_leaves_the_callers_arithmetic_alone(parser_file):
    """onnxruntime can be told to flush tiny numbers to zero; that would reach the whole process."""
    net = weights.open_net(parser_file, "segment", threads=1)
    net.run(np.zeros((1, 32, 32, 3), np.uint8))
    assert float(np.float32(1e-30) * np.float32(1e-10)) > 0


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_no_answer(tmp_path, make_net, parser_card, number):
    path, shape = tmp_path / "a.onnx", ["n", 3, 8, 8]
    broken = np.zeros((1, 3, 8, 8), np.float32)
    broken[0, 2, 5, 5] = number
    node = helper.make_node("Add", ["x", "b"], ["y"])
    make_net(path, parser_card, [node], {"b": broken}, {"x": shape}, {"y": shape})
    net = weights.open_net(path, "segment", threads=1)
    with pytest.raises(BadWeights, match="output 'y' has numbers that are not finite"):
        net.run(np.zeros((2, 8, 8, 3), np.uint8))
