"""Where a study's files lie."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsign_utils import DeepSignError
from deepsign_utils.study.streams import stream

if TYPE_CHECKING:
    import numpy as np

PACKAGE = Path(__file__).resolve().parent.parent
ROOT = PACKAGE.parent
# What the service keeps: in the project, or, of an installed package, where the user's data lies.
KEPT = (
    ROOT / "data"
    if (ROOT / "pyproject.toml").is_file()
    else Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "deepsign"
)
PRETRAINED = PACKAGE / "pretrained"  # the shipped model folder
CHAPTERS = (
    "01_eda",
    "02_pairing",
    "03_tfrecord",
    "04_model",
    "05_training",
    "06_evaluation",
)

LOOKED_AT = "04_model"  # the chapter that hands nothing on
DEMONSTRATION = "shortcut_demo"  # a study that is one notebook of this name


NOT_STUDIES = ("matrix", "sweeps", "capture", "bench", "readme.md", "index.html")
"""What else lies in the folder of reports, in lower case."""


def expand(path: Path | str) -> Path:
    """A path with ``~`` as the user's home.

    Raises
    ------
    DeepSignError
        If there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DeepSignError(f"{path}: there is no home that ~ could stand for.") from error


class Study:
    """Where a study's artefacts lie, and its random streams.

    Parameters
    ----------
    name : str
        The study's name: its folder below ``data/built`` and ``reports``.
    dataset, data_root : str
        The dataset's name, and the folder of its images (empty: ``data/raw/<dataset>``); a
        relative folder starts at the project's root.
    seed : int
        The seed from which every stream is derived.
    """

    def __init__(self, name: str, dataset: str = "", data_root: str = "", seed: int = 0) -> None:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise DeepSignError(
                f"The study's name (RUN) is {name!r}; it must be a plain folder name, of letters, "
                "digits, and _ . - after the first."
            )
        if name.lower() in NOT_STUDIES:
            raise DeepSignError(
                f"The study's name (RUN) is {name!r}; reports/{name} is another report's place. "
                "Choose another name."
            )
        self.name = name
        self.dataset = dataset
        self.seed = seed
        self.data_root = ROOT / expand(data_root or f"data/raw/{dataset}")
        self.built = ROOT / "data" / "built" / name
        self.reports = ROOT / "reports" / name
        self.used_parameters = self.built / "used_parameters"
        self.images = self.built / "images.json"
        self.images_listing = self.built / ".images_listing.json"
        self.signatures = self.built / "signatures.parquet"
        self.left_out = self.built / "left_out.parquet"
        self.near_copies = self.built / "near_copies.parquet"
        self.quality = self.built / "quality.json"
        self.split = self.built / "split.parquet"
        self.audit_raw = self.built / "audit_raw"
        self.audit_canvas = self.built / "audit_canvas"
        self.records = self.built / "records.json"
        self.layouts = self.built / "layouts.json"
        self.training = self.built / "training"
        self.notebooks = self.reports / "notebooks"
        self.model = self.reports / "model"
        self.history = self.reports / "history.csv"
        self.whitening = self.reports / "whitening.csv"
        self.figures = self.reports / "figures"
        self.scores = self.reports / "scores.parquet"
        self.metrics = self.reports / "metrics.json"

    def pairs(self, split: str) -> Path:
        """Pair table of ``validation``, ``test`` or ``published`` (test writers, all files)."""
        return self.built / f"pairs_{split}.parquet"

    def trials(self, split: str) -> Path:
        """Trial table (several references against one questioned image) of a split."""
        return self.built / f"trials_{split}.parquet"

    def stream(self, name: str) -> np.random.Generator:
        """The named random stream of this study, always from its start."""
        return stream(self.seed, name)


def shards_folder(dataset: str, content: Any, preprocessing: Mapping[str, Any]) -> Path:
    """Where the shards of some content, cleaned in some way, lie: shared by studies and sweeps.

    Parameters
    ----------
    dataset : str
        Begins the folder's name, for people.
    content : object
        Data frame that names the images and their split.
    preprocessing : mapping
        How they are cleaned.
    """
    key = hashlib.sha256(content.to_json().encode() + json.dumps(preprocessing).encode())
    return ROOT / "data" / "built" / "shards" / f"{dataset}-{key.hexdigest()[:12]}"
