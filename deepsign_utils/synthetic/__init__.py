"""Writers and forgers simulated: signatures to learn from where no real ones are at hand.

A virtual *writer* owns a motor programme: targets of the pen, in order, that spell an invented name
in an invented hand (joined or printed letters, characters hanging from a headline, alphabets that
exist nowhere) or draw a flourish, or both. The programme is written by a sigma-lognormal model of
rapid hand movements: each stroke follows an arc with a lognormal speed, and successive strokes
overlap in time. A *genuine specimen* disturbs targets, proportions and timing a little, more across
days (sessions) than within one. A *skilled forger* sees the image of one to three specimens and
redraws it: proportions misjudged, letters pulled towards the forger's own, slower, less fluent. The
careful ones misjudge less and shake more, and lift the pen where the writer did not.

Ink, paper and scanner are drawn for each specimen by itself, from the same distribution whether it
is genuine or forged; the line's width follows the speed of the pen only in relation to the rest of
the specimen: the image's size, its background and the width of its strokes do not tell a forgery
from a genuine one.

All glyphs are this module's own design; no letter, name or signature of a real person is in it.

References
----------
R. Plamondon, M. Djioua, "A multi-level representation paradigm for handwriting stroke generation",
Human Movement Science 25, 2006 (the sigma-lognormal model).
M. A. Ferrer, M. Diaz, C. Carmona-Duarte, A. Morales, "A behavioral handwriting model for static and
dynamic signature synthesis", IEEE TPAMI 39, 2017 (virtual writers, genuine and forged variation).
"""

from deepsign_utils.synthetic.dataset import (
    MANIFEST,
    PARAMETERS,
    write_dataset,
)
from deepsign_utils.synthetic.draw import (
    DrawnWriter,
    draw_writer,
    draw_writers,
)

__all__ = [
    "MANIFEST",
    "PARAMETERS",
    "DrawnWriter",
    "draw_writer",
    "draw_writers",
    "write_dataset",
]
