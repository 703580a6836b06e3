"""Folder layouts -> signature table: which image is whose signature, genuine or forged."""

import csv
import hashlib
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import (
    ENDINGS,
    ImageTooLargeError,
    has_ink,
    load_grayscale,
    open_image,
    ordered_map,
    read_image_file,
)

MIN_SIDE = 8
"""Images with a shorter side, in pixels, hold no signature and are left out."""

_KINDS = {
    "genuine": "genuine",
    "forgery": "forgery",
    "forged": "forgery",
    "skilled": "forgery",
    "skilled forgery": "forgery",
}
_CLUTTER = re.compile(r"thumbs\.db|desktop\.ini|readme.*|licen[sc]e.*", re.IGNORECASE)
_BHSIG260 = re.compile(r"[BH]-S-([0-9]+)-([GF])-[0-9]+", re.IGNORECASE)
_CEDAR = re.compile(r"(original|forgeries)_([0-9]+)_[0-9]+", re.IGNORECASE)
_FORGED_FOLDER = re.compile(r"(.+)_forg", re.IGNORECASE | re.DOTALL)
_SHOWN = 5  # examples in a message


class Found(NamedTuple):
    """A file that belongs to a dataset: a signature if `kind` is set, else `problem` says why not.

    `path` is relative to the dataset's root, with forward slashes.
    """

    path: str
    writer: str = ""
    kind: str = ""
    forger: str | None = None
    problem: str = ""


class Layout(NamedTuple):
    """A recognised folder layout: its name, the folder that holds it, and its files in order."""

    name: str
    folder: Path
    files: list[Found]


class _Example(NamedTuple):
    """What reading one file gave."""

    width: int = 0
    height: int = 0
    mode: str = ""
    sha256: str = ""
    reason: str = ""
    detail: str = ""


# Public functions


def find_layout(root: str | Path, layout: str = "auto") -> Layout:
    """Recognise how a folder holds its signatures, without opening an image.

    Parameters
    ----------
    root : str or Path
        The dataset's folder, or the one that holds it.
    layout : str
        A name of `LAYOUTS`, or "auto". A manifest.csv wins over the other layouts.

    Returns
    -------
    Layout
        Its files are in the table's order: writer, genuine before forgery, path.

    Raises
    ------
    DeepSignError
        If the folder is missing or empty, fits no layout or several, leads outside itself, or
        holds a manifest that is wrong.
    """
    root = Path(root)
    if layout != "auto" and layout not in LAYOUTS:
        raise DeepSignError(f"unknown layout {layout!r}: choose auto or one of {_names()}")
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise DeepSignError(
            f"the data folder {root} {what}: give the folder that holds the dataset"
        )
    inside = _visible(root, root)
    if not inside:
        raise DeepSignError(
            f"the data folder {root} is empty: put the dataset there (data/README.md says how)"
        )
    names = LAYOUTS if layout == "auto" else (layout,)
    recognised = _recognise(root, root, names)
    if recognised:
        return recognised
    # People unzip a dataset into a folder of its own inside the one that is asked for.
    nested = [found for path in inside if _is_dir(path) if (found := _recognise(root, path, names))]
    if len(nested) == 1:
        return nested[0]
    if nested:
        raise DeepSignError(
            f"{root} holds several datasets ({_some(found.folder.name for found in nested)}): "
            "give the folder of one of them"
        )
    known = "any known layout" if layout == "auto" else f"the layout {layout}"
    shapes = "; ".join(f"{name} = {_SHAPES[name]}" for name in names)
    raise DeepSignError(
        f"{root} does not fit {known}. It holds {_some(path.name for path in inside)}. Expected: "
        f"{shapes}"
    )


