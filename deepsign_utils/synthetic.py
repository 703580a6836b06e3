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

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from scipy import ndimage
from scipy.special import erf
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize
from tqdm import tqdm

from deepsign_utils import DeepSignError
from deepsign_utils.study.processes import usable_processors, worker_pool

MANIFEST = "manifest.csv"
PARAMETERS = "synthetic.json"

# --------------------------------------------------------------------------------------------------
# Glyphs: targets of the pen as "x,y", ten units to the height of a small letter, y upwards from the
# baseline. "/" lifts the pen, "!" marks a target where the pen stops and turns.
# --------------------------------------------------------------------------------------------------

SMALL = {
    "a": "9,8 5,10 1,6 3,0 7,2 9,9! 9,2 12,1",
    "b": "1,2 5,16 4,22 2,18 2,2 5,0 8,4 5,9 7,8 11,9",
    "c": "8,8 5,10 1,6 2,1 6,0 10,3",
    "d": "8,8 4,10 1,5 3,0 7,3 9,20! 9,3 12,1",
    "e": "1,3 6,6 6,10 3,10 1,5 4,0 9,3",
    "f": "1,2 5,14 6,21 4,22 3,14 2,-8 4,-11 5,-6 3,0 9,3",
    "g": "9,8 5,10 1,6 3,1 7,3 9,9! 8,-9 4,-12 3,-8 11,3",
    "h": "1,2 5,16 4,22 2,18 2,0! 3,6 6,10 8,8 8,1 11,1",
    "i": "1,3 3,10! 3,2 5,0 8,3 / 3.5,15 4,14.3",
    "j": "1,3 4,10! 3,-9 0,-12 -1,-8 7,3 / 4,15 4.5,14.3",
    "k": "1,2 5,16 4,22 2,18 2,0! 3,6 7,9 6,5 3,5! 7,0 10,2",
    "l": "1,2 5,14 5,21 3,21 2,5 5,0 8,3",
    "m": "1,8 2,10! 2,0! 3,7 6,10 7,7 7,0! 8,7 11,10 12,7 12,1 15,2",
    "n": "1,8 2,10! 2,0! 3,7 6,10 8,7 8,1 11,2",
    "o": "6,10 2,8 1,3 4,0 8,3 8,8 5,10 8,9 11,9",
    "p": "1,3 3,10! 3,-11! 3,5 6,10 9,7 8,2 5,0 4,2 11,2",
    "q": "9,8 5,10 1,6 3,1 7,3 9,9! 9,-11! 11,-6 12,2",
    "r": "1,3 3,10 4,12 5,9 8,9 8,3 11,1",
    "s": "1,2 5,11! 7,5 5,0 2,1! 9,2",
    "t": "1,3 4,18! 4,3 6,0 9,3 / 0,13 8,14",
    "u": "1,4 2,10! 2,3 4,0 7,4 8,10! 8,3 11,1",
    "v": "1,8 2,10 4,0! 7,9 8,10 11,9",
    "w": "1,8 2,10 3,1 5,0 7,9! 8,1 10,1 12,10 14,9",
    "x": "1,8 3,10 7,1 10,1 / 8,10 1,0",
    "y": "1,8 2,10 3,3 6,3 8,10! 6,-9 3,-12 2,-9 10,3",
    "z": "1,8 4,10 8,9 2,1! 7,1 6,-5 3,-9 2,-6 10,3",
}
CAPITAL = {
    "A": "0,0 4,10 9,23! 11,10 12,0 / 2,9 12,10",
    "B": "3,21 3,0! / 1,19 6,23 11,20 9,13 5,12! 11,10 12,3 6,-1 1,1",
    "C": "13,18 9,23 3,18 1,8 5,0 12,3 16,6",
    "D": "4,21 4,1! / 0,18 6,23 14,18 15,8 9,0 2,1",
    "E": "11,20 7,23 3,19 7,13! 2,10 1,3 6,-1 12,4",
    "F": "5,21 4,0 1,2 / 0,19 6,23 14,22 / 2,12 11,13",
    "G": "13,18 8,23 2,16 2,5 7,0 12,6 13,11! 12,-4 6,-9 2,-5 15,4",
    "H": "2,22 2,0 / 13,23 12,0 / 1,11 15,12",
    "I": "1,3 8,20 6,24 4,18 4,3 0,0 -3,4 8,5",
    "J": "1,12 6,22 9,20 7,-6 2,-12 -1,-7 9,3",
    "K": "3,22 2,0 / 13,22 4,11 8,11! 10,2 15,2",
    "L": "1,12 8,20 8,24 5,20 4,4 1,1 3,0 12,0 15,4",
    "M": "0,1 3,22! 8,6! 14,23! 15,2 18,1",
    "N": "0,1 3,22! 11,1! 14,23 17,22",
    "O": "8,23 2,18 1,6 7,-1 14,6 13,18 7,23 9,19 16,20",
    "P": "3,21 2,0! / 0,18 7,23 13,18 9,11 3,11",
    "Q": "8,23 2,18 1,6 7,-1 14,6 13,18 7,23 / 7,6 12,0 18,-3",
    "R": "3,21 2,0! / 0,18 7,23 12,18 8,12 3,12! 9,6 12,1 16,2",
    "S": "12,18 9,23 5,19 9,12 11,5 6,-1 0,3 4,8 15,6",
    "T": "8,22 7,3 3,0 / 0,20 6,22 15,23",
    "U": "1,20 3,22 3,6 7,0 12,6 14,22! 14,4 18,1",
    "V": "0,20 3,22 6,0! 12,20 17,23",
    "W": "0,20 3,22 5,1! 10,17! 12,1! 17,21 20,23",
    "X": "1,21 4,22 11,1 15,2 / 14,23 1,0",
    "Y": "0,20 3,22 5,12 10,13 14,23! 9,-5 4,-11 2,-7 13,4",
    "Z": "2,20 7,23 13,21 2,1! 8,2 14,0 17,3",
}
# Characters that hang from a headline at y = 10.
HANGING = {
    "h0": "2,9 1,5 3,2 6,4 8,9 / 9,10 9,0",
    "h1": "0,7 4,8 5,5 2,4! 6,3 6,0 2,-1 / 9,10 9,0",
    "h2": "1,9 1,4 4,2 8,4 / 8,10 8,0",
    "h3": "5,10 5,7 1,6 0,3 4,1 7,3 6,6",
    "h4": "8,10 8,0! 1,5! 8,8",
    "h5": "8,10 8,0! 1,5! 8,8 / 4,-3 5,-3.6",
    "h6": "1,9 4,8 5,4 2,3 1,6 5,5 9,3 / 9,10 9,0",
    "h7": "0,9 2,4 5,3 7,6 5,8 4,4 8,1",
    "h8": "5,10 6,7 1,6 0,2 5,0 9,4 8,8",
    "h9": "1,9 1,3 3,2 3,5 1,4 8,4 / 8,10 8,0",
    "h10": "0,5 3,6 4,3 2,3 3,5 8,5 / 8,10 8,0",
    "h11": "0,3 2,6 4,3 6,6 8,4 / 9,10 9,0",
    "h12": "5,10 5,7 1,7 2,4 6,5 7,2 4,0 2,-3 7,-5",
    "h13": "5,10 5,6 1,6 1,2 4,1 5,4 8,-2",
    "h14": "0,8 4,6 2,3 7,2 8,6 10,8 / 9,10 10,2 7,0",
    "h15": "6,10 6,0 / 6,6 2,7 0,4 2,2 6,5 / 6,6 10,7 11,4 9,2",
    "h16": "7,10 2,9 1,6 5,5! 1,3 3,0 8,1",
    "h17": "1,10 1,5 5,6 5,2 1,0! 7,0 9,4 9,10",
}
# Signs around such a character: after, above, below, before.
SIGNS = {
    "s0": "3,10 3,0",
    "s1": "2,10 2,0! / 2,10 1,15 -4,17 -8,12",
    "s2": "0,0! 0,10 3,16 8,16 10,10",
    "s3": "6,10 2,8 1,3 4,1 5,4",
    "s4": "-5,0 -7,-4 -4,-6 -1,-3",
    "s5": "-5,10 -2,15 1,14",
    "s6": "-5,14 -4,13",
}
INITIAL_STOP = "1,1 1.8,0.4"


