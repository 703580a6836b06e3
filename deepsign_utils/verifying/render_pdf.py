"""Render a PDF's pages to standard output, within limits: run by `pages.py` in its own process.

Each page is a line of JSON (number, shape, bytes) and its pixels, uint8 RGB; the last line says
``end``, or what the ``problem`` is.
"""

from __future__ import annotations

import contextlib
import json
import sys

import numpy as np
import pypdfium2
from pypdfium2 import PdfDocument, PdfiumError

_DPI = 300
_MOST_SIDE = 5000  # pixels
_LEAST_SIDE = 20
_MEMORY = 1_500_000_000  # bytes of address space


def _tell(**values) -> None:
    sys.stdout.buffer.write(json.dumps(values).encode() + b"\n")
    sys.stdout.buffer.flush()


def _render(file: str, most: int) -> None:
    try:
        document = PdfDocument(file)
    except PdfiumError as error:
        password = getattr(error, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD
        _tell(problem="password" if password else "damaged")
        return
    if len(document) > most:
        _tell(problem="pages")
        return
    document.init_forms()  # what was filled in, and signature fields, are drawn too
    for index in range(len(document)):
        page = document[index]
        width, height = page.get_size()
        if not (0 < width < 1e5 and 0 < height < 1e5):
            _tell(problem="size")
            return
        scale = min(_DPI / 72, _MOST_SIDE / max(width, height))
        if min(width, height) * scale < _LEAST_SIDE:
            _tell(problem="size")
            return
        pixels = page.render(scale=scale, rev_byteorder=True).to_numpy()
        pixels = np.ascontiguousarray(np.atleast_3d(pixels)[..., :3])
        if pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        _tell(number=index + 1, shape=pixels.shape, bytes=pixels.nbytes)
        sys.stdout.buffer.write(pixels.data)
        sys.stdout.buffer.flush()
        page.close()
    _tell(end=True) if len(document) else _tell(problem="damaged")


if __name__ == "__main__":
    with contextlib.suppress(ImportError):  # where the system has such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        _render(sys.argv[1], int(sys.argv[2]))
    except (PdfiumError, MemoryError, ValueError):
        _tell(problem="damaged")
