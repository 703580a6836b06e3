"""How a verifier bears each condition: error rates of captured signatures, and who warns of them.

Signatures of a dataset, or of synthetic writers, are captured under every condition at every
strength and go through what a user's images go through: `Verifier.read`, `Verifier.embed`, the
model's scoring with one reference. The threshold is fixed on the images as scanned. Two questions
are asked: references as scanned and the questioned signature captured; and both sides captured.

An image that the verifier refuses to judge counts as one whose score is below all others: a genuine
signature that is not judged is not accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepsign_utils import DeepSignError, metrics, pairing, scoring
from deepsign_utils.capture.capturing import Capture, Setting, captured
from deepsign_utils.capture.conditions import BY_NAME, Condition
from deepsign_utils.datasets import check_usable, read_dataset
from deepsign_utils.verifying.verifier import Verifier

SIDES = ("questioned", "both")
AS_SCANNED = "as scanned"

SYNTHETIC_SEED = 11
"""Of the synthetic writers measured: a world from which no shipped model has learnt."""


def check_counts(writers: int, genuine: int, forgeries: int) -> None:
    """Refuse numbers of writers and of their signatures that nothing can be measured with.

    Raises
    ------
    DeepSignError
        If one is too low.
    """
    for name, value, least in (
        ("writers", writers, 2),
        ("genuine", genuine, 2),
        ("forgeries", forgeries, 1),
    ):
        if value < least:
            raise DeepSignError(f"{name} must be at least {least}, not {value}.")


def choose(
    folder: str | Path,
    rng: np.random.Generator,
    writers: int = 24,
    genuine: int = 6,
    forgeries: int = 6,
    layout: str = "auto",
) -> pd.DataFrame:
    """Draw the writers and signatures of a dataset to measure on.

    Parameters
    ----------
    folder : path
        The dataset.
    rng : numpy.random.Generator
    writers, genuine, forgeries : int
        At most so many writers, and of each at most so many signatures of a kind. Files that repeat
        an earlier one byte for byte are left out.
    layout : str
        As in `datasets.read_dataset`.

    Returns
    -------
    DataFrame
        Rows of the signature table.

    Raises
    ------
    DeepSignError
        If the folder holds no dataset, fewer than two writers are complete, or a number is too low.
    """
    check_counts(writers, genuine, forgeries)
    signatures, _ = read_dataset(folder, layout)
    signatures = pairing.without_duplicates(signatures)
    check_usable(signatures)
    everyone = signatures["writer"].unique()
    chosen = set(rng.permutation(everyone)[:writers])
    signatures = signatures[signatures["writer"].isin(chosen)]
    most = {"genuine": genuine, "forgery": forgeries}
    order = signatures.iloc[rng.permutation(len(signatures))]
    place = order.groupby(["writer", "kind"]).cumcount()
    kept = order[place < order["kind"].map(most)].sort_index().reset_index(drop=True)
    check_usable(kept)
    return kept


def measure(
    judge: Verifier,
    folder: str | Path,
    signatures: pd.DataFrame,
    seed: int,
    cache: Path,
    names: Sequence[str] = tuple(BY_NAME),
    resamples: int = 1000,
    progress: bool = True,
) -> dict[str, Any]:
    """Error rates and warnings of a verifier under every condition.

    What was captured and embedded before with the same model, images, code and seed is taken from
    the cache, so that an interrupted measurement goes on where it stopped.

    Parameters
    ----------
    judge : Verifier
    folder : path
        The dataset's.
    signatures : DataFrame
        What to measure on, from `choose`.
    seed : int
        Of the simulations, the random pairs and the bootstrap.
    cache : Path
        Folder for embeddings.
    names : sequence of str
        Names of conditions.
    resamples : int
        Of the bootstrap over writers.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    dict
        ``writers``, ``images``, ``pairs`` (kind -> count), ``model``, ``threshold``, ``scanned``
        (the rates of images as scanned) and ``rows``: one for each condition, strength and side,
        with ``condition``, ``group``, ``strength`` (its label), ``side``, ``aim`` (met, missed,
        or open where the rate misses it and its interval does not; "" without one), the rates
        ``eer``, ``fnmr``, ``fmr`` (skilled forgeries; ``{"value", "low", "high"}``, 95 %, by
        writer), ``not_judged`` and ``warned`` (shares of the images), ``silent`` (share of genuine
        pairs refused without a warning) and ``codes`` (warning -> share of the images).

    Raises
    ------
    DeepSignError
        If an image as scanned cannot be read or judged; the message names it.
    """
    settings = [
        Setting(name, label, strength)
        for name in names
        for label, strength in BY_NAME[name].strengths.items()
    ]
    pairs = pairing.draw_pairs(signatures, np.random.default_rng([seed, 1]))
    pairs = pairs[pairs["kind"] != "random"].reset_index(drop=True)
    captures = captured(judge, folder, signatures, seed, cache, settings, progress)
    scanned = next(captures)
    scores = partial(pair_scores, judge, signatures["signature_id"].to_numpy(), pairs)
    as_scanned = scores(scanned, scanned)
    of_kind = {kind: part.to_numpy() for kind, part in as_scanned.groupby("kind")["score"]}
    threshold = metrics.eer_threshold(of_kind["genuine"], of_kind["skilled"])
    rates = partial(_rates, threshold=threshold, seed=seed, resamples=resamples)
    clean = rates(as_scanned) | _warnings(scanned)
    rows = []
    for setting, capture in zip(settings, captures, strict=True):
        condition = BY_NAME[setting.name]
        for side in SIDES:
            found = rates(scores(scanned if side == "questioned" else capture, capture))
            rows.append(
                {
                    "condition": condition.name,
                    "group": condition.group,
                    "strength": setting.label,
                    "side": side,
                    "aim": aim_of(condition, found, clean),
                }
                | found
                | _warnings(capture)
            )
    return {
        "writers": int(signatures["writer"].nunique()),
        "images": len(signatures),
        "pairs": {kind: int(n) for kind, n in pairs["kind"].value_counts().items()},
        "model": judge.identity,
        "threshold": threshold,
        "scanned": clean,
        "rows": rows,
    }


def pair_scores(
    judge: Verifier,
    ids: np.ndarray,
    pairs: pd.DataFrame,
    references: Capture,
    questioned: Capture,
) -> pd.DataFrame:
    """Score pairs whose two sides were captured in different ways.

    Parameters
    ----------
    judge : Verifier
    ids : int (n,)
        The signature of each row of the captures.
    pairs : DataFrame
        Pair table.
    references, questioned : Capture
        How the left and the right signatures were captured.

    Returns
    -------
    DataFrame
        `writer`, `kind`, `score` (float64; below all others where an image was not judged) and
        `warned` (whether one of the two images carries a warning).
    """
    rows = pd.Index(ids)
    left, right = rows.get_indexer(pairs["left"]), rows.get_indexer(pairs["right"])
    embeddings = np.concatenate([references.embeddings, questioned.embeddings])
    score = scoring.score_against(
        embeddings, left[:, None], right + len(ids), judge.scoring.population
    )[1].astype(np.float64)
    judged = references.judged[left] & questioned.judged[right]
    score[~judged] = score[judged].min(initial=0.0) - 1
    warned = (references.codes[left] != "") | (questioned.codes[right] != "")
    return pairs[["writer", "kind"]].assign(score=score, warned=warned)


def _rates(scores: pd.DataFrame, threshold: float, seed: int, resamples: int) -> dict[str, Any]:
    # The same resamples of the writers under every condition: their intervals can be compared.
    eer = metrics.bootstrap_eer(scores, "skilled", np.random.default_rng([seed, 2]), resamples)
    at = metrics.rates_at(
        scores, np.array([threshold]), np.random.default_rng([seed, 2]), resamples
    ).iloc[0]
    genuine = scores[scores["kind"] == "genuine"]
    silent = (genuine["score"] < threshold) & ~genuine["warned"]
    return {
        "eer": {key: float(value) for key, value in eer.items()},
        "fnmr": _interval(at, "fnmr"),
        "fmr": _interval(at, "fmr_skilled"),
        "silent": float(silent.mean()),
    }


def _interval(rates: pd.Series, name: str) -> dict[str, float]:
    ends = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
    return {key: float(rates[column]) for key, column in ends.items()}


def _warnings(capture: Capture) -> dict[str, Any]:
    codes = pd.Series(capture.codes).str.split(",").explode()
    shares = codes[codes != ""].value_counts() / len(capture.codes)
    return {
        "not_judged": float(1 - capture.judged.mean()),
        "warned": float((capture.codes != "").mean()),
        "codes": {str(code): float(share) for code, share in shares.items()},
    }


def aim_of(condition: Condition, found: dict[str, Any], clean: dict[str, Any]) -> str:
    """Tell whether a condition's aim is met.

    Parameters
    ----------
    condition : Condition
    found, clean : dict
        Rates ``eer`` and ``fnmr`` under the condition, and of images as scanned.

    Returns
    -------
    str
        "met"; "missed" where a rate's whole interval lies beyond the aim, "open" where only the
        rate does; "" where the condition has no aim.
    """
    aim = condition.aim
    if aim is None:
        return ""
    bounds = {"eer": aim.eer * clean["eer"]["value"]}
    if aim.refused is not None:
        bounds["fnmr"] = clean["fnmr"]["value"] + aim.refused
    if all(found[rate]["value"] <= bound for rate, bound in bounds.items()):
        return "met"
    surely = any(found[rate]["low"] > bound for rate, bound in bounds.items())
    return "missed" if surely else "open"


# What was measured, as tables


def as_table(measured: dict[str, Any]) -> pd.DataFrame:
    """Every row of `measure`'s results: one a line of a CSV file, rates as fractions.

    Parameters
    ----------
    measured : dict
        Name of a dataset -> what `measure` gave.

    Returns
    -------
    DataFrame
        `dataset`, `condition`, `group`, `strength`, `side` ("" for images as scanned), `aim` (met,
        missed, open or ""), for each rate its value, with `<rate>_low` and `<rate>_high` where it
        has an interval, and `codes` as ``code=share`` texts.
    """
    rows = []
    for name, result in measured.items():
        scanned = dict.fromkeys(("condition", "group", "strength", "side", "aim"), "")
        for row in (scanned | result["scanned"], *result["rows"]):
            flat = {"dataset": name}
            for key, value in row.items():
                if key == "codes":
                    flat[key] = " ".join(f"{code}={share:.3f}" for code, share in value.items())
                elif isinstance(value, dict):
                    flat |= {key: value["value"], f"{key}_low": value["low"]}
                    flat[f"{key}_high"] = value["high"]
                else:
                    flat[key] = value
            rows.append(flat)
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame, side: str = "questioned") -> str:
    """One table of all datasets: a line a condition and strength.

    Parameters
    ----------
    table : DataFrame
        From `as_table`.
    side : str
        One of `SIDES`.

    Returns
    -------
    str
        Markdown. Of each dataset, in %: the EER with its interval, with a cross where the
        condition's aim is missed and a tilde where that is open; the genuine signatures refused at
        the threshold fixed on images as scanned; the images that carry a warning.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    head = [f"{name}: {what}" for name in datasets for what in ("EER", "refused", "warned")]
    lines = [["condition", "strength", *head], ["---", "---", *["---:"] * len(head)]]
    shown = table[table["side"].isin(["", side])]
    for (condition, strength), rows in shown.groupby(["condition", "strength"], sort=False):
        of = {row.dataset: row for row in rows.itertuples()}
        cells = [cell for name in datasets for cell in _cells(of.get(name))]
        lines.append([condition or f"**{AS_SCANNED}**", strength, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cells(row: Any | None) -> list[str]:
    if row is None:
        return ["–"] * 3
    missed = {"missed": " ✗", "open": " ~"}.get(row.aim, "")
    eer = metrics.bare_rate({"value": row.eer, "low": row.eer_low, "high": row.eer_high})
    return [eer + missed, f"{100 * row.fnmr:.0f}", f"{100 * row.warned:.0f}"]
