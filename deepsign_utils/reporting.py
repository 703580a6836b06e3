"""Executed notebooks and metrics.json -> one HTML file that needs nothing else.

The report opens with the question, the answer and its limits, all rendered from metrics.json; the
notebooks follow as chapters. Their outputs hold strings from data (writers' names, paths), so
Jinja2 escapes everything, HTML written by a notebook passes a list of allowed tags, and the page's
own Content-Security-Policy lets no script run but the report's and nothing be fetched.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import math
import re
import shlex
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bleach
import jinja2
import nbformat
import pandas as pd
from bs4 import BeautifulSoup, Tag
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from deepsign_utils import DeepSignError, plotting
from deepsign_utils.shortcuts import probe_name
from deepsign_utils.study.artefacts import read_artefact, write_atomically
from deepsign_utils.study.folders import DEMONSTRATION

SIZE_LIMIT = 15_000_000  # bytes; more is slow to open and to send

TEMPLATE_FOLDER = Path(__file__).parent / "report_template"
FIGURE_TYPES = ("image/svg+xml", "image/png", "image/jpeg")
WIDGET = "application/vnd.jupyter.widget-view+json"
ALL_PROBES = "all together"
STAGES = {"raw": "raw files", "canvas": "cleaned canvas"}
CHANCE_AUC = 0.55  # a probe that stays below is at chance, one that stays above is flagged

Interval = dict[str, float | None]

# ---------------------------------------------------------------------------------- numbers


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a study's metrics.json and check what the report needs of it.

    Parameters
    ----------
    path
        The file. Only ``study`` and ``test.references`` must be there; any number may be null.

    Returns
    -------
    dict
        The file's content.

    Raises
    ------
    DeepSignError
        If the file is missing, is not JSON, lacks a needed part, or holds an interval that is not
        made of numbers.
    """
    path = Path(path)
    metrics = _read_json(path)
    references = _mapping(_mapping(metrics.get("test")).get("references"))
    if not references or "study" not in metrics:
        raise DeepSignError(f"{path} lacks `study` or `test.references`. {_AGAIN}")
    if not all(count.isdecimal() for count in references):
        raise DeepSignError(f"{path}: `test.references` must be keyed by whole numbers. {_AGAIN}")
    return metrics


_AGAIN = "Run the evaluation again: make report."


def _read_json(path: Path) -> dict[str, Any]:
    """A metrics.json, of any kind of study, whose intervals are made of numbers."""
    metrics = _mapping(read_artefact(path))
    parts = ("test", "shortcuts", "demonstration")
    for where, node in _walk({part: metrics[part] for part in parts if part in metrics}):
        numbers = (node.get(key) for key in ("value", "low", "high"))
        if not all(n is None or isinstance(n, int | float) for n in numbers):
            raise DeepSignError(f"{path}: `{where}` must hold numbers or null. {_AGAIN}")
    return metrics


def _walk(node: Any, where: str = "") -> Iterator[tuple[str, dict]]:
    """Yield every interval below a node with its dotted name."""
    if isinstance(node, dict):
        if "value" in node:
            yield where, node
        for key, child in node.items():
            yield from _walk(child, f"{where}.{key}".lstrip("."))


def _interval(node: Any, *keys: str) -> Interval | None:
    """Follow the keys to an interval; None where anything on the way is null or missing.

    A rate that is not told apart by kind may stand where its kinds would: the search ends there.
    """
    for key in keys:
        if "value" in _mapping(node):
            break
        node = _mapping(node).get(key)
    node = _mapping(node)
    if not _finite(node.get("value")):
        return None
    bounds = (node.get("low"), node.get("high"))
    low, high = bounds if all(map(_finite, bounds)) else (None, None)
    return {"value": node["value"], "low": low, "high": high}


def _mapping(node: Any) -> dict[str, Any]:
    """What is null, missing or no mapping counts as empty."""
    return node if isinstance(node, dict) else {}


def _finite(number: Any) -> bool:
    return isinstance(number, int | float) and math.isfinite(number)


def format_rate(interval: Interval | None) -> str:
    """Write a rate as a percentage with its interval.

    Parameters
    ----------
    interval
        ``value``, ``low`` and ``high`` as fractions; the bounds, or all of it, may be None.

    Returns
    -------
    str
        For example "12.3 % [10.1, 14.6]" (no-break spaces inside number and brackets), two decimals
        where the whole interval lies below 1 %, and "not measured" for None.
    """
    if interval is None:
        return "not measured"
    return f"{_value(interval)} {_bounds(interval)}".rstrip()


def format_number(interval: Interval | None) -> str:
    """Write a plain number with its interval, such as "0.41 [0.36, 0.47]".

    Parameters
    ----------
    interval
        As in `format_rate`.
    """
    if interval is None:
        return "not measured"
    return f"{_number(interval)} {_number_bounds(interval)}".rstrip()


def _number(interval: Interval) -> str:
    return f"{interval['value']:.2f}"


def _number_bounds(interval: Interval) -> str:
    if interval["low"] is None:
        return ""
    return f"[{interval['low']:.2f},\u00a0{interval['high']:.2f}]"


