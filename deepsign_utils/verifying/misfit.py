"""What is odd about a questioned signature beside its references: it leans, lies upside down or on
its side, was written with another pen, is of another kind, far coarser, is underlined where they
are not, or lost a line that they kept.

People's own signatures seldom lean by six degrees against one another, and forgers' often do: a
lean is evidence, and to level every image would give that away. But a page that lay askew looks the
same: where it matters, a person has to say how it lay. Nobody signs upside down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.polynomial import Polynomial
from PIL import Image

from deepsign_utils.preprocessing import EDGE, Preprocessing, draw, ink_box
from deepsign_utils.verifying.comparison import ASKEW, NOT_UPRIGHT, TOO_COARSE, Remark
from deepsign_utils.verifying.copies import Trace
from deepsign_utils.verifying.handwriting import crossings

LEAN = 6.0
"""Degrees, from which a signature leans against its references."""

MOST_LEAN = 20.0
"""Degrees, beyond which its longer side is another one."""

_ACROSS = 45.0  # degrees, from which a signature lies across the references

AMOUNT = 2.2
"""Times the writing, from which one signature is full and the other is initials, or a part."""

PEN = 1.5
"""Times the stroke's width, from which two signatures of a size were written with other pens."""

FEW = 116
"""Pixels of a signature's longer side, below which strokes are missing in the scan itself."""

RESOLUTION = 1.8
"""Times the strokes' width in pixels, from which one of two signatures was scanned more finely."""

UNDERLINE = 0.5
"""Share of a signature's width, over which a stroke that runs below it is an underline."""

_CLEAR = 0.08  # of a signature's height, that is free above an underline
_STRAY = 0.03  # of its height, by which an underline leaves its curve
_LEAST_ON = 0.3  # of the width, that an underline's curve is told from
_SLOPE = 0.35  # rows a column, at most, of an underline
_LINE = 64  # level, above which a turned line is one
_SIDE = 512  # pixels of the longer side, in which ink is kept


def remarks(
    references: Sequence[Trace | None],
    questioned: Trace,
    name: str,
    decision: Callable[[float], str],
) -> tuple[Remark, ...]:
    """That a questioned signature is of another kind than the references; where it is not accepted,
    that a line was taken away from one side only, or an underline stands there, that it is far
    coarser or finer, that another pen wrote it, or that upright it would be accepted.

    Parameters
    ----------
    references : sequence of copies.Trace or None
        Their centre lines, where they are known.
    questioned : copies.Trace
    name : str
        What the questioned signature is called.
    decision : callable
        What is decided of it turned back by some degrees; by 0, as it stands.
    """
    traces = [trace for trace in references if trace]
    if not traces:
        return ()
    found: tuple[Remark, ...] = ()
    if decision(0) != "accepted":
        found = _not_upright(lean(traces, questioned), name, decision)
        if found and found[0].code == NOT_UPRIGHT:
            return found
        lined = _lined(traces, questioned, name) or _underlined(traces, questioned, name)
        if lined:
            return found + lined
        found += _coarser(traces, questioned, name) or _another_pen(traces, questioned, name)
    times = amount(traces, questioned)
    if max(times, 1 / times) > AMOUNT:
        more, less = ("It has", "the references") if times > 1 else ("The references have", "it")
        message = (
            f"{more} far more writing than {less}: initials, or a part of a signature, cannot "
            "be compared with a full one. Compare like with like."
        )
        return (*found, Remark(name, "other_kind", message))
    return found


def _lined(references: Sequence[Trace], questioned: Trace, name: str) -> tuple[Remark, ...]:
    """That a line was taken away from a signature and not from most references, or the other way
    round: it may have been a stroke of the writer's own."""
    if questioned.lined == (np.mean([reference.lined for reference in references]) > 0.5):
        return ()
    ones, others = ("it", "the references") if questioned.lined else ("the references", "it")
    message = (
        f"A line was taken away from {ones} as printed, and none from {others}. If it is a stroke "
        "of the writer's own, such as an underline, the two do not compare, and what is said of "
        "them does not hold: the case file shows what was taken away."
    )
    return (Remark(name, "line_on_one_side", message),)