@dataclass(frozen=True)
class Glyph:
    """Targets of one character in tenths of a small letter's height: (n, 2), (n,), (n,) and its
    advance. ``starts`` marks the targets before which the pen is lifted."""

    points: np.ndarray
    sharp: np.ndarray
    starts: np.ndarray
    advance: float


def _glyph(points: ArrayLike, sharp: ArrayLike, starts: ArrayLike) -> Glyph:
    points = np.asarray(points, float)
    return Glyph(points, np.asarray(sharp, float), np.asarray(starts, bool), points[:, 0].max())


@cache
def _parse(text: str) -> Glyph:
    points, sharp, starts = [], [], []
    for component in text.split("/"):
        for place, target in enumerate(component.split()):
            x, y = target.rstrip("!").split(",")
            points.append((float(x), float(y)))
            sharp.append(target.endswith("!"))
            starts.append(place == 0)
    return _glyph(points, sharp, starts)


# --------------------------------------------------------------------------------------------------
# Programmes: what a writer intends
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Programme:
    """A signature as intended: N targets, in heights of a small letter.

    ``points`` (N, 2); ``down`` (N,) bool, whether the pen is on the paper on the way to a target;
    ``sharp`` (N,) in 0..1, how far the pen stops there; ``letter`` (N,) int, the character that a
    target belongs to; ``keys``, one name for each character: equal names are written alike.
    """

    points: np.ndarray
    down: np.ndarray
    sharp: np.ndarray
    letter: np.ndarray
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Hand:
    """How somebody writes: habits that show in whatever is written."""

    seed: tuple[int, ...]  # of the personal shapes of characters
    size: float  # millimetres to a small letter's height
    stretch: float  # width against height
    slant: float  # shear, to the right positive
    slope: float  # of the baseline, radians
    arch: float  # curvature of the baseline, across the signature's width
    roundness: float  # 1 turns smoothly, less leaves corners
    overlap: float  # share of a stroke's time that the next one overlaps: fluency
    skew: float  # sigma of the lognormal
    unsteadiness: float  # how much specimens differ, 1 is usual
    tremor: float  # millimetres


class _Composer:
    """Collects placed glyphs into a programme."""

    def __init__(self) -> None:
        self.points, self.down, self.sharp, self.letter, self.keys = [], [], [], [], []

    def add(
        self,
        key: str,
        glyph: Glyph,
        x: float,
        y: float,
        sx: float = 1.0,
        sy: float = 1.0,
        part: slice = slice(None),
        join: bool = False,
    ) -> None:
        """Place ``glyph`` (or a ``part`` of it) with its origin at (x, y); ``join`` draws the way
        to its first target."""
        points = glyph.points[part] / 10 * (sx, sy) + (x, y)
        down = ~glyph.starts[part]
        down[0] = join
        self.points.append(points)
        self.down.append(down)
        self.sharp.append(glyph.sharp[part])
        self.letter.append(np.full(len(points), len(self.keys)))
        self.keys.append(key)

    def box(self) -> np.ndarray:
        points = np.concatenate(self.points)
        return np.array([points.min(0), points.max(0)])

    def programme(self) -> Programme:
        down = np.concatenate(self.down)
        down[0] = False
        return Programme(
            np.concatenate(self.points),
            down,
            np.concatenate(self.sharp),
            np.concatenate(self.letter),
            tuple(self.keys),
        )


# fmt: off
ONSETS = ["b", "c", "d", "f", "g", "h", "j", "k", "l", "l", "m", "m", "n", "n", "p", "qu", "r", "r",
          "s", "s", "t", "t", "v", "w", "y", "z", "br", "ch", "dr", "gr", "kr", "pr", "sh", "st",
          "th", "tr"]
NUCLEI = ["a", "a", "a", "e", "e", "i", "o", "o", "u", "ai", "ea", "ie", "oo", "ou"]
# fmt: on
CODAS = ["", "", "", "l", "m", "n", "n", "r", "s", "t", "nd", "ck", "ll", "rt", "x", "ng", "y"]


def _invented_name(rng: np.random.Generator) -> str:
    count = rng.choice([1, 2, 3], p=[0.3, 0.5, 0.2])
    syllables = (rng.choice(ONSETS) + rng.choice(NUCLEI) for _ in range(count))
    return ("".join(syllables) + rng.choice(CODAS))[:10]


@dataclass(frozen=True)
class Alphabet:
    """What the characters of an alphabet that does not exist have in common."""

    targets: int  # at least so many a character
    width: float
    levels: tuple[float, ...]  # heights at which strokes begin and end
    corners: float  # shares of sharp turns, of lifts inside a character, of dotted characters
    lifts: float
    dots: float


def _draw_alphabet(rng: np.random.Generator) -> Alphabet:
    levels = [0.0, 3.0, 6.0, 10.0]
    levels += [18.0] if rng.random() < 0.5 else []
    levels += [-8.0] if rng.random() < 0.5 else []
    return Alphabet(
        targets=int(rng.integers(2, 5)),
        width=rng.uniform(6, 14),
        levels=tuple(levels),
        corners=rng.choice([0.05, 0.3, 0.7]),
        lifts=rng.choice([0.0, 0.1, 0.35]),
        dots=rng.choice([0.0, 0.15, 0.4]),
    )


def _draw_glyph(rng: np.random.Generator, alphabet: Alphabet) -> Glyph:
    count = alphabet.targets + int(rng.integers(0, 4))
    width = alphabet.width * rng.uniform(0.6, 1.3)
    points = [(rng.uniform(0, 0.4) * width, rng.choice(alphabet.levels))]
    sharp, starts = [False], [True]
    for step in range(count):
        for _ in range(8):  # a few tries for a stroke of some length
            x = rng.uniform(0, width) if step < count - 1 else width
            y = rng.choice(alphabet.levels) + rng.normal(0, 0.7)
            if np.hypot(x - points[-1][0], y - points[-1][1]) > 4.5:
                break
        points.append((x, y))
        sharp.append(rng.random() < alphabet.corners)
        starts.append(step > 0 and not starts[-1] and rng.random() < alphabet.lifts)
    if rng.random() < alphabet.dots:
        x, y = rng.uniform(0.2, 0.8) * width, rng.choice([-5.0, 15.0])
        points += [(x, y), (x + 0.8, y - 0.5)]
        sharp += [False, False]
        starts += [True, False]
    return _glyph(points, sharp, starts)


@dataclass(frozen=True)
class Lettering:
    """How somebody puts characters together."""

    printed: bool
    join: float  # how often a character is joined to the next one
    gap: float
    narrow: float
    fade: float  # how much words flatten towards their end
    haste: float  # share of targets left out
    late: bool  # dots and bars after the word, or with their character


