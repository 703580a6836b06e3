"""Numbers in words: rates with their intervals, sentences, tables."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from deepsign_utils.metrics import format_rate
from deepsign_utils.report.numbers import Interval, as_mapping, is_finite, read_interval
from deepsign_utils.shortcuts import probe_name
from deepsign_utils.shortcuts import verdict as verdict_on
from deepsign_utils.study.folders import ROOT
from deepsign_utils.study.parameters import PARAMETERS, draws_its_own, read_study, resolve

ALL_PROBES = "all together"
STAGES = {"raw": "raw files", "canvas": "cleaned canvas"}


def format_number(interval: Interval | None) -> str:
    """Write a plain number with its interval, such as "0.41 [0.36, 0.47]".

    Parameters
    ----------
    interval : Interval, optional
        As in `metrics.format_rate`.
    """
    if interval is None:
        return "not measured"
    return f"{write_number(interval)} {write_number_bounds(interval)}".rstrip()


def write_number(interval: Interval) -> str:
    """A value as a number of two decimals."""
    return f"{interval['value']:.2f}"


def write_number_bounds(interval: Interval) -> str:
    """Its interval as numbers."""
    if interval["low"] is None:
        return ""
    return f"[{interval['low']:.2f},\u00a0{interval['high']:.2f}]"


def answer(metrics: Mapping[str, Any]) -> str:
    """Answer the report's question in one sentence.

    "Largely" where both error rates stay below 5 % with their whole intervals, "not shown" where
    the EER's interval reaches chance (50 %), or a verifier that sees no stroke errs no more,
    "hardly" where it errs half of the time either way, "partly" between.

    Parameters
    ----------
    metrics : mapping
        Content of metrics.json.

    Returns
    -------
    str
        A sentence; it says so where forged or genuine pairs were missing.
    """
    row = reference_rows(results_of(metrics))[0]
    fmr, fnmr, eer = row["fmr_skilled"], row["fnmr"], row["eer_skilled"]
    if fmr is None or fnmr is None:
        return "This study does not tell: the test had no skilled forgeries or no genuine pairs."

    def upper(interval: Interval) -> float:
        return interval["value"] if interval["high"] is None else interval["high"]

    rows = shortcut_rows(metrics.get("shortcuts"))
    blind = blind_verifier([row for row in rows if row["stage"] == STAGES["canvas"]])
    blind_eer = blind["eer"] if blind else None
    sees_no_more = bool(eer and blind_eer and blind_eer["value"] <= eer["value"])
    if sees_no_more or (eer is not None and upper(eer) >= 0.5):
        verdict = "Not shown"
    elif max(upper(fmr), upper(fnmr)) < 0.05:
        verdict = "Largely"
    elif max(fmr["value"], fnmr["value"]) >= 0.5:  # as a coin would err
        verdict = "Hardly"
    else:
        verdict = "Partly"
    beside = f"; its EER is {format_rate(eer)}" if eer else ""
    if sees_no_more:
        beside += f", and that of a verifier which sees no stroke {format_rate(blind_eer)}"
    return (
        f"{verdict}: with {plural(row['references'], 'reference')} and the threshold fixed on "
        f"validation writers, it accepts {format_rate(fmr)} of skilled forgeries (FMR) and rejects "
        f"{format_rate(fnmr)} of genuine signatures (FNMR){beside}."
    )


def results_of(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Test results by number of references."""
    return metrics["test"]["references"]


def plural(count: int, noun: str) -> str:
    """A count and its noun, such as "one writer" or "2 writers"."""
    return f"one {noun}" if count == 1 else f"{count:,} {noun}s"


