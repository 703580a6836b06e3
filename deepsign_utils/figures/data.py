"""Figures of the data: images, shortcuts, storage."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from deepsign_utils.figures.style import (
    COLOURS,
    GRID,
    INK,
    MARK,
    NAMES,
    OTHERS,
    QUIET,
    STYLE,
    SWATCH,
    WIDTH,
    aspect_of,
    draw_gallery,
    draw_picture,
    ink_dark,
    legend_above,
    name_places,
    new_axes,
    put_text,
    require,
    require_columns,
    require_same_length,
)
from deepsign_utils.metrics import CHANCE


@mpl.rc_context(STYLE)
def dataset_overview(signatures: pd.DataFrame) -> Figure:
    """Images per writer: genuine upwards, forged downwards, repeated images pale.

    Parameters
    ----------
    signatures : DataFrame
        The signature table: columns `writer`, `kind`, and `duplicate_of` where known.

    Returns
    -------
    Figure
    """
    require_columns(signatures, ["writer", "kind"], "signature table")
    require(len(signatures) > 0, "The signature table is empty: there is nothing to draw.")
    repeated = (
        signatures["duplicate_of"].notna()
        if "duplicate_of" in signatures
        else pd.Series(False, index=signatures.index)
    )
    counts = signatures.groupby(["writer", "kind"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=["genuine", "forgery"], fill_value=0)
    copies = signatures[repeated].groupby(["writer", "kind"]).size().unstack(fill_value=0)
    copies = copies.reindex(index=counts.index, columns=counts.columns, fill_value=0)
    order = counts.sort_values(["genuine", "forgery"], ascending=False, kind="stable").index
    counts, copies = counts.loc[order], copies.loc[order]

    figure, axes = new_axes(height=3.8)
    places = np.arange(len(order))
    width = 0.7 if len(order) <= 60 else 1.0
    for kind, sign in (("genuine", 1), ("forgery", -1)):
        whole, pale = sign * counts[kind].to_numpy(), sign * copies[kind].to_numpy()
        axes.bar(places, whole - pale, width, color=COLOURS[kind], linewidth=0)
        axes.bar(places, pale, width, whole - pale, color=COLOURS[kind], alpha=0.35, linewidth=0)
    axes.axhline(0, color="white", linewidth=2)
    axes.grid(axis="x", visible=False)
    axes.margins(x=0.01, y=0.05)
    axes.use_sticky_edges = False
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_ylabel("images per writer")
    name_places(axes, [str(writer) for writer in order], "writer", "most images first")
    entries = []
    for kind in ("genuine", "forgery"):
        whole, pale = counts[kind].sum(), copies[kind].sum()
        if whole:
            note = f", {pale:,} of them copies (pale)" if pale else ""
            entries.append((f"{NAMES[kind]}: {whole:,}{note}", {**SWATCH, "color": COLOURS[kind]}))
    legend_above(axes, entries)
    return figure


@mpl.rc_context(STYLE)
def size_scatter(signatures: pd.DataFrame) -> Figure:
    """Width against height of the raw images by kind, with the margins' distributions.

    Parameters
    ----------
    signatures : DataFrame
        The signature table: columns `kind`, `width`, `height` (pixels).

    Returns
    -------
    Figure
    """
    require_columns(signatures, ["kind", "width", "height"], "signature table")
    require(len(signatures) > 0, "The signature table is empty: there is nothing to draw.")
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 4))
    main = figure.add_subplot(grid[1, 0])
    above = figure.add_subplot(grid[0, 0], sharex=main)
    right = figure.add_subplot(grid[1, 1], sharey=main)
    size = np.clip(30_000 / len(signatures), 8, 30)
    entries: list[tuple[str, dict[str, Any]]] = []
    for kind, marker in (("forgery", "x"), ("genuine", "o")):
        part = signatures[signatures["kind"] == kind]
        if part.empty:
            continue
        look: dict[str, Any] = {"color": COLOURS[kind]}
        if marker == "o":
            look = {"facecolor": "none", "edgecolor": COLOURS[kind]}
        main.scatter(
            part["width"],
            part["height"],
            s=size,
            marker=marker,
            alpha=0.6,
            linewidth=1.1,
            rasterized=True,  # thousands of marks would make an SVG of megabytes
            **look,
        )
        entries.insert(
            0,
            (f"{NAMES[kind]}: {len(part):,}", {**MARK, "color": COLOURS[kind], "marker": marker}),
        )
    sides: tuple[tuple[mpl.axes.Axes, str, Literal["vertical", "horizontal"]], ...] = (
        (above, "width", "vertical"),
        (right, "height", "horizontal"),
    )
    for axes, column, orientation in sides:
        edges = _edges(signatures[column].to_numpy(float), 40).tolist()
        for kind in ("forgery", "genuine"):
            values = signatures.loc[signatures["kind"] == kind, column]
            if len(values):
                axes.hist(
                    values,
                    edges,
                    weights=np.full(len(values), 1 / len(values)),
                    histtype="stepfilled",
                    orientation=orientation,
                    facecolor=mpl.colors.to_rgba(COLOURS[kind], 0.25),
                    edgecolor=COLOURS[kind],
                    linewidth=1.4,
                )
        axes.axis("off")
    for axis in (main.xaxis, main.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    main.set_xlabel("width of the raw image (pixels)")
    main.set_ylabel("height of the raw image (pixels)")
    legend_above(above, entries)
    return figure


@mpl.rc_context(STYLE)
def specimens(
    images: Sequence[NDArray],
    writers: Sequence[str],
    kinds: Sequence[str],
    *,
    ink_bright: bool,
    per_kind: int = 3,
    noun: str = "writer",
) -> Figure:
    """Gallery: a row for each writer, genuine signatures left, forged ones right.

    Parameters
    ----------
    images : sequence of n arrays (H, W) uint8
        Of any sizes.
    writers, kinds : sequences of n str
        Kinds are "genuine" or "forgery". Writers come in the order of their first image.
    ink_bright : bool
        True for canvases (ink bright on 0), which are drawn as dark ink on white; False for raw
        images (paper bright), which are drawn as they are.
    per_kind : int
        At most so many images of each kind in a row.
    noun : str
        What stands before a row's name; empty where the rows are no writers.

    Returns
    -------
    Figure

    Raises
    ------
    DeepSignError
        If the lengths differ, there is no image, or one is not two-dimensional.
    """
    require_same_length("specimens", images=images, writers=writers, kinds=kinds)
    chosen: dict[str, dict[str, list[int]]] = {}
    for index, (writer, kind) in enumerate(zip(writers, kinds, strict=True)):
        places = chosen.setdefault(str(writer), {"genuine": [], "forgery": []})
        require(kind in places, f"A signature's kind is genuine or forgery, not {kind!r}.")
        if len(places[kind]) < per_kind:
            places[kind].append(index)
    widest = {
        kind: max(len(places[kind]) for places in chosen.values())
        for kind in ("genuine", "forgery")
    }
    columns = widest["genuine"] + widest["forgery"]
    starts = {"genuine": 0.0, "forgery": widest["genuine"] / columns}
    titles = [(starts[kind], NAMES[kind], COLOURS[kind]) for kind, count in widest.items() if count]
    rows = []
    for places in chosen.values():
        row = []
        for kind, count in widest.items():
            filled = [(ink_dark(images[i], ink_bright), COLOURS[kind]) for i in places[kind]]
            row += filled + [None] * (count - len(filled))
        rows.append(row)
    return draw_gallery(rows, [f"{noun} {name}".strip() for name in chosen], titles)


@mpl.rc_context(STYLE)
def before_after(
    raws: Sequence[NDArray], canvases: Sequence[NDArray], labels: Sequence[str] | None = None
) -> Figure:
    """Raw images left, the canvases that cleaning makes of them right.

    Parameters
    ----------
    raws : sequence of n arrays (H, W) uint8
        Paper bright.
    canvases : sequence of n arrays (canvas_height, canvas_width) uint8
        Ink bright on 0; drawn as dark ink on white.
    labels : sequence of n str, optional
        One above each row.

    Returns
    -------
    Figure
    """
    labels = [""] * len(raws) if labels is None else labels
    require_same_length("before_after", raws=raws, canvases=canvases, labels=labels)
    rows = [
        [(ink_dark(raw, False), QUIET), (ink_dark(canvas, True), QUIET)]
        for raw, canvas in zip(raws, canvases, strict=True)
    ]
    return draw_gallery(rows, labels, [(0, "as scanned", INK), (0.5, "cleaned canvas", INK)])


@mpl.rc_context(STYLE)
def in_steps(pictures: Mapping[str, NDArray]) -> Figure:
    """Pictures one after the other, two in a row, each under its name.

    Parameters
    ----------
    pictures : mapping of name to array (H, W)
        uint8, or floating in 0..1; drawn as they are.

    Returns
    -------
    Figure
    """
    require(bool(pictures), "There is no picture to draw.")
    shown = {name: ink_dark(picture, False) for name, picture in pictures.items()}
    wide = WIDTH / 2 - 0.06
    tall = wide / aspect_of(list(shown.values()))
    figure = Figure(figsize=(WIDTH, -(-len(shown) // 2) * (tall + 0.42)))
    for place, (name, picture) in enumerate(shown.items()):
        row, column = divmod(place, 2)
        left, top = column * WIDTH / 2 + 0.03, row * (tall + 0.42)
        put_text(figure, left, top + 0.06, f"{place + 1}  {name}", fontsize=11)
        draw_picture(figure, (left, top + 0.32, wide, tall), picture, QUIET)
    return figure


@mpl.rc_context(STYLE)
def probe_aucs(audit: pd.DataFrame) -> Figure:
    """How well each shortcut alone tells forged from genuine: AUC with its interval.

    Parameters
    ----------
    audit : DataFrame
        Columns `probe`, `auc`, `low`, `high`, `verdict` ("flagged" is drawn filled). Where `auc`
        is missing, the verdict stands alone.

    Returns
    -------
    Figure
    """
    require_columns(audit, ["probe", "auc", "low", "high", "verdict"], "shortcut audit")
    figure, axes = new_axes(height=1.5 + 0.48 * len(audit))
    places = np.arange(len(audit))[::-1]
    axes.axvspan(0, CHANCE, color=GRID, alpha=0.6, linewidth=0)
    axes.axvline(0.5, color=QUIET, linewidth=1.2)
    axes.axvline(CHANCE, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)))
    colour = COLOURS["stroke-blind"]
    for place, row in zip(places, audit.itertuples(), strict=True):
        face = colour if row.verdict == "flagged" else "white"
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.5)
        axes.plot(row.auc, place, "o", markersize=9, color=colour, markerfacecolor=face)
        axes.annotate(
            f"{'–' if np.isnan(row.auc) else f'{row.auc:.2f}'}  {row.verdict}",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=11,
            weight="bold" if row.verdict == "flagged" else "normal",
        )
    low = np.nanmin(audit["low"].to_numpy(float), initial=0.45)
    axes.set_xlim(max(0, np.floor(low * 20) / 20), 1.01)
    axes.set_ylim(-0.7, len(audit) - 0.3)
    axes.set_yticks(places, audit["probe"])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("AUC of the shortcut alone (fraction; 0.5 is chance)")
    for value, text, side in ((0.5, "chance ", "right"), (CHANCE, f" {CHANCE}", "left")):
        axes.annotate(
            text,
            (value, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha=side,
            color=QUIET,
            fontsize=11,
        )
    return figure


@mpl.rc_context(STYLE)
def storage_comparison(comparison: pd.DataFrame) -> Figure:
    """Bytes on disk and reading rate of ways to store the same pairs.

    Parameters
    ----------
    comparison : DataFrame
        Columns `stored` (a label; may hold line breaks), `bytes`, `pairs_per_second` (may be
        missing).

    Returns
    -------
    Figure
    """
    require_columns(comparison, ["stored", "bytes", "pairs_per_second"], "storage comparison")
    figure = Figure(figsize=(WIDTH, 1.3 + 0.75 * len(comparison)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(comparison))[::-1]
    panels = (
        (left, comparison["bytes"].to_numpy(float), "size on disk (bytes)", _bytes),
        (right, comparison["pairs_per_second"].to_numpy(float), "read (pairs/s)", _thousands),
    )
    for axes, values, label, text in panels:
        bars = axes.barh(places, np.nan_to_num(values), 0.55, color=OTHERS[0], linewidth=0)
        axes.bar_label(
            bars, ["not measured" if np.isnan(v) else text(v) for v in values], padding=4
        )
        axes.set_xlim(0, 1.55 * max(np.nanmax(values, initial=0), 1e-9))
        axes.set_xticks([])
        axes.set_xlabel(label)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
    left.set_yticks(places, comparison["stored"])
    return figure


@mpl.rc_context(STYLE)
def realism(tables: Mapping[str, pd.DataFrame], statistics: Mapping[str, str]) -> Figure:
    """Small multiples: how each statistic is distributed in each dataset.

    Parameters
    ----------
    tables : mapping
        Dataset's name -> table with a column for each statistic. The first, the simulated one, is
        drawn in colour; the others quiet beneath it.
    statistics : mapping
        Column -> what it is, for the axis.

    Returns
    -------
    Figure
    """
    require(bool(tables) and bool(statistics), "There is nothing to compare.")
    columns = 3
    rows = -(-len(statistics) // columns)
    height = rows * (0.9 + 0.28 * len(tables))
    figure = Figure(figsize=(1.5 * WIDTH, height), layout="constrained")
    places = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, (name, label) in zip(places.flat, statistics.items(), strict=False):
        values = [table[name].dropna().to_numpy() for table in tables.values()]
        parts = axes.boxplot(
            values,
            orientation="horizontal",
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            widths=0.6,
            medianprops={"color": INK, "linewidth": 1.8},
        )
        for number, box in enumerate(parts["boxes"]):
            box.set_facecolor(COLOURS["genuine"] if number == 0 else GRID)
            box.set_edgecolor(QUIET)
        axes.set_xlabel(label)
        axes.set_yticks(range(1, len(tables) + 1), list(tables))
        axes.grid(axis="y", visible=False)
    places[0, 0].invert_yaxis()  # shared by all: the first dataset on top
    for axes in list(places.flat)[len(statistics) :]:
        axes.set_axis_off()
    return figure


def _edges(values: NDArray, count: int) -> NDArray:
    """Bin edges for positive values, even if all are the same."""
    low, high = values.min(), values.max()
    return np.linspace(low, high, count + 1) if high > low else np.array([0.95, 1.05]) * low


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"


def _thousands(number: float) -> str:
    return f"{number:,.0f}"
