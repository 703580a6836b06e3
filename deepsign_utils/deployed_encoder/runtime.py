"""Runs a model folder's encoder: on onnxruntime, or by Keras where it was not exported yet."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from deepsign_utils import DeepSignError
from deepsign_utils.study import digest, usable_processors

onnxruntime.disable_telemetry_events()  # on Windows, which does not ask the environment

ONNX_FILE = "encoder.onnx"
"""The deployed encoder in a model folder, as ONNX."""

KERAS_FILE = "encoder.keras"
"""The file that it was exported from."""

EXPORTED_FROM = "encoder_sha256"
"""Metadata of the ONNX file: SHA-256 of the Keras file."""

_BATCH = 2  # canvases a pass: more is hardly faster, and holds more memory


def load_encoder(folder: Path) -> OnnxEncoder | KerasEncoder:
    """The encoder of a model folder.

    Where it was not exported, Keras runs it, and how to export it is said on the standard error.

    Raises
    ------
    DeepSignError
        If there is none, it is damaged, or was exported from another Keras file than the one beside
        it; or if there is none but Keras's, and Keras is not installed.
    """
    exported, trained = folder / ONNX_FILE, folder / KERAS_FILE
    if exported.is_file():
        encoder = OnnxEncoder(exported)
        if trained.is_file() and digest(trained) != encoder.source:
            raise DeepSignError(
                f"{exported} was not exported from the {KERAS_FILE} beside it: "
                f"`deepsign export {shlex.quote(str(folder))}` exports it anew."
            )
        return encoder
    if not trained.is_file():
        raise DeepSignError(f"The model folder {folder} lacks {ONNX_FILE} and {KERAS_FILE}.")
    return KerasEncoder(trained)


class OnnxEncoder:
    """An encoder exported by `export.export_encoder`, ready to embed.

    Parameters
    ----------
    file : Path

    Attributes
    ----------
    file : Path
    name : str
        One of ``models.ENCODERS``.
    canvas_shape : tuple of int
        Height and width of the canvases that it takes, in pixels.
    source : str
        SHA-256 of the Keras file that it was exported from, in hexadecimal.
    threads : int
        Of a pass: the usable processors, no more than ``DEEPSIGN_THREADS``.

    Raises
    ------
    DeepSignError
        If the file is damaged, or not one that `export.export_encoder` wrote.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.threads = usable_processors()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is raised all the same
        # Idle threads sleep: a service waits far more than it computes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                file, options, providers=["CPUExecutionProvider"]
            )
            (taken,), (given,) = self._session.get_inputs(), self._session.get_outputs()
            about = self._session.get_modelmeta()
            self.source = about.custom_metadata_map[EXPORTED_FROM]
            _, *self.canvas_shape = taken.shape
            if (taken.name, taken.type, len(taken.shape)) != ("canvas", "tensor(uint8)", 3):
                raise ValueError(f"it takes {taken}")
            if (given.name, given.type, len(given.shape)) != ("embedding", "tensor(float)", 2):
                raise ValueError(f"it gives {given}")
        except Exception as error:  # onnxruntime has many kinds; all mean that it is unusable
            raise DeepSignError(
                f"{file} is damaged, or is no encoder that `export` wrote ({error})."
            ) from error
        self.canvas_shape = tuple(self.canvas_shape)
        self.name = about.graph_name
        self.size = given.shape[1]

    def embed(self, canvases: np.ndarray) -> np.ndarray:
        """Embed canvases, uint8 (n, height, width), ink bright: float32 (n, d) of unit length."""
        embeddings = [
            self._session.run(None, {"canvas": canvases[start : start + _BATCH]})[0]
            for start in range(0, len(canvases), _BATCH)
        ]
        return np.concatenate([np.empty((0, self.size), np.float32), *embeddings])


class KerasEncoder:
    """The same from a Keras file, which takes seconds to start; attributes as of `OnnxEncoder`.

    Parameters
    ----------
    file : Path

    Raises
    ------
    DeepSignError
        If Keras is not installed, or the file is damaged, or no encoder.
    """

    def __init__(self, file: Path) -> None:
        how = f"`deepsign export {shlex.quote(str(file.parent))}` writes it."
        try:
            from deepsign_utils import models
        except ImportError as error:
            raise DeepSignError(
                f"{file.parent} lacks {ONNX_FILE}, and {error.name} is not installed to do "
                f"without: where the study is installed, {how}"
            ) from error
        print(f"{file.parent} lacks {ONNX_FILE}, so that Keras runs it: {how}", file=sys.stderr)
        self.file = file
        self._models = models
        self._encoder = models.load_encoder(file)
        taken, given = self._encoder.input_shape, self._encoder.output_shape
        if len(taken) != 4 or taken[-1] != 1 or len(given) != 2:
            raise DeepSignError(f"{file} is no encoder: it maps {taken} to {given}.")
        self.name = self._encoder.name
        self.canvas_shape = taken[1:3]
        self.size = given[1]
        self.source = digest(file)
        self.threads = usable_processors()

    def embed(self, canvases: np.ndarray) -> np.ndarray:
        """As `OnnxEncoder.embed`."""
        embeddings = [
            # For a few images, `predict` would take ten times as long.
            self._encoder.predict_on_batch(self._models.as_images(canvases[start : start + _BATCH]))
            for start in range(0, len(canvases), _BATCH)
        ]
        return np.concatenate([np.empty((0, self.size), np.float32), *embeddings])
