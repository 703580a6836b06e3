"""Pieces that may be one signature, each group described with what stands around it."""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from deepsign_utils.verifying.find_signatures.pieces import Pieces

_MOST_LIKELY = 900  # pieces that are joined into groups
_LIKELY = (0.02, 0.06, 0.15, 0.3, 0.5, 0.7)  # of pieces, from which they are joined
_REACHES = (0.2, 0.35, 0.5, 0.7, 0.95, 1.2, 1.7)  # of a piece's height, across which it is joined


def groups_of(pieces: Pieces, likely: np.ndarray) -> list[np.ndarray]:
    """Pieces that may be one signature: index arrays, at several reaches, each once."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    chosen = np.flatnonzero(likely > min(_LIKELY))
    if len(chosen) > _MOST_LIKELY:
        order = np.argsort(-likely[chosen] * pieces.area[chosen])
        chosen = np.sort(chosen[order[:_MOST_LIKELY]])
    left, top, right, bottom = pieces.boxes[chosen].T
    height = np.maximum(bottom - top, pieces.text)
    aside = np.maximum(left[:, None], left) - np.minimum(right[:, None], right)
    apart = np.maximum(top[:, None], top) - np.minimum(bottom[:, None], bottom)
    scale = np.minimum((height[:, None] + height) / 2, 5 * pieces.text)
    needed = np.maximum(aside, apart / 0.35) / scale
    pairs = np.nonzero(np.triu(needed < max(_REACHES), 1))
    needed = needed[pairs]
    least = np.minimum(*(likely[chosen[side]] for side in pairs))
    found: dict[bytes, np.ndarray] = {}
    for floor in _LIKELY:
        use = np.flatnonzero(likely[chosen] > floor)
        for reach in _REACHES:
            linked = (needed < reach) & (least > floor)
            ends = pairs[0][linked], pairs[1][linked]
            graph = coo_array((np.ones(len(ends[0]), bool), ends), (len(chosen),) * 2)
            _, labels = connected_components(graph, directed=False)
            order = use[np.argsort(labels[use], kind="stable")]
            for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
                if len(members):
                    found.setdefault(members.tobytes(), chosen[members])
    return list(found.values())


def box_of(boxes: np.ndarray) -> np.ndarray:
    """The box around boxes (n, 4)."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def group_features(
    lines: np.ndarray, pieces: Pieces, likely: np.ndarray, groups: list[np.ndarray]
) -> np.ndarray:
    """Describe each group and what stands around it: float32 (groups, d)."""
    boxes = np.array([box_of(pieces.boxes[members]) for members in groups])
    heights = boxes[:, 3] - boxes[:, 1]
    size = pieces.boxes[:, 2:] - pieces.boxes[:, :2]
    large = size[:, 1] > 0.5 * pieces.text
    by_hand = large & (likely > 0.05)
    summed = np.cumsum(np.cumsum(np.pad(lines, ((1, 0), (1, 0))), 0, dtype=np.int32), 1)
    rows = []
    for members, box in zip(groups, boxes, strict=True):
        inside = np.zeros(len(likely), bool)
        inside[members] = True
        rows.append(
            [
                *_own(pieces, likely, members, box, lines.shape),
                *_among_pieces(pieces, large & ~inside, members, box, lines.shape),
                *_on_lines(summed, box, pieces.text),
                *_among_hands(pieces, by_hand, inside, box),
                (heights > box[3] - box[1]).mean(),
                *_near(pieces, likely, by_hand & ~inside, inside, box),
                np.log1p((large & ~inside).sum()),
                *np.average(pieces.features[members], axis=0, weights=pieces.area[members]),
            ]
        )
    return np.array(rows, np.float32)


def _own(
    pieces: Pieces,
    likely: np.ndarray,
    members: np.ndarray,
    box: np.ndarray,
    page: tuple[int, ...],
) -> list[float]:
    """A group's size, place and pieces."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    page_height, page_width = page
    own, area = pieces.boxes[members], pieces.area[members]
    own_height = own[:, 3] - own[:, 1]
    bottoms = own[own_height >= np.median(own_height), 3]
    return [
        np.log(width / pieces.text),
        np.log(height / pieces.text),
        np.log(width / height),
        width / page_width,
        height / page_height,
        left / page_width,
        (left + right) / 2 / page_width,
        (top + bottom) / 2 / page_height,
        area.sum() / (width * height),
        np.log(area.sum() / pieces.text**2),
        np.log(len(members)),
        area.max() / area.sum(),
        (own[:, 2] - own[:, 0]).max() / width,
        own_height.max() / height,
        np.std(own_height) / height,
        np.std(bottoms) / height,
        np.average(likely[members], weights=area),
        likely[members].max(),
    ]


def _in_row(pieces: Pieces, box: np.ndarray) -> np.ndarray:
    """Which pieces stand in a box's rows, and not with their middle inside it."""
    rows = (pieces.boxes[:, 1] < box[3]) & (pieces.boxes[:, 3] > box[1])
    return rows & ~_in_box(pieces, box)


def _in_box(pieces: Pieces, box: np.ndarray) -> np.ndarray:
    """Which pieces have their middle inside a box."""
    middle = (pieces.boxes[:, :2] + pieces.boxes[:, 2:]) / 2
    return ((middle > box[:2]) & (middle < box[2:])).all(axis=1)