def _draw_lettering(rng: np.random.Generator) -> Lettering:
    printed = bool(rng.random() < 0.3)
    return Lettering(
        printed=printed,
        join=rng.choice([0.75, 0.95, 1.0]),
        gap=rng.uniform(0.15, 0.55) if printed else rng.uniform(-0.1, 0.3),
        narrow=rng.uniform(0.75, 1.25),
        fade=0.0 if rng.random() < 0.55 else rng.uniform(0.2, 0.8),
        haste=0.0 if rng.random() < 0.5 else rng.uniform(0.05, 0.4),
        late=bool(rng.random() < 0.7),
    )


def _without(glyph: Glyph, share: float, rng: np.random.Generator) -> Glyph:
    """Leave out a share of the targets, never a component's first or last one."""
    inner = ~glyph.starts & ~np.append(glyph.starts[1:], True)
    keep = ~(inner & (rng.random(len(inner)) < share))
    return Glyph(glyph.points[keep], glyph.sharp[keep], glyph.starts[keep], glyph.advance)


def _write_word(
    composer: _Composer,
    rng: np.random.Generator,
    lettering: Lettering,
    word: list[tuple[str, Glyph, float]],
    x: float,
    y: float = 0.0,
) -> float:
    """Place a word of (key, glyph, height) from (x, y) on; returns where it ends."""
    late = []
    joined = False
    for place, (key, whole, height) in enumerate(word):
        glyph = _without(whole, lettering.haste if place else 0.0, rng)
        breaks = np.flatnonzero(glyph.starts[1:]) + 1
        main = int(breaks[0]) if len(breaks) else len(glyph.points)
        # Printed letters have no way out to the next one.
        stop = main - 1 if lettering.printed and main > 3 else main
        fade = 1 - lettering.fade * place / max(len(word), 4)
        scale = height * lettering.narrow, height * fade
        composer.add(key, glyph, x, y, *scale, part=slice(0, stop), join=joined)
        joined = not lettering.printed and rng.random() < lettering.join
        if len(breaks):
            rest = partial(composer.add, key, glyph, x, y, *scale, part=slice(main, None))
            if lettering.late:
                late.append(rest)
            else:
                rest()
                joined = False
        x += glyph.advance / 10 * scale[0] + lettering.gap
    for rest in late:
        rest()
    return x


def _write_latin(composer: _Composer, rng: np.random.Generator) -> None:
    lettering = _draw_lettering(rng)
    capital = rng.uniform(0.75, 1.5) * (1.5 if rng.random() < 0.15 else 1.0)
    form = rng.choice(["N", "NN", "IN", "IIN", "NIN"], p=[0.25, 0.35, 0.2, 0.1, 0.1])
    stops = rng.random() < 0.6
    block = lettering.printed and rng.random() < 0.2
    second_line = len(form) > 1 and rng.random() < 0.08
    x = y = 0.0
    for place, part in enumerate(form):
        text = _invented_name(rng)
        word = [(text[0].upper(), _parse(CAPITAL[text[0].upper()]), capital)]
        if part == "N" and block:
            word += [(c.upper(), _parse(CAPITAL[c.upper()]), 0.6 * capital) for c in text[1:]]
        elif part == "N":
            word += [(c, _parse(SMALL[c]), 1.0) for c in text[1:]]
        if second_line and place == len(form) - 1:
            x, y = rng.uniform(-0.2, 0.5) * x, -rng.uniform(2.2, 3.2)
        x = _write_word(composer, rng, lettering, word, x, y)
        if part == "I" and stops:
            composer.add("stop", _parse(INITIAL_STOP), x, y)
            x += 0.3
        x += rng.uniform(0.2, 1.2)


def _write_hanging(composer: _Composer, rng: np.random.Generator) -> None:
    headline = rng.choice(["word", "letter", "none"], p=[0.45, 0.35, 0.2])
    gap = rng.uniform(0.05, 0.4)
    size = rng.uniform(1.1, 1.6)
    haste = 0.0 if rng.random() < 0.6 else rng.uniform(0.05, 0.25)

    def place(key: str, text: str, width: float = 1.0) -> float:
        glyph = _without(_parse(text), haste, rng)
        composer.add(key, glyph, x, 0, size * width, size)
        return max(glyph.advance, 0) / 10 * size

    x = 0.0
    for _ in range(rng.choice([1, 2, 3], p=[0.15, 0.7, 0.15])):
        start = x
        for _ in range(rng.integers(2, 6)):
            key = rng.choice(list(HANGING))
            width = place(key, HANGING[key])
            if headline == "letter":
                place("head", "-1,10 9,10.3", width / size + 0.6 * gap)
            x += width + gap
            if rng.random() < 0.55:
                key = rng.choice(list(SIGNS), p=[0.3, 0.15, 0.15, 0.15, 0.1, 0.1, 0.05])
                width = place(key, SIGNS[key])
                x += width + gap if key in ("s0", "s1", "s3") else 0
        if headline == "word":
            x, end = start - 0.2, x
            place("headline", "0,10 10,10.4", (end - start + 0.2) / size)
            x = end
        x += rng.uniform(0.5, 1.4)


def _write_invented(composer: _Composer, rng: np.random.Generator) -> None:
    alphabet = _draw_alphabet(rng)
    characters = [(f"x{number}", _draw_glyph(rng, alphabet)) for number in range(10)]
    lettering = _draw_lettering(rng)
    leftwards = rng.random() < 0.3
    x = 0.0
    for _ in range(rng.choice([1, 2, 3], p=[0.4, 0.45, 0.15])):
        first = rng.choice([1.0, 1.6])
        word = [
            (*characters[chosen], 1.0 if place else first)
            for place, chosen in enumerate(rng.integers(0, 10, rng.integers(2, 7)))
        ]
        x = _write_word(composer, rng, lettering, word, x) + rng.uniform(0.3, 1.0)
    if leftwards:
        composer.points = [points * (-1, 1) for points in composer.points]


def _scribble(rng: np.random.Generator) -> Glyph:
    """Loops or zigzags that travel, grow and shrink."""
    periods = rng.uniform(1.5, 6)
    count = int(periods * 4) + 2
    along = np.linspace(0, 1, count)
    phase = along * periods * 2 * np.pi + rng.uniform(0, 2 * np.pi)
    envelope = np.exp(-rng.uniform(-0.6, 2.5) * along)
    tall, wide = rng.uniform(6, 22), rng.uniform(1, 12)
    x = rng.uniform(5, 14) * periods * along ** rng.uniform(0.7, 1.4)
    x += wide * envelope * np.cos(phase)
    y = 6 + rng.choice([-1, 1]) * tall * envelope * np.sin(phase)
    y += (rng.random() < 0.3) * rng.uniform(-10, 10) * along
    points = np.column_stack([x - x.min(), y]) + rng.normal(0, 1.5, (count, 2))
    sharp = rng.random(count) < rng.choice([0.0, 0.25])
    return _glyph(points, sharp, np.arange(count) == 0)


def _write_scribble(composer: _Composer, rng: np.random.Generator) -> None:
    for part in range(rng.integers(1, 4)):
        start = composer.box()[1, 0] * rng.uniform(0.3, 0.9) if part else 0
        composer.add(f"scribble{part}", _scribble(rng), start, 0, join=rng.random() < 0.3)


def _write_initial_and_scribble(composer: _Composer, rng: np.random.Generator) -> None:
    capital = rng.choice(list(CAPITAL))
    composer.add(capital, _parse(CAPITAL[capital]), 0, 0, *rng.uniform(0.9, 1.8, 2))
    x = composer.box()[1, 0] * rng.uniform(0.7, 1.0)
    composer.add("scribble", _scribble(rng), x, 0, 1, 0.7, join=rng.random() < 0.6)


