"""Folders -> signature table: which image is whose signature, genuine or forged.

`layouts` tells by names, `manifests` by a table; here the folder is walked and every file accounted
for: found = used + left out.
"""

import hashlib
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from deepsign_utils import DeepSignError, layouts, manifests
from deepsign_utils.layouts import (
    CHOICES,
    LAYOUTS,
    RECOGNISED,
    Told,
    Tree,
    recognise,
    writer_key,
)
from deepsign_utils.manifests import refuse_outside, some, utf8
from deepsign_utils.preprocessing import (
    ENDINGS,
    ImageTooLargeError,
    has_ink,
    load_grayscale,
    open_image,
    read_image_file,
)
from deepsign_utils.study.folders import DEMONSTRATION
from deepsign_utils.study.parameters import draws_its_own
from deepsign_utils.study.processes import ordered_map

MIN_SIDE = 8
"""Images with a shorter side, in pixels, hold no signature and are left out."""

PROBLEMS = layouts.PROBLEMS | {
    "not an image": f"its ending is not one of {' '.join(ENDINGS)}",
    "not a file": "a folder, a broken link or a special file",
    "unexpected name": "its name does not tell writer and kind",
    "name not UTF-8": "rename it: its name cannot be written in a table",
    "not in the manifest": "manifest.csv does not list it",
    "missing": "manifest.csv lists it, and it is not there",
}
"""Reasons to leave a file out before it is opened, and what they mean."""

_SHOWN = 8  # files in a sample of a tree


class UnknownLayoutError(DeepSignError):
    """A folder's layout is none of those that were looked for."""


class Found(NamedTuple):
    """A file that belongs to a dataset: a signature if `kind` is set, else `problem` says why not.

    `path` is relative to the dataset's root, with forward slashes.
    """

    path: str
    writer: str = ""
    kind: str = ""
    forger: str | None = None
    problem: str = ""


class Recognised(NamedTuple):
    """A dataset's layout, and every file of its folder in order."""

    name: str
    files: list[Found]


class Inside(NamedTuple):
    """What lies below a folder: all files, those that are none, and what may be images."""

    files: list[str]
    special: set[str]
    tree: Tree


class _Example(NamedTuple):
    """What reading one file gave."""

    width: int = 0
    height: int = 0
    mode: str = ""
    sha256: str = ""
    reason: str = ""
    detail: str = ""


# Public functions


def find_layout(root: str | Path, layout: str = "auto") -> Recognised:
    """Recognise how a folder holds its signatures, without opening an image.

    The dataset may lie in folders within the one that is given, and in several parts (train, test):
    they are read together. Hidden files, readmes and licences do not count.

    Parameters
    ----------
    root : str or Path
        The dataset's folder, or one that holds it.
    layout : str
        A name of `layouts.LAYOUTS`, or "auto". A manifest.csv wins over the other layouts.

    Returns
    -------
    Recognised
        Its files are in the table's order: writer, genuine before forgery, path.

    Raises
    ------
    DeepSignError
        If the folder is missing or empty, fits no layout (`UnknownLayoutError`), holds several
        datasets, leads outside itself, or holds a manifest that is wrong.
    """
    root = Path(root)
    if layout not in CHOICES:
        raise DeepSignError(f"unknown layout {layout!r}: choose one of {', '.join(CHOICES)}")
    inside = walk(root)
    if not inside.files and not inside.tree.folders:
        raise DeepSignError(
            f"the data folder {root} is empty: put the dataset there (data/README.md says how)"
        )
    name, told = _told(root, inside, layout)
    images = set(inside.tree.images)
    files = [
        _found(path, told.get(path), inside, name)
        for path in inside.files
        if not _is_manifest(path) and (name != "manifest" or path in told or path in images)
    ]
    files += [Found(path, problem="missing") for path in told if told[path].problem == "missing"]
    return Recognised(name, sorted(files, key=_order))


