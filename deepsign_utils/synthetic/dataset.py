"""Synthetic writers on disk, in the IDCAR layout."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

from PIL import Image

from deepsign_utils import DeepSignError
from deepsign_utils.study.artefacts import check_writable
from deepsign_utils.study.processes import in_processes, progress_bar
from deepsign_utils.study.steps import sources
from deepsign_utils.synthetic.draw import check_counts, draw_writer

MANIFEST = "manifest.csv"
PARAMETERS = "synthetic.json"


def _write_writer(index, folder, seed, genuine, forgeries, skill) -> list[tuple]:
    """Write one writer's two folders; returns their rows of the manifest."""
    drawn = draw_writer(seed, index, genuine, forgeries, skill)
    writer = f"{index + 1:04d}"
    rows = []
    for kind, name, images in (
        ("genuine", writer, drawn.genuine),
        ("forgery", f"{writer}_forg", drawn.forgeries),
    ):
        (folder / name).mkdir()
        for number, image in enumerate(images):
            path = f"{name}/{name}_{number + 1:02d}.png"
            Image.fromarray(image).save(folder / path, compress_level=6)
            forger = "" if kind == "genuine" else drawn.forgers[number]
            rows.append((path, writer, kind, forger))
    return rows


def _generator() -> str:
    """A hash of the modules that draw: of another generator's data nothing is taken up."""
    here = Path(__file__)
    drawing = [file for file in sources([here]) if file.parent == here.parent]
    text = b"".join(file.read_bytes() for file in sorted({here, *drawing}))
    return hashlib.sha256(text).hexdigest()[:16]


def _holds(folder: Path, parameters: dict) -> bool:
    """Whether ``folder`` holds the dataset of these parameters, whole."""
    try:
        recorded = json.loads((folder / PARAMETERS).read_text())
        with (folder / MANIFEST).open(newline="") as file:
            paths = [row["path"] for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError):
        return False
    return recorded == parameters and all((folder / path).is_file() for path in paths)


def write_dataset(
    folder: str | Path,
    writers: int = 60,
    genuine: int = 24,
    forgeries: int = 24,
    seed: int = 0,
    skill: float | None = None,
    processes: int | None = None,
    progress: bool = True,
    replace: bool = False,
) -> Path:
    """Write virtual writers to ``folder`` in the IDCAR layout, with a manifest.

    ``<writer>/*.png`` are genuine, ``<writer>_forg/*.png`` forged; ``manifest.csv`` has the columns
    path, writer, kind and forger; ``synthetic.json`` records the parameters. The folder appears
    whole or not at all. The same parameters give the same bytes in any number of processes.

    Parameters
    ----------
    folder : path
        Made here. If it holds this very dataset already, nothing is done.
    writers, genuine, forgeries : int
        How many writers, and how many images of each kind a writer.
    seed, skill, processes
        As in `draw_writers`.
    progress : bool
        Show a progress bar.
    replace : bool
        Whether another synthetic dataset that the folder holds gives way, once this one is whole.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DeepSignError
        If a parameter is out of its range, or the folder holds something else.
    """
    check_counts(
        skill,
        processes,
        writers=(writers, 1),
        genuine=(genuine, 1),
        forgeries=(forgeries, 0),
        seed=(seed, 0),
    )
    folder = Path(folder)
    parameters = {
        "writers": writers,
        "genuine": genuine,
        "forgeries": forgeries,
        "seed": seed,
        "skill": skill,
        "generator": _generator(),
    }
    if _holds(folder, parameters):
        return folder
    in_the_way = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if in_the_way and not (replace and (folder / PARAMETERS).is_file()):
        raise DeepSignError(
            f"{folder} holds something else than this synthetic dataset (other parameters, another "
            "version of the generator, or other files). Name another folder; one that such a "
            "dataset was drawn into, `--replace` draws anew."
        )
    check_writable(folder.absolute(), folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = beside.with_name(f"{beside.name}-old")
    try:
        task = partial(
            _write_writer,
            folder=beside,
            seed=seed,
            genuine=genuine,
            forgeries=forgeries,
            skill=skill,
        )
        with (
            (beside / MANIFEST).open("w", newline="") as file,
            closing(in_processes(task, range(writers), processes)) as done,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("path", "writer", "kind", "forger"))
            for rows in progress_bar(
                progress, iterable=done, desc="synthetic writers", total=writers, unit="writer"
            ):
                table.writerows(rows)
        (beside / PARAMETERS).write_text(json.dumps(parameters, indent=1) + "\n")
        beside.chmod(0o755)  # mkdtemp's folders are private
        if in_the_way:
            folder.replace(old)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return folder
