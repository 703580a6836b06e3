"""Parts of a signature: further hands to learn from, and what a deployed encoder looks at."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A part of a signature, stretched over the canvas: from where to where, in shares of the
    canvas's width and height. Neighbouring parts overlap."""

    left: float = 0.0
    right: float = 1.0
    top: float = 0.0
    bottom: float = 1.0

    def mirrored(self, across: bool, down: bool) -> Part:
        """Where it lies when the signature is mirrored left-right, up-down."""
        left, right = (1 - self.right, 1 - self.left) if across else self[:2]
        top, bottom = (1 - self.bottom, 1 - self.top) if down else self[2:]
        return Part(left, right, top, bottom)


WHOLE = Part()
HALVES = (Part(right=9 / 16), Part(left=7 / 16))
THIRDS = (Part(right=13 / 32), Part(19 / 64, 45 / 64), Part(left=19 / 32))
QUARTERS = tuple(
    half._replace(top=top, bottom=bottom)
    for top, bottom in ((0.0, 5 / 8), (3 / 8, 1.0))
    for half in HALVES
)
