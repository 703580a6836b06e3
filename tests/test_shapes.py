"""Thinning, hulls, depths and Otsu's threshold are those of scikit-image and SciPy, bit for bit."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import convex_hull_image, skeletonize

from deepsign_utils.preprocessing.ink import otsu
from deepsign_utils.preprocessing.shapes import convex_hull, ridge_depths, thinned


def masks() -> Iterator[np.ndarray]:
    """Blots of all sizes, from dust to half the image, some touching its border."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        field = ndimage.gaussian_filter(
            rng.normal(size=rng.integers(2, 80, 2)), rng.uniform(0.3, 5)
        )
        yield field >= np.quantile(field, rng.uniform(0.3, 0.98))


def test_lines_are_those_by_which_copies_were_measured() -> None:
    assert all(np.array_equal(thinned(mask), skeletonize(mask)) for mask in masks())


def test_a_hull_is_exact() -> None:
    assert all(np.array_equal(convex_hull(mask), convex_hull_image(mask)) for mask in masks())


def test_depths_are_euclidean_and_those_of_ridges() -> None:
    for mask in masks():
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))
        expected = depth[(depth == ndimage.maximum_filter(depth, 3)) & (depth > 0)]
        assert np.array_equal(np.sort(ridge_depths(mask)), np.sort(expected))


def test_a_threshold_is_otsus() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        dark = rng.random(2000) < rng.uniform(0.01, 0.6)
        levels = np.clip(rng.normal(np.where(dark, 90, 210), rng.uniform(1, 40)), 0, 255)
        histogram = np.bincount(levels.astype(int), minlength=256)
        expected = threshold_otsu(hist=(histogram, np.arange(256)))
        assert otsu(histogram, np.arange(256)) == expected
