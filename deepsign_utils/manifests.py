"""A manifest: a table that says whose each image is. Reading one, and writing a first one.

Read as spreadsheets and scripts leave it: comma, semicolon or tab; UTF-8, UTF-16 or Windows-1252;
paths with either slash, relative to the manifest's folder or absolute inside it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, TypeAlias

from deepsign_utils import DeepSignError
from deepsign_utils.layouts import LETTERS, Told, Tree, meaning, recognise, words

NAME = "manifest.csv"
UNSURE = "unsure"
"""Column of a guessed manifest: what is to be checked. A manifest is read when it is empty."""

_COLUMNS = ("path", "writer", "kind")
_DELIMITERS = ",;\t|"
_SHOWN = 5
_Names: TypeAlias = "dict[Path, dict[str, list[str]]]"
"""What a folder holds, seen before: name in lower case -> as it is spelt there."""


# Reading


def read(root: Path, manifest: str) -> dict[str, Told]:
    """What a manifest says of the images below a folder.

    Parameters
    ----------
    root : Path
        The dataset's folder: nothing outside it is read.
    manifest : str
        The manifest's path relative to it.

    Returns
    -------
    dict
        Path relative to `root` -> `Told`; of a file that is not there, the path as listed.

    Raises
    ------
    DeepSignError
        Naming the line: if a column, a writer or a kind is missing or not understood, a file is
        listed twice or outside the folder, or a row is still marked unsure. If more than half of
        the files are missing.
    """
    file = root / manifest
    refuse_outside(root, file)
    rows = [
        (line, {name.lower(): value for name, value in row.items()})
        for line, row in read_rows(file, _COLUMNS)
    ]
    unsure = [line for line, row in rows if row.get(UNSURE, "").strip()]
    if unsure:
        raise DeepSignError(
            f"{file} still marks {len(unsure)} rows as unsure, the first in line {unsure[0]}: "
            f"correct them, then empty the column '{UNSURE}'"
        )
    numbers = _numbers(rows)
    told: dict[str, Told] = {}
    missing = []
    names: _Names = {}
    for line, row in rows:
        where = f"{file}, line {line}"
        kind = numbers.get(row["kind"].strip()) or kind_of(row["kind"])
        if kind is None:
            hint = (
                ". 0 and 1 mean opposite things in different datasets"
                if row["kind"].strip() in ("0", "1")
                else ""
            )
            raise DeepSignError(
                f"{where}: kind must be genuine or forgery, not {row['kind']!r}{hint}"
            )
        writer = _name(row["writer"])
        if not writer:
            raise DeepSignError(f"{where}: the writer is missing")
        if not row["path"].strip():
            raise DeepSignError(f"{where}: the path is missing")
        path = _inside(root, file.parent, row["path"].strip(), names)
        if path is None:
            path = utf8(row["path"].strip())[:1000]
            missing.append(path)
        if path in told:
            raise DeepSignError(
                f"{where}: '{path}' is listed a second time: remove one of the two lines"
            )
        told[path] = Told(writer, kind, _name(row.get("forger", "")) or None)
    told |= dict.fromkeys(missing, Told(problem="missing"))
    if len(missing) > len(told) / 2:
        raise DeepSignError(
            f"{file} names {len(missing)} files that do not exist beside it: {some(missing)}. "
            "Its paths are relative to its own folder"
        )
    if not told:
        raise DeepSignError(f"{file} lists no images")
    return told


def _name(text: str) -> str:
    """A person's name in one spelling: composed letters, and single plain spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def kind_of(text: str) -> str | None:
    """Kind that a text names, however it is spelt: real, original, forged, fake, forgery."""
    return LETTERS.get(text.strip().lower()) or _said(text)


def _said(text: str) -> str | None:
    kind = meaning(text)
    return kind if kind in ("genuine", "forgery") else None


def kinds_said(images: Sequence[str]) -> set[str | None]:
    """What the words of each path say: genuine, forgery, or None where they say neither or both."""
    said = {path: {*map(_said, words(_stem(path)))} - {None} for path in images}
    return {next(iter(kinds)) if len(kinds) == 1 else None for kinds in said.values()}


