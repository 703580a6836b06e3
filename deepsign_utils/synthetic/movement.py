"""Movement: the sigma-lognormal model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import erf

from deepsign_utils.synthetic.writers import Hand

SAMPLES_A_STROKE = 24
TREMOR_SAMPLES = 3.0


@dataclass(frozen=True)
class Movement:
    """The pen over time: position (T, 2) in millimetres, speed (T,) relative to the specimen's own
    median on paper, and whether it touches the paper (T,)."""

    position: np.ndarray
    speed: np.ndarray
    down: np.ndarray


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def move(
    targets: np.ndarray, down: np.ndarray, sharp: np.ndarray, hand: Hand, rng: np.random.Generator
) -> Movement:
    """Move the pen through ``targets`` (N, 2): stroke i runs from target i to i + 1.

    Position is the sum of the strokes' displacements, each along a smooth arc at the pace of a
    lognormal (after Plamondon and Djioua 2006); a stroke starts before the last one has ended, so
    that targets are passed by rather than reached.
    """
    chord = np.diff(targets, axis=0)
    length = np.maximum(np.hypot(chord[:, 0], chord[:, 1]), 1e-3)
    heading = np.arctan2(chord[:, 1], chord[:, 0])
    drawn = down[1:]

    # The path's direction at inner targets: that of the neighbours' connection, longer chords
    # counting less, as a smooth hand would take it; none where the pen stops or is in the air.
    pull = chord / length[:, None] ** 1.5
    onwards = pull[:-1] + pull[1:]
    tangent = np.arctan2(onwards[:, 1], onwards[:, 0])
    tangent += rng.normal(0, 0.08, len(tangent))
    through = drawn[:-1] & drawn[1:]
    smooth = hand.roundness * (1 - sharp[1:-1]) * through
    leave, arrive = np.zeros(len(chord)), np.zeros(len(chord))
    leave[1:] = np.clip(_wrapped(tangent - heading[1:]) * smooth, -2.2, 2.2)
    arrive[:-1] = np.clip(_wrapped(tangent - heading[:-1]) * smooth, -2.2, 2.2)

    # Longer strokes take longer, but far less than in proportion (isochrony).
    duration = (0.5 + length) ** 0.4 * np.exp(rng.normal(0, 0.08, len(length)))
    overlap = hand.overlap * np.where(through, 1 - 0.6 * sharp[1:-1], 0.4)
    onset = np.concatenate([[0.0], np.cumsum(duration[:-1] * (1 - overlap))])
    step = np.median(duration) / SAMPLES_A_STROKE
    first = np.round(onset / step).astype(int)

    # A stroke's lognormal, cut at three sigma: logarithmic time runs from -3 to 3.
    samples = int(np.ceil(duration.max() / step)) + 1
    share = np.minimum(np.arange(samples + 1) * step / duration[:, None], 1.0)
    low, high = np.exp(-3 * hand.skew), np.exp(3 * hand.skew)
    z = np.log(low + share * (high - low)) / hand.skew
    done = 0.5 * (1 + erf(z / np.sqrt(2)) / erf(3 / np.sqrt(2)))

    # Cubic curves instead of circular arcs, so that strokes meet without a kink; the speed at
    # either end is the one that makes a symmetric one nearly circular.
    out, into = (
        length * np.array([np.cos(heading + turn), np.sin(heading + turn)]) / np.cos(turn / 2) ** 2
        for turn in (leave, arrive)
    )
    whole = done**2 * (3 - 2 * done)
    begin, end = done * (1 - done) ** 2, done**2 * (done - 1)
    x, y = (
        out[axis][:, None] * begin + chord[:, axis, None] * whole + into[axis][:, None] * end
        for axis in (0, 1)
    )
    when = (first[:, None] + np.arange(1, samples + 1)).ravel()
    total = int(when.max()) + 1
    velocity = np.column_stack(
        [np.bincount(when, np.diff(axis, axis=1).ravel(), minlength=total) for axis in (x, y)]
    )
    position = np.cumsum(velocity, axis=0)

    # The pen goes down or up early in a stroke, while the last one runs out.
    middle = first + np.round(0.1 * duration / step).astype(int)
    stroke = np.searchsorted(middle, np.arange(total), side="right") - 1
    touching = drawn[np.maximum(stroke, 0)]
    # A hand knows how much its overlapping strokes fall short of their targets, and reaches
    # further: what is drawn has the extent of what was meant, fluent or not.
    meant = np.ptp(targets[down | np.append(down[1:], False)], axis=0)
    position *= meant / np.maximum(np.ptp(position[touching], axis=0), 1e-3)
    shake = ndimage.gaussian_filter1d(rng.normal(0, 1, (total, 2)), TREMOR_SAMPLES, axis=0)
    shake *= np.sqrt(2 * np.sqrt(np.pi) * TREMOR_SAMPLES)  # back to a deviation of one
    speed = ndimage.gaussian_filter1d(np.hypot(velocity[:, 0], velocity[:, 1]), 2.0)
    usual = max(np.median(speed[touching]), 1e-9)
    return Movement(position + hand.tremor * shake, speed / usual, touching)
