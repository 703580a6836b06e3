"""A page, composed and scanned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepsign_utils import DeepSignError
from deepsign_utils.synthetic.pages.documents import KINDS, Desk
from deepsign_utils.synthetic.pages.fonts import Type, fonts_at_hand
from deepsign_utils.synthetic.pages.scan import scanned
from deepsign_utils.synthetic.pages.sheet import (
    BLACKS,
    Box,
    Sheet,
    SignatureSource,
    draw_scribe,
    synthetic_signature,
)


@dataclass(frozen=True, eq=False)
class Page:
    """A composed page.

    Attributes
    ----------
    image : uint8 (H, W) or (H, W, 3)
        As scanned.
    signatures : tuple of Box
        Where they are.
    kind : str
        One of `KINDS`.
    script : str
        Of the print.
    dpi : int
    """

    image: np.ndarray
    signatures: tuple[Box, ...]
    kind: str
    script: str
    dpi: int


_BY_HAND = (
    *("Caveat", "Kalam", "Indie", "Homemade", "Shadows", "Zeyada"),
    *("reip", "Ecolier", "femke", "Rufscript", "Humor"),
)
_DISPLAY = ("Dancing", "Vibes", "Oswald", "Pacifico", "Lobster")


def compose(
    seed: int,
    number: int,
    kind: str | None = None,
    signed: bool | None = None,
    script: str | None = None,
    dpi: int | None = None,
    fonts: Path | None = None,
    source: SignatureSource = synthetic_signature,
) -> Page:
    """Compose a page; the same arguments compose the same one.

    Parameters
    ----------
    seed, number : int, at least 0
        Which series, and which page of it.
    kind, signed, script, dpi : optional
        Of `KINDS`; whether signed; of `SCRIPTS`; dots an inch. Drawn where not given.
    fonts : Path, optional
        A folder of fonts used beside those that come with matplotlib.
    source : callable
        Draws the signatures; see `SignatureSource`.

    Returns
    -------
    Page

    Raises
    ------
    DeepSignError
        If there is no such kind, or no font for the script.
    """
    rng = np.random.default_rng([seed, number])
    at_hand = fonts_at_hand(fonts)
    kind = kind or str(rng.choice(list(KINDS), p=[0.18, 0.17, 0.2, 0.17, 0.1, 0.1, 0.08]))
    script = script or str(rng.choice(list(at_hand)))
    if kind not in KINDS or script not in at_hand:
        raise DeepSignError(
            f"There is no page of kind '{kind}' in '{script}' to compose: the kinds are "
            f"{', '.join(KINDS)}, and there are fonts for {', '.join(at_hand)}."
        )
    signed = bool(rng.random() < 0.65) if signed is None else signed
    dpi = dpi or int(rng.choice([150, 200, 300], p=[0.7, 0.2, 0.1]))
    drawn = {
        name: tuple(file for file in at_hand["latin"] if any(p in Path(file).name for p in parts))
        for name, parts in (("by_hand", _BY_HAND), ("display", _DISPLAY))
    }
    plain = {
        name: tuple(file for file in files if file not in drawn["by_hand"] + drawn["display"])
        for name, files in at_hand.items()
    }
    plain = {name: files or at_hand[name] for name, files in plain.items()}
    known = plain | drawn
    if kind == "cheque":
        size = rng.uniform(150, 210), rng.uniform(68, 95)
    else:
        size = (210, 297) if rng.random() < 0.75 else (215.9, 279.4)
    type_ = Type(
        script,
        str(rng.choice(plain[script])),
        rng.uniform(2.9, 4.6),
        rng.uniform(1.2, 1.7),
        BLACKS[rng.integers(len(BLACKS))],
    )
    sheet = Sheet(*size, dpi, known)
    desk = Desk(rng, type_, draw_scribe(rng, known), source, signed)
    KINDS[kind](sheet, desk)
    image, boxes = scanned(sheet, rng)
    return Page(image, boxes, kind, script, dpi)
