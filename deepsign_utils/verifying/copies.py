"""Too like to be true: whether a questioned signature is a copy of a reference.

Nobody writes the same signature twice. A questioned image whose strokes lie on those of a reference
was not written beside it: it is the same file, the same sheet scanned again, or a cutting.

An image is reduced to the centre lines of its strokes, a `Trace`. One trace is laid over another by
turning, scaling and shifting it (iterative closest points: Besl and McKay, "A method for
registration of 3-D shapes", 1992; trimmed as by Chetverikov et al., "The trimmed iterative closest
point algorithm", 2002). What remains between the lines, the distance to the nearest point of the
other, is a hair's breadth for a copy, however it was scanned, and several times that for two
signatures of one hand. The median and the upper quartile are looked at, which bear a ruled line or
a lost stroke; and nine tenths of the lines of one of the two, since a plain signature can come out
nearly the same twice, but not to its ends.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import ink_box
from deepsign_utils.preprocessing.ink import EDGE
from deepsign_utils.preprocessing.shapes import thinned

COPY = 0.0100
"""Distance up to which two traces are one signature; 1 is the root mean square distance of a
signature's points from their centre."""

_QUARTILE = 1.9  # times the median's bound, which the upper quartile has to keep
_TENTH = 2.0  # times the median's bound, for nine tenths of the lines of one of the two
_AREA = 256 * 256  # pixels of the ink's box, in which strokes are thinned to lines
_LONG = 1000  # pixels of that box's longer side, at most
# A coarse registration: by how many points, from how many of the best starts, in how many steps;
# and the trimmed distance from which on there is no copy then. The farthest of 2,570 copies of
# synthetic and real signatures came to 0.016, 0.017 and 0.016.
_COARSELY = ((64, 60, 5, 0.03), (128, 6, 4, 0.025), (128, 6, 8, 0.018))
_FAR = 0.01  # the same of a fine one, if each step to come brought as much as the last; they: 0.006
_CELL = 0.02  # of the table of nearest points
_KEPT = 0.75  # share of points that registration goes by: the others may have no partner
_TURNS = np.radians([-5.0, -2.5, 0.0, 2.5, 5.0])  # where registration starts
_SCALES = np.array([0.88, 0.94, 1.0, 1.06, 1.13])


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
    """

    distance: float
    turned: float
    scaled: float


@dataclass(frozen=True, eq=False)
class Trace:
    """The centre lines of a signature: enough to know a copy, some hundred bytes to keep.

    Attributes
    ----------
    lines : bool (h, w)
    unit : float
        Pixels of the image to one of `lines`.
    """

    lines: np.ndarray
    unit: float

    def to_bytes(self) -> bytes:
        """A PNG of one bit a pixel."""
        content, note = io.BytesIO(), PngInfo()
        note.add_text("unit", repr(float(self.unit)))
        Image.fromarray(self.lines).save(content, "PNG", optimize=True, pnginfo=note)
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Trace:
        """The inverse of `to_bytes`; DeepSignError if the content is damaged."""
        try:
            image = Image.open(io.BytesIO(content), formats=["PNG"])
            trace = cls(np.array(image.convert("1")), float(image.info["unit"]))
        except Exception as error:  # a damaged file can raise nearly anything
            raise DeepSignError("a reference's trace is damaged: enrol the writer again") from error
        if not trace.lines.any():
            raise DeepSignError("a reference's trace is empty: enrol the writer again")
        return trace

    @cached_property
    def radius(self) -> float:
        """Root mean square distance of the points from their centre, in pixels of the image."""
        return float(self._placed[1] * self.unit)

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
    def core(self) -> tuple[complex, float]:
        """Centre and radius without the outer points, such as a line along the border."""
        return _core(self.points)

    @cached_property
    def table(self) -> _Table:
        """For nearly the nearest of `points`, at once."""
        return _Table(self.points)


def trace(field: np.ndarray) -> Trace:
    """Reduce a signature to its centre lines.

    Parameters
    ----------
    field : uint8 (H, W)
        Its ink, from `preprocessing.plain`.

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
    lines = thinned(smooth > 110)
    if not lines.any():  # a dot
        lines[tuple(side // 2 for side in lines.shape)] = True
    return Trace(lines, 1 / finer)


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
    fine = _registered(_every(reference.points, 400), questioned, *start)
    if fine is None:
        return None
    scale, shift = fine
    placed = scale * reference.points + shift
    sides = []
    for some, all_ in ((placed, questioned.points), (questioned.points, placed)):
        some = _every(some, 1000)
        sides.append(np.quantile(np.abs(some - _nearest(some, all_)), [0.5, 0.75, 0.9]))
    median, upper, _ = np.max(sides, axis=0)
    distance = float(max(median, upper / _QUARTILE, np.min(sides, axis=0)[2] / _TENTH))
    if distance > COPY:
        return None
    size = abs(scale) * questioned.radius / reference.radius
    return Copy(distance, float(np.degrees(np.angle(scale))), float(size))


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


def _coarse(reference: Trace, questioned: Trace) -> tuple[complex, complex] | None:
    """Scale (with its angle) and shift that lay points nearly on the questioned ones, if any."""
    points = reference.points
    turn = _axis(questioned.points) - _axis(points)
    turns = np.append(_TURNS, (turn + np.pi / 2) % np.pi - np.pi / 2)
    starts = np.outer(np.exp(1j * turns), _SCALES).ravel()
    (centre, radius), (aim, size) = reference.core, questioned.core
    scales = np.concatenate([starts, starts * size / radius])
    shifts = np.concatenate([np.zeros_like(starts), aim - starts * size / radius * centre])
    for number, most, steps, far in _COARSELY:
        few = _every(points, number)
        scales, shifts = scales[:most], shifts[:most]
        for _ in range(steps):
            scales, shifts, distances = _step(few, questioned.table, scales, shifts)
        best = np.argsort(distances)
        scales, shifts = scales[best], shifts[best]
        if distances[best[0]] >= far:
            return None
    return scales[0], shifts[0]


def _registered(
    points: np.ndarray, questioned: Trace, scale: complex, shift: complex
) -> tuple[complex, complex] | None:
    def nearest(placed: np.ndarray) -> np.ndarray:
        return _nearest(placed[0], questioned.points)[None]

    scales, shifts, distance = np.array([scale]), np.array([shift]), np.inf
    for left in reversed(range(12)):
        before, farther = scales, distance
        scales, shifts, (distance,) = _step(points, nearest, scales, shifts)
        if distance - left * max(farther - distance, 0) > _FAR:
            return None
        if abs(scales - before)[0] < 1e-4:
            break
    return scales[0], shifts[0]


def _step(points, nearest, scales, shifts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step towards the nearest points, from each of s starts at once.

    Points are complex (n,); `scales` and `shifts` complex (s,). Returns better ones, and the mean
    distance of the points kept, float (s,).
    """
    placed = scales[:, None] * points + shifts[:, None]
    targets = nearest(placed)
    away = placed - targets
    squares = away.real**2 + away.imag**2
    kept = max(2, int(_KEPT * points.size))
    order = squares.argpartition(kept - 1, axis=1)[:, :kept]
    sources = points.take(order)
    order += points.size * np.arange(scales.size)[:, None]  # in all rows, one after another
    targets = targets.take(order)
    centres, aims = sources.sum(axis=1) / kept, targets.sum(axis=1) / kept
    sources -= centres[:, None]
    targets -= aims[:, None]
    spread = np.maximum((sources.real**2 + sources.imag**2).sum(axis=1), 1e-12)
    # Least squares over the similarities of the plane, which are z -> scale z + shift.
    scales = (sources.conj() * targets).sum(axis=1) / spread
    distances = np.sqrt(squares.take(order)).sum(axis=1) / kept
    return scales, aims - scales * centres, distances


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


def _core(points: np.ndarray) -> tuple[complex, float]:
    distances = np.abs(points - np.median(points.real) - 1j * np.median(points.imag))
    core = points[distances <= np.quantile(distances, 0.8)]
    centre = core.mean()
    return centre, max(float(np.sqrt(np.mean(np.abs(core - centre) ** 2))), 1e-6)


def _axis(points: np.ndarray) -> float:
    """Angle of the principal axis."""
    return float(np.angle(np.mean(points**2)) / 2)


def _every(points: np.ndarray, number: int) -> np.ndarray:
    """At most `number` of the points, evenly."""
    return points[:: max(1, -(-points.size // number))]
