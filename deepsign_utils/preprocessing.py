"""Image file -> clean canvas: what remains is the shape of the ink and nothing of the scan.

Paper shade, gray levels, file mode and image size separate forged from genuine signatures in the
public sets almost perfectly, because genuine and forged sheets were scanned on different days. So
a canvas keeps none of them: ink is found relative to the paper and to the darkest ink nearby, and a
canvas pixel is the share of it that ink covers.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pi_heif
from PIL import Image, ImageOps
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize
from tqdm import tqdm

from deepsign_utils import DeepSignError
from deepsign_utils.study.processes import usable_processors, worker_pool

MAX_PIXELS = 65_000_000
"""Images with more pixels are refused from their header, before anything is decoded."""

FORMATS = ("PNG", "TIFF", "JPEG", "BMP", "WEBP", "AVIF", "HEIF")
"""Pillow's names of the file formats that are read; HEIF is that of an iPhone's .heic."""

ENDINGS = (
    ".png",
    ".tif",
    ".tiff",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".webp",
    ".avif",
    ".heic",
    ".heif",
)
"""Endings of such files' names, in either case."""

READABLE = "PNG, TIFF, JPEG, BMP, WebP, AVIF or HEIC"
"""The same in words."""

pi_heif.register_heif_opener()

_MAX_BYTES = 4 * MAX_PIXELS
_WORKING_SIDE = 2000  # longer scans are reduced first: strokes stay far wider than a pixel
_FITS = ("aspect", "fill")
_STROKE_WIDTHS = ("as_is", "normalised")


class BlankPageError(DeepSignError):
    """The image shows no ink."""


class ImageTooLargeError(DeepSignError):
    """The image has more pixels, or its file more bytes, than are read."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a canvas.

    Attributes
    ----------
    canvas_height, canvas_width : int
        Size of the canvas in pixels, 16 to 2048 each.
    fit : {"aspect", "fill"}
        Keep the aspect of the ink's box and centre it, or stretch it over the whole canvas.
    stroke_width : {"as_is", "normalised"}
        Keep the strokes as wide as they are, or redraw their centre lines with one pen.

    Raises
    ------
    DeepSignError
        If a value is not one of these.
    """

    canvas_height: int = 128
    canvas_width: int = 256
    fit: str = "aspect"
    stroke_width: str = "as_is"

    def __post_init__(self) -> None:
        for name in ("canvas_height", "canvas_width"):
            value = getattr(self, name)
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not whole or not 16 <= value <= 2048:
                raise DeepSignError(f"{name} must be a whole number from 16 to 2048, not {value!r}")
            object.__setattr__(self, name, int(value))
        for name, known in (("fit", _FITS), ("stroke_width", _STROKE_WIDTHS)):
            value = getattr(self, name)
            if value not in known:
                raise DeepSignError(f"{name} must be one of {', '.join(known)}, not {value!r}")

    def to_dict(self) -> dict[str, int | str]:
        """Return the parameters as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """Rebuild from `to_dict`'s values; a missing or unknown name raises DeepSignError."""
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise DeepSignError(
                f"preprocessing needs exactly {sorted(names)}, but got {sorted(map(str, values))}"
            )
        return cls(**values)


class Cleaned(NamedTuple):
    """One result of `clean_files`: a canvas, or why there is none."""

    path: str
    canvas: np.ndarray | None
    problem: str | None


# Reading