def _underlined(references: Sequence[Trace], questioned: Trace, name: str) -> tuple[Remark, ...]:
    """That a signature is underlined and most references are not, or the other way round."""
    has = [underline(one.lines) >= UNDERLINE for one in (questioned, *references)]
    if has[0] == (np.mean(has[1:]) > 0.5):
        return ()
    ones, others = ("it", "the references") if has[0] else ("the references", "it")
    message = (
        f"An underline runs below {ones}, and none below {others}: it counts as a stroke of the "
        "signature, for which genuine ones are mostly rejected. Compare with signatures that are "
        "alike in it, or cut it off and compare again."
    )
    return (Remark(name, "underline_on_one_side", message),)


def underline(lines: np.ndarray) -> float:
    """How far a stroke runs below a signature on one smooth curve, with nothing close above it.

    Parameters
    ----------
    lines : bool (h, w)
        Centre lines.

    Returns
    -------
    float
        Share of the signature's width; 0 where there is no such stroke.
    """
    top, bottom, left, right = ink_box(lines)
    ink = lines[top:bottom, left:right]
    height, width = ink.shape
    clear, near = max(3, int(_CLEAR * height)), max(2.0, _STRAY * height)
    columns = np.flatnonzero(ink.any(axis=0))
    lowest = height - 1 - ink[::-1].argmax(axis=0)[columns]
    free = [
        not ink[max(0, row - clear) : max(0, row - 2), column].any()
        for column, row in zip(columns, lowest, strict=True)
    ]
    columns, lowest = columns[free], lowest[free]
    on = np.ones(len(columns), bool)
    for step in range(6):  # strokes that end below it are left behind
        if np.count_nonzero(on) < max(8, _LEAST_ON * width):
            return 0.0
        curve = Polynomial.fit(columns[on], lowest[on], 2)
        away = np.abs(curve(columns) - lowest)
        on = away <= (max(near, 1.5 * np.median(away[on])) if step < 3 else near)
    found = columns[on]
    if not found.size or np.abs(curve.deriv()(found)).max() > _SLOPE:
        return 0.0
    runs = np.split(found, np.flatnonzero(np.diff(found) > max(3, _STRAY * width)) + 1)
    return float(max(np.ptp(run) for run in runs) / width)


def _coarser(references: Sequence[Trace], questioned: Trace, name: str) -> tuple[Remark, ...]:
    """That a signature shows few pixels and the references are far finer, or the other way round.

    Strokes tell: a short signature, or a part of one, has few pixels too, but strokes as wide; and
    those of a coarse scan are wide for their signature, where a thin pen's are not.
    """
    strokes = [reference.stroke for reference in references if reference.stroke]
    if not strokes or not questioned.stroke:
        return ()
    times = questioned.stroke / float(np.median(strokes))
    few = questioned.pixels if times < 1 else np.median([one.pixels for one in references])
    thick = pen(references, questioned) or 1.0
    if max(times, 1 / times) < RESOLUTION or few >= FEW or (times < 1) == (thick < 1):
        return ()
    ones, others = ("It shows", "the references") if times < 1 else ("The references show", "it")
    message = (
        f"{ones} so few pixels, {few:.0f} along the longer side, that genuine signatures are often "
        f"rejected, too: scan as finely as {others}, and compare again."
    )
    return (Remark(name, TOO_COARSE, message),)


def _not_upright(turn: float, name: str, decision: Callable[[float], str]) -> tuple[Remark, ...]:
    """That a signature leans by a turn, lies on its side or upside down, if that is why it is
    refused."""
    if leans(turn) and decision(turn) == "accepted":
        turned, back = ("anticlockwise", "clockwise")[:: 1 if turn > 0 else -1]
        message = (
            f"It is turned by about {abs(turn):.0f}° {turned} against the references; level, it "
            f"would be accepted. If the page lay askew, turn the image {back} and give it again. "
            "If it lay straight, what is said of it holds as it stands: forgers' signatures lean "
            "more often than people's own."
        )
        return (Remark(name, ASKEW, message),)
    postures: dict[float, tuple[str, str]] = {180: ("stands upside down", "by 180°")}
    if abs(turn) > _ACROSS:
        postures[90] = ("lies on its side", "by 90° clockwise")
        postures[-90] = ("lies on its side", "by 90° anticlockwise")
    for far, (how, back) in postures.items():
        rest = (turn - far + 90) % 180 - 90
        if decision(far) == "accepted" or (leans(rest) and decision(far + rest) == "accepted"):
            message = f"It {how} against the references: turn the image {back} and give it again."
            return (Remark(name, NOT_UPRIGHT, message),)
    return ()