# Strokes under, through or around a signature, in tenths of its width and height.
PARAPHS = (
    "0,0 5,0.6 10,1",
    "10,0 1,-1! 9,-2.5",
    "10,3 12,0 5,-2 0,-2! 11,-3",
    "9,1 11,-1 5,-3 0,-1 2,1 6,-1 13,1",
    "10,1 3,-3 -1,0 0,8 6,11 12,8 11,0 6,-3",
    "-1,7 5,8 11,9",
    "10,2 13,5 11,9 7,4 3,-3 0,-1 13,-1",
    "3,-1 6,17 7,15 4,-2",
)
JOINED_PARAPHS = PARAPHS[1:4] + PARAPHS[6:7]  # those that start where a name ends


def _write_paraph(composer: _Composer, rng: np.random.Generator) -> None:
    (left, bottom), (right, top) = composer.box()
    width, height = right - left, max(top - bottom, 1.0)
    join = False
    if rng.random() < 0.35:
        x = np.sort(rng.uniform(-1, 12, rng.integers(3, 6)))[:: rng.choice([-1, 1])]
        x[1:] += rng.normal(0, 5, len(x) - 1)
        points = np.column_stack([x, rng.uniform(-4, 9, len(x))])
        glyph = _glyph(points, rng.random(len(x)) < 0.3, np.arange(len(x)) == 0)
    else:
        text = PARAPHS[rng.integers(len(PARAPHS))]
        glyph = _parse(text)
        join = text in JOINED_PARAPHS and rng.random() < 0.5
    shrink = rng.uniform(0.6, 1.1)
    composer.add(
        "paraph",
        glyph,
        left + rng.uniform(0, 1 - min(shrink, 1)) * width,
        min(bottom, 0) - rng.uniform(-0.2, 0.4),
        width * shrink,
        height * rng.uniform(0.6, 1.1),
        join=join,
    )


# name: (how to write it, share of writers, how often a paraph follows)
SCRIPTS = {
    "latin": (_write_latin, 0.42, 0.3),
    "hanging": (_write_hanging, 0.24, 0.06),
    "invented": (_write_invented, 0.14, 0.2),
    "scribble": (_write_scribble, 0.07, 0.35),
    "initial": (_write_initial_and_scribble, 0.13, 0.4),
}
SIZE, STRETCH = 3.8, 1.05  # the usual height of a small letter in millimetres, its widening


def _draw_programme(rng: np.random.Generator) -> Programme:
    composer = _Composer()
    shares = [share for _, share, _ in SCRIPTS.values()]
    write, _, paraphs = SCRIPTS[rng.choice(list(SCRIPTS), p=shares)]
    write(composer, rng)
    if rng.random() < paraphs:
        _write_paraph(composer, rng)
    return composer.programme()


def _draw_hand(rng: np.random.Generator, seed: tuple[int, ...]) -> Hand:
    return Hand(
        seed=seed,
        size=SIZE * np.exp(rng.normal(0, 0.25)),
        stretch=STRETCH * np.exp(rng.normal(0, 0.22)),
        slant=rng.normal(0.18, 0.25),
        slope=rng.normal(0.04, 0.06) + (rng.random() < 0.03) * 0.5,
        arch=rng.normal(0, 0.03),
        roundness=min(1.0, rng.uniform(0.6, 1.2)),
        overlap=rng.uniform(0.25, 0.6),
        skew=rng.uniform(0.2, 0.4),
        unsteadiness=1.1 * np.exp(rng.normal(0, 0.35)),
        tremor=rng.uniform(0.005, 0.03),
    )


def _personal_shapes(programme: Programme, hand: Hand) -> np.ndarray:
    """How far a hand's own characters lie from the plain ones: displacements (N, 2)."""
    shift = np.zeros_like(programme.points)
    for number, key in enumerate(programme.keys):
        chosen = programme.letter == number
        points = programme.points[chosen]
        rng = np.random.default_rng([*hand.seed, zlib.crc32(key.encode())])
        around = points - points.mean(0)
        bend = rng.normal(0, 0.13, (2, 2))
        extent = np.hypot(*np.ptp(points, axis=0))
        noise = rng.normal(0, 0.06, (len(points), 2)) * min(extent, 3.0)
        shift[chosen] = around @ bend + noise
    return shift


# --------------------------------------------------------------------------------------------------
# Variation: what a hand makes of the programme
# --------------------------------------------------------------------------------------------------


