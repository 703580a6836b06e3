"""The tables of README and docs, written from what was measured: nobody types a result.

A document holds each table between two marks, `<!-- deepsign document: NAME -->` and
`<!-- end -->`. What stands between them is written anew; the rest is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from deepsign_utils import DeepSignError, report
from deepsign_utils.runs.reproduce import EXPECTED
from deepsign_utils.study.artefacts import write_atomically
from deepsign_utils.study.folders import DEMONSTRATION, PRETRAINED, ROOT
from deepsign_utils.study.parameters import PARAMETERS, Parameter

CARD = PRETRAINED / "card.md"
BENCH = ROOT / "docs" / "bench.json"
ERRORS = ["FMR, skilled", "FMR, random", "FNMR", "EER, skilled", "EER, random", "Cllr"]
_PLACE = re.compile(
    r"(?P<begin><!-- deepsign document: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def parameters() -> pd.DataFrame:
    """Every parameter of a study: its default, what it may be, and what it means."""
    return pd.DataFrame(
        {
            "default": [f"`{p.default!r}`" for p in PARAMETERS.values()],
            "may be": [_may_be(p) for p in PARAMETERS.values()],
            "meaning": [p.help.replace("<", "&lt;") for p in PARAMETERS.values()],
        },
        index=pd.Index([f"`{name}`" for name in PARAMETERS], name="name"),
    )


_KINDS = {
    "int": "whole number",
    "float": "number",
    "str": "text",
    "list": "list of whole numbers",
    "object": "share, part such as `2/5`, or list",
}


def _may_be(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    bounds = [
        f"{word} {bound:.10g}"
        for word, bound in (("from", parameter.minimum), ("to", parameter.maximum))
        if bound is not None
    ]
    return " ".join([_KINDS[parameter.type], *bounds])


def promised() -> pd.DataFrame:
    """What the shipped model promises people whom nobody measured, from its card."""
    return _of_card("threshold")


def judged() -> pd.DataFrame:
    """The shipped model on each set of real signatures, by what the others promise."""
    return _of_card("set")


def judged_briefly() -> pd.DataFrame:
    """`judged` with one and five references, without the evidence's cost."""
    table = judged()
    table = table[table["references"].isin(["1", "5"])]
    return table.loc[:, [name for name in table if not name.startswith("Cllr")]]


def _of_card(column: str) -> pd.DataFrame:
    """The last table of the shipped model's card that has some column, as text."""
    blocks = re.findall(r"(?:^\|.*\n)+", CARD.read_text(encoding="utf-8"), re.MULTILINE)
    for block in reversed(blocks):
        head, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        if column in head:
            table = pd.DataFrame(rows, columns=head)
            return table.set_index(head[0])
    raise DeepSignError(f"{CARD} has no table with a column {column}.")


def errors() -> pd.DataFrame:
    """Error rates of every published study, by number of references."""
    tables = []
    for name, metrics in _published():
        if "references" in metrics["test"]:
            table = report.error_table(metrics["test"]["references"])[ERRORS].reset_index()
            table.insert(0, "test writers", metrics["test"]["writers"])
            tables.append(table.set_axis([f"`{name}`"] * len(table)))
    return pd.concat(tables).rename_axis("study")


def shortcuts() -> pd.DataFrame:
    """What a verifier reaches without comparing anything, in every published study."""
    tables = {
        f"`{name}`": report.shortcut_table(metrics["shortcuts"]).reset_index()
        for name, metrics in _published()
    }
    return pd.concat(tables, names=["study", ""]).droplevel(1)


def demonstration() -> pd.DataFrame:
    """The naive recipe beside DeepSign's, as published of the demonstration."""
    return report.demonstration_table(dict(_published())[DEMONSTRATION]["demonstration"])


def bench_ratios() -> pd.DataFrame:
    """The ratios that `make bench` measured, beside what they should reach."""
    bench = _bench()
    rows = [
        (bench["labels"]["ratios"][key], f"{value:.2f}", f"{bench['targets'].get(key, '')}")
        for key, value in bench["ratios"].items()
    ]
    return pd.DataFrame(rows, columns=["ratio", "measured", "target"]).set_index("ratio")


def bench_values() -> pd.DataFrame:
    """What the ratios are made of, and what a user waits for."""
    return _labelled(_bench(), "values")


def bench_plan() -> pd.DataFrame:
    """What ten thousand writers and a thousand runs take on that machine."""
    return _labelled(_bench(), "plan")


def bench_machine() -> pd.DataFrame:
    """The machine that `make bench` ran on."""
    bench = _bench()
    facts = [*report.flatten(bench["machine"]), ("minutes", f"{bench['seconds'] / 60:.1f}")]
    return pd.DataFrame(facts, columns=["machine", ""]).set_index("machine")


def _bench() -> dict[str, Any]:
    return json.loads(BENCH.read_text(encoding="utf-8"))


def _labelled(bench: dict[str, Any], part: str) -> pd.DataFrame:
    rows = [
        (
            label,
            f"{bench[part][key]:,.0f}" if bench[part][key] >= 100 else f"{bench[part][key]:.3g}",
        )
        for key, label in bench["labels"][part].items()
    ]
    return pd.DataFrame(rows, columns=["what", "measured"]).set_index("what")


def _published() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(EXPECTED.glob("*.json")):
        yield file.stem, json.loads(file.read_text(encoding="utf-8"))


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "parameters": parameters,
    "promised": promised,
    "judged": judged,
    "judged-briefly": judged_briefly,
    "errors": errors,
    "shortcuts": shortcuts,
    "demonstration": demonstration,
    "bench-ratios": bench_ratios,
    "bench-values": bench_values,
    "bench-plan": bench_plan,
    "bench-machine": bench_machine,
}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def written(text: str) -> str:
    """A document's text with its tables as they have to be.

    Raises
    ------
    DeepSignError
        For a mark with a name that is no table's.
    """

    def table(place: re.Match) -> str:
        if place["name"] not in TABLES:
            raise DeepSignError(f"No table is called {place['name']}: {', '.join(TABLES)}.")
        return place["begin"] + "\n" + _markdown(TABLES[place["name"]]()) + "\n" + place["end"]

    return _PLACE.sub(table, text)


def document() -> list[Path]:
    """Write the tables of all documents; return the files that changed."""
    changed = []
    for file in DOCUMENTS:
        text = file.read_text(encoding="utf-8")
        if (new := written(text)) != text:
            write_atomically(file, new)
            changed.append(file)
    return changed


def _markdown(table: pd.DataFrame) -> str:
    """A table of texts in Markdown, its index in the first column, what repeats left out."""
    rows = table.reset_index().astype(str)
    numbers = rows.map(lambda text: bool(re.match(r"[\d–]", text))).all()
    lines = [list(rows), ["--:" if number else "---" for number in numbers]]
    lines += rows.replace(r"\|", r"\\|", regex=True).to_numpy().tolist()
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
