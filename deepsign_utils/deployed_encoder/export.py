"""Keras file to ONNX: the encoder for programs without Keras, in Python or any other language.

The ONNX file holds all of it: the views, the whitening and the cohort. It takes canvases as
cleaning makes them and gives embeddings of length 1. The same encoder gives the same bytes. Golden
vectors beside it, canvases and their embeddings, let a port test itself.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import onnx
from keras import ops
from onnx import TensorProto, helper
from PIL import Image

from deepsign_utils import DeepSignError, models, synthetic
from deepsign_utils.deployed_encoder.runtime import (
    EXPORTED_FROM,
    KERAS_FILE,
    ONNX_FILE,
    OnnxEncoder,
)
from deepsign_utils.preprocessing import Preprocessing, clean
from deepsign_utils.study import (
    check_new_folder,
    check_seal,
    digest,
    seal,
    write_atomically,
    write_json,
)

GOLDEN_FILE = "golden_vectors.json"
"""Canvases and their embeddings, for a port to test itself by."""

COPIED_FILES = ("preprocessing.json", "scoring.json", "card.md")
"""What else a verifier needs, and people."""

TOLERANCE = 1e-5
"""Largest difference from Keras in any value of an embedding."""


def export_model(model: Path, output: Path) -> None:
    """Export a model folder into another, which then holds all that a verifier needs, or itself.

    Parameters
    ----------
    model : Path
        A sealed model folder with ``encoder.keras``.
    output : Path
        Folder to write to; `model` itself gets the exported files besides its own.

    Raises
    ------
    DeepSignError
        If the model folder is incomplete or damaged, `output` is another one that holds something,
        or as `export_encoder`.
    """
    check_seal(model, [KERAS_FILE, *COPIED_FILES[:2]])
    if output.resolve() != model.resolve():
        check_new_folder(output)
        for name in COPIED_FILES:
            if (model / name).is_file():
                write_atomically(output / name, (model / name).read_bytes())
    cleaning = Preprocessing.from_dict(json.loads((model / "preprocessing.json").read_text()))
    export_encoder(model / KERAS_FILE, cleaning, output)
    seal(output)


def export_encoder(file: Path, preprocessing: Preprocessing, folder: Path) -> None:
    """Write a Keras file as ``encoder.onnx``, and the golden vectors beside it.

    Parameters
    ----------
    file : Path
        The deployed encoder, as ``models.save_encoder`` writes it.
    preprocessing : Preprocessing
        How to clean the synthetic signatures of the golden vectors.
    folder : Path
        Where to write.

    Raises
    ------
    DeepSignError
        If the Keras file cannot be loaded, or the two embed differently.
    """
    encoder = models.load_encoder(file)
    model = _canonical(_converted(encoder), encoder, digest(file))
    hand = synthetic.draw_writer(seed=0, index=0, genuine=2, forgeries=1)
    canvases = np.stack([clean(gray, preprocessing) for gray in (*hand.genuine, *hand.forgeries)])
    expected = models.embed(encoder, canvases)
    with tempfile.TemporaryDirectory() as beside:
        written = Path(beside) / ONNX_FILE
        written.write_bytes(model)
        embeddings = OnnxEncoder(written).embed(canvases)
    off = float(np.abs(embeddings - expected).max())
    if not off <= TOLERANCE:
        raise DeepSignError(
            f"{file} was exported, but embeds differently as ONNX (by {off:.1g}): it was not kept."
        )
    golden = [
        {"canvas": _png(canvas), "embedding": embedding.round(6).tolist()}
        for canvas, embedding in zip(canvases, expected.astype(float), strict=True)
    ]
    write_atomically(folder / ONNX_FILE, model)
    write_json(folder / GOLDEN_FILE, {"tolerance": TOLERANCE, "vectors": golden})


def _converted(encoder: keras.Model) -> onnx.ModelProto:
    """What Keras exports of the encoder with its scaling: uint8 (n, height, width) to (n, d)."""
    canvas = keras.Input(encoder.input_shape[1:-1], dtype="uint8", name="canvas")
    image = ops.expand_dims(ops.cast(canvas, "float32") / 255, -1)
    model = keras.Model(canvas, encoder(image), name=encoder.name)
    model(np.zeros((1, *canvas.shape[1:]), np.uint8))  # only what was called can be exported
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")  # of the converter's own code
        file = Path(folder) / ONNX_FILE
        model.export(file, format="onnx", verbose=False)
        return onnx.load(file)


def _canonical(model: onnx.ModelProto, encoder: keras.Model, source: str) -> bytes:
    """The same graph with an order and names of its own: the converter's vary from run to run."""
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    constant = {tensor.name: tensor for tensor in graph.initializer}
    names = {"": "", graph.input[0].name: "canvas"}
    nodes: list[onnx.NodeProto] = []
    weights: dict[tuple, onnx.TensorProto] = {}

    def name_of(value: str) -> str:
        """Name a value by its place; what it is made of comes before it."""
        if value in constant:
            tensor = constant[value]
            content = onnx.numpy_helper.to_array(tensor).tobytes()
            key = (tensor.data_type, tuple(tensor.dims), content)
            if key not in weights:
                weights[key] = onnx.TensorProto()
                weights[key].CopyFrom(tensor)
                weights[key].name = f"weight_{len(weights)}"
            return weights[key].name
        if value not in names:
            node = onnx.NodeProto()
            node.CopyFrom(maker[value])
            inputs = [name_of(one) for one in node.input]
            for place, output in enumerate(node.output):
                names[output] = f"{node.op_type}_{len(nodes)}" + f"_{place}" * bool(place)
            node.name = names[node.output[0]]
            outputs = [names[output] for output in node.output]
            node.ClearField("input")
            node.ClearField("output")
            node.input.extend(inputs)
            node.output.extend(outputs)
            nodes.append(node)
        return names[value]

    last = name_of(graph.output[0].name)
    nodes.append(helper.make_node("Identity", [last], ["embedding"], "embedding"))
    height, width, _ = encoder.input_shape[1:]
    taken, given = ["n", height, width], ["n", encoder.output_shape[-1]]
    made = helper.make_model(
        helper.make_graph(
            nodes,
            encoder.name,
            [helper.make_tensor_value_info("canvas", TensorProto.UINT8, taken)],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, given)],
            list(weights.values()),
        ),
        producer_name="deepsign",
        ir_version=model.ir_version,
        opset_imports=[one for one in model.opset_import if not one.domain],
    )
    helper.set_model_props(made, {EXPORTED_FROM: source})
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString(deterministic=True)


def _png(canvas: np.ndarray) -> str:
    """A canvas as base64 of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(canvas).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()
