"""Thresholds, errors and likelihood ratios, fitted to the scores of people."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from deepsign_utils import DeepSignError, metrics
from deepsign_utils.scoring.interpretation import (
    Calibration,
    Columns,
    Inference,
    Operation,
    Scoring,
    calibrate,
    columns_of,
)
from deepsign_utils.scoring.scores import Population, Style

if TYPE_CHECKING:  # a verifier knows no tables, and does not wait for pandas
    import pandas as pd

TOLERANCES = (0.01, 0.02, 0.05)
"""The errors at which the share of comparisons decided is told."""

# Error rates at which the operating curve is kept, besides the equal error rate: 24 a decade from
# 0.0001 to 1, which include the powers of ten, and the usual round values between.
_KEPT_RATES = np.union1d(np.geomspace(1e-4, 1, 93).round(12), [0.005, 0.02, 0.05, 0.2, 0.5])

_DIGITS = 6  # of the curves that a model folder keeps


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
            curve=columns_of(_over_sets(by_set)),
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
        name: columns_of(rates[[column for column in names if column in rates]].round(_DIGITS))
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
    return Inference(float(slope), float(product / slope), variance, columns_of(curve))


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
            curve=columns_of(_rounded(curve)),
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