def open_image(source: Path | str | bytes, name: str = "the image") -> Image.Image:
    """Open an image file or its bytes, reading the header only.

    Parameters
    ----------
    source : Path, str or bytes
        A file, or a file's content.
    name : str
        What to call the image in messages, where `source` is bytes.

    Returns
    -------
    PIL.Image.Image
        Not yet decoded.

    Raises
    ------
    DeepSignError
        If it is no image of a known format; ImageTooLargeError if it has more than `MAX_PIXELS`
        pixels.
    """
    if not isinstance(source, bytes):
        source, name = read_image_file(Path(source)), str(source)
    try:
        image = Image.open(BytesIO(source), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(name) from error
    except Exception as error:  # a damaged header can raise nearly anything
        raise DeepSignError(f"{name} is not a readable {READABLE} image") from error
    _refuse_large(image, name)
    return image


def load_grayscale(
    source: Path | str | bytes | Image.Image | np.ndarray, name: str = "the image"
) -> np.ndarray:
    """Decode an image to gray levels, as seen on white paper.

    Parameters
    ----------
    source : Path, str, bytes, PIL.Image.Image or np.ndarray
        A file, a file's content, an image, or an array (H, W), (H, W, 3) or (H, W, 4) of bool,
        uint8 or uint16.
    name : str
        What to call the image in messages, where `source` is not a file.

    Returns
    -------
    np.ndarray
        Shape (H, W), uint8, paper bright. Transparent parts show white paper, 16 bit are scaled
        to 8, and a camera's orientation mark is obeyed.

    Raises
    ------
    DeepSignError
        If the image is damaged, too large or of an unknown kind; the message names the file.
    """
    if isinstance(source, np.ndarray):
        source = _image_from_array(source, name)
    elif not isinstance(source, Image.Image):
        if not isinstance(source, bytes):
            name = str(source)
        source = open_image(source, name)
    _refuse_large(source, name)
    try:
        if max(source.size) > 2 * _WORKING_SIDE:
            # A JPEG photograph is decoded at half its size, in a quarter of the memory.
            source.draft(None, (source.width // 2, source.height // 2))
        return _to_gray(ImageOps.exif_transpose(source))
    except Exception as error:  # a damaged file can raise nearly anything while it is decoded
        raise DeepSignError(f"{name} is damaged and cannot be decoded ({error})") from error


def read_image_file(path: Path) -> bytes:
    """Read an image file's bytes.

    Parameters
    ----------
    path : Path
        A file.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    DeepSignError
        If it cannot be read; ImageTooLargeError if it is larger than any image that is decoded.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ImageTooLargeError(f"{path} is larger than {_MAX_BYTES // 1_000_000} MB")
        return path.read_bytes()
    except OSError as error:
        raise DeepSignError(f"{path} cannot be read: {error.strerror or error}") from error


def _too_many_pixels(name: str) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels: scan it at a lower "
        "resolution or crop it to the signature"
    )


def _refuse_large(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels(name)


def _image_from_array(array: np.ndarray, name: str) -> Image.Image:
    colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    gray = array.ndim == 2 and array.dtype in (np.bool_, np.uint8, np.uint16)
    if array.size == 0 or not (colour or gray):
        raise DeepSignError(
            f"{name} must be an array (H, W) of bool, uint8 or uint16, or (H, W, 3 or 4) of "
            f"uint8, not {array.shape} of {array.dtype}"
        )
    return Image.fromarray(array)


def _to_gray(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        # A scanner may fill 10, 12 or 16 of the bits, so the brightest level sets the scale.
        levels = np.maximum(np.nan_to_num(np.asarray(image, np.float32)), 0)
        return np.rint(levels * (255 / max(levels.max(), 1e-6))).astype(np.uint8)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    elif image.mode == "LAB":
        image = image.getchannel(0)
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


# Finding the ink


def ink_mask(gray: np.ndarray) -> np.ndarray:
    """Tell ink from paper.

    Ink is darker than the paper around it by more than the paper's noise, and by a fixed share of
    what the darkest ink nearby is: so a stroke's edge lies in the same place whatever the paper's
    shade and the pen's darkness. Specks, and straight dark strips along the image's border, are
    not ink.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright.

    Returns
    -------
    np.ndarray
        Shape (H, W), bool; nowhere true on a blank page.
    """
    return _ink_field(gray) > _EDGE


def ink_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Find the smallest box that holds all the ink.

    Parameters
    ----------
    mask : np.ndarray
        Shape (H, W), bool, from `ink_mask`.

    Returns
    -------
    tuple of int
        (top, bottom, left, right) in pixels, bottom and right exclusive.

    Raises
    ------
    BlankPageError
        If there is no ink.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise BlankPageError("no ink was found: the page is blank, or far too faint")
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def has_ink(gray: np.ndarray) -> bool:
    """Tell whether `clean` will find ink.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright.

    Returns
    -------
    bool
        False for a blank page.
    """
    gray = _reduced(gray)
    if min(gray.shape) >= 64:
        # Much ink at a quarter of the size settles it, in a sixteenth of the time.
        coarse = ink_mask(np.asarray(Image.fromarray(gray).reduce(4)))
        if np.count_nonzero(coarse) > 0.002 * coarse.size:
            return True
    return bool(ink_mask(gray).any())


_PAPER = 200  # gray level of paper in the histogram of flattened levels, with room for its noise
_SHARE = 0.4  # of the nearby darkest ink: below one half, so that thin strokes stay whole
_FAINTEST = 0.2  # of the typical ink
_LEAST_CONTRAST = 0.06  # of the paper's brightness
_LEAST_LEVELS = 8  # gray levels darker than the paper, however dark that is
_NEARBY = 5  # cells across
_EDGE = 128  # level of the ink field on a stroke's edge
_LEVELS = np.arange(256)


def _ink_field(gray: np.ndarray) -> np.ndarray:
    """Gray levels by which a pixel is darker than its threshold: uint8, ink above `_EDGE`."""
    if min(gray.shape) < 3:
        return np.zeros_like(gray)
    smooth = _smoothed(gray)
    threshold = _threshold(smooth)
    field = np.clip(_EDGE + threshold.astype(np.int16) - smooth, 0, 255).astype(np.uint8)
    _remove_strips(field)
    _remove_slivers(field)
    _remove_specks(field)
    return field


def _smoothed(gray: np.ndarray) -> np.ndarray:
    """Binomial mean over 3 x 3 pixels, against noise and the staircase of binary scans."""
    sums = np.pad(gray, 1, mode="edge").astype(np.uint16)
    sums = sums[:-2] + 2 * sums[1:-1] + sums[2:]
    sums = sums[:, :-2] + 2 * sums[:, 1:-1] + sums[:, 2:]
    return ((sums + 8) >> 4).astype(np.uint8)


def _threshold(gray: np.ndarray) -> np.ndarray:
    """Gray level, (H, W) uint8, below which a pixel is ink."""
    cell = max(1, min(gray.shape) // 32)
    paper = _paper(np.asarray(Image.fromarray(gray).reduce(cell), np.float32))
    darkest = ndimage.maximum_filter(1 - _cell_minima(gray, cell) / paper, _NEARBY)
    darkness = np.maximum(_SHARE * darkest, _least_darkness(gray, paper, max(1, cell // 2)))
    level = np.minimum(paper * (1 - darkness), paper - _LEAST_LEVELS)
    level = np.rint(np.clip(level, 0, 255)).astype(np.uint8)
    return _resize(level, gray.shape, Image.Resampling.BILINEAR)


def _paper(coarse: np.ndarray) -> np.ndarray:
    """Brightness of the paper in each cell, from the cells' means, float32, at least 1."""
    trend = _trend(coarse)
    # Closing removes what is dark and narrower than its window, the strokes, and keeps shading.
    paper = trend + ndimage.grey_closing(coarse - trend, 9)
    return np.maximum(ndimage.gaussian_filter(paper, 2), 1)


def _trend(coarse: np.ndarray) -> np.ndarray:
    """Quadratic surface through the bright cells: the light that falls off towards an edge."""
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in coarse.shape)
    x, y = (values.ravel() for values in np.meshgrid(x, y))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    values, bright = coarse.ravel(), np.ones(coarse.size, np.float32)
    for _ in range(3):
        weighted = terms * bright
        # Normal equations, with a trace on the diagonal for pages a single cell wide.
        square = weighted @ terms.T + 1e-3 * np.eye(len(terms), dtype=np.float32)
        trend = np.linalg.solve(square, weighted @ values) @ terms
        residuals = values - trend
        spread = np.sqrt(np.average(residuals**2, weights=bright))
        bright = (residuals >= -spread).astype(np.float32)
    return trend.reshape(coarse.shape)


def _cell_minima(gray: np.ndarray, cell: int) -> np.ndarray:
    padded = np.pad(gray, ((0, -gray.shape[0] % cell), (0, -gray.shape[1] % cell)), mode="edge")
    rows = padded.reshape(-1, cell, padded.shape[1]).min(axis=1)
    return rows.reshape(rows.shape[0], -1, cell).min(axis=2)


def _least_darkness(gray: np.ndarray, paper: np.ndarray, step: int) -> float:
    """Darkness, as a share of the paper's, above its noise and above a mere shadow of the ink."""
    sample = gray[::step, ::step]
    paper = _resize(paper, sample.shape, Image.Resampling.BILINEAR)
    flat = np.minimum(sample * (_PAPER / paper), 255).astype(np.uint8)
    histogram = np.bincount(flat.ravel(), minlength=256)
    uniform = np.count_nonzero(histogram) == 1  # a page without a trace has no threshold
    otsu = 255 if uniform else threshold_otsu(hist=(histogram, _LEVELS))
    ink = _PAPER - np.average(_LEVELS, weights=histogram * (otsu >= _LEVELS) + 1e-9)
    median = _median(histogram)
    spread = _median(np.bincount(np.abs(_LEVELS - median), histogram))
    noise = 1.4826 * spread  # of a normal distribution, from its median absolute deviation
    return max(_LEAST_CONTRAST, 5 * noise / _PAPER, _FAINTEST * ink / _PAPER)


def _median(histogram: np.ndarray) -> int:
    return int(np.searchsorted(np.cumsum(histogram), histogram.sum() / 2))


def _remove_strips(field: np.ndarray) -> None:
    """Clear straight dark strips along a whole border, left by a scanner's lid or a frame."""
    for side in range(4):
        turned = np.rot90(field, side)
        dark = (turned[: max(2, turned.shape[0] // 16)] > _EDGE).mean(axis=1) > 0.8
        rows = np.flatnonzero(dark)
        # A strip begins within two rows of the border; one that fills the band is no strip.
        if rows.size and rows[0] <= 2 and not dark.all():
            turned[: rows[-1] + 2] = 0


def _remove_slivers(field: np.ndarray) -> None:
    """Clear pieces that lie wholly along the border and are straight and long, or very thin."""
    stroke_width = _typical_stroke_width(field > _EDGE)
    for side in range(4):
        turned = np.rot90(field, side)
        band = max(2, turned.shape[0] // 32)
        labels, count = ndimage.label(turned[: band + 1] > _EDGE, structure=np.ones((3, 3)))
        for label in set(range(1, count + 1)).difference(labels[-1].tolist()):
            rows, columns = np.nonzero(labels == label)
            length, depth = np.ptp(columns) + 1, np.ptp(rows) + 1
            thin = length > 3 * depth and rows.size < 0.75 * stroke_width * length
            straight = length > turned.shape[1] / 2 and rows.size > 0.5 * length * depth
            if thin or straight:
                turned[rows, columns] = 0


def _remove_specks(field: np.ndarray) -> None:
    """Clear pieces too small for a dot, and small ones far from the rest."""
    mask = field > _EDGE
    if not mask.any():
        return
    top, bottom, left, right = ink_box(mask)
    mask = mask[top:bottom, left:right]
    width = _typical_stroke_width(mask)
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    areas[0] = mask.size
    drop = areas < max(4, 0.5 * width**2)
    small = areas < 2 * width**2
    if small.any() and not small[1:].all():
        drop |= small & ~_is_near(labels, small, step=max(1, round(width)))
    if drop.any():
        field[top:bottom, left:right][drop[labels]] = 0


def _is_near(labels: np.ndarray, small: np.ndarray, step: int) -> np.ndarray:
    """Which small components lie within eight steps of one that is not small."""
    large = np.where(small[labels], 0, labels) > 0
    reach = ndimage.maximum_filter(~_cell_minima(~large, step), 17)
    rows, columns = np.nonzero(small[labels])
    near = np.zeros(small.size, bool)
    near[labels[rows, columns][reach[rows // step, columns // step]]] = True
    return near


def _typical_stroke_width(mask: np.ndarray) -> float:
    """Twice the area over the outline's length: the width of a long thin shape, in pixels."""
    outline = sum(np.count_nonzero(np.diff(mask, axis=axis)) for axis in (0, 1))
    # Counted along rows and columns, an outline of all directions measures 4 / pi of its length.
    return 2 * np.count_nonzero(mask) / max(outline * np.pi / 4, 1)


# Drawing the canvas


def clean(gray: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Turn a scanned signature into a canvas.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright, from `load_grayscale`.
    preprocessing : Preprocessing
        Size and manner of the canvas.

    Returns
    -------
    np.ndarray
        Shape (canvas_height, canvas_width), uint8: the share of each pixel that ink covers, the
        largest at 255, and exactly 0 outside the ink.

    Raises
    ------
    BlankPageError
        If there is no ink.
    """
    field = _ink_field(_reduced(gray))
    top, bottom, left, right = ink_box(field > _EDGE)
    field = field[top:bottom, left:right]
    height, width = _drawn_size(field.shape, preprocessing)
    # Where strokes must grow, their edge is interpolated, so that no pixel of the scan shows.
    fine = (_FINE * height, _FINE * width)
    finer = (max(field.shape[0], fine[0]), max(field.shape[1], fine[1]))
    ink = (_resize(field, finer, Image.Resampling.BICUBIC) > _EDGE).astype(np.uint8) * 255
    if preprocessing.stroke_width == "normalised":
        ink = _redrawn(_resize(ink, fine, Image.Resampling.HAMMING), preprocessing.canvas_height)
    drawn = _resize(ink, (height, width), Image.Resampling.HAMMING)
    canvas = np.zeros((preprocessing.canvas_height, preprocessing.canvas_width), np.uint8)
    row, column = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
    canvas[row : row + height, column : column + width] = drawn
    return np.rint(canvas * (255 / max(canvas.max(), 1))).astype(np.uint8)


def _reduced(gray: np.ndarray) -> np.ndarray:
    factor = -(-max(gray.shape) // _WORKING_SIDE)
    return np.asarray(Image.fromarray(gray).reduce(factor)) if factor > 1 else gray


_FINE = 2  # pixels, along each side of a canvas pixel, at which ink is decided


def _drawn_size(box: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    margin = max(1, preprocessing.canvas_height // 32)
    room = (preprocessing.canvas_height - 2 * margin, preprocessing.canvas_width - 2 * margin)
    if preprocessing.fit == "fill":
        return room
    scale = min(room[0] / box[0], room[1] / box[1])
    return max(1, round(box[0] * scale)), max(1, round(box[1] * scale))


def _redrawn(ink: np.ndarray, canvas_height: int) -> np.ndarray:
    """Draw the strokes' centre lines with a pen as wide as a 64th of the canvas is high."""
    radius = _FINE * canvas_height / 128
    reach = int(radius)
    border = reach + 2
    # Smooth, against spurs; below one half, so that hairlines stay whole.
    mask = np.pad(_smoothed(ink) >= 80, border)
    depth = ndimage.distance_transform_cdt(mask, "chessboard")
    line = _pruned(_pruned(skeletonize(mask), depth), depth)  # spurs have spurs of their own
    rows, columns = np.nonzero(line)
    steps = range(-reach, reach + 1)
    drawn = np.zeros(mask.shape, np.uint8)
    for down, right in product(steps, steps):
        if down**2 + right**2 <= radius**2:
            drawn[rows + down, columns + right] = 255
    return drawn[border:-border, border:-border]


# The eight neighbours in turn, as the bits of a number; for each of the 256 numbers, whether the
# set ones form three runs or more, or one short run.
_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
_RING_BITS = np.arange(256)[:, np.newaxis] >> np.arange(8) & 1
_RUNS = np.count_nonzero(np.diff(_RING_BITS, axis=1, append=_RING_BITS[:, :1]) == 1, axis=1)
_IS_FORK = _RUNS >= 3
_IS_END = (_RUNS == 1) & (_RING_BITS.sum(axis=1) <= 2)


def _pruned(line: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Remove a skeleton's spurs: branches that end freely hardly outside the stroke they leave.

    `depth` is the distance to the stroke's edge. The two outermost rows and columns are empty.
    """
    rows, columns = np.nonzero(line)
    rings = _rings(line, rows, columns)
    fork = _IS_FORK[rings]
    forks = _squares(line.shape, rows[fork], columns[fork], 1)
    labels, count = ndimage.label(line & ~forks, structure=np.ones((3, 3)))
    branch = labels[rows, columns]  # 0 at a fork
    roots = _squares(line.shape, rows[fork], columns[fork], 2)[rows, columns]
    reach = np.zeros(count + 1)
    np.maximum.at(reach, branch[roots], depth[rows, columns][roots])
    spurs = np.bincount(branch, minlength=count + 1) < 1.5 * reach
    spurs &= np.isin(np.arange(count + 1), branch[_IS_END[rings]])
    spurs[0] = False
    line = line & ~spurs[labels]
    for _ in range(2):  # what a spur leaves at its fork, but for the last pixel of a dot
        rows, columns = np.nonzero(line & forks)
        end = _IS_END[_rings(line, rows, columns)]
        ends = _squares(line.shape, rows[end], columns[end], 0)
        stub = end & (_rings(ends, rows, columns) == 0)
        line[rows[stub], columns[stub]] = False
    return line


def _rings(line: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    rings = np.zeros(rows.size, np.uint8)
    for bit, (down, right) in enumerate(_RING):
        rings |= line[rows + down, columns + right].astype(np.uint8) << bit
    return rings


def _squares(
    shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray, reach: int
) -> np.ndarray:
    """Mask of all pixels within `reach` of the given ones."""
    mask = np.zeros(shape, bool)
    for down, right in product(range(-reach, reach + 1), repeat=2):
        mask[rows + down, columns + right] = True
    return mask


def _resize(array: np.ndarray, shape: tuple[int, int], filter_: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(array).resize(shape[::-1], filter_))


# Many files


def clean_files(
    root: str | Path,
    paths: Sequence[str],
    preprocessing: Preprocessing,
    processes: int | None = None,
    progress: bool = True,
    description: str = "cleaning",
) -> Iterator[Cleaned]:
    """Clean many image files in parallel, in order, holding only a few in memory.

    Parameters
    ----------
    root : str or Path
        Folder that the paths are relative to.
    paths : sequence of str
        Image files, as in the signature table.
    preprocessing : Preprocessing
        Size and manner of the canvases.
    processes : int, optional
        Worker processes; by default one per available core.
    progress : bool
        Whether to show a progress bar.
    description : str
        The bar's label.

    Yields
    ------
    Cleaned
        One per path, in the order of `paths`.
    """
    work = partial(_clean_file, Path(root), preprocessing)
    yield from ordered_map(work, paths, processes, progress, description)


def _clean_file(root: Path, preprocessing: Preprocessing, path: str) -> Cleaned:
    try:
        return Cleaned(path, clean(load_grayscale(root / path), preprocessing), None)
    except BlankPageError as error:
        return Cleaned(path, None, f"{root / path}: {error}")
    except DeepSignError as error:
        return Cleaned(path, None, str(error))


_CHUNK = 16
_WORTH_A_PROCESS = 250  # images that take as long as a process takes to start


def ordered_map(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    processes: int | None = None,
    progress: bool = True,
    description: str | None = None,
) -> Iterator[Any]:
    """Apply a picklable function to many items in worker processes, yielding results in order.

    Parameters
    ----------
    function : callable
        Picklable, as are its results.
    items : sequence
        What to apply it to.
    processes : int, optional
        Worker processes; by default one per available core, and none for a few items.
    progress : bool
        Whether to show a progress bar.
    description : str, optional
        The bar's label.

    Yields
    ------
    object
        `function(item)`, in the order of `items`. At most a few chunks wait in memory.
    """
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    processes = min(processes or _cores(), len(items) // _WORTH_A_PROCESS)
    with tqdm(total=len(items), desc=description, unit="image", disable=not progress) as bar:
        for results in _ordered_chunks(partial(_apply, function), chunks, processes):
            for result in results:
                yield result
                bar.update()


def _cores() -> int:
    if multiprocessing.current_process().daemon:  # such a process may start none of its own
        return 1
    return usable_processors()


def _apply(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [function(item) for item in items]


def _ordered_chunks(
    function: Callable[[Any], Any], chunks: Sequence[Any], processes: int
) -> Iterator[Any]:
    if processes < 2:
        yield from map(function, chunks)
        return
    pool = worker_pool(processes)
    try:
        waiting: deque = deque()
        for chunk in chunks:
            waiting.append(pool.submit(function, chunk))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DeepSignError(
            "a worker process ended by itself: there was too little memory, or a script called "
            'this outside `if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
