"""Figures of the network and its training."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from deepsign_utils.figures.style import (
    COLOURS,
    GRID,
    INK,
    MARK,
    NAMES,
    QUIET,
    STYLE,
    WIDTH,
    draw_gallery,
    ink_dark,
    legend_above,
    new_axes,
    require,
    require_columns,
    require_same_length,
)


@mpl.rc_context(STYLE)
def augmented_views(
    canvases: Sequence[NDArray],
    writers: Sequence[str],
    kinds: Sequence[str] | None = None,
    columns: int = 6,
) -> Figure:
    """What the network sees in a batch, grouped by writer.

    Parameters
    ----------
    canvases : sequence of n arrays (H, W) or (H, W, 1)
        uint8, or floating in 0..1; ink bright on 0, drawn as dark ink on white.
    writers : sequence of n str
    kinds : sequence of n str, optional
        "genuine" or "forgery", for the frames' colours.
    columns : int
        Images in a row; a writer with more takes several rows.

    Returns
    -------
    Figure
    """
    named = ["genuine"] * len(writers) if kinds is None else kinds
    require_same_length("augmented_views", canvases=canvases, writers=writers, kinds=named)
    groups: dict[str, list[tuple[NDArray, str]]] = {}
    for canvas, writer, kind in zip(canvases, writers, named, strict=True):
        require(kind in COLOURS, f"A signature's kind is genuine or forgery, not {kind!r}.")
        colour = QUIET if kinds is None else COLOURS[kind]
        groups.setdefault(str(writer), []).append((ink_dark(canvas, True), colour))
    rows, labels = [], []
    for writer, views in groups.items():
        for start in range(0, len(views), columns):
            rows.append(views[start : start + columns])
            labels.append("" if start else f"writer {writer}")
    frames = []
    if kinds is not None:
        present = [kind for kind in ("genuine", "forgery") if kind in set(kinds)]
        frames = [("frame:", INK), *((NAMES[kind], COLOURS[kind]) for kind in present)]
    return draw_gallery(rows, labels, [(index / 6, *frame) for index, frame in enumerate(frames)])


@mpl.rc_context(STYLE)
def training_history(history: pd.DataFrame, best_epoch: int) -> Figure:
    """Loss on the training writers and EER on the validation writers, epoch by epoch.

    Parameters
    ----------
    history : DataFrame
        Columns `epoch`, `loss`, `validation_eer` (fraction). A row of epoch 0 holds the EER before
        training, without a loss.
    best_epoch : int
        The epoch whose weights were kept.

    Returns
    -------
    Figure

    Raises
    ------
    DeepSignError
        If a column or the best epoch is not in the history.
    """
    require_columns(history, ["epoch", "loss", "validation_eer"], "training history")
    best = history[history["epoch"] == best_epoch]
    require(len(best) == 1, f"Epoch {best_epoch} is not in the training history exactly once.")
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    marker = "o" if len(history) <= 12 else None
    upper.plot(history["epoch"], history["loss"], color=INK, marker=marker)
    upper.set_ylabel("training loss")
    eer = 100 * history["validation_eer"].to_numpy(float)
    lower.plot(history["epoch"], eer, color=COLOURS["skilled"], marker=marker)
    lower.set_ylabel("validation EER (%)")
    lower.set_xlabel("epoch")
    lower.set_ylim(0, 1.25 * max(np.nanmax(eer), 1e-3))
    lower.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    value = 100 * float(best["validation_eer"].iloc[0])
    for axes in (upper, lower):
        axes.axvline(best_epoch, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    lower.plot(
        best_epoch, value, "o", markersize=10, color=COLOURS["skilled"], markerfacecolor="white"
    )
    late = best_epoch > history["epoch"].mean()
    upper.annotate(
        f"best epoch {best_epoch}: EER {value:.1f} %",
        (best_epoch, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right" if late else "left",
        va="bottom",
    )
    before = history[history["epoch"] == 0]
    if len(before):
        lower.plot(0, 100 * before["validation_eer"], "s", color=COLOURS["skilled"], markersize=7)
        lower.annotate(
            "before training",
            (0, 100 * float(before["validation_eer"].iloc[0])),
            xytext=(6, 5),
            textcoords="offset points",
            va="bottom",
            fontsize=11,
        )
    figure.align_ylabels([upper, lower])
    return figure


@mpl.rc_context(STYLE)
def feature_maps(maps: NDArray, *, signed: bool = False, columns: int = 8) -> Figure:
    """Small multiples of a layer's filters or activations.

    Parameters
    ----------
    maps : array (n, H, W)
    signed : bool
        True for filters, drawn white at 0 with one common scale; False for activations, drawn dark
        where large, each on its own scale.
    columns : int

    Returns
    -------
    Figure
    """
    maps = np.asarray(maps, float)
    require(maps.ndim == 3 and len(maps) > 0, f"Maps have shape (n, H, W), not {maps.shape}.")
    if signed:
        top = max(np.abs(maps).max(), 1e-12)
        pictures = sns.color_palette("vlag", as_cmap=True)((maps / top + 1) / 2)[..., :3]
    else:
        low, high = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
        pictures = 1 - (maps - low) / np.maximum(high - low, 1e-12)
    cells = [(picture, GRID) for picture in pictures]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return draw_gallery(rows, [""] * len(rows))


@mpl.rc_context(STYLE)
def embedding_map(points: ArrayLike, writers: Sequence[str], kinds: Sequence[str]) -> Figure:
    """Signatures as points of a plane; threads tie each to its writer's genuine centre.

    Parameters
    ----------
    points : array (n, 2)
        A projection of the embeddings.
    writers, kinds : sequences of n str
        Kinds are "genuine" or "forgery".

    Returns
    -------
    Figure
    """
    points = np.asarray(points, float)
    require(
        points.ndim == 2 and points.shape[1] == 2,
        f"An embedding map takes points of shape (n, 2), not {points.shape}.",
    )
    require_same_length("embedding_map", points=points, writers=writers, kinds=kinds)
    writers, kinds = np.asarray(writers, str), np.asarray(kinds, str)
    figure, axes = new_axes(height=5.4)
    for writer in pd.unique(writers):
        own = (writers == writer) & (kinds == "genuine")
        centre = points[own if own.any() else writers == writer].mean(axis=0)
        for kind, marker in (("forgery", "x"), ("genuine", "o")):
            part = points[(writers == writer) & (kinds == kind)]
            threads = np.insert(part, np.arange(len(part)) + 1, centre, axis=0)
            axes.plot(*threads.T, color=COLOURS[kind], linewidth=0.8, alpha=0.3, zorder=1)
            axes.scatter(*part.T, s=30, marker=marker, color=COLOURS[kind], alpha=0.85)
        axes.annotate(
            writer,
            centre,
            ha="center",
            va="center",
            fontsize=11,
            weight="bold",
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0},
        )
    axes.set_xlabel("first axis of the projection (no unit)")
    axes.set_ylabel("second axis of the projection (no unit)")
    axes.set_xticks([])
    axes.set_yticks([])
    entries = [
        (NAMES[kind], {**MARK, "color": COLOURS[kind], "marker": marker})
        for kind, marker in (("genuine", "o"), ("forgery", "x"))
        if (kinds == kind).any()
    ]
    legend_above(axes, entries)
    return figure
