"""From decoded RGB pixels to probabilities: one ONNX graph, the merge of two named parts.

``preprocess``: ``image`` (1, H, W, 3) uint8 → ``pixels`` (1, 3, S, S) float32. Choose the box, resize, normalise.
``network``: ``pixels`` (N, 3, S, S) → ``features`` (N, D), ``logits`` (N, C), ``probabilities`` (N, C).

The resize is the triangle filter of Pillow's ``BILINEAR`` (support of one source pixel, or of the scale when
shrinking), from the box straight to S x S: for every output row a band of source rows is gathered and summed
with weights that the graph computes from the size, in float64; then the image is turned by a plain transpose of a
matrix (the only kind that runtimes do fast) and the same is done for columns. A band is what is not zero of the
dense product ``A_h · image · A_wᵀ``, and takes a fraction of its time (docs/LOG.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from seefit.models.architecture import FLAT
from seefit.models.backbone import Backbone

if TYPE_CHECKING:
    from onnx import ModelProto

Fit = Literal["crop", "pad", "squash"]
FITS: tuple[Fit, ...] = ("crop", "pad", "squash")
IR_VERSION = 10

_BOX = {  # the side of the box on each axis, in source pixels
    "crop": "box_h = Min(height, width)\n box_w = Identity(box_h)",
    "pad": "box_h = Max(height, width)\n box_w = Identity(box_h)",
    "squash": "box_h = Identity(height)\n box_w = Identity(width)",
}

_COLOUR = {  # what is taken away: the mean colour, where the image is
    False: "colour = Identity(mean)",
    True: """
      full_h = Pad(cover_h, missing_h)
      full_w = Pad(cover_w, missing_w)
      cover_row = Reshape(full_w, rest)
      cover = Mul(full_h, cover_row)
      colour = Mul(cover, mean)""",
}


def preprocess_model(size: int, mean: Sequence[float], std: Sequence[float], fit: Fit, *, opset: int = 20) -> ModelProto:
    """Build the ``preprocess`` part.

    Args:
        size: Side S of the output in pixels.
        mean: Per channel, of RGB in [0, 1].
        std: Per channel, of RGB in [0, 1].
        fit: ``crop`` the central square, ``pad`` to a square with the mean colour, or ``squash`` the whole image.
        opset: The ONNX operator set to build with.

    Returns:
        A model from ``image`` (1, H, W, 3) uint8 RGB to ``pixels`` (1, 3, S, S) float32.
    """
    import onnx

    padded = fit == "pad"
    text = f"""
    <ir_version: {IR_VERSION}, opset_import: ["" : {opset}]>
    preprocess (uint8[1, H, W, 3] image) => (float[1, 3, {size}, {size}] pixels) {{
      zero = Constant<value = int64 {{0}}>()
      one = Constant<value = int64 {{1}}>()
      two = Constant<value = int64 {{2}}>()
      first = Constant<value = int64[1] {{0}}>()
      second = Constant<value = int64[1] {{1}}>()
      rest = Constant<value = int64[1] {{-1}}>()
      zero_d = Constant<value = double {{0.0}}>()
      half_d = Constant<value = double {{0.5}}>()
      one_d = Constant<value = double {{1.0}}>()
      two_d = Constant<value = double {{2.0}}>()
      size_d = Constant<value = double {{{size}.0}}>()
      steps = Constant<value = int64 {{{size}}}>()
      shape_h = Shape<start = 1, end = 2>(image)
      shape_w = Shape<start = 2, end = 3>(image)
      height = Squeeze(shape_h)
      width = Squeeze(shape_w)
      {_BOX[fit]}
      {_band("h", "height", padded)}
      {_band("w", "width", padded)}
      plain = Squeeze(image, first)
      rows_shape = Concat<axis = 0>(shape_h, rest)
      rows = Reshape(plain, rows_shape)
      taken_h = Gather<axis = 0>(rows, index_h)
      float_h = Cast<to = 1>(taken_h)
      summed_h = MatMul(weight_h, float_h)
      {_lines("h", size, padded)}
      turned = Transpose<perm = [1, 0]>(lines_h)
      columns_shape = Constant<value = int64[2] {{-1, {size * 3}}}>()
      columns = Reshape(turned, columns_shape)
      taken_w = Gather<axis = 0>(columns, index_w)
      summed_w = MatMul(weight_w, taken_w)
      {_lines("w", size, padded)}
      upright = Transpose<perm = [1, 0]>(lines_w)
      planes_shape = Constant<value = int64[4] {{1, 3, {size}, {size}}}>()
      planes = Reshape(upright, planes_shape)
      mean = Constant<value = float[3, 1, 1] {{{_floats(255 * m for m in mean)}}}>()
      std = Constant<value = float[3, 1, 1] {{{_floats(255 * s for s in std)}}}>()
      {_COLOUR[padded]}
      centred = Sub(planes, colour)
      pixels = Div(centred, std)
    }}"""
    return _named_apart(onnx.parser.parse_model(text))


def _named_apart(preprocess: ModelProto) -> ModelProto:
    """Put ``preprocess/`` before every value inside, so that in the merged graph none meets one of the network (``mean``)."""
    for node in preprocess.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in {"image", "pixels"} else f"preprocess/{name}" for name in names]
    return preprocess


def _band(axis: str, length: str, padded: bool) -> str:
    """Return the nodes that compute, for one axis, which source pixels each output pixel takes and with what weights.

    Output pixel i has its centre at c = (i + 1/2) s in the box, s = box / S, and takes source pixel k with
    weight max(0, 1 - |k + 1/2 - c| / max(s, 1)), normalised over the box. Pixels of the box outside the
    image (``pad``) weigh nothing; ``cover`` is the share that is inside. Output pixels that see nothing of the image
    are left out, and `_lines` brings them back as zeros: a panorama costs no more than a square.
    """
    a, span = axis, f"from_{axis}, to_{axis}" if padded else "zero, steps"
    return f"""
      box_d_{a} = Cast<to = 11>(box_{a})
      spare_{a} = Sub({length}, box_{a})
      begin_{a} = Div(spare_{a}, two)
      begin_d_{a} = Cast<to = 11>(begin_{a})
      length_d_{a} = Cast<to = 11>({length})
      scale_{a} = Div(box_d_{a}, size_d)
      reach_{a} = Max(scale_{a}, one_d)
      {_seen(a) if padded else ""}
      step_{a} = Range({span}, one)
      step_d_{a} = Cast<to = 11>(step_{a})
      middle_{a} = Add(step_d_{a}, half_d)
      centre_row_{a} = Mul(middle_{a}, scale_{a})
      centre_{a} = Unsqueeze(centre_row_{a}, second)
      width_d_{a} = Mul(reach_{a}, two_d)
      whole_d_{a} = Ceil(width_d_{a})
      taps_{a} = Cast<to = 7>(whole_d_{a})
      tap_{a} = Range(zero, taps_{a}, one)
      tap_d_{a} = Cast<to = 11>(tap_{a})
      left_{a} = Sub(centre_{a}, reach_{a})
      left_half_{a} = Add(left_{a}, half_d)
      start_{a} = Floor(left_half_{a})
      k_{a} = Add(start_{a}, tap_d_{a})
      k_half_{a} = Add(k_{a}, half_d)
      offset_{a} = Sub(k_half_{a}, centre_{a})
      distance_{a} = Abs(offset_{a})
      share_{a} = Div(distance_{a}, reach_{a})
      slope_{a} = Sub(one_d, share_{a})
      tent_{a} = Max(slope_{a}, zero_d)
      after_box_{a} = GreaterOrEqual(k_{a}, zero_d)
      before_box_{a} = Less(k_{a}, box_d_{a})
      in_box_{a} = And(after_box_{a}, before_box_{a})
      in_box_d_{a} = Cast<to = 11>(in_box_{a})
      raw_{a} = Mul(tent_{a}, in_box_d_{a})
      total_{a} = ReduceSum<keepdims = 1>(raw_{a}, second)
      position_{a} = Add(k_{a}, begin_d_{a})
      after_{a} = GreaterOrEqual(position_{a}, zero_d)
      before_{a} = Less(position_{a}, length_d_{a})
      inside_{a} = And(after_{a}, before_{a})
      inside_d_{a} = Cast<to = 11>(inside_{a})
      seen_{a} = Mul(raw_{a}, inside_d_{a})
      normal_{a} = Div(seen_{a}, total_{a})
      cover_d_{a} = ReduceSum<keepdims = 1>(normal_{a}, second)
      cover_{a} = Cast<to = 1>(cover_d_{a})
      normal_f_{a} = Cast<to = 1>(normal_{a})
      weight_{a} = Unsqueeze(normal_f_{a}, second)
      last_{a} = Sub(length_d_{a}, one_d)
      low_{a} = Max(position_{a}, zero_d)
      clipped_{a} = Min(low_{a}, last_{a})
      index_{a} = Cast<to = 7>(clipped_{a})"""


def _seen(axis: str) -> str:
    """Return the nodes that compute which output pixels see something of a padded image: ``from`` up to, without, ``to``."""
    a = axis
    return f"""
      edge_{a} = Neg(begin_d_{a})
      far_edge_{a} = Add(edge_{a}, length_d_{a})
      near_{a} = Sub(edge_{a}, reach_{a})
      far_{a} = Add(far_edge_{a}, reach_{a})
      near_step_{a} = Div(near_{a}, scale_{a})
      far_step_{a} = Div(far_{a}, scale_{a})
      near_whole_{a} = Floor(near_step_{a})
      far_whole_{a} = Ceil(far_step_{a})
      near_cut_{a} = Max(near_whole_{a}, zero_d)
      far_cut_{a} = Min(far_whole_{a}, size_d)
      from_{a} = Cast<to = 7>(near_cut_{a})
      to_{a} = Cast<to = 7>(far_cut_{a})
      after_to_{a} = Sub(steps, to_{a})
      before_row_{a} = Unsqueeze(from_{a}, first)
      after_row_{a} = Unsqueeze(after_to_{a}, first)
      missing_{a} = Concat<axis = 0>(before_row_{a}, first, after_row_{a}, first)"""


def _lines(axis: str, size: int, padded: bool) -> str:
    """Return the nodes that make one line per output pixel of what was summed, zeros for those that see nothing."""
    if padded:
        return f"seen_lines_{axis} = Squeeze(summed_{axis}, second)\n lines_{axis} = Pad(seen_lines_{axis}, missing_{axis})"
    return f"lines_shape_{axis} = Constant<value = int64[2] {{{size}, -1}}>()\n lines_{axis} = Reshape(summed_{axis}, lines_shape_{axis})"


def _floats(values: Any) -> str:
    return ", ".join(repr(float(np.float32(v))) for v in values)


def features_model(backbone: Backbone, parts: Sequence[str]) -> ModelProto:
    """Build the ``network`` part up to the features.

    Args:
        backbone: The frozen network.
        parts: Names of stages. A map gives its mean and maximum over places, with `FLAT` every place; ``pooled`` gives itself.

    Returns:
        A model from ``pixels`` (N, 3, S, S) to ``features`` (N, D) float32, D as `feature_size` says.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    stages = [backbone.stage(part.removesuffix(FLAT)) for part in parts]
    model = prune(onnx.load(backbone.onnx), [stage.name for stage in stages])
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "places"))
    pieces: list[str] = []
    for part, stage in zip(parts, stages, strict=True):
        if part.endswith(FLAT):
            graph.node.append(helper.make_node("Flatten", [stage.name], [part], name=part, axis=1))
        if part.endswith(FLAT) or stage.side == 0:
            pieces.append(part)
            continue
        for operator in ("ReduceMean", "ReduceMax"):
            piece = f"{stage.name}/{operator.removeprefix('Reduce').lower()}"
            graph.node.append(helper.make_node(operator, [stage.name, "places"], [piece], name=piece, keepdims=0))
            pieces.append(piece)
    graph.node.append(helper.make_node("Concat", pieces, ["features"], name="features", axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", feature_size(backbone, parts)]))
    return model


def feature_size(backbone: Backbone, parts: Sequence[str]) -> int:
    """Return D, the number of features that the parts give."""
    return sum(map(backbone.width, parts))


def hidden_model(features: ModelProto, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> ModelProto:
    """Put a hidden layer with ReLU behind the features: what it gives are the features from then on.

    Args:
        features: What `features_model` returned.
        weight: (U, D) float32.
        bias: (U,) float32.

    Returns:
        A model from ``pixels`` (N, 3, S, S) to ``features`` (N, U) float32, at least 0.
    """
    from onnx import ModelProto, helper, numpy_helper

    model = ModelProto()
    model.CopyFrom(features)
    graph = model.graph
    next(node for node in graph.node if "features" in node.output).output[:] = ["hidden/input"]
    for name, array in (("hidden/weight", weight), ("hidden/bias", bias)):
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
    graph.node.append(helper.make_node("Gemm", ["hidden/input", "hidden/weight", "hidden/bias"], ["hidden/sum"], name="hidden", transB=1))
    graph.node.append(helper.make_node("Relu", ["hidden/sum"], ["features"], name="hidden/relu"))
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = len(bias)
    return model


def network_model(features: ModelProto, weight: NDArray[np.float32], bias: NDArray[np.float32], temperature: float) -> ModelProto:
    """Build the whole ``network`` part: features, linear head, temperature, softmax.

    Args:
        features: What `features_model` or `hidden_model` returned.
        weight: (C, D) float32.
        bias: (C,) float32.
        temperature: Divides the logits before the softmax; above 0.

    Returns:
        A model from ``pixels`` (N, 3, S, S) to ``probabilities`` (N, C), ``logits`` (N, C) and ``features`` (N, D).
    """
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    model = ModelProto()
    model.CopyFrom(features)
    graph = model.graph
    for name, array in (("head/weight", weight), ("head/bias", bias), ("head/temperature", np.array(temperature, np.float32))):
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
    graph.node.extend(
        [
            helper.make_node("Gemm", ["features", "head/weight", "head/bias"], ["logits"], name="head", transB=1),
            helper.make_node("Div", ["logits", "head/temperature"], ["calibrated"], name="temperature"),
            helper.make_node("Softmax", ["calibrated"], ["probabilities"], name="softmax", axis=1),
        ]
    )
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", len(bias)]) for name in ("probabilities", "logits")]
    described = graph.output[0]
    del graph.output[:]
    graph.output.extend([*outputs, described])
    return model


def features_part(network: ModelProto) -> ModelProto:
    """Cut a whole ``network`` part down to its features; the reverse of `network_model`."""
    return prune(network, ["features"])


def merge(preprocess: ModelProto, network: ModelProto, metadata: dict[str, str] | None = None) -> ModelProto:
    """Merge the two parts into the one graph, from ``image`` (1, H, W, 3) uint8 to ``probabilities`` (1, C).

    Args:
        preprocess: What `preprocess_model` returned.
        network: What `network_model` returned.
        metadata: Facts that travel with the file: class names, size, mean, std and so on.
    """
    from onnx import ModelProto, checker

    merged = ModelProto()
    merged.CopyFrom(network)
    merged.ir_version = max(preprocess.ir_version, network.ir_version)
    merged.producer_name = "seefit"
    graph = merged.graph
    graph.name = "seefit"
    pixels = graph.input[0]
    graph.value_info.append(pixels)  # the seam: kept as a named value, so that the parts can be told apart again
    nodes = [*preprocess.graph.node, *network.graph.node]
    del graph.node[:], graph.input[0]
    graph.node.extend(nodes)
    graph.input.insert(0, preprocess.graph.input[0])
    for key, value in (metadata or {}).items():
        merged.metadata_props.add(key=key, value=value)
    checker.check_model(merged)
    return merged


def split(model: ModelProto) -> tuple[ModelProto, ModelProto]:
    """Take the one graph apart at its seam into ``preprocess`` and ``network``; the exact reverse of `merge`."""
    from onnx import ValueInfoProto

    graph = model.graph
    cut = next(i for i, node in enumerate(graph.node) if "pixels" in node.output) + 1
    batch = next(value for value in graph.value_info if value.name == "pixels")
    single = ValueInfoProto(name="pixels", type=batch.type)
    single.type.tensor_type.shape.dim[0].dim_value = 1  # preprocess takes one image, network a batch
    return (
        _part(model, "preprocess", graph.node[:cut], graph.input[:1], [single]),
        _part(model, "network", graph.node[cut:], [batch, *graph.input[1:]], graph.output),
    )


def _part(model: ModelProto, name: str, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> ModelProto:
    from onnx import ModelProto

    part = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    used = {value for node in nodes for value in node.input}
    part.graph.name = name
    part.graph.node.extend(nodes)
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in used)
    part.graph.input.extend(inputs)
    part.graph.output.extend(outputs)
    return part


def prune(model: ModelProto, outputs: Sequence[str]) -> ModelProto:
    """Return the model cut down to what the named outputs need."""
    from onnx import ModelProto

    needed, nodes = set(outputs), []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    pruned = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    pruned.graph.name = "network"
    pruned.graph.node.extend(reversed(nodes))
    pruned.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in needed)
    pruned.graph.input.extend(value for value in model.graph.input if value.name in needed)
    pruned.graph.output.extend(value for value in model.graph.output if value.name in outputs)
    return pruned


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's default operator set that a model was made with."""
    return int(next(entry.version for entry in model.opset_import if entry.domain == ""))


def graph_hash(*models: ModelProto) -> str:
    """Return the sha256 of models in a stable serialisation."""
    digest = hashlib.sha256()
    for model in models:
        digest.update(model.SerializeToString(deterministic=True))
    return digest.hexdigest()
