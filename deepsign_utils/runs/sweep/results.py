"""What the runs of a sweep found, and which setting is best."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from deepsign_utils.deployed_encoder import whitening
from deepsign_utils.runs.sweep.grid import Run, Sweep
from deepsign_utils.runs.sweep.one_run import finished_as
from deepsign_utils.study.artefacts import read_artefact, write_artefact, write_atomically


def gather(runs: list[Run], errors: Mapping[str, str], attempts: Mapping[str, int]) -> pd.DataFrame:
    """One row a run: what it was, how it ended, and its error rates.

    Parameters
    ----------
    runs : list of Run
        With their fingerprints.
    errors : mapping
        By run: why it failed.
    attempts : mapping
        By run: how often it was started now; 0 if it was finished before.

    Returns
    -------
    DataFrame
        ``run``, ``study``, ``seed``, a column for each swept parameter, ``status`` (finished,
        failed or waiting), ``attempts``, ``seconds``, ``error``; of finished runs
        ``images_sha256`` (of `hash_of_images`), ``validation_eer``, and with the fewest references
        ``eer_skilled``, ``eer_random``, ``fmr_skilled`` and ``fnmr`` with ``_low`` and ``_high``
        (fractions, 95 % intervals).
    """
    rows = []
    for run in runs:
        setting = {
            name: json.dumps(value) if isinstance(value, list) else value
            for name, value in run.setting.items()
        }
        row = {"run": run.name, "study": run.study, "seed": run.seed, **setting}
        marker = None if run.name in errors else finished_as(run)
        status = "failed" if run.name in errors else "finished" if marker else "waiting"
        row |= {"status": status, "attempts": attempts.get(run.name, 0)}
        row |= {"seconds": marker["seconds"] if marker else math.nan}
        row |= {"error": errors.get(run.name, "")}
        rows.append(row | (_rates(run) if marker else {}))
    table = pd.DataFrame(rows)
    for name in {name for run in runs for name in run.setting}:
        if table[name].map(type).nunique() > 1:  # a share and a list: a table holds one kind
            table[name] = table[name].map(_plain)
    for name in RATES:
        for column in (name, f"{name}_low", f"{name}_high"):
            table[column] = table[column].astype(float) if column in table else math.nan
    table["images_sha256"] = table["images_sha256"].fillna("") if "images_sha256" in table else ""
    table["validation_eer"] = (
        table["validation_eer"].astype(float) if "validation_eer" in table else math.nan
    )
    return table


RATES = {
    "eer_skilled": ("eer", "skilled"),
    "eer_random": ("eer", "random"),
    "fmr_skilled": ("fmr", "skilled"),
    "fnmr": ("fnmr",),
}


def _rates(run: Run) -> dict[str, Any]:
    metrics = read_artefact(run.reports / "metrics.json")
    results = metrics["test"]["references"]
    fewest = results[min(results, key=int)]
    errors = read_artefact(run.reports / "whitening.csv").set_index("shrinkage")
    chosen = whitening.decisive_errors(errors)[whitening.choose_shrinkage(errors)]
    images = metrics.get("provenance", {}).get("images", {}).get("sha256", "")
    row = {"images_sha256": images, "validation_eer": float(chosen)}
    for name, keys in RATES.items():
        rate: Any = fewest
        for key in keys:
            rate = (rate or {}).get(key)
        for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            row[name + suffix] = (rate or {}).get(end, math.nan)
    return row


def settings(results: pd.DataFrame, varied: tuple[str, ...]) -> pd.DataFrame:
    """Runs that differ in their seed and their part of the writers only, together; the best first.

    A setting is better than another of the same study if its mean EER on validation writers is
    lower; what the test writers say decides nothing.

    Parameters
    ----------
    results : DataFrame
        From ``gather``.
    varied : tuple of str
        The swept parameters.

    Returns
    -------
    DataFrame
        ``study``, ``setting`` (text), ``runs`` (finished), ``failed``, ``validation_eer`` and
        ``eer_skilled`` (means over runs), ``eer_skilled_spread`` (their standard deviation; NaN of
        one run), ``best`` (of its study, among settings that all their runs finished) and ``tied``
        (another is as good).
    """
    table = results.assign(setting=labels(results, varied))
    groups = table.groupby(["study", "setting"], sort=False)
    means = groups.agg(
        runs=("status", lambda status: int((status == "finished").sum())),
        failed=("status", lambda status: int((status == "failed").sum())),
        validation_eer=("validation_eer", "mean"),
        eer_skilled=("eer_skilled", "mean"),
        eer_skilled_spread=("eer_skilled", "std"),
    ).reset_index()
    whole = means["runs"] == groups.size().to_numpy()
    lowest = means["validation_eer"].where(whole).groupby(means["study"]).transform("min")
    means["best"] = whole & (means["validation_eer"] == lowest)
    means["tied"] = means["best"] & (means.groupby("study")["best"].transform("sum") > 1)
    order = pd.Categorical(means["study"], means["study"].unique())
    return means.iloc[
        np.lexsort((means["validation_eer"].fillna(np.inf), order.codes))
    ].reset_index(drop=True)


def labels(results: pd.DataFrame, varied: tuple[str, ...]) -> list[str]:
    """Each run's setting in words: "learning_rate 0.002, epochs 5"."""
    if not varied:
        return ["as the study says"] * len(results)
    return [
        ", ".join(f"{name} {_plain(row[name])}" for name in varied) for _, row in results.iterrows()
    ]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def write_tables(sweep: Sweep, results: pd.DataFrame) -> None:
    """Keep the results beside the report, as Parquet and CSV."""
    write_artefact(sweep.reports / "results.parquet", results)
    write_atomically(sweep.reports / "results.csv", results.to_csv(index=False))