def _relaid(points: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Change the layout as a whole: where along the line the room goes, whether writing grows or
    shrinks along it, and how far letters reach above and below."""
    x, y = points.T
    width = max(np.ptp(x), 1e-6)
    along = (x - x.min()) / width
    waves = np.arange(1, 4)
    shift = np.sin(np.pi * along[:, None] * waves) @ (rng.normal(0, 0.032, 3) / waves)
    above, below, growth = np.exp(rng.normal(0, (0.10, 0.12, 0.12)) * amount)
    y = np.clip(y, 0, 1) + np.maximum(y - 1, 0) * above + np.minimum(y, 0) * below
    return np.column_stack([x + amount * width * shift, y * growth ** (2 * along - 1)])


def _disturbed(
    points: np.ndarray, letter: np.ndarray, rng: np.random.Generator, amount: float
) -> np.ndarray:
    """Displace targets as an imprecise hand does: the layout, each character's place, size and
    tilt, then targets one by one, those of long strokes more."""
    points = _relaid(points, rng, amount)
    first = np.flatnonzero(np.diff(letter, prepend=-1))
    low, high = np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)
    centre, extent = (low + high) / 2, np.hypot(*(high - low).T) + 0.3
    # What is large is displaced more, and tilted less.
    offset = rng.normal(0, 0.065, (len(first), 2)) * (amount * extent**0.6)[:, None]
    scale = np.exp(rng.normal(0, 0.06, (len(first), 2)) * amount)
    tilt = rng.normal(0, 0.05, len(first)) * amount / np.maximum(extent / 2, 1)
    around = (points - centre[letter]) * scale[letter]
    turned = around + tilt[letter, None] * around[:, ::-1] * (-1, 1)
    steps = np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=1)
    reach = np.minimum(steps + np.append(steps[1:], 0), 8.0) / 2
    white = rng.normal(0, 1, (len(points) + 2, 2))
    noise = (white[:-2] + white[1:-1] + white[2:]) / np.sqrt(3)
    noise = 0.6 * noise + 0.4 * white[1:-1]
    return centre[letter] + offset[letter] + turned + noise * (0.036 * amount * reach**0.7)[:, None]


def _vary_hand(hand: Hand, rng: np.random.Generator, amount: float) -> Hand:
    return replace(
        hand,
        size=hand.size * np.exp(rng.normal(0, 0.06) * amount),
        stretch=hand.stretch * np.exp(rng.normal(0, 0.06) * amount),
        slant=hand.slant + rng.normal(0, 0.06) * amount,
        slope=hand.slope + rng.normal(0, 0.025) * amount,
        arch=hand.arch + rng.normal(0, 0.012) * amount,
        overlap=float(np.clip(hand.overlap + rng.normal(0, 0.04) * amount, 0.05, 0.7)),
    )


def _slipped(programme: Programme, rng: np.random.Generator, rate: float) -> Programme:
    """What goes otherwise than intended, by chance: the pen is lifted between two characters or
    drawn along where it should have been lifted; among short strokes, a corner is
    rounded, a curve broken or a target left out."""
    letter, sharp, down = programme.letter, programme.sharp, programme.down
    way = np.linalg.norm(np.diff(programme.points, axis=0, prepend=programme.points[:1]), axis=1)
    entering = np.diff(letter, prepend=letter[0]) != 0
    chance = rng.random((3, len(letter))) < np.array([[2], [1], [1]]) * rate
    down = down ^ (entering & chance[0] & (down | (way < 1)))
    small = np.maximum(way, np.append(way[1:], 0)) < 1.5
    sharp = np.where(chance[1] & small, 1 - sharp, sharp)
    inside = down & np.append(down[1:], False) & ~entering & ~np.append(entering[1:], True)
    keep = ~(inside & small & chance[2])
    return Programme(programme.points[keep], down[keep], sharp[keep], letter[keep], programme.keys)


def _placed(points: np.ndarray, hand: Hand) -> np.ndarray:
    """Targets in small-letter heights to millimetres on the paper, y upwards."""
    x, y = points[:, 0] * hand.stretch, points[:, 1]
    x = x + hand.slant * y
    width = max(np.ptp(x), 1e-6)
    across = (x - x.min()) / width * 2 - 1
    y = y + hand.arch * width * across**2
    cos, sin = np.cos(hand.slope), np.sin(hand.slope)
    return np.column_stack([cos * x - sin * y, sin * x + cos * y]) * hand.size


@dataclass(frozen=True)
class Writer:
    """A virtual writer: the programme with the writer's own shapes in it, and the hand."""

    programme: Programme
    hand: Hand
    shapes: np.ndarray


def _draw_writer_model(seed: int, index: int) -> Writer:
    rng = np.random.default_rng([seed, index, 0])
    plain = _draw_programme(rng)
    hand = _draw_hand(rng, (seed, index, 1))
    shapes = _personal_shapes(plain, hand)
    return Writer(replace(plain, points=plain.points + shapes), hand, shapes)


def _intended(
    writer: Writer, session: np.random.Generator, rng: np.random.Generator
) -> tuple[np.ndarray, Hand]:
    """Targets (N, 2) and hand of one genuine specimen: the day's variation, then the moment's."""
    amount, letter = writer.hand.unsteadiness, writer.programme.letter
    points, hand = writer.programme.points, writer.hand
    for generator, share in ((session, 0.6), (rng, 0.85)):
        points = _disturbed(points, letter, generator, share * amount)
        hand = _vary_hand(hand, generator, share * amount)
    return points, hand


def _specimen(
    writer: Writer, session: np.random.Generator, rng: np.random.Generator
) -> tuple[Programme, Hand]:
    """One genuine specimen."""
    points, hand = _intended(writer, session, rng)
    return _slipped(replace(writer.programme, points=points), rng, 0.03), hand


@dataclass(frozen=True)
class Forger:
    """Somebody who imitates one writer, from ``seen`` specimens.

    ``care`` in 0..1 trades likeness for fluency: a careful forger keeps the proportions, and pays
    with a slow line that shakes and is taken up again.
    """

    hand: Hand
    shapes: np.ndarray
    skill: float
    care: float
    seen: tuple[tuple[np.ndarray, Hand], ...]  # targets and hand of each


def _draw_forger(writer: Writer, seed: int, index: int, number: int, skill: float | None) -> Forger:
    rng = np.random.default_rng([seed, index, 2, number])
    hand = _draw_hand(rng, (seed, index, 3, number))
    skill = float(rng.beta(2.0, 3.6)) if skill is None else skill
    care = float(rng.random())
    seen = tuple(_intended(writer, rng, rng) for _ in range(rng.integers(1, 4)))
    return Forger(hand, _personal_shapes(writer.programme, hand), skill, care, seen)


def _taken_up_again(programme: Programme, rng: np.random.Generator, rate: float) -> Programme:
    """The pen is lifted inside a line, by chance, and set down again nearby."""
    inside = programme.down & np.append(programme.down[1:], False)
    lifted = inside & (rng.random(len(inside)) < rate)
    order = np.repeat(np.arange(len(inside)), 1 + lifted)
    again = np.diff(order, prepend=-1) == 0
    aside = again[:, None] * rng.normal(0, 0.13, (len(order), 2))
    return Programme(
        programme.points[order] + aside,
        programme.down[order] & ~again,
        programme.sharp[order],
        programme.letter[order],
        programme.keys,
    )


def _redrawn(programme: Programme, rng: np.random.Generator, rate: float) -> Programme:
    """Lines drawn backwards, by chance: an image does not show where a stroke began."""
    order = np.arange(len(programme.down))
    for line in np.split(order, np.flatnonzero(~programme.down)[1:]):
        if rng.random() < rate:
            order[line] = line[::-1]
    return replace(
        programme,
        points=programme.points[order],
        sharp=programme.sharp[order],
        letter=programme.letter[order],
    )


def _towards(own: float, other: float, weight: float) -> float:
    return own + weight * (other - own)


def _forgery(forger: Forger, writer: Writer, rng: np.random.Generator) -> tuple[Programme, Hand]:
    """One skilled forgery: a specimen as seen, misjudged, in the forger's own movements."""
    error = float(np.clip(1 - forger.skill + rng.normal(0, 0.08), 0.02, 1))
    seen, model = forger.seen[rng.integers(len(forger.seen))]
    own, letter = forger.hand, writer.programme.letter
    points = seen + (0.15 + 0.85 * error) * (forger.shapes - writer.shapes)
    # What a forger misjudges once is misjudged in every forgery; the rest is the moment's.
    misjudged = np.random.default_rng([*own.seed, 7])
    points = _disturbed(points, letter, misjudged, 0.3 + (3.0 - 1.6 * forger.care) * error)
    points = _disturbed(points, letter, rng, 0.6 + 0.7 * error)
    # Errors alone would make a forgery larger than what was seen: nobody is that one-sided.
    aspect = np.exp(misjudged.normal(0, 0.1 * error))
    points = points * (np.ptp(seen, axis=0) / np.ptp(points, axis=0)) * (aspect, 1 / aspect)

    def mixed(usual: float, of_model: float, of_own: float) -> float:
        # Shares whose squares add up to one: over all writers, sizes spread as genuine ones do.
        share = 0.4 * error
        return usual * (of_model / usual) ** np.sqrt(1 - share**2) * (of_own / usual) ** share

    hand = replace(
        own,
        size=mixed(SIZE, model.size, own.size),
        stretch=mixed(STRETCH, model.stretch, own.stretch),
        slant=_towards(model.slant, own.slant, 0.75 * error),
        slope=_towards(model.slope, own.slope, 0.6 * error),
        arch=_towards(model.arch, own.arch, 0.6 * error),
        roundness=_towards(model.roundness, own.roundness, error),
        overlap=max(0.08, _towards(model.overlap, 0.15, 0.15 + (0.3 + 0.5 * forger.care) * error)),
        tremor=own.tremor + 0.01 + 0.2 * forger.care * error * rng.uniform(0.4, 1),
    )
    hand = _vary_hand(hand, rng, 0.8)
    programme = replace(writer.programme, points=points)
    programme = _slipped(programme, misjudged, 0.15 * error)
    programme = _slipped(programme, rng, 0.03 + 0.04 * error)
    programme = _taken_up_again(programme, rng, 0.08 * forger.care * error)
    return _redrawn(programme, rng, 0.25 * error), hand


# --------------------------------------------------------------------------------------------------
# Movement: the sigma-lognormal model
# --------------------------------------------------------------------------------------------------

SAMPLES_A_STROKE = 24
TREMOR_SAMPLES = 3.0


@dataclass(frozen=True)
class Movement:
    """The pen over time: position (T, 2) in millimetres, speed (T,) relative to the specimen's own
    median on paper, and whether it touches the paper (T,)."""

    position: np.ndarray
    speed: np.ndarray
    down: np.ndarray


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _move(
    targets: np.ndarray, down: np.ndarray, sharp: np.ndarray, hand: Hand, rng: np.random.Generator
) -> Movement:
    """Move the pen through ``targets`` (N, 2): stroke i runs from target i to i + 1.

    Position is the sum of the strokes' displacements, each along a smooth arc at the pace of a
    lognormal (after Plamondon and Djioua 2006); a stroke starts before the last one has ended, so
    that targets are passed by rather than reached.
    """
    chord = np.diff(targets, axis=0)
    length = np.maximum(np.hypot(chord[:, 0], chord[:, 1]), 1e-3)
    heading = np.arctan2(chord[:, 1], chord[:, 0])
    drawn = down[1:]

    # The path's direction at inner targets: that of the neighbours' connection, longer chords
    # counting less, as a smooth hand would take it; none where the pen stops or is in the air.
    pull = chord / length[:, None] ** 1.5
    onwards = pull[:-1] + pull[1:]
    tangent = np.arctan2(onwards[:, 1], onwards[:, 0])
    tangent += rng.normal(0, 0.08, len(tangent))
    through = drawn[:-1] & drawn[1:]
    smooth = hand.roundness * (1 - sharp[1:-1]) * through
    leave, arrive = np.zeros(len(chord)), np.zeros(len(chord))
    leave[1:] = np.clip(_wrapped(tangent - heading[1:]) * smooth, -2.2, 2.2)
    arrive[:-1] = np.clip(_wrapped(tangent - heading[:-1]) * smooth, -2.2, 2.2)

    # Longer strokes take longer, but far less than in proportion (isochrony).
    duration = (0.5 + length) ** 0.4 * np.exp(rng.normal(0, 0.08, len(length)))
    overlap = hand.overlap * np.where(through, 1 - 0.6 * sharp[1:-1], 0.4)
    onset = np.concatenate([[0.0], np.cumsum(duration[:-1] * (1 - overlap))])
    step = np.median(duration) / SAMPLES_A_STROKE
    first = np.round(onset / step).astype(int)

    # A stroke's lognormal, cut at three sigma: logarithmic time runs from -3 to 3.
    samples = int(np.ceil(duration.max() / step)) + 1
    share = np.minimum(np.arange(samples + 1) * step / duration[:, None], 1.0)
    low, high = np.exp(-3 * hand.skew), np.exp(3 * hand.skew)
    z = np.log(low + share * (high - low)) / hand.skew
    done = 0.5 * (1 + erf(z / np.sqrt(2)) / erf(3 / np.sqrt(2)))

    # Cubic curves instead of circular arcs, so that strokes meet without a kink; the speed at
    # either end is the one that makes a symmetric one nearly circular.
    out, into = (
        length * np.array([np.cos(heading + turn), np.sin(heading + turn)]) / np.cos(turn / 2) ** 2
        for turn in (leave, arrive)
    )
    whole = done**2 * (3 - 2 * done)
    begin, end = done * (1 - done) ** 2, done**2 * (done - 1)
    x, y = (
        out[axis][:, None] * begin + chord[:, axis, None] * whole + into[axis][:, None] * end
        for axis in (0, 1)
    )
    when = (first[:, None] + np.arange(1, samples + 1)).ravel()
    total = int(when.max()) + 1
    velocity = np.column_stack(
        [np.bincount(when, np.diff(axis, axis=1).ravel(), minlength=total) for axis in (x, y)]
    )
    position = np.cumsum(velocity, axis=0)

    # The pen goes down or up early in a stroke, while the last one runs out.
    middle = first + np.round(0.1 * duration / step).astype(int)
    stroke = np.searchsorted(middle, np.arange(total), side="right") - 1
    touching = drawn[np.maximum(stroke, 0)]
    # A hand knows how much its overlapping strokes fall short of their targets, and reaches
    # further: what is drawn has the extent of what was meant, fluent or not.
    meant = np.ptp(targets[down | np.append(down[1:], False)], axis=0)
    position *= meant / np.maximum(np.ptp(position[touching], axis=0), 1e-3)
    shake = ndimage.gaussian_filter1d(rng.normal(0, 1, (total, 2)), TREMOR_SAMPLES, axis=0)
    shake *= np.sqrt(2 * np.sqrt(np.pi) * TREMOR_SAMPLES)  # back to a deviation of one
    speed = ndimage.gaussian_filter1d(np.hypot(velocity[:, 0], velocity[:, 1]), 2.0)
    usual = max(np.median(speed[touching]), 1e-9)
    return Movement(position + hand.tremor * shake, speed / usual, touching)


# --------------------------------------------------------------------------------------------------
# Ink, paper, scanner: none of it knows who wrote
# --------------------------------------------------------------------------------------------------


class Pen(NamedTuple):
    """How a pen marks; speed counts in relation to the specimen's own."""

    width: float  # millimetres, the usual one
    spread: float  # of widths, logarithmic
    thinning: float  # with speed
    darkness: float
    fading: float  # with speed
    edge: float  # how much wider across a nib's edge than along it


PENS = (  # ballpoint, gel, felt, fountain
    Pen(0.36, 0.15, 0.10, 0.82, 0.22, 0.0),
    Pen(0.42, 0.15, 0.12, 0.95, 0.06, 0.0),
    Pen(0.65, 0.20, 0.15, 0.97, 0.05, 0.0),
    Pen(0.52, 0.18, 0.32, 0.92, 0.15, 0.35),
)
PEN_SHARES = (0.52, 0.22, 0.1, 0.16)
FINISHES = ("gray", "whitened", "binary")
FINISH_SHARES = (0.4, 0.3, 0.3)


def _ink(movement: Movement, resolution: float, rng: np.random.Generator) -> np.ndarray:
    """Rasterise the movement: ink between 0 and 1, float32 (H, W), at ``resolution`` pixels/mm."""
    pen = PENS[rng.choice(len(PENS), p=PEN_SHARES)]
    width = pen.width * np.exp(rng.normal(0, pen.spread)) * resolution
    nib = rng.uniform(0, np.pi)

    position = movement.position * (resolution, -resolution)
    travelled = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(position, axis=0).T))])
    # A pen that rests still leaves a dot: the tiny slope keeps every sample at its own distance.
    travelled = travelled + np.arange(len(travelled)) * 1e-6
    at = np.arange(0, travelled[-1], 0.6)
    index = np.searchsorted(travelled, at).clip(1, len(travelled) - 1)
    keep = movement.down[index]
    at, index = at[keep], index[keep]
    x, y = (np.interp(at, travelled, position[:, axis]) for axis in (0, 1))
    speed = np.interp(at, travelled, movement.speed)

    # How slow the pen is, of mean 0 and one spread in every specimen: a hand that is slow or uneven
    # throughout leaves neither broader nor more uneven lines than another.
    slow = 1 / (1 + speed)
    slow = 0.35 * (slow - slow.mean()) / max(slow.std(), 1e-6)
    way = np.arctan2(*(position[index] - position[index - 1]).T[::-1])
    across = np.abs(np.sin(way - nib)) - 2 / np.pi  # of mean 0 over all directions
    radius = width / 2 * (1 + pen.thinning * slow) * (1 + pen.edge * across)
    dark = np.clip(pen.darkness * (1 + pen.fading * slow), 0.15, 1).astype(np.float32)

    margin = 2 + int(np.ceil(radius.max()))
    left, top = np.floor(x.min()) - margin, np.floor(y.min()) - margin
    x, y = x - left, y - top
    shape = int(y.max()) + margin + 2, int(x.max()) + margin + 2

    reach = np.arange(-margin + 1, margin)
    dy, dx = (offset.ravel() for offset in np.meshgrid(reach, reach, indexing="ij"))
    near = np.hypot(dx, dy) < radius.max() + 1.3
    dy, dx = dy[near], dx[near]
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    away = np.hypot(
        (x - column).astype(np.float32)[:, None] - dx.astype(np.float32),
        (y - row).astype(np.float32)[:, None] - dy.astype(np.float32),
    )
    value = np.clip(radius.astype(np.float32)[:, None] + 0.5 - away, 0, 1) * dark[:, None]
    place = (row * shape[1] + column)[:, None] + (dy * shape[1] + dx)
    canvas = np.zeros(shape[0] * shape[1], np.float32)
    np.maximum.at(canvas, place.ravel(), value.ravel())
    return canvas.reshape(shape)


