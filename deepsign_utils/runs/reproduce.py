"""Published numbers of a study, and whether a rerun reaches them again.

What is published is the study's metrics.json without its times, kept in
``notebooks/studies/expected/<study>.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deepsign_utils import DeepSignError
from deepsign_utils.report import read_notebook
from deepsign_utils.study.artefacts import write_json
from deepsign_utils.study.folders import ROOT
from deepsign_utils.study.parameters import draws_its_own

EXPECTED = ROOT / "notebooks" / "studies" / "expected"
TIMED = "timed"  # tag of cells that show how long something took
MADE_WITH = ("versions", "threads", "processor")
_PASSED = "within tolerance"
_FREE = ("study",)  # a rerun has a folder of its own


class Difference(NamedTuple):
    """A number that differs: its dotted name, as published, as found, and whether that matters."""

    name: str
    published: Any
    found: Any
    matters: bool

    @property
    def is_rate(self) -> bool:
        """Whether it has an interval to lie in."""
        return self.name.endswith(".value")


class Comparison(NamedTuple):
    """A rerun against what was published.

    Attributes
    ----------
    numbers : int
        How many were compared.
    made_with : list of Difference
        Versions, threads and processor that differ. Without any, every number must be equal.
    differences : list of Difference
        Numbers, parameters and input hashes that differ.
    """

    numbers: int
    made_with: list[Difference]
    differences: list[Difference]

    @property
    def same(self) -> bool:
        """Whether no difference matters."""
        return not any(difference.matters for difference in self.differences)

    def in_words(self) -> list[str]:
        """What was compared how, every difference, and the verdict: a sentence each."""
        if self.made_with:
            lines = ["Made differently:"]
            lines += [
                f"  {d.name}: {d.published!r} published, {d.found!r} here" for d in self.made_with
            ]
            lines += [
                "so a rate need only lie inside its published 95 % interval, counts must be equal, "
                "and what belongs to one trained network (such as its thresholds) is only listed."
            ]
        else:
            lines = ["Made with the same versions, threads and processor: all must be equal."]
        for d in self.differences:
            verdict = "DIFFERS" if d.matters else _PASSED if d.is_rate else "listed only"
            lines.append(f"  {d.name}: {d.published!r} published, {d.found!r} here: {verdict}")
        wrong = sum(d.matters for d in self.differences)
        equal = self.numbers - len(self.differences)
        within = sum(d.is_rate and not d.matters for d in self.differences)
        listed = len(self.differences) - wrong - within
        lines.append(
            f"{equal} of {self.numbers} equal, {within} {_PASSED}, {listed} listed only, "
            f"{wrong} not."
        )
        return lines


def check_recipe(metrics: Mapping[str, Any], study: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a run with other parameters, or other images, than its study's.

    Parameters
    ----------
    metrics : mapping
        Content of its metrics.json.
    study : str
        The study whose numbers these are to be.
    parameters : mapping
        The study's own, resolved.

    Raises
    ------
    DeepSignError
        If they differ; the message names the first.
    """
    used = metrics["provenance"]["parameters"]
    drawn = draws_its_own(parameters["dataset"])
    # Where the images of other studies lie is everybody's own business.
    free = {"study"} if drawn else {"study", "data_root"}
    for name in used.keys() - free:
        if used[name] != parameters[name]:
            raise DeepSignError(
                f"The run '{metrics['study']}' is not the study {study}: it ran with {name} "
                f"{used[name]!r}, the study has {parameters[name]!r}. Only the study's own numbers "
                f"are published: `make publish STUDY={study}`."
            )


def publish(metrics: Mapping[str, Any], study: str, folder: Path = EXPECTED) -> Path:
    """Write down a finished run's numbers as those that a rerun has to reach.

    Parameters
    ----------
    metrics : mapping
        Content of its metrics.json.
    study : str
        The study that was run: names the file.
    folder : Path
        Where to.

    Returns
    -------
    Path
        The file.
    """
    provenance = {key: of for key, of in metrics["provenance"].items() if key != "seconds"}
    file = folder / f"{study}.json"
    write_json(file, {**metrics, "provenance": provenance})
    return file


