"""Too like to be true: whether a questioned signature is a copy of a reference.

Nobody writes the same signature twice. A questioned image whose strokes lie on those of a reference
was not written beside it: it is the same file, the same sheet scanned again, or a cutting.

An image is reduced to the centre lines of its strokes, a `Trace`. One trace is laid over another by
turning, scaling, stretching and shifting it (iterative closest points: Besl and McKay, "A method
for registration of 3-D shapes", 1992; trimmed as by Chetverikov et al., "The trimmed iterative
closest point algorithm", 2002). What remains between the lines, the distance to the nearest point
of the other, is a hair's breadth for a copy, however it was scanned, and several times that for two
signatures of one hand. The median and the upper quartile are looked at, which bear a ruled line or
a lost stroke; and nine tenths of the lines of one of the two, since a plain signature can come out
nearly the same twice, but not to its ends.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import ink_box
from deepsign_utils.preprocessing.ink import EDGE
from deepsign_utils.preprocessing.shapes import thinned

COPY = 0.0095
"""Distance up to which two traces are one signature; 1 is the root mean square distance of a
signature's points from their centre."""

_QUARTILE = 1.9  # times the median's bound, which the upper quartile has to keep
_TENTH = 2.0  # times the median's bound, for nine tenths of the lines of one of the two
_AREA = 256 * 256  # pixels of the ink's box, in which strokes are thinned to lines
_LONG = 1000  # pixels of that box's longer side, at most
# A coarse registration: by how many points, from how many of the best starts, in how many steps;
# and the trimmed distance from which on there is no copy then. Of 1,140 copies of real signatures,
# stretched and slanted ones among them, 98 of 100 come to 0.011, 0.009 and 0.009.
_COARSELY = ((64, 22, 5, 0.016), (128, 8, 4, 0.014), (128, 4, 6, 0.012))
# A fine one: how many steps at most, and how far off a copy is if each step to come brought as much
# as the last one; the farthest of them came to 0.008.
_STEPS, _FAR = 25, 0.01
_CELL = 0.02  # of the table of nearest points
# Share of points that registration goes by, as the others may have no partner; the last one, where
# a stretch is looked for, needs more of them.
_KEPT = 0.75, 0.85
_TURNS = np.radians([-5.0, -2.5, 0.0, 2.5, 5.0])  # where registration starts
_STRAIN = 0.15  # at most; stretched one way by a third
_PRICE = 3.3  # at which a stretch adds to the distance: it makes plain signatures alike


@dataclass(frozen=True)
class Copy:
    """How a questioned signature lies on a reference.

    Attributes
    ----------
    distance : float
        Between the lines, at most `COPY`.
    turned : float
        Degrees, anticlockwise, by which the questioned image was turned.
    scaled : float
        Size of the questioned signature in pixels, as a multiple of the reference's.
    stretched : float
        How much more it was scaled in one direction than across it: 1 where it was not.
    """

    distance: float
    turned: float
    scaled: float
    stretched: float


