"""A writer's references looked at before anything is compared with them.

A verdict is worth no more than the references behind it. Those that are copies of one another say
one thing twice; one by another hand, upside down or cut off makes forgeries pass and genuine
signatures fail; and a writer of two styles is two writers to a mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from deepsign_utils.scoring import Scoring
from deepsign_utils.verifying.copies import Trace, alike

RARE = 0.01
"""A reference is odd where so few genuine signatures, a share of all, or fewer score as low against
the others; for k references each is held to RARE / k, as the lowest of k is looked at."""

UNLIKE = 10
"""Two references are told apart where two people are so many times as probable as one."""

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(references int (trials, k), questioned int (trials,)) -> score (trials,): the model's own."""


class Odd(NamedTuple):
    """A reference that does not look like the others: its row, and its likelihood ratio."""

    row: int
    llr: float


def first_copies(traces: Sequence[Trace | None]) -> list[int | None]:
    """For each reference, the earlier one that it is a copy of.

    Parameters
    ----------
    traces : sequence of Trace or None
        None where there is none to look at.

    Returns
    -------
    list of int or None
        Row of the first such one, which is itself no copy.
    """
    found: list[int | None] = []
    for row, one in enumerate(traces):
        earlier = [r for r in range(row) if found[r] is None and traces[r] is not None]
        found.append(next((r for r in earlier if one and alike(traces[r], one)), None))
    return found


def odd_ones(count: int, scores: Scores, scoring: Scoring) -> list[Odd]:
    """The references that do not look like the others, the oddest first; fewer than half of them.

    Each is scored against all others, as a questioned signature would be, and the lowest named
    where hardly any genuine signature scores so low; then the rest are looked at without it.

    Parameters
    ----------
    count : int
        How many references there are; with fewer than three, none can be called the odd one.
    scores : callable
    scoring : Scoring
    """
    left, odd = np.arange(count), []
    while len(left) >= 3 and len(odd) < (count - 1) // 2:
        others = np.array([np.delete(left, place) for place in range(len(left))])
        score = scores(others, left)
        lowest = int(np.argmin(score))
        if _share_as_low(scoring, score[lowest], len(left) - 1) > RARE / len(left):
            break
        odd.append(Odd(int(left[lowest]), float(scoring.llr(float(score[lowest]), len(left) - 1))))
        left = np.delete(left, lowest)
    return odd


def two_hands(scores: Scores, scoring: Scoring) -> float | None:
    """The likelihood ratio of two references that look like two people's; None where they don't.

    Neither can be called the odd one.

    Returns
    -------
    float or None
        Natural logarithm, at most minus that of `UNLIKE`: one writer against two.
    """
    line = scoring.operation(1).calibrations.get("random")
    if line is None:
        return None
    llr = float(line.llr(float(scores(np.array([[0]]), np.array([1]))[0])))
    return llr if llr <= -math.log(UNLIKE) else None


def two_styles(
    embeddings: np.ndarray, scores: Scores, scoring: Scoring
) -> tuple[list[int], list[int]] | None:
    """Two groups of two or more references, each alike in itself and foreign to the other.

    Parameters
    ----------
    embeddings : float32 (k, d), of unit length
    scores : callable
    scoring : Scoring

    Returns
    -------
    two lists of rows, or None
    """
    if len(embeddings) < 4:
        return None
    apart = 1 - embeddings.astype(np.float64) @ embeddings.T
    one, other = _two_groups(apart)
    if min(len(one), len(other)) < 2:
        return None
    for own, foreign in ((one, other), (other, one)):
        across = scores(np.tile(foreign, (len(own), 1)), own)
        within = scores(np.array([np.delete(own, place) for place in range(len(own))]), own)
        foreigners = _share_as_low(scoring, np.median(across), len(foreign))
        relatives = _share_as_low(scoring, np.median(within), len(own) - 1)
        if foreigners > RARE or relatives <= RARE:
            return None
    return one.tolist(), other.tolist()


def _two_groups(apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the two groups that average linkage leaves, from distances float (k, k)."""
    members, total = [[row] for row in range(len(apart))], apart.copy()
    while len(members) > 2:
        size = np.array([len(group) for group in members])
        mean = total / np.outer(size, size)
        np.fill_diagonal(mean, np.inf)
        one, other = sorted(np.unravel_index(mean.argmin(), mean.shape))
        members[one] += members.pop(other)
        total[one] += total[other]
        total[:, one] += total[:, other]
        total = np.delete(np.delete(total, other, 0), other, 1)
    return tuple(np.array(sorted(group)) for group in members)


def _share_as_low(scoring: Scoring, score: float, references: int) -> float:
    """Share of genuine signatures that score as low, as measured."""
    curve = scoring.operation(references).curve
    return float(np.interp(score, curve["threshold"], curve["fnmr"]))
