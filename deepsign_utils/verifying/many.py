"""Many images embedded, many pairs judged: in blocks, so that memory does not grow with them.

Finished blocks wait in a hidden folder beside the output, each with a hash of what it was made of:
a command that is given again after a kill makes only those that are missing.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import compress, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from deepsign_utils import DeepSignError, __version__, manifests, scoring
from deepsign_utils.preprocessing import ENDINGS, finely, load_image, plain
from deepsign_utils.study.artefacts import (
    check_ending,
    replacing,
    write_atomically,
    written_at,
)
from deepsign_utils.study.cluster import connected
from deepsign_utils.study.processes import progress_bar
from deepsign_utils.verifying import copies, misfit
from deepsign_utils.verifying.comparison import ASKEW, NOT_UPRIGHT, TOO_COARSE
from deepsign_utils.verifying.pages import WhichSignatureError, from_page
from deepsign_utils.verifying.references import References
from deepsign_utils.verifying.scan_faults import UNDER_A_STAMP
from deepsign_utils.verifying.verifier import Told, Verifier

BLOCK = 2048
"""Images that a kill may cost."""

PAIRS = 512
"""Pairs that a kill may cost: each takes longer than an image."""

ADDED = ("score", "decision", "reason", "where", "warnings")
"""Columns that `compare_pairs` adds to a table of pairs."""

_PROBLEMS = " problems"  # kept until a table is finished; no column of a user's, by its space

Table = dict[str, np.ndarray]
"""Columns by name."""

_SIDES = ("left", "right")
_REMEMBERED = 8_000  # embeddings of files that later pairs may name again: some 45 MB
_IN_HAND = 2  # blocks for each worker of a cluster


# --- images --------------------------------------------------------------------------------------


def image_files(given: Sequence[Path]) -> list[Path]:
    """The files of a list of files and folders: of a folder, every image in it, sorted.

    Raises
    ------
    DeepSignError
        If a path does not exist, or a folder holds no image.
    """
    files: list[Path] = []
    for path in given:
        if path.is_dir():
            found = sorted(f for f in _below(path) if f.suffix.lower() in ENDINGS)
            if not found:
                raise DeepSignError(f"{path} holds no image ({', '.join(ENDINGS)}).")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise DeepSignError(f"There is no file or folder {path}.")
    return list(dict.fromkeys(files))


def _below(folder: Path) -> Iterator[Path]:
    """The files in a folder and all below it, linked folders too, each once; no hidden ones."""
    seen = {os.path.realpath(folder)}
    for at, folders, names in os.walk(folder, followlinks=True):
        yield from (Path(at) / name for name in names if not name.startswith("."))
        shown = (name for name in sorted(folders) if not name.startswith("."))
        places = {name: os.path.realpath(Path(at) / name) for name in shown}
        folders[:] = [name for name, place in places.items() if place not in seen]
        seen |= set(places.values())


def embed_images(
    model: Path,
    files: Sequence[Path],
    output: Path,
    scheduler: str = "",
    block: int = BLOCK,
) -> list[str]:
    """Embed image files into a table: `path`, and `embedding`, float32 of unit length.

    Parameters
    ----------
    model : Path
        A model folder.
    files : sequence of Path
    output : Path
        Its ending says how: ``.npz``, two arrays, or ``.parquet``.
    scheduler : str
        Address of a Dask cluster that sees the same files; empty: this machine.
    block : int
        Images in a block.

    Returns
    -------
    list of str
        Why images were left out.

    Raises
    ------
    DeepSignError
        If the model folder is damaged, none of the images can be used, or the output has another
        ending or cannot be written.
    """
    _check_format(output, (".npz", ".parquet"))
    # Elsewhere in the cluster, relative paths would start from another folder.
    work = partial(_embed_block, model.absolute(), Path.cwd() if scheduler else Path())
    blocks = _blocks(map(str, files), block)
    parts = _made(output, f"embed {_identity(model)}", blocks, work, scheduler, len(files), "image")
    left_out = [str(reason) for part in parts for reason in _column(part, "left_out")]
    if len(left_out) == len(files):
        raise DeepSignError("\n".join([*left_out, f"None of the {len(files)} images can be used."]))
    write = _write_parquet if _is_parquet(output) else _write_npz
    _finish(output, parts, partial(write, names=("path", "embedding")))
    return left_out


def _embed_block(model: Path, folder: Path, paths: Sequence[str]) -> Table:
    embeddings, problems = _verifier(model).embed_files([folder / path for path in paths], False)
    used = [path for path in paths if folder / path not in problems]
    return {
        "path": np.array(used, str),
        "embedding": embeddings,
        "left_out": np.array(list(problems.values()), str),
    }


# --- pairs ---------------------------------------------------------------------------------------


def read_pairs(file: Path) -> Iterator[dict[str, str]]:
    """The rows of a table of pairs, as text, with `left` and `right` spelt so.

    Raises
    ------
    DeepSignError
        If it cannot be read as a table, lists no pair, lacks `left` or `right`, or has a column
        that `compare_pairs` adds.
    """
    for _, row in _numbered_pairs(file):
        yield row


def _numbered_pairs(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    empty = True
    for line, row in manifests.read_rows(file, _SIDES):
        empty = False
        if taken := set(ADDED) & set(row):
            raise DeepSignError(f"{file} already has the column {min(taken)}: rename or remove it.")
        yield line, {name.lower() if name.lower() in _SIDES else name: row[name] for name in row}
    if empty:
        raise DeepSignError(f"{file} lists no pairs below its first line.")


def _file(folder: Path, written: str) -> Path:
    """The image that a table names, with either slash, and without the spaces around it."""
    file = folder / written
    return file if file.exists() else folder / written.strip().replace("\\", "/")


def _incomplete(row: dict[str, str]) -> str:
    """Which image a pair lacks, in words; empty where it has both."""
    return next((f"the column {side} is empty" for side in _SIDES if not row[side].strip()), "")


def compare_pairs(
    model: Path,
    pairs: Path,
    output: Path,
    threshold: str = scoring.DEFAULT_THRESHOLD,
    scheduler: str = "",
    block: int = PAIRS,
) -> tuple[Counter[str], list[str]]:
    """Judge pairs of image files.

    Parameters
    ----------
    model : Path
        A model folder.
    pairs : Path
        CSV with the columns `left` (a reference) and `right` (questioned): paths relative to the
        table's folder. See `read_pairs`.
    output : Path
        The same table with `score` (float, empty where there is none), `decision` ("accepted",
        "rejected", "referred" or ""), `reason` (why there is no decision, or why a person has to
        decide, or ""), `where` (which part of a page or PDF was judged, or "") and `warnings` (what
        is wrong with the two images, or ""): ``.csv``, as `pairs` is written, or ``.parquet``.
    threshold : str
        As for `Verifier.compare`.
    scheduler : str
        Address of a Dask cluster that sees the same files; empty: this machine.
    block : int
        Pairs in a block.

    Returns
    -------
    decisions : Counter
        How often each was made.
    problems : list of str
        Why images cannot be used.

    Raises
    ------
    DeepSignError
        As `read_pairs`, or if the threshold is unknown, or the output is one of the images or has
        another ending.
    """
    _verifier(model.absolute()).scoring.rule(threshold, 1)
    if pairs.exists() and not (pairs.is_file() or pairs.is_dir()):
        raise DeepSignError(f"{pairs} is read more than once, and is no file: save it as one.")
    folder, rows = pairs.absolute().parent if scheduler else pairs.parent, 0
    written = output.resolve() if output.exists() else None
    problems: dict[str, None] = {}
    for line, row in _numbered_pairs(pairs):
        rows += 1
        if why := _incomplete(row):
            problems[f"{pairs}, line {line}: {why}"] = None
        if written and written in [_file(folder, row[side]).resolve() for side in _SIDES]:
            raise DeepSignError(
                f"The output {output} is an input and would be overwritten: name another."
            )
    _check_format(output, (".csv", ".parquet"))
    work = partial(_judge_block, model.absolute(), folder, threshold)
    blocks = _blocks(read_pairs(pairs), block)
    asked = f"compare {_identity(model)} {threshold}"
    parts = _made(output, asked, blocks, work, scheduler, rows, "pair")
    decisions: Counter[str] = Counter()
    for part in parts:
        decisions.update(map(str, _column(part, "decision")))
    problems |= dict.fromkeys(str(one) for part in parts for one in _column(part, _PROBLEMS))
    names = (*next(read_pairs(pairs)), *ADDED)
    as_given = manifests.written_as(pairs, _SIDES)
    write = _write_parquet if _is_parquet(output) else partial(_write_csv, written_as=as_given)
    _finish(output, parts, partial(write, names=names))
    return decisions, list(problems)


def _judge_block(
    model: Path, folder: Path, threshold: str, rows: Sequence[dict[str, str]]
) -> Table:
    verifier = _verifier(model)
    rule = verifier.scoring.rule(threshold, 1)
    left, right = ([_file(folder, row[side]) for row in rows] for side in _SIDES)
    incomplete = [_incomplete(row) for row in rows]
    with tempfile.TemporaryDirectory(prefix="deepsign-") as scratch:
        whole = [not text for text in incomplete]
        cuts, where, no_cut = _cut_from_pages(list(compress(right, whole)), Path(scratch))
        original = {cut: file for file, cut in cuts.items()}
        right = [cuts.get(file, file) for file in right]
        questioned = (file for file in compress(right, whole) if file not in no_cut)
        files = [*compress(left, whole), *questioned]
        embeddings, problems = _embedded(verifier, str(model), list(dict.fromkeys(files)))
        for cut in set(problems) & set(original):
            problems[cut] = problems[cut].replace(str(cut), str(original[cut]))
        # A page may be a reference of one pair, and questioned in another.
        reason = [
            lacking or problems.get(one) or no_cut.get(other) or problems.get(other) or ""
            for one, other, lacking in zip(left, right, incomplete, strict=True)
        ]
        judged = [row for row, text in enumerate(reason) if not text]
        score = np.full(len(rows), np.nan)
        score[judged] = _scores(verifier, embeddings, [(left[row], right[row]) for row in judged])
        decision = np.full(len(rows), "", "<U8")
        decision[judged] = rule.decide(score[judged])
        warnings = [""] * len(rows)
        for row in judged:
            pair = {
                side: embeddings[file]
                for side, file in zip(_SIDES, (left[row], right[row]), strict=True)
            }
            told, why = _looked_at(verifier, rule, pair, right[row], decision[row])
            warnings[row] = " ".join(told)
            if why:
                decision[row], reason[row] = "referred", why
            elif decision[row] == "referred":
                reason[row] = "the score lies between the two thresholds"
    table = {name: np.array([row[name] for row in rows], str) for name in rows[0]}
    return table | {
        "score": score,
        "decision": decision,
        "reason": np.array(reason, str),
        "where": np.array([where.get(original.get(file, file), "") for file in right], str),
        "warnings": np.array(warnings, str),
        _PROBLEMS: np.array([*no_cut.values(), *problems.values()], str),
    }


_WHY = {
    ASKEW: "it leans against the reference, and level would be accepted",
    NOT_UPRIGHT: "it is not upright against the reference, and turned would be accepted",
    TOO_COARSE: "the two are of very different resolution, too much for a rejection",
}
"""Why a person has to decide, by a remark's code."""


