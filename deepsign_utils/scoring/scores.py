"""Embeddings to scores, on one scale for any number of references."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepsign_utils import DeepSignError, metrics

if TYPE_CHECKING:  # a verifier knows no tables, and does not wait for pandas
    import pandas as pd

SHARE = 0.75
"""The part of a writer's own deviation that a score leaves out; see `Population.share`."""

MOST_VARIED = 3.0
"""Standard deviations below the mean, beyond which references are not one writer's variation."""

MOST_VARIED_OF_TWO = 2.0
"""The same of two references, of which neither can be called the odd one and left out."""

# Values of one block of embeddings that are held at a time: 16 MiB of float32.
_BLOCK_VALUES = 1 << 22
_SPREADS = (0.5, 2.0)  # between which density may draw scores together and apart


def distances(embeddings: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Euclidean distances between pairs of embeddings.

    For embeddings of unit length this is ``sqrt(2 - 2 cos)``, from 0 to 2; the difference of the
    two is taken instead, which keeps its digits where they are nearly the same.

    Parameters
    ----------
    embeddings : float32 (n, d)
    left, right : int (p,)
        Rows of `embeddings`.

    Returns
    -------
    float32 (p,)
    """
    result = np.empty(len(left), dtype=np.float32)
    rows = max(1, _BLOCK_VALUES // embeddings.shape[1])
    for start in range(0, len(left), rows):
        block = slice(start, start + rows)
        difference = embeddings[left[block]] - embeddings[right[block]]
        result[block] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return result


@dataclass(frozen=True)
class Style:
    """What the density of the writing says of a score.

    The more strokes a signature has, the more there is to tell two hands by: scores of genuine
    signatures and of forgeries lie further apart, in units of their own spread. Scores are drawn
    apart in the measure of it, about a point near the threshold; those of sparse writing are drawn
    together, so that they claim less. Density is a linear function of the embedding.

    Attributes
    ----------
    direction : tuple of float (d,)
        Its scalar product with an embedding is the natural logarithm of the density
        (`preprocessing.density`), up to a constant.
    centre : float
        That product, where scores stay as they are.
    spread : float
        By which share scores are drawn apart where the product is larger by one.
    depth : float
        How far below the population's mean the fixed point lies.
    """

    direction: tuple[float, ...]
    centre: float
    spread: float
    depth: float

    def denseness(self, embeddings: np.ndarray) -> np.ndarray:
        """Density of embeddings, float (..., d), from `centre`: float64 (...)."""
        return embeddings @ np.array(self.direction) - self.centre

    def drawn_apart(self, score: np.ndarray, denseness: np.ndarray, mean: float) -> np.ndarray:
        """Scores, float (trials,), spread by how dense the compared signatures are on average."""
        fixed = mean - self.depth
        return fixed + (score - fixed) * np.clip(1 + self.spread * denseness, *_SPREADS)


@dataclass(frozen=True)
class Population:
    """How alike two genuine signatures of a writer are, over the writers of a population.

    The cosine of signatures i and j of a writer is taken as the population's mean, plus what is
    the writer's own, plus what is each signature's own, plus what is the pair's own.

    Attributes
    ----------
    mean : float
        Mean cosine of genuine pairs, each writer weighing the same.
    writer, signature, pair : float
        Variances of the three parts.
    style : Style, optional
        Where it was fitted, what the density of the writing says.
    """

    mean: float
    writer: float
    signature: float
    pair: float
    style: Style | None = None

    @classmethod
    def of(cls, embeddings: np.ndarray, writers: np.ndarray) -> Population:
        """Estimate the four numbers from genuine signatures, by the method of moments.

        Parameters
        ----------
        embeddings : float (n, d), of unit length
        writers : (n,)
            The writer of each.

        Raises
        ------
        DeepSignError
            If fewer than two writers have two signatures.
        """
        means, images, pairs, sizes = [], [], [], []
        for name in np.unique(writers):
            own = embeddings[writers == name].astype(np.float64)
            n = len(own)
            if n < 2:
                continue
            cosines = own @ own.T
            upper = np.triu_indices(n, 1)
            mean = cosines[upper].mean()
            means.append(mean)
            sizes.append(n)
            if n > 3:  # with three, nothing tells a signature's part from a pair's
                row = (cosines.sum(axis=1) - np.diag(cosines)) / (n - 1)
                part = (row - mean) * (n - 1) / (n - 2)
                left = cosines[upper] - mean - part[upper[0]] - part[upper[1]]
                pair = np.square(left).sum() / (len(left) - n)
                pairs.append(pair)
                images.append(np.square(part).sum() / (n - 1) - pair / (n - 2))
        if len(means) < 2:
            raise DeepSignError(
                "How alike a writer's genuine signatures are cannot be told: at least two writers "
                "with two genuine signatures each are needed."
            )
        image = max(float(np.mean(images)), 0.0) if images else 0.0
        pair = float(np.mean(pairs)) if pairs else 0.0
        size = np.array(sizes)
        noise = 4 * image / size + 2 * pair / (size * (size - 1))
        between = max(float(np.var(means, ddof=1) - noise.mean()), 0.0)
        return cls(float(np.mean(means)), between, image, pair)

    def share(self, references: int) -> float:
        """The part of the references' deviation from the mean that a score leaves out.

        Let rho be the mean cosine among k references. The best linear prediction of a genuine
        signature's mean cosine with them moves with rho by ``(w + 2 s / k) / (w + 4 s / k +
        2 p / (k (k - 1)))``, of the variances `writer`, `signature` and `pair` (empirical Bayes).
        A skilled forgery's moves by about half as much, and the best linear discriminant lies
        between the two (Fisher, 1936): `SHARE` of it is taken. 0 for one reference.
        """
        k = references
        if k == 1:
            return 0.0
        common, seen = self.writer + 2 * self.signature / k, self._seen(k)
        return SHARE * common / seen if seen > 0 else SHARE

    def deviation(self, among: np.ndarray, references: int) -> np.ndarray:
        """How far the mean cosine among k references lies from the population's, to be left out.

        Downwards it ends at `MOST_VARIED` standard deviations: references that differ more are two
        people's rather than a varied writer's, and would let forgeries of either pass.

        Parameters
        ----------
        among : float (trials,)
        references : int
            k, at least 2.

        Returns
        -------
        float (trials,)
        """
        most = MOST_VARIED_OF_TWO if references == 2 else MOST_VARIED
        return np.maximum(among - self.mean, -most * math.sqrt(self._seen(references)))

    def _seen(self, k: int) -> float:
        """Variance of the mean cosine among k references of one writer."""
        return self.writer + 4 * self.signature / k + 2 * self.pair / (k * (k - 1))


def score_against(
    embeddings: np.ndarray,
    references: np.ndarray,
    questioned: np.ndarray,
    population: Population,
) -> tuple[np.ndarray, np.ndarray]:
    """Score questioned signatures, each against its own k references.

    Parameters
    ----------
    embeddings : float32 (n, d), of unit length
    references : int (trials, k)
        Rows of `embeddings`.
    questioned : int (trials,)
        Rows of `embeddings`.
    population : Population

    Returns
    -------
    distance : float32 (trials, k)
        From the questioned signature to each of its references.
    score : float32 (trials,)
        Mean cosine, less `Population.share` of the references' own deviation, spread by `Style`.
    """
    trials, k = references.shape
    distance = distances(embeddings, references.ravel(), np.repeat(questioned, k))
    distance = distance.reshape(trials, k)
    score = 1 - np.square(distance.astype(np.float64)).mean(axis=1) / 2
    if k > 1:
        among = np.empty(trials)
        rows = max(1, _BLOCK_VALUES // (k * embeddings.shape[1]))
        for start in range(0, trials, rows):
            block = slice(start, start + rows)
            total = embeddings[references[block]].sum(axis=1, dtype=np.float64)
            # The squared length of a sum of k unit vectors is k plus twice the sum of cosines.
            among[block] = (np.square(total).sum(axis=1) - k) / (k * (k - 1))
        score -= population.share(k) * population.deviation(among, k)
    if population.style:
        denseness = population.style.denseness(embeddings)
        both = (denseness[references].mean(axis=1) + denseness[questioned]) / 2
        score = population.style.drawn_apart(score, both, population.mean)
    return distance, score.astype(np.float32)


def pair_scores(
    embeddings: np.ndarray,
    ids: np.ndarray,
    pairs: pd.DataFrame,
    population: Population | None = None,
) -> pd.DataFrame:
    """Score table of a pair table: one reference each.

    Parameters
    ----------
    embeddings : float32 (n, d), of unit length
    ids : int (n,)
        The signature of each embedding.
    pairs : DataFrame
        Pair table: `left` and `right` are signature ids.
    population : Population, optional
        Without it the score is the cosine.

    Returns
    -------
    DataFrame
        The pair table plus `distance` and `score`, float32.

    Raises
    ------
    DeepSignError
        If a signature has no embedding.
    """
    left, right = _rows(ids, pairs["left"]), _rows(ids, pairs["right"])
    population = population or Population(0.0, 0.0, 0.0, 0.0)
    distance, score = score_against(embeddings, left[:, None], right, population)
    return pairs.assign(distance=distance[:, 0], score=score)


def pair_errors(embeddings: np.ndarray, ids: np.ndarray, pairs: pd.DataFrame) -> dict[str, float]:
    """EER of pairs, by kind of forgery.

    Parameters
    ----------
    embeddings, ids, pairs
        As in `pair_scores`.

    Returns
    -------
    dict of float
        A share from 0 to 1 for ``skilled`` and for ``random``; NaN where a kind has no pairs.
    """
    table = pair_scores(embeddings, ids, pairs)
    scores = {kind: group["score"].to_numpy() for kind, group in table.groupby("kind")}
    return {
        kind: metrics.eer(scores["genuine"], scores[kind]) if kind in scores else math.nan
        for kind in metrics.FORGED_KINDS
    }


def trial_scores(
    embeddings: np.ndarray, ids: np.ndarray, trials: pd.DataFrame, population: Population
) -> pd.DataFrame:
    """Score table of a trial table: the same number of references in each trial.

    Parameters
    ----------
    embeddings : float32 (n, d), of unit length
    ids : int (n,)
        The signature of each embedding.
    trials : DataFrame
        Trial table: `references` holds lists of signature ids, `questioned` one id.
    population : Population

    Returns
    -------
    DataFrame
        The trial table plus `distance` (mean over the references) and `score`, float32.

    Raises
    ------
    DeepSignError
        If a signature has no embedding, or if the trials differ in their number of references.
    """
    if trials["references"].map(len).nunique() != 1:
        raise DeepSignError(
            "Trials of one table must all have the same number of references: score them apart."
        )
    references = np.stack(trials["references"].to_numpy())
    rows = _rows(ids, references.ravel()).reshape(references.shape)
    distance, score = score_against(embeddings, rows, _rows(ids, trials["questioned"]), population)
    return trials.assign(distance=distance.mean(axis=1), score=score)


def score_tables(
    embeddings: np.ndarray,
    ids: np.ndarray,
    pairs: pd.DataFrame,
    trials: pd.DataFrame,
    population: Population,
) -> dict[int, pd.DataFrame]:
    """Score tables by number of references: the pairs under 1, the trials under theirs.

    Parameters
    ----------
    embeddings, ids, pairs
        As in `pair_scores`.
    trials : DataFrame
        Trial table of any numbers of references, as ``pairing.draw_trials`` makes it.
    population : Population

    Raises
    ------
    DeepSignError
        As `pair_scores` and `trial_scores` do.
    """
    return {1: pair_scores(embeddings, ids, pairs, population)} | {
        int(k): trial_scores(embeddings, ids, table, population)
        for k, table in trials.groupby("count")
    }


def _rows(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The row of each wanted signature among `ids`."""
    import pandas as pd

    wanted = np.asarray(wanted)
    rows = pd.Index(ids).get_indexer(wanted)
    missing = np.unique(wanted[rows < 0])
    if len(missing):
        raise DeepSignError(
            f"{len(missing)} signatures have no embedding (first: "
            f"{', '.join(map(str, missing[:5]))}): the pairs and the embedded images come from "
            "different signature tables. Build them again from the same one."
        )
    return rows
