"""Figures of the network and its training."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
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
    SWATCH,
    WIDTH,
    draw_gallery,
    draw_picture,
    ink_dark,
    put_text,
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
def training_history(history: pd.DataFrame, kept_epoch: int) -> Figure:
    """Loss on the training writers and EER on the validation writers, epoch by epoch.

    Parameters
    ----------
    history : DataFrame
        Columns `epoch`, `loss`, `validation_eer` (fraction). A row of epoch 0 holds the EER before
        training, without a loss.
    kept_epoch : int
        The epoch whose weights were kept.

    Returns
    -------
    Figure

    Raises
    ------
    DeepSignError
        If a column or the kept epoch is not in the history.
    """
    require_columns(history, ["epoch", "loss", "validation_eer"], "training history")
    kept = history[history["epoch"] == kept_epoch]
    require(len(kept) == 1, f"Epoch {kept_epoch} is not in the training history exactly once.")
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
    value = 100 * float(kept["validation_eer"].iloc[0])
    for axes in (upper, lower):
        axes.axvline(kept_epoch, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    lower.plot(
        kept_epoch, value, "o", markersize=10, color=COLOURS["skilled"], markerfacecolor="white"
    )
    late = kept_epoch > history["epoch"].mean()
    upper.annotate(
        f"kept: epoch {kept_epoch}, EER {value:.1f} %",
        (kept_epoch, 1.0),
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
def pair_matrices(kinds: NDArray, panels: Mapping[str, NDArray]) -> Figure:
    """The pairs of a batch: of which kind each is, and numbers of them, side by side.

    Parameters
    ----------
    kinds : array (n, n) of str
        "genuine", "skilled", "random", or anything else for a pair that does not count; row:
        reference, column: questioned.
    panels : mapping of title to array (n, n)
        One number a pair, all from -1 to 1: blue above 0, red below.

    Returns
    -------
    Figure
    """
    kinds = np.asarray(kinds, str)
    require(
        kinds.ndim == 2 and all(np.shape(values) == kinds.shape for values in panels.values()),
        f"Every panel has a number for each of the {kinds.shape} pairs.",
    )
    picture = np.ones((*kinds.shape, 3))
    for kind in ("genuine", "skilled", "random"):
        picture[kinds == kind] = mpl.colors.to_rgb(COLOURS[kind])
    numbers = sns.color_palette("vlag_r", as_cmap=True)
    drawn = {"kind": picture} | {
        title: numbers((np.asarray(values, float) + 1) / 2)[..., :3]
        for title, values in panels.items()
    }
    side = WIDTH / max(len(drawn), 2)
    figure = Figure(figsize=(WIDTH, side + 0.72))
    for place, (title, image) in enumerate(drawn.items()):
        put_text(figure, place * side + 0.03, 0.42, title, weight="bold")
        draw_picture(figure, (place * side + 0.03, 0.7, side - 0.06, side - 0.06), image, QUIET)
    handles = [
        Line2D([], [], color=COLOURS[kind], label=NAMES[kind], **SWATCH)
        for kind in ("genuine", "skilled", "random")
        if (kinds == kind).any()
    ]
    figure.legend(handles=handles, loc="upper left", ncols=3, borderpad=0.2, handlelength=1)
    return figure


@mpl.rc_context(STYLE)
def encoder_walk(canvas: NDArray, stages: Mapping[str, NDArray], maps: int = 6) -> Figure:
    """One image's way through an encoder: what some of each stage's maps show.

    Parameters
    ----------
    canvas : array (H, W)
        What goes in; ink bright on 0.
    stages : mapping of label to array (h, w, channels)
        What comes out of each stage, from the first on; the channels that vary most are shown,
        dark where large.
    maps : int
        How many channels of each stage.

    Returns
    -------
    Figure
    """
    rows = [[(ink_dark(canvas, True), INK), *[None] * (maps - 1)]]
    for values in stages.values():
        values = np.asarray(values, float)
        require(values.ndim == 3, f"A stage has shape (h, w, channels), not {values.shape}.")
        spread = values.std(axis=(0, 1))
        most = np.sort(np.argsort(-spread, kind="stable")[:maps])
        pictures = np.moveaxis(values[..., most], -1, 0)
        low, high = (f(pictures, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
        pictures = 1 - (pictures - low) / np.maximum(high - low, 1e-12)
        rows.append([(picture, GRID) for picture in pictures])
    height, width = np.shape(canvas)
    return draw_gallery(rows, [f"canvas: {height} x {width}", *stages])


@mpl.rc_context(STYLE)
def embedding_maps(
    maps: Mapping[str, ArrayLike], writers: Sequence[str], kinds: Sequence[str]
) -> Figure:
    """The same signatures as points of several planes; threads tie each to its writer's centre.

    Parameters
    ----------
    maps : mapping of title to array (n, 2)
        Projections of the embeddings, drawn with one scale for both axes.
    writers, kinds : sequences of n str
        Kinds are "genuine" or "forgery".

    Returns
    -------
    Figure
    """
    points = {title: np.asarray(values, float) for title, values in maps.items()}
    for values in points.values():
        require(
            values.ndim == 2 and values.shape[1] == 2,
            f"An embedding map takes points of shape (n, 2), not {values.shape}.",
        )
        require_same_length("embedding_maps", points=values, writers=writers, kinds=kinds)
    names, drawn = np.asarray(writers, str), np.asarray(kinds, str)
    figure = Figure(figsize=(WIDTH, WIDTH / len(points) + 0.8), layout="constrained")
    for axes, (title, values) in zip(
        figure.subplots(1, len(points), squeeze=False)[0], points.items(), strict=True
    ):
        for writer in pd.unique(names):
            _draw_writer(axes, values, names == writer, drawn, writer)
        # The same length is the same distance in both directions, and there is room around all.
        middle, reach = (values.max(axis=0) + values.min(axis=0)) / 2, np.ptp(values, axis=0).max()
        for set_limits, centre in zip((axes.set_xlim, axes.set_ylim), middle, strict=True):
            set_limits(centre - 0.56 * reach, centre + 0.56 * reach)
        axes.set(title=title, xticks=[], yticks=[], aspect="equal")
        axes.set_xlabel("first direction (no unit)")
        axes.set_ylabel("second direction (no unit)")
    handles = [
        Line2D([], [], color=COLOURS[kind], marker=marker, label=NAMES[kind], **MARK)
        for kind, marker in _MARKERS.items()
        if (drawn == kind).any()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1)
    return figure


_MARKERS = {"genuine": "o", "forgery": "x"}


def _draw_writer(axes: Axes, points: NDArray, own: NDArray, kinds: NDArray, name: str) -> None:
    genuine = own & (kinds == "genuine")
    centre = points[genuine if genuine.any() else own].mean(axis=0)
    for kind, marker in reversed(_MARKERS.items()):
        part = points[own & (kinds == kind)]
        threads = np.insert(part, np.arange(len(part)) + 1, centre, axis=0)
        axes.plot(*threads.T, color=COLOURS[kind], linewidth=0.8, alpha=0.3, zorder=1)
        axes.scatter(part[:, 0], part[:, 1], s=26, marker=marker, color=COLOURS[kind], alpha=0.85)
    box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0}
    axes.annotate(name, centre, ha="center", va="center", fontsize=11, weight="bold", bbox=box)
