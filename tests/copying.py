"""What people, scanners and programs do to an image of a signature and leave it the same one."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing import ink_box, ink_mask

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _paper(gray: np.ndarray) -> int:
    return int(np.percentile(gray, 90))


def _jpeg(gray, rng):
    content = io.BytesIO()
    Image.fromarray(gray).save(content, "JPEG", quality=int(rng.integers(20, 91)))
    return np.asarray(Image.open(content))


def _resized(gray, factor):
    size = [max(1, round(side * factor)) for side in gray.shape[::-1]]
    return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC))


def _scaled(gray, rng):
    return _resized(gray, 2 ** rng.uniform(-1, 1))


def _turned(gray, rng):
    turned = Image.fromarray(np.pad(gray, 8, constant_values=_paper(gray)))
    return np.asarray(
        turned.rotate(
            rng.uniform(-5, 5), Image.Resampling.BICUBIC, expand=True, fillcolor=_paper(gray)
        )
    )


def _mapped(gray, matrix):
    """An image under an affine map about its middle, its paper carried on."""
    gray = np.pad(gray, max(gray.shape) // 5, constant_values=_paper(gray))
    middle = np.array(gray.shape[::-1]) / 2
    back = np.linalg.inv(matrix)
    rows = np.column_stack([back, middle - back @ middle])
    return np.asarray(
        Image.fromarray(gray).transform(
            gray.shape[::-1],
            Image.Transform.AFFINE,
            tuple(rows.ravel()),
            Image.Resampling.BICUBIC,
            fillcolor=_paper(gray),
        )
    )


def _stretched(gray, rng):
    return _mapped(gray, np.diag([rng.uniform(0.85, 1.18), 1.0]))


def _slanted(gray, rng):
    return _mapped(gray, np.array([[1.0, np.tan(np.radians(rng.uniform(-6, 6)))], [0.0, 1.0]]))


def _shifted(gray, rng):
    return ndimage.shift(gray, rng.uniform(-3, 3, 2), order=1, cval=_paper(gray))


def _padded(gray, rng):
    top, bottom, left, right = rng.integers(0, max(gray.shape) // 3, 4)
    return np.pad(gray, ((top, bottom), (left, right)), constant_values=_paper(gray))


def _cropped(gray, rng):
    top, bottom, left, right = ink_box(ink_mask(gray))
    above, below, before, after = rng.integers(1, 9, 4)
    return gray[max(0, top - above) : bottom + below, max(0, left - before) : right + after]


def _toned(gray, rng):
    contrast, brightness = rng.uniform(0.6, 1.3), rng.uniform(-30, 30)
    return np.clip((gray - 128.0) * contrast + 128 + brightness, 0, 255).astype(np.uint8)


def _binary(gray, rng):
    """Black on white, at a threshold that makes the pen a little thicker or thinner."""
    ink = gray < _paper(gray) - rng.uniform(0.3, 0.6) * (_paper(gray) - np.percentile(gray, 1))
    return np.where(ink, 0, 255).astype(np.uint8)


def _thicker(gray, rng):
    return _resized(ndimage.grey_erosion(_resized(gray, 2), 3), 0.5)


def _pdf(gray, rng):
    """Placed in a document at another size, compressed there, and cut out of it."""
    return _cropped(_jpeg(_padded(_scaled(gray, rng), rng), rng), rng)


def _rescanned(gray, rng):
    again = _shifted(_turned(_resized(gray, rng.uniform(0.8, 1.5)), rng), rng)
    again = _toned(ndimage.gaussian_filter(again, rng.uniform(0.3, 0.8)), rng)
    return _jpeg(np.clip(again + rng.normal(0, 4, again.shape), 0, 255).astype(np.uint8), rng)


CHANGES: dict[str, Change] = {
    "the same file": lambda gray, rng: gray,
    "recompressed": _jpeg,
    "scaled": _scaled,
    "turned": _turned,
    "stretched": _stretched,
    "slanted": _slanted,
    "shifted": _shifted,
    "padded": _padded,
    "cropped": _cropped,
    "brighter or paler": _toned,
    "black and white": _binary,
    "thicker pen": _thicker,
    "cut from a PDF": _pdf,
    "scanned again": _rescanned,
}
