"""Runs a deployed encoder on onnxruntime: neither TensorFlow nor Keras is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from deepsign_utils import DeepSignError
from deepsign_utils.study import usable_processors

ONNX_FILE = "encoder.onnx"
"""The deployed encoder in a model folder, as ONNX."""

KERAS_FILE = "encoder.keras"
"""The file that it was exported from."""

EXPORTED_FROM = "encoder_sha256"
"""Metadata of the ONNX file: SHA-256 of the Keras file."""

_BATCH = 8  # canvases a pass: more is no faster, and holds more memory


class OnnxEncoder:
    """An encoder exported by `export.export_encoder`, ready to embed.

    Parameters
    ----------
    file : Path
    threads : int, optional
        Threads of a pass; by default one per usable processor, or ``DEEPSIGN_THREADS``.

    Attributes
    ----------
    name : str
        One of ``models.ENCODERS``.
    canvas_shape : tuple of int
        Height and width of the canvases that it takes, in pixels.
    source : str
        SHA-256 of the Keras file that it was exported from, in hexadecimal.
    threads : int

    Raises
    ------
    DeepSignError
        If the file is damaged, or not one that `export.export_encoder` wrote.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        self.threads = threads or usable_processors()
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
