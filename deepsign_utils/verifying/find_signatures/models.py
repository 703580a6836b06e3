"""The five models that say what looks like a signature."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepsign_utils.verifying.find_signatures.groups import among_groups
from deepsign_utils.verifying.find_signatures.pieces import Pieces, context
from deepsign_utils.verifying.find_signatures.trees import Trees

_UNLIKELY = 0.001  # to be a signature's, alone, for a piece to be judged among its neighbours
MODELS = Path(__file__).with_suffix(".json")


class Models(NamedTuple):
    """What says of pieces, of pieces among their neighbours, and of groups, how much they look like
    a signature; of groups among the others, how likely they lie on one, and how far their boxes
    overlap; and from where on a group is one."""

    pieces: Trees
    context: Trees
    groups: Trees
    present: Trees
    fit: Trees
    threshold: float

    def likely(self, pieces: Pieces) -> np.ndarray:
        """How likely each piece belongs to a signature, among its neighbours: float64 (n,)."""
        likely = self.pieces.probability(pieces.features)
        asked = likely > _UNLIKELY
        if asked.any():
            likely[asked] = self.context.probability(in_context(pieces, likely)[asked])
        return likely

    def confidence(self, features: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """How sure it is that each group, described so and with this box, is a signature whole."""
        described = np.column_stack(
            [features, among_groups(boxes, self.groups.probability(features))]
        )
        return joint(self.present.probability(described), self.fit.value_of(described))


def joint(present: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Confidence in a group, from the likelihood of a signature there and the overlap expected."""
    return present * np.sqrt(np.clip(fit, 0, 1))


def in_context(pieces: Pieces, alone: np.ndarray) -> np.ndarray:
    """What is asked of pieces among their neighbours, once each was judged alone."""
    return np.column_stack([pieces.features, context(pieces, alone)])


@cache
def shipped() -> Models:
    """The models that come with the package."""
    kept = json.loads(MODELS.read_text())
    threshold = kept.pop("threshold")
    return Models(**{name: Trees.from_dict(one) for name, one in kept.items()}, threshold=threshold)
