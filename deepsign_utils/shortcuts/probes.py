"""Probes: how well single images tell forged from genuine, on writers never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from deepsign_utils import DeepSignError, metrics

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

PROBES = {
    "raw": {
        "size": "image size",
        "background": "paper shade",
        "border": "border of the image",
        "marks": "single pixels",
        "mode": "file mode",
        "all": "all together",
    },
    "canvas": {
        "background": "background",
        "stroke_width": "stroke width",
        "extent": "extent of the ink",
        "image": "whole picture",
        "all": "all together",
    },
}
"""What each probe looks at, in plain words."""

TOO_FEW = "too few to tell"
"""Verdict on images of too few writers (`metrics.too_few`): the interval is all from 0 to 1."""

_ASKED = 2 * sum(len(probes) for probes in PROBES.values())
"""Probes in a report: each asks writers of the audit and test writers. None may cry wolf."""

AUDITED = 6_000
"""Images that an audit looks at, at most: more writers would narrow its intervals little."""

_TREES = 50
_LEAST_LEAF = 5
_DRAWS = 4000


def sample(
    signatures: pd.DataFrame, rng: np.random.Generator, images: int = AUDITED
) -> pd.DataFrame:
    """The signatures of as many writers, drawn at random, as make up `images` images.

    All of them where there are no more, in the order of the table.
    """
    if len(signatures) <= images:
        return signatures
    counts = signatures["writer"].value_counts().sort_index()
    counts = counts.iloc[rng.permutation(len(counts))]
    chosen = counts.index[counts.cumsum() <= images]
    return signatures[signatures["writer"].isin(chosen)]


def probe_columns(features: pd.DataFrame) -> dict[str, list[str]]:
    """Which columns of a feature table each probe sees, "all" (without "image") included.

    A column belongs to the probe that its name begins with, up to the dot.
    """
    columns: dict[str, list[str]] = {}
    for column in features.columns:
        columns.setdefault(column.partition(".")[0], []).append(column)
    return columns | {"all": [c for c in features.columns if not c.startswith("image.")]}


def probe_name(stage: str, probe: str) -> str:
    """What a probe of a stage ("raw" or "canvas") looks at, in plain words."""
    return PROBES[stage].get(probe, probe.replace("_", " "))


@dataclass(frozen=True)
class ProbeResult:
    """How well one probe separates forged from genuine.

    Attributes
    ----------
    scores : float64 (n,)
        Forged share of the forest's votes, each image judged by a forest that never saw its
        writer.
    auc, low, high : float
        Area under the ROC curve (chance that a forged image's score exceeds a genuine one's), and
        its 95 % interval by bootstrap over writers.
    corrected_low : float
        Lower end of the interval that is corrected for all the probes of a report.
    verdict : str
        What `verdict` says of the interval, or `TOO_FEW`.
    """

    scores: np.ndarray
    auc: float
    low: float
    high: float
    corrected_low: float
    verdict: str


def verdict(high: float, corrected_low: float) -> str:
    """Judge an AUC by its interval.

    Parameters
    ----------
    high : float
        Upper end of the 95 % interval.
    corrected_low : float
        Lower end of the interval that is corrected for all the probes of a report.

    Returns
    -------
    str
        "flagged" if the corrected interval lies above `metrics.CHANCE`, "at chance" if the interval
        lies below it, else "inconclusive".
    """
    if corrected_low > metrics.CHANCE:
        return "flagged"
    return "at chance" if high < metrics.CHANCE else "inconclusive"


def probe(
    features: np.ndarray,
    forged: np.ndarray,
    writers: np.ndarray,
    rng: np.random.Generator,
    folds: int = 5,
) -> ProbeResult:
    """Measure how well the features of single images separate forged from genuine.

    Parameters
    ----------
    features : float (n, d)
    forged : bool (n,)
    writers : (n,)
        No writer is on both sides of a fold.
    rng : np.random.Generator
    folds : int
        At most as many as there are writers.

    Returns
    -------
    ProbeResult
        Of features that are the same in all images: AUC 0.5, its interval of no width. Of too few
        images: an interval from 0 to 1, and the verdict `TOO_FEW`.

    Raises
    ------
    DeepSignError
        If there are no forged or no genuine images, fewer than two writers, or so few who have
        both kinds that no fold can compare them.
    """
    from sklearn.model_selection import GroupKFold

    features, forged = np.asarray(features, dtype=np.float32), np.asarray(forged, dtype=bool)
    codes = pd.factorize(np.asarray(writers))[0]
    _check_classes(forged)
    if codes.max() == 0:
        raise DeepSignError("All images are of one writer: probes need at least two writers.")
    seed, fold_seed = rng.integers(2**31, size=2)
    splitter = GroupKFold(min(folds, codes.max() + 1), shuffle=True, random_state=int(fold_seed))
    scores, fold_of = np.empty(len(forged)), np.empty(codes.max() + 1, dtype=int)
    for fold, (train, held_out) in enumerate(splitter.split(features, groups=codes)):
        forest = _fit(features[train], forged[train], int(seed))
        scores[held_out] = _forged_share(forest, features[held_out])
        fold_of[codes[held_out]] = fold
    return ProbeResult(scores, *_judged(scores, forged, codes, fold_of, rng))


def audit(
    features: pd.DataFrame, signatures: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Every probe's verdict on the images of a feature table.

    Parameters
    ----------
    features : DataFrame
        From `raw_feature_table` or `canvas_feature_table`: training and validation writers only,
        where test writers are to stay unseen. Columns of other names make further probes.
    signatures : DataFrame
        Signature table that has all ids of `features`: `signature_id`, `writer`, `kind`.
    rng : np.random.Generator

    Returns
    -------
    DataFrame
        One row a probe: `probe`, `features` (how many it sees), `auc`, `low`, `high`,
        `corrected_low`, `verdict` ("flagged", "at chance", "inconclusive", `TOO_FEW`); see `probe`.

    Raises
    ------
    DeepSignError
        As `probe` does.
    """
    forged, writers = _labels(features, signatures)
    columns = probe_columns(features)
    rows = []
    for (name, seen), stream in zip(columns.items(), rng.spawn(len(columns)), strict=True):
        result = probe(features[seen].to_numpy(), forged, writers, stream)
        rows.append(
            {
                "probe": name,
                "features": len(seen),
                "auc": result.auc,
                "low": result.low,
                "high": result.high,
                "corrected_low": result.corrected_low,
                "verdict": result.verdict,
            }
        )
    return pd.DataFrame(rows)