def _another_pen(references: Sequence[Trace], questioned: Trace, name: str) -> tuple[Remark, ...]:
    """That a signature's strokes are far thicker or thinner than the references'."""
    times = pen(references, questioned)
    if times is None or max(times, 1 / times) < PEN:
        return ()
    how = "thick" if times > 1 else "thin"
    message = (
        f"For its size, its strokes are {max(times, 1 / times):.1f} times as {how} as the "
        "references': it was written with another pen, or scanned otherwise. Where loops fill with "
        "ink, a signature looks unlike itself: compare signatures by like pens."
    )
    return (Remark(name, "another_pen", message),)


def lean(references: Sequence[Trace], questioned: Trace) -> float:
    """Degrees, anticlockwise, by which a signature's longer axis is turned against the references'.

    Parameters
    ----------
    references : sequence of Trace
        At least one.
    questioned : Trace

    Returns
    -------
    float
        From -90 to 90; against the middle one of the references.
    """
    turns = [questioned.axis - reference.axis for reference in references]
    return float(np.median((np.array(turns) + 90) % 180 - 90))


def leans(degrees: float) -> bool:
    """Whether a turn is more than a hand's own, and still about the same axis."""
    return LEAN <= abs(degrees) <= MOST_LEAN


def pen(references: Sequence[Trace], questioned: Trace) -> float | None:
    """How many times as thick as the references' a signature's strokes are, for its size.

    By the middle one of the references; None where no width is known.
    """
    widths = [reference.pen for reference in references if reference.pen]
    return float(questioned.pen / np.median(widths)) if widths and questioned.pen else None


def amount(references: Sequence[Trace], questioned: Trace) -> float:
    """How many times the references' writing a signature has, by the middle one of them.

    The amount of writing is how often rows and columns meet a stroke, times width over height, once
    a signature that leans is level.
    """
    lines, turn = questioned.lines, lean(references, questioned)
    if leans(turn):
        lines = levelled(lines * np.uint8(255), turn) > _LINE
    return float(_writing(lines) / np.median([_writing(one.lines) for one in references]))


def _writing(lines: np.ndarray) -> float:
    top, bottom, left, right = ink_box(lines)
    return crossings(lines) * (right - left) / (bottom - top)


def kept(field: np.ndarray) -> np.ndarray:
    """The ink of a field, cropped and reduced, so that it can be turned later.

    Parameters
    ----------
    field : uint8 (H, W)
        From `preprocessing.finely`.

    Returns
    -------
    uint8 (h, w)
        At most 512 pixels a side.
    """
    top, bottom, left, right = ink_box(field > EDGE)
    image = Image.fromarray(field[top:bottom, left:right])
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.HAMMING)
    return np.asarray(image)


def levelled(ink: np.ndarray, lean: float) -> np.ndarray:
    """Ink from `kept` turned back by a lean, in degrees: uint8 (h, w)."""
    return np.asarray(Image.fromarray(ink).rotate(-lean, Image.Resampling.BICUBIC, expand=True))


def turned_back(
    canvas: np.ndarray, ink: Callable[[], np.ndarray], turn: float, preprocessing: Preprocessing
) -> np.ndarray:
    """The canvas of a signature turned back by some degrees.

    Parameters
    ----------
    canvas : uint8 (canvas_height, canvas_width)
        As it stands.
    ink : callable
        Gives its ink as `kept` does; not asked where the canvas will do.
    turn : float
    preprocessing : Preprocessing
    """
    if turn == 180:
        return np.ascontiguousarray(np.rot90(canvas, 2))
    return draw(levelled(ink(), turn), preprocessing)