def reference_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per number of references, ascending."""
    return [
        {
            "references": int(count),
            "fmr_skilled": read_interval(results[count], "fmr", "skilled"),
            "fmr_random": read_interval(results[count], "fmr", "random"),
            "fnmr": read_interval(results[count], "fnmr"),
            "eer_skilled": read_interval(results[count], "eer", "skilled"),
            "eer_random": read_interval(results[count], "eer", "random"),
            "eer_per_writer": read_interval(results[count], "eer_per_writer", "skilled"),
            "auc_skilled": read_interval(results[count], "auc", "skilled"),
            "cllr": read_interval(results[count], "cllr", "skilled"),
            "cllr_min": read_interval(results[count], "cllr_min", "skilled"),
        }
        for count in sorted(results, key=int)
    ]


def tiles(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The three numbers at the head of a report."""
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


def shortcut_rows(shortcuts: Any) -> list[dict[str, Any]]:
    """One row per probe, as far as they were measured."""
    return [
        {
            "stage": STAGES[stage],
            "probe": probe_name(stage, name),
            "auc": read_interval(probe, "auc"),
            "audit": read_interval(probe, "audit", "auc"),
            "eer": read_interval(probe, "eer", "skilled"),
            "finding": _finding(probe),
        }
        for stage in STAGES
        for name, probe in as_mapping(as_mapping(shortcuts).get(stage)).items()
        if isinstance(probe, dict) and "auc" in probe
    ]


