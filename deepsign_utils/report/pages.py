"""The pages: a study, the demonstration, the matrix, the list of all, and the model card."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from deepsign_utils import DeepSignError, figures
from deepsign_utils.report.notebooks import read_chapters
from deepsign_utils.report.numbers import AGAIN, as_mapping, read_interval, read_json, read_metrics
from deepsign_utils.report.rendering import SIZE_LIMIT, picture_size, render, write_file
from deepsign_utils.report.words import (
    STAGES,
    answer,
    blind_verifier,
    command_for,
    coverage_rows,
    demonstrated,
    demonstration_answer,
    error_table,
    flagged_probes,
    format_rate,
    has_cohort,
    plural,
    provenance_rows,
    quality_in_words,
    reference_rows,
    results_of,
    shortcut_rows,
    shortcut_table,
    tiles,
    write_count,
)
from deepsign_utils.study.folders import DEMONSTRATION
from deepsign_utils.study.parameters import draws_its_own


def model_card(metrics: Mapping[str, Any]) -> str:
    """Write the card of a trained model: what it is for, how well it does, what it can't do.

    Parameters
    ----------
    metrics : mapping
        Content of metrics.json.

    Returns
    -------
    str
        Markdown.
    """
    return render(
        "card.md.j2",
        **_context(metrics),
        errors=error_table(results_of(metrics)).reset_index(),
        probes=shortcut_table(metrics.get("shortcuts") or {}).reset_index(),
    )


NORMALISED = "_normalised"
"""Ending of the run that redraws all strokes with one pen, beside the run of the same name."""


def counterpart(study: str) -> str:
    """The run with the other strokes: `cedar` and `cedar_normalised` belong together."""
    return study.removesuffix(NORMALISED) if study.endswith(NORMALISED) else study + NORMALISED


def _pens(metrics: Mapping[str, Any], beside: Path) -> list[dict[str, Any]]:
    """The study and its counterpart, as far as both were run, strokes as they are first."""
    if not beside.is_file():
        return []
    rows = []
    for of in (metrics, read_metrics(beside)):
        used = as_mapping(as_mapping(of.get("provenance")).get("parameters"))
        probe = as_mapping(as_mapping(of.get("shortcuts")).get("canvas")).get("stroke_width")
        rows.append(
            {
                "study": of["study"],
                "strokes": used.get("stroke_width"),
                "pen": read_interval(probe, "auc"),
                **reference_rows(results_of(of))[0],
            }
        )
    if {row["strokes"] for row in rows} != {"as_is", "normalised"}:
        return []
    return sorted(rows, key=lambda row: row["strokes"])


def write_report(notebooks: Sequence[Path], metrics: Path, output: Path) -> Path:
    """Write a study's report: one HTML file with everything inside.

    Where the study's counterpart (`counterpart`) was run too, both stand side by side in it.

    Parameters
    ----------
    notebooks : sequence of Path
        Executed notebooks, in the order of the chapters. A chapter's title is the notebook's
        first heading. The figure whose ``metadata.deepsign.name`` is "headline" is shown at the
        top as well.
    metrics : Path
        The study's metrics.json: the source of every number in the summary.
    output : Path
        The file to write. Written whole or not at all.

    Returns
    -------
    Path
        ``output``.

    Raises
    ------
    DeepSignError
        If metrics.json or a notebook cannot be used; the message names the file.
    """
    output, metrics = Path(output), Path(metrics)
    numbers = read_metrics(metrics)
    chapters, drawn = read_chapters([Path(path) for path in notebooks])
    html = render(
        "report.html.j2",
        **_context(numbers),
        pens=_pens(
            numbers, metrics.parent.parent / counterpart(metrics.parent.name) / metrics.name
        ),
        headline_figure=next((f for f in drawn if f["name"] == "headline"), None),
        chapters=chapters,
        provenance=provenance_rows(numbers),
    )
    if len(html) > SIZE_LIMIT:
        heavy = sorted(drawn, key=lambda figure: -len(figure["source"]))[:3]
        names = ", ".join(figure["name"] or figure["number"] for figure in heavy)
        warnings.warn(
            f"{output} takes {len(html) / 1e6:.0f} MB, more than {SIZE_LIMIT / 1e6:.0f}. "
            f"Its heaviest figures: {names}.",
            stacklevel=2,
        )
    return write_file(output, html)


def _context(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the report's summary and the model card say, from metrics.json alone."""
    rows = reference_rows(results_of(metrics))
    shortcuts = shortcut_rows(metrics.get("shortcuts"))
    test, encoder = metrics["test"], as_mapping(metrics.get("encoder"))
    head = tiles(rows[0])
    ends = [end for one in head if one["interval"] for end in one["interval"].values()]
    writers = test.get("writers") if isinstance(test.get("writers"), int) else None
    pairs = [
        f"{write_count(n)} {kind}"
        for kind, n in as_mapping(test.get("pairs")).items()
        if write_count(n)
    ]
    provenance = as_mapping(metrics.get("provenance"))
    parameters = as_mapping(provenance.get("parameters"))
    return {
        "study": metrics["study"],
        "dataset": metrics.get("dataset") or "not named",
        "synthetic": draws_its_own(str(metrics.get("dataset")))
        and draws_its_own(str(parameters.get("data_root") or metrics["dataset"])),
        "encoder": encoder.get("name") or "encoder",
        "weights": write_count(encoder.get("parameters")),
        "whitening": write_count(encoder.get("whitening")),
        "cohort": has_cohort(metrics),
        "canvas": " x ".join(
            str(parameters[side])
            for side in ("canvas_height", "canvas_width")
            if side in parameters
        ),
        "seed": metrics.get("seed"),
        "version": as_mapping(provenance.get("versions")).get("deepsign"),
        "images": as_mapping(provenance.get("images")),
        "writers": writers,
        "validation_writers": as_mapping(metrics.get("validation")).get("writers"),
        "pairs": f"{', '.join(pairs)} pairs with one reference" if pairs else "",
        "answer": answer(metrics),
        "references": rows,
        "coverage": coverage_rows(as_mapping(as_mapping(metrics.get("test")).get("coverage"))),
        "tiles": head,
        "bars_to": 1.0 if any(end > 0.5 for end in ends if end is not None) else 0.5,
        "enrolled": ", ".join(
            [f"With {plural(rows[0]['references'], 'reference')} per comparison"]
            + ([plural(writers, "test writer")] if writers else [])
        ),
        "published": read_interval(test.get("published"), "eer", "skilled"),
        "quality": quality_in_words(metrics["quality"]) if metrics.get("quality") else "",
        "shortcuts": shortcuts,
        "flagged": flagged_probes(shortcuts),
        "seen": flagged_probes([row for row in shortcuts if row["stage"] == STAGES["canvas"]]),
        "blind": blind_verifier(shortcuts),
        "command": command_for(metrics),
    }


