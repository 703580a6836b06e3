"""The numbers of metrics.json, read and checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from deepsign_utils import DeepSignError
from deepsign_utils.study.artefacts import read_artefact


class Interval(TypedDict):
    """A rate and its interval; what could not be measured is None."""

    value: float
    low: float | None
    high: float | None


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a study's metrics.json and check what the report needs of it.

    Parameters
    ----------
    path : Path
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
    metrics = read_json(path)
    references = as_mapping(as_mapping(metrics.get("test")).get("references"))
    if not references or "study" not in metrics:
        raise DeepSignError(f"{path} lacks `study` or `test.references`. {AGAIN}")
    if not all(count.isdecimal() for count in references):
        raise DeepSignError(f"{path}: `test.references` must be keyed by whole numbers. {AGAIN}")
    return metrics


AGAIN = "Run the evaluation again: make report."


def read_json(path: Path) -> dict[str, Any]:
    """A metrics.json, of any kind of study, whose intervals are made of numbers."""
    metrics = as_mapping(read_artefact(path))
    parts = ("test", "shortcuts", "demonstration")
    for where, node in _walk({part: metrics[part] for part in parts if part in metrics}):
        numbers = (node.get(key) for key in ("value", "low", "high"))
        if not all(n is None or isinstance(n, int | float) for n in numbers):
            raise DeepSignError(f"{path}: `{where}` must hold numbers or null. {AGAIN}")
    return metrics


def _walk(node: Any, where: str = "") -> Iterator[tuple[str, dict]]:
    """Yield every interval below a node with its dotted name."""
    if isinstance(node, dict):
        if "value" in node:
            yield where, node
        for key, child in node.items():
            yield from _walk(child, f"{where}.{key}".lstrip("."))


def read_interval(node: Any, *keys: str) -> Interval | None:
    """Follow the keys to an interval; None where anything on the way is null or missing.

    A rate that is not told apart by kind may stand where its kinds would: the search ends there.
    """
    for key in keys:
        if "value" in as_mapping(node):
            break
        node = as_mapping(node).get(key)
    node = as_mapping(node)
    if not is_finite(node.get("value")):
        return None
    bounds = (node.get("low"), node.get("high"))
    low, high = bounds if all(map(is_finite, bounds)) else (None, None)
    return {"value": node["value"], "low": low, "high": high}


def as_mapping(node: Any) -> dict[str, Any]:
    """What is null, missing or no mapping counts as empty."""
    return node if isinstance(node, dict) else {}


def is_finite(number: Any) -> bool:
    """Whether it is a number, neither NaN nor infinite."""
    return isinstance(number, int | float) and math.isfinite(number)
