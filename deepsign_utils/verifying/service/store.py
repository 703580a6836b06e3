"""Enrolments in an SQLite file: a writer's embedded references, and their images if asked for.

What `add` returned from is on disk, all of it; what was interrupted is not there at all. What is
deleted is overwritten in the file.
"""

import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepsign_utils import DeepSignError

_VERSION = 2
_SCHEMA = """
CREATE TABLE reference (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
    writer TEXT NOT NULL,
    model TEXT NOT NULL,
    enrolled_at TEXT NOT NULL,
    embedding BLOB NOT NULL,
    image BLOB,
    trace BLOB  -- centre lines, by which a copy is known; null for those enrolled by version 1
) STRICT;
CREATE INDEX reference_writer ON reference (writer);
"""


class TooManyReferencesError(DeepSignError):
    """The writer would have more references than allowed."""


class OtherModelError(DeepSignError):
    """The writer was enrolled with another model."""


class ChangedMeanwhileError(DeepSignError):
    """The writer's references are no longer those that the new ones were compared with."""


class Enrolled(NamedTuple):
    """One reference of a writer, without its embedding."""

    id: int
    model: str
    enrolled_at: str
    has_image: bool


class Store:
    """The enrolments of one SQLite file; its methods may be called from any thread.

    Parameters
    ----------
    file : Path
        Made where it does not exist, readable by its owner only.

    Raises
    ------
    DeepSignError
        If it cannot be opened, is damaged, or is no file of enrolments.
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = _opened(file)
        except (OSError, sqlite3.Error) as error:
            raise DeepSignError(
                f"{file} cannot be used as the store of enrolments: {error}."
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(
        self,
        writer: str,
        model: str,
        embeddings: np.ndarray,
        images: Sequence[bytes] | None,
        limit: int,
        traces: Sequence[bytes | None] | None = None,
        beside: Sequence[int] | None = None,
    ) -> list[Enrolled]:
        """Add references of a writer, all or none; return all that the writer has then.

        Parameters
        ----------
        writer : str
        model : str
            Identity of the model that embedded them.
        embeddings : float32 (k, d)
        images : sequence of bytes, optional
            The k image files, where they are to be kept.
        limit : int
            References that one writer may have.
        traces : sequence of bytes or None, optional
            From `copies.Trace.to_bytes`, where copies are to be known.
        beside : sequence of int, optional
            Ids of the references that these are no copies of, which must be all that there are.

        Raises
        ------
        ChangedMeanwhileError
            If the writer has others.
        TooManyReferencesError
        OtherModelError
            If the writer has references of another model.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock, _Transaction(self._database):
            before = self._references(writer)
            if beside is not None and [one.id for one in before] != list(beside):
                raise ChangedMeanwhileError("The writer's references have changed: try again.")
            if any(one.model != model for one in before):
                raise OtherModelError(_OTHER_MODEL)
            if len(before) + len(embeddings) > limit:
                raise TooManyReferencesError(
                    f"The writer has {len(before)} references, and {limit} are allowed."
                )
            blank: list[bytes | None] = [None] * len(embeddings)
            self._database.executemany(
                "INSERT INTO reference (writer, model, enrolled_at, embedding, trace, image) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (writer, model, now, embedding.astype("<f4").tobytes(), trace, image)
                    for embedding, trace, image in zip(
                        embeddings,
                        traces or blank,
                        images or blank,
                        strict=True,
                    )
                ],
            )
            return self._references(writer)

    def enrolled(
        self, writer: str, model: str
    ) -> tuple[list[int], np.ndarray, list[bytes | None]] | None:
        """A writer's references: ids, embeddings, float32 (k, d), and traces; None if the writer is
        not enrolled.

        Raises
        ------
        OtherModelError
            If they are another model's.
        """
        with self._lock:
            rows = self._database.execute(
                "SELECT model, embedding, trace, id FROM reference WHERE writer = ? ORDER BY id",
                (writer,),
            ).fetchall()
        if any(row[0] != model for row in rows):
            raise OtherModelError(_OTHER_MODEL)
        if not rows:
            return None
        embeddings = np.stack([np.frombuffer(row[1], "<f4") for row in rows])
        return [row[3] for row in rows], embeddings, [row[2] for row in rows]

    def references(self, writer: str) -> list[Enrolled]:
        """A writer's references, the oldest first; empty if the writer is not enrolled."""
        with self._lock:
            return self._references(writer)

    def _references(self, writer: str) -> list[Enrolled]:
        rows = self._database.execute(
            "SELECT id, model, enrolled_at, image IS NOT NULL FROM reference "
            "WHERE writer = ? ORDER BY id",
            (writer,),
        )
        return [Enrolled(number, model, at, bool(kept)) for number, model, at, kept in rows]

    def image(self, writer: str, reference: int) -> bytes | None:
        """The image file of a reference, or None if there is none, or it was not kept."""
        with self._lock:
            row = self._database.execute(
                "SELECT image FROM reference WHERE writer = ? AND id = ?", (writer, reference)
            ).fetchone()
        return row[0] if row else None

    def delete(self, writer: str) -> bool:
        """Delete a writer for good; False if the writer is not enrolled."""
        with self._lock, _Transaction(self._database):
            gone = self._database.execute("DELETE FROM reference WHERE writer = ?", (writer,))
            return gone.rowcount > 0


_OTHER_MODEL = (
    "The writer was enrolled with another model, whose embeddings this model cannot compare: "
    "delete the writer and enrol again, or serve the other model."
)


def _opened(file: Path) -> sqlite3.Connection:
    """A file of enrolments, made or brought up to date where need be."""
    if file.exists() and not file.is_file():
        raise OSError("it is a folder, device, pipe or socket; name a file")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        _prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    run = database.execute
    run("PRAGMA secure_delete = ON")
    run("PRAGMA synchronous = EXTRA")  # the journal's deletion, too, is on disk
    with _Transaction(database):
        version = run("PRAGMA user_version").fetchone()[0]
        tables = run("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables == 0:
            for statement in _SCHEMA.split(";\n"):
                run(statement)
            run(f"PRAGMA user_version = {_VERSION}")
        elif version == 1:
            run("ALTER TABLE reference ADD COLUMN trace BLOB")
            run(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise sqlite3.DatabaseError("it belongs to another program or version")
    if run("PRAGMA quick_check").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("it is damaged; restore it from a backup")


class _Transaction:
    """Begin, then commit, or roll back where something was raised."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None:
                self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:  # raised inside, or the disk was full
                self._database.execute("ROLLBACK")
