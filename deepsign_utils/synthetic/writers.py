"""Writers: what one intends (the programme), and what the hand makes of it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from deepsign_utils.synthetic.glyphs import (
    CAPITAL,
    HANGING,
    INITIAL_STOP,
    SIGNS,
    SMALL,
    Glyph,
    as_glyph,
    parse_glyph,
)


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
        self.points: list[np.ndarray] = []
        self.down: list[np.ndarray] = []
        self.sharp: list[np.ndarray] = []
        self.letter: list[np.ndarray] = []
        self.keys: list[str] = []

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
    return as_glyph(points, sharp, starts)


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
        word = [(text[0].upper(), parse_glyph(CAPITAL[text[0].upper()]), capital)]
        if part == "N" and block:
            word += [(c.upper(), parse_glyph(CAPITAL[c.upper()]), 0.6 * capital) for c in text[1:]]
        elif part == "N":
            word += [(c, parse_glyph(SMALL[c]), 1.0) for c in text[1:]]
        if second_line and place == len(form) - 1:
            x, y = rng.uniform(-0.2, 0.5) * x, -rng.uniform(2.2, 3.2)
        x = _write_word(composer, rng, lettering, word, x, y)
        if part == "I" and stops:
            composer.add("stop", parse_glyph(INITIAL_STOP), x, y)
            x += 0.3
        x += rng.uniform(0.2, 1.2)


def _write_hanging(composer: _Composer, rng: np.random.Generator) -> None:
    headline = rng.choice(["word", "letter", "none"], p=[0.45, 0.35, 0.2])
    gap = rng.uniform(0.05, 0.4)
    size = rng.uniform(1.1, 1.6)
    haste = 0.0 if rng.random() < 0.6 else rng.uniform(0.05, 0.25)

    def place(key: str, text: str, width: float = 1.0) -> float:
        glyph = _without(parse_glyph(text), haste, rng)
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
    return as_glyph(points, sharp, np.arange(count) == 0)


def _write_scribble(composer: _Composer, rng: np.random.Generator) -> None:
    for part in range(rng.integers(1, 4)):
        start = composer.box()[1, 0] * rng.uniform(0.3, 0.9) if part else 0
        composer.add(f"scribble{part}", _scribble(rng), start, 0, join=rng.random() < 0.3)


def _write_initial_and_scribble(composer: _Composer, rng: np.random.Generator) -> None:
    capital = rng.choice(list(CAPITAL))
    composer.add(capital, parse_glyph(CAPITAL[capital]), 0, 0, *rng.uniform(0.9, 1.8, 2))
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
        glyph = as_glyph(points, rng.random(len(x)) < 0.3, np.arange(len(x)) == 0)
    else:
        text = PARAPHS[rng.integers(len(PARAPHS))]
        glyph = parse_glyph(text)
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


def draw_hand(rng: np.random.Generator, seed: tuple[int, ...]) -> Hand:
    """Draw how a person writes."""
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


def personal_shapes(programme: Programme, hand: Hand) -> np.ndarray:
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


def disturbed(
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


def vary_hand(hand: Hand, rng: np.random.Generator, amount: float) -> Hand:
    """Change a hand a little, as from one day to another."""
    return replace(
        hand,
        size=hand.size * np.exp(rng.normal(0, 0.06) * amount),
        stretch=hand.stretch * np.exp(rng.normal(0, 0.06) * amount),
        slant=hand.slant + rng.normal(0, 0.06) * amount,
        slope=hand.slope + rng.normal(0, 0.025) * amount,
        arch=hand.arch + rng.normal(0, 0.012) * amount,
        overlap=float(np.clip(hand.overlap + rng.normal(0, 0.04) * amount, 0.05, 0.7)),
    )


def slipped(programme: Programme, rng: np.random.Generator, rate: float) -> Programme:
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


def placed(points: np.ndarray, hand: Hand) -> np.ndarray:
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


def draw_model(seed: int, index: int) -> Writer:
    """Draw a writer: what is written, by which hand, in which personal shapes."""
    rng = np.random.default_rng([seed, index, 0])
    plain = _draw_programme(rng)
    hand = draw_hand(rng, (seed, index, 1))
    shapes = personal_shapes(plain, hand)
    return Writer(replace(plain, points=plain.points + shapes), hand, shapes)


def intended(
    writer: Writer, session: np.random.Generator, rng: np.random.Generator
) -> tuple[np.ndarray, Hand]:
    """Targets (N, 2) and hand of one genuine specimen: the day's variation, then the moment's."""
    amount, letter = writer.hand.unsteadiness, writer.programme.letter
    points, hand = writer.programme.points, writer.hand
    for generator, share in ((session, 0.6), (rng, 0.85)):
        points = disturbed(points, letter, generator, share * amount)
        hand = vary_hand(hand, generator, share * amount)
    return points, hand


def write_specimen(
    writer: Writer, session: np.random.Generator, rng: np.random.Generator
) -> tuple[Programme, Hand]:
    """One genuine specimen."""
    points, hand = intended(writer, session, rng)
    return slipped(replace(writer.programme, points=points), rng, 0.03), hand
