"""What is on the page besides the signature: found, taken away, told.

Each step leaves an image alone in which it finds nothing, so that a plain scan passes unchanged and
nearly for free.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing import holes, light
from deepsign_utils.preprocessing.colour import in_gray, inks
from deepsign_utils.preprocessing.images import resize
from deepsign_utils.preprocessing.ink import (
    EDGE,
    ink_box,
    ink_field,
    paper_levels,
    reduced,
)
from deepsign_utils.preprocessing.separation import separate


class Removal(NamedTuple):
    """What was taken away: a code for programs, and a sentence for people."""

    code: str
    message: str


DITHERING = Removal(
    "dithering_smoothed",
    "The paper is strewn with the dots of a one-bit scan: they were smoothed away.",
)
SHEET = Removal("sheet_found", "The sheet does not fill the image: what surrounds it was left out.")
INVERTED = Removal(
    "inverted", "The ink is lighter than its ground: the image was turned over, dark on light."
)
SHADOW = Removal("shadow_removed", "A shadow's edge crosses the paper: the light was levelled.")
HOLE = Removal(
    "punch_hole_removed",
    "A punch hole, or another solid dark disc, was taken away with whatever lay beneath it.",
)
LINE = Removal(
    "ruled_line_removed",
    "A printed line was taken away, and the strokes that cross it were kept.",
)
BOX = Removal(
    "box_removed", "A printed box was taken away, and the strokes that cross it were kept."
)
TEXT = Removal("printed_text_removed", "Printed text beside the signature was taken away.")
STAMP = Removal("stamp_removed", "A stamp or seal was taken away.")
BACK = Removal(
    "back_removed", "Writing that shines through from the back of the sheet was taken away."
)
STAPLE = Removal("staple_removed", "A staple was taken away.")
COLOUR = Removal(
    "other_ink_removed",
    "Print, a stamp, a staple or a form of another colour than the signature's ink was taken away.",
)
TWO_INKS = Removal(
    "two_inks",
    "The page shows ink of two colours, and both were taken for the signature: crop the image, or "
    "hide what is no signature.",
)
UNDER_A_STAMP = Removal(
    "under_a_stamp",
    "A stamp or seal as dark as the signature lies across it, and strokes beneath may be lost: "
    "give a signature with nothing across it.",
)
_TOLD = {
    "line": LINE,
    "box": BOX,
    "text": TEXT,
    "stamp": STAMP,
    "back": BACK,
    "staple": STAPLE,
}


class Plain(NamedTuple):
    """A signature without its form.

    Attributes
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright, at most `images.WORKING_SIDE` pixels a side.
    field : np.ndarray
        Its ink, as `ink.ink_field` gives it.
    removed : tuple of Removal
    """

    gray: np.ndarray
    field: np.ndarray
    removed: tuple[Removal, ...]


class FineInk(NamedTuple):
    """A signature's ink, uint8 (H, W) as `ink.ink_field` gives it, and how many times as large as
    on the page."""

    field: np.ndarray
    enlarged: int = 1


_PRINTED = 0.3  # difference of two inks' shares of print: so much, and one is the form's
_OTHER = 0.02  # of a page's ink: less that is not the signature's is a doubt about a stroke
_OF_A_KIND = 0.1  # of the ink that is taken away: so much of a kind is told
_SIGNED = 0.05  # of a page's ink: with less, there is no signature on it
_CANNOT_BE_ONE = ("line", "box", "back", "staple")  # what goes from a page without a signature
_AS_DARK = 0.66  # of the signature's darkness, from which a stamp hides strokes
_BLUR = 2  # pixels, by which print darkens the paper around it
_LEAST_SIDE = 24  # pixels: in less, a form cannot be told from a signature
_COARSE = 192  # pixels of the ink's longer side, below which smoothing would cost strokes,
_FINE = 256  # and what it is enlarged to,
_MOST_ENLARGED = 4  # at most so many times


def plain(image: np.ndarray) -> Plain:
    """Take away whatever on a page is not the signature.

    Parameters
    ----------
    image : np.ndarray
        Shape (H, W) or (H, W, 3), uint8, from `load_image` or `load_grayscale`.

    Returns
    -------
    Plain
        On a page with nothing but a signature, its gray levels as they were, reduced to its working
        size.
    """
    image, removed = reduced(image), []
    gray = image if image.ndim == 2 else in_gray(image)
    if min(gray.shape) < _LEAST_SIDE:
        return Plain(gray, ink_field(gray), ())
    smooth = light.undithered(gray)
    if smooth is not None:
        gray = smooth
        removed.append(DITHERING)
    inside = light.sheet(gray)
    if inside is not None and min(inside.any(axis=side).sum() for side in (0, 1)) < _LEAST_SIDE:
        inside = None  # a patch
    if inside is not None:
        gray = light.cut_out(gray, inside)
        removed.append(SHEET)
    page = gray
    if light.is_inverted(gray):
        page = 255 - gray
        removed.append(INVERTED)
    elif image.ndim == 3:
        page = image
        if inside is not None:
            channels = [light.cut_out(image[..., number], inside) for number in range(3)]
            page = np.stack(channels, axis=-1)
    unpunched = holes.without_holes(page)
    if unpunched is not None:
        page = unpunched
        removed.append(HOLE)
    gray, parted = (page, []) if page.ndim == 2 else _in_one_ink(page)
    removed += parted
    level = light.unshaded(gray)
    if level is not None:
        gray = level
        removed.append(SHADOW)
    gray, field, separated = _without_other_ink(gray, ink_field(gray))
    return Plain(gray, field, (*removed, *separated))


def finely(page: Plain) -> FineInk:
    """The ink of a signature as it is drawn: of one with few pixels, found on an enlarged image.

    What finds ink smooths over a pixel or two, which would cost such a signature its strokes.
    """
    ink = page.field > EDGE
    if not ink.any():
        return FineInk(page.field)
    top, bottom, left, right = ink_box(ink)
    side = max(bottom - top, right - left)
    if side >= _COARSE:
        return FineInk(page.field)
    times = min(-(-_FINE // side), _MOST_ENLARGED)
    gray = page.gray[max(0, top - side) : bottom + side, max(0, left - side) : right + side]
    size = times * gray.shape[0], times * gray.shape[1]
    field = ink_field(resize(gray, size, Image.Resampling.BICUBIC))
    return FineInk(field, times) if (field > EDGE).any() else FineInk(page.field)


def has_ink(gray: np.ndarray) -> bool:
    """Tell whether `clean` will find ink.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, from `load_grayscale`.

    Returns
    -------
    bool
        False for a blank page.
    """
    gray = reduced(gray)
    return bool((plain(gray).field > EDGE).any())


def _in_one_ink(rgb: np.ndarray) -> tuple[np.ndarray, list[Removal]]:
    """The page in the signature's ink alone, where it shows two, as gray levels."""
    found = inks(rgb)
    if len(found.layers) == 1:
        return found.layers[0], []
    printed = [_share_of_other_ink(layer) for layer in found.layers]
    one, other = found.layers
    if abs(printed[0] - printed[1]) > _PRINTED:
        return (one if printed[0] < printed[1] else other), [COLOUR]
    # People write in black and in blue; stamps and forms come in every colour.
    if found.pens[0] == found.pens[1]:
        return in_gray(rgb), [TWO_INKS]
    return (one if found.pens[0] else other), [COLOUR]


