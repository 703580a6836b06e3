"""Embeddings to scores, and what the scores mean: distance, fusion, calibration, thresholds.

The evaluation chapter and the verifier both score through this module, so that what is measured
is what is deployed. A higher score means more genuine; a signature is accepted if its score is at
least the threshold. Everything that is fitted or chosen here must be given the scores of
validation writers only.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from deepsign_utils import DeepSignError, metrics

# Values of one block of embeddings that are held at a time: 16 MiB of float32.
_BLOCK_VALUES = 1 << 22

# Error rates at which the operating curve is kept, besides the equal error rate: 24 a decade from
# 0.0001 to 1, which include the powers of ten, and the usual round values between.
_KEPT_RATES = np.union1d(np.geomspace(1e-4, 1, 93).round(12), [0.005, 0.02, 0.05, 0.2, 0.5])


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


# --- k references: fusion ---------------------------------------------------------------------
#
# A fusion makes one score (trials,) of the distances of the questioned signature from its
# references (trials, k) and the distances among the references (trials, k (k - 1) / 2). With one
# reference, every fusion gives minus the distance.


def _mean(questioned: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Minus the mean distance."""
    return -questioned.mean(axis=1)


def _nearest(questioned: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Minus the distance from the nearest reference."""
    return -questioned.min(axis=1)


def _centroid(questioned: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Minus the distance from the references' mean.

    By the parallel axis theorem, its square is the mean squared distance from the references
    less the mean squared distance of the references from their own mean.
    """
    spread = np.square(among).sum(axis=1) / questioned.shape[1] ** 2
    return -np.sqrt(np.maximum(np.square(questioned).mean(axis=1) - spread, 0))


def _nearest_relative(questioned: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Minus the distance from the nearest reference, each measured against its own surroundings.

    From each distance, half of that reference's mean distance from the other references is
    taken: a writer who varies much is allowed more. Only half, because so few references know
    that spread roughly.
    """
    k = questioned.shape[1]
    if k == 1:
        return -questioned[:, 0]
    first, second = np.triu_indices(k, 1)
    matrix = np.zeros((len(questioned), k, k), dtype=questioned.dtype)
    matrix[:, first, second] = matrix[:, second, first] = among
    own = matrix.sum(axis=2) / (k - 1)
    return -(questioned - own / 2).min(axis=1)


FUSIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": _mean,
    "nearest": _nearest,
    "centroid": _centroid,
    "nearest_relative": _nearest_relative,
}
"""Fusions by name, the simplest first."""


def fuse(questioned: np.ndarray, among: np.ndarray, fusion: str) -> np.ndarray:
    """One score per trial of the distances from its k references.

    Parameters
    ----------
    questioned : float (trials, k)
        Distances of the questioned signature from each reference.
    among : float (trials, k (k - 1) / 2)
        Distances among the references, in the order of ``numpy.triu_indices(k, 1)``.
    fusion : str
        A name in `FUSIONS`.

    Returns
    -------
    float (trials,)

    Raises
    ------
    DeepSignError
        If the fusion is unknown.
    """
    if fusion not in FUSIONS:
        raise DeepSignError(f"There is no fusion '{fusion}': use one of {', '.join(FUSIONS)}.")
    return FUSIONS[fusion](questioned, among)


def score_against(
    embeddings: np.ndarray, references: np.ndarray, questioned: np.ndarray, fusion: str
) -> tuple[np.ndarray, np.ndarray]:
    """Score questioned signatures, each against its own k references.

    Parameters
    ----------
    embeddings : float32 (n, d), of unit length
    references : int (trials, k)
        Rows of `embeddings`.
    questioned : int (trials,)
        Rows of `embeddings`.
    fusion : str
        A name in `FUSIONS`.

    Returns
    -------
    distance : float32 (trials, k)
        From the questioned signature to each of its references.
    score : float32 (trials,)
    """
    trials, k = references.shape
    first, second = np.triu_indices(k, 1)
    to_each = distances(embeddings, references.ravel(), np.repeat(questioned, k))
    among = distances(embeddings, references[:, first].ravel(), references[:, second].ravel())
    to_each, among = to_each.reshape(trials, k), among.reshape(trials, len(first))
    return to_each, fuse(to_each, among, fusion)


def pair_scores(embeddings: np.ndarray, ids: np.ndarray, pairs: pd.DataFrame) -> pd.DataFrame:
    """Score table of a pair table: one reference each.

    Parameters
    ----------
    embeddings : float32 (n, d), of unit length
    ids : int (n,)
        The signature of each embedding.
    pairs : DataFrame
        Pair table: `left` and `right` are signature ids.

    Returns
    -------
    DataFrame
        The pair table plus `distance` and `score` (minus the distance), float32.

    Raises
    ------
    DeepSignError
        If a signature has no embedding.
    """
    left, right = _rows(ids, pairs["left"]), _rows(ids, pairs["right"])
    distance = distances(embeddings, left, right)
    return pairs.assign(distance=distance, score=-distance)


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
    embeddings: np.ndarray, ids: np.ndarray, trials: pd.DataFrame, fusion: str
) -> pd.DataFrame:
    """Score table of a trial table: the same number of references in each trial.

    Parameters
    ----------
    embeddings : float32 (n, d), of unit length
    ids : int (n,)
        The signature of each embedding.
    trials : DataFrame
        Trial table: `references` holds lists of signature ids, `questioned` one id.
    fusion : str
        A name in `FUSIONS`.

    Returns
    -------
    DataFrame
        The trial table plus `distance` (mean over the references) and `score`, float32.

    Raises
    ------
    DeepSignError
        If a signature has no embedding, if the trials differ in their number of references, or if
        the fusion is unknown.
    """
    if trials["references"].map(len).nunique() != 1:
        raise DeepSignError(
            "Trials of one table must all have the same number of references: score them apart."
        )
    references = np.stack(trials["references"].to_numpy())
    rows = _rows(ids, references.ravel()).reshape(references.shape)
    distance, score = score_against(embeddings, rows, _rows(ids, trials["questioned"]), fusion)
    return trials.assign(distance=distance.mean(axis=1), score=score)


def score_tables(
    embeddings: np.ndarray,
    ids: np.ndarray,
    pairs: pd.DataFrame,
    trials: dict[int, pd.DataFrame],
    fusion: str,
) -> dict[int, pd.DataFrame]:
    """Score tables by number of references: the pairs under 1, the trials under theirs.

    Parameters
    ----------
    embeddings, ids, pairs
        As in `pair_scores`.
    trials : dict
        Trial table by number of references.
    fusion : str
        A name in `FUSIONS`.

    Raises
    ------
    DeepSignError
        As `pair_scores` and `trial_scores` do.
    """
    return {1: pair_scores(embeddings, ids, pairs)} | {
        k: trial_scores(embeddings, ids, table, fusion) for k, table in sorted(trials.items())
    }


def _rows(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The row of each wanted signature among `ids`."""
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


def fusion_errors(
    embeddings: np.ndarray, ids: np.ndarray, trials: dict[int, pd.DataFrame]
) -> pd.DataFrame:
    """EER of each fusion at each number of references, to choose the fusion by.

    Parameters
    ----------
    embeddings, ids
        As in `trial_scores`, of validation writers.
    trials : dict
        Trial table by number of references. One reference is left out: nothing is fused there.

    Returns
    -------
    DataFrame
        Index: the names of `FUSIONS`, the simplest first; a column per number of references;
        EER of genuine against skilled trials (random ones where there are no skilled).
    """
    errors = pd.DataFrame(index=list(FUSIONS), dtype=np.float64)
    for k in sorted(set(trials) - {1}):
        for fusion in FUSIONS:
            scores = trial_scores(embeddings, ids, trials[k], fusion)
            errors.loc[fusion, k] = metrics.eer(*_two_classes(scores, _opponent(scores)))
    return errors


def choose_fusion(errors: pd.DataFrame) -> str:
    """The fusion with the lowest mean of `fusion_errors`; of equal ones, the simplest."""
    # The sum ranks as the mean does, and is there even if only one reference was measured.
    return str(errors.sum(axis=1).idxmin())


# --- what a score means -----------------------------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """A straight line from scores to natural-log likelihood ratios, genuine against forged.

    Attributes
    ----------
    scale : float
        Not negative: a higher score is never less evidence of a genuine signature.
    offset : float
    """

    scale: float
    offset: float

    def llr(self, score: float | np.ndarray) -> float | np.ndarray:
        """Natural-log likelihood ratio of a score, or of an array of scores."""
        return self.scale * score + self.offset


def calibrate(genuine: np.ndarray, forged: np.ndarray) -> Calibration:
    """Fit scores to natural-log likelihood ratios by logistic regression.

    Both classes weigh the same, so that the log odds that the regression learns are the log
    likelihood ratio (Brümmer and du Preez, Computer Speech & Language 20, 2006). Its ridge is too
    weak to matter where the classes overlap; where they do not, and the best slope would be
    infinite, the ridge keeps it finite. Scores that rank forgeries above genuine signatures get
    the best line that does not fall: no evidence at all (LLR 0).

    Parameters
    ----------
    genuine, forged : float (g,), float (f,)

    Raises
    ------
    DeepSignError
        If either array is empty or holds a NaN or an infinity.
    """
    genuine = metrics.finite_scores(genuine, "genuine")
    forged = metrics.finite_scores(forged, "forged")
    # The sign of the slope is the sign of this difference (the loss's gradient at slope 0).
    if genuine.mean() <= forged.mean():
        return Calibration(0.0, 0.0)
    score = np.concatenate([genuine, forged])
    is_genuine = np.repeat([True, False], [len(genuine), len(forged)])
    mean, deviation = score.mean(), score.std()
    # On scores of unit deviation, C = 100 moves the slope by about 0.1 % where 100 pairs overlap.
    fit = LogisticRegression(C=100, class_weight="balanced", tol=1e-8, max_iter=1000)
    fit.fit(((score - mean) / deviation)[:, None], is_genuine)
    scale = float(fit.coef_[0, 0] / deviation)
    return Calibration(scale, float(fit.intercept_[0] - scale * mean))


@dataclass(frozen=True, eq=False)
class Operation:
    """What the scores of one number of references mean.

    Attributes
    ----------
    calibration : Calibration
    thresholds : dict
        By name: "eer", where FMR and FNMR were equal (`metrics.eer_threshold`).
    curve : DataFrame
        Operating curve of at most 200 points in increasing order of threshold, with 95 %
        intervals by bootstrap over writers: the columns of `metrics.rates_at`.
    pairs : dict
        Number of scores of each kind that it was measured on.
    """

    calibration: Calibration
    thresholds: dict[str, float]
    curve: pd.DataFrame
    pairs: dict[str, int]


@dataclass(frozen=True, eq=False)
class Scoring:
    """What `scoring.json` of a model folder holds.

    A number of references that was not measured is treated as the nearest measured number below
    it: with more references the errors are, if anything, lower than stated.

    Attributes
    ----------
    fusion : str
        A name in `FUSIONS`.
    opponent : "skilled" or "random"
        The forgeries that thresholds and calibration hold against: skilled ones, or random ones
        where the validation writers had no skilled forgeries.
    measured_on : dict
        The data: its name, its writers, and whatever else identifies it.
    operations : dict
        By number of references.
    """

    fusion: str
    opponent: str
    measured_on: dict
    operations: dict[int, Operation]

    def operation(self, references: int) -> Operation:
        """What scores against so many references mean; DeepSignError if fewer than measured."""
        measured = [k for k in self.operations if k <= references]
        if not measured:
            raise DeepSignError(
                f"Scores against {references} references were not measured, and neither were "
                f"those against fewer: use at least {min(self.operations)}."
            )
        return self.operations[max(measured)]

    def threshold(self, name: str, references: int) -> float:
        """The threshold of a name: "eer", or "fmr=0.01" for any rate that can be measured.

        "fmr=x" is the lowest threshold of the operating curve whose FMR (of the `opponent`) is at
        most x. What to expect of it on other writers is in `expected_errors`. Compare scores with
        it in float64: rounded to float32 it may fall on a score.

        Raises
        ------
        DeepSignError
            If the name is unknown, if x is not a rate, or if there were fewer than 1 / x forged
            pairs, too few to tell such a rate from 0.
        """
        operation = self.operation(references)
        if name in operation.thresholds:
            return operation.thresholds[name]
        try:
            rate = float(name.removeprefix("fmr=")) if name.startswith("fmr=") else np.nan
        except ValueError:
            rate = np.nan
        if not 0 < rate <= 1:
            raise DeepSignError(
                f"There is no threshold '{name}': use {', '.join(operation.thresholds)}, or "
                "fmr=x with x above 0 and up to 1, such as fmr=0.01."
            )
        forged = operation.pairs[self.opponent]
        if rate < 1 / forged:
            raise DeepSignError(
                f"{name} can't be measured on {forged} forged pairs: ask for a rate of at least "
                f"1/{forged}, or measure the model on more forgeries."
            )
        reached = operation.curve[f"fmr_{self.opponent}"] <= rate
        return float(operation.curve["threshold"][reached.idxmax()])

    def expected_errors(self, threshold: float, references: int) -> dict:
        """Error rates that were measured at a threshold, between curve points interpolated.

        Returns
        -------
        dict
            ``{"fmr": {"skilled": I, "random": I}, "fnmr": I}`` as in `metrics.evaluate`; None for
            a kind that was not measured.
        """
        curve = self.operation(references).curve

        def rate(name: str) -> dict[str, float] | None:
            if name not in curve:
                return None
            columns = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
            return {
                key: float(np.interp(threshold, curve["threshold"], curve[column]))
                for key, column in columns.items()
            }

        fmr = {kind: rate(f"fmr_{kind}") for kind in metrics.FORGED_KINDS}
        return {"fmr": fmr, "fnmr": rate("fnmr")}

    def llr(self, score: float | np.ndarray, references: int) -> float | np.ndarray:
        """Natural-log likelihood ratio, genuine against the `opponent`, of one or more scores."""
        return self.operation(references).calibration.llr(score)

    def summary(self) -> dict:
        """The threshold of each number of references, and how many writers fixed it.

        ``{"writers": int, "references": {"1": {"threshold": float}, ...}}``, for metrics.json.
        """
        return {
            "writers": self.measured_on["writers"],
            "references": {
                str(k): {"threshold": operation.thresholds["eer"]}
                for k, operation in self.operations.items()
            },
        }

    def to_dict(self) -> dict:
        """As plain values, ready for JSON."""
        return {
            "fusion": self.fusion,
            "opponent": self.opponent,
            "measured_on": self.measured_on,
            "references": {
                str(k): {
                    "calibration": asdict(operation.calibration),
                    "thresholds": operation.thresholds,
                    "curve": operation.curve.to_dict("list"),
                    "pairs": operation.pairs,
                }
                for k, operation in self.operations.items()
            },
        }

    @classmethod
    def from_dict(cls, values: dict) -> "Scoring":
        """The inverse of `to_dict`; DeepSignError if something is missing or unknown."""
        try:
            scoring = cls(
                fusion=values["fusion"],
                opponent=values["opponent"],
                measured_on=values["measured_on"],
                operations={
                    int(k): Operation(
                        calibration=Calibration(**entry["calibration"]),
                        thresholds=entry["thresholds"],
                        curve=_curve_from(entry["curve"], values["opponent"]),
                        pairs=entry["pairs"],
                    )
                    for k, entry in values["references"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DeepSignError(
                f"The model's scoring is damaged or of another version ({error!r}): "
                "take the model folder from its source again, or train the model again."
            ) from error
        if scoring.fusion not in FUSIONS:
            raise DeepSignError(
                f"The model fuses its references by '{scoring.fusion}', which this version does "
                f"not know (it knows {', '.join(FUSIONS)}): use the version that trained it."
            )
        return scoring


def _curve_from(columns: dict[str, list[float]], opponent: str) -> pd.DataFrame:
    curve = pd.DataFrame(columns, dtype=np.float64)
    missing = {"threshold", "fnmr", f"fmr_{opponent}"} - set(curve)
    if missing:
        raise KeyError(*missing)
    return curve


def fit_scoring(
    scores: dict[int, pd.DataFrame],
    fusion: str,
    measured_on: dict,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Scoring:
    """Calibrate, fix thresholds and measure the operating curve, on validation writers.

    Parameters
    ----------
    scores : dict
        By number of references, score tables: columns `writer`, `kind`, `score`.
    fusion : str
        The name of the fusion that made the scores.
    measured_on : dict
        JSON-ready description of the data (name, writers), kept as it is.
    rng, resamples
        Of the bootstrap over writers.

    Raises
    ------
    DeepSignError
        If a table lacks genuine or forged pairs, holds scores that are not finite, or is of one
        writer only.
    """
    opponent = _opponent(pd.concat(scores.values()))
    operations = {}
    for k, table in sorted(scores.items()):
        genuine, forged = _two_classes(table, opponent)
        equal = metrics.eer_threshold(genuine, forged)
        kept = np.union1d(_kept_thresholds(metrics.error_curve(genuine, forged)), equal)
        operations[k] = Operation(
            calibration=calibrate(genuine, forged),
            thresholds={"eer": equal},
            curve=metrics.rates_at(table, kept, rng, resamples),
            pairs={kind: int((table["kind"] == kind).sum()) for kind in metrics.KINDS},
        )
    return Scoring(fusion, opponent, measured_on, operations)


def _opponent(scores: pd.DataFrame) -> str:
    """The kind of forgery to hold out against: skilled, or random where there are no skilled."""
    return "skilled" if (scores["kind"] == "skilled").any() else "random"


def _two_classes(scores: pd.DataFrame, opponent: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the genuine pairs, and of the forged pairs of a kind."""
    return tuple(
        scores.loc[scores["kind"] == kind, "score"].to_numpy() for kind in ("genuine", opponent)
    )


def _kept_thresholds(curve: metrics.ErrorCurve) -> np.ndarray:
    """The thresholds, about 200 at most, that first reach each of `_KEPT_RATES` of FMR and FNMR."""
    # FMR falls along the curve: the lowest threshold with an FMR of at most the rate.
    by_fmr = np.searchsorted(-curve.fmr, -_KEPT_RATES)
    # FNMR grows: the highest threshold with an FNMR of at most the rate.
    by_fnmr = np.searchsorted(curve.fnmr, _KEPT_RATES, side="right") - 1
    return curve.threshold[np.union1d(by_fmr, by_fnmr)]
