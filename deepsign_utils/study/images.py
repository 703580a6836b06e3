"""The images behind a study: what they were when it read them, and whether they still are.

Two files lie in the study's folder below ``data/built``. ``images.json`` names the content by hash
and is rewritten only when that changes: make compares its time. A listing beside it, of names,
sizes, times and hashes, spares reading 50,000 files to learn that nothing has happened.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsign_utils.layouts import CLUTTER
from deepsign_utils.study.artefacts import digest, write_atomically, write_json
from deepsign_utils.study.folders import CHAPTERS, Study

if TYPE_CHECKING:
    import pandas as pd


def record_images(study: Study) -> None:
    """Write down what a study is about to read; a folder that is missing leaves no record."""
    if study.data_root.is_dir():
        _update(study, _listed(study))


def was_read(study: Study) -> bool:
    """Whether a study has read this very folder of images, which may be gone since."""
    return bool(_listed(study))


def news_of_images(study: Study) -> str:
    """Compare a study's images with what it read, and record what has changed.

    Returns
    -------
    str
        A sentence for the user if images were added, changed or withdrawn, or if their folder is
        gone; empty if nothing has happened, or nothing was read yet.
    """
    known = _listed(study)
    if not known:
        return ""
    if not study.data_root.is_dir():
        stands_on = json.loads(study.images.read_text(encoding="utf-8"))
        return (
            f"The folder {study.data_root} is gone: the report stands on the {stands_on['files']} "
            f"files read from there on {stands_on['read']}."
        )
    before, after = known["files"], _update(study, known)
    counts = {
        "added": sum(path not in before for path in after),
        "changed": sum(before.get(path, after[path])[2] != after[path][2] for path in after),
        "withdrawn": sum(path not in after for path in before),
    }
    if not any(counts.values()):
        return ""
    happened = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return (
        f"In {study.data_root}, files have changed since the study read them ({happened}): the "
        "chapters that used them run again."
    )


def hash_of_images(signatures: pd.DataFrame) -> dict[str, Any]:
    """What a signature table is of: how many images, and a hash of their paths and contents.

    The hash is that of the lines `<SHA-256 of a file>  <its path>`, in order of path, as
    `sha256sum` prints them: whoever has the images can say whether they are the same.

    Returns
    -------
    dict
        ``files`` and ``sha256``.
    """
    rows = sorted(zip(signatures["path"], signatures["sha256"], strict=True))
    lines = "".join(f"{sum_}  {path}\n" for path, sum_ in rows)
    return {"files": len(rows), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def images_are_newer(study: Study) -> bool:
    """Whether a study's images have changed since the report that stands was made of them."""
    news_of_images(study)
    read = study.notebooks / f"{CHAPTERS[0]}.ipynb"
    known = study.images.is_file() and read.is_file()
    return known and study.images.stat().st_mtime_ns > read.stat().st_mtime_ns


def _listed(study: Study) -> dict[str, Any]:
    """The listing of this very folder, if there is one."""
    try:
        known = json.loads(study.images_listing.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    here = known.get("folder") == str(study.data_root) and study.images.is_file()
    return known if here else {}


def _update(study: Study, known: dict[str, Any]) -> dict[str, list]:
    """List the folder, hash what looks new, and write both files where they change."""
    before = known.get("files", {})
    after = {}
    for path, size, time in _files(study.data_root):
        same = before.get(path, [None])[:2] == [size, time]
        after[path] = before[path] if same else [size, time, digest(study.data_root / path)]
    if after == before and known:
        return after
    listing = json.dumps({"folder": str(study.data_root), "files": after})
    write_atomically(study.images_listing, listing)
    content = hashlib.sha256(ascii([(path, row[2]) for path, row in after.items()]).encode())
    about = {"files": len(after), "sha256": content.hexdigest()}
    if not study.images.is_file() or content.hexdigest() not in study.images.read_text():
        write_json(study.images, about | {"read": datetime.now(UTC).strftime("%Y-%m-%d")})
    return after


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Path, size and time of every file below a folder but hidden ones and clutter, in order.

    Folders that links lead to are entered, but for those outside, whose images are not read, and
    those around the link.
    """
    found = []
    top = os.path.realpath(folder)
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (top,))]
    while waiting:
        above, around = waiting.pop()
        with os.scandir(folder / above) as inside:
            for entry in inside:
                path = f"{above}{entry.name}"
                if entry.name.startswith(".") or CLUTTER.fullmatch(entry.name):
                    continue
                if entry.is_dir():
                    here = f"{around[-1]}/{entry.name}"
                    if entry.is_symlink():
                        here = os.path.realpath(entry.path)
                    if here not in around and Path(here).is_relative_to(top):
                        waiting.append((f"{path}/", (*around, here)))
                elif entry.is_file():
                    status = entry.stat()
                    found.append((path, status.st_size, status.st_mtime_ns))
    return sorted(found)
