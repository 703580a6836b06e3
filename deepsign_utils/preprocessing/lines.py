"""Printed lines, found and taken away: rules, dashes, boxes, combs, squared paper, streaks.

No hand draws as straight, as even and as far as a machine. A line is sought where strips of the
image show a thin ridge of ink in rows that lie on one straight line; it is then followed column by
column and measured; only what is straighter and more even than handwriting, and reaches beyond it,
is taken away, and strokes that cross it are kept.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Polynomial
from PIL import Image
from scipy import ndimage

_STRIPS = 32  # at most, across the image
_STEEPEST = np.tan(np.radians(8))
_MOST_LINES = 40  # followed in one image and direction
_DASHES, _TEETH = 6, 3  # at least, that make a line, or a comb
_MOST_DASHES = 400
_PART = 0.15  # of a line, at least, that is not there by chance
_AS_RICH = 1.3  # times the ink, at most, of stretches that are of one line
_ASLANT = 2.0  # columns a row, at most, by which a stroke crosses a line
_WIDER = 2  # times, at most, that a stroke is wider where it leaves the line than where it meets it
_SAG = 0.012  # of a printed line's length, by which its paper may bend it


class Line(NamedTuple):
    """A thin dark line that crosses the image from left to right.

    Attributes
    ----------
    curve : Polynomial
        Row of its middle at a column.
    start, stop : int
        Columns, `stop` exclusive.
    thickness : float
        Pixels.
    darkness : float
        Share by which it is darker than the paper.
    covered : float
        Share of its columns that are dark.
    waver : float
        Pixels: median distance from its curve.
    uneven : float
        Pixels: by how much its thickness differs between its thin and thick tenth.
    regular : bool
        Whether it is made of many dashes or dots at equal distances.
    """

    curve: Polynomial
    start: int
    stop: int
    thickness: float
    darkness: float
    covered: float
    waver: float
    uneven: float
    regular: bool

    @property
    def length(self) -> int:
        """Pixels from end to end."""
        return self.stop - self.start

    def row(self, column) -> np.ndarray:
        """Row of the line at a column."""
        return self.curve(np.asarray(column, float))

    @property
    def sag(self) -> float:
        """Distance of the curve's middle from its chord, as a share of its length."""
        ends = self.row([self.start, (self.start + self.stop) / 2, self.stop])
        return abs(ends[1] - (ends[0] + ends[2]) / 2) / max(self.length, 1)

    @property
    def slope(self) -> float:
        """Rows that it falls in a column."""
        ends = self.row([self.start, self.stop])
        return float(ends[1] - ends[0]) / max(self.length, 1)


