"""Rewrites of a quantised graph that change its time, and nothing or next to nothing of its values.

onnxruntime runs 8-bit convolutions with the channels last. In that order neighbours in a row lie
side by side: two pixels of c channels are one of 2c, and a reshape costs nothing. The rewrites
live on that; the transpositions that they write down cancel those that onnxruntime adds.
Times are of headnet on 640 x 512 pixels with one thread, where 14.5 ms became 11.9.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""Permutations that bring the channels of (N, C, H, W) to the end, and back."""


class Graph:
    """A graph with its values, and who writes and reads every tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.proto = model.graph
        self.values = {t.name: t for t in self.proto.initializer}
        self.writer = {name: n for n in self.proto.node for name in n.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.proto.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def value(self, name: str) -> NDArray[np.generic] | None:
        """A constant of the graph; ``None`` = it is computed."""
        return numpy_helper.to_array(self.values[name]) if name in self.values else None

    def add_value(self, name: str, value: ArrayLike) -> str:
        """A new constant; returns its name."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        self.proto.initializer.append(tensor)
        self.values[name] = tensor
        return name

    def only_reader(self, name: str, *kinds: str) -> onnx.NodeProto | None:
        """The node that alone reads a tensor, if it is of one of these kinds."""
        nodes = self.readers.get(name, [])
        return nodes[0] if len(nodes) == 1 and nodes[0].op_type in kinds else None

    def written_by(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The node that writes a tensor, if it is of this kind."""
        node = self.writer.get(name)
        return node if node is not None and node.op_type == kind else None

    def insert(self, before: onnx.NodeProto, nodes: Sequence[onnx.NodeProto]) -> None:
        """Put nodes where another stands, in their order."""
        place = list(self.proto.node).index(before)
        for i, node in enumerate(nodes):
            self.proto.node.insert(place + i, node)


def speed_up(model: onnx.ModelProto, *, mean: float, std: float, pyramid: bool = False) -> None:
    """Apply the rewrites wherever they fit, in place.

    Args:
        model: what `onnxruntime.quantization` wrote, as QDQ.
        mean, std: its input is (rgb - mean) / std of bytes; `take_bytes` does away with that.
        pyramid: maps are enlarged by the nearest pixel only to be added to a map that convolutions
            of step 2 made them from, as headnet does; see `enlarge_by_copies`.
    """
    widen_stem(model)
    if pyramid:
        enlarge_by_copies(model)
    take_bytes(model, mean=mean, std=std)
    drop_unused(model)


# --- twice as large by copies -----------------------------------------------------------------


def enlarge_by_copies(model: onnx.ModelProto) -> None:
    """Write enlargement by the nearest pixel as concatenations of pixels and of rows, in place.

    onnxruntime's own goes value by value (1.0 ms of headnet's), copies take 0.1 ms. Only where the
    result is added to a map of 2n or 2n - 1 pixels a side, n before: that is, a convolution of step
    2 led from there to here. floor(i * n / (2n - 1)) = floor(i / 2), so both are doubled and cut.
    """
    channels = _channels(model)
    for node in [n for n in model.graph.node if n.op_type == "Resize"]:
        graph = Graph(model)
        before = graph.written_by(node.input[0], "DequantizeLinear")
        after = graph.only_reader(node.output[0], "QuantizeLinear")
        count = channels.get(node.input[0], 0)
        if not _is_nearest(node) or not before or not after or not count:
            continue
        if not _same_scale(graph, before, after):
            continue
        larger = _added_to(graph, after)
        if larger is None:
            continue
        name = node.name
        pixel = graph.add_value(f"{name}/pixel", np.array([0, 0, -1, count]))
        twice = graph.add_value(f"{name}/twice", np.array([1, 2, 2, 1]))
        start = graph.add_value(f"{name}/start", np.array([0, 0]))
        axes = graph.add_value(f"{name}/axes", np.array([1, 2]))
        last, wide, rows, like = (f"{name}/{n}" for n in ("last", "wide", "rows", "like"))
        shape, doubled, ends, cut = (f"{name}/{n}" for n in ("shape", "doubled", "ends", "cut"))
        new = [
            helper.make_node("Transpose", [before.input[0]], [last], perm=LAST),
            helper.make_node("Concat", [last, last], [f"{wide}/2"], axis=3),
            helper.make_node("Reshape", [f"{wide}/2", pixel], [wide]),
            helper.make_node("Concat", [wide, wide], [f"{rows}/2"], axis=2),
            helper.make_node("Shape", [last], [shape]),
            helper.make_node("Mul", [shape, twice], [doubled]),
            helper.make_node("Reshape", [f"{rows}/2", doubled], [rows]),
            helper.make_node("Transpose", [larger], [like], perm=LAST),
            helper.make_node("Shape", [like], [ends], start=1, end=3),
            helper.make_node("Slice", [rows, start, ends, axes], [cut]),
            helper.make_node("Transpose", [cut], [after.output[0]], perm=FIRST),
        ]
        for one in new:
            one.name = f"{one.output[0]}/{one.op_type}"
        graph.insert(node, new)
        graph.proto.node.remove(node)
        graph.proto.node.remove(after)


def _is_nearest(node: onnx.NodeProto) -> bool:
    """Whether output pixel i of a Resize is input pixel floor(i * input / output)."""
    options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    wanted = {
        "mode": b"nearest",
        "coordinate_transformation_mode": b"asymmetric",
        "nearest_mode": b"floor",
    }
    return all(options.get(key) == value for key, value in wanted.items())


def _added_to(graph: Graph, quantise: onnx.NodeProto) -> str | None:
    """The quantised tensor that a quantised tensor is added to, if that is all it is used for."""
    reader = graph.only_reader(quantise.output[0], "DequantizeLinear")
    add = graph.only_reader(reader.output[0], "Add") if reader else None
    if reader is None or add is None:
        return None
    other = next((name for name in add.input if name != reader.output[0]), "")
    source = graph.written_by(other, "DequantizeLinear")
    return source.input[0] if source else None


def _same_scale(graph: Graph, one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    """Whether two nodes quantise and dequantise by the same numbers."""
    values = [[graph.value(name) for name in node.input[1:]] for node in (one, other)]
    return all(
        a is not None and b is not None and np.array_equal(a, b)
        for a, b in zip(*values, strict=True)
    )


def _channels(model: onnx.ModelProto) -> dict[str, int]:
    """Number of channels of every map for which the graph says it."""
    infos = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {info.name: info.type.tensor_type.shape.dim for info in infos}
    return {name: dims[1].dim_value for name, dims in shapes.items() if len(dims) == 4}


# --- the first convolution --------------------------------------------------------------------


def widen_stem(model: onnx.ModelProto) -> None:
    """Let the first 3 x 3 convolution of step 2 work out two neighbours at once, in place.

    Its time goes by the number of pixels that it puts out, not by their 27 products: half as many
    of twice the channels take 0.8 instead of 2.0 ms. It then reads groups of four columns, the
    previous and its own; weights for columns that an output does not look at are 0.

    Only where it reads the picture itself, of three channels and a width that is a multiple of 4;
    a width that is left open must be one.
    """
    graph = Graph(model)
    picture = graph.proto.input[0]
    stem = _find_stem(graph, picture.name)
    if stem is None or picture.type.tensor_type.shape.dim[3].dim_value % 4:
        return
    conv, reader, quantised = stem
    weight_reader = graph.writer[conv.input[1]]
    name = weight_reader.input[0]
    weight = graph.value(name)
    if weight is None or weight.shape[1:] != (3, 3, 3):
        return
    count = len(weight)
    weight_reader.input[0] = graph.add_value(f"{name}.wide", widen(weight))
    _repeat_constants(graph, weight_reader, 1, count)
    if len(conv.input) > 2:
        _repeat_constants(graph, graph.writer[conv.input[2]], 0, count)
    for option in conv.attribute:
        wanted = {"kernel_shape": (3, 2), "strides": (2, 1), "pads": (1, 1, 1, 0)}
        if option.name in wanted:
            option.ints[:] = wanted[option.name]
    groups = f"{name}.groups"
    _regroup(graph, reader, reader.input[0], groups, 12)
    reader.input[0] = groups
    pixels = quantised.output[0]
    quantised.output[0] = f"{pixels}.wide"
    first_reader = next(n for n in graph.proto.node if pixels in n.input)
    _regroup(graph, first_reader, quantised.output[0], pixels, count)


def widen(weight: NDArray[np.generic]) -> NDArray[np.generic]:
    """(K, 3, 3, 3) weights of step 2 -> (2K, 12, 3, 2) that do the same on groups of four columns.

    Inputs are (column in its group, channel), outputs (neighbour, channel).
    """
    new = np.zeros((2, len(weight), 2, 4, 3, 3), weight.dtype)  # + group, column, channel, row
    for neighbour in range(2):
        for i in range(3):
            group, column = divmod(2 * neighbour - 1 + i + 4, 4)
            new[neighbour, :, group, column] = weight[:, :, :, i]
    return np.ascontiguousarray(new.transpose(0, 1, 3, 4, 5, 2).reshape(-1, 12, 3, 2))


def _find_stem(
    graph: Graph, picture: str
) -> tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto] | None:
    """The first convolution of step 2, what dequantises its input, what quantises its output."""
    quantise = graph.only_reader(picture, "QuantizeLinear")
    reader = graph.only_reader(quantise.output[0], "DequantizeLinear") if quantise else None
    conv = graph.only_reader(reader.output[0], "Conv") if reader else None
    if reader is None or conv is None:
        return None
    options = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
    wanted = {"strides": [2, 2], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
    if any(options.get(key) != value for key, value in wanted.items()):
        return None
    if any(graph.written_by(name, "DequantizeLinear") is None for name in conv.input[1:]):
        return None
    node = graph.only_reader(conv.output[0], "Relu", "Clip", "QuantizeLinear")
    if node is not None and node.op_type != "QuantizeLinear":
        node = graph.only_reader(node.output[0], "QuantizeLinear")
    return (conv, reader, node) if node is not None else None


def _repeat_constants(graph: Graph, node: onnx.NodeProto, start: int, count: int) -> None:
    """Give a node twice those of its constants that have one value a channel."""
    for i in range(start, len(node.input)):
        value = graph.value(node.input[i])
        if value is not None and value.shape == (count,):
            node.input[i] = graph.add_value(f"{node.input[i]}.wide", np.tile(value, 2))


def _regroup(graph: Graph, before: onnx.NodeProto, source: str, target: str, channels: int) -> None:
    """(N, C, H, W) -> (N, channels, H, W * C / channels), neighbours in a row side by side."""
    name = f"{source}/regroup"
    shape = graph.add_value(f"{name}/shape", np.array([0, 0, -1, channels]))
    last, new = f"{name}/last", f"{name}/new"
    graph.insert(
        before,
        [
            helper.make_node("Transpose", [source], [last], f"{name}/1", perm=LAST),
            helper.make_node("Reshape", [last, shape], [new], f"{name}/2"),
            helper.make_node("Transpose", [new], [target], f"{name}/3", perm=FIRST),
        ],
    )


# --- the picture ------------------------------------------------------------------------------


def take_bytes(model: onnx.ModelProto, *, mean: float, std: float) -> bool:
    """Let the graph take pictures as they are, uint8 (N, H, W, 3), in place; whether it could.

    What the graph makes of a normalised byte is often that byte again: with -1..1 in 256 steps,
    (v - 127.5) / 127.5 becomes v or, rounded from the middle between two, v + 1. So normalising,
    rounding and moving the channels last (2 ms for 640 x 480 pixels) can be left out. The mean of
    what rounding added goes into the bias of the first convolution; what is left is half a step
    for every other byte, less than before.

    Only where no byte becomes another by more than one step, and the first convolution alone reads
    the picture and has a bias.

    Args:
        mean, std: the float32 input is (byte - mean) / std.
    """
    graph = Graph(model)
    picture = graph.proto.input[0]
    quantise = graph.only_reader(picture.name, "QuantizeLinear")
    conv = _first_convolution(graph, quantise)
    if quantise is None or conv is None:
        return False
    constants = [graph.writer[name].input[0] for name in conv.input[1:]]
    known = [graph.value(name) for name in (*quantise.input[1:], *constants)]
    scale, zero, weight, bias = (np.asarray(value) for value in known)
    if any(value is None for value in known) or zero.dtype != np.uint8:
        return False
    levels = np.arange(256, dtype=np.float32)
    steps = np.clip(np.rint((levels - mean) / std / scale) + zero, 0, 255) - levels
    if np.abs(steps).max() > 1:
        return False
    moved = np.rint(steps.mean() * weight.astype(np.int64).sum(axis=(1, 2, 3)))
    tensor = graph.values[constants[1]]
    tensor.CopyFrom(numpy_helper.from_array((bias + moved).astype(np.int32), tensor.name))
    count, _, *sides = (d.dim_param or d.dim_value for d in picture.type.tensor_type.shape.dim)
    shape = [count, *sides, 3]
    picture.CopyFrom(helper.make_tensor_value_info(picture.name, onnx.TensorProto.UINT8, shape))
    name = f"{picture.name}/channels_first"
    move = helper.make_node("Transpose", [picture.name], [quantise.output[0]], name, perm=FIRST)
    graph.insert(quantise, [move])
    graph.proto.node.remove(quantise)
    return True


def _first_convolution(graph: Graph, quantise: onnx.NodeProto | None) -> onnx.NodeProto | None:
    """The quantised convolution with a bias that alone reads what a node quantised."""
    node = quantise
    while node is not None and node.op_type != "Conv":
        node = graph.only_reader(node.output[0], "Transpose", "Reshape", "DequantizeLinear", "Conv")
    if node is None or len(node.input) < 3:
        return None
    known = [graph.written_by(name, "DequantizeLinear") for name in node.input[1:]]
    return None if None in known else node


# --- what is left over ------------------------------------------------------------------------


def drop_unused(model: onnx.ModelProto) -> None:
    """Take out nodes and constants that nothing reads any more, and stale shapes, in place."""
    graph = model.graph
    outputs = {o.name for o in graph.output}
    while True:
        used = outputs.union(*(n.input for n in graph.node))
        dead = [n for n in graph.node if used.isdisjoint(n.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    del graph.value_info[:]
