"""What several commands take, and how what is typed is read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from deepsign_utils import DeepSignError, layouts
from deepsign_utils.commands.group import argument
from deepsign_utils.study import PRETRAINED
from deepsign_utils.study.folders import expand
from deepsign_utils.study.parameters import LARGEST_SEED


def name(text: str) -> str:
    """A file's or folder's name, as typed; an empty one would stand for the folder at hand."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty, and names no file or folder")
    return text


def path(text: str) -> Path:
    """A path as typed, with ``~`` as the user's home."""
    try:
        return expand(name(text))
    except DeepSignError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def file(text: str) -> str:
    """A file's name as typed, but for ``~``."""
    return str(path(text)) if text.startswith("~") else name(text)


def seed(text: str) -> int:
    """A seed of random numbers."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST_SEED):
        raise argparse.ArgumentTypeError(f"it must be a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def named_folders(given: Sequence[str]) -> list[tuple[str, str]]:
    """Names and folders of `DATASETS`, as typed.

    Raises
    ------
    DeepSignError
        If one has no name.
    """
    wrong = [text for text in given if not text.partition("=")[2]]
    if wrong:
        raise DeepSignError(f"'{wrong[0]}' must be NAME=FOLDER, such as cedar=data/raw/cedar.")
    pairs = [text.partition("=") for text in given]
    return [(name, str(expand(folder))) for name, _, folder in pairs]


DATASET = argument("folder", type=path, help="a dataset's folder")
DATASETS = argument(
    "datasets", nargs="+", metavar="NAME=FOLDER", help="a dataset and what to call it"
)
LAYOUT = argument("--layout", default="auto", metavar="NAME", help=", ".join(layouts.CHOICES))
SEED = argument("--seed", type=seed, default=0, help="default: %(default)s")
MODEL = argument(
    "--model",
    type=path,
    default=PRETRAINED,
    metavar="FOLDER",
    help="model folder; default: the shipped model",
)
TABLE = argument("--output", type=path, required=True, metavar="FILE")
NEW_FOLDER = argument(
    "--output",
    type=path,
    required=True,
    metavar="FOLDER",
    help="a new folder, or an empty one; one that holds something is refused, and kept",
)
NEW_MODEL = NEW_FOLDER.but(metavar="MODEL")
THRESHOLD = argument(
    "--threshold",
    default="eer",
    metavar="NAME",
    help="eer, where both kinds of error were equally frequent; fmr=0.01 for another rate of "
    "accepted forgeries, fnmr=0.01 of rejected genuine signatures; fmr=0.01,fnmr=0.01 for both: "
    "what lies between is referred to a person; default: %(default)s",
)
SCHEDULER = argument(
    "--scheduler",
    default="",
    metavar="ADDRESS",
    help="spread the work over a Dask cluster whose workers see the same files, such as "
    "tcp://10.0.0.1:8786 (docs/scaling.md); default: this machine",
)
STUDY = argument("study", help="name of a file in notebooks/studies, without .yaml")
RUN = argument("--run", dest="run_name", help="output folder; default: the study's")
OUTPUT_FOLDER = argument("study", help="name of the study's output folder")