def walk(root: str | Path) -> Inside:
    """List a folder and all below it.

    Raises
    ------
    DeepSignError
        If the folder is missing, cannot be read, or holds a link that leads outside.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        give = "give the folder that holds the dataset"
        if draws_its_own(root.name):
            give += ", or draw the default study's with `make images`"
        elif root.name == DEMONSTRATION:
            give += f", or draw the demonstration's with `make images STUDY={DEMONSTRATION}`"
        raise DeepSignError(f"the data folder {root} {what}: {give}")
    files: list[str] = []
    folders: list[str] = []
    special: set[str] = set()

    def enter(folder: str, reached: tuple[str, ...]) -> None:
        for entry in _visible(root / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_symlink():
                refuse_outside(root, root / path)
            if _is(entry, "dir") and not path.lower().endswith(ENDINGS):
                real = os.path.realpath(entry.path) if entry.is_symlink() else ""
                if real in reached:
                    special.add(path)
                    files.append(path)
                    continue
                folders.append(path)
                here = real or f"{reached[-1]}/{entry.name}"
                enter(path, (*reached, here))
            else:
                files.append(path)
                if not _is(entry, "file"):
                    special.add(path)

    enter("", (os.path.realpath(root),))
    images = [p for p in files if p.lower().endswith(ENDINGS) and p not in special]
    return Inside(files, special, Tree(images, folders))


def _told(root: Path, inside: Inside, layout: str) -> tuple[str, dict[str, Told]]:
    """The folder's layout, and what it tells of the files of one dataset."""
    if layout in ("auto", "manifest"):
        listed = [path for path in inside.files if _is_manifest(path)]
        depth = min((path.count("/") for path in listed), default=0)
        listed = [path for path in listed if path.count("/") == depth]
        if len(listed) > 1:
            raise _several(root, [*map(_folder, listed)])
        if listed:
            return "manifest", manifests.read(root, listed[0])
    name, told = recognise(inside.tree, RECOGNISED if layout == "auto" else (layout,))
    if not name:
        raise _unknown(root, inside, layout)
    held: dict[tuple[str, ...], list[str]] = {}
    beside = _of_another(inside.tree, told) if layout == "auto" else {}
    for path, one in (told | beside).items():
        if one.kind:
            held.setdefault(one.dataset, []).append(path)
    if len(held) > 1:
        places = [os.path.commonpath(map(_folder, paths)) or "." for paths in held.values()]
        if len(set(places)) < len(places):
            raise DeepSignError(
                f"{root} holds several datasets in the same folders "
                f"({some([' '.join(filter(None, dataset)) for dataset in held])}): give each a "
                "folder of its own"
            )
        raise _several(root, places, layout)
    return name, told


def _of_another(tree: Tree, told: Mapping[str, Told]) -> dict[str, Told]:
    """What another layout tells of the images left over, if they make a dataset by themselves."""
    name, found = recognise(Tree([path for path in tree.images if path not in told], tree.folders))
    kinds = Counter((one.writer, one.kind) for one in found.values() if one.kind)
    whole = [w for w, kind in kinds if kind == "genuine" and kinds[w, "forgery"]]
    if len(whole) < 2:
        return {}
    return {path: replace(one, dataset=(name, *one.dataset)) for path, one in found.items()}


def _several(root: Path, places: list[str], layout: str = "auto") -> DeepSignError:
    otherwise = "or, where they are people's folders, name the layout (such as genuine_only)"
    if layout != "auto":
        otherwise = (
            "or say whose each image is, where the folders are people's or branches': "
            f"`deepsign manifest {shlex.quote(utf8(str(root)))} --pattern "
            "'{writer}/*/*'` (or '*/{writer}/*') writes a first manifest.csv"
        )
    return DeepSignError(
        f"{root} holds several datasets ({some(sorted(places))}): give the folder of one of them; "
        f"{otherwise}"
    )


def _unknown(root: Path, inside: Inside, layout: str) -> DeepSignError:
    images = inside.tree.images
    if not images:
        return UnknownLayoutError(
            f"{root} holds no image that can be used: none of {len(inside.files)} files ends in "
            f"{' '.join(ENDINGS)}"
        )
    said = manifests.kinds_said(images)
    if layout == "auto" and len(said) == 1 and (kind := said.pop()):
        return UnknownLayoutError(missing_half(str(root), len(images), kind))
    if why := LAYOUTS[layout].misfit(inside.tree) if layout != "auto" else "":
        return UnknownLayoutError(f"{root} does not fit the layout {layout}: {why}")
    known = "any known layout" if layout == "auto" else f"the layout {layout}"
    return UnknownLayoutError(
        f"{root} does not fit {known}. It holds {len(images)} images in "
        f"{len({*map(_folder, images)})} folders, such as\n"
        + "".join(f"  {utf8(path)[:200]!r}\n" for path in _sample(images))
        + f"Known layouts: {', '.join(LAYOUTS)} (data/README.md shows a tree of each). Or say "
        f"whose each image is: `deepsign manifest {shlex.quote(utf8(str(root)))}` writes a first "
        "manifest.csv from the names, for you to correct." + _genuine_alone(inside.tree)
    )


def _genuine_alone(tree: Tree) -> str:
    """What can be done with folders that may be people's genuine signatures."""
    alone = layouts.GenuineOnly()
    told = {} if alone.may_be_forged(tree) else alone.tell(tree)
    writers = len({(one.dataset, one.writer) for one in told.values()})
    if writers < 2:
        return ""
    return (
        f" If they are genuine signatures of {writers} people, and nothing is forged, "
        f"{_GENUINE_ALONE}"
    )