class _Embedding(NamedTuple):
    """An image's embedding, what is to be said of it, its centre lines, and its canvas, packed."""

    row: np.ndarray
    told: tuple[Told, ...]
    trace: bytes
    canvas: bytes

    @property
    def is_stamped(self) -> bool:
        return UNDER_A_STAMP.code in (one.code for one in self.told)

    @property
    def warnings(self) -> str:
        return " ".join(one.message for one in self.told)


def _scores(
    verifier: Verifier, embeddings: dict[Path, _Embedding], pairs: Sequence[tuple[Path, Path]]
) -> np.ndarray:
    """Scores of pairs of a reference and a questioned image, float (n,)."""
    if not pairs:
        return np.empty(0)
    place = {file: row for row, file in enumerate(embeddings)}
    rows = np.array([[place[file] for file in pair] for pair in pairs])
    known = np.stack([one.row for one in embeddings.values()])
    return scoring.score_against(known, rows[:, :1], rows[:, 1], verifier.scoring.population)[1]


def _looked_at(
    verifier: Verifier,
    rule: scoring.Rule,
    pair: dict[str, _Embedding],
    questioned: Path,
    decided: str,
) -> tuple[list[str], str]:
    """What is to be said of a pair's images, and why a person has to decide, if one has."""
    told = [f"{side}: {one.warnings}" for side, one in pair.items() if one.warnings]
    reference, other = (copies.Trace.from_bytes(one.trace) for one in pair.values())
    if decided != "rejected" and copies.alike(reference, other):
        return told, "a copy of the reference, not an independent signature"
    if any(one.is_stamped for one in pair.values()):
        return told, "a stamp or seal lies across a signature"

    size = verifier.preprocessing.canvas_height, verifier.preprocessing.canvas_width
    canvas = np.frombuffer(zlib.decompress(pair["right"].canvas), np.uint8).reshape(size)
    known = References(pair["left"].row[None], verifier.identity)

    def ink() -> np.ndarray:
        return misfit.kept(finely(plain(load_image(questioned))).field)

    def decision(turn: float) -> str:
        if not turn:
            return decided
        return str(rule.decide(verifier.score_turned(known, canvas, ink, turn)))

    found = misfit.remarks([reference], other, "right", decision)
    told += [f"right: {one.message}" for one in found]
    why = [_WHY[one.code] for one in found if one.code in _WHY]
    return told, next(iter(why), "")


