"""The benchmark run on datasets, and its files: numbers, tables, and reports/capture/index.html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepsign_utils import DeepSignError, figures, report, study, synthetic
from deepsign_utils.capture import benchmark, pictures
from deepsign_utils.capture.conditions import BY_NAME
from deepsign_utils.study.folders import expand
from deepsign_utils.verifying.verifier import Verifier

NAME = "capture"
"""Name of the report's folder below ``reports``."""

_TITLES = {
    "questioned": "References as scanned, questioned signatures captured",
    "both": "Both sides captured",
}


SYNTHETIC = "synthetic"
"""The dataset that is drawn where none is given."""


def run(
    judge: Verifier,
    datasets: Sequence[str],
    writers: int,
    genuine: int,
    forgeries: int,
    layout: str = "auto",
    seed: int = 0,
    names: Sequence[str] | None = None,
    root: Path = study.ROOT,
) -> Path:
    """Measure a verifier on datasets under every condition, and write the report.

    Parameters
    ----------
    judge : Verifier
    datasets : sequence of str
        Folders, or ``NAME=FOLDER``; `SYNTHETIC` for drawn writers.
    writers, genuine, forgeries, layout
        As in `benchmark.choose`.
    seed : int
        Of the choice and of the simulations.
    names : sequence of str, optional
        Names of the conditions to measure; all if not given.
    root : Path
        Where ``data`` and ``reports`` lie.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DeepSignError
        If a dataset cannot be used, two have one name, or there is no such condition.
    """
    benchmark.check_counts(writers, genuine, forgeries)
    names = list(BY_NAME) if names is None else names
    if unknown := [name for name in names if name not in BY_NAME]:
        raise DeepSignError(
            f"There is no condition '{unknown[0]}'. There are: {', '.join(BY_NAME)}."
        )
    folders: dict[str, Path] = {}
    for text in datasets:
        name, _, folder = text.rpartition("=")
        if text == SYNTHETIC:
            drawn = root / "data" / "raw" / NAME
            synthetic.write_dataset(
                drawn, writers, genuine, forgeries, benchmark.SYNTHETIC_SEED, replace=True
            )
            name, folder = SYNTHETIC, str(drawn)
        path = expand(folder)
        name = name or path.resolve().name
        if name in folders:
            raise DeepSignError(f"Two datasets are called '{name}': say NAME=FOLDER.")
        folders[name] = path
    measured = {}
    for name, path in folders.items():
        signatures = benchmark.choose(
            path, np.random.default_rng(seed), writers, genuine, forgeries, layout
        )
        measured[name] = benchmark.measure(
            judge, path, signatures, seed, root / "data" / "built" / NAME, names
        )
    return write(root / "reports" / NAME, measured)


def answer(name: str, result: dict[str, Any]) -> str:
    """Say in two sentences how one dataset's verdicts bore their captures.

    Parameters
    ----------
    name : str
        The dataset's.
    result : dict
        What `benchmark.measure` gave.
    """
    rows = [row for row in result["rows"] if row["side"] == "questioned"]
    aims = [row["aim"] for row in rows if row["aim"]]
    worst = max(rows, key=lambda row: row["eer"]["value"])
    scanned, captured = (report.format_rate(row["eer"]) for row in (result["scanned"], worst))
    return (
        f"{name}: as scanned, the EER is {scanned}; captured in the worst way, "
        f"{worst['condition']} ({worst['strength']}), it is {captured}. Of {len(aims)} aims "
        f"{aims.count('met')} are met and {aims.count('missed')} surely missed; "
        f"{aims.count('open')} are open, as their intervals reach to both sides."
    )


def write(folder: Path, measured: dict[str, Any]) -> Path:
    """Write capture.json, .csv and .md, and the page that shows them.

    Parameters
    ----------
    folder : Path
        Where to.
    measured : dict
        Name of a dataset -> what `benchmark.measure` gave.

    Returns
    -------
    Path
        The page.
    """
    study.write_json(folder / "capture.json", measured)
    table = benchmark.as_table(measured).round(5)
    study.write_atomically(folder / "capture.csv", table.to_csv(index=False))
    study.write_atomically(folder / "capture.md", benchmark.as_markdown(table))
    shown = report.figure(
        figures.render(pictures.gallery()),
        "A synthetic signature as scanned, and under each condition at its greatest strength.",
        "One synthetic signature under every condition, at its greatest strength.",
        1,
    )
    return report.write_page(
        folder / "index.html",
        "capture.html.j2",
        sets=[
            _shown(name, result, 2 * at) for at, (name, result) in enumerate(measured.items(), 1)
        ],
        titles=_TITLES,
        gallery=shown,
    )


def _shown(name: str, result: dict[str, Any], number: int) -> dict[str, Any]:
    """One dataset as the template takes it; its figures are numbered from `number` on."""
    sides = {
        side: [_plain(row) for row in result["rows"] if row["side"] == side]
        for side in benchmark.SIDES
    }
    drawn = [
        report.figure(
            figures.render(pictures.errors(result, side)),
            f"EER under each condition, {_TITLES[side].lower()}; all numbers are in the table.",
            f"{_TITLES[side]}: EER under each condition. Line and band: images as scanned.",
            number + place,
        )
        for place, side in enumerate(benchmark.SIDES)
    ]
    return result | {
        "name": name,
        "answer": answer(name, result),
        "figures": drawn,
        "sides": sides,
        "scanned": _plain(result["scanned"]),
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    codes = ", ".join(f"{code} {100 * share:.0f} %" for code, share in row["codes"].items())
    return row | {"codes": codes}