def _decimals(interval: Interval) -> int:
    return 2 if max(interval["value"], interval["high"] or 0) < 0.01 else 1


def _value(interval: Interval) -> str:
    return f"{100 * interval['value']:.{_decimals(interval)}f}\u00a0%"


def _bounds(interval: Interval) -> str:
    if interval["low"] is None:
        return ""
    low, high = (f"{100 * interval[key]:.{_decimals(interval)}f}" for key in ("low", "high"))
    return f"[{low},\u00a0{high}]"


def answer(metrics: Mapping[str, Any]) -> str:
    """Answer the report's question in one sentence.

    "Largely" where both error rates stay below 5 % with their whole intervals, "not shown" where
    the EER's interval reaches chance (50 %), "partly" between.

    Parameters
    ----------
    metrics
        Content of metrics.json.

    Returns
    -------
    str
        A sentence; it says so where forged or genuine pairs were missing.
    """
    row = _reference_rows(_results(metrics))[0]
    fmr, fnmr, eer = row["fmr_skilled"], row["fnmr"], row["eer_skilled"]
    if fmr is None or fnmr is None:
        return "This study does not tell: the test had no skilled forgeries or no genuine pairs."

    def upper(interval: Interval) -> float:
        return interval["value"] if interval["high"] is None else interval["high"]

    if eer is not None and upper(eer) >= 0.5:
        verdict = "Not shown"
    elif max(upper(fmr), upper(fnmr)) < 0.05:
        verdict = "Largely"
    else:
        verdict = "Partly"
    beside = f"; its EER is {format_rate(eer)}" if eer else ""
    return (
        f"{verdict}: with {_plural(row['references'], 'reference')} and the threshold fixed on "
        f"validation writers, it accepts {format_rate(fmr)} of skilled forgeries (FMR) and rejects "
        f"{format_rate(fnmr)} of genuine signatures (FNMR){beside}."
    )