def missing_half(name: str, images: int, kind: str) -> str:
    """What a dataset of one kind lacks, and what can be done with it.

    Parameters
    ----------
    name : str
        What the dataset is called.
    images : int
        How many it holds.
    kind : str
        "genuine" or "forgery": what all of them are.
    """
    if kind == "forgery":
        return (
            f"{name} holds {images} forged images and no genuine one: without the writers' genuine "
            "signatures there is nothing to compare them with. `deepsign layouts` shows where each "
            "layout has them."
        )
    return (
        f"{name} holds {images} genuine images and no forged one. {_GENUINE_ALONE.capitalize()} "
        "`deepsign layouts` shows where each layout has its forged images."
    )


_GENUINE_ALONE = (
    "calibrate, verify and serve work with these alone; a study, evaluate and audit need "
    "forgeries too."
)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _sample(paths: Sequence[str]) -> list[str]:
    """A few of them, from as many folders as there are."""
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(_folder(path), []).append(path)
    turns = [path for i in range(2) for group in by_folder.values() for path in group[i : i + 1]]
    return sorted(turns[:_SHOWN])


def read_dataset(
    root: str | Path, layout: str = "auto", progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a dataset's folder: every image once, hashed and decoded.

    Parameters
    ----------
    root : str or Path
        The dataset's folder, or the one that holds it.
    layout : str
        A name of `layouts.LAYOUTS`, or "auto".
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    signatures : pd.DataFrame
        One row an image that can be used, sorted by writer, kind (genuine first) and path:
        `signature_id` int32 from 0, `path` relative to `root`, `writer`, `kind` ("genuine" or
        "forgery"), `forger` (or null), `width` and `height` int32, `mode` (Pillow's name),
        `sha256` of the file, and `duplicate_of` Int32, the id of the first row whose file is
        identical byte by byte (or null).
    left_out : pd.DataFrame
        One row a file that cannot be used: `path`, `reason` (a short category) and `detail`.
        Together with `signatures` it accounts for every file found.

    Raises
    ------
    DeepSignError
        As `find_layout`, or if not one image can be used.
    """
    root = Path(root)
    recognised = find_layout(root, layout)
    candidates = [found for found in recognised.files if not found.problem]
    paths = [found.path for found in candidates]
    examples = list(ordered_map(partial(_read, root), paths, None, progress, "reading"))
    left_out = pd.DataFrame(
        [(utf8(f.path), f.problem, PROBLEMS[f.problem]) for f in recognised.files if f.problem]
        + [
            (found.path, example.reason, example.detail)
            for found, example in zip(candidates, examples, strict=True)
            if example.reason
        ],
        columns=["path", "reason", "detail"],
        dtype=str,
    )
    used = [
        (found.path, found.writer, found.kind, found.forger, *example[:4])
        for found, example in zip(candidates, examples, strict=True)
        if not example.reason
    ]
    if not used:
        first = (
            f"; the first, {left_out['path'][0]}: {left_out['detail'][0]}" if len(left_out) else ""
        )
        raise DeepSignError(
            f"{root} (layout {recognised.name}) holds no image that can be used: "
            f"{len(left_out)} left out{first}"
        )
    return _signature_table(used), left_out


def check_usable(
    signatures: pd.DataFrame, writers_needed: int = 2, left_out: pd.DataFrame | None = None
) -> list[str]:
    """Report the writers who cannot take part in every comparison.

    Parameters
    ----------
    signatures : pd.DataFrame
        Signature table.
    writers_needed : int
        Least number of writers with two genuine signatures and a forgery.
    left_out : pd.DataFrame, optional
        As `read_dataset` gives it: reasons that may explain why there are too few.

    Returns
    -------
    list of str
        One sentence a shortcoming, naming the writers, among them those whose names differ in
        leading zeros or capitals only; empty if there is none.

    Raises
    ------
    DeepSignError
        If fewer than `writers_needed` writers are complete.
    """
    counts = pd.crosstab(signatures["writer"], signatures["kind"])
    counts = counts.reindex(columns=["genuine", "forgery"], fill_value=0)
    counts = counts.loc[sorted(counts.index, key=_natural)]
    few, bare = counts["genuine"] < 2, counts["forgery"] == 0
    warnings = [
        f"{lacking.sum()} of {len(counts)} writers {problem}: {some(counts.index[lacking])}"
        for lacking, problem in (
            (few, "have fewer than two genuine signatures, so no genuine pair"),
            (bare, "have no forgeries, so no skilled pair"),
        )
        if lacking.any()
    ]
    keys = [writer_key(name).casefold() for name in counts.index]
    alike = pd.Series(counts.index).groupby(keys, sort=False).agg(list)
    warnings += [
        f"the writers {some(names)} differ only in leading zeros, in capitals or in how letters "
        "are composed, and are taken as different people"
        for names in alike
        if len(names) > 1
    ]
    complete = int((~few & ~bare).sum())
    if complete < writers_needed:
        kinds = signatures["kind"].unique()
        if len(kinds) == 1:
            raise DeepSignError(missing_half("The dataset", len(signatures), kinds[0]))
        reasons = {} if left_out is None else left_out["reason"].value_counts().to_dict()
        raise DeepSignError(
            f"{complete} {'writer has' if complete == 1 else 'writers have'} two genuine "
            f"signatures and a forgery, but {writers_needed} are needed. "
            + ". ".join(
                [
                    *warnings,
                    *(
                        f"{count} left out as {reason}: {PROBLEMS.get(reason, 'it cannot be used')}"
                        for reason, count in reasons.items()
                    ),
                ]
            )
        )
    return warnings


# Reading the files


def _read(root: Path, path: str) -> _Example:
    """Read one file once: hash it, decode it, and judge whether it shows a signature."""
    try:
        content = read_image_file(root / path)
        if not content:
            return _Example(reason="empty file", detail="zero bytes")
        image = open_image(content, path)
        size, mode = image.size, image.mode
        if min(size) < MIN_SIDE:
            return _Example(reason="too small", detail=f"{size[0]} x {size[1]} pixels")
        if not has_ink(load_grayscale(image, path)):
            return _Example(reason="blank", detail="no ink was found")
    except ImageTooLargeError as error:
        return _Example(reason="too large", detail=str(error))
    except DeepSignError as error:
        return _Example(reason="unreadable", detail=str(error))
    return _Example(*size, mode, hashlib.sha256(content).hexdigest())


def _signature_table(rows: list[tuple]) -> pd.DataFrame:
    columns = ["path", "writer", "kind", "forger", "width", "height", "mode", "sha256"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(0, "signature_id", range(len(table)))
    # Typed even where every forger is unknown, so that the table's file has one schema.
    types = {"signature_id": "int32", "width": "int32", "height": "int32", "forger": "string"}
    table = table.astype(types)
    first = table.groupby("sha256")["signature_id"].transform("first")
    table["duplicate_of"] = first.astype("Int32").mask(first == table["signature_id"])
    return table


# Paths


def _visible(folder: Path) -> list[os.DirEntry]:
    """Children in a fixed order, without hidden files and what systems leave behind."""
    try:
        with os.scandir(folder) as inside:
            entries = sorted(inside, key=lambda entry: entry.name)
    except OSError as error:  # no permission, or gone meanwhile
        raise DeepSignError(f"{utf8(str(folder))} cannot be read: {error.strerror}") from error
    return [
        entry
        for entry in entries
        if not entry.name.startswith(".")
        and entry.name != "__MACOSX"
        and not layouts.CLUTTER.fullmatch(entry.name)
    ]


def _is(entry: os.DirEntry, what: str) -> bool:
    try:
        return entry.is_dir() if what == "dir" else entry.is_file()
    except OSError:  # such as a link to a name longer than the file system allows
        return False


def _is_manifest(path: str) -> bool:
    return path.rpartition("/")[2].lower() == manifests.NAME


def _found(path: str, told: Told | None, inside: Inside, layout: str) -> Found:
    if path in inside.special:
        return Found(path, problem="not a file")
    if utf8(path) != path:  # undecodable bytes come as lone surrogates, which no UTF-8 can hold
        return Found(path, problem="name not UTF-8")
    if told is not None and told.kind:
        return Found(path, told.writer, told.kind, told.forger)
    if not path.lower().endswith(ENDINGS):
        return Found(path, problem="not an image")
    if told is not None:
        return Found(path, problem=told.problem)
    return Found(path, problem="not in the manifest" if layout == "manifest" else "unexpected name")


def _order(found: Found) -> tuple:
    return _natural(found.writer), found.kind != "genuine", _natural(found.path)


def _natural(text: str) -> tuple:
    """Sort key that puts 2 before 10."""
    parts = re.split(r"([0-9]+)", text)
    return tuple(_part(part, i % 2 == 1) for i, part in enumerate(parts)), text


def _part(text: str, is_number: bool) -> tuple[str, int, str]:
    # By length, then by digits: a hostile name may hold more digits than `int` takes.
    digits = text.lstrip("0")
    return ("", len(digits), digits) if is_number else (text, 0, "")
