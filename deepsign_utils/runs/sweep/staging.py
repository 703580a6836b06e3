"""Copies of a sweep's images for workers that do not see them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from deepsign_utils.study.artefacts import digest


class StagedData(WorkerPlugin):
    """Unpacks images on every worker, once, in the worker's own folder; late comers too."""

    idempotent = True

    def __init__(self, archives: Mapping[str, bytes]) -> None:
        self.archives = dict(archives)
        self.name = f"deepsign-data-{'-'.join(sorted(archives))}"

    def setup(self, worker: Any) -> None:
        """Called by Dask on each worker."""
        for key, archive in self.archives.items():
            with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
                packed.extractall(staging_folder(worker) / key, filter="data")


def staging_folder(worker: Any) -> Path:
    """Where a worker unpacks the copies that it is sent."""
    return Path(worker.local_directory) / "deepsign-data"


def key_of(images: Path) -> str:
    """What a folder of images is known by on the workers."""
    return digest(images)[:16]


def pack(images: Path) -> bytes:
    """A folder of images as one archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(images, images.name)
    return content.getvalue()
