"""Scores to error rates, equal error rates, curves and intervals.

A pair is accepted if its score is at least the threshold. FMR is the share of forged pairs that
are accepted, FNMR the share of genuine pairs that are rejected (terms as in ISO/IEC 19795-1).
The operating points of a set of scores are those of its distinct scores taken as thresholds, and
'reject all'; between two of them the error rates follow the straight line that joins them.

Pairs of one writer are not independent, so every interval here comes from resampling writers
(percentile bootstrap, 95 %), a pair going with its reference's writer. Such an interval knows
only the writers seen, and where no error was seen it has no width. So the interval of a rate near
0 or 1 is never narrower than `INDEPENDENT` comparisons of each writer, independent of one another,
would make it (Clopper and Pearson, 1934; a share of n, whole or not, is taken as so many errors).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import betaincinv, logit

from deepsign_utils import DeepSignError

if TYPE_CHECKING:  # a verifier knows no tables, and does not wait for pandas
    import pandas as pd

LEAST_WRITERS = 5
LEAST_IMAGES = 20
"""Writers with both kinds, and images of each, from which a plain difference is seen surely."""

CHANCE = 0.55
"""AUC up to which a probe counts as no better than chance."""

KINDS = ("genuine", "skilled", "random")
FORGED_KINDS = ("skilled", "random")
TAILS = (0.025, 0.975)
INDEPENDENT = 10
"""Independent comparisons that those of one writer are worth, at most.

