"""Find the signatures on a page.

Ink is told from paper, ruled lines and boxes are taken away, and what remains falls into connected
pieces. Each piece is described by its size against the page's text, its strokes, its colour and its
neighbours, and once more by how much these look like a signature; pieces that may belong to one are
joined into groups at several distances, and each group is described in turn, together with what
stands around it, and once more by how it lies to other groups that look like a signature. Five
models of boosted trees, stored as plain numbers in `models.json`, say how much pieces,
pieces among their neighbours, and groups look like signatures, how likely a signature is where a
group among the others lies, and how far their boxes overlap. They were trained on composed pages
(`synthetic/pages/`); `runs/finding.py` does it again.
"""

from deepsign_utils.verifying.find_signatures.models import Models
from deepsign_utils.verifying.find_signatures.search import (
    Box,
    Found,
    Looked,
    clockwise,
    find_signatures,
    has_pieces_of_a_page,
    look,
    overlap,
)
from deepsign_utils.verifying.find_signatures.trees import Trees

__all__ = [
    "Box",
    "Found",
    "Looked",
    "Models",
    "Trees",
    "clockwise",
    "find_signatures",
    "has_pieces_of_a_page",
    "look",
    "overlap",
]