@dataclass(frozen=True, eq=False)
class Trace:
    """The centre lines of a signature: enough to know a copy, some hundred bytes to keep.

    Attributes
    ----------
    lines : bool (h, w)
    unit : float
        Pixels of the image to one of `lines`.
    width : float or None
        Mean width of the strokes in pixels of `lines`; None in traces kept before it was measured.
    lined : bool
        Whether a line was taken away from the image as printed.
    """

    lines: np.ndarray
    unit: float
    width: float | None = None
    lined: bool = False

    def to_bytes(self) -> bytes:
        """A PNG of one bit a pixel."""
        content, note = io.BytesIO(), PngInfo()
        note.add_text("unit", repr(float(self.unit)))
        if self.width is not None:
            note.add_text("width", repr(float(self.width)))
        if self.lined:
            note.add_text("lined", "1")
        Image.fromarray(self.lines).save(content, "PNG", optimize=True, pnginfo=note)
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Trace:
        """The inverse of `to_bytes`; DeepSignError if the content is damaged."""
        try:
            image = Image.open(io.BytesIO(content), formats=["PNG"])
            width = float(image.info["width"]) if "width" in image.info else None
            lined = "lined" in image.info
            trace = cls(np.array(image.convert("1")), float(image.info["unit"]), width, lined)
        except Exception as error:  # a damaged file can raise nearly anything
            raise DeepSignError("a reference's trace is damaged: enrol the writer again") from error
        if not trace.lines.any():
            raise DeepSignError("a reference's trace is empty: enrol the writer again")
        return trace

    @cached_property
    def radius(self) -> float:
        """Root mean square distance of the points from their centre, in pixels of the image."""
        return float(self._placed[1] * self.unit)

    @property
    def pixels(self) -> float:
        """Longer side of the lines' box, in pixels of the image."""
        top, bottom, left, right = ink_box(self.lines)
        return max(bottom - top, right - left) * self.unit

    @property
    def stroke(self) -> float | None:
        """Mean width of the strokes in pixels of the image, where it is known."""
        return None if self.width is None else self.width * self.unit

    @property
    def pen(self) -> float | None:
        """Mean width of the strokes, where it is known; 1 is the radius."""
        return None if self.width is None else self.width / self._placed[1]

    @cached_property
    def points(self) -> np.ndarray:
        """Points as complex numbers, complex128 (n,): their centre at 0, their radius 1."""
        return self._placed[0]

    @property
    def axis(self) -> float:
        """Angle of the longer axis in degrees, anticlockwise, from -90 to 90."""
        return float(np.degrees(_axis(self.points)))

    @cached_property
    def _placed(self) -> tuple[np.ndarray, float]:
        rows, columns = np.nonzero(self.lines)
        points = columns - 1j * rows  # angles count anticlockwise
        points = points - points.mean()
        radius = max(np.sqrt(np.mean(np.abs(points) ** 2)), 1.0)
        return points / radius, radius

    @cached_property
    def spreads(self) -> tuple[_Spread, _Spread]:
        """Of the points, and without the outer ones, such as a line along the border."""
        middle = np.median(self.points.real) + 1j * np.median(self.points.imag)
        distances = np.abs(self.points - middle)
        core = self.points[distances <= np.quantile(distances, 0.8)]
        return _Spread.of(self.points), _Spread.of(core)

    @cached_property
    def table(self) -> _Table:
        """For nearly the nearest of `points`, at once."""
        return _Table(self.points)


