"""Images of a dataset that show one and the same signature, scanned or saved again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from deepsign_utils import pairing
from deepsign_utils.preprocessing import Preprocessing
from deepsign_utils.verifying.copies import Trace, alike
from deepsign_utils.verifying.verifier import read_signature

_CLOSE = 0.9  # cosine of embeddings, from which two images are looked at; copies have more
_NEAREST = 5  # images that each is compared with: copies lie nearest, whatever a network has learnt
_BLOCK = 1024  # rows compared with all others at a time


def near_copies(
    folder: str | Path,
    signatures: pd.DataFrame,
    embeddings: np.ndarray,
    preprocessing: Preprocessing,
) -> dict[str, str]:
    """Find the images whose signature is a copy of an earlier image's.

    Parameters
    ----------
    folder : str or Path
        The dataset's, that the paths are relative to.
    signatures : DataFrame
        Signature table of n images that the verifier judges.
    embeddings : float32 (n, d), of unit length
        Theirs.
    preprocessing : Preprocessing
        The model's.

    Returns
    -------
    dict
        Path -> why it is left out, and which image it repeats; of two people's, both
        (`pairing.copies_in_words`).
    """
    paths = signatures["path"].tolist()

    @cache
    def trace(row: int) -> Trace | None:
        file = Path(folder) / paths[row]
        return read_signature(file, preprocessing, str(file)).trace

    found: dict[int, int] = {}
    for start in range(0, len(paths), _BLOCK):
        cosine = embeddings[start : start + _BLOCK] @ embeddings.T
        # Of two images the later one is the copy.
        cosine[np.triu(np.ones(cosine.shape, bool), start)] = -1
        nearest = np.argsort(-cosine, axis=1)[:, :_NEAREST]
        for row, others in enumerate(nearest.tolist(), start):
            for other in others:
                if cosine[row - start, other] <= _CLOSE:
                    break
                original = found.get(other, other)
                one, two = trace(original), trace(row)
                if one and two and alike(one, two):
                    found[row] = original
                    break
    originals = {paths[copy]: paths[original] for copy, original in found.items()}
    return pairing.copies_in_words(signatures, originals, pairing.NEAR_COPY)