Draws of 5 to 40 writers of three public sets (1, 3 and 10 references, each kind of pair) hold no
error as seldom as 5 to 300 independent comparisons a writer would, and in 59 of 62 cases as
seldom as 10 or more.
"""

# Errors of independent comparisons, or their absence, that are too few to resample.
_FEW = 10

# Elements of one block of each of the bootstrap's arrays: 2 MiB of float64, which a cache holds.
_BLOCK_ELEMENTS = 1 << 18


def format_rate(interval: Mapping[str, Any] | None) -> str:
    """Write a rate as a percentage with its interval.

    Parameters
    ----------
    interval : mapping or None
        ``value``, ``low`` and ``high`` as fractions; the bounds, or all of it, may be None.

    Returns
    -------
    str
        For example "12.3 % [10.1, 14.6]" (no-break spaces inside number and brackets), two decimals
        where the whole interval lies below 1 %, and "not measured" for None.
    """
    if interval is None:
        return "not measured"
    return f"{write_value(interval)} {write_bounds(interval)}".rstrip()


def bare_rate(interval: Mapping[str, Any] | None) -> str:
    """`format_rate` for tables whose heads say "%", such as "12.3 [10.1, 14.6]"; "-" for None."""
    if interval is None:
        return "-"
    return format_rate(interval).replace("\u00a0%", "").replace("\u00a0", " ")


def typed_rate(rate: float) -> str:
    """Write a rate, a fraction, as one types it: "0.000062" rather than "6.2e-05"."""
    return np.format_float_positional(rate, trim="-")


def write_value(interval: Mapping[str, Any]) -> str:
    """The first half of `format_rate`."""
    return f"{100 * interval['value']:.{_decimals(interval)}f}\u00a0%"


def write_bounds(interval: Mapping[str, Any]) -> str:
    """The second half of `format_rate`, empty where there are no bounds."""
    if interval["low"] is None:
        return ""
    low, high = (f"{100 * interval[key]:.{_decimals(interval)}f}" for key in ("low", "high"))
    return f"[{low},\u00a0{high}]"


def _decimals(interval: Mapping[str, Any]) -> int:
    return 2 if max(interval["value"], interval["high"] or 0) < 0.01 else 1


def opponent(measured: Mapping[str, Any]) -> str:
    """The kind of forgery that decides: skilled, or random where there are no skilled.

    Parameters
    ----------
    measured : mapping
        By kind, whatever was measured or counted; None or NaN where there was nothing.
    """
    skilled = measured["skilled"]
    return "random" if skilled is None or skilled != skilled else "skilled"


class ErrorCurve(NamedTuple):
    """Error rates at every operating point, from 'accept all' to 'reject all'.

    Attributes
    ----------
    threshold : float64 (points,), strictly increasing
    fmr : float64 (points,), from 1 down to 0
    fnmr : float64 (points,), from 0 up to 1
    """

    threshold: np.ndarray
    fmr: np.ndarray
    fnmr: np.ndarray


def too_few(forged: np.ndarray, writers: np.ndarray) -> str:
    """Whether images are too few for an error rate, an AUC or their intervals to mean anything.

    Parameters
    ----------
    forged : bool (n,)
        Of each image.
    writers : (n,)
        Whose signature it is, or is to be.

    Returns
    -------
    str
        What there is and what would do, as a sentence; empty if there are enough.
    """
    forged, writers = np.asarray(forged, dtype=bool), np.asarray(writers)
    complete = len(set(writers[forged]) & set(writers[~forged]))
    images = {"genuine": np.count_nonzero(~forged), "forged": np.count_nonzero(forged)}
    if complete >= LEAST_WRITERS and min(images.values()) >= LEAST_IMAGES:
        return ""
    return (
        f"too few to tell: {images['genuine']} genuine and {images['forged']} forged images, and "
        f"{complete} {'writer has' if complete == 1 else 'writers have'} both; {LEAST_WRITERS} "
        f"writers with both and {LEAST_IMAGES} images of each kind would do."
    )


def error_curve(genuine: np.ndarray, forged: np.ndarray) -> ErrorCurve:
    """Error rates at each distinct score taken as the threshold, and at 'reject all'.

    The last threshold is the smallest float64 above all scores.

    Parameters
    ----------
    genuine : float (g,)
        Scores of genuine pairs.
    forged : float (f,)
        Scores of forged pairs.

    Raises
    ------
    DeepSignError
        If either array is empty or holds a NaN or an infinity.
    """
    points = _operating_points(finite_scores(genuine, "genuine"), finite_scores(forged, "forged"))
    fmr, fnmr = _rates(points, np.ones((1, 1)))
    return ErrorCurve(points.threshold, fmr[0], fnmr[0])


def curve_of(scores: pd.DataFrame, kind: str) -> ErrorCurve:
    """`error_curve` of a score table's genuine pairs against its pairs of one kind."""
    of = {name: group.to_numpy() for name, group in scores.groupby("kind")["score"]}
    return error_curve(of.get("genuine", []), of.get(kind, []))


def eer(genuine: np.ndarray, forged: np.ndarray) -> float:
    """Equal error rate: where the line through the operating points meets FMR = FNMR.

    Parameters and errors as in `error_curve`. Returns a fraction in [0, 1].

    Examples
    --------
    >>> round(eer([0.4, 0.8, 0.9], [0.1, 0.2, 0.5]), 4)
    0.3333
    """
    curve = error_curve(genuine, forged)
    return float(_eer(curve.fmr, curve.fnmr))


def eer_threshold(genuine: np.ndarray, forged: np.ndarray) -> float:
    """Threshold at which FMR and FNMR are as near to each other as the scores allow.

    Of all operating points, the one with the smallest ``|FMR - FNMR|`` (of two such, the one
    that accepts less) is reached by every threshold above one score and up to the next: the
    middle of that range is returned, so that the threshold stands as far as it can from both.

    Parameters and errors as in `error_curve`.

    Examples
    --------
    >>> eer_threshold([3.0, 4.0], [1.0, 2.0])
    2.5
    """
    return equal_threshold(error_curve(genuine, forged))


def equal_threshold(curve: ErrorCurve) -> float:
    """`eer_threshold` of an error curve."""
    difference = np.abs(curve.fmr - curve.fnmr)
    # Searched from the strict end, so that a tie goes to the point that accepts less.
    nearest = len(difference) - 1 - int(np.argmin(difference[::-1]))
    upper = curve.threshold[nearest]
    lower = curve.threshold[max(nearest - 1, 0)]
    middle = lower / 2 + upper / 2
    # Between neighbouring floats there is no middle, and a threshold on the lower one accepts it.
    return float(middle if middle > lower else upper)