def trace(field: np.ndarray, enlarged: int = 1, lined: bool = False) -> Trace:
    """Reduce a signature to its centre lines.

    Parameters
    ----------
    field : uint8 (H, W)
        Its ink, from `preprocessing.finely`.
    enlarged : int
        So many times as large as in the image.
    lined : bool
        Whether a line was taken away from it.

    Raises
    ------
    BlankPageError
        If there is no ink.
    """
    top, bottom, left, right = ink_box(field > EDGE)
    field = field[top:bottom, left:right]
    finer = min(np.sqrt(_AREA / field.size), _LONG / max(field.shape))
    size = [max(1, round(side * finer)) for side in field.shape[::-1]]
    if finer > 1:  # where strokes grow, their edge is interpolated
        field = np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BICUBIC))
    image = Image.fromarray((field > EDGE) * np.uint8(255))
    ink = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    smooth = ndimage.uniform_filter(np.pad(ink, 2), 3)  # against spurs
    strokes = smooth > 110
    lines = thinned(strokes)
    if not lines.any():  # a dot
        lines[tuple(side // 2 for side in lines.shape)] = True
    return Trace(lines, 1 / (finer * enlarged), strokes.sum() / lines.sum(), lined)


def alike(reference: Trace, questioned: Trace) -> Copy | None:
    """Tell whether a questioned signature is a copy of a reference, and how it was changed.

    Parameters
    ----------
    reference, questioned : Trace

    Returns
    -------
    Copy or None
        None if the two are different signatures.
    """
    start = _coarse(reference, questioned)
    if start is None:
        return None
    # What lies well without stretching is not stretched: where there is little to hold on to, a
    # stretch fits the scan's own noise.
    best, nearest = None, COPY
    for strained in (False, True):
        placing = _fine(reference, questioned, start, strained)
        if placing is None or not placing.scales[0]:  # or shrunk to a point
            continue
        scale, strain = placing.scales[0], abs(placing.strains[0])
        longer, shorter = abs(scale) + strain, abs(scale) - strain
        stretched = float(longer / shorter)
        distance = _distance(placing(reference.points)[0], questioned.points)
        if (counted := distance * (1 + _PRICE * (stretched - 1))) <= nearest:
            turned = float(np.degrees(np.angle(scale)))
            scaled = float(np.sqrt(longer * shorter) * questioned.radius / reference.radius)
            best, nearest = Copy(distance, turned, scaled, stretched), counted
        if nearest < COPY / 2:
            break
    return best


def _distance(placed: np.ndarray, points: np.ndarray) -> float:
    """Between two signatures' lines, on the scale of `COPY`."""
    sides = []
    for some, all_ in ((placed, points), (points, placed)):
        some = _every(some, 1000)
        sides.append(np.quantile(np.abs(some - _nearest(some, all_)), [0.5, 0.75, 0.9]))
    median, upper, _ = np.max(sides, axis=0)
    return float(max(median, upper / _QUARTILE, np.min(sides, axis=0)[2] / _TENTH))


class _Spread(NamedTuple):
    """Where points lie: centre, root mean square distance from it, and the square root of their
    covariance with its inverse, float (2, 2)."""

    centre: complex
    radius: float
    root: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> _Spread:
        """Of complex points (n,)."""
        centre = complex(points.mean())
        plane = _plane(points - centre)
        variances, axes = np.linalg.eigh(plane.T @ plane / len(plane))
        deviations = np.sqrt(np.maximum(variances, 1e-9))
        radius = max(float(np.sqrt(variances.sum())), 1e-6)
        return cls(centre, radius, (axes * deviations) @ axes.T, (axes / deviations) @ axes.T)


class _Placings(NamedTuple):
    """Affine maps of the plane, s of them: z -> scale z + strain conj(z) + shift, complex (s,)."""

    scales: np.ndarray
    strains: np.ndarray
    shifts: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Complex (n,) -> (s, n)."""
        scales, strains, shifts = (part[:, None] for part in self)
        return scales * points + strains * points.conj() + shifts

    def at(self, which: np.ndarray) -> _Placings:
        """Some of them."""
        return _Placings(*(part[which] for part in self))


class _Table:
    """The nearest of some points, looked up in a grid."""

    def __init__(self, points: np.ndarray) -> None:
        plane = _plane(points)
        self._corner = plane.min(axis=0) - 0.5
        shape = np.ceil((plane.max(axis=0) + 0.5 - self._corner) / _CELL).astype(int) + 1
        empty = np.ones(shape, bool)
        empty[tuple(((plane - self._corner) / _CELL).astype(int).T)] = False
        nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
        self._shape = shape
        self._nearest = (
            (nearest[0] + 0.5) * _CELL
            + self._corner[0]
            + 1j * ((nearest[1] + 0.5) * _CELL + self._corner[1])
        ).ravel()

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Nearest point of each, up to the size of a cell."""
        (left, low), (width, height) = self._corner, self._shape
        across = ((points.real - left) / _CELL).astype(int).clip(0, width - 1)
        up = ((points.imag - low) / _CELL).astype(int).clip(0, height - 1)
        return self._nearest.take(across * height + up)


def _coarse(reference: Trace, questioned: Trace) -> _Placings | None:
    """What lays the reference nearly on the questioned signature, if anything does."""
    placings = _starts(reference, questioned)
    for number, most, steps, far in _COARSELY:
        few = _every(reference.points, number)
        placings = placings.at(np.arange(min(most, placings.scales.size)))
        for _ in range(steps):
            placings, distances = _step(few, questioned.table, placings, _KEPT[False], True)
        best = np.argsort(distances)
        placings = placings.at(best)
        if distances[best[0]] >= far:
            return None
    return placings.at(np.array([0]))


def _starts(reference: Trace, questioned: Trace) -> _Placings:
    """Turned a little, or axis on axis; and stretched so that the points spread alike."""
    turn = _axis(questioned.points) - _axis(reference.points)
    turns = np.exp(1j * np.append(_TURNS, (turn + np.pi / 2) % np.pi - np.pi / 2))
    (_, core), (_, aim) = reference.spreads, questioned.spreads
    scales = np.concatenate([turns, turns * aim.radius / core.radius])
    shifts = np.concatenate([np.zeros_like(turns), aim.centre - scales[len(turns) :] * core.centre])
    starts = [_Placings(scales, np.zeros_like(scales), shifts)]
    starts += map(_spread_alike, reference.spreads, questioned.spreads)
    return _Placings(*(np.concatenate(parts) for parts in zip(*starts, strict=True)))


def _spread_alike(points: _Spread, others: _Spread) -> _Placings:
    """Maps that give points the others' mean and covariance: the least one, turned by `_TURNS`."""
    left, _, right = np.linalg.svd(others.inverse @ points.root)
    cosines, sines = np.cos(_TURNS), np.sin(_TURNS)
    turned = np.stack([[cosines, -sines], [sines, cosines]]).transpose(2, 0, 1)
    maps = others.root @ left @ right @ turned @ points.inverse
    diagonal, other = maps[:, 0, 0] + 1j * maps[:, 1, 0], maps[:, 1, 1] - 1j * maps[:, 0, 1]
    scales, strains = (diagonal + other) / 2, (diagonal - other) / 2
    shifts = others.centre - scales * points.centre - strains * points.centre.conjugate()
    return _Placings(scales, strains, shifts)


def _fine(
    reference: Trace, questioned: Trace, placing: _Placings, strained: bool
) -> _Placings | None:
    """A placing, bettered; None where it leads to no copy."""

    def nearest(placed: np.ndarray) -> np.ndarray:
        return _nearest(placed[0], questioned.points)[None]

    points, distance = _every(reference.points, 400), np.inf
    for left in reversed(range(_STEPS)):
        before, farther = placing.scales[0], distance
        placing, (distance,) = _step(points, nearest, placing, _KEPT[strained], strained)
        if distance - left * max(farther - distance, 0) > _FAR:
            return None
        if abs(placing.scales[0] - before) < 1e-4:
            break
    return placing


def _step(
    points: np.ndarray,
    nearest: Callable[[np.ndarray], np.ndarray],
    placings: _Placings,
    share: float,
    strained: bool,
) -> tuple[_Placings, np.ndarray]:
    """One step towards the nearest points, of s placings at once.

    Points are complex (n,). Returns better placings, and the mean distance of the points kept,
    float (s,).
    """
    placed = placings(points)
    targets = nearest(placed)
    away = placed - targets
    squares = away.real**2 + away.imag**2
    kept = max(2, int(share * points.size))
    order = squares.argpartition(kept - 1, axis=1)[:, :kept]
    sources = points.take(order)
    order += points.size * np.arange(len(placed))[:, None]  # in all rows, one after another
    targets = targets.take(order)
    centres, aims = sources.sum(axis=1) / kept, targets.sum(axis=1) / kept
    sources -= centres[:, None]
    targets -= aims[:, None]
    # Least squares over the affine maps of the plane; over the similarities, where nothing is to be
    # strained, or all points are on a line.
    spread = np.maximum((sources.real**2 + sources.imag**2).sum(axis=1), 1e-12)
    lean = (sources**2).sum(axis=1)
    along, mirrored = (sources.conj() * targets).sum(axis=1), (sources * targets).sum(axis=1)
    area = spread**2 - np.abs(lean) ** 2
    flat = (area < 1e-4 * spread**2) | (not strained)
    area[flat] = 1
    scales = np.where(flat, along / spread, (along * spread - mirrored * lean.conj()) / area)
    strains = np.where(flat, 0, (mirrored * spread - along * lean) / area)
    strains *= np.minimum(1, _STRAIN * np.abs(scales) / np.maximum(np.abs(strains), 1e-12))
    shifts = aims - scales * centres - strains * centres.conj()
    distances = np.sqrt(squares.take(order)).sum(axis=1) / kept
    return _Placings(scales, strains, shifts), distances


def _nearest(points: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The nearest of some points to each of others: complex (n,)."""
    # Minus half the squared distance, but for what is the same for all: one matrix product.
    ones, half = np.ones(points.size), np.abs(among) ** 2 / 2
    here = np.stack([points.real, points.imag, ones], axis=1).astype(np.float32)
    there = np.stack([among.real, among.imag, -half]).astype(np.float32)
    return among[(here @ there).argmax(axis=1)]


def _plane(points: np.ndarray) -> np.ndarray:
    """Complex (...) -> float (..., 2)."""
    return np.stack([points.real, points.imag], axis=-1)


def _axis(points: np.ndarray) -> float:
    """Angle of the principal axis."""
    return float(np.angle(np.mean(points**2)) / 2)


def _every(points: np.ndarray, number: int) -> np.ndarray:
    """At most `number` of the points, evenly."""
    return points[:: max(1, -(-points.size // number))]