def read_dataset(
    root: str | Path, layout: str = "auto", progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a dataset's folder: every image once, hashed and decoded.

    Parameters
    ----------
    root : str or Path
        The dataset's folder, or the one that holds it.
    layout : str
        A name of `LAYOUTS`, or "auto".
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
        [(_utf8(f.path), f.problem, _PROBLEMS[f.problem]) for f in recognised.files if f.problem]
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


def check_usable(signatures: pd.DataFrame, writers_needed: int = 2) -> list[str]:
    """Report the writers who cannot take part in every comparison.

    Parameters
    ----------
    signatures : pd.DataFrame
        Signature table.
    writers_needed : int
        Least number of writers with two genuine signatures and a forgery.

    Returns
    -------
    list of str
        One sentence a shortcoming, naming the writers; empty if there is none.

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
        f"{lacking.sum()} of {len(counts)} writers {problem}: {_some(counts.index[lacking])}"
        for lacking, problem in (
            (few, "have fewer than two genuine signatures, so no genuine pair"),
            (bare, "have no forgeries, so no skilled pair"),
        )
        if lacking.any()
    ]
    complete = int((~few & ~bare).sum())
    if complete < writers_needed:
        raise DeepSignError(
            f"only {complete} writers have two genuine signatures and a forgery, but "
            f"{writers_needed} are needed. " + ". ".join(warnings)
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


# Recognising layouts


def _recognise(root: Path, folder: Path, names: Iterable[str]) -> Layout | None:
    for name in names:
        files = _FINDERS[name](root, folder)
        if files is not None:
            files = [f if _is_utf8(f.path) else f._replace(problem="name not UTF-8") for f in files]
            return Layout(name, folder, sorted(files, key=_order))
    return None


def _find_manifest(root: Path, folder: Path) -> list[Found] | None:
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return None
    _refuse_outside(root, manifest)
    rows = list(_manifest_rows(manifest))
    found, missing = {}, []
    for line, row in rows:
        kind = _KINDS.get(re.sub(r"[\s_-]+", " ", row["kind"].strip().lower()))
        if kind is None:
            raise DeepSignError(
                f"{manifest}, line {line}: kind must be genuine or forgery, not {row['kind']!r}"
            )
        if not row["writer"].strip():
            raise DeepSignError(f"{manifest}, line {line}: the writer is missing")
        path = posixpath.normpath(row["path"].strip() or ".")
        if posixpath.isabs(path) or path.split("/")[0] == "..":
            raise _outside(folder / path)
        if not _is_file(folder / path):
            missing.append(row["path"])
            continue
        _refuse_outside(root, folder / path)
        path = (folder / path).relative_to(root).as_posix()
        if path in found:
            raise DeepSignError(f"{manifest}, line {line}: {row['path']!r} is listed twice")
        forger = row.get("forger", "").strip() or None
        found[path] = Found(path, row["writer"].strip(), kind, forger)
    if missing:
        raise DeepSignError(
            f"{manifest} names {len(missing)} files that do not exist beside it: {_some(missing)}. "
            "Its paths are relative to its own folder"
        )
    if not found:
        raise DeepSignError(f"{manifest} lists no images")
    return list(found.values())


def _manifest_rows(manifest: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            if not {"path", "writer", "kind"} <= set(header) or len(set(header)) < len(header):
                raise DeepSignError(
                    f"{manifest} must begin with the columns path,writer,kind[,forger], "
                    f"separated by commas, but begins with {header}"
                )
            for row in reader:
                if row and len(row) != len(header):
                    raise DeepSignError(
                        f"{manifest}, line {reader.line_num}: {len(row)} values for "
                        f"{len(header)} columns; quote values that hold commas"
                    )
                if row:
                    yield reader.line_num, dict(zip(header, row, strict=True))
    except UnicodeDecodeError as error:
        raise DeepSignError(f"{manifest} is not UTF-8 text: save it as CSV in UTF-8") from error
    except (csv.Error, OSError) as error:
        raise DeepSignError(f"{manifest} cannot be read as CSV: {error}") from error


def _find_named(
    tell: Callable[[Path], tuple[str, str] | None], root: Path, folder: Path
) -> list[Found] | None:
    """Files one folder deep whose own names tell writer and kind."""
    files = [path for inner in _folders(root, folder) for path in _visible(root, inner)]
    if not any(map(tell, files)):
        return None
    return [_found(root, path, *(tell(path) or ())) for path in files]


def _tell_bhsig260(path: Path) -> tuple[str, str] | None:
    name, writer = _BHSIG260.fullmatch(path.stem), path.parent.name
    if not name or not writer.isdecimal() or int(name[1]) != int(writer):
        return None
    return writer, "genuine" if name[2].upper() == "G" else "forgery"


def _tell_cedar(path: Path) -> tuple[str, str] | None:
    name = _CEDAR.fullmatch(path.stem)
    if not name:
        return None
    return str(int(name[2])), "genuine" if name[1].lower() == "original" else "forgery"


def _find_idcar(root: Path, folder: Path) -> list[Found] | None:
    folders = _folders(root, folder)
    names = {inner.name for inner in folders}
    forged = {name: match[1] for name in names if (match := _FORGED_FOLDER.fullmatch(name))}
    if not names & set(forged.values()):
        return None
    found = []
    for inner in folders:
        writer = forged.get(inner.name)
        for path in _visible(root, inner):
            if writer is None:
                found.append(_found(root, path, inner.name, "genuine"))
            else:
                found.append(_found(root, path, writer, "forgery", _forger(path.stem, writer)))
    return found


def _forger(stem: str, writer: str) -> str | None:
    """Forger's number in an ICDAR-2011 name, `<forger><writer>_<n>` with digits run together."""
    match = re.search(rf"(?<![0-9])([0-9]+){re.escape(writer)}(?![0-9])", stem)
    return match[1] if match else None


LAYOUTS = ("manifest", "bhsig260", "cedar", "idcar")
"""Names of the known layouts, in the order in which they are tried."""

_FINDERS: dict[str, Callable[[Path, Path], list[Found] | None]] = {
    "manifest": _find_manifest,
    "bhsig260": partial(_find_named, _tell_bhsig260),
    "cedar": partial(_find_named, _tell_cedar),
    "idcar": _find_idcar,
}
_SHAPES = {
    "manifest": "a manifest.csv with the columns path,writer,kind[,forger]",
    "bhsig260": "<w>/B-S-<w>-G-<nn>.tif and -F- (H- for Hindi)",
    "cedar": "full_org/original_<w>_<n>.png and full_forg/forgeries_<w>_<n>.png",
    "idcar": "<writer>/* and <writer>_forg/*",
}
_PROBLEMS = {
    "not an image": f"its ending is not one of {' '.join(ENDINGS)}",
    "not a file": "a folder, a broken link or a special file",
    "unexpected name": "its name does not tell writer and kind",
    "name not UTF-8": "rename it: its name cannot be written in a table",
}


def _found(
    root: Path, path: Path, writer: str = "", kind: str = "", forger: str | None = None
) -> Found:
    problem = ""
    if not _is_file(path):
        problem = "not a file"
    elif path.suffix.lower() not in ENDINGS:
        problem = "not an image"
    elif not kind:
        problem = "unexpected name"
    return Found(_relative(root, path), writer, kind, forger, problem)


# Paths


def _visible(root: Path, folder: Path) -> list[Path]:
    """Children in a fixed order, without hidden files and what systems leave behind."""
    try:
        inside = list(folder.iterdir())
    except OSError as error:  # no permission, or gone meanwhile
        raise DeepSignError(f"{_utf8(str(folder))} cannot be read: {error.strerror}") from error
    paths = sorted(
        path
        for path in inside
        if not path.name.startswith(".")
        and path.name != "__MACOSX"
        and not _CLUTTER.fullmatch(path.name)
    )
    for path in paths:
        if path.is_symlink():
            _refuse_outside(root, path)
    return paths


def _folders(root: Path, folder: Path) -> list[Path]:
    return [path for path in _visible(root, folder) if _is_dir(path)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name longer than the file system allows
        return False


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a link to a name like that
        return False


def _refuse_outside(root: Path, path: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise _outside(path)


def _outside(path: Path) -> DeepSignError:
    return DeepSignError(
        f"{_utf8(str(path))} leads outside the dataset's folder: nothing there is read. Copy the "
        "files into the folder, or give the folder that holds them all"
    )


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _is_utf8(name: str) -> bool:
    # The file system's undecodable bytes come as lone surrogates, which no UTF-8 text can hold.
    return _utf8(name) == name


def _utf8(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


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


def _some(names: Iterable[str]) -> str:
    names = [_utf8(str(name)) for name in names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _names() -> str:
    return ", ".join(LAYOUTS)
