"""What is on the page besides the signature: found, taken away, told.

Each step leaves an image alone in which it finds nothing, so that a plain scan passes unchanged and
nearly for free.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing import fasteners, light, lines
from deepsign_utils.preprocessing.colour import in_gray, inks
from deepsign_utils.preprocessing.images import resize
from deepsign_utils.preprocessing.ink import (
    EDGE,
    Pieces,
    ink_box,
    ink_field,
    ink_in_pieces,
    ink_mask,
    paper_levels,
    reduced,
)
from deepsign_utils.preprocessing.layers import pale_layer
from deepsign_utils.preprocessing.text import printed_text


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
BAR = Removal(
    "bar_removed",
    "A staple, or a stretch of a printed line, apart from the signature was taken away.",
)
LINE = Removal(
    "ruled_line_removed",
    "A printed line was taken away, and the strokes that cross it were kept.",
)
COLOUR = Removal(
    "other_ink_removed",
    "Print, a stamp, a staple or a form of another colour than the signature's ink was taken away.",
)
TWO_INKS = Removal(
    "two_inks",
    "The page shows ink of two colours, and both were taken for the signature: crop the image, or "
    "hide what is no signature.",
)
PALE = Removal(
    "pale_print_removed", "Print or a stamp, paler than the signature's ink, was taken away."
)
TEXT = Removal("printed_text_removed", "Printed text beside the signature was taken away.")
BOX = Removal(
    "box_removed", "A printed box was taken away, and the strokes that cross it were kept."
)
UNDER_A_STAMP = Removal(
    "under_a_stamp",
    "A stamp or seal seems to lie across the signature, and could not be told from it: give a "
    "signature with nothing across it.",
)


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
_NO_SIGNATURE = 0.8  # of an ink is lines and text: it holds no signature
_CLEAR = 0.9  # of the page's width, along which pale print must follow a line to be called one
_FREE = 12  # pixels of paper around the ink, in which lines are sought,
_FREE_SHARE = 0.08  # or this share of the ink's side, if that is more
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
    unpunched = fasteners.without_holes(page)
    if unpunched is not None:
        page = unpunched
        removed.append(HOLE)
    gray, parted = (page, []) if page.ndim == 2 else _in_one_ink(page)
    removed += parted
    level = light.unshaded(gray)
    if level is not None:
        gray = level
        removed.append(SHADOW)
    field, pieces = ink_in_pieces(gray)
    gray, field, pieces, fastened = _without_bars(gray, field, pieces)
    gray, field, written = _without_text(gray, field, pieces)
    gray, field, pale = _without_pale(gray, field)
    gray, field, drawn = _without_lines(gray, field)
    if drawn and not pale:
        gray, field, pale = _without_pale(gray, field)
    if pale or drawn:
        gray, field, more = _without_text(gray, *ink_in_pieces(gray))
        written = written or more
    return Plain(gray, field, (*removed, *fastened, *written, *pale, *drawn))


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
    if min(gray.shape) >= 64:
        # Much ink at a quarter of the size settles it, in a sixteenth of the time.
        coarse = np.asarray(Image.fromarray(gray).reduce(4))
        ink = ink_mask(coarse)
        if 0.002 < ink.mean() < 0.2 and not lines.may_cross(ink) and not lines.may_cross(ink.T):
            return True
    return bool((plain(gray).field > EDGE).any())


_LEAN, _BEYOND = 0.03, 0.1  # of a stamp's frame: its slope, and the ink that lies beyond it
_ASKEW = 0.1  # slope, at which no form is scanned
_PASSES = 3  # a pale line shows itself where a dark one is gone


def _in_one_ink(rgb: np.ndarray) -> tuple[np.ndarray, list[Removal]]:
    """The page in the signature's ink alone, where it shows two, as gray levels."""
    found = inks(rgb)
    if len(found.layers) == 1:
        return found.layers[0], []
    printed = [_printed_share(layer) for layer in found.layers]
    one, other = found.layers
    if abs(printed[0] - printed[1]) > _PRINTED:
        return (one if printed[0] < printed[1] else other), [COLOUR]
    # People write in black and in blue; stamps and forms come in every colour.
    if found.pens[0] == found.pens[1]:
        return in_gray(rgb), [TWO_INKS]
    return (one if found.pens[0] else other), [COLOUR]


def _printed_share(gray: np.ndarray) -> float:
    """Share of a page's ink that is lines, boxes and text in print."""
    field = ink_field(gray)
    ink = int(np.count_nonzero(field > EDGE))
    gray, _, _ = _without_lines(gray, field)
    field, pieces = ink_in_pieces(gray)
    left = field > EDGE
    for print_of in (printed_text, fasteners.bars):
        printed = print_of(field, pieces, alone=True)
        if printed is not None:
            left &= ~printed
    return 1 - np.count_nonzero(left) / max(ink, 1)


