"""A study's parameters: one table of names, types, bounds and defaults.

A notebook's cell tagged ``parameters`` repeats the lines it needs (a test holds the two together),
so that papermill can inject values.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepsign_utils import DeepSignError, layouts
from deepsign_utils.study.artefacts import write_atomically
from deepsign_utils.study.folders import CHAPTERS, PRETRAINED, ROOT, Study, expand

CANVAS_SIDES = 16, 2048
MOST_EPOCHS = 100_000
LARGEST_SEED = 2**32 - 1  # what NumPy's older generators, which pandas uses, take


@dataclass(frozen=True)
class Parameter:
    """One line of the parameter table.

    ``type`` is the annotation in the notebooks: one word, as papermill reads no more than that.
    ``minimum`` and ``maximum`` bound numbers (and the numbers of a list) inclusively; ``choices``
    lists what a string may be.
    """

    name: str
    type: str
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Return the value in its own type.

        Raises
        ------
        DeepSignError
            If the value has another type, or lies outside what is allowed.
        """
        match self.type:
            case "int":
                valid = isinstance(value, int) and not isinstance(value, bool)
            case "float":
                valid = isinstance(value, int | float) and not isinstance(value, bool)
                valid = valid and math.isfinite(value)
                value = float(value) if valid else value
            case "str":
                valid = isinstance(value, str)
            case "list":
                value = _unpacked(value)
                valid = isinstance(value, list | tuple) and bool(value)
                valid = valid and all(type(item) is int for item in value)
                valid = valid and len({*value}) == len(value)
                value = list(value) if valid else value
            case "object":
                value, valid = _share_part_or_writers(_unpacked(value))
        if not valid:
            raise DeepSignError(
                f"The parameter '{self.name}' is {value!r}; it must be {_IN_WORDS[self.type]}. "
                f"It means: {self.help}."
            )
        if self.choices and value not in self.choices:
            raise DeepSignError(
                f"The parameter '{self.name}' is {value!r}; it must be one of "
                f"{', '.join(self.choices)}."
            )
        numbers = value if self.type == "list" else [value]
        # Asked so that what is no number at all (nan) is refused as well.
        if self.minimum is not None and not all(number >= self.minimum for number in numbers):
            raise DeepSignError(
                f"The parameter '{self.name}' is {value!r}; it must be {self.minimum:.10g} or more."
            )
        if self.maximum is not None and not all(number <= self.maximum for number in numbers):
            raise DeepSignError(
                f"The parameter '{self.name}' is {value!r}; it must be {self.maximum:.10g} or less."
            )
        return value


_IN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "list": "a list of whole numbers, each once, such as [1, 5, 10]",
    "object": "a share between 0 and 1, a part such as '2/5', or a list of writers, each once, "
    "in quotes where a name may be taken for a number or another value: ['1.10', 'null']",
}


def _unpacked(value: Any) -> Any:
    """A list in a text, which is how papermill passes on ``-p test_writers [010,011]``."""
    if not isinstance(value, str) or not value.startswith("["):
        return value
    from deepsign_utils.study.yaml_1_2 import read_yaml

    return read_yaml(value, value)


def _share_part_or_writers(value: Any) -> tuple[Any, bool]:
    if isinstance(value, list | tuple):
        # YAML reads the writer '7' as a number; the signature table holds text. What it read as
        # another value, 1.10 or null, does not tell what was typed.
        whole = all(type(item) in (str, int) for item in value)
        names = [str(item) for item in value]
        return (names if whole else value), whole and 0 < len(names) == len({*names})
    if isinstance(value, str):
        part = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", value, re.ASCII)
        return value, part is not None and int(part[1]) <= int(part[2]) > 1
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
    return (float(value), True) if is_share else (value, False)


PARAMETERS: dict[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter("study", "str", "lab", "names the study and its output folders"),
        Parameter("dataset", "str", "synthetic", "names the data in tables and reports"),
        Parameter("data_root", "str", "", "folder of the images; empty: data/raw/<dataset>"),
        Parameter(
            "layout",
            "str",
            "auto",
            "how the folder is laid out",
            choices=layouts.CHOICES,
        ),
        Parameter(
            "seed",
            "int",
            0,
            "every random stream is derived from it",
            minimum=0,
            maximum=LARGEST_SEED,
        ),
        Parameter("canvas_height", "int", 64, "pixels", *CANVAS_SIDES),
        Parameter("canvas_width", "int", 128, "pixels", *CANVAS_SIDES),
        Parameter(
            "fit",
            "str",
            "fill",
            "aspect keeps the signature's proportions, fill stretches it",
            choices=("aspect", "fill"),
        ),
        Parameter(
            "stroke_width",
            "str",
            "as_is",
            "normalised redraws every stroke with one pen",
            choices=("as_is", "normalised"),
        ),
        Parameter("validation_writers", "object", 0.2, "share of the writers, or a list"),
        Parameter("test_writers", "object", 0.3, "share of the writers, a part as 2/5, or a list"),
        Parameter(
            "encoder",
            "str",
            "lightweight_encoder",
            "the network that embeds one image",
            choices=("lightweight_encoder", "regional_encoder"),
        ),
        Parameter(
            "loss",
            "str",
            "sigmoid",
            "pair loss: sigmoid or contrastive",
            choices=("sigmoid", "contrastive"),
        ),
        Parameter(
            "epochs",
            "int",
            20,
            "upper bound; early stopping ends sooner",
            minimum=1,
            maximum=MOST_EPOCHS,
        ),
        Parameter(
            "patience",
            "int",
            8,
            "epochs without progress before stopping",
            minimum=1,
            maximum=MOST_EPOCHS,
        ),
        Parameter(
            "keep",
            "str",
            "best",
            "weights of which epoch: best on validation writers, or last",
            choices=("best", "last"),
        ),
        Parameter("writers_per_batch", "int", 12, "writers that meet in a batch", minimum=2),
        Parameter("genuine_per_writer", "int", 3, "genuine images of each in a batch", minimum=2),
        Parameter("forgeries_per_writer", "int", 3, "forged images of each in a batch", minimum=0),
        Parameter(
            "parts",
            "str",
            "halves",
            "smallest parts that make further hands: halves or quarters",
            choices=("halves", "quarters"),
        ),
        Parameter("learning_rate", "float", 0.002, "at its peak, after the warm-up", minimum=1e-8),
        Parameter(
            "precision",
            "str",
            "float32",
            "of the feature maps in training: float32 or bfloat16",
            choices=("float32", "bfloat16"),
        ),
        Parameter(
            "start_from",
            "str",
            "",
            "encoder file to start from, or pretrained; empty: random weights",
        ),
        Parameter(
            "cohort_share",
            "float",
            0.0,
            "of what is shared with other writers, the part taken out",
            minimum=0,
            maximum=1,
        ),
        Parameter("references", "list", [1, 5, 10], "references of an enrolled writer", minimum=1),
        Parameter("bootstrap", "int", 1000, "resamples behind an interval", minimum=50),
    )
}