def read_published(study: str, folder: Path = EXPECTED) -> dict[str, Any]:
    """Read what was published of a study.

    Raises
    ------
    DeepSignError
        If nothing was, or the file is damaged.
    """
    file = folder / f"{study}.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["provenance"]["versions"], content["test"]
    except FileNotFoundError as error:
        known = ", ".join(sorted(path.stem for path in folder.glob("*.json"))) or "none"
        raise DeepSignError(
            f"Nothing is published of the study {study} ({file} is missing). Published: {known}. "
            f"`make publish STUDY={study}` publishes a finished run of a study that has a file in "
            "notebooks/studies."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeepSignError(f"{file} is damaged: take it from the repository again.") from error
    return content


def compare(published: Mapping[str, Any], found: Mapping[str, Any]) -> Comparison:
    """Compare a rerun's metrics with the published ones, number by number.

    Parameters
    ----------
    published, found
        As `publish` writes them and as metrics.json holds them. Where both were made with the same
        versions, threads and processor, everything must be equal. Else a number with an interval
        must lie inside the published interval; whole numbers and parameters must be equal; all
        else, such as thresholds and hashes, is listed only. An interval without any width (a probe
        that tells all apart, or nothing) says nothing: there the number's own one must hold the
        published number.
    """
    made = [
        dict(_leaves({k: m["provenance"].get(k) for k in MADE_WITH})) for m in (published, found)
    ]
    made_with = list(_differences(made[0], made[1], None))
    expected, numbers = (dict(_leaves(_numbers(metrics))) for metrics in (published, found))
    bounds = _bounds(published) if made_with else None
    if bounds:
        for name, (low, high) in _bounds(found).items():
            value, end = bounds.get(name, (0.0, 1.0))
            if value == end and low <= value <= high:
                bounds[name] = low, high
    return Comparison(
        len(expected.keys() | numbers.keys()),
        made_with,
        list(_differences(expected, numbers, bounds)),
    )


def compare_outputs(first: Path, again: Path) -> tuple[int, list[str]]:
    """Compare what the executed notebooks of two runs show, cell by cell.

    Pictures are left out, and so are cells that show times.

    Parameters
    ----------
    first, again : Path
        Folders of executed notebooks; those that are in both are compared.

    Returns
    -------
    compared : int
        Cells with an output in either run.
    differing : list of str
        Those whose outputs are not equal, such as "02_pairing, cell 02-11".

    Raises
    ------
    DeepSignError
        If a notebook is damaged.
    """
    compared, differing = 0, []
    for file in sorted(first.glob("[!.]*.ipynb")):
        if not (again / file.name).is_file():
            continue
        one, other = _outputs(file), _outputs(again / file.name)
        cells = [cell for cell in dict.fromkeys([*one, *other]) if one.get(cell) or other.get(cell)]
        compared += len(cells)
        differing += [f"{file.stem}, cell {c}" for c in cells if one.get(c) != other.get(c)]
    return compared, differing


def _outputs(notebook: Path) -> dict[str, list[dict[str, Any]]]:
    """What each code cell shows, pictures apart."""
    return {
        cell.id: [
            {k: v for k, v in output.get("data", output).items() if not k.startswith("image/")}
            for output in cell.outputs
        ]
        for cell in read_notebook(notebook).cells
        if cell.cell_type == "code" and TIMED not in cell.metadata.get("tags", [])
    }


def _numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared: all but the run's name, its times and what it was made with."""
    kept = {key: of for key, of in metrics.items() if key not in (*_FREE, "provenance")}
    made_of = ("seed", "parameters", "inputs")
    parameters = {key: metrics["provenance"].get(key) for key in made_of}
    parameters["parameters"] = {
        key: of for key, of in parameters["parameters"].items() if key not in (*_FREE, "data_root")
    }
    return kept | {"provenance": parameters}


def _leaves(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, child in node.items():
            yield from _leaves(child, f"{name}.{key}".lstrip("."))
    else:
        yield name, node


def _bounds(metrics: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Dotted name of every number with an interval -> the interval."""
    bounds: dict[str, tuple[float, float]] = {}

    def walk(node: Any, name: str) -> None:
        if isinstance(node, dict):
            if {"value", "low", "high"} <= node.keys() and None not in node.values():
                bounds[f"{name}.value"] = node["low"], node["high"]
            for key, child in node.items():
                walk(child, f"{name}.{key}".lstrip("."))

    walk(metrics, "")
    return bounds


def _differences(
    published: Mapping[str, Any],
    found: Mapping[str, Any],
    bounds: Mapping[str, tuple[float, float]] | None,
) -> Iterator[Difference]:
    """Leaves that differ; without `bounds` every difference matters."""
    missing = "nothing"
    for name in dict.fromkeys([*published, *found]):
        one, other = published.get(name, missing), found.get(name, missing)
        if one == other and type(one) is type(other):
            continue
        yield Difference(name, one, other, bounds is None or _matters(name, one, other, bounds))


def _matters(name: str, one: Any, other: Any, bounds: Mapping[str, Any]) -> bool:
    """Whether a difference is more than another machine's arithmetic explains."""
    if name in bounds:
        low, high = bounds[name]
        return not (isinstance(other, int | float) and low <= other <= high)
    if name.startswith("provenance.inputs."):  # of tables, whose bytes other versions write
        return False
    if name.startswith("provenance."):
        return True
    # Thresholds and ends of intervals; words such as a probe's verdict.
    return not (type(one) is type(other) and isinstance(one, float | str))
