"""YAML whose values mean what they look like: the core schema of YAML 1.2, and names as written.

YAML 1.1, which PyYAML reads, takes ``1e-3`` for a text, ``010`` for eight, ``1:30`` for ninety and
``no`` for false. Here numbers are decimal; a number with leading zeros, such as a writer's name, is
a text; and only ``true`` and ``false`` are truth values. Unlike YAML, ``~`` is a text: a home.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from deepsign_utils import DeepSignError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the resolvers of YAML 1.2."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012, of this class alone

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """As PyYAML does, but of two values for one name it takes neither."""
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' is there twice", key.start_mark
                )
        return super().construct_mapping(node, deep)

    def construct_float(self, node: yaml.ScalarNode) -> float:
        """Python's own reading, with YAML's words for what is no finite number."""
        return float(node.value.replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|", ["n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$"), _first
    )
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_float)


def read_yaml(text: str, where: str) -> Any:
    """Read a YAML text.

    Parameters
    ----------
    text : str
        One document.
    where : str
        What to call it in messages.

    Raises
    ------
    DeepSignError
        If it is not valid YAML, or sets a name twice.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise DeepSignError(f"{where} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise DeepSignError(f"{where} is nested too deep.") from error


def read_yaml_file(file: Path, where: str) -> Any:
    """Read a YAML file; DeepSignError as `read_yaml`, and where it is no text in UTF-8."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DeepSignError(f"{where} is not valid YAML: {error}") from error
    return read_yaml(text, where)
