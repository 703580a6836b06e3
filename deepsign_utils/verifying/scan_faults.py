"""What is wrong with an image of a signature before anybody compares it, and what to do.

Each fault has a code for programs and a sentence for people. Where the image shows no signature,
nothing is compared; a comparison with any other fault deserves less trust.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import form, ink_box, ink_mask
from deepsign_utils.preprocessing.ink import contrast
from deepsign_utils.preprocessing.shapes import ridge_depths
from deepsign_utils.verifying import handwriting
from deepsign_utils.verifying.find_signatures import look
from deepsign_utils.verifying.stamps import is_stamped

_WORKING_SIDE = 800  # larger images are looked at reduced: all faults are coarse


class Fault(NamedTuple):
    """A fault of an image: a code, a sentence that says what to do, and whether the image cannot be
    judged at all."""

    code: str
    message: str
    stops: bool = False


NOT_HANDWRITTEN = Fault(
    "not_handwritten",
    "It shows print or a code, not handwriting, and cannot be judged: give an image of one "
    "handwritten signature, cropped to it. Only a person can compare hands that print.",
    stops=True,
)
MERE_MARK = Fault(
    "mere_mark",
    "It shows a mere tick, cross, dot or stroke, which anybody makes alike, and cannot be judged: "
    "give a whole signature.",
    stops=True,
)
WHOLE_PAGE = Fault(
    "whole_page",
    "It shows a whole page, not a signature alone, and cannot be judged: crop it to the signature "
    "(`deepsign extract` cuts signatures out of pages).",
    stops=True,
)
LIKE_PRINT = Fault(
    "like_print",
    "It looks much like print: see whether a person wrote it. A printed name says nothing of who "
    "printed it.",
)
TOO_SMALL = Fault(
    "too_small",
    "The signature is small for this model and had to be enlarged, and that it is a copy may not "
    "show: scan it at a higher resolution.",
)
FAINT = Fault(
    "faint",
    "The ink is hardly darker than the paper, and parts of it may be lost: scan it darker, or sign "
    "with a pen.",
)
CUT_OFF = Fault(
    "cut_off",
    "Strokes run into the border of the image: part of the signature may be missing.",
)
SEVERAL_SIGNATURES = Fault(
    "several_signatures",
    "The ink falls apart into distant groups: crop the image to one signature.",
)
UNDER_A_STAMP = Fault(*form.UNDER_A_STAMP)
SHADED_PAPER = Fault(
    "shaded_paper",
    "The paper is unevenly lit: scan it flat, or photograph it in even light.",
)
SEVERAL_PAGES = Fault(
    "several_pages",
    "The file holds several pages or frames: only the first one was read.",
)

_ENLARGED = 1.1  # times, from which the scan's own resolution limits what the model sees
_PALE = 0.3  # darkness of ink, as a share of the paper's, below which it may be faint
_FAINT = 1.5  # times the least that counts as ink, below which parts of strokes are lost
_FULL_WIDTH = 1.1  # stroke widths, from which a run of ink at the border is a whole stroke
_LEAST_SHARE = 0.15  # of the ink that makes a group a signature of its own
_GAP_ACROSS = 1.0  # gap between groups side by side, in heights of the higher one
_GAP_DOWN = 0.5  # gap between groups one above the other, in heights of the higher one
_PRINT = 0.86  # likeness, from which ink is print: fewer than 1 in 1,000 signatures have it
_LIKE_PRINT = 0.25
_LEAST_INK = 96  # pixels of the longer side: in fewer, print and handwriting look alike
_PAGE_PIECES = 30  # from which an image is looked at as a page
_PAGE_LETTERS = 120  # of print, from which it is one: a form's cutting has fewer
_SHADE = 0.2  # of the brightest paper's level, by which other paper is darker
_CELL = 16  # pixels across, over which paper is averaged


def faults(
    gray: np.ndarray,
    canvas_height: int,
    canvas_width: int,
    ink: np.ndarray | None = None,
    before: np.ndarray | None = None,
) -> tuple[Fault, ...]:
    """Find what is wrong with the image of a signature.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright, from `preprocessing.load_grayscale`.
    canvas_height, canvas_width : int
        Size of the canvas that the model sees, in pixels.
    ink : bool (H, W), optional
        Where there is ink, if that is known.
    before : uint8 (H, W) or (H, W, 3), optional
        The image before printed text was taken away from it.

    Returns
    -------
    tuple of Fault
        One alone where the image cannot be judged; empty where nothing was found, and for a blank
        page, which `preprocessing.clean` refuses.
    """
    ink = ink_mask(gray) if ink is None else ink
    if not ink.any():
        return ()
    described = handwriting.describe(ink)
    top, bottom, left, right = ink_box(ink)
    fine = max(bottom - top, right - left) >= _LEAST_INK
    likeness = handwriting.print_likeness(described) if fine else 0.0
    if handwriting.is_mark(ink, described):
        return (MERE_MARK,)
    if likeness > _PRINT:
        return (NOT_HANDWRITTEN,)
    may_be_page = before is not None or handwriting.pieces(described) >= _PAGE_PIECES
    if may_be_page and look(gray if before is None else before).letters >= _PAGE_LETTERS:
        return (WHOLE_PAGE,)
    factor = -(-max(gray.shape) // _WORKING_SIDE)
    small, stamped, faint = gray, is_stamped(ink), _is_faint(gray, ink)
    if factor > 1:
        small = np.asarray(Image.fromarray(gray).reduce(factor))
        ink = np.asarray(Image.fromarray(ink * np.uint8(255)).reduce(factor)) > 127
    if not ink.any():
        return ()
    top, bottom, left, right = ink_box(ink)
    box = ink[top:bottom, left:right]
    enlarged = min(canvas_height / box.shape[0], canvas_width / box.shape[1]) / factor
    found = (
        (LIKE_PRINT, likeness > _LIKE_PRINT),
        (TOO_SMALL, enlarged > _ENLARGED),
        (FAINT, faint),
        (CUT_OFF, _is_cut(ink)),
        (SEVERAL_SIGNATURES, _falls_apart(box)),
        (UNDER_A_STAMP, stamped),
        (SHADED_PAPER, _is_shaded(small, ink)),
    )
    return tuple(fault for fault, present in found if present)


def has_several_pages(image: Image.Image, name: str) -> bool:
    """Tell whether a file just opened, not yet decoded, holds more than one page or frame.

    Raises
    ------
    DeepSignError
        If the file is too damaged to tell; the message gives its name.
    """
    if image.format != "TIFF":
        return getattr(image, "is_animated", False)
    try:
        image.seek(1)  # counting all pages could take long in a file made for that
        image.seek(0)
    except EOFError:
        return False
    except Exception as error:  # a damaged file can raise nearly anything
        raise DeepSignError(f"{name} is damaged: its pages cannot be told apart") from error
    return True


def _stroke_width(ink: np.ndarray) -> float:
    """Mean width of the strokes along their centre lines, in pixels."""
    # A line one pixel wide has the depth 1, one of three pixels the depth 2.
    return float(2 * ridge_depths(ink).mean() - 1)


def _is_faint(gray: np.ndarray, ink: np.ndarray) -> bool:
    """Whether so little tells the ink from the paper that parts of strokes fall below it."""
    is_pale = np.median(gray[ink]) > (1 - _PALE) * np.median(gray)
    return bool(is_pale and contrast(gray, ink) < _FAINT)


def _is_cut(ink: np.ndarray) -> bool:
    """Whether a stroke runs into a border at its full width.

    A tight crop touches bends, which divide in two further in, and tips, which grow wider.
    """
    if not any(edge.any() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1])):
        return False
    stroke_width = _stroke_width(ink)
    for side in range(4):
        turned = np.rot90(ink, side)
        for first, last in _runs(turned[0]):
            if last - first < _FULL_WIDTH * stroke_width:
                continue
            for depth in (round(stroke_width), round(2 * stroke_width)):
                near = turned[min(depth, len(turned) - 1), max(0, first - depth) : last + depth]
                inside = _runs(near)
                if len(inside) != 1 or np.ptp(inside[0]) > last - first + 1:
                    break
            else:
                return True
    return False


def _runs(line: np.ndarray) -> list[tuple[int, int]]:
    """Where runs of ink begin, and end (exclusive)."""
    steps = np.flatnonzero(np.diff(line, prepend=False, append=False))
    return list(zip(steps[::2], steps[1::2], strict=True))


def _falls_apart(box: np.ndarray) -> bool:
    """Whether an empty band divides the ink into groups too far apart for one signature."""
    return _has_gap(box, _GAP_ACROSS) or _has_gap(box.T, _GAP_DOWN, along_gap=True)


def _has_gap(box: np.ndarray, least: float, along_gap: bool = False) -> bool:
    """Whether empty columns at least `least` group heights wide divide the ink."""
    weight = box.sum(axis=0)
    filled = np.flatnonzero(weight)
    for left, right in pairwise(filled):
        if right - left < 4:
            continue
        sides = box[:, : left + 1], box[:, right:]
        share = min(np.count_nonzero(side) for side in sides) / weight.sum()
        # Groups one above the other: what counts as their height lies along the gap.
        extents = [
            side.shape[1] if along_gap else np.ptp(np.flatnonzero(side.any(axis=1))) + 1
            for side in sides
        ]
        if share >= _LEAST_SHARE and right - left - 1 >= least * max(extents):
            return True
    return False


def _is_shaded(gray: np.ndarray, ink: np.ndarray) -> bool:
    """Whether the paper's brightness, away from the ink, differs much across the image."""
    paper = ~ndimage.maximum_filter(ink, 7)
    weights = _cells(paper.astype(np.float32))
    levels = _cells(gray * paper) / np.maximum(weights, 1)
    levels = levels[weights > _CELL**2 / 4]
    if levels.size < 4:
        return False
    dark, bright = np.quantile(levels, [0.05, 0.95])
    return bool(dark < (1 - _SHADE) * bright)


def _cells(values: np.ndarray) -> np.ndarray:
    """Sums over cells of `_CELL` x `_CELL` pixels."""
    rows = np.add.reduceat(values, range(0, values.shape[0], _CELL), axis=0, dtype=np.float32)
    return np.add.reduceat(rows, range(0, values.shape[1], _CELL), axis=1)