def starting_point(start_from: str) -> Path | None:
    """The encoder file that the parameter ``start_from`` means.

    Empty: none, random weights. ``pretrained``: the shipped one, which has learnt from synthetic
    writers alone. Anything else: a file, relative to the project's folder.

    Raises
    ------
    DeepSignError
        If there is no such file.
    """
    if not start_from:
        return None
    file = PRETRAINED / "encoder.keras" if start_from == "pretrained" else ROOT / expand(start_from)
    if not file.is_file():
        raise DeepSignError(f"start_from is '{start_from}', but there is no model file {file}.")
    return file


def check_names(names: Sequence[str], where: str) -> None:
    """Refuse names that are no parameters, with the nearest name that is.

    Raises
    ------
    DeepSignError
        For the first unknown name.
    """
    for name in names:
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise DeepSignError(
                f"{where} sets '{name}', which is no parameter.{hint} "
                f"Known: {', '.join(PARAMETERS)}."
            )


def read_study(file: Path) -> dict[str, Any]:
    """Read and check the YAML file of a study.

    Raises
    ------
    DeepSignError
        If the file is missing, is not a YAML mapping, or holds an unknown name or a wrong value.
    """
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml"))) or "none"
        raise DeepSignError(f"There is no study file {file}. Studies there: {known}.")
    from deepsign_utils.study.yaml_1_2 import read_yaml_file

    values = read_yaml_file(file, f"The study file {file}")
    if not isinstance(values, dict):
        raise DeepSignError(f"The study file {file} must hold lines of the form 'name: value'.")
    return check_values(values, str(file))


def check_values(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check names and values; see ``check_names`` and ``Parameter.check``."""
    check_names([str(name) for name in values], where)
    try:
        return {name: PARAMETERS[name].check(value) for name, value in values.items()}
    except DeepSignError as error:
        raise DeepSignError(f"{where}: {error}") from None


def resolve(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the values that a study leaves out with the defaults of the parameter table."""
    return {name: values.get(name, parameter.default) for name, parameter in PARAMETERS.items()}


def study_of(values: Mapping[str, Any]) -> Study:
    """The study that has these parameters, resolved or not."""
    every = resolve(values)
    return Study(*(every[name] for name in ("study", "dataset", "data_root", "seed")))


def draws_its_own(dataset: str) -> bool:
    """Whether DeepSign draws the images of a dataset of this name itself."""
    return dataset.startswith("synthetic")


def notebook_parameters(notebook: Path) -> list[str]:
    """Names in the notebook's cell tagged ``parameters``, in order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    source = "".join(tagged[0]["source"]) if tagged else ""
    return [line.split(":")[0] for line in source.splitlines() if ": " in line.split("=")[0]]


def write_chapter_parameters(
    values: Mapping[str, Any], folder: Path, used: Path, chapters: Sequence[str] = CHAPTERS
) -> dict[str, tuple[Any, Any]]:
    """Write each chapter's resolved parameters to ``<folder>/<chapter>.yaml``.

    A file is rewritten only when its content changes, so that Make reruns just the chapters whose
    parameters did; and those that were last run with others than these, as ``used`` tells.

    Returns
    -------
    dict
        Parameter -> what chapters were last run with, and what it is now, where the two differ.
    """
    resolved = resolve(values)
    changed: dict[str, tuple[Any, Any]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for chapter in chapters:
        names = notebook_parameters(ROOT / "notebooks" / f"{chapter}.ipynb")
        chosen = {name: resolved[name] for name in names}
        # JSON's values are YAML's, with all texts in quotes.
        lines = [f"{n}: {json.dumps(v, ensure_ascii=False)}\n" for n, v in chosen.items()]
        file = folder / f"{chapter}.yaml"
        write_atomically(file, "".join(lines))
        before = _last_run_with(used / f"{chapter}.json", chosen)
        changed |= {n: (before[n], v) for n, v in chosen.items() if before.get(n, v) != v}
        if before != chosen:  # run by hand, in this study's place, or with other parameters
            file.touch()
    return changed


def _last_run_with(used: Path, otherwise: dict[str, Any]) -> dict[str, Any]:
    """What a chapter was last run with; `otherwise` if it was not run yet."""
    try:
        found = json.loads(used.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return otherwise
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