def _ridges(ink: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Share of ink in each row of each strip, less that of rows nearby: (strips, H); a strip's
    width; how far "nearby" is."""
    height, width = ink.shape
    strip = max(6, width // _STRIPS)
    ink = np.ascontiguousarray(ink[:, : width // strip * strip])
    image = Image.fromarray(ink.view(np.uint8) * np.uint8(255))
    share = np.asarray(image.reduce((strip, 1)), np.float32).T / 255
    near = max(4, min(max(5, round(0.008 * width) + 3), height // 6))
    padded = np.pad(share, ((0, 0), (near, near)))
    beside = np.maximum(padded[:, :height], padded[:, 2 * near :])
    return ndimage.maximum_filter1d(np.clip(share - beside, 0, 0.7), 3, axis=1), strip, near


def _straight(ridges: np.ndarray, strip: float, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean ridge along straight lines: rises over half the image, (rises, H) by row at the middle.

    A Hough transform of the strips.
    """
    count, height = ridges.shape
    reach = _STEEPEST * count * strip / 2
    most = int(np.ceil(reach / step))
    rises = np.arange(-most, most + 1) * step
    pad = most * step + 1
    padded = np.pad(ridges, ((0, 0), (pad, pad)))
    at = (np.arange(count) + 0.5) / count * 2 - 1
    shift = np.rint(rises[:, None] * at[None, :]).astype(int)
    total = np.zeros((len(rises), height), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, height, axis=1)
    for number in range(count):
        total += windows[number, shift[:, number] + pad]
    return rises, total / (0.7 * count)


def may_cross(ink: np.ndarray, least: float = 0.45) -> bool:
    """Tell, quickly, whether a line might cross the image; nearly always true where one does."""
    ridges, strip, _ = _ridges(ink)
    if ridges.shape[0] < 4 or np.count_nonzero(ridges.max(axis=1) > 0.3) < 0.5 * len(ridges):
        return False
    # Every second strip, four rows at a time.
    ridges = ridges[::2, : ridges.shape[1] // 4 * 4]
    ridges = ridges.reshape(len(ridges), -1, 4).max(axis=2)
    return bool(_straight(ridges, strip / 2, 1)[1].max() > least)


def follow(ink: np.ndarray, darkness: np.ndarray, least: float = 0.3) -> list[Line]:
    """Find what looks like a line from left to right, the clearest first."""
    ridges, strip, near = _ridges(ink)
    if ridges.shape[0] < 4:
        return []
    rises, score = _straight(ridges, strip, 2)
    lines: list[Line] = []
    for _ in range(_MOST_LINES):
        rise, row = np.unravel_index(score.argmax(), score.shape)
        if score[rise, row] < least:
            break
        line = _followed(ridges, strip, near, darkness, rises[rise], int(row))
        score[:, max(0, row - 5) : row + 6] = 0
        if line is not None and not any(_same(line, other) for other in lines):
            lines.append(line)
    return lines


def _same(one: Line, other: Line) -> bool:
    middle = (max(one.start, other.start) + min(one.stop, other.stop)) / 2
    overlap = min(one.stop, other.stop) - max(one.start, other.start)
    close = abs(one.row(middle) - other.row(middle)) < one.thickness + other.thickness
    return overlap > 0 and bool(close)


def _followed(
    ridges: np.ndarray, strip: int, near: int, darkness: np.ndarray, rise: float, row: int
) -> Line | None:
    """Follow a line strip by strip, then column by column, and measure it."""
    count, height = ridges.shape
    width = darkness.shape[1]
    found_columns, found_rows = [], []
    for number in range(count):
        guess = row + rise * (2 * (number + 0.5) / count - 1)
        low, high = int(max(0, guess - 4)), int(min(height, guess + 5))
        window = ridges[number, low:high].tolist()
        if len(window) < 3 or max(window) < 0.2:
            continue
        # The middle of the first crest, which is some rows wide.
        crest = [level > max(window) - 1e-6 for level in window]
        first = crest.index(True)
        stop = (*crest, False).index(False, first)
        peak = low + (first + stop - 1) // 2
        low, high = max(0, peak - 2), min(height, peak + 3)
        weights = ridges[number, low:high].tolist()
        moment = sum(row * weight for row, weight in zip(range(low, high), weights, strict=True))
        found_rows.append(moment / sum(weights))
        found_columns.append((number + 0.5) * strip)
    if len(found_columns) < 5:
        return None
    columns, rows = np.array(found_columns), np.array(found_rows)
    keep = np.ones(len(columns), bool)
    for _ in range(4):
        degree = 2 if keep.sum() >= 8 else 1
        curve = Polynomial.fit(columns[keep], rows[keep], degree, domain=[0, width])
        away = np.abs(curve(columns) - rows)
        closer = away < max(1.2, 2 * np.median(away[keep]))
        if closer.sum() < 5 or (closer == keep).all():
            break
        keep = closer
    for last in (False, True):
        found = _measured(curve, near, darkness)
        if found is None:
            return None
        clear, offset, thickness, amount, ridge = found
        if not last:
            degree = 2 if np.count_nonzero(clear) > 0.2 * width else 1
            at = np.flatnonzero(clear)
            middle = np.rint(curve(at)) + offset[at]
            curve = Polynomial.fit(at, middle, degree, domain=[0, width])
    level = float(np.median(ridge[clear]))
    # A line thinner than a pixel darkens now one row, now two by half.
    dark = amount > 0.55 * np.median(amount[clear])
    return _line(curve, clear, offset, thickness, dark, level)


def _measured(curve: Polynomial, near: int, darkness: np.ndarray):
    """Look across a curve at each column: where a thin line stands alone there, and what it is."""
    height, width = darkness.shape
    every = np.arange(width)
    rows = np.rint(curve(every)).astype(int) + np.arange(-near, near + 1)[:, None]
    inside = (rows >= 0) & (rows < height)
    across = np.where(inside, darkness[rows.clip(0, height - 1), every], 0)
    centre = across[near - 1 : near + 2].max(axis=0)
    beside = np.maximum(across[: near - 2].min(axis=0), across[near + 3 :].min(axis=0))
    ridge = centre - beside
    seen = ridge > 0.04
    if np.count_nonzero(seen) < 10:
        return None
    level = np.median(ridge[seen])
    core = across[near - 3 : near + 4]
    weight = np.clip(core - beside - 0.3 * level, 0, None)
    offset = (weight * np.arange(-3, 4)[:, None]).sum(axis=0) / np.maximum(weight.sum(0), 1e-6)
    half = across > 0.5 * centre
    above = np.cumprod(half[near::-1], axis=0).sum(axis=0)
    below = np.cumprod(half[near:], axis=0).sum(axis=0)
    thickness = above + below - 1
    clear = (ridge > 0.5 * level) & (thickness > 0) & (thickness <= near)
    if np.count_nonzero(clear) < 10:
        return None
    amount = across[near - 2 : near + 3].sum(axis=0)
    return clear, offset, thickness, amount, ridge


def _line(curve, clear, offset, thickness, dark, level) -> Line | None:
    width = len(dark)
    # Dashes and dots are joined over a 25th of the width.
    joined = ndimage.uniform_filter1d(dark.astype(np.float32), max(9, width // 25), mode="constant")
    start, stop = max(_runs(joined > 0.22), key=np.ptp, default=(0, 0))
    at = np.flatnonzero(dark[start:stop])
    if at.size < 8:
        return None
    start, stop = start + int(at[0]), start + int(at[-1]) + 1
    clear = clear[start:stop]
    if np.count_nonzero(clear) < max(8, 0.15 * (stop - start)):
        return None
    away = (
        offset[start:stop] + np.rint(curve(np.arange(start, stop))) - curve(np.arange(start, stop))
    )
    smooth = ndimage.uniform_filter1d(away[clear], 5)
    thick = thickness[start:stop][clear]
    low, high = np.quantile(thick, [0.1, 0.75])
    dashes = _runs(dark[start:stop])[1:-1]
    lengths = np.array([b - a for a, b in dashes])
    gaps = np.array([b[0] - a[1] for a, b in pairwise(dashes)])
    regular = len(gaps) >= 5 and all(
        np.median(np.abs(v - np.median(v))) <= max(0.75, 0.15 * np.median(v))
        for v in (lengths, gaps)
    )
    return Line(
        curve,
        start,
        stop,
        float(np.median(thick)),
        level,
        float(dark[start:stop].mean()),
        float(np.median(np.abs(smooth))),
        float(high - low),
        regular,
    )


def dashes(ink: np.ndarray) -> Line | None:
    """Find a dashed or dotted line by its dashes, some of which strokes may meet.

    They are pieces alike, at equal distances on a straight line through most of the ink.

    Parameters
    ----------
    ink : np.ndarray
        Shape (H, W), bool.

    Returns
    -------
    Line or None
        Its `darkness` is 1: no stroke is told from it by its shade.
    """
    labels, count = ndimage.label(ink, np.ones((3, 3)))
    if count < _DASHES:
        return None
    areas = np.bincount(labels.ravel())[1:]
    boxes = np.array([(x.start, x.stop, y.start, y.stop) for y, x in ndimage.find_objects(labels)])
    width, height = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    flat = (height <= 2 + 1.5 * width) & (width <= ink.shape[1] / (2 * _DASHES))
    if not _DASHES <= np.count_nonzero(flat) <= _MOST_DASHES:
        return None
    areas, boxes, width = areas[flat], boxes[flat], width[flat]
    at, row = boxes[:, :2].mean(axis=1) - 0.5, boxes[:, 2:].mean(axis=1) - 0.5
    written = np.ptp(np.flatnonzero(ink.any(axis=0)))
    best = np.zeros(len(areas), bool)
    for one in range(len(areas)):
        alike = np.abs(width - width[one]) <= 1 + 0.15 * width[one]
        alike &= np.abs(areas - areas[one]) <= 2 + 0.3 * areas[one]
        far = alike & (np.abs(at - at[one]) > 0.3 * written)
        slopes = (row[far] - row[one]) / (at[far] - at[one])
        slopes = slopes[np.abs(slopes) < _STEEPEST]
        if alike.sum() < _DASHES or not slopes.size:
            continue
        # The line through this one and another that meets most of those alike.
        away = np.abs(row[one] + slopes[:, None] * (at - at[one]) - row)
        meets = (away <= 1.2) & alike
        met = meets[meets.sum(axis=1).argmax()]
        best = met if met.sum() > best.sum() else best
    if best.sum() < _DASHES:
        return None
    gaps = np.diff(np.sort(at[best]))
    if not _in_step(gaps, np.median(gaps[gaps <= 1.4 * gaps.min()]), 0.9):
        return None
    start, stop = int(boxes[best, 0].min()), int(boxes[best, 1].max())
    if stop - start < 0.6 * written:
        return None
    curve = Polynomial.fit(at[best], row[best], 2 if best.sum() >= 12 else 1, [0, ink.shape[1]])
    thickness = float(np.median(areas[best] / width[best]))
    return Line(curve, start, stop, thickness, 1.0, 0.5, 0.0, 0.0, True)


def teeth(ink: np.ndarray) -> list[Line]:
    """Find the upright lines of a comb, whose ground was taken away already.

    Parameters
    ----------
    ink : np.ndarray
        Shape (H, W), bool.

    Returns
    -------
    list of Line
        From top to bottom, in the transposed image, all as long as those that no stroke lengthens.
    """
    rows = np.flatnonzero(ink.any(axis=1))
    if not rows.size:
        return []
    stop = int(rows[-1]) + 1
    foot = stop - 3 - round(0.02 * ink.shape[1])  # the ground may have been a little slanted
    if foot <= 0:
        return []
    runs = np.array(_runs(ink[foot])).reshape(-1, 2)
    middles, reached = np.mean(runs, axis=1) - 0.5, []
    for middle in middles:
        column = ink[:foot, max(0, int(middle) - 1) : int(middle) + 3].any(axis=1)
        reached.append(np.argmin(np.append(np.flip(column), False)))
    heights, widths = np.array(reached, int), np.ptp(runs, axis=1)
    upright = (heights > 2 * widths) & (heights + stop - foot >= 5 * widths)
    written = np.ptp(np.flatnonzero(ink.any(axis=0)))
    if upright.sum() < _TEETH or np.ptp(middles[upright]) < 0.4 * written:
        return []
    gaps = np.diff(middles[upright])
    if not _in_step(gaps, np.median(gaps), 0.75):
        return []
    start = foot - int(np.quantile(heights[upright], 0.25))
    thickness = float(np.median(widths[upright]))
    return [
        Line(Polynomial([middle]), start, stop, thickness, 1.0, 1.0, 0.0, 0.0, False)
        for middle in middles[upright]
    ]


def _in_step(gaps: np.ndarray, step: float, least: float) -> bool:
    """Whether more than a share of the distances are whole multiples of one, which most are."""
    off = np.abs(gaps / step - np.rint(gaps / step)) * step
    single = np.abs(gaps - step) < 0.3 * step
    return bool(np.mean(off <= 1 + 0.1 * step) > least and np.mean(single) > 0.5)


def _runs(line: np.ndarray) -> list[tuple[int, int]]:
    steps = np.flatnonzero(np.diff(line.astype(np.int8), prepend=0, append=0))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def is_even(line: Line) -> bool:
    """Whether a line might be a machine's: nearly straight, of one thickness, whole or dashed."""
    return (
        (line.covered > 0.8 or line.regular)
        and line.waver <= 0.3 + 0.04 * line.thickness
        and line.uneven <= 1.3 + 0.35 * line.thickness
        and line.sag <= _SAG
    )


def is_parted(line: Line, mask: np.ndarray, darkness: np.ndarray) -> bool:
    """Whether a mask takes some stretches of a line that are as rich in ink as the others.

    Parameters
    ----------
    line : Line
    mask : np.ndarray
        Shape (H, W), bool.
    darkness : np.ndarray
        Shape (H, W): share by which a pixel is darker than its paper.
    """
    columns = np.arange(line.start, line.stop)
    rows = np.rint(line.row(columns)).astype(int)
    reach = int(np.ceil(line.thickness / 2)) + 1
    across = (rows + np.arange(-reach, reach + 1)[:, None]).clip(0, mask.shape[0] - 1)
    taken = mask[across[reach], columns]
    amount = darkness[across, columns].sum(axis=0)
    share = taken.mean()
    return bool(
        _PART < share < 1 - _PART
        and np.median(amount[~taken]) < _AS_RICH * np.median(amount[taken])
    )


def printed(across: list[Line], down: list[Line], ink: np.ndarray):
    """Which of the lines are the form's, not the hand's.

    Parameters
    ----------
    across, down : list of Line
        From left to right, and from top to bottom (followed in the transposed image).
    ink : np.ndarray
        Shape (H, W), bool.

    Returns
    -------
    across, down : list of Line
        The printed ones.
    box : bool
        Whether some of them close a box.
    """
    height, width = ink.shape
    across, down = ([line for line in lines if is_even(line)] for lines in (across, down))
    if not across and not down:
        return [], [], False
    rest = without(without(ink, across).T, down).T
    spans: list[tuple[int, int]] = []
    for axis, length in ((0, width), (1, height)):
        filled = np.flatnonzero(rest.any(axis=axis))
        spans.append((int(filled[0]), int(filled[-1])) if filled.size else (length, 0))
    lying = [line for line in across if _is_printed(line, across, *spans[0], width)]
    # A hand draws short upright strokes as straight as a machine: only whole ones are the form's.
    upright = [
        line
        for line in down
        if line.start == 0 and line.stop == height and _is_printed(line, down, *spans[1], height)
    ]
    boxed_across, boxed_down = _boxed(across, down)
    lying += [line for line in boxed_across if line not in lying]
    upright += [line for line in boxed_down if line not in upright]
    return lying, upright, bool(boxed_down)


def _boxed(across: list[Line], down: list[Line]) -> tuple[list[Line], list[Line]]:
    """Lines that close a box: two lying and two upright ones that meet in four corners."""
    sides: list[Line] = []
    for upright in down:
        meets = [line for line in across if _corner(line, upright)]
        if len(meets) >= 2:
            sides.append(upright)
    tops = [line for line in across if sum(_corner(line, side) for side in sides) >= 2]
    return (tops, sides) if len(tops) >= 2 and len(sides) >= 2 else ([], [])


def _corner(lying: Line, upright: Line) -> bool:
    near = 4 + 2 * max(lying.thickness, upright.thickness)
    for end in (upright.start, upright.stop):
        column = upright.row(end)
        if (
            abs(lying.row(column) - end) < near
            and min(abs(lying.start - column), abs(lying.stop - column)) < near
        ):
            return True
    return False


def _is_printed(line: Line, even: list[Line], first: int, last: int, width: int) -> bool:
    """Straightness is asked for the more, the less a line reaches beyond the rest of the ink."""
    touches = line.start == 0 and line.stop == width
    written = max(last - first, 1)
    free = line.start < first - 0.03 * written, line.stop > last + 0.03 * written
    parallel = sum(
        abs(line.slope - other.slope) < 0.006
        and abs(line.thickness - other.thickness) <= 1 + 0.3 * line.thickness
        and min(line.length, other.length) > 0.6 * max(line.length, other.length)
        for other in even
    )
    straight = line.sag < 0.004
    return bool(
        (touches and any(free))
        or (parallel >= 3 and line.length > 0.6 * width)
        or (line.regular and line.covered < 0.8 and line.length > 0.5 * written)
        or (all(free) and line.waver < 0.12 and straight)
        or (line.length > 1.5 * written and line.waver < 0.1 + 0.02 * line.thickness and straight)
        or (touches and line.waver < 0.08)
        or (line.length > 0.95 * written and line.waver < 0.07 and straight)
        or (
            line.length > max(350, 0.4 * written)
            and line.waver < 0.00015 * line.length
            and straight
        )
    )


def without(ink: np.ndarray, lines: list[Line]) -> np.ndarray:
    """The ink, less bands along the lines."""
    rest = ink.copy()
    for line in lines:
        top, bottom, columns = _band(line, ink.shape)
        for offset in range(int((bottom - top).max()) + 1):
            rows = top + offset
            ok = (rows <= bottom) & (rows >= 0) & (rows < ink.shape[0])
            rest[rows[ok], columns[ok]] = False
    return rest


def _band(line: Line, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last row that a line darkens at its columns, and these."""
    reach = line.thickness / 2 + 1 + 0.1 * line.thickness
    columns = np.arange(max(0, line.start - 2), min(shape[1], line.stop + 2))
    middle = line.row(columns)
    return (
        np.floor(middle - reach).astype(int),
        np.ceil(middle + reach).astype(int),
        columns,
    )


def leftovers(ink: np.ndarray, lines: list[Line]) -> np.ndarray:
    """Pieces of ink, bool (H, W), that lie wholly along a line or its continuation."""
    height, width = ink.shape
    along = np.zeros(ink.shape, bool)
    columns = np.arange(width)
    for line in lines:
        middle = np.rint(line.row(columns)).astype(int)
        reach = int(np.ceil(line.thickness / 2)) + 2
        for offset in range(-reach, reach + 1):
            rows = middle + offset
            ok = (rows >= 0) & (rows < height)
            along[rows[ok], columns[ok]] = True
    labels, count = ndimage.label(ink, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    inside = np.bincount(labels[along], minlength=count + 1)
    drop = inside > 0.9 * areas
    drop[0] = False
    return drop[labels]


def erase(gray: np.ndarray, rest: np.ndarray, darkness: np.ndarray, paper: np.ndarray, line: Line):
    """Paint paper over a line, in place, but where strokes cross it or reach into it.

    Parameters
    ----------
    gray, paper : np.ndarray
        Shape (H, W), uint8.
    rest : np.ndarray
        Shape (H, W), bool: the ink without any printed line.
    darkness : np.ndarray
        Shape (H, W), share by which a pixel is darker than its paper.
    line : Line
    """
    height, _ = gray.shape
    top, bottom, columns = _band(line, gray.shape)
    strokes = darkness[rest]
    stroke = float(np.quantile(strokes, 0.6)) if strokes.size else 1.0
    pale = line.darkness < 0.6 * stroke
    if pale:
        band = np.arange(int((bottom - top).max()) + 1)[:, None] + top
        amount = darkness[band.clip(0, height - 1), columns].sum(axis=0)
        alone = amount < _AS_RICH * np.median(amount)
    from_above, from_below = (
        (rows >= 0) & (rows < height) & rest[rows.clip(0, height - 1), columns]
        for rows in (top - 1, bottom + 1)
    )
    middle = (top + bottom) / 2
    deep = int((bottom - top).max())
    slanted = _crossings(from_above, from_below, deep)
    for offset in range(deep + 1):
        rows = top + offset
        # What crosses is kept whole; what ends in the line, as far as its middle.
        kept = from_above & (from_below | (rows <= middle)) | from_below & (rows >= middle)
        kept |= slanted[offset]
        inside = (rows <= bottom) & (rows >= 0) & (rows < height)
        ours = rows[inside & kept], columns[inside & kept]
        gray[ours] = np.maximum(gray[ours], (paper[ours] * (1 - stroke)).astype(np.uint8))
        theirs = rows[inside & ~kept], columns[inside & ~kept]
        if pale:
            # A pale line under dark ink: what is clearly darker than the line is the hand's, unless
            # it is the line itself, that pales where it lies in two rows.
            over = darkness[theirs] < (line.darkness + stroke) / 2
            over |= alone[inside & ~kept]
            theirs = theirs[0][over], theirs[1][over]
        gray[theirs] = paper[theirs]


def _crossings(above: np.ndarray, below: np.ndarray, deep: int) -> np.ndarray:
    """Where strokes that meet a line from above and go on below it cross it aslant.

    Parameters
    ----------
    above, below : np.ndarray
        Shape (W,), bool: where strokes touch its upper and its lower edge.
    deep : int
        Rows from one to the other.

    Returns
    -------
    np.ndarray
        Shape (deep + 1, W), bool.
    """
    across = np.zeros((deep + 1, len(above)), bool)
    upper, lower = (np.array(_runs(edge), float).reshape(-1, 2) for edge in (above, below))
    if not len(upper) or not len(lower):
        return across
    apart = np.abs(upper.mean(axis=1)[:, None] - lower.mean(axis=1))
    for one, other in enumerate(apart.argmin(axis=1)):
        wide = sorted((np.ptp(upper[one]), np.ptp(lower[other])))
        if (
            apart[:, other].argmin() == one
            and apart[one, other] <= _ASLANT * deep
            and wide[1] <= _WIDER * wide[0] + 2
        ):
            for offset, part in enumerate(np.linspace(0, 1, deep + 1)):
                start, stop = np.rint((1 - part) * upper[one] + part * lower[other]).astype(int)
                across[offset, start:stop] = True
    return across
