"""Whole pages, composed: letters, cheques, forms, contracts, notes and invoices, signed or not.

What stands on them is drawn here: print in several scripts and fonts, ruled lines, boxes and
tables, logos, stamps, handwritten lines, initials and ticks, and the signatures of synthetic
writers. Then the page is scanned: slightly turned, shaded, blurred, noisy, in colour, gray or black
and white. Each page knows the boxes of its signatures, so that finding them can be measured.

Units are millimetres from the page's upper left corner, unless a name says pixels.
"""

from deepsign_utils.synthetic.pages.composition import Page, compose
from deepsign_utils.synthetic.pages.documents import KINDS
from deepsign_utils.synthetic.pages.fonts import fonts_at_hand, invent_word
from deepsign_utils.synthetic.pages.sheet import synthetic_signature

__all__ = ["KINDS", "Page", "compose", "fonts_at_hand", "invent_word", "synthetic_signature"]
