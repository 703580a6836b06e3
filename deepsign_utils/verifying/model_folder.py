"""A model folder: what it holds, read and checked."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from deepsign_utils import DeepSignError
from deepsign_utils.deployed_encoder.runtime import (
    KERAS_FILE,
    ONNX_FILE,
    KerasEncoder,
    OnnxEncoder,
    load_encoder,
)
from deepsign_utils.preprocessing import Preprocessing
from deepsign_utils.scoring import DEFAULT_THRESHOLD, Scoring
from deepsign_utils.study.artefacts import check_seal, digest

MODEL_FILES = ("encoder.keras", "preprocessing.json", "scoring.json")
"""What a study's model folder holds; besides, `encoder.onnx`, exported from the first, the hashes
in SHA256SUMS, and `card.md` for people. A verifier needs the first only where it was not exported.
"""

T = TypeVar("T")


class Model(NamedTuple):
    """What a model folder holds.

    Attributes
    ----------
    encoder : OnnxEncoder or KerasEncoder
    preprocessing : Preprocessing
    scoring : Scoring
    identity : str
        SHA-256 of the encoder and its preprocessing, in hexadecimal: what an embedding depends
        on. Embeddings of models with different identities cannot be compared.
    scoring_hash : str
        SHA-256 of `scoring.json`, in hexadecimal: what a score means, besides. A calibrated model
        has the identity of the one it was made from, and another scoring.
    """

    encoder: OnnxEncoder | KerasEncoder
    preprocessing: Preprocessing
    scoring: Scoring
    identity: str
    scoring_hash: str


def read_model(folder: Path) -> Model:
    """Read a model folder.

    Raises
    ------
    DeepSignError
        If the folder lacks a file, or a file is damaged, is not the one that the folder was
        sealed with (``study.seal``), or does not fit the others; the message names it.
    """
    needed = MODEL_FILES[1:]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        problem = f"lacks {', '.join(missing)}" if folder.is_dir() else "is no folder"
        raise DeepSignError(
            f"The model folder {folder} {problem}. A model folder holds "
            f"{', '.join(MODEL_FILES)}. `make report` and "
            "`deepsign calibrate` make one; the shipped one judges where none is named."
        )
    encoders = [name for name in (ONNX_FILE, KERAS_FILE) if (folder / name).is_file()]
    check_seal(folder, [*needed, *encoders])
    preprocessing_file, scoring_file = (folder / name for name in needed)
    preprocessing = _named(preprocessing_file, Preprocessing.from_dict)
    scoring = _named(scoring_file, Scoring.from_dict)
    _check_scoring(scoring, scoring_file)
    encoder = load_encoder(folder)
    _check_encoder(encoder, preprocessing)
    plain = json.dumps(preprocessing.to_dict(), sort_keys=True)
    identity = hashlib.sha256((encoder.source + plain).encode()).hexdigest()
    return Model(encoder, preprocessing, scoring, identity, digest(scoring_file))


def _named(file: Path, build: Callable[[dict], T]) -> T:
    """Build an object of a JSON file's content; what goes wrong names the file."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeepSignError(
            f"{file} is damaged and cannot be read ({error}): take the model folder from its "
            "source again, or train the model again."
        ) from error
    if not isinstance(values, dict):
        raise DeepSignError(f"{file} must hold a JSON object, not {type(values).__name__}.")
    try:
        return build(values)
    except DeepSignError as error:
        raise DeepSignError(f"{file}: {error}") from error


def _check_scoring(scoring: Scoring, file: Path) -> None:
    """Refuse numbers that no measurement gives."""
    population = asdict(scoring.population)
    style = population.pop("style") or {}
    common = [*population.values(), *style.pop("direction", ()), *style.values()]
    for k, operation in scoring.operations.items():
        lines = [asdict(line) for line in operation.calibrations.values()]
        curve = operation.curve
        rates = np.array([rates for name, rates in curve.items() if name != "threshold"])
        numbers = [
            *common,
            *(number for line in lines for number in line.values()),
            *operation.thresholds.values(),
            *operation.pairs.values(),
        ]
        sound = (
            all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers)
            and scoring.opponent in operation.calibrations
            and all(line["scale"] >= 0 and line["lowest"] <= line["highest"] for line in lines)
            and DEFAULT_THRESHOLD in operation.thresholds
            and {"genuine", scoring.opponent} <= set(operation.pairs)
            and min(operation.pairs.values()) >= 0
            and k >= 1
            and len(curve["threshold"]) > 1
            and np.isfinite([*curve.values()]).all()
            and (np.diff(curve["threshold"]) > 0).all()
            and (np.diff(curve["fnmr"]) >= 0).all()
            and ((rates >= 0) & (rates <= 1)).all()
        )
        if not sound:
            raise DeepSignError(
                f"{file} holds numbers that no measurement gives (references: {k}): take the "
                "model folder from its source again, or train the model again."
            )
    for curve in scoring.relatives.values():
        if not (
            np.isfinite([*curve.values()]).all()
            and (np.diff(curve["threshold"]) > 0).all()
            and (np.diff(curve["fnmr"]) >= 0).all()
        ):
            raise DeepSignError(
                f"{file} holds numbers that no measurement gives (relatives): take the model "
                "folder from its source again, or calibrate again."
            )
    if not scoring.operations:
        raise DeepSignError(f"{file} holds no measured operation: train the model again.")


def _check_encoder(encoder: OnnxEncoder | KerasEncoder, preprocessing: Preprocessing) -> None:
    """Refuse an encoder that does not fit its preprocessing or does not embed."""
    height, width = preprocessing.canvas_height, preprocessing.canvas_width
    if encoder.canvas_shape != (height, width):
        raise DeepSignError(
            f"{encoder.file} takes canvases of the shape {encoder.canvas_shape}, but "
            f"preprocessing.json beside it makes some of {height} x {width}: the two are of "
            "different models."
        )
    canvas = np.zeros((1, height, width), np.uint8)
    canvas[:, height // 2, width // 4 : -width // 4] = 255
    length = np.linalg.norm(encoder.embed(canvas))
    if not np.isclose(length, 1, atol=1e-3):
        raise DeepSignError(
            f"{encoder.file} does not embed a signature as a vector of length 1 (it gives one of "
            f"length {length:.3g}): it is damaged, or no encoder."
        )
