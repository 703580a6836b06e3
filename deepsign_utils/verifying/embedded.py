"""A dataset as a verifier takes it: what it judges, embedded, each signature once."""

from __future__ import annotations

from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepsign_utils import pairing
from deepsign_utils.preprocessing import density
from deepsign_utils.verifying.near_copies import near_copies
from deepsign_utils.verifying.verifier import Told, Verifier


class Embedded(NamedTuple):
    """What a verifier makes of a dataset's n usable images.

    Attributes
    ----------
    signatures : DataFrame
        Signature table, no copies among them.
    embeddings : float32 (n, d)
    density : float (n,)
        How dense the writing is, from `preprocessing.density`.
    told : list of tuple
        What is to be said of each image.
    refused : dict
        Path -> why the verifier does not judge it.
    copies : dict
        Path -> which image it repeats, byte for byte or scanned or saved again.
    """

    signatures: pd.DataFrame
    embeddings: np.ndarray
    density: np.ndarray
    told: list[tuple[Told, ...]]
    refused: dict[str, str]
    copies: dict[str, str]


def embed_dataset(verifier: Verifier, folder: str | Path, signatures: pd.DataFrame) -> Embedded:
    """Embed the images of a dataset, copies left out.

    One who handed in each signature twice would seem to sign always alike; and what verify refers
    to a person as a copy would count as a genuine signature accepted.

    Parameters
    ----------
    verifier : Verifier
    folder : path
        The dataset's, that the paths are relative to.
    signatures : DataFrame
        Its signature table.
    """
    copies = pairing.duplicates(signatures)
    # A file under two people's names is left out at the end: what is a near copy of it goes too.
    signatures = signatures[signatures["duplicate_of"].isna()]
    path_of = {Path(folder) / path: path for path in signatures["path"]}
    densities: list[float] = []
    told: dict[Path, tuple[Told, ...]] = {}
    embeddings, problems = verifier.embed_files(
        list(path_of), warnings=told, each=lambda canvas: densities.append(density(canvas))
    )
    refused = {path_of[file]: why.removeprefix(f"{file}: ") for file, why in problems.items()}
    signatures = signatures[~signatures["path"].isin(list(refused))]
    copies = near_copies(folder, signatures, embeddings, verifier.preprocessing) | copies
    kept = ~signatures["path"].isin(list(copies)).to_numpy()
    return Embedded(
        signatures[kept].reset_index(drop=True),
        embeddings[kept],
        np.array(densities)[kept],
        list(compress(told.values(), kept)),
        {path: why for path, why in refused.items() if path not in copies},
        copies,
    )
