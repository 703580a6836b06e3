"""A page looked at: which of its groups are signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from deepsign_utils.verifying.find_signatures.groups import box_of, group_features, groups_of
from deepsign_utils.verifying.find_signatures.models import Models, shipped
from deepsign_utils.verifying.find_signatures.page_ink import (
    AROUND,
    Ink,
    gray_darkness,
    ink_threshold,
    read_ink,
    reduced,
)
from deepsign_utils.verifying.find_signatures.pieces import (
    Pieces,
    lie_on_their_side,
    pieces_of,
)

_PAGE_LETTERS = 40  # besides signatures, from which an image is a page
_SURE = 0.9  # confidence, from which a signature is believed to stand upside down

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, right and bottom exclusive."""


class Found(NamedTuple):
    """A signature: its box in the page's pixels, how sure it is, 0 to 1, and the quarter turns,
    anticlockwise, after which the page stands upright."""

    box: Box
    confidence: float
    quarters: int = 0


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-9)


def _chosen(boxes: np.ndarray, confidence: np.ndarray, threshold: float) -> list[int]:
    """Groups above the threshold, the surest first, none within another."""
    kept: list[int] = []
    for index in np.argsort(-confidence, kind="stable"):
        if confidence[index] < threshold:
            break
        if all(_apart(boxes[index], boxes[other]) for other in kept):
            kept.append(int(index))
    return kept


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width <= 0 or height <= 0 or width * height < 0.25 * smaller


class Looked(NamedTuple):
    """A page looked at: its signatures from top to bottom, and how many letters of print it has."""

    signatures: list[Found]
    letters: int

    @property
    def is_page(self) -> bool:
        """Whether it is a page at all: a signature alone has little beside it."""
        return self.letters >= _PAGE_LETTERS


def has_pieces_of_a_page(page: np.ndarray) -> bool:
    """Whether there are pieces of ink enough for a page's letters; much faster than `look`.

    Parameters
    ----------
    page : uint8 (H, W) or (H, W, 3)
        Gray or RGB, paper bright.
    """
    darkness = gray_darkness(reduced(page)[0])
    _, count = ndimage.label(darkness > ink_threshold(darkness), AROUND)
    return count >= _PAGE_LETTERS


def look(page: np.ndarray, models: Models | None = None) -> Looked:
    """Find the signatures on a page, however it lies.

    Parameters
    ----------
    page : uint8 (H, W) or (H, W, 3)
        Gray or RGB, paper bright.
    models : Models, optional
        The shipped ones if not given.

    Returns
    -------
    Looked
        With boxes as the page lies. One that lies on its side is looked at both ways, and one on
        which nothing is found upside down too.
    """
    models = models or shipped()
    ink = read_ink(page)
    pieces = pieces_of(ink)
    if not len(pieces.boxes):
        return Looked([], 0)
    if lie_on_their_side(pieces):
        return max((_turned(page, models, quarters) for quarters in (1, 3)), key=_surest)
    looked = _look(page.shape, ink, pieces, models)
    if looked.signatures or not looked.is_page:
        return looked
    turned = _turned(page, models, 2).signatures
    return looked._replace(signatures=[one for one in turned if one.confidence > _SURE])


def _look(shape: tuple[int, ...], ink: Ink, pieces: Pieces, models: Models) -> Looked:
    """The signatures of a page of a shape, by its ink as it lies."""
    likely = models.likely(pieces)
    groups = groups_of(pieces, likely)
    found, lettered = [], likely < 0.05
    if groups:
        features = group_features(ink.lines, pieces, likely, groups)
        boxes = np.array([box_of(pieces.boxes[members]) for members in groups])
        confidence = models.confidence(features, boxes)
        height, width = shape[:2]
        for index in _chosen(boxes, confidence, models.threshold):
            left, top, right, bottom = (round(value * ink.factor) for value in boxes[index])
            box = left, top, min(right, width), min(bottom, height)
            found.append(Found(box, float(confidence[index])))
            lettered[groups[index]] = False
    height = pieces.boxes[:, 3] - pieces.boxes[:, 1]
    letters = lettered & (np.abs(np.log(height / pieces.text)) < 0.7)
    return Looked(sorted(found, key=_from_the_top), int(letters.sum()))


def _turned(page: np.ndarray, models: Models, quarters: int) -> Looked:
    """The signatures of a page that is turned anticlockwise for it, where they stand unturned."""
    turned = np.ascontiguousarray(np.rot90(page, quarters))
    ink = read_ink(turned)
    looked = _look(turned.shape, ink, pieces_of(ink), models)
    found, (height, width) = looked.signatures, turned.shape[:2]
    for _ in range(quarters):
        found = [one._replace(box=clockwise(one.box, height)) for one in found]
        height, width = width, height
    found = [one._replace(quarters=quarters) for one in found]
    return looked._replace(signatures=sorted(found, key=_from_the_top))


def clockwise(box: Box, height: int) -> Box:
    """Where a box lies when its page, so many pixels high, is turned clockwise by a quarter."""
    left, top, right, bottom = box
    return height - bottom, left, height - top, right


def _surest(looked: Looked) -> float:
    return max((one.confidence for one in looked.signatures), default=0.0)


def _from_the_top(one: Found) -> tuple[int, int]:
    return one.box[1], one.box[0]


def find_signatures(page: np.ndarray, models: Models | None = None) -> list[Found]:
    """The signatures of `look`, empty where the page is not signed."""
    return look(page, models).signatures
