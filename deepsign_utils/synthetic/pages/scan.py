"""A sheet as it is scanned."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from deepsign_utils.synthetic.pages.sheet import Box, Sheet


def scanned(sheet: Sheet, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Box, ...]]:
    """The sheet as scanned, and the boxes of its signatures in it."""
    light = sheet.light
    height, width = light.shape[:2]
    if rng.random() < 0.2:  # dust and holes
        for _ in range(rng.integers(1, 40)):
            y, x = int(rng.uniform(0, height - 4)), int(rng.uniform(0, width - 4))
            light[y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] = rng.integers(30, 160)
    if rng.random() < 0.12 and height > width:
        radius = 2.8 * sheet.scale
        rows, columns = np.ogrid[:height, :width]
        for middle in (height / 2 - 40 * sheet.scale, height / 2 + 40 * sheet.scale):
            hole = np.hypot(rows - middle, columns - 11 * sheet.scale) < radius
            light[hole] = rng.integers(20, 120)
    turn = float(np.clip(rng.normal(0, 0.8), -3, 3)) if rng.random() < 0.8 else 0.0
    mode = rng.choice(["colour", "gray", "binary"], p=[0.45, 0.4, 0.15])
    image = Image.fromarray(light)
    if mode != "colour":
        image = image.convert("L")
    if turn:
        white = (255, 255, 255) if mode == "colour" else 255
        image = image.rotate(turn, Image.Resampling.BILINEAR, fillcolor=white)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.5) * sheet.scale / 6))
    boxes = []
    angle = np.deg2rad(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    centre = np.array([width, height]) / 2
    for outline in sheet.outlines:
        x, y = (outline - centre).T
        x, y = cos * x + sin * y + centre[0], -sin * x + cos * y + centre[1]
        box = np.floor([x.min(), y.min(), x.max() + 1, y.max() + 1]).astype(int)
        left, top, right, bottom = np.clip(box, 0, [width, height, width, height]).tolist()
        boxes.append((left, top, right, bottom))
    paper = np.array(rng.uniform(222, 255) - rng.exponential(4, 3), np.float32)
    paper = paper if mode == "colour" else paper[:1]
    slope = rng.normal(0, 7, 2)
    shade = np.add.outer(
        np.linspace(-1, 1, height) * slope[0], np.linspace(-1, 1, width) * slope[1]
    )
    black = rng.uniform(0, 50)
    light = (shade.astype(np.float32)[..., None] + (paper - black)) / 255
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * rng.exponential(1.5)
    pixels = np.atleast_3d(np.asarray(image)) * light + (black + grain)
    if mode != "colour":
        pixels = pixels[..., 0]
    if mode == "binary":
        level = 0.5 * (black + paper.mean()) + rng.uniform(15, 50)
        pixels = np.where(pixels > level, 255, 0)
    result = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    if rng.random() < 0.15:  # beside the sheet
        result[:, : int(rng.uniform(0.5, 3) * sheet.scale)] = rng.integers(0, 90)
    if mode != "binary" and rng.random() < 0.5:
        content = io.BytesIO()
        Image.fromarray(result).save(content, "JPEG", quality=int(rng.integers(50, 95)))
        result = np.asarray(Image.open(content))
    return result, tuple(boxes)