def _numbers(rows: Sequence[tuple[int, dict[str, str]]]) -> dict[str, str]:
    """What 0 and 1 mean as kinds: what the paths of their rows say, if all that speak agree."""
    said: dict[str, set[str]] = defaultdict(set)
    for _, row in rows:
        if row["kind"].strip() in ("0", "1"):
            parts = _stem(row["path"].replace("\\", "/")).split("/")
            said[row["kind"].strip()] |= {kind for kind in map(_said, parts) if kind}
    meanings = {number: words.pop() for number, words in said.items() if len(words) == 1}
    return meanings if len(set(meanings.values())) == 2 else {}


def read_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table as spreadsheets and scripts leave it.

    Parameters
    ----------
    file : Path
    columns : sequence of str
        In lower case: those it must have, however it spells them.

    Yields
    ------
    line : int
        Of the file.
    row : dict
        Column as the file names it -> text.

    Raises
    ------
    DeepSignError
        If it cannot be read, lacks a column, or a row has more or fewer values than the header;
        empty ones at the end do not count.
    """
    line = 0
    try:
        text, skipped = _table(_decoded(file.read_bytes()))
        if "\0" in text:
            raise DeepSignError(f"{utf8(str(file))} is no table in text: give a CSV, in UTF-8")
        reader, header = _dialect(text, columns)
        header = _without_empty_end(header, 0)
        if why := _lacking(header, columns):
            raise DeepSignError(f"{utf8(str(file))} {why}")
        line = reader.line_num + skipped
        for read in reader:
            line = reader.line_num + skipped
            row = _without_empty_end(read, len(header))
            if any(cell.strip() for cell in row) and len(row) != len(header):
                raise DeepSignError(
                    f"{utf8(str(file))}, line {line}: {len(row)} values for "
                    f"{len(header)} columns; quote values that hold its delimiter"
                )
            if any(cell.strip() for cell in row):
                yield line, dict(zip(header, row, strict=True))
    except csv.Error as error:
        # Of a quote that is never closed, only where it may begin is known.
        raise DeepSignError(
            f"{utf8(str(file))} cannot be read as CSV from line {line + 1} on: {error}"
        ) from error
    except OSError as error:
        raise DeepSignError(
            f"{utf8(str(file))} cannot be read: {error.strerror or error}"
        ) from error


def written_as(file: Path, columns: Sequence[str]) -> tuple[str, str, str]:
    """How a table is written for those who wrote another one.

    Parameters
    ----------
    file : Path
        The other one, which `read_rows` reads.
    columns : sequence of str
        That it must have.

    Returns
    -------
    above : str
        Excel's line that names the delimiter, such as ``sep=;``, if the other one has it.
    delimiter : str
        That of the other one.
    encoding : str
        UTF-8; marked as such, for spreadsheets, where the other one was not plain UTF-8.
    """
    content = file.read_bytes()
    text = _decoded(content)
    table, _ = _table(text)
    above = text.removesuffix(table).strip()
    delimiter = _dialect(table, columns)[0].dialect.delimiter
    try:
        plain = content.decode("utf-8")
    except UnicodeDecodeError:
        return above, delimiter, "utf-8-sig"
    marked = "\0" in plain or plain.startswith("\ufeff")
    return above, delimiter, "utf-8-sig" if marked else "utf-8"


def _table(text: str) -> tuple[str, int]:
    """A table's text without the empty lines above it, and Excel's own one; how many there were."""
    above = re.match(r"(?:[ \t]*(?:sep=.[ \t]*)?\r?\n)*", text, re.IGNORECASE)
    assert above is not None
    return text[above.end() :], above[0].count("\n")


def _without_empty_end(cells: list[str], least: int) -> list[str]:
    """Cells without the empty ones at their end, which spreadsheets leave, down to so many."""
    end = len(cells)
    while end > least and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


def _decoded(content: bytes) -> str:
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    for zero, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if content[zero : zero + 1] == b"\0" and content[1 - zero : 2 - zero] != b"\0":
            return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _dialect(text: str, columns: Sequence[str]) -> tuple[Any, list[str]]:
    """A CSV reader below the header, and the header, by the delimiter that gives most columns."""
    read = []
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        with contextlib.suppress(csv.Error):  # quotes that another delimiter explains
            read.append((reader, [name.strip() for name in next(reader, [])]))
    if not read:
        raise csv.Error("its first line has an unfinished quote")
    return max(read, key=lambda one: len(set(columns) & {name.lower() for name in one[1]}))


def _lacking(header: Sequence[str], columns: Sequence[str]) -> str:
    """What is wrong with a table's header; empty where nothing is."""
    spelt = Counter(name.lower() for name in header)
    missing = [name for name in columns if name not in spelt]
    if len(missing) == len(columns):
        why = f"separated by commas, semicolons or tabs, but begins with {some(header)}"
    elif missing:
        why = f"but has no {' and no '.join(missing)}: it has {some(header)}"
    elif twice := [name for name, count in spelt.items() if count > 1]:
        why = f"but has several called {some(twice)}: rename or remove all but one"
    else:
        return ""
    return f"must have the columns {', '.join(columns)}, {why}"


