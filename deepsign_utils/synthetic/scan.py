"""Ink, paper, scanner: none of it knows who wrote."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.synthetic.movement import Movement, move
from deepsign_utils.synthetic.writers import Hand, Programme, placed


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


def draw_image(
    programme: Programme, hand: Hand, rng: np.random.Generator, ink_rng: np.random.Generator
) -> np.ndarray:
    """The scan of what ``hand`` makes of ``programme``: uint8 (H, W)."""
    targets = placed(programme.points, hand)
    movement = move(targets, programme.down, programme.sharp, hand, rng)
    resolution = ink_rng.uniform(4.0, 7.0)  # 115 to 190 dots an inch
    return _scan(_ink(movement, resolution, ink_rng), resolution, ink_rng)
