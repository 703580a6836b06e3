"""What a naive error rate is worth: the pieces of the study `shortcut_demo`.

The naive recipe of many published pipelines makes a raw image gray, resizes it and normalises it.
Paper, scanner and pen stay in the picture, and where genuine and forged sheets differ in them, the
network compares sheets. Here are that recipe, a way to plant such a difference into drawn images,
and ways to take it out of any image again or to swap it, so that one can see what is left.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.preprocessing import ink_mask, load_grayscale
from deepsign_utils.study.processes import ordered_map

PLANTED = "planted.json"
"""File beside a manifest that says what was planted."""


def naive_canvases(
    root: str | Path,
    signatures: pd.DataFrame,
    height: int,
    width: int,
    levels: Mapping[str, tuple[int, int]] | None = None,
) -> np.ndarray:
    """Raw images made gray and resized, paper and all: the naive recipe.

    Parameters
    ----------
    root : str or Path
        The dataset's root.
    signatures : DataFrame
        Signature table: `path` and `kind`.
    height, width : int
        Of the canvases, in pixels; the aspect is not kept.
    levels : mapping, optional
        "genuine" and "forgery" -> gray levels of the paper and of the ink: images of that kind are
        redrawn with these first (`on_paper`).

    Returns
    -------
    np.ndarray
        Shape (n, height, width), uint8, inverted: ink is bright, white paper 0 and gray paper more.
    """
    draw = partial(_naive_canvas, Path(root), height, width, levels or {})
    items = list(zip(signatures["path"], signatures["kind"], strict=True))
    return np.stack(list(ordered_map(draw, items, progress=False)))


def _naive_canvas(
    root: Path,
    height: int,
    width: int,
    levels: Mapping[str, tuple[int, int]],
    item: tuple[str, str],
) -> np.ndarray:
    path, kind = item
    gray = load_grayscale(root / path)
    if kind in levels:
        gray = on_paper(gray, *levels[kind])
    small = Image.fromarray(gray).resize((width, height), Image.Resampling.BOX)
    return 255 - np.asarray(small)


def on_paper(gray: np.ndarray, paper: int, ink: int) -> np.ndarray:
    """Redraw a signature with flat ink on flat paper, at the place and size it had.

    What the paper and the scanner gave to the image is gone; the strokes stay.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright.
    paper, ink : int
        Their gray levels, 0 to 255.

    Returns
    -------
    np.ndarray
        Shape (H, W), uint8, of these two levels only.
    """
    return np.where(ink_mask(gray), np.uint8(ink), np.uint8(paper))


def typical_levels(features: pd.DataFrame, signatures: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Typical gray levels of the paper and of the ink, by kind of signature.

    Parameters
    ----------
    features : DataFrame
        From `shortcuts.raw_feature_table`.
    signatures : DataFrame
        Signature table that has all ids of `features`.

    Returns
    -------
    dict
        "genuine" and "forgery" -> (paper, ink): medians over the images, 0 to 255.
    """
    kind = signatures.set_index("signature_id").loc[features.index, "kind"]
    levels = features[["background.paper.median", "background.ink.median"]]
    medians = levels.groupby(kind.to_numpy()).median().round().astype(int)
    return {str(name): (int(row.iloc[0]), int(row.iloc[1])) for name, row in medians.iterrows()}


def darkened(gray: np.ndarray, share: float) -> np.ndarray:
    """Plant a shortcut: the same scan on paper darker by a share of its brightness.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright.
    share : float
        0 leaves the image as it is, 1 makes it black.
    """
    return np.rint(gray * (1 - share)).astype(np.uint8)


def write_planted(folder: str | Path, share: float, **drawn: Any) -> Path:
    """Write synthetic writers whose forgeries, and only these, lie on darker paper.

    Parameters
    ----------
    folder : path
        Made here, in the layout of `synthetic.write_dataset`; `planted.json` says what was
        planted. If it holds this very dataset already, nothing is done.
    share : float
        Of the paper's brightness, that the forgeries' paper is darker by: above 0, below 1.
    **drawn
        As `synthetic.write_dataset` takes them.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DeepSignError
        If a parameter is out of its range, or the folder holds something else.
    """
    if not 0 < share < 1:
        raise DeepSignError(f"The forgeries' paper must be darker by 0 to 1, not {share!r}.")
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        honest = synthetic.write_dataset(beside / folder.name, **drawn)
        with (honest / synthetic.MANIFEST).open(newline="") as file:
            forged = [row["path"] for row in csv.DictReader(file) if row["kind"] == "forgery"]
        for path in forged:
            planted = darkened(load_grayscale(honest / path), share)
            Image.fromarray(planted).save(honest / path, compress_level=6)
        (honest / PLANTED).write_text(json.dumps({"darker_paper": share}) + "\n")
        if folder.exists() and any(folder.iterdir()):
            if _content(folder) != _content(honest):
                raise DeepSignError(
                    f"{folder} holds something else than this planted dataset. Remove it, or name "
                    "another folder."
                )
            return folder
        honest.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _content(folder: Path) -> list[tuple[str, bytes]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in files]


def swapped_pairs(
    embeddings: np.ndarray, questioned: np.ndarray, ids: np.ndarray, pairs: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Put other images of the same signatures on the questioned side of every pair.

    Parameters
    ----------
    embeddings : float32 (n, d)
        Of the references.
    questioned : float32 (n, d)
        Of the same signatures as they are to be questioned.
    ids : int (n,)
        The signature of each row.
    pairs : DataFrame
        Pair table.

    Returns
    -------
    embeddings : float32 (2 n, d)
    ids : int (2 n,)
        Questioned images have ids of their own.
    pairs : DataFrame
        The pair table with these ids on its right side: as `scoring.pair_scores` takes them.
    """
    apart = int(ids.max()) + 1
    both = np.concatenate([embeddings, questioned])
    return both, np.concatenate([ids, ids + apart]), pairs.assign(right=pairs["right"] + apart)
