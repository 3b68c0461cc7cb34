"""Caffemodels: read as written, run as OpenCV runs them, refused when they lie."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import caffe_files
import caffe_slow
from caffe_files import Layer, blob, chunk, number, varint
from faceparts.errors import BadWeights
from faceparts.train import _protobuf, caffe
from faceparts.train._caffe_fcn8s import to_fcn8s
from faceparts.train.caffe import read_caffemodel
from faceparts.train.nets.fcn8s import FCN8s
from make_caffe_reference import CASES, PATH, picture, run_opencv
from train_world import one_thread

FORMS = {
    "new": {},
    "v1": {"v1": True},
    "v1 with old shapes": {"v1": True, "old_shape": True},
    "unpacked": {"packed": False},
    "doubles": {"double": True},
    "unpacked doubles": {"double": True, "packed": False},
}


def two_layers() -> list[Layer]:
    rng = np.random.RandomState(0)
    parameters: dict[str, object] = {"num_output": 4, "pad": 7, "kernel_size": 3, "stride": 2}
    blobs = [rng.normal(size=(4, 3, 3, 3)).astype("f4"), rng.normal(size=4).astype("f4")]
    crop = Layer("score", "Crop", ["conv", "data"], "score", {"axis": 2, "offset": 31})
    return [Layer("conv", "Convolution", ["data"], "conv", parameters, blobs), crop]


def read(data: bytes, tmp_path: Path) -> dict[str, caffe.Layer]:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    return read_caffemodel(path)


def fcn8s_of(
    layers: list[Layer], tmp_path: Path, write: Callable[..., bytes] = caffe_files.caffemodel
) -> FCN8s:
    return to_fcn8s(read(write(layers), tmp_path), "net.caffemodel")


def scores_of(net: FCN8s, image: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad(), one_thread():
        out: NDArray[np.float32] = net(torch.from_numpy(image)[None])[0].numpy()
    return out


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_layers(form: str, tmp_path: Path) -> None:
    layers = two_layers()
    got = read(caffe_files.caffemodel(layers, **FORMS[form]), tmp_path)
    assert list(got) == ["conv", "score"]
    conv = got["conv"]
    assert conv.kind == "Convolution"
    assert conv.geometry == {"pad": (7,), "kernel": (3,), "stride": (2,)}
    for mine, theirs in zip(layers[0].blobs, conv.blobs, strict=True):
        assert theirs.dtype == np.float32
        assert np.array_equal(mine, theirs.reshape(mine.shape))
    old = form == "v1 with old shapes"
    assert conv.blobs[1].shape == ((1, 1, 1, 4) if old else (4,))
    assert got["score"].geometry == ({} if form.startswith("v1") else {"offset": (31,)})


def test_arrays_are_views_of_the_file(tmp_path: Path) -> None:
    big = Layer("a", "InnerProduct", [], "a", {}, [np.zeros((1000, 1000), np.float32)])
    data = caffe_files.caffemodel([big])
    tracemalloc.start()
    got = read(data, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert got["a"].blobs[0].shape == (1000, 1000)
    assert not got["a"].blobs[0].flags.writeable
    assert peak < 2e6 < len(data)  # a byte a value while checking that all are finite


def test_what_is_not_needed_is_passed_over(tmp_path: Path) -> None:
    odd = number(99, 2**63) + chunk(98, b"\xff" * 9) + varint(97 << 3 | 1) + b"12345678"
    body = chunk(1, "a") + odd + chunk(7, odd + blob(np.float32([[1, 2]]))) + number(11, 3)
    got = read(odd + chunk(100, body) + odd, tmp_path)
    assert got["a"].blobs[0].tolist() == [[1, 2]]
    assert got["a"].kind == ""


def test_dims_and_geometry_may_be_packed_or_not(tmp_path: Path) -> None:
    loose = chunk(7, number(1, 1) + number(1, 2)) + chunk(5, np.float32([1, 2]).tobytes())
    geometry = chunk(106, chunk(3, varint(3) + varint(4)) + number(9, 5))
    got = read(chunk(100, chunk(1, "a") + chunk(7, loose) + geometry), tmp_path)
    assert got["a"].blobs[0].shape == (1, 2)
    assert got["a"].geometry == {"pad": (3, 4, 5)}


def test_values_in_pieces_are_put_together(tmp_path: Path) -> None:
    pieces = [chunk(5, np.float32([1, 2]).tobytes()), varint(5 << 3 | 5) + np.float32(3).tobytes()]
    shapeless = chunk(7, b"".join(pieces))
    got = read(chunk(100, chunk(1, "a") + shapeless + chunk(7, b"")), tmp_path)
    assert got["a"].blobs[0].tolist() == [1, 2, 3]
    assert got["a"].blobs[1].shape == (0,)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([5, 6]), st.floats(width=32, allow_nan=False))))
def test_runs_of_values_come_in_order(rows: list[tuple[int, float]]) -> None:
    head = {5: varint(5 << 3 | 5), 6: varint(600 << 3 | 5)}
    data = b"".join(head[tag] + np.float32(value).tobytes() for tag, value in rows)
    got = [
        (5 if field.number == 5 else 6, float(value))
        for field in _protobuf.fields(memoryview(data), "a")
        for value in np.frombuffer(field.data, "<f4")
    ]
    assert got == rows


@settings(max_examples=60, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_there_and_back(value: int) -> None:
    data = memoryview(varint(value) * 2)
    assert _protobuf.varints(data, "a") == [value, value]


# --- running ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> dict[str, NDArray[np.float32]]:
    with np.load(PATH, allow_pickle=False) as file:
        assert str(file["opencv"]).startswith("4.")
        return {name: file[name] for name in CASES}


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_opencvs_importer(
    case: str, reference: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    outputs, width, seed, rows, columns, step = CASES[case]
    layers = caffe_files.fcn8s(outputs, width, seed)
    image = picture(seed, rows, columns)
    scores = scores_of(fcn8s_of(layers, tmp_path), image)
    assert scores.shape == (outputs, rows, columns)
    assert np.abs(scores[:, ::step, ::step] - reference[case]).max() < 1e-4
    if hasattr(cv2.dnn, "readNetFromCaffe"):
        assert np.abs(scores - run_opencv(layers, image)).max() < 1e-4
    else:
        assert cv2.__version__.startswith("5.")
        assert np.abs(scores - caffe_slow.run(layers, image)).max() < 1e-4


@pytest.mark.parametrize("size", range(1, 34, 8))
def test_scores_at_odd_sizes_are_those_of_the_definition(size: int, tmp_path: Path) -> None:
    layers = caffe_files.fcn8s(2, 1 / 64, size)
    image = picture(size, size, 40 - size)
    scores = scores_of(fcn8s_of(layers, tmp_path), image)
    assert np.abs(scores - caffe_slow.run(layers, image)).max() < 1e-4


def test_old_files_give_the_same_net(tmp_path: Path) -> None:
    layers = caffe_files.fcn8s(3, 1 / 32)
    new = fcn8s_of(layers, tmp_path).state_dict()
    old = read(caffe_files.caffemodel(layers, v1=True, old_shape=True), tmp_path)
    for name, value in to_fcn8s(old, "a").state_dict().items():
        assert torch.equal(value, new[name]), name


def test_first_names_and_fixed_layers_left_out(tmp_path: Path) -> None:
    layers = [x for x in caffe_files.fcn8s(2, 1 / 64) if x.kind not in ("Scale", "Deconvolution")]
    other = {"score_fr": "score-fr", "score_pool4": "score-pool4", "score_pool3": "score-pool3"}
    for layer in layers:
        layer.name = other.get(layer.name, layer.name)
    net = fcn8s_of(layers, tmp_path)
    assert net.scale_pool4.weight.tolist() == [1.0] * 8
    assert torch.equal(net.upscore8.weight, torch.from_numpy(caffe_files.bilinear(2, 16)))
    assert torch.equal(net.score_fr.weight, torch.from_numpy(layer_of(layers, "score-fr").blobs[0]))


def layer_of(layers: list[Layer], name: str) -> Layer:
    return next(layer for layer in layers if layer.name == name)


def test_classifiers_and_grouped_upsampling_are_reshaped(tmp_path: Path) -> None:
    layers = caffe_files.fcn8s(2, 1 / 64)
    plain = fcn8s_of(layers, tmp_path).state_dict()
    fc6, up = layer_of(layers, "fc6"), layer_of(layers, "upscore8")
    fc6.kind, fc6.parameters = "InnerProduct", {}
    fc6.blobs[0] = fc6.blobs[0].reshape(1, 1, 64, -1)
    up.blobs[0] = np.ascontiguousarray(up.blobs[0][:, :1])
    up.blobs[0][1] = caffe_files.bilinear(1, 16)
    got = fcn8s_of(layers, tmp_path).state_dict()
    assert torch.equal(got["fc6.weight"], plain["fc6.weight"])
    wanted = np.zeros((2, 2, 16, 16), np.float32)
    wanted[[0, 1], [0, 1]] = up.blobs[0][:, 0]
    assert np.array_equal(got["upscore8.weight"].numpy(), wanted)


# --- files that do not fit --------------------------------------------------------------------


def change(layers: list[Layer], name: str, what: str) -> None:
    layer = layer_of(layers, name)
    if what == "cut":
        layer.blobs[0] = layer.blobs[0][..., 1:]
    elif what == "turn":
        layer.blobs[0] = np.ascontiguousarray(layer.blobs[0].swapaxes(0, 1))
    elif what == "no bias":
        layer.blobs.pop()
    elif what == "none":
        layers.remove(layer)
    elif what == "rename":
        layer.name += "_new"
    else:
        key, value = what.split("=")
        layer.parameters[key] = int(value)


@pytest.mark.parametrize(
    ("name", "what", "message"),
    [
        ("conv1_1", "none", r"a: has no layer 'conv1_1' with weights; is it an fcn8s\?"),
        ("score_fr", "rename", "a: has no layer 'score_fr' with weights"),
        ("conv3_2", "none", "without conv3_2; left over nothing; if names differ only, rename"),
        ("fc7", "rename", "without fc7; left over fc7_new"),
        ("conv1_1", "pad=1", r"'conv1_1' has pad \(1,\), wanted 100; not at-once"),
        ("conv2_1", "stride=2", r"'conv2_1' has stride \(2,\), wanted 1"),
        ("conv2_1", "group=2", "'conv2_1' is in groups; fcn8s has none"),
        ("upscore8", "stride=4", r"'upscore8' has stride \(4,\), wanted 8"),
        ("score_pool3c", "offset=8", r"'score_pool3c' is cut at \(8,\), wanted 9; not at-once"),
        ("fc6", "cut", r"'fc6': blob 0 is \(64, 8, 7, 6\), wanted \(64, 8, 7, 7\)"),
        ("conv2_1", "turn", r"'conv2_1': blob 0 is \(1, 2, 3, 3\), wanted \(2, 1, 3, 3\)"),
        ("fc7", "no bias", "'fc7': has 1 blobs, wanted 2"),
    ],
)
def test_other_nets_are_refused(name: str, what: str, message: str, tmp_path: Path) -> None:
    layers = caffe_files.fcn8s(2, 1 / 64)
    change(layers, name, what)
    with pytest.raises(BadWeights, match=message):
        to_fcn8s(read(caffe_files.caffemodel(layers), tmp_path), "a")


def test_a_net_that_says_it_is_huge_costs_no_memory() -> None:
    wide = np.broadcast_to(np.float32(0), (2**20, 3, 3, 3))
    one = np.zeros((1, 1, 1, 1), np.float32)
    layers = {
        "conv1_1": caffe.Layer("conv1_1", "Convolution", (wide,), {}),
        "score_fr": caffe.Layer("score_fr", "Convolution", (one,), {}),
    }
    with pytest.raises(BadWeights, match=r"a: fcn8s: got width 16384.0, wanted 1/64\.\.4"):
        to_fcn8s(layers, "a")


def layer(*parts: bytes) -> bytes:
    return chunk(100, b"".join(parts))


VALUES = np.float32([1, 2, 3, 4])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no layers; wanted a binary caffemodel, not a prototxt"),
        (b'name: "net"\nlayer {', "net.caffemodel: "),
        (b"\x89HDF\r\n\x1a\n123", "is HDF5; save the net as a binary caffemodel"),
        (b"\xa2", "ends within a number; the file is cut off"),
        (b"\xff" * 11, "a number of more than ten bytes; not a caffemodel"),
        (b"\x2d\0\0", "ends within a number; the file is cut off"),
        (b"\x0b", "wire type 3 in field 1 at byte 0; not a caffemodel"),
        (layer(chunk(1, "a"))[:-1], "field 100 says 3 bytes, 2 are left; the file is cut off"),
        (varint(100 << 3 | 2) + varint(2**62), "field 100 says 4611686018427387904 bytes, 0 are"),
        (layer(chunk(1, "a")) * 2, "two layers are named 'a'; not a trained net"),
        (chunk(2, chunk(1, "")), "layer 0: is of Caffe's oldest form"),
        (
            layer(chunk(1, "a"), chunk(7, blob(VALUES, shape=(2, 3)))),
            "layer 0 'a': blob 0: shape 2 x 3 does not fit its 4 values; get it again",
        ),
        (layer(chunk(7, blob(VALUES, shape=(2**62, 2**62)))), "does not fit its 4 values"),
        (layer(chunk(7, blob(VALUES, shape=(-2, -2)))), "shape -2 x -2 does not fit"),
        (layer(chunk(7, blob(VALUES, old_shape=True, shape=(9, 9)))), "shape 1 x 1 x 9 x 9 does"),
        (layer(chunk(7, blob(VALUES, shape=[1] * 33 + [4]))), "does not fit its 4 values"),
        (layer(chunk(7, blob(VALUES, shape=[1] * 999))), "more than 64 numbers in a list"),
        (layer(chunk(106, chunk(3, b"\1" * 999))), "more than 64 numbers in a list"),
        (layer(chunk(7, chunk(5, b"12345"))), "5 bytes are no whole float32 values"),
        (layer(chunk(7, chunk(5, b"1234") + chunk(8, b"12345678"))), "holds floats and doubles"),
        (layer(chunk(7, blob(np.float32([1, np.nan])))), "blob 0: values that are not finite"),
        (layer(chunk(7, blob(np.float64([1e300]), double=True))), "values that are not finite"),
        (layer(chunk(7, b"") * 65), "more than 64 blobs; not a trained net"),
    ],
)
def test_files_that_lie_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=message) as caught:
        read(data, tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "net.caffemodel"))
    assert "\n" not in str(caught.value)


def test_too_many_fields_and_layers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(layer(chunk(1, str(i))) for i in range(5))
    monkeypatch.setattr(caffe, "MAX_LAYERS", 4)
    with pytest.raises(BadWeights, match="more than 4 layers; not a trained net"):
        read(data, tmp_path)
    monkeypatch.setattr(_protobuf, "MAX_FIELDS", 3)
    with pytest.raises(BadWeights, match="more than 3 fields in one message"):
        read(data, tmp_path)


def test_files_that_are_too_large_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadWeights, match=r"a: cannot be read: No such file .*; check the path"):
        read_caffemodel(tmp_path / "a")
    monkeypatch.setattr(caffe, "MAX_BYTES", 3)
    with pytest.raises(BadWeights, match="4 bytes; a caffemodel has at most 3"):
        read(b"1234", tmp_path)


SMALL = caffe_files.caffemodel(two_layers())


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4),
    end=st.integers(0, len(SMALL)),
)
def test_damage_is_an_error_line_and_never_costs_memory(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], end: int
) -> None:
    bad = bytearray(SMALL)
    for position, value in changes:
        bad[position] = value
    bad = bad[:end]
    tracemalloc.start()
    try:
        read(bytes(bad), tmp_path_factory.getbasetemp())
    except BadWeights as error:
        assert "\n" not in str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