_embeddings: dict[tuple[str, Path, int], _Embedding] = {}  # those used last stand last


def _embedded(
    verifier: Verifier, model: str, files: Sequence[Path]
) -> tuple[dict[Path, _Embedding], dict[Path, str]]:
    """Embeddings by file, those of the last blocks remembered, and why others have none."""
    keys = {file: (model, file, _changed_at(file)) for file in files}
    new = [file for file, key in keys.items() if key not in _embeddings]
    told: dict[Path, tuple[Told, ...]] = {}
    traces: dict[Path, bytes] = {}
    packed: list[bytes] = []
    rows, problems = verifier.embed_files(
        new, False, told, lambda canvas: packed.append(zlib.compress(canvas.tobytes())), traces
    )
    usable = (file for file in new if file not in problems)
    made = {
        keys[file]: _Embedding(row, told[file], traces[file], canvas)
        for file, row, canvas in zip(usable, rows, packed, strict=True)
    }
    found = {
        file: made[key] if key in made else _embeddings.pop(key)
        for file, key in keys.items()
        if file not in problems
    }
    _embeddings.update((keys[file], row) for file, row in found.items())
    for key in list(islice(_embeddings, max(0, len(_embeddings) - _REMEMBERED))):
        del _embeddings[key]
    return found, problems


