"""Embeddings to scores on one scale for any number of references, and what the scores mean.

The score of a questioned signature against k references is the mean cosine of their embeddings,
less a share of how far the references' own similarity lies from that of the population: a writer
whose references resemble one another closely must resemble them closely. Where several sets of data
were measured, it is spread by how dense the writing is (`Style`).

The evaluation chapter and the verifier both score through this module, so that what is measured
is what is deployed. A higher score means more genuine. Everything that is fitted or chosen here
must be given the scores of writers whom the weights have not seen.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, overload

import numpy as np
from scipy.special import stdtrit

from deepsign_utils import DeepSignError, metrics

if TYPE_CHECKING:  # a verifier knows no tables, and does not wait for pandas
    import pandas as pd

Columns = dict[str, np.ndarray]
"""A table of numbers: float64 columns of one length, by name."""

SHARE = 0.75
"""The part of a writer's own deviation that a score leaves out; see `Population.share`."""

MOST_VARIED = 3.0
"""Standard deviations below the mean, beyond which references are not one writer's variation."""

MOST_VARIED_OF_TWO = 2.0
"""The same of two references, of which neither can be called the odd one and left out."""

DEFAULT_THRESHOLD = "eer"
"""The threshold that every model has."""

BY_RATE = ("fmr=x", "fnmr=x", "fmr=x,fnmr=y")
"""The other names that `Scoring.rule` knows; x and y stand for rates."""

TOLERANCES = (0.01, 0.02, 0.05)
"""The errors at which the share of comparisons decided is told."""

# Values of one block of embeddings that are held at a time: 16 MiB of float32.
_BLOCK_VALUES = 1 << 22

# Error rates at which the operating curve is kept, besides the equal error rate: 24 a decade from
# 0.0001 to 1, which include the powers of ten, and the usual round values between.
_KEPT_RATES = np.union1d(np.geomspace(1e-4, 1, 93).round(12), [0.005, 0.02, 0.05, 0.2, 0.5])
_DIGITS = 6  # of the curves that a model folder keeps
_BINS = 60  # of the score distributions
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


# --- one scale for any number of references ------------------------------------------------------


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