def _labels(features: pd.DataFrame, signatures: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Whether forged, bool (n,), and writer, (n,), of each row of a feature table."""
    rows = signatures.set_index("signature_id").loc[features.index]
    return (rows["kind"] == "forgery").to_numpy(), rows["writer"].to_numpy()


def _check_classes(forged: np.ndarray) -> None:
    if forged.all() or not forged.any():
        missing = "genuine" if forged.all() else "forged"
        raise DeepSignError(f"There are no {missing} images: nothing is there to tell apart.")


def _fit(features: np.ndarray, forged: np.ndarray, seed: int) -> RandomForestClassifier | None:
    """A forest, or None where the training images leave nothing to learn."""
    from sklearn.ensemble import RandomForestClassifier

    if (features == features[0]).all() or forged.all() or not forged.any():
        return None
    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=_LEAST_LEAF, class_weight="balanced", random_state=seed
    )
    return forest.fit(features, forged)


def _forged_share(forest: RandomForestClassifier | None, features: np.ndarray) -> np.ndarray:
    return np.full(len(features), 0.5) if forest is None else forest.predict_proba(features)[:, 1]


def _judged(
    scores: np.ndarray,
    forged: np.ndarray,
    writers: np.ndarray,
    fold_of: np.ndarray,
    rng: np.random.Generator,
) -> tuple[float, float, float, float, str]:
    """What `_auc_interval` gives, and the verdict; of too few images, that nothing is known."""
    auc, low, high, corrected_low = _auc_interval(scores, forged, writers, fold_of, rng)
    if metrics.too_few(forged, writers):
        return auc, 0.0, 1.0, 0.0, TOO_FEW
    return auc, low, high, corrected_low, verdict(high, corrected_low)


def _auc_interval(
    scores: np.ndarray,
    forged: np.ndarray,
    writers: np.ndarray,
    fold_of: np.ndarray,
    rng: np.random.Generator,
) -> tuple[float, float, float, float]:
    """AUC, its 95 % interval, and the lower end of the one at 1 - 0.05 / `_ASKED` (Bonferroni).

    Only scores of the same forest are compared: two forests that learnt nothing still differ by
    a constant. With won[i, j] the number of times that a forged image of writer i outscores a
    genuine one of writer j (Mann and Whitney; ties count half), and tried[i, j] the number of such
    comparisons, the AUC of a resample that draws each writer c[i] times is c' won c / c' tried c.

    Parameters
    ----------
    writers : int (n,)
        Codes from 0, each of which occurs.
    fold_of : int (writers,)
        Which forest scored a writer's images.
    """
    count = len(fold_of)
    forgeries = np.bincount(writers[forged], minlength=count)
    genuines = np.bincount(writers[~forged], minlength=count)
    same_fold = fold_of[:, None] == fold_of
    tried = np.outer(forgeries, genuines) * same_fold
    if not tried.any():
        raise DeepSignError(
            "Genuine and forged images come from different writers, and too few of them to probe "
            "for shortcuts: add writers who have both."
        )
    won = np.empty((count, count))
    for writer in range(count):
        genuine = np.sort(scores[~forged & (writers == writer)])
        beaten = np.searchsorted(genuine, scores[forged], "left")
        beaten_or_tied = np.searchsorted(genuine, scores[forged], "right")
        won[:, writer] = np.bincount(
            writers[forged], (beaten + beaten_or_tied) / 2, minlength=count
        )
    won *= same_fold
    draws = rng.multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    with np.errstate(invalid="ignore"):  # a resample may leave nothing to compare
        aucs = ((draws @ won) * draws).sum(axis=1) / ((draws @ tried) * draws).sum(axis=1)
    auc = won.sum() / tried.sum()
    # The percentiles of few writers lie too close together; Hesterberg's expanded ones do not
    # ("What Teachers Should Know About the Bootstrap", The American Statistician 69, 2015).
    scale = np.sqrt(count / (count - 1))
    outer = ndtr(scale * stdtrit(count - 1, 0.025))
    low, high = np.nanquantile(aucs, [outer, 1 - outer])
    # So far out lie too few resamples to count: t, with their standard deviation.
    corrected_low = auc + stdtrit(count - 1, 0.025 / _ASKED) * scale * np.nanstd(aucs)
    return float(auc), float(low), float(high), float(corrected_low)


@dataclass(frozen=True)
class FittedProbe:
    """A probe fitted on some writers, to judge images of others.

    Attributes
    ----------
    columns : list of str
        The features that it sees.
    forest : RandomForestClassifier or None
        None where there was nothing to learn: it then judges all images alike.
    """

    columns: list[str]
    forest: RandomForestClassifier | None

    def forged_share(self, features: pd.DataFrame) -> np.ndarray:
        """Forged share of the forest's votes for each image, float64 (n,)."""
        return _forged_share(self.forest, features[self.columns].to_numpy(dtype=np.float32))


def fit_probes(
    features: pd.DataFrame, signatures: pd.DataFrame, rng: np.random.Generator
) -> dict[str, FittedProbe]:
    """Fit every probe on the images of a feature table.

    Parameters
    ----------
    features, signatures : DataFrame
        As for `audit`: training and validation writers.
    rng : np.random.Generator

    Returns
    -------
    dict
        Probe's name -> fitted probe.

    Raises
    ------
    DeepSignError
        If there are no forged or no genuine images.
    """
    forged, _ = _labels(features, signatures)
    _check_classes(forged)
    columns = probe_columns(features)
    seeds = rng.integers(2**31, size=len(columns))
    return {
        name: FittedProbe(seen, _fit(features[seen].to_numpy(), forged, int(seed)))
        for (name, seen), seed in zip(columns.items(), seeds, strict=True)
    }


def verify_with_probes(
    fitted: Mapping[str, FittedProbe],
    features: pd.DataFrame,
    signatures: pd.DataFrame,
    pairs: pd.DataFrame,
    rng: np.random.Generator,
) -> tuple[dict[str, dict], dict[str, pd.DataFrame]]:
    """Verify signatures by their shortcuts alone: what one gets without comparing anything.

    Each probe sees the questioned image of a pair and never the reference.

    Parameters
    ----------
    fitted : mapping
        From `fit_probes`, on writers who have no row in `features`.
    features, signatures : DataFrame
        Feature table and signature table of the writers to test on.
    pairs : DataFrame
        Pair table of those writers: `left`, `right`, `kind`, `writer`.
    rng : np.random.Generator

    Returns
    -------
    findings : dict
        Probe's name -> ``{"auc": I, "eer": I, "verdict": str}`` with
        ``I = {"value", "low", "high"}``: the AUC of the images, forged against genuine, and the
        EER of the pairs, skilled forgeries against genuine, both with 95 % intervals by bootstrap
        over writers; the verdict as in `audit`.
    scores : dict
        Probe's name -> score table: `pairs` with `distance` (forged share of the forest's votes)
        and `score` (genuine share), float32.

    Raises
    ------
    DeepSignError
        If there are no forged or no genuine images, fewer than two writers, or no genuine or
        skilled pairs.
    """
    forged, writers = _labels(features, signatures)
    _check_classes(forged)
    codes, names = pd.factorize(writers)
    if len(names) < 2:
        raise DeepSignError("All images are of one writer: probes need at least two writers.")
    one_forest = np.zeros(len(names), dtype=int)
    findings, scores = {}, {}
    for (name, one), stream in zip(fitted.items(), rng.spawn(len(fitted)), strict=True):
        share = one.forged_share(features)
        distance = pd.Series(share, features.index).loc[pairs["right"]].to_numpy(np.float32)
        scores[name] = pairs.assign(distance=distance, score=1 - distance)
        auc, low, high, _, judged = _judged(share, forged, codes, one_forest, stream)
        findings[name] = {
            "auc": {"value": auc, "low": low, "high": high},
            "eer": metrics.bootstrap_eer(scores[name], "skilled", stream),
            "verdict": judged,
        }
    return findings, scores


def with_audit(findings: Mapping[str, dict], audit: pd.DataFrame) -> dict[str, dict]:
    """Put what other writers gave away beside what the test writers do.

    Parameters
    ----------
    findings : mapping
        From `verify_with_probes`, on test writers.
    audit : DataFrame
        From `audit`, on training and validation writers: more of them, so a surer verdict.

    Returns
    -------
    dict
        The findings, each with ``"audit": {"auc": I, "verdict": str}``.
    """
    rows = audit.set_index("probe")
    return {
        name: of
        | {
            "audit": {
                "auc": {
                    "value": float(rows.loc[name, "auc"]),
                    "low": float(rows.loc[name, "low"]),
                    "high": float(rows.loc[name, "high"]),
                },
                "verdict": str(rows.loc[name, "verdict"]),
            }
        }
        for name, of in findings.items()
    }
