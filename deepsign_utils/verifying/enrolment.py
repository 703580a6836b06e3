"""A writer's references looked at before anything is compared with them.

A verdict is worth no more than the references behind it. Those that are copies of one another say
one thing twice; one by another hand, upside down or cut off makes forgeries pass and genuine
signatures fail; and a writer of two styles is two writers to a mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from deepsign_utils.scoring import Scoring, score_against
from deepsign_utils.verifying.comparison import Remark, listed
from deepsign_utils.verifying.copies import Trace, alike
from deepsign_utils.verifying.references import Signature

RARE = 0.01
"""A reference is odd where so few genuine signatures, a share of all, or fewer score as low against
the others; for k references each is held to RARE / k, as the lowest of k is looked at. Of two
neither can be called the odd one: they are told apart where one scores as low against the other."""


class Odd(NamedTuple):
    """A reference that does not look like the others: its row, and its likelihood ratio."""

    row: int
    llr: float


def without_stamped(
    signatures: Sequence[Signature], embeddings: np.ndarray, others: bool
) -> tuple[list[Signature], np.ndarray, list[Remark]]:
    """References without those under a stamp; all of them where none would be left.

    Parameters
    ----------
    signatures : sequence of Signature
    embeddings : float32 (k, d)
    others : bool
        Whether the writer has references besides these.

    Returns
    -------
    signatures : list of Signature
    embeddings : float32 (m, d)
    remarks : list of Remark
        On those that were left out.
    """
    clear = [not signature.is_stamped for signature in signatures]
    if not any(clear) and not others:
        clear = [True] * len(signatures)
    told = [
        Remark(
            signature.name,
            "stamped_reference",
            "A stamp or seal seems to lie across it, and no verdict rests on it: give another "
            "reference, or the same without the stamp.",
        )
        for signature, is_clear in zip(signatures, clear, strict=True)
        if not is_clear
    ]
    return list(compress(signatures, clear)), embeddings[clear], told


def look_at(
    names: Sequence[str], traces: Sequence[Trace | None], embeddings: np.ndarray, scoring: Scoring
) -> tuple[list[int], list[Remark]]:
    """Which references to keep, and what is odd about them.

    Of those that are copies of one another the first is kept. Remarks name the others, any that
    does not look like the rest, two styles, and two people's.

    Parameters
    ----------
    names : sequence of str
        What each is called in messages.
    traces : sequence of Trace or None
    embeddings : float32 (k, d), of unit length
    scoring : Scoring

    Returns
    -------
    rows : list of int
    remarks : list of Remark
    """
    originals = first_copies(traces)
    told = [
        Remark(
            names[row],
            "copy_of_a_reference",
            f"It is a copy of {names[original]}: the two count as one.",
        )
        for row, original in enumerate(originals)
        if original is not None
    ]
    kept = [row for row, original in enumerate(originals) if original is None]
    return kept, told + unlike([names[row] for row in kept], embeddings[kept], scoring)


def unlike(names: Sequence[str], embeddings: np.ndarray, scoring: Scoring) -> list[Remark]:
    """What is odd about references, float32 (k, d), that are no copies of one another."""
    told = []
    if styles := two_styles(embeddings, scoring):
        one, other = (listed([names[row] for row in group]) for group in styles)
        message = (
            f"They look like two styles, or two writers: {one} are alike, and so are {other}, "
            "but not the ones and the others. If both are the writer's, keep them as two "
            "enrolments and compare with each."
        )
        told.append(Remark("the references", "two_styles", message))
    else:
        for row, llr in odd_ones(embeddings, scoring):
            message = (
                "It does not look like the other references: that somebody else wrote it makes "
                f"what is seen {_times(llr)} times as probable as that the same writer did. "
                "No verdict rests on it. See whether it is the writer's, the right way up and "
                "complete."
            )
            told.append(Remark(names[row], "odd_reference", message))
    if len(names) == 2 and two_hands(embeddings, scoring):
        message = (
            "The two do not look like one writer's: of a hundred genuine signatures hardly one is "
            "as far from another of its writer. See whether both are the writer's, the right way "
            "up and complete."
        )
        told.append(Remark("the references", "two_hands", message))
    return told


def _times(llr: float) -> str:
    """How many times as probable the other proposition is: two figures of it, and whole."""
    ratio = math.exp(min(-llr, 50))
    return f"{float(f'{ratio:.2g}'):,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def without_odd_ones(embeddings: np.ndarray, scoring: Scoring) -> np.ndarray:
    """References without those by another hand, as `look_at` names them.

    Their distance from the others would pass for the writer's own variation, and forgeries
    with it.
    """
    if two_styles(embeddings, scoring):
        return embeddings
    return np.delete(embeddings, [one.row for one in odd_ones(embeddings, scoring)], axis=0)


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
        earlier = [(r, first) for r, first in enumerate(traces[:row]) if first and found[r] is None]
        found.append(next((r for r, first in earlier if one and alike(first, one)), None))
    return found


def odd_ones(embeddings: np.ndarray, scoring: Scoring) -> list[Odd]:
    """The references that do not look like the others, the oddest first; fewer than half of them.

    Each is scored against all others, as a questioned signature would be, and the lowest named
    where hardly any genuine signature scores so low; then the rest are looked at without it.

    Parameters
    ----------
    embeddings : float32 (k, d), of unit length
        With fewer than three, none can be called the odd one.
    scoring : Scoring
    """
    left, odd = np.arange(len(embeddings)), list[Odd]()
    while len(left) >= 3 and len(odd) < (len(embeddings) - 1) // 2:
        others = np.array([np.delete(left, place) for place in range(len(left))])
        score = _scores(embeddings, others, left, scoring)
        lowest = int(np.argmin(score))
        if scoring.share_as_low(score[lowest], len(left) - 1) > RARE / len(left):
            break
        odd.append(Odd(int(left[lowest]), float(scoring.llr(float(score[lowest]), len(left) - 1))))
        left = np.delete(left, lowest)
    return odd


def two_hands(embeddings: np.ndarray, scoring: Scoring) -> bool:
    """Whether two references look like two people's: score as low as `RARE` says.

    Parameters
    ----------
    embeddings : float32 (2, d), of unit length
    scoring : Scoring
    """
    score = _scores(embeddings, np.array([[0]]), np.array([1]), scoring)
    return scoring.share_as_low(float(score[0]), 1) <= RARE


def two_styles(embeddings: np.ndarray, scoring: Scoring) -> tuple[list[int], list[int]] | None:
    """Two groups of two or more references, each alike in itself and foreign to the other.

    Parameters
    ----------
    embeddings : float32 (k, d), of unit length
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
        rest = np.array([np.delete(own, place) for place in range(len(own))])
        across = _scores(embeddings, np.tile(foreign, (len(own), 1)), own, scoring)
        within = _scores(embeddings, rest, own, scoring)
        foreigners = scoring.share_as_low(float(np.median(across)), len(foreign))
        relatives = scoring.share_as_low(float(np.median(within)), len(own) - 1)
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
    first, second = (np.array(sorted(group)) for group in members)
    return first, second


def _scores(
    embeddings: np.ndarray, references: np.ndarray, questioned: np.ndarray, scoring: Scoring
) -> np.ndarray:
    """Scores of rows `questioned` against rows `references`, as `score_against` takes them."""
    return score_against(embeddings, references, questioned, scoring.population)[1]