def write_demonstration(notebook: Path, metrics: Path, output: Path) -> Path:
    """Write the report of the demonstration: its table and figure first, the notebook below.

    Parameters
    ----------
    notebook : Path
        The executed notebook.
    metrics : Path
        Its metrics.json: the source of every number at the top.
    output : Path
        The file to write. Written whole or not at all.

    Returns
    -------
    Path
        ``output``.

    Raises
    ------
    DeepSignError
        If metrics.json or the notebook cannot be used; the message names the file.
    """
    numbers = read_json(Path(metrics))
    if "demonstration" not in numbers:
        raise DeepSignError(f"{metrics} lacks `demonstration`. {AGAIN}")
    chapters, drawn = read_chapters([Path(notebook)])
    shortcuts = shortcut_rows(numbers["shortcuts"])
    measured = numbers["demonstration"]
    html = render(
        "demonstration.html.j2",
        study=numbers["study"],
        dataset=numbers["dataset"],
        planted=numbers["dataset"] == DEMONSTRATION,
        answer=demonstration_answer(measured),
        rows=demonstrated(measured),
        ours=measured["deepsign"],
        writers=numbers["test"]["writers"],
        pairs=numbers["test"]["pairs"],
        flagged=flagged_probes(shortcuts),
        shortcuts=shortcuts,
        headline_figure=next((f for f in drawn if f["name"] == "headline"), None),
        chapters=chapters,
        provenance=provenance_rows(numbers),
        command=command_for(numbers),
    )
    return write_file(Path(output), html)


MATRIX_RATES = {
    "eer": ("EER", "equal error rate, at a threshold that the test pairs pick"),
    "fmr": ("FMR", "forgeries accepted at the threshold of the study that was trained on"),
    "fnmr": ("FNMR", "genuine signatures rejected at that same threshold"),
}


def write_matrix(measured: Path, output: Path) -> Path:
    """Write the report of the cross-dataset matrix, from its JSON alone.

    Parameters
    ----------
    measured : Path
        What `matrix.measure` gave, as JSON.
    output : Path
        The file to write. Written whole or not at all.

    Returns
    -------
    Path
        ``output``.

    Raises
    ------
    DeepSignError
        If the JSON cannot be used.
    """
    content = read_json(Path(measured))
    if not {"studies", "cells"} <= set(content):
        raise DeepSignError(f"{measured} lacks `studies` or `cells`. Run make matrix again.")
    names, cells = list(content["studies"]), content["cells"]
    html = render(
        "matrix.html.j2",
        studies=content["studies"],
        figures=[_heat_map(names, cells, *item) for item in enumerate(MATRIX_RATES, 1)],
        rows=[
            {"trained": trained, "tested": tested, "writers": as_mapping(cell).get("writers", 0)}
            | {rate: read_interval(cell, rate) for rate in MATRIX_RATES}
            for trained, row in cells.items()
            for tested, cell in row.items()
        ],
        answer=matrix_answer(content),
    )
    return write_file(Path(output), html)