def _results(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    return metrics["test"]["references"]


def _plural(count: int, noun: str) -> str:
    return f"one {noun}" if count == 1 else f"{count:,} {noun}s"


def _reference_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per number of references, ascending."""
    return [
        {
            "references": int(count),
            "fmr_skilled": _interval(results[count], "fmr", "skilled"),
            "fmr_random": _interval(results[count], "fmr", "random"),
            "fnmr": _interval(results[count], "fnmr"),
            "eer_skilled": _interval(results[count], "eer", "skilled"),
            "eer_random": _interval(results[count], "eer", "random"),
            "eer_per_writer": _interval(results[count], "eer_per_writer", "skilled"),
            "auc_skilled": _interval(results[count], "auc", "skilled"),
            "cllr": _interval(results[count], "cllr", "skilled"),
        }
        for count in sorted(results, key=int)
    ]


def _tiles(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": "Skilled forgeries accepted",
            "short": "FMR",
            "long": "false match rate",
            "note": "at the threshold fixed on validation writers",
            "interval": row["fmr_skilled"],
        },
        {
            "name": "Genuine signatures rejected",
            "short": "FNMR",
            "long": "false non-match rate",
            "note": "at the same threshold",
            "interval": row["fnmr"],
        },
        {
            "name": "Where both are equal",
            "short": "EER",
            "long": "equal error rate",
            "note": "at a threshold that the test pairs pick themselves: to compare with papers",
            "interval": row["eer_skilled"],
        },
    ]


def _shortcut_rows(shortcuts: Any) -> list[dict[str, Any]]:
    """One row per probe, as far as they were measured."""
    return [
        {
            "stage": STAGES[stage],
            "probe": probe_name(stage, name),
            "auc": _interval(probe, "auc"),
            "audit": _interval(probe, "audit", "auc"),
            "eer": _interval(probe, "eer", "skilled"),
            "finding": _finding(probe),
        }
        for stage in STAGES
        for name, probe in _mapping(_mapping(shortcuts).get(stage)).items()
        if isinstance(probe, dict) and "auc" in probe
    ]


def _finding(probe: dict[str, Any]) -> str:
    """Take the study's own word, corrected for the number of probes, before the plain interval."""
    auc = _interval(probe, "auc")
    if auc is None or auc["low"] is None:
        return "not measured"
    if _mapping(probe.get("audit")).get("verdict") == "flagged":
        return "flagged"  # on the training and validation writers, who are more
    plain = "at chance" if auc["high"] < CHANCE_AUC else "inconclusive"
    return probe.get("verdict") or ("flagged" if auc["low"] > CHANCE_AUC else plain)


def flatten(node: Any, name: str = "") -> list[tuple[str, str]]:
    """Turn nested settings into rows of dotted names and short texts."""
    if isinstance(node, dict):
        below = ((f"{name}.{key}".lstrip("."), child) for key, child in node.items())
        return [row for key, child in below for row in flatten(child, key)]
    if isinstance(node, list):
        more = f", … ({len(node)} in all)" if len(node) > 12 else ""
        return [(name, ", ".join(map(str, node[:12])) + more)]
    return [(name, str(node))]


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _provenance(metrics: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    provenance, encoder, validation = (
        _mapping(metrics.get(part)) for part in ("provenance", "encoder", "validation")
    )
    test = metrics["test"]
    thresholds = {
        count: f"{entry['threshold']:.4g}"
        for count, entry in _mapping(validation.get("references")).items()
        if count.isdecimal() and _finite(_mapping(entry).get("threshold"))
    }
    facts = [
        ("dataset", metrics.get("dataset")),
        ("seed", metrics.get("seed", provenance.get("seed"))),
        ("encoder", encoder.get("name")),
        ("encoder's parameters", _count(encoder.get("parameters"))),
        (
            f"parameters of whitening{' and cohort' if _has_cohort(metrics) else ''}",
            _count(encoder.get("whitening")),
        ),
        ("validation writers", _count(validation.get("writers"))),
        ("test writers", _count(test.get("writers"))),
        *((f"threshold, {_plural(int(n), 'reference')}", text) for n, text in thresholds.items()),
    ]
    seconds = _mapping(provenance.get("seconds"))
    return {
        "facts": [(name, str(value)) for name, value in facts if value not in (None, "")],
        "seconds": [(step, _duration(s)) for step, s in seconds.items() if _finite(s)],
        **{
            part: flatten(_mapping(provenance.get(part)))
            for part in ("parameters", "versions", "threads", "inputs")
        },
    }


def _count(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int) else ""


def _command(study: str, dataset: str) -> str:
    """A study that is not named like its dataset is a run of the dataset's own study."""
    run = "" if study == dataset or not dataset else f" RUN={shlex.quote(study)} PARAMS=…"
    return f"make report STUDY={shlex.quote(dataset or study)}{run}"


# --------------------------------------------------------------------------- tables and words


def error_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Error rates with their intervals, to be read.

    Parameters
    ----------
    results
        ``test.references`` of metrics.json: number of references -> what `metrics.evaluate` gives.

    Returns
    -------
    DataFrame
        One row per number of references, ascending; texts such as "12.3 % [10.1, 14.6]".
    """
    rates = {
        "FMR, skilled": "fmr_skilled",
        "FMR, random": "fmr_random",
        "FNMR": "fnmr",
        "EER, skilled": "eer_skilled",
        "EER, random": "eer_random",
        "EER, mean of writers": "eer_per_writer",
    }
    rows = _reference_rows(results)
    return pd.DataFrame(
        [
            {name: _or_dash(row[key], format_rate) for name, key in rates.items()}
            | {"AUC, skilled": _or_dash(row["auc_skilled"], format_number)}
            | {"Cllr": _or_dash(row["cllr"], format_number)}
            for row in rows
        ],
        index=pd.Index([row["references"] for row in rows], name="references"),
    )


def shortcut_table(shortcuts: Mapping[str, Any]) -> pd.DataFrame:
    """What each probe reaches without comparing anything, to be read.

    Parameters
    ----------
    shortcuts
        ``shortcuts`` of metrics.json: "raw" and "canvas" -> probe -> ``auc`` and ``eer``.

    Returns
    -------
    DataFrame
        One row per probe.
    """
    columns = ["images", "probe", "AUC", "EER, shortcut alone", "finding"]
    rows = [
        (
            row["stage"],
            row["probe"],
            _or_dash(row["auc"], format_number),
            _or_dash(row["eer"], format_rate),
            row["finding"],
        )
        for row in _shortcut_rows(shortcuts)
    ]
    return pd.DataFrame(rows, columns=columns).set_index("images")


def _or_dash(interval: Interval | None, write: Callable[[Interval], str]) -> str:
    return "–" if interval is None else write(interval)


def quality_in_words(quality: Mapping[str, Any]) -> str:
    """Say what was unusable and what was a copy, from ``quality`` of metrics.json.

    Parameters
    ----------
    quality
        ``images`` (used), ``left_out`` (reason -> files), ``exact`` and ``near`` (what
        `shortcuts.copy_counts` gives).
    """
    left_out = sum(quality["left_out"].values())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in quality["left_out"].items())
    sentences = [
        f"{quality['images']:,} images are used; "
        + (f"{left_out:,} are left out ({reasons})." if left_out else "none is left out.")
    ]
    for name, which in (("exact", "repeat another byte for byte"), ("near", "nearly copy another")):
        of = quality[name]
        crossing = [
            f"{of[bound]:,} of them across {bound.removeprefix('across_')}"
            for bound in ("across_writers", "across_kinds", "across_splits")
            if of[bound]
        ]
        where = f": {', '.join(crossing)}" if crossing else ""
        sentences.append(f"{of['files'] or 'None'} {which}{where}.")
    return " ".join(sentences)


def findings(metrics: Mapping[str, Any]) -> str:
    """Say in a few Markdown points what a study found.

    Parameters
    ----------
    metrics
        Content of metrics.json.
    """
    rows = _reference_rows(metrics["test"]["references"])
    one, most = rows[0], rows[-1]
    published = _interval(metrics["test"].get("published"), "eer", "skilled")
    points = [f"**{answer(metrics)}**"]
    if most is not one and most["fmr_skilled"] and most["fnmr"]:
        points.append(
            f"With {most['references']} references: FMR {format_rate(most['fmr_skilled'])}, "
            f"FNMR {format_rate(most['fnmr'])}."
        )
    if one["fmr_random"]:
        points.append(f"Random forgeries accepted: {format_rate(one['fmr_random'])}.")
    if published:
        points.append(f"By the published protocol, one reference: EER {format_rate(published)}.")
    alone = [row for row in _shortcut_rows(metrics.get("shortcuts")) if row["probe"] == ALL_PROBES]
    points += [
        f"Without comparing anything, from the {row['stage']} alone: EER {format_rate(row['eer'])}."
        for row in alone
        if row["eer"]
    ]
    return "\n".join(f"- {point}" for point in points)


DEMONSTRATED = (
    ("naive", "as_is", "Naive recipe", "files as they are; epoch and threshold picked by the test"),
    ("naive", "one_paper", "the same network", "every test image redrawn on one paper"),
    ("naive", "swapped", "the same network", "genuine on the forgeries' paper and the reverse"),
    ("stroke_blind", "raw", "No comparison", "size, paper and encoding of the questioned file"),
    ("deepsign", "eer", "DeepSign", "ink alone; epoch and threshold from validation writers"),
    ("stroke_blind", "canvas", "No comparison", "the questioned file's cleaned canvas"),
)
"""The rows of the demonstration's table: where the EER stands, who decides, what it sees."""


def _demonstrated(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"verifier": verifier, "sees": sees, "eer": _interval(measured, part, name)}
        for part, name, verifier, sees in DEMONSTRATED
    ]


def demonstration_table(measured: Mapping[str, Any]) -> pd.DataFrame:
    """The demonstration's error rates, to be read.

    Parameters
    ----------
    measured
        ``demonstration`` of its metrics.json.

    Returns
    -------
    DataFrame
        One row per verifier: what decides, what it sees, the EER on the test pairs.
    """
    rows = [
        (row["verifier"], row["sees"], _or_dash(row["eer"], format_rate))
        for row in _demonstrated(measured)
    ]
    return pd.DataFrame(rows, columns=["verifier", "sees", "EER"]).set_index("verifier")


def conclusion(findings: Mapping[str, Any]) -> str:
    """Say what the naive figure was worth: "mostly paper", "partly paper" or "not shown".

    Parameters
    ----------
    findings : mapping
        `demonstration` of metrics.json: "naive" with the EERs `as_is`, `one_paper` and `swapped`,
        each with its interval.

    Returns
    -------
    str
        "mostly paper" if with the papers swapped the network is worse than chance, whole interval
        above 50 %: it then goes by the paper even against the strokes. "partly paper" if on one
        paper its EER rises, intervals apart. Else "not shown".
    """
    naive = findings["naive"]
    if naive["swapped"]["low"] > 0.5:
        return "mostly paper"
    apart = naive["one_paper"]["low"] > naive["as_is"]["high"]
    return "partly paper" if apart else "not shown"


def demonstration_answer(measured: Mapping[str, Any]) -> str:
    """Say in a few sentences how much of the naive figure was paper.

    Parameters
    ----------
    measured
        ``demonstration`` of its metrics.json.
    """
    naive = {name: format_rate(eer) for name, eer in measured["naive"].items()}
    verdict = {
        "mostly paper": "Mostly paper",
        "partly paper": "In part paper",
        "not shown": "Not shown to be paper",
    }[conclusion(measured)]
    ours = measured["deepsign"]
    return (
        f"{verdict}: the naive recipe reports an EER of {naive['as_is']}. On one paper for all the "
        f"same network has {naive['one_paper']}; with the papers swapped, {naive['swapped']}. A "
        "verifier that sees no stroke and no reference reaches "
        f"{format_rate(measured['stroke_blind']['raw'])} on the same pairs. DeepSign, which sees "
        f"the ink alone, has {format_rate(ours['eer'])}, and there a verifier without a reference "
        f"has {format_rate(measured['stroke_blind']['canvas'])}."
    )


def demonstration_findings(metrics: Mapping[str, Any]) -> str:
    """Say in a few Markdown points what the demonstration found.

    Parameters
    ----------
    metrics
        Content of its metrics.json.
    """
    ours = metrics["demonstration"]["deepsign"]
    flagged = _flagged(_shortcut_rows(metrics["shortcuts"]))
    points = [
        f"**{demonstration_answer(metrics['demonstration'])}**",
        f"At the threshold fixed on validation writers DeepSign accepts {format_rate(ours['fmr'])} "
        f"of skilled forgeries and rejects {format_rate(ours['fnmr'])} of genuine signatures.",
        f"Shortcuts flagged on the test writers: {', '.join(flagged) or 'none'}.",
    ]
    return "\n".join(f"- {point}" for point in points)


def model_card(metrics: Mapping[str, Any]) -> str:
    """Write the card of a trained model: what it is for, how well it does, what it can't do.

    Parameters
    ----------
    metrics
        Content of metrics.json.

    Returns
    -------
    str
        Markdown.
    """
    return _render(
        "card.md.j2",
        **_context(metrics),
        errors=error_table(_results(metrics)).reset_index(),
        probes=shortcut_table(metrics.get("shortcuts") or {}).reset_index(),
    )


# -------------------------------------------------------------------------------- notebooks


def _chapters(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Convert the notebooks, in order, in one process.

    Returns
    -------
    chapters
        ``number``, ``title``, ``sections`` (id, title) and ``body`` (HTML) of each.
    figures
        All figures in order, as `_figure` describes them.
    """
    exporter = HTMLExporter(
        config=Config(
            NbConvertBase={
                "display_data_priority": [*FIGURE_TYPES, "text/html", "text/markdown", "text/plain"]
            },
        ),
        template_name=TEMPLATE_FOLDER.name,
        extra_template_basedirs=[str(TEMPLATE_FOLDER.parent)],
        template_file="chapter.html.j2",
        exclude_anchor_links=True,
        filters={"clean": _clean},
    )
    exporter.environment.autoescape = True
    anchors = {path.name: f"#chapter-{number}" for number, path in enumerate(paths, 1)}
    chapters, figures = [], []
    for number, path in enumerate(paths, 1):
        notebook, found = _tidy(read_notebook(path), number)
        body, _ = exporter.from_notebook_node(notebook)
        title, sections, body = _arrange(body, number, anchors)
        # Pictures go in last: they are megabytes that no HTML parser need read.
        for figure in found:
            body = body.replace(figure["placeholder"], figure["source"])
        chapters.append(
            {"number": number, "title": title or path.stem, "sections": sections, "body": body}
        )
        figures += found
    return chapters, figures


def read_notebook(path: Path) -> NotebookNode:
    """Read an executed notebook.

    Raises
    ------
    DeepSignError
        If it is missing or damaged.
    """
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise DeepSignError(
            f"{path} is not a readable notebook ({type(error).__name__}). "
            "Delete it and run `make report` again: it is made anew."
        ) from error


def _tidy(notebook: NotebookNode, chapter: int) -> tuple[NotebookNode, list[dict[str, Any]]]:
    """Drop what only matters while a notebook runs, and describe its figures."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [c for c in notebook.cells if "hide" not in c.metadata.get("tags", [])]
    figures: list[dict[str, Any]] = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if _worth_showing(output)]
        for output in cell.outputs:
            kind = next((k for k in FIGURE_TYPES if k in output.get("data", {})), None)
            if output.output_type == "stream":
                # A progress bar overwrites its line: what it last said is enough.
                output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
            elif kind:
                figures.append(_figure(output, kind, f"{chapter}.{len(figures) + 1}"))
                output.metadata["figure"] = {
                    **figures[-1],
                    "source": figures[-1]["placeholder"],
                }
    return notebook, figures


def _worth_showing(output: NotebookNode) -> bool:
    if output.output_type == "stream":
        return output.name == "stdout" and bool(output.text.strip())
    caption = output.get("metadata", {}).get("deepsign", {}).get("role") == "caption"
    return not caption and WIDGET not in output.get("data", {})


def _figure(output: NotebookNode, kind: str, number: str) -> dict[str, Any]:
    """Describe a figure for the templates.

    An SVG becomes a data URI like any other picture: inside an <img> its ids clash with no other
    figure's and its scripts do not run.
    """
    content = output.data[kind]
    picture = content.encode() if kind == "image/svg+xml" else base64.b64decode(content)
    said = output.metadata.get("deepsign", {})
    plain = output.data.get("text/plain", "")
    plain = "" if plain.startswith("<") else plain
    width, height = _size(picture, kind)
    shown = output.metadata.get(kind, {}).get("width")
    if width and shown:  # a PNG has more pixels than it takes up on the page
        width, height = shown, round(height * shown / width)
    return {
        "number": number,
        "name": said.get("name") or "",
        "alt": said.get("alt") or plain or f"Figure {number}, not described",
        "caption": said.get("caption", ""),
        "source": f"data:{kind};base64,{base64.b64encode(picture).decode()}",
        "placeholder": f"figure:{number}:{hashlib.sha256(picture).hexdigest()}",
        "width": width,
        "height": height,
    }


def _size(picture: bytes, kind: str) -> tuple[int | None, int | None]:
    """Width and height in CSS pixels, so that the page does not jump while it loads."""
    if kind == "image/png" and picture[12:16] == b"IHDR":
        return struct.unpack(">II", picture[16:24])
    if kind == "image/svg+xml":
        tag = re.search(rb"<svg[^>]*>", picture)
        sides = re.findall(rb'\b(width|height)="([\d.]+)(pt|px)?"', tag[0] if tag else b"")
        found = {name: float(n) * (4 / 3 if unit == b"pt" else 1) for name, n, unit in sides}
        if len(found) == 2:
            return round(found[b"width"]), round(found[b"height"])
    return None, None


ALLOWED_ATTRIBUTES = {
    "*": ["class", "title"],
    "a": lambda _, name, value: name == "href" and not re.match(r"\s*(data|javascript):", value),
    "img": ["src", "alt", "width", "height"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan"],
}
ALLOWED_TAGS = frozenset(
    re.findall(
        r"\w+",
        """
        h1 h2 h3 h4 h5 h6 p div span br hr blockquote pre ul ol li dl dt dd details summary
        table caption colgroup col thead tbody tfoot tr th td
        a abbr b code del em i img kbd mark s small strong sub sup u
        """,
    )
)
CLEANER = bleach.Cleaner(
    tags=ALLOWED_TAGS,
    attributes=ALLOWED_ATTRIBUTES,
    protocols={"http", "https", "mailto", "data"},
    strip=True,
)


def _clean(html: str) -> Markup:
    """Keep text, tables and links; drop scripts, styles, event handlers, frames and remote images.

    What stands inside <script> and <style> goes too, which bleach would leave as text.
    """
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup(["script", "style", "template", "iframe", "object", "noscript", "title"]):
        tag.decompose()
    for image in soup("img"):
        if not image.get("src", "").startswith("data:image/"):
            image.decompose()
        elif not image.get("alt"):
            image["alt"] = "Picture, not described"
    return Markup(CLEANER.clean(str(soup)))


def _arrange(html: str, chapter: int, anchors: dict[str, str]) -> tuple[str, list, str]:
    """Fit a notebook into the page: its title out, headings one down, links and tables mended."""
    soup = BeautifulSoup(html, "html.parser")
    title, first = "", soup.find("h1")
    if first:
        title = re.sub(r"^(chapter\s+)?\d+\s*[.:·–—-]?\s+", "", _text(first), flags=re.I)
        first.decompose()
    sections, level = [], 2
    for count, heading in enumerate(soup.find_all(re.compile(r"^h[1-6]$")), 1):
        written = int(heading.name[1])
        level = min(written + 1, level + 1, 6)
        heading.name = f"h{level}"
        heading["id"] = f"chapter-{chapter}-{count}"
        if written <= 2:
            sections.append((heading["id"], _text(heading)))
    for link in soup.find_all("a"):
        _mend_link(link, anchors)
    for table in soup.find_all("table"):
        _mend_table(table)
    return title, sections, str(soup)


def _text(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _mend_link(link: Tag, anchors: dict[str, str]) -> None:
    """A link to a chapter's notebook leads to the chapter; one to a file here leads nowhere."""
    target = link.get("href", "")
    chapter = anchors.get(target.partition("#")[0].rpartition("/")[2])
    if chapter:
        link["href"] = chapter
    elif re.match(r"https?:|mailto:", target):
        link["rel"] = "noopener noreferrer"
    else:
        link.unwrap()


def _mend_table(table: Tag) -> None:
    """Make a pandas table accessible, right-align its numbers and mark it for sorting."""
    soup = BeautifulSoup("", "html.parser")
    table.wrap(soup.new_tag("div", attrs={"class": "scroll"}))
    head, body = table.find("thead"), table.find("tbody")
    if not head or not body:
        return
    if not body.find("tr"):
        names = ", ".join(filter(None, map(_text, _cells(head))))
        table.parent.replace_with(note := soup.new_tag("p", attrs={"class": "note"}))
        note.string = f"No rows. (Columns: {names})"
        return
    rows = head.find_all("tr")
    if len(rows) == 2 and _is_index_row(rows[0], rows[1]):
        for upper, lower in zip(_cells(rows[0]), _cells(rows[1]), strict=True):
            if _text(lower):
                upper.string = _text(lower)
        rows[1].decompose()
        rows = rows[:1]
    for cell in _cells(head):
        if not _text(cell):
            cell.name = "td"
        elif cell.name == "th":
            cell["scope"] = "colgroup" if cell.get("colspan") else "col"
    for cell in body.find_all("th"):
        cell["scope"] = "rowgroup" if cell.get("rowspan") else "row"
    grid = [_cells(row) for row in body.find_all("tr")]
    spans = any(cell.get("rowspan") or cell.get("colspan") for cell in _cells(table))
    if len(rows) == 1 and not spans and all(len(row) == len(_cells(rows[0])) for row in grid):
        table["data-sortable"] = ""
        columns = [c for c in zip(_cells(rows[0]), *grid, strict=True) if all(map(_numeric, c[1:]))]
        numbers = [cell for column in columns for cell in column]
    else:
        numbers = [cell for cell in body.find_all("td") if _numeric(cell)]
    for cell in numbers:
        cell["class"] = "num"


# A name such as 007 is no number.
NUMBER = re.compile(r"|–|nan|NaN|None|<NA>|[-−+]?(?!0\d)[\d.,]+(e[-+]?\d+)?\s*%?(\s*\[.*\])?")


def _numeric(cell: Tag) -> bool:
    return bool(NUMBER.fullmatch(_text(cell)))


def _cells(part: Tag) -> list[Tag]:
    return part.find_all(["th", "td"])


def _is_index_row(columns: Tag, index: Tag) -> bool:
    """Whether pandas put the index's name in a row of its own below the columns' names."""
    upper, lower = _cells(columns), _cells(index)
    return len(upper) == len(lower) and not any(
        _text(u) and _text(v) for u, v in zip(upper, lower, strict=True)
    )


# ------------------------------------------------------------------------------------ pages


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
        used = _mapping(_mapping(of.get("provenance")).get("parameters"))
        probe = _mapping(_mapping(of.get("shortcuts")).get("canvas")).get("stroke_width")
        rows.append(
            {
                "study": of["study"],
                "strokes": used.get("stroke_width"),
                "pen": _interval(probe, "auc"),
                **_reference_rows(_results(of))[0],
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
    notebooks
        Executed notebooks, in the order of the chapters. A chapter's title is the notebook's
        first heading. The figure whose ``metadata.deepsign.name`` is "headline" is shown at the
        top as well.
    metrics
        The study's metrics.json: the source of every number in the summary.
    output
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
    chapters, figures = _chapters([Path(path) for path in notebooks])
    html = _render(
        "report.html.j2",
        **_context(numbers),
        pens=_pens(
            numbers, metrics.parent.parent / counterpart(metrics.parent.name) / metrics.name
        ),
        headline_figure=next((f for f in figures if f["name"] == "headline"), None),
        chapters=chapters,
        provenance=_provenance(numbers),
    )
    if len(html) > SIZE_LIMIT:
        heavy = sorted(figures, key=lambda figure: -len(figure["source"]))[:3]
        names = ", ".join(figure["name"] or figure["number"] for figure in heavy)
        warnings.warn(
            f"{output} takes {len(html) / 1e6:.0f} MB, more than {SIZE_LIMIT / 1e6:.0f}. "
            f"Its heaviest figures: {names}.",
            stacklevel=2,
        )
    return _write(output, html)


def _has_cohort(metrics: Mapping[str, Any]) -> bool:
    parameters = _mapping(_mapping(metrics.get("provenance")).get("parameters"))
    return bool(parameters.get("cohort_share"))


def _context(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the report's summary and the model card say, from metrics.json alone."""
    rows = _reference_rows(_results(metrics))
    shortcuts = _shortcut_rows(metrics.get("shortcuts"))
    test, encoder = metrics["test"], _mapping(metrics.get("encoder"))
    writers = test.get("writers") if isinstance(test.get("writers"), int) else None
    pairs = [f"{_count(n)} {kind}" for kind, n in _mapping(test.get("pairs")).items() if _count(n)]
    parameters = _mapping(_mapping(metrics.get("provenance")).get("parameters"))
    return {
        "study": metrics["study"],
        "dataset": metrics.get("dataset") or "not named",
        "synthetic": "synthetic" in str(metrics.get("dataset")).lower(),
        "encoder": encoder.get("name") or "encoder",
        "weights": _count(encoder.get("parameters")),
        "whitening": _count(encoder.get("whitening")),
        "cohort": _has_cohort(metrics),
        "canvas": " x ".join(
            str(parameters[side])
            for side in ("canvas_height", "canvas_width")
            if side in parameters
        ),
        "seed": metrics.get("seed"),
        "writers": writers,
        "validation_writers": _mapping(metrics.get("validation")).get("writers"),
        "pairs": f"{', '.join(pairs)} pairs with one reference" if pairs else "",
        "answer": answer(metrics),
        "references": rows,
        "tiles": _tiles(rows[0]),
        "enrolled": ", ".join(
            [f"With {_plural(rows[0]['references'], 'reference')} per comparison"]
            + ([_plural(writers, "test writer")] if writers else [])
        ),
        "published": _interval(test.get("published"), "eer", "skilled"),
        "quality": quality_in_words(metrics["quality"]) if metrics.get("quality") else "",
        "shortcuts": shortcuts,
        "flagged": _flagged(shortcuts),
        "seen": _flagged([row for row in shortcuts if row["stage"] == STAGES["canvas"]]),
        "blind": next((r for r in reversed(shortcuts) if r["probe"] == ALL_PROBES), None),
        "command": _command(str(metrics["study"]), str(metrics.get("dataset") or "")),
    }


def _flagged(shortcuts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The flagged probes in plain words."""
    return [f"{row['probe']} ({row['stage']})" for row in shortcuts if row["finding"] == "flagged"]


def write_demonstration(notebook: Path, metrics: Path, output: Path) -> Path:
    """Write the report of the demonstration: its table and figure first, the notebook below.

    Parameters
    ----------
    notebook
        The executed notebook.
    metrics
        Its metrics.json: the source of every number at the top.
    output
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
    numbers = _read_json(Path(metrics))
    if "demonstration" not in numbers:
        raise DeepSignError(f"{metrics} lacks `demonstration`. {_AGAIN}")
    chapters, figures = _chapters([Path(notebook)])
    shortcuts = _shortcut_rows(numbers["shortcuts"])
    measured = numbers["demonstration"]
    html = _render(
        "demonstration.html.j2",
        study=numbers["study"],
        dataset=numbers["dataset"],
        planted=numbers["dataset"] == DEMONSTRATION,
        answer=demonstration_answer(measured),
        rows=_demonstrated(measured),
        ours=measured["deepsign"],
        writers=numbers["test"]["writers"],
        pairs=numbers["test"]["pairs"],
        flagged=_flagged(shortcuts),
        shortcuts=shortcuts,
        headline_figure=next((f for f in figures if f["name"] == "headline"), None),
        chapters=chapters,
        provenance=_provenance(numbers),
        command=_command(numbers["study"], DEMONSTRATION),
    )
    return _write(Path(output), html)


MATRIX_RATES = {
    "eer": ("EER", "equal error rate, at a threshold that the test pairs pick"),
    "fmr": ("FMR", "forgeries accepted at the threshold of the study that was trained on"),
    "fnmr": ("FNMR", "genuine signatures rejected at that same threshold"),
}


def write_matrix(measured: Path, output: Path) -> Path:
    """Write the report of the cross-dataset matrix, from its JSON alone.

    Parameters
    ----------
    measured
        What `matrix.measure` gave, as JSON.
    output
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
    content = _read_json(Path(measured))
    if not {"studies", "cells"} <= set(content):
        raise DeepSignError(f"{measured} lacks `studies` or `cells`. Run make matrix again.")
    names, cells = list(content["studies"]), content["cells"]
    html = _render(
        "matrix.html.j2",
        studies=content["studies"],
        figures=[_heat_map(names, cells, *item) for item in enumerate(MATRIX_RATES, 1)],
        rows=[
            {"trained": trained, "tested": tested, "writers": _mapping(cell).get("writers", 0)}
            | {rate: _interval(cell, rate) for rate in MATRIX_RATES}
            for trained, row in cells.items()
            for tested, cell in row.items()
        ],
        answer=matrix_answer(content),
    )
    return _write(Path(output), html)


def matrix_answer(content: Mapping[str, Any]) -> str:
    """Say in a sentence how far models carry from one dataset to another.

    Parameters
    ----------
    content
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
    table = pd.DataFrame(
        [[(_interval(cells[a][b], rate) or {}).get("value") for b in names] for a in names],
        index=names,
        columns=names,
    )
    drawing = plotting.render(plotting.cross_matrix(table, name))["image/svg+xml"].encode()
    width, height = _size(drawing, "image/svg+xml")
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
    reports_folder
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
            if "demonstration" in (numbers := _read_json(path)):
                demonstrations.append(_demonstration_row(path.parent, numbers))
            else:
                studies.append((path.parent, read_metrics(path)))
        except DeepSignError as error:
            broken.append((path.parent.name, str(error)))
    most = max((int(n) for _, m in studies for n in m["test"]["references"]), default=10)
    html = _render(
        "index.html.j2",
        studies=[_index_row(study, metrics, most) for study, metrics in studies],
        demonstrations=demonstrations,
        matrix=(folder / "matrix" / "index.html").exists(),
        capture=(folder / "capture" / "index.html").exists(),
        broken=broken,
        most=most,
    )
    return _write(folder / "index.html", html)


def _demonstration_row(folder: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    measured = metrics["demonstration"]
    return {
        "name": folder.name,
        "link": f"{quote(folder.name)}/index.html" if (folder / "index.html").exists() else None,
        "dataset": metrics.get("dataset") or "–",
        "naive": _interval(measured, "naive", "as_is"),
        "one_paper": _interval(measured, "naive", "one_paper"),
        "blind": _interval(measured, "stroke_blind", "raw"),
        "deepsign": _interval(measured, "deepsign", "eer"),
    }


def _index_row(folder: Path, metrics: Mapping[str, Any], most: int) -> dict[str, Any]:
    rows = _reference_rows(_results(metrics))
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


def figure(
    rendered: Mapping[str, str | bytes], alt: str, caption: str, number: int
) -> dict[str, Any]:
    """Describe a drawn figure for a page of `write_page`.

    Parameters
    ----------
    rendered
        From ``plotting.render``.
    alt, caption, number
        What stands for it and below it.
    """
    kind = next(kind for kind in FIGURE_TYPES if kind in rendered)
    content = rendered[kind]
    picture = content.encode() if isinstance(content, str) else content
    width, height = _size(picture, kind)
    source = f"data:{kind};base64,{base64.b64encode(picture).decode()}"
    return {
        "number": number,
        "alt": alt,
        "caption": caption,
        "source": source,
        "width": width,
        "height": height,
    }


def write_page(output: Path, template: str, **context: Any) -> Path:
    """Write a page in the reports' look from a template and what it needs: one file.

    Parameters
    ----------
    output
        The file to write.
    template
        Name of a file in ``TEMPLATE_FOLDER``.
    **context
        What the template names.

    Returns
    -------
    Path
        ``output``.
    """
    return _write(output, _render(template, **context))


def _render(template: str, **context: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE_FOLDER),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        value=_value, bounds=_bounds, number=_number, number_bounds=_number_bounds
    )
    environment.globals.update(inline=_inline)
    return environment.get_template(template).render(context)


def _inline(name: str) -> dict[str, str]:
    """A style or script for the page, with the hash by which the page's policy admits it."""
    text = (TEMPLATE_FOLDER / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": text, "hash": f"sha256-{digest}"}


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text)
    path.touch()  # even if nothing changed: Make compares times
    return path
