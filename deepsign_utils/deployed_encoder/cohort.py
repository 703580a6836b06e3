"""What a signature has in common with other writers like it, taken out of the comparison.

Two signatures in a style that many write look alike whoever wrote them, two in a rare one do not:
the scores of different writers lie on different scales, and one threshold cannot serve them. A
*cohort* of other writers shows how common a style is; the mean of those nearest to a signature,
weighted by how near they are, is what it shares with them, and a part of that is subtracted
(K. Hara et al., "Localized Centering: Reducing Hubness in Large-Sample Data", AAAI 2015; in speaker
verification a cohort normalises scores to the same end).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from deepsign_utils.deployed_encoder.whitening import of_length_one

MOST = 256  # writers in a cohort
NEARNESS = 20.0  # how fast a writer's weight falls with the cosine


class Cohort(NamedTuple):
    """Other writers, and how much of what is shared with them to take out.

    ``centres`` is float32 (c, d): the direction of each writer's mean embedding. ``share`` is from
    0, nothing, to 1.
    """

    centres: np.ndarray
    share: float


def centres(embeddings: np.ndarray, writers: np.ndarray) -> np.ndarray:
    """The direction of each writer's mean embedding, of at most `MOST` writers.

    Parameters
    ----------
    embeddings : float (n, d)
        Of length 1.
    writers : array (n,)
        Any type that can be sorted. Of very many, writers at even distances are taken.

    Returns
    -------
    ndarray
        float32 (c, d), of length 1.
    """
    names = np.unique(writers)
    names = names[np.linspace(0, len(names) - 1, min(len(names), MOST)).round().astype(int)]
    means = np.stack([embeddings[writers == name].mean(axis=0) for name in names])
    return of_length_one(means).astype(np.float32)


def without_common(embeddings: np.ndarray, cohort: Cohort) -> np.ndarray:
    """Embeddings less a share of what they have in common with their nearest of the cohort.

    Parameters
    ----------
    embeddings : float (n, d)
        Of length 1.
    cohort : Cohort
        See `Cohort`.

    Returns
    -------
    ndarray
        float (n, d), of length 1.
    """
    weights = softmax(NEARNESS * embeddings @ cohort.centres.T, axis=1)
    return of_length_one(embeddings - cohort.share * weights @ cohort.centres)