def _among_pieces(
    pieces: Pieces,
    others: np.ndarray,
    members: np.ndarray,
    box: np.ndarray,
    page: tuple[int, ...],
) -> list[float]:
    """What lies within a group's box, and how far the next is to each side."""
    left, top, right, bottom = box
    page_height, page_width = page
    boxes = pieces.boxes
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    in_box = others & _in_box(pieces, box)
    in_row = others & _in_row(pieces, box)
    in_column = others & (boxes[:, 0] < right) & (boxes[:, 2] > left) & ~in_box
    gaps = [
        _gap(left - boxes[in_row & (middle[:, 0] < left), 2], page_width),
        _gap(boxes[in_row & (middle[:, 0] > right), 0] - right, page_width),
        _gap(top - boxes[in_column & (middle[:, 1] < top), 3], page_height),
        _gap(boxes[in_column & (middle[:, 1] > bottom), 1] - bottom, page_height),
    ]
    return [
        np.log1p(in_box.sum()),
        pieces.area[in_box].sum() / pieces.area[members].sum(),
        *np.minimum(np.array(gaps) / pieces.text, 30),
    ]


def _on_lines(summed: np.ndarray, box: np.ndarray, text: float) -> list[float]:
    """How much of ruled lines, ``summed`` from the page's corner, lies under a group and around."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top

    def ruled(left: float, top: float, right: float, bottom: float) -> float:
        x0, x1 = np.clip([left, right], 0, summed.shape[1] - 1).astype(int)
        y0, y1 = np.clip([top, bottom], 0, summed.shape[0] - 1).astype(int)
        return float(summed[y1, x1] - summed[y0, x1] - summed[y1, x0] + summed[y0, x0])

    return [
        ruled(left, bottom - 0.5 * height, right, bottom + 0.4 * height) / width,
        ruled(left - 2 * text, top - text, right + 2 * text, bottom + text) / width,
    ]


def _among_hands(
    pieces: Pieces, by_hand: np.ndarray, inside: np.ndarray, box: np.ndarray
) -> list[float]:
    """How a group stands among what may be written by hand."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    heights = pieces.boxes[:, 3] - pieces.boxes[:, 1]
    middle = (pieces.boxes[:, 1] + pieces.boxes[:, 3]) / 2
    others = by_hand & ~inside
    band = (middle > top - height) & (middle < bottom + height)
    usual = heights[by_hand]
    return [
        np.log1p((others & _in_row(pieces, box)).sum()),
        np.log1p((others & band).sum()),
        np.log1p(others.sum()),
        (usual < heights[inside].max()).mean() if len(usual) else 1.0,
        np.log(height / np.median(usual)) if len(usual) else 0.0,
        np.log(np.sqrt(width * height) / pieces.text),
    ]


def _near(
    pieces: Pieces,
    likely: np.ndarray,
    hand: np.ndarray,
    inside: np.ndarray,
    box: np.ndarray,
) -> list[float]:
    """How much others look like a signature, on the page and close beside a group."""
    left, top, right, bottom = box
    reach = min(bottom - top, 5 * pieces.text)
    aside = np.maximum(left, pieces.boxes[:, 0]) - np.minimum(right, pieces.boxes[:, 2])
    apart = np.maximum(top, pieces.boxes[:, 1]) - np.minimum(bottom, pieces.boxes[:, 3])
    beside = ~inside & (aside < reach) & (apart < 0.35 * reach)
    return [
        max(likely[hand], default=0.0),
        max(likely[beside], default=0.0),
        np.log1p(pieces.area[beside] @ likely[beside] / pieces.area[inside].sum()),
    ]


def among_groups(boxes: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """How groups lie to others that look like a signature: float32 (n, 16).

    Parameters
    ----------
    boxes : float (n, 4)
    alone : float (n,)
        How much each looks like a signature, judged alone.
    """
    count = len(boxes)
    low = np.maximum(boxes[:, None, :2], boxes[:, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    overlaps = shared / np.maximum(area[:, None] + area - shared, 1e-9)
    within = shared / np.maximum(area[:, None], 1e-9) > 0.8  # a row's group in a column's
    larger = area > area[:, None]
    others = ~np.eye(count, dtype=bool)
    apart = shared == 0
    surer = alone > alone[:, None]

    def surest(where: np.ndarray) -> np.ndarray:
        return np.where(where, alone, 0).max(axis=1)

    def mean(weights: np.ndarray) -> np.ndarray:
        return weights @ alone / np.maximum(weights.sum(axis=1), 1e-9)

    best = np.where(overlaps > 0.1, alone, -1).argmax(axis=1)  # of those about the same place
    scale = np.sqrt(area)[:, None]
    return np.column_stack(
        [
            logit(np.clip(alone, 1e-4, 1 - 1e-4)),
            surest(within & larger),
            surest(within.T & ~larger & others),
            surest(apart),
            surest((overlaps > 0.3) & others),
            mean(overlaps),
            mean(overlaps**4),
            (overlaps > 0.5).sum(axis=1),
            surer.sum(axis=1),
            ((overlaps > 0.2) & surer).sum(axis=1),
            (apart & (alone > 0.5)).sum(axis=1),
            overlaps[np.arange(count), best],
            (boxes[best] - boxes) / scale,
        ]
    ).astype(np.float32)


def _gap(distances: np.ndarray, none: float) -> float:
    """The least distance, at least 0; ``none`` where there is nothing."""
    return max(float(distances.min()), 0.0) if distances.size else none
