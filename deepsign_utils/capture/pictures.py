"""What the conditions look like, and what they cost, drawn."""

from __future__ import annotations

import zlib
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from deepsign_utils import synthetic
from deepsign_utils.capture.benchmark import SYNTHETIC_SEED
from deepsign_utils.capture.conditions import CONDITIONS
from deepsign_utils.capture.paper import estimated_dpi
from deepsign_utils.figures.style import COLOURS, INK, QUIET, STYLE, WIDTH

_COLUMNS = 5
_TILE = (300, 125)  # pixels across and down, of a picture in the gallery


@mpl.rc_context(STYLE)
def gallery(writer: int = 4, seed: int = SYNTHETIC_SEED) -> Figure:
    """One synthetic signature under every condition, at its greatest strength.

    Parameters
    ----------
    writer, seed : int
        As in `synthetic.draw_writer`.

    Returns
    -------
    Figure
        All pictures at one size, whatever their resolution.
    """
    scan = synthetic.draw_writer(seed, writer, 1, 0).genuine[0]
    dpi = estimated_dpi(scan)
    pictures = {"as scanned": scan}
    for condition in CONDITIONS:
        label, strength = list(condition.strengths.items())[-1]
        rng = np.random.default_rng([seed, zlib.crc32(condition.name.encode())])
        name = f"{condition.name}, {label}"
        pictures[name] = condition.simulate(scan, rng, strength, dpi)
    rows = -(-len(pictures) // _COLUMNS)
    figure = Figure(figsize=(1.25 * WIDTH, rows * 0.85), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (name, picture) in zip(grid.flat, pictures.items(), strict=False):
        axes.imshow(_tile(picture), interpolation="nearest")
        axes.set_title(name, fontsize=6.5, fontweight="normal", pad=1.5)
    return figure


def _tile(image: np.ndarray) -> np.ndarray:
    """The picture in the middle of a white tile: uint8 (H, W, 3)."""
    picture = Image.fromarray(image).convert("RGB")
    scale = min(side / most for side, most in zip(_TILE, picture.size, strict=True))
    width, height = (max(1, round(length * scale)) for length in picture.size)
    tile = Image.new("RGB", _TILE, "white")
    corner = (_TILE[0] - width) // 2, (_TILE[1] - height) // 2
    tile.paste(picture.resize((width, height), Image.Resampling.LANCZOS), corner)
    return np.asarray(tile)


@mpl.rc_context(STYLE)
def errors(result: dict[str, Any], side: str) -> Figure:
    """EER under each condition: a mark for each strength, the strongest filled, with its interval.

    Parameters
    ----------
    result : dict
        What `benchmark.measure` gave.
    side : str
        One of `benchmark.SIDES`.

    Returns
    -------
    Figure
        A line stands at the EER of images as scanned, a band over its interval.
    """
    rows = [row for row in result["rows"] if row["side"] == side]
    names = list(dict.fromkeys(row["condition"] for row in rows))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.24 * len(names)), layout="constrained")
    axes = figure.subplots()
    clean, colour = result["scanned"]["eer"], COLOURS["skilled"]
    axes.axvspan(100 * clean["low"], 100 * clean["high"], color=COLOURS["genuine"], alpha=0.12)
    axes.axvline(100 * clean["value"], color=COLOURS["genuine"], linewidth=1.5)
    for place, name in enumerate(names):
        rates = [row["eer"] for row in rows if row["condition"] == name]
        last = rates[-1]
        axes.hlines(place, 100 * last["low"], 100 * last["high"], color=colour, alpha=0.45)
        for rate in rates[:-1]:
            axes.plot(100 * rate["value"], place, "o", color=colour, markerfacecolor="white")
        axes.plot(100 * last["value"], place, "o", color=colour)
    groups = [next(row["group"] for row in rows if row["condition"] == name) for name in names]
    for place in range(1, len(names)):
        if groups[place] != groups[place - 1]:
            axes.axhline(place - 0.5, color=QUIET, linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("EER, skilled forgeries, one reference (%)")
    mark: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": colour}
    entries = {
        "as scanned": {"color": COLOURS["genuine"]},
        "weaker": mark | {"markerfacecolor": "white"},
        "strongest, with its interval": mark,
    }
    handles = [Line2D([], [], label=label, **look) for label, look in entries.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, labelcolor=INK)
    return figure