def fmr(forged: np.ndarray, threshold: float) -> float:
    """False match rate: the share of the forged scores, float (f,), that the threshold accepts."""
    return float(np.mean(finite_scores(forged, "forged") >= threshold))


def fnmr(genuine: np.ndarray, threshold: float) -> float:
    """False non-match rate: the share of genuine scores, float (g,), that the threshold rejects."""
    return float(np.mean(finite_scores(genuine, "genuine") < threshold))


def auc(genuine: np.ndarray, forged: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a genuine pair outscores a forged one.

    Ties count half. Parameters and errors as in `error_curve`.

    Examples
    --------
    >>> auc([2.0, 3.0], [1.0, 2.0])
    0.875
    """
    curve = error_curve(genuine, forged)
    return float(_auc(curve.fmr, curve.fnmr))


def cllr(genuine_llr: np.ndarray, forged_llr: np.ndarray) -> float:
    """Log-likelihood-ratio cost, in bits: 0 is perfect, 1 is what saying nothing (LLR 0) costs.

    Brümmer and du Preez, "Application-independent evaluation of speaker detection", Computer
    Speech & Language 20 (2006): the mean of ``log2(1 + exp(-llr))`` over genuine pairs and of
    ``log2(1 + exp(llr))`` over forged pairs, averaged.

    Parameters
    ----------
    genuine_llr, forged_llr : float (g,), float (f,)
        Natural-log likelihood ratios, genuine against forged.
    """
    genuine_llr, forged_llr = (
        finite_scores(genuine_llr, "genuine"),
        finite_scores(forged_llr, "forged"),
    )
    return float((_bits(-genuine_llr).mean() + _bits(forged_llr).mean()) / 2)


def cllr_min(genuine_llr: np.ndarray, forged_llr: np.ndarray) -> float:
    """`cllr` after the best monotone calibration: the part that is discrimination.

    What `cllr` exceeds it by is calibration. The calibration that these scores themselves would
    have wanted is isotonic regression with both classes weighing alike (Brümmer and du Preez,
    2006).
    """
    return cllr(*_best_llrs(genuine_llr, forged_llr))


def _best_llrs(genuine: np.ndarray, forged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    genuine, forged = finite_scores(genuine, "genuine"), finite_scores(forged, "forged")
    is_genuine = np.repeat([1.0, 0.0], [len(genuine), len(forged)])
    weight = np.repeat([1 / len(genuine), 1 / len(forged)], [len(genuine), len(forged)])
    llr = np.concatenate([genuine, forged])
    from sklearn.isotonic import IsotonicRegression  # takes long to import

    shares = IsotonicRegression(y_min=0, y_max=1).fit(llr, is_genuine, weight).predict(llr)
    # Certainty costs nothing where it is right; it is bounded so that no infinity is multiplied.
    llrs = np.clip(logit(shares), -50, 50)
    return llrs[: len(genuine)], llrs[len(genuine) :]


def mean_curve(curves: Sequence[ErrorCurve]) -> ErrorCurve:
    """The mean of several error curves at all their thresholds, each weighing the same."""
    threshold = np.unique(np.concatenate([curve.threshold for curve in curves]))
    rates = []
    for curve in curves:
        # A threshold does what the next operating point of a curve does.
        at = np.minimum(np.searchsorted(curve.threshold, threshold), len(curve.threshold) - 1)
        rates.append((curve.fmr[at], curve.fnmr[at]))
    return ErrorCurve(threshold, *np.mean(rates, axis=0))


def llr_bounds(curve: ErrorCurve, pairs: tuple[float, float]) -> tuple[float, float]:
    """The lowest and highest log-likelihood ratio that data support.

    A likelihood ratio beyond its bounds would make decisions worse than having none, were one
    comparison more of each class to mislead: the empirical lower and upper bound of Vergeer, van
    Es, de Jongh, Alberink and Stoel, "Numerical likelihood ratios outputted by LR systems are often
    based on extrapolation: when to stop extrapolating?", Science & Justice 56 (2016).

    Parameters
    ----------
    curve : ErrorCurve
        Of log-likelihood ratios as scores.
    pairs : tuple of float
        How many independent genuine and forged comparisons there were (`worth`).

    Returns
    -------
    lowest, highest : float
        Natural logarithms, the first at most 0 and the second at least 0.
    """
    grid = np.arange(0, math.log(max(pairs)) + 0.01, 0.01)

    def supported(llr: np.ndarray) -> np.ndarray:
        at = np.minimum(np.searchsorted(curve.threshold, llr), len(curve.threshold) - 1)
        missed, passed = curve.fnmr[at] + 1 / pairs[0], curve.fmr[at] + 1 / pairs[1]
        # The expected cost at the prior odds that make this ratio decisive, with the ratios and
        # without any: always the likelier answer.
        return missed + np.exp(llr) * passed <= np.minimum(1, np.exp(llr))

    bounds = []
    for side in (-1, 1):
        fails = np.append(~supported(side * grid), True)
        bounds.append(side * float(grid[max(int(np.argmax(fails)) - 1, 0)]))
    return bounds[0], bounds[1]


def evaluate(
    scores: pd.DataFrame, threshold: float, rng: np.random.Generator, resamples: int = 1000
) -> dict:
    """Every error rate of a score table, with its 95 % interval.

    One set of resamples of the writers serves all the numbers. The rare resample that leaves a
    number undefined (no genuine pairs among its writers, say) is left out of that interval.

    Parameters
    ----------
    scores : DataFrame
        Columns `writer` (the reference's), `kind` (genuine, skilled or random), `score` and `llr`
        (natural-log likelihood ratio).
    threshold : float
        Where `fmr` and `fnmr` are measured: fixed elsewhere, on other writers.

    Returns
    -------
    dict
        ``{"eer": {"skilled": I, "random": I}, "eer_per_writer": I,
        "fmr": {"skilled": I, "random": I}, "fnmr": I, "auc": {"skilled": I, "random": I},
        "cllr": I, "cllr_min": I}`` with ``I = {"value": float, "low": float, "high": float}``.
        `eer_per_writer` is the mean of the writers' own skilled EERs, over the writers who have
        both genuine and skilled pairs; `cllr` and `cllr_min` compare genuine with skilled pairs
        (the isotonic calibration of the latter stays as it is in the resamples). A number about a
        kind that the table lacks is None.

    Raises
    ------
    DeepSignError
        If there are no genuine pairs, fewer than two writers, an unknown kind, or a score or llr
        that is not finite.
    """
    pairs = _Pairs.of(scores)
    counts = _resample(pairs.writers, rng, resamples)
    separation = {
        kind: _separation_intervals(pairs, kind, counts) if pairs.has(kind) else (None, None)
        for kind in FORGED_KINDS
    }
    rejected = (pairs.score < threshold).astype(float)
    return {
        "eer": {kind: separation[kind][0] for kind in FORGED_KINDS},
        "eer_per_writer": _per_writer_interval(pairs, counts) if pairs.has("skilled") else None,
        "fmr": {
            kind: _rate_interval(*_means(pairs, 1 - rejected, kind, counts), pairs.worth(kind))
            if pairs.has(kind)
            else None
            for kind in FORGED_KINDS
        },
        "fnmr": _rate_interval(*_means(pairs, rejected, "genuine", counts), pairs.worth("genuine")),
        "auc": {kind: separation[kind][1] for kind in FORGED_KINDS},
        "cllr": _cllr_interval(pairs, scores["llr"], counts) if pairs.has("skilled") else None,
        "cllr_min": _cllr_interval(pairs, _best_llr(pairs, scores["llr"]), counts)
        if pairs.has("skilled")
        else None,
    }


def bootstrap_eer(
    scores: pd.DataFrame, kind: str, rng: np.random.Generator, resamples: int = 1000
) -> dict[str, float]:
    """EER of the genuine pairs against one kind of forged pairs, as value, low and high.

    `scores` has the columns `writer`, `kind` and `score`; see `evaluate`, also for the errors.
    """
    pairs = _Pairs.of(scores)
    return _separation_intervals(pairs, kind, _resample(pairs.writers, rng, resamples))[0]


def curve_band(
    scores: pd.DataFrame,
    kind: str,
    fmr_grid: np.ndarray,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> pd.DataFrame:
    """FNMR along the error curve, with its pointwise 95 % band, for DET and ROC figures.

    Where the curve is vertical, the lowest FNMR is taken: the best operating point of that FMR.

    Parameters
    ----------
    scores : DataFrame
        Columns `writer`, `kind` and `score`; see `evaluate`, also for the errors.
    kind : "skilled" or "random"
    fmr_grid : float (m,)
        FMR values, fractions.

    Returns
    -------
    DataFrame
        float64 columns `fmr` (the grid), `fnmr`, `low`, `high`.
    """
    pairs = _Pairs.of(scores)
    counts = _resample(pairs.writers, rng, resamples)
    points = pairs.operating_points(kind)
    grid = np.asarray(fmr_grid, dtype=np.float64)

    def fnmr_on_grid(counts: np.ndarray) -> np.ndarray:
        return np.array(
            [
                np.interp(grid, false_match[::-1], false_non_match[::-1])
                for block in _blocks(points, counts)
                for false_match, false_non_match in zip(*_rates(points, block), strict=True)
            ]
        )

    import pandas as pd

    value = fnmr_on_grid(np.ones((1, pairs.writers)))[0]
    low, high = _at_least(value, _tails(fnmr_on_grid(counts)), pairs.worth("genuine"))
    return pd.DataFrame({"fmr": grid, "fnmr": value, "low": low, "high": high})


def rates_at(
    scores: pd.DataFrame,
    thresholds: np.ndarray,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> pd.DataFrame:
    """FNMR and FMR at given thresholds, each with its pointwise 95 % interval.

    Parameters
    ----------
    scores : DataFrame
        Columns `writer`, `kind` and `score`; see `evaluate`, also for the errors.
    thresholds : float (m,), increasing

    Returns
    -------
    DataFrame
        One row a threshold: `threshold`, then `fnmr`, `fnmr_low`, `fnmr_high`, and the same for
        `fmr_skilled` and `fmr_random` where the table has such pairs. All float64.
    """
    import pandas as pd

    pairs = _Pairs.of(scores)
    counts = _resample(pairs.writers, rng, resamples)
    thresholds = np.asarray(thresholds, dtype=np.float64)
    m = len(thresholds)
    columns = {"threshold": thresholds}
    names = {"genuine": "fnmr", "skilled": "fmr_skilled", "random": "fmr_random"}
    for kind, name in names.items():
        if not pairs.has(kind):
            continue
        mine = pairs.kind == kind
        writer, score = pairs.writer[mine], pairs.score[mine]
        # How many thresholds each score reaches, counted by writer: one pass, whatever the number.
        reached = np.searchsorted(thresholds, score, side="right")
        cells = np.bincount(writer * (m + 1) + reached, minlength=pairs.writers * (m + 1))
        accepted = cells.reshape(pairs.writers, m + 1)[:, ::-1].cumsum(axis=1)[:, -2::-1]
        total = np.bincount(writer, minlength=pairs.writers)
        errors = total[:, None] - accepted if kind == "genuine" else accepted
        columns[name] = errors.sum(axis=0) / total.sum()
        with np.errstate(invalid="ignore"):
            resampled = (counts @ errors) / (counts @ total)[:, None]
        columns[f"{name}_low"], columns[f"{name}_high"] = _at_least(
            columns[name], _tails(resampled), pairs.worth(kind)
        )
    return pd.DataFrame(columns)


def per_writer(scores: pd.DataFrame) -> pd.DataFrame:
    """Each writer's own skilled EER and number of pairs.

    Parameters
    ----------
    scores : DataFrame
        Columns `writer`, `kind` and `score`.

    Returns
    -------
    DataFrame
        One row a writer, in the writers' order: `writer`, `eer` (float64, NaN for a writer
        without genuine or without skilled pairs), `genuine`, `skilled`, `random` (int64 counts).
    """
    import pandas as pd

    pairs = _Pairs.of(scores, least_writers=1)
    table = pd.DataFrame({"writer": pairs.names, "eer": _eer_of_each_writer(pairs)})
    for kind in KINDS:
        table[kind] = np.bincount(pairs.writer[pairs.kind == kind], minlength=pairs.writers)
    return table


class _Pairs(NamedTuple):
    """A checked score table as arrays; `writer` indexes `names`."""

    names: np.ndarray
    writer: np.ndarray
    kind: np.ndarray
    score: np.ndarray

    @classmethod
    def of(cls, scores: pd.DataFrame, least_writers: int = 2) -> _Pairs:
        import pandas as pd

        unknown = set(scores["kind"].unique()) - set(KINDS)
        if unknown:
            raise DeepSignError(
                f"The score table holds pairs of an unknown kind ({', '.join(map(str, unknown))}): "
                f"use {', '.join(KINDS)}."
            )
        codes, names = pd.factorize(scores["writer"], sort=True)
        kind = scores["kind"].to_numpy(dtype=object)
        score = finite_scores(scores["score"], "")
        if not (kind == "genuine").any():
            raise DeepSignError("There are no genuine pairs: no error rate can be measured.")
        if len(names) < least_writers:
            raise DeepSignError(
                "All scored pairs belong to one writer: an interval needs at least two writers."
            )
        return cls(np.asarray(names), codes, kind, score)

    @property
    def writers(self) -> int:
        return len(self.names)

    def has(self, kind: str) -> bool:
        return bool((self.kind == kind).any())

    def worth(self, *kinds: str) -> int:
        """How many independent comparisons the scarcest of the kinds is worth."""
        return min(worth(self.writer[self.kind == kind]) for kind in kinds)

    def operating_points(self, kind: str) -> _OperatingPoints:
        if not self.has(kind):
            raise DeepSignError(f"There are no {kind} pairs: their error rate can't be measured.")
        genuine, forged = self.kind == "genuine", self.kind == kind
        return _operating_points(
            self.score[genuine], self.score[forged], self.writer[genuine], self.writer[forged]
        )


class _OperatingPoints(NamedTuple):
    """What the error rates of any resample of the writers are computed from, sorted once.

    Per class: the pairs' writers in increasing order of score, and at each threshold the number
    of pairs below it.
    """

    threshold: np.ndarray
    genuine_writer: np.ndarray
    genuine_below: np.ndarray
    forged_writer: np.ndarray
    forged_below: np.ndarray


def _operating_points(
    genuine: np.ndarray,
    forged: np.ndarray,
    genuine_writer: np.ndarray | None = None,
    forged_writer: np.ndarray | None = None,
) -> _OperatingPoints:
    """Sort two classes of finite scores; without writers, all pairs belong to writer 0."""
    distinct = np.unique(np.concatenate([genuine, forged]))
    threshold = np.append(distinct, np.nextafter(distinct[-1], np.inf))

    def sort(score: np.ndarray, writer: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        writer = np.zeros(len(score), dtype=np.intp) if writer is None else writer
        order = np.argsort(score)
        return writer[order], np.searchsorted(score[order], threshold)

    return _OperatingPoints(threshold, *sort(genuine, genuine_writer), *sort(forged, forged_writer))


def _rates(points: _OperatingPoints, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """FMR and FNMR, each (resamples, points), of writers taken `counts` (resamples, writers) times.

    NaN for a resample that has no pairs of the class.
    """

    def pairs_below(writer: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = np.zeros((len(counts), len(writer) + 1))
        np.cumsum(counts[:, writer], axis=1, out=weight[:, 1:])
        return weight[:, below], weight[:, -1:]

    genuine_below, genuine = pairs_below(points.genuine_writer, points.genuine_below)
    forged_below, forged = pairs_below(points.forged_writer, points.forged_below)
    with np.errstate(invalid="ignore"):
        return (forged - forged_below) / forged, genuine_below / genuine


def _blocks(points: _OperatingPoints, counts: np.ndarray) -> Iterator[np.ndarray]:
    """Split the resamples so that memory stays bounded, however many pairs there are."""
    # With many ties there are fewer thresholds than pairs of a class.
    widest = max(map(len, points))
    rows = max(1, _BLOCK_ELEMENTS // widest)
    for start in range(0, len(counts), rows):
        yield counts[start : start + rows]


def _eer(false_match: np.ndarray, false_non_match: np.ndarray) -> np.ndarray:
    """EER of each error curve (..., points): FNMR at the crossing of FMR = FNMR."""
    # FNMR - FMR grows from -1 to 1: the crossing lies just before its first value not below 0.
    # An undefined curve (all NaN) has no such value and stays NaN.
    difference = false_non_match - false_match
    after = np.argmax(difference >= 0, axis=-1)[..., None]
    before = np.maximum(after - 1, 0)

    def at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, index, axis=-1)[..., 0]

    step = at(difference, after) - at(difference, before)
    with np.errstate(invalid="ignore"):
        share = -at(difference, before) / step
    low, high = at(false_non_match, before), at(false_non_match, after)
    return low + share * (high - low)


def _auc(false_match: np.ndarray, false_non_match: np.ndarray) -> np.ndarray:
    """Area under each ROC curve (..., points), by trapezoids; FMR falls along the points."""
    area = -np.trapezoid(1 - false_non_match, false_match, axis=-1)
    return np.minimum(area, 1.0)  # sums of shares may be more by a last digit


def _bits(llr: np.ndarray) -> np.ndarray:
    """log2(1 + exp(llr)) without overflow."""
    return np.logaddexp(0, llr) / np.log(2)


def _resample(writers: int, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """How often each writer is drawn: int64 (resamples, writers), each row summing to writers."""
    return rng.multinomial(writers, np.full(writers, 1 / writers), size=resamples)


def _tails(resampled: np.ndarray) -> np.ndarray:
    """The 95 % interval of resampled numbers (resamples, …), undefined ones apart."""
    undefined = np.isnan(resampled).any()  # rare, and the quantiles are then ten times as slow
    return (np.nanquantile if undefined else np.quantile)(resampled, TAILS, axis=0)


def worth(writers: np.ndarray) -> int:
    """How many independent comparisons some comparisons are worth, given the writer of each."""
    return int(np.minimum(np.unique(writers, return_counts=True)[1], INDEPENDENT).sum())


def _at_least(rate: float | np.ndarray, tails: np.ndarray, independent: int) -> np.ndarray:
    """Intervals (2, …) of rates; of rare errors none narrower than of independent comparisons."""
    errors = np.asarray(rate) * independent
    with np.errstate(divide="ignore", invalid="ignore"):
        low = betaincinv(errors, independent - errors + 1, TAILS[0])
        high = betaincinv(errors + 1, independent - errors, TAILS[1])
    low, high = np.where(errors > 0, low, 0), np.where(errors < independent, high, 1)
    exact = np.stack([np.fmin(tails[0], low), np.fmax(tails[1], high)])
    return np.where(np.minimum(errors, independent - errors) < _FEW, exact, tails)


def _rate_interval(value: float, resampled: np.ndarray, independent: int) -> dict[str, float]:
    low, high = _at_least(value, _tails(resampled), independent)
    return {"value": float(value), "low": float(low), "high": float(high)}


def _separation_intervals(pairs: _Pairs, kind: str, counts: np.ndarray) -> tuple[dict, dict]:
    """EER and AUC of the genuine pairs against one kind, each with its interval."""
    points = pairs.operating_points(kind)

    def measure(counts: np.ndarray) -> np.ndarray:
        rates = (_rates(points, block) for block in _blocks(points, counts))
        return np.concatenate([np.stack([_eer(*rate), _auc(*rate)], axis=1) for rate in rates])

    (eer, auc), resampled = measure(np.ones((1, pairs.writers)))[0], measure(counts)
    worth = pairs.worth("genuine", kind)
    return (
        _rate_interval(eer, resampled[:, 0], worth),
        _rate_interval(auc, resampled[:, 1], worth),
    )


def _means(
    pairs: _Pairs, values: np.ndarray, kind: str, counts: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean of one number per pair over the pairs of a kind, and the mean in each resample."""
    mine = pairs.kind == kind
    total = np.bincount(pairs.writer[mine], weights=values[mine], minlength=pairs.writers)
    size = np.bincount(pairs.writer[mine], minlength=pairs.writers)
    with np.errstate(invalid="ignore"):
        return float(values[mine].mean()), (counts @ total) / (counts @ size)


def _eer_of_each_writer(pairs: _Pairs) -> np.ndarray:
    """Skilled EER of each writer, float64 (writers,); NaN without genuine or skilled pairs."""
    import pandas as pd

    rates = np.full(pairs.writers, np.nan)
    rows = pd.DataFrame({"kind": pairs.kind, "score": pairs.score}).groupby(pairs.writer)
    for writer, table in rows:
        by_kind = {kind: part["score"] for kind, part in table.groupby("kind")}
        if "genuine" in by_kind and "skilled" in by_kind:
            rates[writer] = eer(by_kind["genuine"], by_kind["skilled"])
    return rates


def _per_writer_interval(pairs: _Pairs, counts: np.ndarray) -> dict[str, float] | None:
    rates = _eer_of_each_writer(pairs)
    measured = np.isfinite(rates)
    if not measured.any():
        return None
    counts = counts[:, measured]
    with np.errstate(invalid="ignore"):
        resampled = (counts @ rates[measured]) / counts.sum(axis=1)
    return _rate_interval(rates[measured].mean(), resampled, pairs.worth("genuine", "skilled"))


def _best_llr(pairs: _Pairs, llr: pd.Series) -> np.ndarray:
    best = finite_scores(llr, "").copy()
    genuine, skilled = pairs.kind == "genuine", pairs.kind == "skilled"
    best[genuine], best[skilled] = _best_llrs(best[genuine], best[skilled])
    return best


def _cllr_interval(pairs: _Pairs, llr: pd.Series, counts: np.ndarray) -> dict[str, float]:
    llr = finite_scores(llr, "")
    genuine, genuine_resampled = _means(pairs, _bits(-llr), "genuine", counts)
    skilled, skilled_resampled = _means(pairs, _bits(llr), "skilled", counts)
    low, high = _tails((genuine_resampled + skilled_resampled) / 2)
    return {"value": (genuine + skilled) / 2, "low": float(low), "high": float(high)}


def finite_scores(scores: np.ndarray, name: str) -> np.ndarray:
    """The scores as float64 (n,), or a DeepSignError if there are none or one is not finite.

    `name` says which pairs they belong to ("genuine", "skilled"), or is empty for all.
    """
    scores = np.asarray(scores, dtype=np.float64).ravel()
    pairs = f"{name} pairs".strip()
    if not len(scores):
        raise DeepSignError(f"There are no {pairs}: no error rate can be measured.")
    broken = np.count_nonzero(~np.isfinite(scores))
    if broken:
        raise DeepSignError(
            f"{broken} of the {len(scores)} scores of {pairs} are not finite numbers: "
            "check the embeddings and the images that they come from."
        )
    return scores
