"""Forgers: whose hand is their own, and whose programme is somebody else's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepsign_utils.synthetic.writers import (
    SIZE,
    STRETCH,
    Hand,
    Programme,
    Writer,
    disturbed,
    draw_hand,
    intended,
    personal_shapes,
    slipped,
    vary_hand,
)


@dataclass(frozen=True)
class Forger:
    """Somebody who imitates one writer, from ``seen`` specimens.

    ``care`` in 0..1 trades likeness for fluency: a careful forger keeps the proportions, and pays
    with a slow line that shakes and is taken up again.
    """

    hand: Hand
    shapes: np.ndarray
    skill: float
    care: float
    seen: tuple[tuple[np.ndarray, Hand], ...]  # targets and hand of each


def draw_forger(writer: Writer, seed: int, index: int, number: int, skill: float | None) -> Forger:
    """Draw a forger of a writer; `skill` 0 to 1, drawn where it is None."""
    rng = np.random.default_rng([seed, index, 2, number])
    hand = draw_hand(rng, (seed, index, 3, number))
    skill = float(rng.beta(2.0, 3.6)) if skill is None else skill
    care = float(rng.random())
    seen = tuple(intended(writer, rng, rng) for _ in range(rng.integers(1, 4)))
    return Forger(hand, personal_shapes(writer.programme, hand), skill, care, seen)


def _taken_up_again(programme: Programme, rng: np.random.Generator, rate: float) -> Programme:
    """The pen is lifted inside a line, by chance, and set down again nearby."""
    inside = programme.down & np.append(programme.down[1:], False)
    lifted = inside & (rng.random(len(inside)) < rate)
    order = np.repeat(np.arange(len(inside)), 1 + lifted)
    again = np.diff(order, prepend=-1) == 0
    aside = again[:, None] * rng.normal(0, 0.13, (len(order), 2))
    return Programme(
        programme.points[order] + aside,
        programme.down[order] & ~again,
        programme.sharp[order],
        programme.letter[order],
        programme.keys,
    )


def _redrawn(programme: Programme, rng: np.random.Generator, rate: float) -> Programme:
    """Lines drawn backwards, by chance: an image does not show where a stroke began."""
    order = np.arange(len(programme.down))
    for line in np.split(order, np.flatnonzero(~programme.down)[1:]):
        if rng.random() < rate:
            order[line] = line[::-1]
    return replace(
        programme,
        points=programme.points[order],
        sharp=programme.sharp[order],
        letter=programme.letter[order],
    )


def _towards(own: float, other: float, weight: float) -> float:
    return own + weight * (other - own)


def forge(forger: Forger, writer: Writer, rng: np.random.Generator) -> tuple[Programme, Hand]:
    """One skilled forgery: a specimen as seen, misjudged, in the forger's own movements."""
    error = float(np.clip(1 - forger.skill + rng.normal(0, 0.08), 0.02, 1))
    seen, model = forger.seen[rng.integers(len(forger.seen))]
    own, letter = forger.hand, writer.programme.letter
    points = seen + (0.15 + 0.85 * error) * (forger.shapes - writer.shapes)
    # What a forger misjudges once is misjudged in every forgery; the rest is the moment's.
    misjudged = np.random.default_rng([*own.seed, 7])
    points = disturbed(points, letter, misjudged, 0.3 + (3.0 - 1.6 * forger.care) * error)
    points = disturbed(points, letter, rng, 0.6 + 0.7 * error)
    # Errors alone would make a forgery larger than what was seen: nobody is that one-sided.
    aspect = np.exp(misjudged.normal(0, 0.1 * error))
    points = points * (np.ptp(seen, axis=0) / np.ptp(points, axis=0)) * (aspect, 1 / aspect)

    def mixed(usual: float, of_model: float, of_own: float) -> float:
        # Shares whose squares add up to one: over all writers, sizes spread as genuine ones do.
        share = 0.4 * error
        return usual * (of_model / usual) ** np.sqrt(1 - share**2) * (of_own / usual) ** share

    hand = replace(
        own,
        size=mixed(SIZE, model.size, own.size),
        stretch=mixed(STRETCH, model.stretch, own.stretch),
        slant=_towards(model.slant, own.slant, 0.75 * error),
        slope=_towards(model.slope, own.slope, 0.6 * error),
        arch=_towards(model.arch, own.arch, 0.6 * error),
        roundness=_towards(model.roundness, own.roundness, error),
        overlap=max(0.08, _towards(model.overlap, 0.15, 0.15 + (0.3 + 0.5 * forger.care) * error)),
        tremor=own.tremor + 0.01 + 0.2 * forger.care * error * rng.uniform(0.4, 1),
    )
    hand = vary_hand(hand, rng, 0.8)
    programme = replace(writer.programme, points=points)
    programme = slipped(programme, misjudged, 0.15 * error)
    programme = slipped(programme, rng, 0.03 + 0.04 * error)
    programme = _taken_up_again(programme, rng, 0.08 * forger.care * error)
    return _redrawn(programme, rng, 0.25 * error), hand