def blind_verifier(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Of `shortcut_rows`, what all probes tell together of what the network sees."""
    return next((row for row in reversed(rows) if row["probe"] == ALL_PROBES), None)


def _finding(probe: dict[str, Any]) -> str:
    auc = read_interval(probe, "auc")
    if auc is None or auc["low"] is None or auc["high"] is None:
        return "not measured"
    if as_mapping(probe.get("audit")).get("verdict") == "flagged":
        return "flagged"  # on the training and validation writers, who are more
    return str(probe.get("verdict") or verdict_on(auc["high"], auc["low"]))


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


def provenance_rows(metrics: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """What made a study, as rows of name and value, by subject."""
    provenance, encoder, validation = (
        as_mapping(metrics.get(part)) for part in ("provenance", "encoder", "validation")
    )
    test = metrics["test"]
    thresholds = {
        count: f"{entry['threshold']:.4g}"
        for count, entry in as_mapping(validation.get("references")).items()
        if count.isdecimal() and is_finite(as_mapping(entry).get("threshold"))
    }
    facts = [
        ("dataset", metrics.get("dataset")),
        ("seed", metrics.get("seed", provenance.get("seed"))),
        ("encoder", encoder.get("name")),
        ("encoder's parameters", write_count(encoder.get("parameters"))),
        (
            f"parameters of whitening{' and cohort' if has_cohort(metrics) else ''}",
            write_count(encoder.get("whitening")),
        ),
        ("validation writers", write_count(validation.get("writers"))),
        ("test writers", write_count(test.get("writers"))),
        *((f"threshold, {plural(int(n), 'reference')}", text) for n, text in thresholds.items()),
    ]
    seconds = as_mapping(provenance.get("seconds"))
    return {
        "facts": [(name, str(value)) for name, value in facts if value not in (None, "")],
        "seconds": [(step, _duration(s)) for step, s in seconds.items() if is_finite(s)],
        **{
            part: flatten(as_mapping(provenance.get(part)))
            for part in ("parameters", "versions", "threads", "arithmetic", "images", "inputs")
        },
    }


def write_count(number: Any) -> str:
    """A whole number with thousands apart; empty if it is none."""
    return f"{number:,}" if isinstance(number, int) else ""


def command_for(metrics: Mapping[str, Any]) -> str:
    """The command that repeats a study: of the nearest study file, with what it ran with besides.

    That is the study's own file, or else its dataset's, or the default study's.
    """
    study, dataset = str(metrics["study"]), str(metrics.get("dataset") or "")
    recorded = as_mapping(as_mapping(metrics.get("provenance")).get("parameters"))
    # No command repeats chapters that ran with different values: the provenance lists them.
    used = {name: value for name, value in recorded.items() if not isinstance(value, dict)}
    studies = ROOT / "notebooks" / "studies"
    known = [name for name in (study, dataset) if name and (studies / f"{name}.yaml").is_file()]
    base = known[0] if known else str(PARAMETERS["dataset"].default)
    words = ["make", "report", f"STUDY={base}"]
    folder = used.pop("data_root", "")
    if folder:
        words.append(f"DATA={shlex.quote(f'…/{folder}')}")  # what lies above is not recorded
    if study != base:
        words.append(f"RUN={study}")
    usual = resolve(read_study(studies / f"{base}.yaml"))
    if folder and draws_its_own(usual["dataset"]):
        usual["dataset"] = folder
    changed = [
        _passed(name, value)
        for name, value in used.items()
        if name != "study" and name in usual and value != usual[name]
    ]
    if changed:
        given = " ".join(changed)
        plain = not set(given) & set('"$`!\\')  # to a shell, within double quotes
        words.append(f'PARAMS="{given}"' if plain else f"PARAMS={shlex.quote(given)}")
    return " ".join(words)


def _passed(name: str, value: Any) -> str:
    """A parameter as papermill takes it: a number by -p, a text by -r, any other as YAML by -y."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return f"-{'r' if isinstance(value, str) else 'p'} {name} {shlex.quote(str(value))}"
    return f"-y {shlex.quote(f'{name}: {json.dumps(value, ensure_ascii=False)}')}"


def error_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Error rates with their intervals, to be read.

    Parameters
    ----------
    results : mapping
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
    rows = reference_rows(results)
    return pd.DataFrame(
        [
            {name: _or_dash(row[key], format_rate) for name, key in rates.items()}
            | {"AUC, skilled": _or_dash(row["auc_skilled"], format_number)}
            | {"Cllr": _or_dash(row["cllr"], format_number)}
            | {"Cllr, minimum": _or_dash(row["cllr_min"], format_number)}
            for row in rows
        ],
        index=pd.Index([row["references"] for row in rows], name="references"),
    )


def coverage_table(coverage: Mapping[str, Any]) -> pd.DataFrame:
    """How many comparisons are decided where both errors may be at most 1, 2 and 5 %.

    Parameters
    ----------
    coverage : mapping
        ``test.coverage`` of metrics.json, from `scoring.coverage`.

    Returns
    -------
    DataFrame
        A row for each number of references and tolerance: what is decided of the genuine and of the
        skilled, and which errors were made; whole per cents as text, a dash where the validation
        pairs were too few to fix thresholds for so small an error.
    """
    rows = []
    for k, by_tolerance in coverage.items():
        for tolerance, found in by_tolerance.items():
            shares = {
                "genuine decided": found and found["decided"].get("genuine"),
                "skilled decided": found and found["decided"].get("skilled"),
                "FMR, skilled": found and found["fmr"].get("skilled"),
                "FNMR": found and found["fnmr"],
            }
            rows.append(
                {"references": int(k), "errors tolerated": f"{100 * float(tolerance):g} %"}
                | {n: "–" if v is None else f"{100 * v:.0f} %" for n, v in shares.items()}
            )
    return pd.DataFrame(rows).set_index(["references", "errors tolerated"])


def coverage_rows(coverage: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`coverage_table` as rows by column."""
    return coverage_table(coverage).reset_index().to_dict("records") if coverage else []


def pairs_to_show(scores: pd.DataFrame, canvas_of: Mapping[int, np.ndarray]) -> list[dict]:
    """Pairs of a score table as ``figures.pair_gallery`` takes them.

    Parameters
    ----------
    scores : DataFrame
        `left`, `right`, `kind`, `writer`, `score`.
    canvas_of : mapping
        Signature id -> canvas.
    """
    return [
        {
            "left": canvas_of[row.left],
            "right": canvas_of[row.right],
            "score": row.score,
            "kind": row.kind,
            "caption": f"writer {row.writer}",
        }
        for row in scores.itertuples()
    ]


def shortcut_table(shortcuts: Mapping[str, Any]) -> pd.DataFrame:
    """What each probe reaches without comparing anything, to be read.

    Parameters
    ----------
    shortcuts : mapping
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
        for row in shortcut_rows(shortcuts)
    ]
    return pd.DataFrame(rows, columns=columns).set_index("images")


def _or_dash(interval: Interval | None, write: Callable[[Interval], str]) -> str:
    return "–" if interval is None else write(interval)


def quality_in_words(quality: Mapping[str, Any]) -> str:
    """Say what was unusable and what was a copy, from ``quality`` of metrics.json.

    Parameters
    ----------
    quality : mapping
        ``images`` (used), ``left_out`` (reason -> files), ``exact`` and ``near`` (what
        `duplicates.copy_counts` gives).
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
    if quality["near"]["across_writers"]:
        sentences.append(
            "Of two near copies under different writers one label is wrong: chapter 1 names them, "
            "and the error rates count them as they are labelled."
        )
    return " ".join(sentences)


def findings(metrics: Mapping[str, Any]) -> str:
    """Say in a few Markdown points what a study found.

    Parameters
    ----------
    metrics : mapping
        Content of metrics.json.
    """
    rows = reference_rows(metrics["test"]["references"])
    one, most = rows[0], rows[-1]
    published = read_interval(metrics["test"].get("published"), "eer", "skilled")
    points = [f"**{answer(metrics)}**"]
    if most is not one and most["fmr_skilled"] and most["fnmr"]:
        points.append(
            f"With {most['references']} references: FMR {format_rate(most['fmr_skilled'])}, "
            f"FNMR {format_rate(most['fnmr'])}."
        )
    if one["fmr_random"]:
        points.append(f"Random forgeries accepted: {format_rate(one['fmr_random'])}.")
    parameters = as_mapping(as_mapping(metrics.get("provenance")).get("parameters"))
    asked = parameters.get("references")
    if isinstance(asked, list) and (unasked := {*asked} - {row["references"] for row in rows}):
        points.append(
            f"Nothing was asked with {' or '.join(map(str, sorted(unasked)))} references: no two "
            "test writers have more genuine signatures than that."
        )
    if published:
        points.append(
            f"Counted as published figures are, one reference: EER {format_rate(published)}."
        )
    alone = [row for row in shortcut_rows(metrics.get("shortcuts")) if row["probe"] == ALL_PROBES]
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


def demonstrated(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the demonstration's table."""
    return [
        {"verifier": verifier, "sees": sees, "eer": read_interval(measured, part, name)}
        for part, name, verifier, sees in DEMONSTRATED
    ]


def demonstration_table(measured: Mapping[str, Any]) -> pd.DataFrame:
    """The demonstration's error rates, to be read.

    Parameters
    ----------
    measured : mapping
        ``demonstration`` of its metrics.json.

    Returns
    -------
    DataFrame
        One row per verifier: what decides, what it sees, the EER on the test pairs.
    """
    rows = [
        (row["verifier"], row["sees"], _or_dash(row["eer"], format_rate))
        for row in demonstrated(measured)
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
    measured : mapping
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
    metrics : mapping
        Content of its metrics.json.
    """
    ours = metrics["demonstration"]["deepsign"]
    flagged = flagged_probes(shortcut_rows(metrics["shortcuts"]))
    points = [
        f"**{demonstration_answer(metrics['demonstration'])}**",
        f"At the threshold fixed on validation writers DeepSign accepts {format_rate(ours['fmr'])} "
        f"of skilled forgeries and rejects {format_rate(ours['fnmr'])} of genuine signatures.",
        f"Shortcuts flagged on the test writers: {', '.join(flagged) or 'none'}.",
    ]
    return "\n".join(f"- {point}" for point in points)


def has_cohort(metrics: Mapping[str, Any]) -> bool:
    """Whether the encoder takes out what writers share with a cohort."""
    parameters = as_mapping(as_mapping(metrics.get("provenance")).get("parameters"))
    return bool(parameters.get("cohort_share"))


def flagged_probes(shortcuts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The flagged probes in plain words."""
    return [f"{row['probe']} ({row['stage']})" for row in shortcuts if row["finding"] == "flagged"]