def _inside(root: Path, folder: Path, text: str, names: _Names) -> str | None:
    """A manifest's path relative to the dataset's folder; None if there is no such file.

    As on Windows, case does not matter where one file alone fits.
    """
    for spelt in dict.fromkeys((text, text.replace("\\", "/"))):
        windows = PureWindowsPath(spelt)
        if posixpath.isabs(spelt) or (windows.drive and len(windows.parts) > 1):
            path = _absolute(root, folder, windows if windows.drive else Path(spelt))
        else:
            path = posixpath.normpath(spelt or ".")
            if path.split("/")[0] == "..":
                raise outside(folder / path)
            path = (folder / path).relative_to(root).as_posix()
        if path is not None and not is_file(root / path):
            path = _in_other_case(root, path, names)
        if path is not None and is_file(root / path):
            refuse_outside(root, root / path)
            return path
    return None


def _in_other_case(root: Path, path: str, names: _Names) -> str | None:
    """The path as the folders below `root` spell it: exactly so, or so but for case and for how
    accents are composed, as on a Mac."""
    found = root
    for part in path.split("/"):
        if found not in names:
            names[found] = {}
            try:
                for one in found.iterdir():
                    names[found].setdefault(_folded(one.name), []).append(one.name)
            except (OSError, ValueError):
                return None
        spelt = names[found].get(_folded(part), [])
        if part in spelt:
            found /= part
        elif len(spelt) == 1:
            found /= spelt[0]
        else:
            return None
    return found.relative_to(root).as_posix()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _absolute(root: Path, folder: Path, path: Path | PureWindowsPath) -> str | None:
    """Where an absolute path lies: in the dataset, or where the dataset was when it was listed."""
    if isinstance(path, Path):
        path = Path(os.path.normpath(path))
        for base in (root.absolute(), root.resolve()):
            if path.is_relative_to(base):
                return path.relative_to(base).as_posix()
    parts = path.parts
    name = folder.resolve().name
    if name in parts and ".." not in parts:
        after = len(parts) - 1 - parts[::-1].index(name)
        return (folder / Path(*parts[after + 1 :])).relative_to(root).as_posix()
    raise outside(Path(str(path)))


# A first manifest


def draft(root: Path, tree: Tree, pattern: str | None = None) -> tuple[list[dict[str, str]], str]:
    """Guess whose each image of a folder is.

    Parameters
    ----------
    root : Path
        The folder.
    tree : Tree
        What lies in it.
    pattern : str, optional
        How a path, relative to the folder and without ending, tells: ``{writer}``, ``{kind}``,
        ``{forger}`` and ``{n}`` (a number) stand for themselves, ``*`` for anything but a slash.

    Returns
    -------
    rows : list of dict
        `path`, `writer`, `kind`, `forger` and `unsure` (what is to be checked, or empty) of every
        image, in order of path.
    source : str
        What told: the pattern, a layout's name, or "names".

    Raises
    ------
    DeepSignError
        If there are no images, or the pattern is wrong or fits none of them.
    """
    images = tree.images
    if not images:
        raise DeepSignError(f"{root} holds no images: there is nothing to list")
    if pattern is not None:
        matcher = _pattern(pattern)
        told = {path: match for path in images if (match := matcher.fullmatch(_stem(path)))}
        if not told:
            raise DeepSignError(
                f"the pattern {pattern!r} fits none of the {len(images)} images, such as "
                f"{images[0]!r} (patterns are without the ending)"
            )
        guesses = {path: _by_pattern(told.get(path)) for path in images}
        source = f"the pattern {pattern}"
    else:
        name, known = recognise(tree)
        source = f"the layout {name}" if name else "names"
        guesses = _by_names(images) if not name else {p: _known(known.get(p)) for p in images}
    return [{"path": path} | guesses[path] for path in images], source