def _without_bars(
    gray: np.ndarray, field: np.ndarray, pieces: Pieces
) -> tuple[np.ndarray, np.ndarray, Pieces, list[Removal]]:
    bars = fasteners.bars(field, pieces)
    if bars is None:
        return gray, field, pieces, []
    left, _ = _painted_over(gray, bars)
    return left, *ink_in_pieces(left), [BAR]


def _without_text(
    gray: np.ndarray, field: np.ndarray, pieces: Pieces
) -> tuple[np.ndarray, np.ndarray, list[Removal]]:
    text = printed_text(field, pieces)
    if text is None:
        return gray, field, []
    left, field_left = _painted_over(gray, text)
    if _printed_share(left) > _NO_SIGNATURE:
        return gray, field, []
    return left, field_left, [TEXT]


def _without_pale(
    gray: np.ndarray, field: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Removal]]:
    part = pale_layer(gray, field)
    if part is None or _parts_lines(gray, field, part):
        return gray, field, []
    dark = np.where(part, paper_levels(gray).astype(np.uint8), gray)
    if _printed_share(dark) > _NO_SIGNATURE:
        return gray, field, []  # a pale pen beside black print
    lined = any(lines.may_cross(ink, _CLEAR) for ink in (part, part.T))
    return dark, ink_field(dark), [LINE if lined else PALE]


def _parts_lines(gray: np.ndarray, field: np.ndarray, pale: np.ndarray) -> bool:
    """Whether what is pale are stretches of lines: one thinner than a pixel pales between rows."""
    ink = field > EDGE
    darkness = np.clip(1 - gray / paper_levels(gray), 0, 1).astype(np.float32)
    return any(
        lines.is_parted(line, part, dark)
        for mask, dark, part in ((ink, darkness, pale), (ink.T, darkness.T, pale.T))
        if lines.may_cross(mask)
        for line in lines.follow(mask, dark)
        if lines.is_even(line)
    )


def _painted_over(gray: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay paper over a part of the ink and its edges, and find the ink that is left."""
    part = ndimage.binary_dilation(part, iterations=_BLUR)
    gray = np.where(part, paper_levels(gray).astype(np.uint8), gray)
    return gray, ink_field(gray)


def _without_lines(
    gray: np.ndarray, field: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Removal]]:
    removed: list[Removal] = []
    for _ in range(_PASSES):
        ink = field > EDGE
        if not ink.any():
            break
        here = _around(ink)
        ink = ink[here]
        dashed = lines.dashes(ink)
        teeth = lines.teeth(ink) if removed else []
        # Upright strokes often reach from end to end of the ink, seldom of the image.
        found = lines.may_cross(ink), lines.may_cross((field > EDGE).T)
        if dashed is None and not teeth and not any(found):
            break
        paper = paper_levels(gray)[here]
        darkness = np.clip(1 - gray[here] / paper, 0, 1).astype(np.float32)
        across = lines.follow(ink, darkness) if found[0] else []
        down = []
        if found[1] or any(lines.is_even(line) for line in across):
            down = lines.follow(ink.T, darkness.T)
        across, down, box = lines.printed(across, down, ink)
        across, down = [*across, *([dashed] if dashed else [])], [*down, *teeth]
        if not across and not down:
            break
        gray, paper = gray.copy(), paper.astype(np.uint8)
        rest = lines.without(lines.without(ink, across).T, down).T
        for line in across:
            lines.erase(gray[here], rest, darkness, paper, line)
        for line in down:
            lines.erase(gray[here].T, rest.T, darkness.T, paper.T, line)
        field = ink_field(gray)
        ink = field[here] > EDGE
        left = lines.leftovers(ink, across) | lines.leftovers(ink.T, down).T
        if left.any():
            left = ndimage.binary_dilation(left, iterations=2) & ~(ink & ~left)
            gray[here][left] = paper[left]
            field = ink_field(gray)
        removed.append(BOX if box or teeth else LINE)
        if box and not teeth and _is_a_stamp(down, rest):
            removed.append(UNDER_A_STAMP)
    return gray, field, list(dict.fromkeys(removed))


def _is_a_stamp(down: list[lines.Line], rest: np.ndarray) -> bool:
    """Whether a box leans, and does not hold the signature: people stamp by hand, and across it."""
    lean = float(np.median([abs(line.slope) for line in down]))
    if lean < _LEAN or lean > _ASKEW:
        return lean > _ASKEW
    ends = [(end, float(line.row(end))) for line in down for end in (line.start, line.stop)]
    (top, left), (bottom, right) = np.clip([np.min(ends, axis=0), np.max(ends, axis=0)], 0, None)
    inside = np.count_nonzero(rest[int(top) : int(bottom), int(left) : int(right)])
    return bool(inside < (1 - _BEYOND) * np.count_nonzero(rest))


def _around(ink: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the ink, with paper around it where there is some."""
    top, bottom, left, right = ink_box(ink)
    above, beside = (max(_FREE, round(_FREE_SHARE * side)) for side in (bottom - top, right - left))
    return slice(max(0, top - above), bottom + above), slice(max(0, left - beside), right + beside)