def matrix_answer(content: Mapping[str, Any]) -> str:
    """Say in a sentence how far models carry from one dataset to another.

    Parameters
    ----------
    content : mapping
        What `matrix.measure` gave.
    """
    cells = content["cells"]
    own = {name: cells[name][name] for name in cells}
    away = [(a, b, cells[a][b]) for a in cells for b in cells if a != b and cells[a][b]]
    if not away:
        return "Nothing to compare: every test writer was seen in every other study's training."
    home = sum(of["eer"]["value"] for of in own.values()) / len(own)
    abroad = sum(of["eer"]["value"] for _, _, of in away) / len(away)
    worse = sum(of["eer"]["low"] > own[b]["eer"]["high"] for _, b, of in away)
    trained, tested, worst = max(
        away, key=lambda cell: max(cell[2]["fmr"]["value"], cell[2]["fnmr"]["value"])
    )
    return (
        f"On its own data a model's EER is {100 * home:.1f}\u00a0% on average; on other data, "
        f"{100 * abroad:.1f}\u00a0%. In {worse} of {len(away)} cases it does worse than the model "
        "trained there, intervals apart. What a fixed threshold does elsewhere, at worst: that of "
        f"{trained} accepts {format_rate(worst['fmr'])} of the forgeries of {tested} and rejects "
        f"{format_rate(worst['fnmr'])} of its genuine signatures."
    )


def _heat_map(
    names: Sequence[str], cells: Mapping[str, Any], number: int, rate: str
) -> dict[str, Any]:
    """One rate's heat map, as the templates take a figure."""
    name, meaning = MATRIX_RATES[rate]
    found = [[read_interval(cells[a][b], rate) for b in names] for a in names]
    values = [[one and one["value"] for one in row] for row in found]
    table = pd.DataFrame(values, index=names, columns=names)
    drawing = str(figures.render(figures.cross_matrix(table, name))["image/svg+xml"]).encode()
    width, height = picture_size(drawing, "image/svg+xml")
    return {
        "number": number,
        "alt": f"Heat map of the {name}, trained on each study and tested on each; all its numbers "
        "are in the table below.",
        "caption": f"{name}: {meaning}. Trained on the row's study, tested on the column's; "
        "framed: a study's own test writers. Empty: all of them were seen in training.",
        "source": f"data:image/svg+xml;base64,{base64.b64encode(drawing).decode()}",
        "width": width,
        "height": height,
    }


def write_index(reports_folder: Path) -> Path:
    """Write reports/index.html: the headline numbers of all studies side by side.

    Parameters
    ----------
    reports_folder : Path
        Folder with one folder per study. A study whose metrics.json cannot be used is listed as
        such, with the reason.

    Returns
    -------
    Path
        The file written.
    """
    folder = Path(reports_folder)
    studies, demonstrations, broken = [], [], []
    for path in sorted(folder.glob("*/metrics.json")):
        try:
            if "demonstration" in (numbers := read_json(path)):
                demonstrations.append(_demonstration_row(path.parent, numbers))
            else:
                studies.append((path.parent, read_metrics(path)))
        except DeepSignError as error:
            broken.append((path.parent.name, str(error)))
    most = max((int(n) for _, m in studies for n in m["test"]["references"]), default=10)
    html = render(
        "index.html.j2",
        studies=[_index_row(study, metrics, most) for study, metrics in studies],
        demonstrations=demonstrations,
        matrix=(folder / "matrix" / "index.html").exists(),
        capture=(folder / "capture" / "index.html").exists(),
        broken=broken,
        most=most,
    )
    return write_file(folder / "index.html", html)


def _demonstration_row(folder: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    measured = metrics["demonstration"]
    return {
        "name": folder.name,
        "link": f"{quote(folder.name)}/index.html" if (folder / "index.html").exists() else None,
        "dataset": metrics.get("dataset") or "–",
        "naive": read_interval(measured, "naive", "as_is"),
        "one_paper": read_interval(measured, "naive", "one_paper"),
        "blind": read_interval(measured, "stroke_blind", "raw"),
        "deepsign": read_interval(measured, "deepsign", "eer"),
    }


def _index_row(folder: Path, metrics: Mapping[str, Any], most: int) -> dict[str, Any]:
    rows = reference_rows(results_of(metrics))
    report = folder / "index.html"
    return {
        "name": folder.name,
        "link": f"{quote(folder.name)}/{report.name}" if report.exists() else None,
        "dataset": metrics.get("dataset") or "–",
        "writers": metrics["test"].get("writers") or "–",
        "seed": metrics.get("seed", "–"),
        "fmr": rows[0]["fmr_skilled"],
        "fnmr": rows[0]["fnmr"],
        "eer": rows[0]["eer_skilled"],
        "eer_most": rows[-1]["eer_skilled"] if rows[-1]["references"] == most else None,
    }