def _share_of_other_ink(gray: np.ndarray) -> float:
    """Share of a page's ink that is not a signature's."""
    field = ink_field(gray)
    ink = np.count_nonzero(field > EDGE)
    return 1 - np.count_nonzero(separate(gray, field).kept) / ink if ink else 1.0


def _without_other_ink(
    gray: np.ndarray, field: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Removal]]:
    """A page and its ink without what is not the signature's, and what that was."""
    ink = np.count_nonzero(field > EDGE)
    if not ink:
        return gray, field, []
    kept, other = separate(gray, field)
    if np.count_nonzero(kept) < _SIGNED * ink:
        other = {kind: part for kind, part in other.items() if kind in _CANNOT_BE_ONE}
    many = {kind: np.count_nonzero(part) for kind, part in other.items()}
    if sum(many.values()) < _OTHER * ink:
        return gray, field, []
    told = [_TOLD[kind] for kind, n in many.items() if n >= _OF_A_KIND * sum(many.values())]
    paper = paper_levels(gray)
    if STAMP in told and _hides(gray / paper, kept, other["stamp"]):
        told[told.index(STAMP)] = UNDER_A_STAMP
    part = np.any(list(other.values()), axis=0)
    part = ndimage.binary_dilation(part, iterations=_BLUR) & (part | (field <= EDGE))
    gray = np.where(part, paper.astype(np.uint8), gray)
    return gray, ink_field(gray), told


def _hides(light: np.ndarray, kept: np.ndarray, stamp: np.ndarray) -> bool:
    """Whether a stamp lies where the signature is, and is about as dark."""
    top, bottom, left, right = ink_box(kept)
    across = stamp[top:bottom, left:right].any()
    return bool(across and 1 - np.median(light[stamp]) > _AS_DARK * (1 - np.median(light[kept])))
