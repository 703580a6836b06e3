"""Files that are never half there, and that are known again: atomic writing, hashes, seals."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deepsign_utils import DeepSignError


def write_atomically(file: Path, content: str | bytes) -> None:
    """Write a file beside its place, then rename it into place: it is never half there.

    A file that already holds this content is left alone, so that Make sees no change.

    Raises
    ------
    DeepSignError
        As `replacing`.
    """
    content = content.encode() if isinstance(content, str) else content
    with replacing(file) as beside:
        if not (file.is_file() and file.read_bytes() == content):
            beside.write_bytes(content)


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A place beside a file: what was written there takes the file's place at the end.

    A symbolic link stays, and what it leads to is replaced.

    Raises
    ------
    DeepSignError
        If the file is a folder, device, pipe or socket, or cannot be written (disk full, no
        permission); what was there stays as it was.
    """
    place = written_at(file)
    beside = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        if beside.exists():
            beside.replace(place)
    except OSError as error:
        raise _unwritable(file, error.strerror) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def written_at(file: Path) -> Path:
    """Where a file is written: itself, or what its symbolic link leads to.

    Raises
    ------
    DeepSignError
        If a file would take the place of a folder, device, pipe or socket, or of what this very
        command prints to.
    """
    try:
        found = file.stat()
    except FileNotFoundError:  # a link may lead to what is not there yet
        return Path(os.path.realpath(file))
    except OSError as error:
        raise _unwritable(file, error.strerror) from error
    if stat.S_ISDIR(found.st_mode):
        raise _unwritable(file, "it is a folder; name a file")
    if not stat.S_ISREG(found.st_mode):
        raise _unwritable(file, "it is a device, pipe or socket; name a file")
    for printed in (1, 2):
        with contextlib.suppress(OSError):  # closed
            if os.path.samestat(found, os.fstat(printed)):
                raise _unwritable(file, "the messages of this command go there; name another file")
    return Path(os.path.realpath(file))


def _unwritable(file: Path, why: str | None) -> DeepSignError:
    return DeepSignError(f"{file} cannot be written: {why}.")


def check_ending(file: Path, endings: Sequence[str]) -> None:
    """Refuse an output whose name promises what is not written; capitals do not count.

    Raises
    ------
    DeepSignError
    """
    if file.suffix.lower() not in endings:
        raise DeepSignError(f"The output {file} must end in {' or '.join(endings)}.")


def check_output(file: Path, inputs: Iterable[Path] = (), endings: Sequence[str] = ()) -> None:
    """Refuse an output that cannot be written, or is an input, before hours of work.

    Parameters
    ----------
    file : Path
        To be written later, with `write_atomically`.
    inputs : iterable of Path
        Files that are read; of a folder, every file in it.
    endings : sequence of str
        That its name may have, such as ``.csv``; empty: any.

    Raises
    ------
    DeepSignError
    """
    place = written_at(file)
    if place.exists():
        for path in inputs:
            among = path.is_dir() and place.is_relative_to(path.resolve())
            if among or (path.exists() and path.samefile(place)):
                raise DeepSignError(
                    f"The output {file} is an input and would be overwritten: name another."
                )
    if endings:
        check_ending(file, endings)
    check_writable(place, file)


def check_writable(place: Path, named: Path) -> None:
    """Refuse a place where nothing can be written, by the name that the user gave.

    Raises
    ------
    DeepSignError
    """
    try:
        # Folders that are not there yet are made when there is something to write.
        folder = next(above for above in place.parents if above.exists())
        beside = folder / f".{place.name}.{os.getpid()}.partial"
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise _unwritable(named, error.strerror) from error