def to_csv(rows: Sequence[dict[str, str]]) -> str:
    """A drafted manifest as text; the column of doubts only where there are any."""
    columns = ["path", "writer", "kind", "forger"]
    columns += [UNSURE] if any(row[UNSURE] for row in rows) else []
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _guess(writer: str, kind: str, forger: str | None = None, unsure: str = "") -> dict[str, str]:
    doubts = [unsure] if unsure else []
    doubts += [f"{name}?" for name, value in (("writer", writer), ("kind", kind)) if not value]
    return {"writer": writer, "kind": kind, "forger": forger or "", UNSURE: ", ".join(doubts)}


def _known(told: Told | None) -> dict[str, str]:
    if told is None or told.problem:
        return _guess("", "", None, told.problem if told else "")
    return _guess(told.writer, told.kind, told.forger)


def _stem(path: str) -> str:
    folders, slash, name = path.rpartition("/")
    return folders + slash + name.rpartition(".")[0]


def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression."""
    groups = {"{writer}": "(?P<writer>[^/]+?)", "{kind}": "(?P<kind>[^/]+?)"}
    groups |= {"{forger}": "(?P<forger>[^/]+?)", "{n}": "[0-9]+", "*": "[^/]*"}
    names = re.findall(r"\{[^}]*\}", pattern)
    wrong = [name for name in names if name not in groups]
    wrong += [name for name in set(names) - {"{n}"} if names.count(name) > 1]
    if wrong or "{writer}" not in names:
        raise DeepSignError(
            f"the pattern {pattern!r} must hold {{writer}}, and may hold {{kind}} and {{forger}} "
            "(each once), {n} and *, such as '{writer}/{kind}_{n}'"
        )
    stem = re.sub(r"\.(?:png|tiff?|jpe?g|bmp|\*)$", "", pattern.strip("/"), flags=re.IGNORECASE)
    parts = re.split(r"(\{[^}]*\}|\*)", stem)
    return re.compile("".join(groups.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _by_pattern(match: re.Match[str] | None) -> dict[str, str]:
    if match is None:
        return _guess("", "", None, "does not fit the pattern")
    groups = match.groupdict()
    said = groups.get("kind")
    return _guess(groups["writer"], kind_of(said or "") or "", groups.get("forger"))


def _by_names(images: Sequence[str]) -> dict[str, dict[str, str]]:
    """Guess from words: a kind from the words of the path, a writer from what else it says."""
    read = {path: _words(path) for path in images}
    folders = Counter(folder for folder, _, _ in read.values())
    by_folder = sum(1 for folder in folders if folder) > 1
    # Folders of one name in several places may be people's years as well as datasets' writers.
    places: dict[str, set[str]] = {}
    for path, (folder, _, _) in read.items():
        places.setdefault(folder, set()).add(f"/{path}".split(f"/{folder}/")[0])
    marked = any(kinds == {"forgery"} for _, _, kinds in read.values())
    guesses = {}
    for path, (folder, name, kinds) in read.items():
        writer = folder if by_folder and folder else name
        sure = not writer or (writer == folder and len(places[folder]) == 1)
        unsure = "" if sure else "writer guessed"
        kind = next(iter(kinds)) if len(kinds) == 1 else ""
        if not kinds and marked:
            kind, unsure = "genuine", ", ".join(filter(None, [unsure, "kind guessed"]))
        guesses[path] = _guess(writer, kind, None, unsure)
    return guesses


def _words(path: str) -> tuple[str, str, set[str]]:
    """The folder that may name the writer, what of the file's name may, and the kinds it says."""
    *above, name = _stem(path).split("/")
    tokens = words(name)
    kinds = {kind for kind in map(_said, (*above, *tokens)) if kind}
    folder = next((part for part in reversed(above) if meaning(part) is None), "")
    rest = [token for token in tokens if meaning(token) is None]
    if len(rest) > 1 and rest[-1].isdecimal():
        rest.pop()  # the signature's number
    return folder, "_".join(rest), kinds


# Paths


def is_file(path: Path) -> bool:
    """Whether a file is there; False for a name that the file system does not take."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def refuse_outside(root: Path, path: Path) -> None:
    """Refuse a path whose links lead out of the dataset's folder."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise outside(path)


def outside(path: Path) -> DeepSignError:
    """The refusal of what lies outside the dataset's folder."""
    return DeepSignError(
        f"{utf8(str(path))} leads outside the dataset's folder: nothing there is read. Copy the "
        "files into the folder, or give the folder that holds them all"
    )


def utf8(name: str) -> str:
    """A name that any text can hold; undecodable bytes come escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    names = [utf8(str(name))[:200] for name in names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