def _scan(ink: np.ndarray, resolution: float, rng: np.random.Generator) -> np.ndarray:
    """Ink (H, W) on a random paper under a random scanner: uint8 (H', W'), paper bright."""
    margins = (rng.gamma(2.0, 1.2, 4) + 0.3) * resolution
    top, bottom, left, right = margins.astype(int)
    ink = np.pad(ink, ((top, bottom), (left, right)))
    height, width = ink.shape
    paper = rng.uniform(205, 254)
    finish = rng.choice(FINISHES, p=FINISH_SHARES)
    grain = rng.uniform(0, 0.35)
    noise = rng.exponential(1.2)
    blur = rng.uniform(0.35, 0.85)
    gradient = rng.normal(0, 3, 2)
    black = rng.uniform(10, 80)
    quality = int(rng.integers(55, 96)) if rng.random() < 0.5 else None

    fibre = rng.standard_normal((height // 2 + 1, width // 2 + 1), dtype=np.float32)
    fibre = np.repeat(np.repeat(fibre, 2, 0), 2, 1)[:height, :width]
    ink = ink * (1 - grain * np.clip(fibre, 0, 2) * 0.5)
    ink = ndimage.gaussian_filter(ink, blur, truncate=2.5)
    shade = paper + np.linspace(-1, 1, width, dtype=np.float32) * gradient[0]
    shade = shade + np.linspace(-1, 1, height, dtype=np.float32)[:, None] * gradient[1]
    gray = shade - ink * (paper - black)
    if finish == "gray":
        gray = gray + noise * rng.standard_normal((height, width), dtype=np.float32)
        gray = gray + 0.5 * noise * fibre
    elif finish == "whitened":
        gray = (gray - black) / (paper - 12 - black) * 255
    else:
        # Halfway to the strokes' cores, so that a pale pen leaves whole strokes too.
        gray = np.where(ink > 0.5 * np.quantile(ink[ink > 0.05], 0.8), 0, 255)
    image = np.clip(np.round(gray), 0, 255).astype(np.uint8)
    if quality and finish != "binary":
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        image = np.asarray(Image.open(buffer))
    return image


def _image(
    programme: Programme, hand: Hand, rng: np.random.Generator, ink_rng: np.random.Generator
) -> np.ndarray:
    """The scan of what ``hand`` makes of ``programme``: uint8 (H, W)."""
    targets = _placed(programme.points, hand)
    movement = _move(targets, programme.down, programme.sharp, hand, rng)
    resolution = ink_rng.uniform(4.0, 7.0)  # 115 to 190 dots an inch
    return _scan(_ink(movement, resolution, ink_rng), resolution, ink_rng)


# --------------------------------------------------------------------------------------------------
# Writers as arrays
# --------------------------------------------------------------------------------------------------

SPECIMENS_A_SESSION = 8
FORGERIES_A_FORGER = 6


@dataclass(frozen=True)
class DrawnWriter:
    """One writer's images: uint8 (H, W), paper bright, each of its own size (or whatever
    ``prepare`` made of them); ``forgers`` names who forged, one for each forgery."""

    index: int
    genuine: list[np.ndarray]
    forgeries: list[np.ndarray]
    forgers: list[str]


def _check(skill: float | None, processes: int | None = None, **counts: tuple[int, int]) -> None:
    """Raise DeepSignError unless each count, named with its least value, and the skill are good."""
    if processes is not None:
        counts["processes"] = (processes, 1)
    for name, (value, least) in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise DeepSignError(f"{name} must be a whole number, at least {least}, not {value!r}.")
    if skill is not None and not 0 <= skill <= 1:
        raise DeepSignError(
            f"skill must lie between 0 (clumsy) and 1 (nearly perfect), not {skill!r}."
        )


def draw_writer(
    seed: int, index: int, genuine: int = 24, forgeries: int = 24, skill: float | None = None
) -> DrawnWriter:
    """Draw one virtual writer's genuine specimens and skilled forgeries.

    Writer ``index`` of ``seed`` is the same however many writers or images are drawn: more images
    continue the same series.

    Parameters
    ----------
    seed, index : int, at least 0
        Which world of writers, and which writer of it.
    genuine, forgeries : int
        How many images of each kind. A forger makes six forgeries; then the next one follows.
    skill : float in 0..1, optional
        Of every forger; drawn for each one if not given.

    Returns
    -------
    DrawnWriter
        Images uint8 (H, W), paper bright, sizes as scanned.

    Raises
    ------
    DeepSignError
        If a parameter is out of its range.
    """
    _check(skill, seed=(seed, 0), index=(index, 0), genuine=(genuine, 1), forgeries=(forgeries, 0))
    writer = _draw_writer_model(seed, index)
    images = []
    for number in range(genuine):
        session = np.random.default_rng([seed, index, 4, number // SPECIMENS_A_SESSION])
        rng = np.random.default_rng([seed, index, 5, number])
        ink_rng = np.random.default_rng([seed, index, 6, number])
        images.append(_image(*_specimen(writer, session, rng), rng, ink_rng))
    forged, forgers = [], []
    for number in range(forgeries):
        who = number // FORGERIES_A_FORGER
        if number % FORGERIES_A_FORGER == 0:
            forger = _draw_forger(writer, seed, index, who, skill)
        rng = np.random.default_rng([seed, index, 7, number])
        ink_rng = np.random.default_rng([seed, index, 8, number])
        forged.append(_image(*_forgery(forger, writer, rng), rng, ink_rng))
        forgers.append(f"{index + 1:04d}-{who + 1}")
    return DrawnWriter(index, images, forged, forgers)


def _in_processes(task: Callable, items: Iterable, processes: int | None) -> Iterator:
    """``task`` of each item, in order, by ``processes`` processes (all cores if None), few items
    ahead of the caller, so that results never pile up."""
    processes = processes or usable_processors()
    if processes == 1:
        yield from map(task, items)
        return
    items = iter(items)
    pool = worker_pool(processes)
    try:
        running = deque(pool.submit(task, item) for item in islice(items, 4 * processes))
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(task, item) for item in islice(items, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _drawn_and_prepared(index, seed, genuine, forgeries, skill, prepare) -> DrawnWriter:
    drawn = draw_writer(seed, index, genuine, forgeries, skill)
    if prepare is None:
        return drawn
    return replace(
        drawn,
        genuine=[prepare(image) for image in drawn.genuine],
        forgeries=[prepare(image) for image in drawn.forgeries],
    )


def draw_writers(
    writers: int | Iterable[int],
    genuine: int = 24,
    forgeries: int = 24,
    seed: int = 0,
    skill: float | None = None,
    processes: int | None = None,
    prepare: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[DrawnWriter]:
    """Draw many writers in parallel, in order, without touching the disk.

    Parameters
    ----------
    writers : int or iterable of int
        How many (indices 0, 1, ...), or which indices.
    genuine, forgeries, seed, skill
        As in `draw_writer`.
    processes : int, optional
        How many processes draw; all cores if not given. The images do not depend on it.
    prepare : callable, optional
        Applied to each image where it is drawn, for example to clean it to a small canvas; must be
        picklable.

    Yields
    ------
    DrawnWriter

    Raises
    ------
    DeepSignError
        If a parameter is out of its range.
    """
    indices = range(writers) if isinstance(writers, int) else writers
    _check(skill, processes, seed=(seed, 0), genuine=(genuine, 1), forgeries=(forgeries, 0))
    task = partial(
        _drawn_and_prepared,
        seed=seed,
        genuine=genuine,
        forgeries=forgeries,
        skill=skill,
        prepare=prepare,
    )
    return _in_processes(task, indices, processes)


# --------------------------------------------------------------------------------------------------
# Realism, measured
# --------------------------------------------------------------------------------------------------

AROUND = np.ones((3, 3), int)


def describe(image: np.ndarray) -> dict[str, float]:
    """Measure what a signature looks like, to set simulated ones beside real ones.

    Parameters
    ----------
    image : (H, W) uint8
        A gray image or a cleaned canvas; what is rarer of dark and bright is taken for the ink.

    Returns
    -------
    dict of float
        ``aspect`` and ``density`` of the ink's box (width by height, share of ink);
        ``stroke_width`` in pixels (twice the mean distance to the edge, on the skeleton) and
        ``stroke_share`` of the box's height; ``length`` of the skeleton in box heights;
        ``curvature``, the mean absolute curvature of the ink's edge times the box's height;
        ``ends`` and ``branches`` of the skeleton; ``pieces`` and ``holes`` of the ink.

    Raises
    ------
    DeepSignError
        If the image is blank.
    """
    if image.min() == image.max():
        raise DeepSignError("The image is blank: there is no ink to describe.")
    ink = image <= threshold_otsu(image)
    ink = ink if ink.mean() <= 0.5 else ~ink
    labels, _ = ndimage.label(ink, AROUND)
    area = np.bincount(labels.ravel())
    speck = area < max(6, 0.002 * area[1:].sum())
    speck[0] = True
    ink = ~speck[labels]
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 4)
    height, width = ink.shape[0] - 8, ink.shape[1] - 8

    skeleton = skeletonize(ink)
    neighbours = ndimage.convolve(skeleton.astype(int), AROUND, mode="constant") - 1
    to_edge = ndimage.distance_transform_edt(ink)[skeleton].mean()
    smooth = ndimage.gaussian_filter(ink.astype(float), max(1.5, height / 60))
    dy, dx = np.gradient(smooth)
    steep = np.hypot(dx, dy) + 1e-9
    curvature = np.gradient(dx / steep, axis=1) + np.gradient(dy / steep, axis=0)
    edge = ink & (ndimage.uniform_filter(ink.astype(float), 3) < 0.99)
    pieces = ndimage.label(ink, AROUND)[1]
    return {
        "aspect": width / height,
        "density": ink.sum() / (width * height),
        "stroke_width": 2 * to_edge - 1,
        "stroke_share": (2 * to_edge - 1) / height,
        "length": skeleton.sum() / height,
        "curvature": float(np.abs(curvature[edge]).mean() * height),
        "ends": float((skeleton & (neighbours == 1)).sum()),
        "branches": float(ndimage.label(skeleton & (neighbours >= 3), AROUND)[1]),
        "pieces": float(pieces),
        "holes": float(ndimage.label(~ink)[1] - 1),
    }


# --------------------------------------------------------------------------------------------------
# Writers on disk
# --------------------------------------------------------------------------------------------------


def _write_writer(index, folder, seed, genuine, forgeries, skill) -> list[tuple]:
    """Write one writer's two folders; returns their rows of the manifest."""
    drawn = draw_writer(seed, index, genuine, forgeries, skill)
    writer = f"{index + 1:04d}"
    rows = []
    for kind, name, images in (
        ("genuine", writer, drawn.genuine),
        ("forgery", f"{writer}_forg", drawn.forgeries),
    ):
        (folder / name).mkdir()
        for number, image in enumerate(images):
            path = f"{name}/{name}_{number + 1:02d}.png"
            Image.fromarray(image).save(folder / path, compress_level=6)
            forger = "" if kind == "genuine" else drawn.forgers[number]
            rows.append((path, writer, kind, forger))
    return rows


def _holds(folder: Path, parameters: dict) -> bool:
    """Whether ``folder`` holds the dataset of these parameters, whole."""
    try:
        recorded = json.loads((folder / PARAMETERS).read_text())
        with (folder / MANIFEST).open(newline="") as file:
            paths = [row["path"] for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError):
        return False
    return recorded == parameters and all((folder / path).is_file() for path in paths)


def write_dataset(
    folder: str | Path,
    writers: int = 60,
    genuine: int = 24,
    forgeries: int = 24,
    seed: int = 0,
    skill: float | None = None,
    processes: int | None = None,
    progress: bool = True,
    replace: bool = False,
) -> Path:
    """Write virtual writers to ``folder`` in the IDCAR layout, with a manifest.

    ``<writer>/*.png`` are genuine, ``<writer>_forg/*.png`` forged; ``manifest.csv`` has the columns
    path, writer, kind and forger; ``synthetic.json`` records the parameters. The folder appears
    whole or not at all. The same parameters give the same bytes in any number of processes.

    Parameters
    ----------
    folder : path
        Made here. If it holds this very dataset already, nothing is done.
    writers, genuine, forgeries : int
        How many writers, and how many images of each kind a writer.
    seed, skill, processes
        As in `draw_writers`.
    progress : bool
        Show a progress bar.
    replace : bool
        Whether another synthetic dataset that the folder holds gives way, once this one is whole.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DeepSignError
        If a parameter is out of its range, or the folder holds something else.
    """
    _check(
        skill,
        processes,
        writers=(writers, 1),
        genuine=(genuine, 1),
        forgeries=(forgeries, 0),
        seed=(seed, 0),
    )
    folder = Path(folder)
    parameters = {
        "writers": writers,
        "genuine": genuine,
        "forgeries": forgeries,
        "seed": seed,
        "skill": skill,
        "generator": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16],
    }
    if _holds(folder, parameters):
        return folder
    in_the_way = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if in_the_way and not (replace and (folder / PARAMETERS).is_file()):
        raise DeepSignError(
            f"{folder} holds something else than this synthetic dataset (other parameters, another "
            "version of the generator, or other files). Remove it, or name another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = beside.with_name(f"{beside.name}-old")
    try:
        task = partial(
            _write_writer,
            folder=beside,
            seed=seed,
            genuine=genuine,
            forgeries=forgeries,
            skill=skill,
        )
        with (
            (beside / MANIFEST).open("w", newline="") as file,
            closing(_in_processes(task, range(writers), processes)) as done,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("path", "writer", "kind", "forger"))
            for rows in tqdm(
                done, "synthetic writers", total=writers, unit="writer", disable=not progress
            ):
                table.writerows(rows)
        (beside / PARAMETERS).write_text(json.dumps(parameters, indent=1) + "\n")
        beside.chmod(0o755)  # mkdtemp's folders are private
        if in_the_way:
            folder.replace(old)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return folder