def check_new_folder(folder: Path) -> None:
    """Refuse an output folder that holds something or cannot be written, before hours of work.

    Raises
    ------
    DeepSignError
    """
    if folder.exists() and not folder.is_dir():
        raise DeepSignError(f"The output {folder} is a file; name a new folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise DeepSignError(f"{folder} is not empty: name a new folder.")
    check_writable(folder.absolute() / "written", folder)


def write_json(file: Path, content: Any) -> None:
    """Write JSON atomically; floats keep every digit, NaN is refused."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(file, text + "\n")


def write_artefact(file: Path, content: Any) -> None:
    """Write what a chapter hands on and, hidden beside it, the hash that vouches for it.

    Parameters
    ----------
    file : Path
        Its ending says how: ``.parquet`` or ``.csv`` for a data frame, ``.json`` for the rest. Of a
        frame's index, Parquet keeps one that has a name.
    content : object
        What `read_artefact` gives back.
    """
    if file.suffix == ".parquet":
        write_atomically(file, content.to_parquet(index=content.index.name is not None))
    elif file.suffix == ".csv":
        write_atomically(file, content.to_csv(index=False))
    else:
        write_json(file, content)
    write_atomically(_voucher(file), f"{digest(file)}  {file.name}\n")


def read_artefact(file: Path) -> Any:
    """Read what `write_artefact` wrote.

    Raises
    ------
    DeepSignError
        If it is missing, damaged, or not the one that was written there.
    """
    import pandas as pd

    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".json": json.loads}
    again = "Delete it and run `make report` again: it is made anew."
    try:
        content = file.read_bytes()
        known = is_as_written(file)
    except FileNotFoundError as error:
        raise DeepSignError(
            f"{file} is missing. The chapters before write it: run them with the same `study`, or "
            "all of them with `make report`, whose RUN=… names that study."
        ) from error
    except OSError as error:
        raise DeepSignError(f"{file} cannot be read: {error.strerror}.") from error
    if not known:
        raise DeepSignError(
            f"{file} is not the file that the study wrote: it was damaged or changed, or is of "
            f"another study. {again}"
        )
    try:
        return readers[file.suffix](content if file.suffix == ".json" else io.BytesIO(content))
    except Exception as error:  # a damaged file can raise nearly anything
        raise DeepSignError(f"{file} is damaged and cannot be read. {again}") from error


def _voucher(file: Path) -> Path:
    return file.with_name(f".{file.name}.sha256")


def is_as_written(file: Path) -> bool:
    """Whether a file is there and, where its hash was written down, still has it."""
    voucher = _voucher(file)
    if not (file.exists() and voucher.exists()):
        return file.exists()
    return voucher.read_bytes() == f"{digest(file)}  {file.name}\n".encode()


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes or, for a folder, of its files' names, sizes and times."""
    if path.is_file():
        with path.open("rb") as stream_:
            return hashlib.file_digest(stream_, "sha256").hexdigest()
    listing = sorted(
        (str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in path.rglob("*")
        if file.is_file()
    )
    return hashlib.sha256(ascii(listing).encode()).hexdigest()


SEAL = "SHA256SUMS"


def seal(folder: Path) -> None:
    """Write down the hashes of a folder's files, as ``sha256sum`` does, so that they stay together.

    Hidden files do not count.
    """
    files = sorted(file for file in folder.glob("[!.]*") if file.is_file() and file.name != SEAL)
    write_atomically(folder / SEAL, "".join(f"{digest(file)}  {file.name}\n" for file in files))


def check_seal(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder whose files are not those that were sealed.

    It finds damage and files of another model. Whoever wants to deceive can seal anew: take a model
    only from where you trust it.

    Parameters
    ----------
    folder : Path
        Sealed with ``seal``.
    names : sequence of str
        Files that must be among the sealed ones.

    Raises
    ------
    DeepSignError
        Naming the first file that is missing or changed; or if it is no such folder at all.
    """
    if not any((folder / name).exists() for name in (*names, SEAL)):
        within = folder / "model"
        meant = f" Do you mean {within}?" if (within / SEAL).is_file() else ""
        raise DeepSignError(f"{folder} is no model folder: it has no {names[0]}.{meant}")
    again = "take the model folder from its source again, or delete it and run `make report`."
    try:
        lines = (folder / SEAL).read_text(encoding="utf-8").splitlines()
        sealed = {name: sum_ for sum_, name in (line.split("  ", 1) for line in lines)}
    except FileNotFoundError as error:
        raise DeepSignError(
            f"{folder / SEAL} is missing, so that nothing tells whether the model's files belong "
            f"together: {again}"
        ) from error
    except (OSError, ValueError) as error:
        raise DeepSignError(f"{folder / SEAL} is damaged: {again}") from error
    for name in dict.fromkeys([*names, *sealed]):
        file = folder / name
        if name not in sealed or Path(name).name != name:
            raise DeepSignError(f"{folder / SEAL} does not vouch for {name}: {again}")
        if not file.is_file():
            raise DeepSignError(f"{file} is missing: {again}")
        if digest(file) != sealed[name]:
            raise DeepSignError(
                f"{file} is not the file that was written with this model: it was changed or "
                f"damaged, or is of another model. Please {again}"
            )


def clear_partial(folder: Path) -> None:
    """Remove what processes that were killed left half written below a folder."""
    for partial in folder.rglob(".*.partial*"):
        number = re.search(r"\.(\d+)\.partial", partial.name)
        if number and not _is_running(int(number[1])):
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