# --- what a score means --------------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """A straight line from scores to natural-log likelihood ratios, genuine against forged.

    Attributes
    ----------
    scale : float
        Not negative: a higher score is never less evidence of a genuine signature.
    offset : float
    lowest, highest : float
        The line is cut off there: the data support no stronger evidence (`metrics.llr_bounds`).
    """

    scale: float
    offset: float
    lowest: float = -math.inf
    highest: float = math.inf

    @overload
    def llr(self, score: float) -> float: ...
    @overload
    def llr(self, score: np.ndarray) -> np.ndarray: ...
    def llr(self, score: float | np.ndarray) -> float | np.ndarray:
        """Natural-log likelihood ratio of a score, or of an array of scores."""
        return np.clip(self.scale * score + self.offset, self.lowest, self.highest)


def calibrate(
    genuine: Sequence[np.ndarray], forged: Sequence[np.ndarray], independent: tuple[float, float]
) -> Calibration:
    """Fit scores to natural-log likelihood ratios by logistic regression.

    Both classes weigh the same, so that the log odds that the regression learns are the log
    likelihood ratio (Brümmer and du Preez, Computer Speech & Language 20, 2006); so does each set
    of data. The ridge is too weak to matter where the classes overlap; where they do not, and the
    best slope would be infinite, it keeps it finite. Scores that rank forgeries above genuine
    signatures get the best line that does not fall: no evidence at all (LLR 0). The number of
    independent comparisons bounds the evidence (`metrics.llr_bounds`).

    Parameters
    ----------
    genuine, forged : sequence of float (g,), float (f,)
        An array for each set of data.
    independent : tuple of float
        How many independent genuine and forged comparisons they are worth.

    Raises
    ------
    DeepSignError
        If an array is empty or holds a NaN or an infinity.
    """
    genuine = [metrics.finite_scores(scores, "genuine") for scores in genuine]
    forged = [metrics.finite_scores(scores, "forged") for scores in forged]
    # The sign of the slope is the sign of this difference (the loss's gradient at slope 0).
    if np.mean([one.mean() for one in genuine]) <= np.mean([one.mean() for one in forged]):
        return Calibration(0.0, 0.0, 0.0, 0.0)
    score = np.concatenate([*genuine, *forged])
    weight = np.concatenate([np.full(len(one), 1 / len(one)) for one in [*genuine, *forged]])
    is_genuine = np.repeat([True, False], [sum(map(len, genuine)), sum(map(len, forged))])
    mean, deviation = score.mean(), score.std()
    # On scores of unit deviation, C = 100 moves the slope by about 0.1 % where 100 pairs overlap.
    from sklearn.linear_model import LogisticRegression  # a second that a verifier need not wait

    fit = LogisticRegression(C=100, tol=1e-8, max_iter=1000)
    fit.fit(((score - mean) / deviation)[:, None], is_genuine, weight / weight.mean())
    scale = float(fit.coef_[0, 0] / deviation)
    line = Calibration(scale, float(fit.intercept_[0] - scale * mean))
    return _bounded(line, genuine, forged, independent)


def _bounded(
    line: Calibration,
    genuine: Sequence[np.ndarray],
    forged: Sequence[np.ndarray],
    independent: tuple[float, float],
) -> Calibration:
    """The line, cut off where the comparisons support no stronger evidence."""
    curves = [
        metrics.error_curve(line.llr(one), line.llr(other))
        for one, other in zip(genuine, forged, strict=True)
    ]
    bounds = metrics.llr_bounds(metrics.mean_curve(curves), independent)
    return Calibration(line.scale, line.offset, *bounds)


@dataclass(frozen=True, eq=False)
class Operation:
    """What the scores of one number of references mean.

    Attributes
    ----------
    calibrations : dict
        A `Calibration` for each kind of forgery that was measured: genuine against it.
    thresholds : dict
        By name: "eer", where FMR and FNMR were equal.
    curve : dict of float64 (points,)
        Operating curve of at most 200 points in increasing order of threshold: `threshold`, and
        `fnmr`, `fmr_skilled`, `fmr_random`, each with `_low` and `_high` (see `fit_scoring`).
    by_set : dict
        Where several sets of data were measured, the rates of each at the same thresholds.
    pairs : dict
        Number of scores of each kind that it was measured on.
    """

    calibrations: dict[str, Calibration]
    thresholds: dict[str, float]
    curve: Columns
    by_set: dict[str, Columns]
    pairs: dict[str, int]


@dataclass(frozen=True, eq=False)
class Inference:
    """What skilled forgeries score, seen from the mean of their population's genuine scores.

    It carries over to people of whom there are genuine signatures and no forgeries.

    Attributes
    ----------
    slope, shift : float
        ``llr = slope (score - mean + shift) / (genuine variance + variance)``.
    variance : float
        Of skilled scores, the mean over the measured sets.
    curve : dict of float64 (points,)
        `offset` (score less the population's mean), `fmr`, `low`, `high`.
    """

    slope: float
    shift: float
    variance: float
    curve: Columns


@dataclass(frozen=True)
class Rule:
    """Below `reject_below` a score rejects, from `accept_from` on it accepts; between, a person."""

    reject_below: float
    accept_from: float

    def decide(self, score: float | np.ndarray) -> np.ndarray:
        """Decision on each score: "accepted", "rejected" or "referred"."""
        score = np.asarray(score, np.float64)
        low = np.where(score < self.reject_below, "rejected", "referred")
        return np.where(score >= self.accept_from, "accepted", low)


@dataclass(frozen=True, eq=False)
class Scoring:
    """What `scoring.json` of a model folder holds.

    A number of references that was not measured is judged by the thresholds of the nearest
    measured number below it. The scale is the same, forgeries scatter less with more references,
    and genuine signatures do too: no error is then larger than stated.

    Attributes
    ----------
    population : Population
        What scores are taken against.
    opponent : "skilled" or "random"
        The forgeries that thresholds hold against: skilled ones, or random ones where the writers
        had no skilled forgeries.
    measured_on : list of dict
        The sets of data: `dataset`, `writers`, and whatever else identifies each.
    operations : dict
        By number of references.
    inferences : dict
        By number of references; empty where no skilled forgeries were measured.
    relatives : dict
        By number of references, `threshold` and `fnmr`: how low genuine signatures score, where
        that is known better than from `operations`. A few people tell next to nothing of the lowest
        one in a hundred.
    """

    population: Population
    opponent: str
    measured_on: list[dict]
    operations: dict[int, Operation]
    inferences: dict[int, Inference]
    relatives: dict[int, Columns] = field(default_factory=dict)

    def measured(self, references: int) -> int:
        """The number of references whose measurement serves: the nearest measured one below.

        Raises
        ------
        DeepSignError
            If neither so many nor fewer were measured.
        """
        measured = [k for k in self.operations if k <= references]
        if not measured:
            raise DeepSignError(
                f"Scores against {references} references were not measured, and neither were "
                f"those against fewer: use at least {min(self.operations)}."
            )
        return max(measured)

    def operation(self, references: int) -> Operation:
        """What scores against so many references mean; errors as `measured`."""
        return self.operations[self.measured(references)]

    def share_as_low(self, score: float, references: int) -> float:
        """Share of genuine signatures that score as low against so many references."""
        known = [k for k in self.relatives if k <= references]
        curve = self.relatives[max(known)] if known else self.operation(references).curve
        return float(np.interp(score, curve["threshold"], curve["fnmr"]))

    def relatives_about(self, mean: float) -> dict[int, Columns]:
        """How low genuine signatures of other people score, as `relatives` holds it.

        Parameters
        ----------
        mean : float
            Of the cosines of two genuine signatures of one of them (`Population.mean`): the curves
            move along with it.

        Returns
        -------
        dict
            Number of references -> `threshold` and `fnmr`, float64 (points,).
        """
        moved = mean - self.population.mean
        own = {k: one.curve for k, one in self.operations.items()} | self.relatives
        return {
            k: {"threshold": curve["threshold"] + moved, "fnmr": curve["fnmr"]}
            for k, curve in own.items()
        }

    def rule(self, name: str, references: int) -> Rule:
        """Where to accept and where to reject.

        "eer" is one threshold, where both errors were equal. "fmr=x" is the lowest threshold of
        the operating curve whose FMR (of the `opponent`) is at most x; "fnmr=x" the highest whose
        FNMR is at most x. "fmr=x,fnmr=y" accepts from the first and rejects below the second;
        what lies between is referred to a person. Where one threshold keeps both promises, the
        middle of those that do is taken and nothing is referred. What to expect on other writers
        is in `expected_errors`.

        Raises
        ------
        DeepSignError
            If the name is unknown, if x is not a rate, or if there were fewer than 1 / x pairs,
            too few to tell such a rate from 0.
        """
        operation = self.operation(references)
        if name in operation.thresholds:
            return Rule(*[operation.thresholds[name]] * 2)
        limits: dict[str, float] = {}
        for part in str(name).split(","):
            kind, _, text = part.strip().partition("=")
            try:
                # A kind that is named twice is no rule: either of the two could be meant.
                limits[kind] = math.nan if kind in limits else float(text)
            except ValueError:
                limits[kind] = math.nan
        if not set(limits) <= {"fmr", "fnmr"} or not all(0 < x <= 1 for x in limits.values()):
            raise DeepSignError(
                f"There is no threshold '{name}': use {', '.join(operation.thresholds)}, "
                f"{', '.join(BY_RATE[:-1])} or {BY_RATE[-1]}, with x above 0 and up to 1, such as "
                "fmr=0.01."
            )
        curve = operation.curve
        found = {}
        for kind, rate in limits.items():
            pairs = operation.pairs["genuine" if kind == "fnmr" else self.opponent]
            if rate < 1 / pairs:
                raise DeepSignError(
                    f"{kind}={rate:g} can't be measured on {pairs} pairs: ask for a rate of at "
                    f"least 1/{pairs}, or measure the model on more signatures."
                )
            if kind == "fmr":
                reached = np.flatnonzero(curve[f"fmr_{self.opponent}"] <= rate)
                found[kind] = float(curve["threshold"][reached[0]])
            else:
                reached = np.flatnonzero(curve["fnmr"] <= rate)
                found[kind] = float(curve["threshold"][reached[-1] if len(reached) else 0])
        if len(found) == 1:
            return Rule(*[*found.values()] * 2)
        accept, reject = found["fmr"], found["fnmr"]
        return Rule(reject, accept) if reject < accept else Rule(*[(reject + accept) / 2] * 2)

    def least_rates(self) -> dict[str, float]:
        """The lowest FMR and FNMR that `rule` takes, whatever the number of references."""
        kinds = {"fmr": self.opponent, "fnmr": "genuine"}
        return {
            name: 1 / min(operation.pairs[kind] for operation in self.operations.values())
            for name, kind in kinds.items()
        }

    def threshold(self, name: str, references: int) -> float:
        """The lowest score that is accepted; names and errors as in `rule`."""
        return self.rule(name, references).accept_from

    def expected_errors(self, rule: Rule, references: int) -> dict:
        """Error rates that were measured at a rule, between curve points interpolated.

        FMR is the share of forgeries that it accepts, FNMR that of genuine signatures that it
        rejects; what it refers to a person is in neither.

        Returns
        -------
        dict
            ``{"fmr": {"skilled": I, "random": I}, "fnmr": I}`` as in `metrics.evaluate`; None for
            a kind that was not measured.
        """
        curve = self.operation(references).curve

        def rate(name: str, threshold: float) -> dict[str, float] | None:
            if name not in curve:
                return None
            columns = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
            return {
                key: float(np.interp(threshold, curve["threshold"], curve[column]))
                for key, column in columns.items()
            }

        fmr = {kind: rate(f"fmr_{kind}", rule.accept_from) for kind in metrics.FORGED_KINDS}
        return {"fmr": fmr, "fnmr": rate("fnmr", rule.reject_below)}

    def errors_by_set(self, rule: Rule, references: int) -> dict[str, dict[str, float]]:
        """`expected_errors` of each set of data, values alone; empty where there was one set."""
        operation = self.operation(references)
        at = operation.curve["threshold"]
        of = {"fnmr": rule.reject_below, "fmr_skilled": rule.accept_from}
        of["fmr_random"] = rule.accept_from
        return {
            name: {column: float(np.interp(of[column], at, rates[column])) for column in rates}
            for name, rates in operation.by_set.items()
        }

    def distributions(self, references: int) -> dict[str, np.ndarray]:
        """Score distributions that the operating curve implies, smoothed, to draw.

        FNMR is the share of genuine scores below a threshold and 1 - FMR that of forged ones, so
        that their differences between thresholds are histograms.

        Returns
        -------
        dict
            `score` (60,), and densities `genuine`, `skilled`, `random` (60,) of those that were
            measured, each of sum 1.
        """
        curve = self.operation(references).curve
        edges = np.linspace(curve["threshold"].min(), curve["threshold"].max(), _BINS - 5)
        step = edges[1] - edges[0]
        edges = np.concatenate(
            [edges[0] + step * np.arange(-3, 0), edges, edges[-1] + step * np.arange(1, 4)]
        )
        below = {"genuine": curve["fnmr"]}
        below |= {
            kind: 1 - curve[f"fmr_{kind}"]
            for kind in metrics.FORGED_KINDS
            if f"fmr_{kind}" in curve
        }
        result = {"score": (edges[:-1] + edges[1:]) / 2}
        for kind, share in below.items():
            cumulated = np.interp(edges, curve["threshold"], share, left=0.0, right=1.0)
            density = np.diff(cumulated)
            for _ in range(4):
                density = np.convolve(density, [0.25, 0.5, 0.25], mode="same")
            result[kind] = density / density.sum()
        return result

    @overload
    def llr(self, score: float, references: int, kind: str | None = None) -> float: ...
    @overload
    def llr(self, score: np.ndarray, references: int, kind: str | None = None) -> np.ndarray: ...
    def llr(
        self, score: float | np.ndarray, references: int, kind: str | None = None
    ) -> float | np.ndarray:
        """Natural-log likelihood ratio, genuine against a kind of forgery (the `opponent`)."""
        return self.operation(references).calibrations[kind or self.opponent].llr(score)

    @property
    def writers(self) -> int:
        """How many writers fixed the thresholds."""
        return sum(one["writers"] for one in self.measured_on)

    def summary(self, references: Sequence[int]) -> dict:
        """The threshold of each number of references, and how many writers fixed it.

        ``{"writers": int, "references": {"1": {"threshold": float}, ...}}``, for metrics.json.
        """
        return {
            "writers": self.writers,
            "references": {str(k): {"threshold": self.threshold("eer", k)} for k in references},
        }

    def to_dict(self) -> dict:
        """As plain values, ready for JSON."""
        return {
            "population": asdict(self.population),
            "opponent": self.opponent,
            "measured_on": self.measured_on,
            "references": {
                str(k): {
                    "calibrations": {
                        kind: asdict(line) for kind, line in operation.calibrations.items()
                    },
                    "thresholds": operation.thresholds,
                    "curve": _lists(operation.curve),
                    "by_set": {name: _lists(rates) for name, rates in operation.by_set.items()},
                    "pairs": operation.pairs,
                }
                for k, operation in self.operations.items()
            },
            "inferences": {
                str(k): asdict(one) | {"curve": _lists(one.curve)}
                for k, one in self.inferences.items()
            },
            "relatives": {str(k): _lists(curve) for k, curve in self.relatives.items()},
        }

    @classmethod
    def from_dict(cls, values: dict) -> Scoring:
        """The inverse of `to_dict`; DeepSignError if something is missing or unknown."""
        try:
            return cls(
                population=_population_from(values["population"]),
                opponent=values["opponent"],
                measured_on=values["measured_on"],
                operations={
                    int(k): Operation(
                        calibrations={
                            kind: Calibration(**line)
                            for kind, line in entry["calibrations"].items()
                        },
                        thresholds=entry["thresholds"],
                        curve=_curve_from(entry["curve"], values["opponent"]),
                        by_set={name: _columns(rates) for name, rates in entry["by_set"].items()},
                        pairs=entry["pairs"],
                    )
                    for k, entry in values["references"].items()
                },
                inferences={
                    int(k): Inference(**entry | {"curve": _columns(entry["curve"])})
                    for k, entry in values["inferences"].items()
                },
                relatives={
                    int(k): _columns(curve) for k, curve in values.get("relatives", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DeepSignError(
                f"The model's scoring is damaged or of another version ({error!r}): "
                "take the model folder from its source again, or train the model again."
            ) from error


def _population_from(values: dict) -> Population:
    style = values.get("style")
    if style is not None:
        style = Style(**style | {"direction": tuple(style["direction"])})
    return Population(**values | {"style": style})


def _columns(table: pd.DataFrame | dict[str, list[float]]) -> Columns:
    columns = {name: np.array(table[name], np.float64) for name in table}
    if any(column.shape != (len(column),) for column in columns.values()):
        raise ValueError("a column holds more than numbers")
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("columns of one table differ in length")
    return columns


def _lists(columns: Columns) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in columns.items()}


def _curve_from(columns: dict[str, list[float]], opponent: str) -> Columns:
    curve = _columns(columns)
    missing = {"threshold", "fnmr", f"fmr_{opponent}"} - set(curve)
    if missing:
        raise KeyError(*missing)
    return curve


# --- fitting -------------------------------------------------------------------------------------


def fit_style(
    embeddings: Sequence[np.ndarray],
    densities: Sequence[np.ndarray],
    scored: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    population: Population,
) -> Style:
    """Learn what the density of the writing says of a score, from several sets of data.

    The direction is a ridge regression of the log density on the embedding. Spread and fixed point
    come from a logistic regression, genuine against skilled, on score, density and their product.
    Each set weighs the same.

    Parameters
    ----------
    embeddings : sequence of float32 (n, d), of unit length
        For each set.
    densities : sequence of float (n,)
        From `preprocessing.density`.
    scored : sequence of (float (t,), int (t, k + 1), bool (t,))
        For each set, scores without a style, the rows of the signatures compared, and whether the
        questioned one is genuine.
    population : Population
        What the scores were taken against.
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    sizes = np.array([len(one) for one in embeddings])
    log = np.concatenate([np.log(one) for one in densities])
    weight = np.repeat(sizes.mean() / sizes, sizes)
    ridge = Ridge(alpha=1.0).fit(np.concatenate(embeddings), log, weight)
    direction = np.round(ridge.coef_.astype(np.float64), _DIGITS)
    centre = float(np.mean([(one @ direction).mean() for one in embeddings]))
    rows_of, answers, weights = [], [], []
    for of, (score, rows, genuine) in zip(embeddings, scored, strict=True):
        own = of @ direction - centre
        dense = (own[rows[:, :-1]].mean(axis=1) + own[rows[:, -1]]) / 2
        below = score - population.mean
        rows_of.append(np.stack([below, dense, below * dense], axis=1))
        answers.append(genuine)
        weights.append(np.where(genuine, 1 / genuine.sum(), 1 / (~genuine).sum()))
    columns, weight = np.concatenate(rows_of), np.concatenate(weights)
    unit = columns.std(axis=0)
    fit = LogisticRegression(C=100, tol=1e-8, max_iter=1000)
    fit.fit(columns / unit, np.concatenate(answers), weight / weight.mean())
    score, dense, product = fit.coef_[0] / unit
    if min(score, product) <= 0:  # density says nothing here
        return Style(tuple(direction.tolist()), centre, 0.0, 0.0)
    return Style(tuple(direction.tolist()), centre, float(product / score), float(dense / product))


def fit_scoring(
    sets: Mapping[str, Mapping[int, pd.DataFrame]],
    population: Population,
    measured_on: list[dict],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Scoring:
    """Calibrate, fix thresholds and measure the operating curve, on writers held out.

    Each set of data weighs the same, whatever its size. With one set, intervals are 95 % by
    bootstrap over writers. With several, they are for a further set that was not measured:
    prediction intervals on the scale of log odds (Higgins, Thompson and Spiegelhalter, "A
    re-evaluation of random-effects meta-analysis", 2009), never narrower than any set's own.

    With more references the threshold "eer" never accepts more forgeries than with fewer.

    Parameters
    ----------
    sets : mapping
        By name of the set and by number of references, score tables: `writer`, `kind`, `score`.
        A number of references that a set lacks is left out for all.
    population : Population
        What the scores were taken against.
    measured_on : list of dict
        JSON-ready description of each set (`dataset`, `writers`), kept as it is.
    rng, resamples
        Of the bootstrap over writers.

    Raises
    ------
    DeepSignError
        If a table lacks genuine or forged pairs, holds scores that are not finite, or is of one
        writer only.
    """
    counts = sorted(set.intersection(*(set(tables) for tables in sets.values())))
    skilled = sum((tables[counts[0]]["kind"] == "skilled").sum() for tables in sets.values())
    opponent = metrics.opponent({"skilled": skilled or None})
    operations: dict[int, Operation] = {}
    inferences: dict[int, Inference] = {}
    accepted = 1.0
    for k in counts:
        tables = {name: of[k] for name, of in sets.items()}
        curves = [metrics.curve_of(table, opponent) for table in tables.values()]
        curve = metrics.mean_curve(curves)
        equal = metrics.equal_threshold(curve)
        if curve.fmr[np.searchsorted(curve.threshold, equal)] > accepted:
            equal = float(curve.threshold[np.argmax(curve.fmr <= accepted)])
        accepted = min(accepted, float(curve.fmr[np.searchsorted(curve.threshold, equal)]))
        kept = np.union1d(_thinned([_kept_thresholds(one) for one in curves], 200), equal)
        by_set = {
            name: metrics.rates_at(table, kept, rng, resamples) for name, table in tables.items()
        }
        operations[k] = Operation(
            calibrations={
                kind: calibrate(*_classes(tables.values(), kind), _worth(tables.values(), kind))
                for kind in metrics.FORGED_KINDS
                if all((table["kind"] == kind).any() for table in tables.values())
            },
            thresholds={"eer": equal},
            curve=_columns(_over_sets(by_set)),
            by_set=_values_alone(by_set) if len(by_set) > 1 else {},
            pairs={
                kind: sum(int((table["kind"] == kind).sum()) for table in tables.values())
                for kind in metrics.KINDS
            },
        )
        if opponent == "skilled":
            inferences[k] = _infer(tables, rng, resamples)
    return Scoring(population, opponent, measured_on, operations, inferences)


def _classes(tables: Collection[pd.DataFrame], kind: str) -> tuple[list, list]:
    """Scores of the genuine pairs of each table, and of its forged pairs of a kind."""
    genuine, forged = (
        [table.loc[table["kind"] == one, "score"].to_numpy() for table in tables]
        for one in ("genuine", kind)
    )
    return genuine, forged


def _worth(tables: Collection[pd.DataFrame], kind: str) -> tuple[float, float]:
    """How many independent genuine pairs, and forged pairs of a kind, the tables are worth."""
    # The sets weigh alike, so that the smallest of them says what one comparison weighs.
    own, others = (
        len(tables)
        * min(metrics.worth(table.loc[table["kind"] == one, "writer"]) for table in tables)
        for one in ("genuine", kind)
    )
    return own, others


def _kept_thresholds(curve: metrics.ErrorCurve) -> np.ndarray:
    """The thresholds, about 200 at most, that first reach each of `_KEPT_RATES` of FMR and FNMR."""
    # FMR falls along the curve: the lowest threshold with an FMR of at most the rate.
    by_fmr = np.searchsorted(-curve.fmr, -_KEPT_RATES)
    # FNMR grows: the highest threshold with an FNMR of at most the rate.
    by_fnmr = np.searchsorted(curve.fnmr, _KEPT_RATES, side="right") - 1
    return curve.threshold[np.union1d(by_fmr, by_fnmr)]


def _thinned(thresholds: Sequence[np.ndarray], most: int) -> np.ndarray:
    """At most so many of the thresholds, evenly by rank, rounded; the ends outward."""
    kept = np.unique(np.round(np.concatenate(thresholds), _DIGITS))
    kept[[0, -1]] += [-(10.0**-_DIGITS), 10.0**-_DIGITS]
    return kept[np.linspace(0, len(kept) - 1, min(len(kept), most)).round().astype(int)]


def _over_sets(by_set: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One curve of several sets' rates: their mean, and what to expect of a further set."""
    import pandas as pd

    tables = list(by_set.values())
    if len(tables) == 1:
        return _rounded(tables[0])
    columns = {"threshold": tables[0]["threshold"].to_numpy()}
    for name in ("fnmr", *(f"fmr_{kind}" for kind in metrics.FORGED_KINDS)):
        if all(name in table for table in tables):
            value, low, high = (
                np.stack([table[name + end] for table in tables]) for end in ("", "_low", "_high")
            )
            columns[name] = value.mean(axis=0)
            lower, upper = prediction_interval(value)
            columns[f"{name}_low"] = np.minimum(lower, low.min(axis=0))
            columns[f"{name}_high"] = np.maximum(upper, high.max(axis=0))
    return _rounded(pd.DataFrame(columns))


def prediction_interval(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where 95 % of further sets are expected to lie, from a few sets' rates.

    On the scale of log odds the sets are taken as draws of one normal distribution: mean plus or
    minus ``t(m - 1) s sqrt(1 + 1 / m)`` (Higgins, Thompson and Spiegelhalter, 2009). Rates below
    0.5 % and above 99.5 % are taken as these: what differs there is a handful of pairs.

    Parameters
    ----------
    rates : float (m, n)
        Of m sets, at n thresholds.

    Returns
    -------
    low, high : float (n,)
    """
    m = len(rates)
    clipped = np.clip(rates, 0.005, 0.995)
    odds = np.log(clipped / (1 - clipped))
    reach = stdtrit(m - 1, 0.975) * odds.std(axis=0, ddof=1) * math.sqrt(1 + 1 / m)
    mean = odds.mean(axis=0)
    return tuple(1 / (1 + np.exp(-(mean + side * reach))) for side in (-1, 1))


def _values_alone(by_set: Mapping[str, pd.DataFrame]) -> dict[str, Columns]:
    names = ["fnmr", *(f"fmr_{kind}" for kind in metrics.FORGED_KINDS)]
    return {
        name: _columns(rates[[column for column in names if column in rates]].round(_DIGITS))
        for name, rates in by_set.items()
    }


def _rounded(curve: pd.DataFrame) -> pd.DataFrame:
    """The curve with its rates rounded; its thresholds stay, since scores are held to them."""
    return curve.round({column: _DIGITS for column in curve if column != "threshold"})


def _infer(
    tables: Mapping[str, pd.DataFrame], rng: np.random.Generator, resamples: int
) -> Inference:
    """What skilled forgeries score, relative to the mean of the genuine scores of each set."""
    shifted, genuine, forged = {}, [], []
    for name, table in tables.items():
        centre = table.loc[table["kind"] == "genuine", "score"].astype(np.float64).mean()
        shifted[name] = table.assign(score=table["score"].astype(np.float64) - centre)
        own, other = _classes([shifted[name]], "skilled")
        genuine += own
        forged += other
    variance = float(np.mean([scores.var() for scores in forged]))
    widths = [scores.var() + variance for scores in genuine]
    # Without an intercept: the line's own offset is inferred from the second column.
    columns, answers, weights = [], [], []
    for own, other, width in zip(genuine, forged, widths, strict=True):
        for scores, answer in ((own, True), (other, False)):
            columns.append(np.stack([scores / width, np.full(len(scores), 1 / width)], axis=1))
            answers.append(np.full(len(scores), answer))
            weights.append(np.full(len(scores), 1 / len(scores)))
    weight = np.concatenate(weights)
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(C=1e6, fit_intercept=False, tol=1e-8, max_iter=1000)
    fit.fit(np.concatenate(columns), np.concatenate(answers), weight / weight.mean())
    slope, product = fit.coef_[0]
    kept = [
        _kept_thresholds(metrics.error_curve(own, other))
        for own, other in zip(genuine, forged, strict=True)
    ]
    offsets = _thinned(kept, 100)
    rates = {
        name: metrics.rates_at(table, offsets, rng, resamples) for name, table in shifted.items()
    }
    curve = _over_sets(rates)[["threshold", *(f"fmr_skilled{e}" for e in ("", "_low", "_high"))]]
    curve.columns = ["offset", "fmr", "low", "high"]
    return Inference(float(slope), float(product / slope), variance, _columns(curve))


def fit_to_people(
    model: Scoring,
    tables: Mapping[int, pd.DataFrame],
    population: Population,
    measured_on: dict,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Scoring:
    """Thresholds and calibration for people of whom there are genuine signatures alone.

    How often genuine signatures are refused and strangers accepted is measured on them. What
    skilled forgeries score is inferred from the model's sets of data, relative to the mean of
    these people's genuine scores (`Inference`).

    Parameters
    ----------
    model : Scoring
        With inferences.
    tables : mapping
        Score tables of genuine and random pairs, by number of references.
    population : Population
        What the scores were taken against.
    measured_on : dict
        Describes these people, as in `Scoring`.
    rng, resamples
        Of the bootstrap over writers.

    Raises
    ------
    DeepSignError
        If the model has no inferences, or the tables are of one writer only.
    """
    if not model.inferences:
        raise DeepSignError(
            "This model was measured without skilled forgeries, so nothing can be inferred about "
            "them: calibrate another model, or add forgeries to the folder."
        )
    operations = {}
    accepted = 1.0
    for k, table in sorted(tables.items()):
        inference = model.inferences[max(n for n in model.inferences if n <= k)]
        (genuine,), (strangers,) = _classes([table], "random")
        genuine = genuine.astype(np.float64)
        centre, spread = float(genuine.mean()), float(genuine.var())
        offsets = inference.curve["offset"] + centre
        kept = np.union1d(_kept_thresholds(metrics.error_curve(genuine, strangers)), offsets)
        kept = np.unique(np.round(kept, _DIGITS))
        curve = metrics.rates_at(table, kept, rng, resamples)
        for end, column in (("", "fmr"), ("_low", "low"), ("_high", "high")):
            curve[f"fmr_skilled{end}"] = np.interp(
                kept, offsets, inference.curve[column], left=1.0, right=0.0
            )
        equal = metrics.equal_threshold(
            metrics.ErrorCurve(kept, curve["fmr_skilled"].to_numpy(), curve["fnmr"].to_numpy())
        )
        if np.interp(equal, kept, curve["fmr_skilled"]) > accepted:
            equal = float(kept[np.argmax(curve["fmr_skilled"] <= accepted)])
        accepted = min(accepted, float(np.interp(equal, kept, curve["fmr_skilled"])))
        scale = inference.slope / (spread + inference.variance)
        measured = model.operation(k).calibrations["skilled"]
        skilled = Calibration(
            scale, scale * (inference.shift - centre), measured.lowest, measured.highest
        )
        operations[k] = Operation(
            calibrations={
                "skilled": skilled,
                "random": calibrate([genuine], [strangers], _worth([table], "random")),
            },
            thresholds={"eer": equal},
            curve=_columns(_rounded(curve)),
            by_set={},
            pairs={kind: int((table["kind"] == kind).sum()) for kind in metrics.KINDS}
            | {"skilled": model.operation(k).pairs["skilled"]},
        )
    return Scoring(population, "skilled", [measured_on], operations, model.inferences)


def coverage(
    tables: Mapping[int, pd.DataFrame], chosen: Scoring
) -> dict[str, dict[str, dict | None]]:
    """How many comparisons three answers decide, by number of references and tolerance.

    At each of `TOLERANCES` x the rule "fmr=x,fnmr=x" is applied.

    Returns
    -------
    dict
        ``{"1": {"0.01": {"decided": {"genuine": share, …}, "fmr": {"skilled": …}, "fnmr": …}}}``,
        fractions; None where so small an error cannot be measured.
    """
    found: dict[str, dict[str, dict | None]] = {}
    for k, table in tables.items():
        of_kind = {kind: rows["score"].to_numpy() for kind, rows in table.groupby("kind")}
        found[str(k)] = {}
        for tolerance in TOLERANCES:
            try:
                rule = chosen.rule(f"fmr={tolerance:g},fnmr={tolerance:g}", k)
            except DeepSignError:
                found[str(k)][f"{tolerance:g}"] = None
                continue
            answers = {kind: rule.decide(scores) for kind, scores in of_kind.items()}
            found[str(k)][f"{tolerance:g}"] = {
                "decided": {k_: float((a != "referred").mean()) for k_, a in answers.items()},
                "fmr": {
                    kind: float((answers[kind] == "accepted").mean())
                    for kind in metrics.FORGED_KINDS
                    if kind in answers
                },
                "fnmr": float((answers["genuine"] == "rejected").mean()),
            }
    return found
