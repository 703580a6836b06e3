"""What varies within a writer, learnt from training writers and taken out of the comparison.

A trained encoder's embeddings still move a lot in some directions between two genuine signatures of
one writer, and little in others; a distance that counts all directions alike lets the first drown
the second. Within-writer whitening makes them vary alike (Hatch, Kajarekar and Stolcke,
"Within-Class Covariance Normalization for SVM-based Speaker Recognition", Interspeech 2006).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from deepsign_utils import DeepSignError, metrics, scoring

# Shares of an even spread mixed into the measured one; infinite: nothing is whitened.
SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 1.0, math.inf)
INDISTINCT = 0.05  # errors that differ by less than this share of the lowest


def within_writer_covariance(
    embeddings: np.ndarray, writers: np.ndarray, orders: list[list[int]]
) -> np.ndarray:
    """Covariance of embeddings about their writer's mean.

    Mirrored, a writer is another one, whose views are the same ones in another order: each order
    counts as a writer, so that the covariance knows no left or right, above or below.

    Parameters
    ----------
    embeddings : float (n, d)
        Of genuine signatures: those of v views side by side, d / v numbers each.
    writers : array (n,)
        Any type that can be sorted.
    orders : list of list of int
        Orders of the v views, as `views.orders` gives them.

    Returns
    -------
    ndarray
        float64 (d, d).

    Raises
    ------
    DeepSignError
        If no writer has two signatures.
    """
    _, codes, counts = np.unique(writers, return_inverse=True, return_counts=True)
    if counts.max(initial=0) < 2:
        raise DeepSignError("No writer has two genuine signatures: how they vary is unknown.")
    means = np.zeros((len(counts), embeddings.shape[1]))
    np.add.at(means, codes, embeddings)
    about = embeddings - (means / counts[:, None])[codes]
    covariance = about.T @ about / len(embeddings)
    views = len(orders[0])
    blocks = covariance.reshape(views, -1, views, embeddings.shape[1] // views)
    total = np.asarray(sum(blocks[order][:, :, order] for order in orders))
    mean = total / len(orders)
    return mean.reshape(covariance.shape)


def whitening(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    """The symmetric matrix A (d, d) for which ``embeddings @ A`` vary alike in every direction.

    Parameters
    ----------
    covariance : float (d, d)
        Of the embeddings within a writer; its scale does not matter.
    shrinkage : float
        How much of an even spread to mix in, against directions in which the training writers
        hardly varied by chance; infinite gives the unit matrix.

    Returns
    -------
    ndarray
        float32 (d, d).
    """
    size = len(covariance)
    if math.isinf(shrinkage):
        return np.eye(size, dtype=np.float32)
    even = covariance * (size / np.trace(covariance)) + shrinkage * np.eye(size)
    values, vectors = np.linalg.eigh(even)
    return ((vectors / np.sqrt(values)) @ vectors.T).astype(np.float32)


def whitened(embeddings: np.ndarray, matrices: list[np.ndarray]) -> np.ndarray:
    """Each block of the embeddings times its matrix and brought to length 1, then all of them.

    Parameters
    ----------
    embeddings : float (n, d)
        Blocks of b numbers side by side.
    matrices : list of ndarray
        For each block, float (b, b).

    Returns
    -------
    ndarray
        float (n, d), of length 1.
    """
    ends = np.cumsum([len(matrix) for matrix in matrices])
    blocks = np.split(embeddings, ends[:-1], axis=1)
    moved = [of_length_one(b @ matrix) for b, matrix in zip(blocks, matrices, strict=True)]
    return of_length_one(np.concatenate(moved, axis=1))


def of_length_one(rows: np.ndarray) -> np.ndarray:
    """Each row, float (n, d), divided by its Euclidean length."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def whitening_errors(
    covariances: list[np.ndarray],
    deployed: Callable[[list[np.ndarray]], np.ndarray],
    signature_id: np.ndarray,
    pairs: pd.DataFrame,
) -> pd.DataFrame:
    """EER on validation pairs with each of `SHRINKAGES`.

    Parameters
    ----------
    covariances : list of ndarray
        Of each block, float (b, b), of training writers.
    deployed : callable
        From a matrix for each block to the validation writers' embeddings by them, float (n, d).
    signature_id : int (n,)
        Of the validation writers.
    pairs : DataFrame
        Their pair table.

    Returns
    -------
    DataFrame
        Indexed by ``shrinkage``; EER as a share from 0 to 1, a column for each kind of forgery, NaN
        where there are none.
    """
    rows = {}
    for shrinkage in SHRINKAGES:
        matrices = [whitening(covariance, shrinkage) for covariance in covariances]
        rows[shrinkage] = scoring.pair_errors(deployed(matrices), signature_id, pairs)
    return pd.DataFrame(rows).T.rename_axis("shrinkage")


def decisive_errors(errors: pd.DataFrame) -> pd.Series:
    """EER by shrinkage against skilled forgeries, or random ones where there are no others."""
    return errors[metrics.opponent(errors.iloc[0])]


def choose_shrinkage(errors: pd.DataFrame) -> float:
    """The smallest shrinkage whose decisive error is within a twentieth of the lowest.

    So small a difference says little, and the validation writers are of the training writers' kind:
    whitening is worth more for writers of another kind.

    Parameters
    ----------
    errors : DataFrame
        See `whitening_errors`.
    """
    decisive = decisive_errors(errors)
    return float(errors.index[decisive <= (1 + INDISTINCT) * decisive.min()].min())
