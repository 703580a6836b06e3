"""The page of a sweep."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepsign_utils.runs.sweep.grid import Sweep
from deepsign_utils.runs.sweep.results import RATES, labels, settings
from deepsign_utils.study.folders import ROOT


def write_report(sweep: Sweep, results: pd.DataFrame) -> Path:
    """Write ``reports/sweeps/<name>/index.html``: settings compared, best runs, failures.

    Parameters
    ----------
    sweep, results
        From ``read_sweep`` and ``run_sweep``.

    Returns
    -------
    Path
        The page; it needs nothing else.
    """
    from deepsign_utils import figures, report

    table = results.assign(setting=labels(results, sweep.varied))
    finished = table[table["status"] == "finished"]
    means = settings(results, sweep.varied)
    drawn: list[dict[str, Any]] = []
    if len(finished):
        shown = means[means["runs"] > 0].groupby("study", sort=False).head(figures.MOST_SETTINGS)
        left_out = int((means["runs"] > 0).sum()) - len(shown)
        note = f" The {left_out} settings with the highest validation EER are left out." * bool(
            left_out
        )
        drawn.append(
            report.figure(
                figures.render(figures.sweep_errors(finished.merge(shown[["study", "setting"]]))),
                "EER of each run with its interval, by setting; the lowest validation EER on top.",
                "Skilled EER on test writers with its 95 % interval, one line a seed; the diamond "
                "is their mean, the open circle the mean EER on validation writers, by which "
                f"settings are ordered and chosen.{note}",
                len(drawn) + 1,
            )
        )
    if len(finished) and len(sweep.varied) > 1:
        drawn.append(
            report.figure(
                figures.render(figures.sweep_parameters(finished, sweep.varied)),
                "EER against each swept parameter.",
                "The same runs by each parameter alone: a point a run, the line their mean over "
                "all other settings and seeds.",
                len(drawn) + 1,
            )
        )
    best = means[means["best"]]
    best_runs = finished.merge(best[["study", "setting"]]).sort_values(
        ["study", "validation_eer"], kind="stable"
    )
    return report.write_page(
        sweep.reports / "index.html",
        "sweep.html.j2",
        name=sweep.name,
        figures=drawn,
        settings=means.to_dict("records"),
        best=best.to_dict("records"),
        best_runs=_records(best_runs),
        runs=_records(table),
        images=finished.groupby("study")["images_sha256"].unique().to_dict(),
        failed=_records(table[table["status"] == "failed"]),
        seeds=sorted({run.seed for run in sweep.runs}),
        counts={"finished": 0, "failed": 0, **table["status"].value_counts()},
        command=f"make sweep SWEEP={_shown(sweep.file)}",
        threads=sweep.threads,
        hours=float(np.nansum(finished["seconds"])) / 3600,
    )


def _shown(file: Path) -> str:
    """A file as the user of a fresh clone names it; where another one lies is not told."""
    file = file.resolve()
    inside = file.is_relative_to(ROOT)
    return shlex.quote(file.relative_to(ROOT).as_posix() if inside else f"…/{file.name}")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for the page, rates as intervals."""
    records = []
    for row in table.to_dict("records"):
        for name in RATES:
            ends = {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
            ends = {end: None if math.isnan(value) else value for end, value in ends.items()}
            row[name] = None if ends["value"] is None else ends
        records.append(row)
    return records