def _cut_from_pages(
    files: Sequence[Path], folder: Path
) -> tuple[dict[Path, Path], dict[Path, str], dict[Path, str]]:
    """Cut the signatures out of the pages among files, into `folder`.

    Returns the cut image of each page, where it was, and of those without one signature why not.
    """
    cuts: dict[Path, Path] = {}
    where: dict[Path, str] = {}
    problems: dict[Path, str] = {}
    for file in dict.fromkeys(files):
        try:
            found = from_page(file)
        except WhichSignatureError as error:
            problems[file] = error.told()  # a table has no place for a page or a box
            continue
        except DeepSignError as error:
            problems[file] = str(error)
            continue
        if found is not None:
            cuts[file], where[file] = folder / f"{len(cuts)}.png", found.where
            Image.fromarray(found.image).save(cuts[file], compress_level=1)
    return cuts, where, problems


# --- blocks --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _verifier(model: Path) -> Verifier:
    """The model, loaded once in each process."""
    return Verifier.load(model)


def _identity(model: Path) -> str:
    """What an answer depends on besides the images."""
    verifier = _verifier(model.absolute())
    return f"{__version__} {verifier.identity} {verifier.scoring_hash}"


def _blocks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while block := list(islice(items, size)):
        yield block


def _changed_at(file: Path) -> int:
    return file.stat().st_mtime_ns if file.is_file() else 0


def _mark(asked: str, folder: Path, block: Sequence[Any]) -> str:
    """Hash of what a block is made of: the question, the names, sizes and times of its files."""
    told = hashlib.sha256(f"{asked} {folder.absolute()}".encode())
    for item in block:
        told.update(ascii(item).encode())
        paths = [item] if isinstance(item, str) else [item["left"], item["right"]]
        for path in paths:
            with contextlib.suppress(OSError):
                about = (folder / path).stat()
                told.update(f"{about.st_size} {about.st_mtime_ns}".encode())
    return told.hexdigest()


