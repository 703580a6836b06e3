"""Images of a dataset, captured and read as the verifier reads them, and what came of them kept."""

from __future__ import annotations

import hashlib
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage

from deepsign_utils import DeepSignError, study
from deepsign_utils.capture.conditions import BY_NAME
from deepsign_utils.capture.paper import dots, estimated_dpi, ink_of, paper_of
from deepsign_utils.preprocessing import Preprocessing, ink_box, ink_mask, load_grayscale
from deepsign_utils.study.processes import ordered_map
from deepsign_utils.verifying.verifier import Verifier, read_signature

NOT_JUDGED = "not_judged"
"""Stands among the warnings' codes for images that the verifier refuses."""

_MARGIN_MM = 5  # of paper that goes into a capture around the ink, where the scan has so much


class Setting(NamedTuple):
    """A condition at one strength; without a name, the image as scanned."""

    name: str = ""
    label: str = ""
    strength: float = 0.0


class Capture(NamedTuple):
    """The images of a dataset under one condition at one strength.

    Attributes
    ----------
    embeddings : float32 (n, d)
        Zero where an image was not judged.
    judged : bool (n,)
    codes : str (n,)
        Codes of the warnings of each image, parted by commas.
    """

    embeddings: np.ndarray
    judged: np.ndarray
    codes: np.ndarray


def captured(
    judge: Verifier,
    folder: str | Path,
    signatures: pd.DataFrame,
    seed: int,
    cache: Path,
    settings: Sequence[Setting],
    progress: bool,
) -> Iterator[Capture]:
    """What the verifier makes of all images as scanned, then under each setting.

    One stream of work goes through the worker processes; a capture is kept when it is whole.

    Parameters
    ----------
    judge : Verifier
    folder : path
        The dataset's.
    signatures : DataFrame
        Signature table of the images.
    seed : int
        Of the simulations.
    cache : Path
        Folder where captures are kept, by model, images, seed and code.
    settings : sequence of Setting
    progress : bool
        Whether to show a progress bar.

    Yields
    ------
    Capture
        First of the images as scanned, then of each setting.

    Raises
    ------
    DeepSignError
        If an image as scanned cannot be read or judged; the message names it.
    """
    made_of = {
        "model": judge.identity,
        "seed": seed,
        "images": signatures[["path", "sha256"]].to_numpy().tolist(),
    }
    text = study.fingerprint(parameters=made_of, code=[sys.modules[__name__]])
    kept_in = cache / hashlib.sha256(text.encode()).hexdigest()[:16]
    files = {
        setting: kept_in / f"{setting.name} {setting.strength:.3f}.npz"
        for setting in (Setting(), *settings)
    }
    items = [
        (setting, number, path)
        for setting, file in files.items()
        if not file.is_file()
        for number, path in enumerate(signatures["path"])
    ]
    # The worker processes clean and look for faults; only this process holds the network.
    work = partial(capture, judge.preprocessing, Path(folder), seed)
    results = iter(ordered_map(work, items, None, progress, "capturing"))
    for file in files.values():
        if not file.is_file():
            done = list(islice(results, len(signatures)))
            study.write_atomically(file, _embedded(judge, done))
        with np.load(file, allow_pickle=False) as kept:
            yield Capture(**kept)


def capture(
    preprocessing: Preprocessing, folder: Path, seed: int, item: tuple[Setting, int, str]
) -> tuple[np.ndarray | None, str]:
    """Capture one image, and read it as the verifier does.

    Parameters
    ----------
    preprocessing : Preprocessing
        The verifier's.
    folder : Path
    seed : int
    item : tuple
        The setting, the image's number, its path in the folder.

    Returns
    -------
    canvas : uint8 (canvas_height, canvas_width), or None
        None where the verifier refuses to judge the image.
    codes : str
        Codes of the warnings, parted by commas.

    Raises
    ------
    DeepSignError
        If an image cannot be read.
    """
    setting, number, path = item
    name = str(folder / path)
    image = load_grayscale(folder / path)
    if setting.name:
        # The same draws at every strength, so that strengths differ in nothing else.
        rng = np.random.default_rng([seed, zlib.crc32(setting.name.encode()), number])
        image = _cut_out(image, rng)
        simulate = BY_NAME[setting.name].simulate
        image = simulate(image, rng, setting.strength, estimated_dpi(image))
    try:
        signature = read_signature(image, preprocessing, name)
    except DeepSignError:
        return None, NOT_JUDGED
    return signature.canvas, ",".join(sorted({warning.code for warning in signature.warnings}))


def _cut_out(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The signature on its paper, with some millimetres around it and nothing else.

    Paper takes the place of what is dark and no ink of the signature, such as a scanner's lid: on a
    page that grows, a strip along the scan's border would become a line within.
    """
    ink = ink_mask(image)
    top, bottom, left, right = ink_box(ink)
    around = ndimage.maximum_filter(ink, 5)
    other = ndimage.maximum_filter(ink_of(image) & ~around, 5) & ~around
    paper = paper_of(image)
    result = image.copy()
    result[other] = paper[rng.integers(len(paper), size=np.count_nonzero(other))]
    margin = round(dots(_MARGIN_MM, estimated_dpi(image)))
    return result[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]


def _embedded(judge: Verifier, done: Sequence[tuple[np.ndarray | None, str]]) -> bytes:
    """What a `Capture` holds, as the bytes of an .npz file."""
    judged = np.array([canvas is not None for canvas, _ in done])
    shape = judge.preprocessing.canvas_height, judge.preprocessing.canvas_width
    # An empty canvas stands for an image that is not judged; its embedding is never scored.
    blank = np.zeros(shape, np.uint8)
    canvases = np.stack([blank if canvas is None else canvas for canvas, _ in done])
    content = io.BytesIO()
    codes = np.array([text for _, text in done], dtype=str)
    np.savez(content, embeddings=judge.embed(canvases), judged=judged, codes=codes)
    return content.getvalue()
