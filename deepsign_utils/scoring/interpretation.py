"""What a score means: thresholds, expected errors, likelihood ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, overload

import numpy as np

from deepsign_utils import DeepSignError, metrics
from deepsign_utils.scoring.scores import Population, Style

if TYPE_CHECKING:  # a verifier knows no tables, and does not wait for pandas
    import pandas as pd

Columns = dict[str, np.ndarray]
"""A table of numbers: float64 columns of one length, by name."""

DEFAULT_THRESHOLD = "eer"
"""The threshold that every model has."""

BY_RATE = ("fmr=x", "fnmr=x", "fmr=x,fnmr=y")
"""The other names that `Scoring.rule` knows; x and y stand for rates."""

_BINS = 60  # of the score distributions


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
            if rate < self.least_rate(kind, references):
                k = self.measured(references)
                raise DeepSignError(
                    f"{kind}={metrics.typed_rate(rate)} can't be told from the pairs that this "
                    f"model was measured on with {k} reference{'s' * (k > 1)}: ask for "
                    f"{kind}={metrics.typed_rate(self.least_rate(kind, k))} or more, or measure "
                    "the model on more signatures."
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

    def least_rate(self, kind: str, references: int) -> float:
        """The lowest rate that `rule` takes with so many references, as a fraction: one error among
        all pairs, rounded up to two digits; kind is fmr or fnmr."""
        counted = "genuine" if kind == "fnmr" else self.opponent
        one = 1 / self.operation(references).pairs[counted]
        digits = 1 - math.floor(math.log10(one))
        return round(math.ceil(round(one * 10**digits, 6)) / 10**digits, digits)

    def least_rates(self) -> dict[str, float]:
        """The lowest FMR and FNMR that `rule` takes, whatever the number of references."""
        return {
            kind: max(self.least_rate(kind, k) for k in self.operations) for kind in ("fmr", "fnmr")
        }

    def pairs(self, references: int) -> dict[str, int]:
        """How many comparisons of each kind were measured on the people of `measured_on`; none of
        forgeries whose rates are inferred from other people's."""
        inferred = any("skilled_inferred_from" in one for one in self.measured_on)
        pairs = self.operation(references).pairs
        return {kind: n for kind, n in pairs.items() if not (inferred and kind == "skilled")}

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

    def expected_referrals(self, rule: Rule, references: int) -> dict[str, float]:
        """Share of the measured signatures that scored between a rule's two thresholds, by kind:
        "genuine", and the forgeries that were measured; empty where it has one threshold.
        """
        if rule.reject_below == rule.accept_from:
            return {}
        curve = self.operation(references).curve
        ends = (rule.reject_below, rule.accept_from)
        columns = {"genuine": "fnmr"} | {kind: f"fmr_{kind}" for kind in metrics.FORGED_KINDS}
        return {
            kind: float(abs(np.diff(np.interp(ends, curve["threshold"], curve[column]))[0]))
            for kind, column in columns.items()
            if column in curve
        }

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
                        by_set={name: columns_of(rates) for name, rates in entry["by_set"].items()},
                        pairs=entry["pairs"],
                    )
                    for k, entry in values["references"].items()
                },
                inferences={
                    int(k): Inference(**entry | {"curve": columns_of(entry["curve"])})
                    for k, entry in values["inferences"].items()
                },
                relatives={
                    int(k): columns_of(curve) for k, curve in values.get("relatives", {}).items()
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


def columns_of(table: pd.DataFrame | dict[str, list[float]]) -> Columns:
    """A table as columns of numbers.

    Raises
    ------
    ValueError
        If one is not a list of numbers, or they differ in length.
    """
    columns = {name: np.array(table[name], np.float64) for name in table}
    if any(column.shape != (len(column),) for column in columns.values()):
        raise ValueError("a column holds more than numbers")
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("columns of one table differ in length")
    return columns


def _lists(columns: Columns) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in columns.items()}


def _curve_from(columns: dict[str, list[float]], opponent: str) -> Columns:
    curve = columns_of(columns)
    missing = {"threshold", "fnmr", f"fmr_{opponent}"} - set(curve)
    if missing:
        raise KeyError(*missing)
    return curve
