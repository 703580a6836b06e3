"""How much simulated signatures look like real ones, measured.

`describe` measures a single image; here, whole datasets stand beside each other. Only
numbers leave a dataset, never a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

from deepsign_utils import DeepSignError
from deepsign_utils.datasets import read_dataset
from deepsign_utils.preprocessing import Preprocessing, clean, load_grayscale
from deepsign_utils.study.processes import ordered_map
from deepsign_utils.synthetic.draw import draw_writers

STATISTICS = {
    "aspect": "width of the ink / height",
    "density": "share of ink in its box",
    "stroke_share": "stroke width / height",
    "length": "length of the line / height",
    "curvature": "curvature of the edge x height",
    "ends": "ends of lines",
    "branches": "branch points",
    "pieces": "pieces of ink",
    "holes": "enclosed holes",
}
"""What is compared, of `describe`; stroke widths in pixels depend on the scanner."""

# Thin lines and small letters survive on it, whatever the scan's resolution was.
CANVAS = Preprocessing(256, 1024, "aspect")
KINDS = ("genuine", "forgery")


def describe_dataset(
    folder: str | Path, rng: np.random.Generator, images: int = 400, progress: bool = True
) -> pd.DataFrame:
    """Measure a random sample of a dataset's images.

    Parameters
    ----------
    folder : path
        A dataset that `datasets.read_dataset` reads.
    rng : numpy.random.Generator
        Draws the sample.
    images : int
        At most so many of each kind.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row an image: `kind`, and a column for each of `STATISTICS`.

    Raises
    ------
    DeepSignError
        If the folder holds no dataset, or none of its images can be measured.
    """
    signatures, _ = read_dataset(folder, progress=progress)
    sample = pd.concat(
        group.iloc[rng.permutation(len(group))[:images]]
        for _, group in signatures[signatures["duplicate_of"].isna()].groupby("kind")
    )
    measured = ordered_map(
        partial(_describe_file, Path(folder)), sample["path"].tolist(), None, progress, "describing"
    )
    rows = [
        {"kind": kind, **row} for kind, row in zip(sample["kind"], measured, strict=True) if row
    ]
    if not rows:
        raise DeepSignError(f"None of the images in {folder} can be measured.")
    return pd.DataFrame(rows)


def describe_writers(writers: int, seed: int = 0) -> pd.DataFrame:
    """Measure freshly drawn synthetic writers: two genuine signatures and two forgeries each.

    Returns
    -------
    DataFrame
        As `describe_dataset`.
    """
    rows = []
    for drawn in draw_writers(writers, 2, 2, seed, prepare=_measured):
        for kind, images in zip(KINDS, (drawn.genuine, drawn.forgeries), strict=True):
            rows += [{"kind": kind, **row} for row in images]
    return pd.DataFrame(rows)


def gallery(writers: int, seed: int = 0) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Three genuine signatures and three forgeries each of synthetic writers, to look at.

    Returns
    -------
    images : list of uint8 (H, W)
        Paper bright, as scanned.
    writers, kinds : list of str
    """
    images, names, kinds = [], [], []
    for drawn in draw_writers(writers, 3, 3, seed):
        for kind, some in zip(KINDS, (drawn.genuine, drawn.forgeries), strict=True):
            images += some
            names += [str(drawn.index + 1)] * len(some)
            kinds += [kind] * len(some)
    return images, names, kinds


def compare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Medians and quartiles of each statistic, and how much a dataset shares with the first one.

    Parameters
    ----------
    tables : mapping
        Dataset's name -> what `describe_dataset` measured; the first is compared with the others.

    Returns
    -------
    DataFrame
        One row a statistic and dataset: `statistic`, `dataset`, `low` (quartile), `median`, `high`,
        and `overlap`: the area under the lower of the two densities (histograms of 24 equally
        filled bins of both together), 1 for equal distributions, 0 for disjoint ones.
    """
    first = next(iter(tables.values()))
    rows = []
    for statistic in STATISTICS:
        for name, table in tables.items():
            low, median, high = table[statistic].quantile([0.25, 0.5, 0.75])
            shared = _overlap(first[statistic].to_numpy(), table[statistic].to_numpy())
            rows.append((statistic, name, low, median, high, shared))
    columns = ["statistic", "dataset", "low", "median", "high", "overlap"]
    return pd.DataFrame(rows, columns=columns)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    edges = np.unique(np.quantile(np.concatenate([one, other]), np.linspace(0, 1, 25)))
    edges[-1] += 1e-9
    shares = [np.histogram(values, edges)[0] / len(values) for values in (one, other)]
    return float(np.minimum(*shares).sum())


def _describe_file(root: Path, path: str) -> dict[str, float] | None:
    try:
        return _measured(load_grayscale(root / path))
    except DeepSignError:  # unreadable or blank: the study reports it
        return None


def _measured(gray: np.ndarray) -> dict[str, float]:
    found = describe(clean(gray, CANVAS))
    return {name: found[name] for name in STATISTICS}


AROUND = np.ones((3, 3), int)


def describe(image: np.ndarray) -> dict[str, float]:
    """Measure what a signature looks like, to set simulated ones beside real ones.

    Parameters
    ----------
    image : (H, W) uint8
        A gray image or a cleaned canvas; what is rarer of dark and bright is taken for the ink.

    Returns
    -------
    dict of float
        ``aspect`` and ``density`` of the ink's box (width by height, share of ink);
        ``stroke_width`` in pixels (twice the mean distance to the edge, on the skeleton) and
        ``stroke_share`` of the box's height; ``length`` of the skeleton in box heights;
        ``curvature``, the mean absolute curvature of the ink's edge times the box's height;
        ``ends`` and ``branches`` of the skeleton; ``pieces`` and ``holes`` of the ink.

    Raises
    ------
    DeepSignError
        If the image is blank.
    """
    if image.min() == image.max():
        raise DeepSignError("The image is blank: there is no ink to describe.")
    ink = image <= threshold_otsu(image)
    ink = ink if ink.mean() <= 0.5 else ~ink
    labels, _ = ndimage.label(ink, AROUND)
    area = np.bincount(labels.ravel())
    speck = area < max(6, 0.002 * area[1:].sum())
    speck[0] = True
    ink = ~speck[labels]
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 4)
    height, width = ink.shape[0] - 8, ink.shape[1] - 8

    skeleton = skeletonize(ink)
    neighbours = ndimage.convolve(skeleton.astype(int), AROUND, mode="constant") - 1
    to_edge = ndimage.distance_transform_edt(ink)[skeleton].mean()
    smooth = ndimage.gaussian_filter(ink.astype(float), max(1.5, height / 60))
    dy, dx = np.gradient(smooth)
    steep = np.hypot(dx, dy) + 1e-9
    curvature = np.gradient(dx / steep, axis=1) + np.gradient(dy / steep, axis=0)
    edge = ink & (ndimage.uniform_filter(ink.astype(float), 3) < 0.99)
    pieces = ndimage.label(ink, AROUND)[1]
    return {
        "aspect": width / height,
        "density": ink.sum() / (width * height),
        "stroke_width": 2 * to_edge - 1,
        "stroke_share": (2 * to_edge - 1) / height,
        "length": skeleton.sum() / height,
        "curvature": float(np.abs(curvature[edge]).mean() * height),
        "ends": float((skeleton & (neighbours == 1)).sum()),
        "branches": float(ndimage.label(skeleton & (neighbours >= 3), AROUND)[1]),
        "pieces": float(pieces),
        "holes": float(ndimage.label(~ink)[1] - 1),
    }
