"""Copies: files that repeat another byte for byte, and images that show the same specimen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from deepsign_utils.pairing import without_duplicates
from deepsign_utils.preprocessing import Preprocessing, clean_table
from deepsign_utils.study.processes import progress_bar

NEAR_COPY = 24
"""Largest distance, of 256 bits, between the hashes of two near copies."""


def exact_duplicates(signatures: pd.DataFrame) -> pd.DataFrame:
    """Files that repeat an earlier one byte for byte.

    Parameters
    ----------
    signatures : DataFrame
        Signature table: `signature_id`, `writer`, `kind`, `duplicate_of`.

    Returns
    -------
    DataFrame
        As `near_duplicates` gives it; `id_a` is the first of the copies, every distance 0.
    """
    repeats = signatures.dropna(subset=["duplicate_of"])
    originals = signatures.set_index("signature_id").loc[repeats["duplicate_of"]]
    return pd.DataFrame(
        {
            "id_a": originals.index.to_numpy(),
            "id_b": repeats["signature_id"].to_numpy(),
            "distance": np.zeros(len(repeats), np.int32),
            "same_writer": originals["writer"].to_numpy() == repeats["writer"].to_numpy(),
            "same_kind": originals["kind"].to_numpy() == repeats["kind"].to_numpy(),
        }
    )


def copy_counts(
    copies: pd.DataFrame, signatures: pd.DataFrame, split: pd.DataFrame
) -> dict[str, int]:
    """How many files are copies of others, and across which bounds.

    Parameters
    ----------
    copies : DataFrame
        From `exact_duplicates` or `near_duplicates`.
    signatures : DataFrame
        Signature table.
    split : DataFrame
        `writer` and `split`.

    Returns
    -------
    dict
        `files`: files that copy an earlier one; and of these, those that have such a partner
        `across_writers`, `across_kinds` (a genuine file and a forged one) and `across_splits`.
    """
    part = signatures.merge(split, on="writer").set_index("signature_id")["split"]
    bounds = {
        "across_writers": ~copies["same_writer"],
        "across_kinds": ~copies["same_kind"],
        "across_splits": part[copies["id_a"]].to_numpy() != part[copies["id_b"]].to_numpy(),
    }
    return {"files": int(copies["id_b"].nunique())} | {
        name: int(copies.loc[crosses, "id_b"].nunique()) for name, crosses in bounds.items()
    }


def find_near_copies(root: str | Path, signatures: pd.DataFrame) -> pd.DataFrame:
    """Clean a dataset's images, small, and find those that show the same specimen.

    Parameters
    ----------
    root : str or Path
        The dataset's root, that the paths are relative to.
    signatures : DataFrame
        Signature table. Files that repeat another byte for byte, and those that cannot be cleaned,
        are left out.

    Returns
    -------
    DataFrame
        As `near_duplicates` gives it.
    """
    once = without_duplicates(signatures)
    usable, canvases, _ = clean_table(root, once, Preprocessing(64, 128, "aspect"))
    return near_duplicates(usable, canvases)


def near_duplicates(
    signatures: pd.DataFrame,
    canvases: Sequence[np.ndarray],
    largest_distance: int = NEAR_COPY,
    progress: bool = True,
) -> pd.DataFrame:
    """Pairs of images that show the same specimen: re-encoded, rescaled, shifted or scanned twice.

    Canvases are compared by the Hamming distance of their perceptual hashes: the signs, about
    their median, of the 16 x 16 lowest frequencies of a cosine transform (pHash, 256 bits).

    Parameters
    ----------
    signatures : DataFrame
        Signature table: `signature_id`, `writer`, `kind`.
    canvases : sequence of (H, W) uint8, or an array (n, H, W)
        In the order of `signatures`.
    largest_distance : int
        Bits in which the hashes of near copies may differ. Different specimens of one writer
        rarely come below 30.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        Nearest first: `id_a`, `id_b` (`id_a` stands earlier in `signatures`), `distance` int32,
        `same_writer`, `same_kind` bool.
    """
    bar = progress_bar(progress, iterable=canvases, desc="near copies", unit="image")
    signs = np.array([_perceptual_hash(canvas) for canvas in bar], dtype=np.float32)
    found = []
    for start in range(0, len(signs), _BLOCK):
        block = signs[start : start + _BLOCK]
        distance = (signs.shape[1] - block @ signs[start:].T) / 2
        first, second = np.nonzero(np.triu(distance <= largest_distance, k=1))
        found.append(np.stack([first + start, second + start, distance[first, second]]))
    first, second, distance = np.concatenate(found, axis=1).astype(np.int32)
    one, other = signatures.iloc[first], signatures.iloc[second]
    pairs = pd.DataFrame(
        {
            "id_a": one["signature_id"].to_numpy(),
            "id_b": other["signature_id"].to_numpy(),
            "distance": distance,
            "same_writer": one["writer"].to_numpy() == other["writer"].to_numpy(),
            "same_kind": one["kind"].to_numpy() == other["kind"].to_numpy(),
        }
    )
    return pairs.sort_values("distance", kind="stable", ignore_index=True)


_BLOCK = 1024


def _perceptual_hash(canvas: np.ndarray) -> np.ndarray:
    """256 signs, -1 or 1."""
    return np.where(imagehash.phash(Image.fromarray(canvas), hash_size=16).hash.ravel(), 1, -1)