def _made(
    output: Path,
    asked: str,
    blocks: Iterator[list[Any]],
    work: partial[Table],
    scheduler: str,
    total: int,
    unit: str,
) -> list[Path]:
    """Make those parts of an output that are missing; all of them, in order.

    `work` makes a block's table; its second argument is the folder that paths start from.
    """
    folder = output.with_name(f".{output.name}.parts")
    parts: list[Path] = []
    with progress_bar(total=total, unit=unit, desc=output.name) as bar:

        def missing() -> Iterator[tuple[Path, list[Any]]]:
            for block in blocks:
                part = folder / f"{len(parts):06}-{_mark(asked, work.args[1], block)}.npz"
                parts.append(part)
                if part.is_file():
                    bar.update(len(block))
                    bar.refresh()  # or it would stand at nothing until the next block is made
                else:
                    yield part, block

        for part, block, table in _worked(work, missing(), scheduler):
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **table)
            write_atomically(part, content.getvalue())
            bar.update(len(block))
    return parts


def _worked(
    work: Callable[[list[Any]], Table], blocks: Iterator[tuple[Path, list[Any]]], scheduler: str
) -> Iterator[tuple[Path, list[Any], Table]]:
    if not scheduler:
        for part, block in blocks:
            yield part, block, work(block)
        return
    with connected(scheduler, "--scheduler ") as client:
        waiting: deque = deque()
        for part, block in blocks:
            waiting.append((part, block, client.submit(work, block, pure=False)))
            if len(waiting) >= _IN_HAND * max(1, len(client.scheduler_info()["workers"])):
                part, block, future = waiting.popleft()
                yield part, block, future.result()
        for part, block, future in waiting:
            yield part, block, future.result()


def _column(part: Path, name: str) -> np.ndarray:
    with np.load(part) as table:
        return table[name]


# --- the output ----------------------------------------------------------------------------------


def _check_format(output: Path, endings: Sequence[str]) -> None:
    written_at(output)
    check_ending(output, endings)
    if _is_parquet(output):
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise DeepSignError(
                f"{output}: Parquet needs a package that is not installed ({error.name}): "
                "pip install 'deepsign-utils[evaluate]'."
            ) from error


def _is_parquet(output: Path) -> bool:
    return output.suffix.lower() == ".parquet"


def _finish(output: Path, parts: Sequence[Path], write: Callable[..., None]) -> None:
    """Put the parts together, atomically, and remove them."""
    with replacing(output) as beside:
        write(beside, parts)
    shutil.rmtree(output.with_name(f".{output.name}.parts"), ignore_errors=True)


def _write_csv(
    file: Path, parts: Sequence[Path], names: Sequence[str], written_as: tuple[str, str, str]
) -> None:
    above, delimiter, encoding = written_as
    with file.open("w", encoding=encoding, newline="") as text:
        text.write(f"{above}\n" if above else "")
        rows = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        rows.writerow(names)
        for part in parts:
            columns = [_column(part, name).tolist() for name in names]
            for row in zip(*columns, strict=True):
                rows.writerow("" if value != value else value for value in row)  # NaN is not itself


def _write_npz(file: Path, parts: Sequence[Path], names: Sequence[str]) -> None:
    """As `np.savez` does, a part at a time."""
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            columns = (_column(part, name) for part in parts)
            filled = [(column.dtype, column.shape) for column in columns if len(column)]
            dtype = np.result_type(*(dtype for dtype, _ in filled))
            shape = (sum(shape[0] for _, shape in filled), *filled[0][1][1:])
            head = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, head)
                for part in parts:
                    if len(column := _column(part, name)):
                        member.write(np.ascontiguousarray(column, dtype).tobytes())


def _write_parquet(file: Path, parts: Sequence[Path], names: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def column(part: Path, name: str) -> pa.Array:
        values = _column(part, name)
        if values.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        return pa.array(values.tolist() if values.dtype.kind == "U" else values, from_pandas=True)

    writer = None
    try:
        for part in parts:
            if not len(_column(part, names[0])):
                continue
            table = pa.table({name: column(part, name) for name in names})
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
    finally:
        if writer:
            writer.close()
