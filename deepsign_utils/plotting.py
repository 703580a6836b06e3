"""Every figure of the report, in one visual language.

Functions take plain arrays and data frames and return a matplotlib Figure that belongs to nobody:
it is made without pyplot, so there is no current figure, none is left open, and a notebook shows
it once, through `show`.

Genuine, skilled, random and stroke-blind have one colour each everywhere, taken from Okabe and
Ito's palette, which readers with any colour vision can tell apart [1]_. Random's purple is a
shade darker than theirs, so that text in it can be read on white. Curves also differ in their
dashes. Figures bring their own white background and are read alike on a light and a dark page.

Rates come in as fractions and are drawn in %. A rate is a number, or a mapping
``{"value": ..., "low": ..., "high": ...}`` whose interval is then drawn too.

References
----------
.. [1] M. Okabe and K. Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy import ndimage
from scipy.stats import norm

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import ink_box
from deepsign_utils.study.artefacts import write_atomically

COLOURS = {
    "genuine": "#0072B2",
    "skilled": "#D55E00",
    "random": "#B75F94",
    "stroke-blind": "#404040",
}
COLOURS["forgery"] = COLOURS["skilled"]  # a signature's kind; a skilled pair holds one of these

DASHES = {"genuine": "-", "skilled": "-", "random": (0, (4, 1.5)), "stroke-blind": (0, (2, 1.5))}

NAMES = {
    "genuine": "genuine",
    "forgery": "forged",
    "skilled": "skilled forgery",
    "random": "random forgery",
    "stroke-blind": "stroke-blind",
}

# For what is no kind, such as numbers of references: the rest of Okabe and Ito's palette.
OTHERS = ("#009E73", "#56B4E9", "#E69F00", "#000000")

# Ink of two signatures laid over each other: no kind's colour, 3 : 1 against white, and apart from
# each other and from the gray for readers with any colour vision.
DIFFERENCE = {"in both": "#404040", "reference only": "#0E8FA0", "questioned only": "#CF8200"}

INK = "#222222"
QUIET = "#767676"
GRID = "#E4E4E4"

# 6.4 inches at 12 points: a figure squeezed to a phone's 380 pixels keeps letters of 10 pixels.
WIDTH = 6.4

STYLE = {
    **sns.axes_style("ticks"),
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "text.parse_math": False,  # a writer's name may hold dollars
    "font.size": 12,
    "axes.labelsize": 12,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "legend.borderaxespad": 0.2,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.2,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.dpi": 200,
    "svg.fonttype": "path",  # letters as outlines: no font needed, and the same bytes everywhere
    "svg.hashsalt": "deepsign",
}

Rate = float | Mapping[str, float]


class Curve(Protocol):
    """Error rates at every threshold; `metrics.ErrorCurve` is one."""

    threshold: NDArray[np.floating]
    fmr: NDArray[np.floating]
    fnmr: NDArray[np.floating]


# --- Showing and saving -------------------------------------------------------------------------


def render(figure: Figure) -> dict[str, str | bytes]:
    """Draw a figure to bytes that are the same on every rerun.

    Parameters
    ----------
    figure : Figure

    Returns
    -------
    dict
        ``"image/png"`` (bytes, 200 dots an inch) always, and ``"image/svg+xml"`` (str) unless the
        figure holds pictures, of which an SVG would be but a larger copy.
    """
    formats = {"image/png": {"Software": None}}
    if not any(axes.images for axes in figure.axes):
        formats["image/svg+xml"] = {"Date": None, "Creator": None}
    rendered: dict[str, str | bytes] = {}
    with mpl.rc_context(STYLE):
        for mime, metadata in formats.items():
            stream = io.BytesIO()
            kind = "svg" if mime == "image/svg+xml" else "png"
            figure.savefig(stream, format=kind, metadata=metadata)
            rendered[mime] = stream.getvalue() if kind == "png" else stream.getvalue().decode()
    return rendered


def show(
    figure: Figure,
    alt: str,
    caption: str,
    name: str | None = None,
    folder: str | Path | None = None,
) -> None:
    """Show a figure in the notebook with its caption below; keep it as a file where asked.

    The first output holds the image (SVG for drawings, with a PNG for viewers that do not trust
    it; PNG for galleries) and `alt` as its plain text, and the metadata
    ``{"deepsign": {"alt", "caption", "name"}}``; the second repeats the caption as Markdown, for
    readers of the notebook itself, and has the metadata ``{"deepsign": {"role": "caption"}}``.

    Parameters
    ----------
    figure : Figure
    alt : str
        What the figure shows, for readers who do not see it.
    caption : str
        One or two sentences of plain text, to stand below the figure.
    name : str, optional
        The file's name without ending; needed with `folder`.
    folder : str or Path, optional
        Made if missing. ``<name>.svg`` or ``<name>.png`` is put there in one step, so that a
        reader never meets half a file.

    Raises
    ------
    DeepSignError
        Without an alternative text or a caption, or with a folder and no name.
    """
    _require(bool(alt.strip()) and bool(caption.strip()), "A figure needs an alt and a caption.")
    _require(folder is None or bool(name), "A figure needs a name to be saved in a folder.")
    rendered = render(figure)
    if folder is not None:
        _write(rendered, Path(folder), str(name))
    width = round(figure.get_figwidth() * 96)  # CSS pixels, of which 96 make an inch
    display(
        {**rendered, "text/plain": alt},
        metadata={
            "deepsign": {"alt": alt, "caption": caption, "name": name},
            "image/svg+xml": {"alt": alt},
            "image/png": {"alt": alt, "width": width},
        },
        raw=True,
    )
    display(
        {"text/markdown": caption, "text/plain": caption},
        metadata={"deepsign": {"role": "caption"}},
        raw=True,
    )


def save(figure: Figure, folder: str | Path, name: str) -> None:
    """Keep a figure as ``<folder>/<name>.svg``, or ``.png`` if it holds pictures, in one step."""
    _write(render(figure), Path(folder), name)


def _write(rendered: Mapping[str, str | bytes], folder: Path, name: str) -> None:
    drawing = rendered.get("image/svg+xml")
    target = folder / f"{name}.{'png' if drawing is None else 'svg'}"
    write_atomically(target, rendered["image/png"] if drawing is None else drawing)


# --- The data -----------------------------------------------------------------------------------


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
    _require_columns(signatures, ["writer", "kind"], "signature table")
    _require(len(signatures) > 0, "The signature table is empty: there is nothing to draw.")
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

    figure, axes = _axes(height=3.8)
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
    _name_places(axes, [str(writer) for writer in order], "writer", "most images first")
    entries = []
    for kind in ("genuine", "forgery"):
        whole, pale = counts[kind].sum(), copies[kind].sum()
        if whole:
            note = f", {pale:,} of them copies (pale)" if pale else ""
            entries.append((f"{NAMES[kind]}: {whole:,}{note}", {**_SWATCH, "color": COLOURS[kind]}))
    _legend_above(axes, entries)
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
    _require_columns(signatures, ["kind", "width", "height"], "signature table")
    _require(len(signatures) > 0, "The signature table is empty: there is nothing to draw.")
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 4))
    main = figure.add_subplot(grid[1, 0])
    above = figure.add_subplot(grid[0, 0], sharex=main)
    right = figure.add_subplot(grid[1, 1], sharey=main)
    size = np.clip(30_000 / len(signatures), 8, 30)
    entries = []
    for kind, marker in (("forgery", "x"), ("genuine", "o")):
        part = signatures[signatures["kind"] == kind]
        if part.empty:
            continue
        look = {"facecolor": "none", "edgecolor": COLOURS[kind]} if marker == "o" else {}
        main.scatter(
            part["width"],
            part["height"],
            s=size,
            marker=marker,
            alpha=0.6,
            linewidth=1.1,
            rasterized=True,  # thousands of marks would make an SVG of megabytes
            **(look or {"color": COLOURS[kind]}),
        )
        entries.insert(
            0,
            (f"{NAMES[kind]}: {len(part):,}", {**_MARK, "color": COLOURS[kind], "marker": marker}),
        )
    for axes, column, orientation in (
        (above, "width", "vertical"),
        (right, "height", "horizontal"),
    ):
        edges = _edges(signatures[column].to_numpy(float), 40)
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
    _legend_above(above, entries)
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
    _require_same_length("specimens", images=images, writers=writers, kinds=kinds)
    chosen: dict[str, dict[str, list[int]]] = {}
    for index, (writer, kind) in enumerate(zip(writers, kinds, strict=True)):
        places = chosen.setdefault(str(writer), {"genuine": [], "forgery": []})
        _require(kind in places, f"A signature's kind is genuine or forgery, not {kind!r}.")
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
            filled = [(_ink_dark(images[i], ink_bright), COLOURS[kind]) for i in places[kind]]
            row += filled + [None] * (count - len(filled))
        rows.append(row)
    return _gallery(rows, [f"{noun} {name}".strip() for name in chosen], titles)


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
    _require_same_length("before_after", raws=raws, canvases=canvases, labels=labels)
    rows = [
        [(_ink_dark(raw, False), QUIET), (_ink_dark(canvas, True), QUIET)]
        for raw, canvas in zip(raws, canvases, strict=True)
    ]
    return _gallery(rows, labels, [(0, "as scanned", INK), (0.5, "cleaned canvas", INK)])


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
    _require_columns(audit, ["probe", "auc", "low", "high", "verdict"], "shortcut audit")
    figure, axes = _axes(height=1.5 + 0.48 * len(audit))
    places = np.arange(len(audit))[::-1]
    axes.axvspan(0, 0.55, color=GRID, alpha=0.6, linewidth=0)
    axes.axvline(0.5, color=QUIET, linewidth=1.2)
    axes.axvline(0.55, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)))
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
    for value, text, side in ((0.5, "chance ", "right"), (0.55, " 0.55", "left")):
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
    _require_columns(comparison, ["stored", "bytes", "pairs_per_second"], "storage comparison")
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
    _require_same_length("augmented_views", canvases=canvases, writers=writers, kinds=named)
    groups: dict[str, list[tuple[NDArray, str]]] = {}
    for canvas, writer, kind in zip(canvases, writers, named, strict=True):
        _require(kind in COLOURS, f"A signature's kind is genuine or forgery, not {kind!r}.")
        colour = QUIET if kinds is None else COLOURS[kind]
        groups.setdefault(str(writer), []).append((_ink_dark(canvas, True), colour))
    rows, labels = [], []
    for writer, views in groups.items():
        for start in range(0, len(views), columns):
            rows.append(views[start : start + columns])
            labels.append("" if start else f"writer {writer}")
    frames = []
    if kinds is not None:
        present = [kind for kind in ("genuine", "forgery") if kind in set(kinds)]
        frames = [("frame:", INK), *((NAMES[kind], COLOURS[kind]) for kind in present)]
    return _gallery(rows, labels, [(index / 6, *frame) for index, frame in enumerate(frames)])


# --- The network and its training ---------------------------------------------------------------


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
    _require_columns(history, ["epoch", "loss", "validation_eer"], "training history")
    best = history[history["epoch"] == best_epoch]
    _require(len(best) == 1, f"Epoch {best_epoch} is not in the training history exactly once.")
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
    _require(maps.ndim == 3 and len(maps) > 0, f"Maps have shape (n, H, W), not {maps.shape}.")
    if signed:
        top = max(np.abs(maps).max(), 1e-12)
        pictures = sns.color_palette("vlag", as_cmap=True)((maps / top + 1) / 2)[..., :3]
    else:
        low, high = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
        pictures = 1 - (maps - low) / np.maximum(high - low, 1e-12)
    cells = [(picture, GRID) for picture in pictures]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return _gallery(rows, [""] * len(rows))


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
    _require(
        points.ndim == 2 and points.shape[1] == 2,
        f"An embedding map takes points of shape (n, 2), not {points.shape}.",
    )
    _require_same_length("embedding_map", points=points, writers=writers, kinds=kinds)
    writers, kinds = np.asarray(writers, str), np.asarray(kinds, str)
    figure, axes = _axes(height=5.4)
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
        (NAMES[kind], {**_MARK, "color": COLOURS[kind], "marker": marker})
        for kind, marker in (("genuine", "o"), ("forgery", "x"))
        if (kinds == kind).any()
    ]
    _legend_above(axes, entries)
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
    _require(bool(tables) and bool(statistics), "There is nothing to compare.")
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


# --- Error rates --------------------------------------------------------------------------------


@mpl.rc_context(STYLE)
def distance_distributions(
    scores: pd.DataFrame,
    threshold: float,
    rates: Mapping[str, Rate] | None = None,
    chosen: float | None = None,
) -> Figure:
    """Scores of each kind of pair on either side of the threshold; the wrong side is filled dark.

    The bins begin at the threshold, so that a dark area is exactly the pairs decided wrongly.

    Parameters
    ----------
    scores : DataFrame
        The score table: columns `kind` ("genuine", "skilled", "random") and `score`.
    threshold : float
        From the validation writers; a pair is accepted if its score is at least this.
    rates : mapping of kind to rate, optional
        The error rates to print, with intervals; counted from `scores` where missing.
    chosen : float, optional
        A threshold to try: decisions are drawn as it makes them, and `threshold` is but marked.

    Returns
    -------
    Figure

    Raises
    ------
    DeepSignError
        If the table lacks a column, has no pair of a known kind, or a score is not finite.
    """
    _require_columns(scores, ["kind", "score"], "score table")
    kinds = [kind for kind in ("genuine", "skilled", "random") if (scores["kind"] == kind).any()]
    _require(bool(kinds), "The score table has no genuine, skilled or random pair.")
    values = scores["score"].to_numpy(float)
    _require(bool(np.isfinite(values).all()), "The score table has scores that are not finite.")
    # The outermost pair in a thousand goes to the end bins, lest it squeeze all others.
    low, high = np.quantile(values, [0.001, 0.999])
    decides = threshold if chosen is None else chosen
    low, high = min(low, threshold, decides), max(high, threshold, decides)
    step = max(high - low, 1e-9) / np.clip(len(values) ** 0.5, 24, 90)
    edges = decides + step * np.arange(
        np.floor((low - decides) / step) - 1, np.ceil((high - decides) / step) + 2
    )

    figure = Figure(figsize=(WIDTH, 1.1 + 1.3 * len(kinds)), layout="constrained")
    rows = figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
    for axes, kind in zip(rows, kinds, strict=True):
        part = values[scores["kind"] == kind]
        counts, _ = np.histogram(np.clip(part, edges[0], edges[-1]), edges)
        middles = edges[:-1] + step / 2
        wrong = middles < decides if kind == "genuine" else middles > decides
        for mask, alpha in ((~wrong, 0.28), (wrong, 1.0)):
            axes.stairs(
                np.where(mask, counts, 0), edges, fill=True, color=COLOURS[kind], alpha=alpha
            )
        axes.stairs(counts, edges, color=COLOURS[kind], linewidth=1.4)
        axes.axvline(decides, color=INK, linewidth=1.4)
        if chosen is not None:
            axes.axvline(threshold, color=QUIET, linewidth=1.4, linestyle=_DASHED)
        share = np.mean(part < decides if kind == "genuine" else part >= decides)
        rate = (rates or {}).get(kind, share)
        verb = "rejected" if kind == "genuine" else "accepted"
        axes.set_title(f"{NAMES[kind]} pairs", color=COLOURS[kind], pad=4)
        axes.set_title(
            f"{verb}: {_written(rate)}", loc="right", color=COLOURS[kind], weight="normal", pad=4
        )
        axes.set_ylim(0, 1.08 * max(counts.max(), 1))
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(edges[0], edges[-1])
    rows[-1].set_xlabel("score (no unit; higher is more genuine)")
    figure.supylabel("share of the pairs", fontsize=12)
    name = "validation threshold" if chosen is None else "chosen threshold"
    handles = [
        Line2D([], [], color=INK, label=f"{name}: accepted to its right", **_UPRIGHT),
        Line2D([], [], color=INK, label="dark: decided wrongly", **_SWATCH),
    ]
    if chosen is not None:
        label = "validation threshold"
        handles.append(Line2D([], [], color=QUIET, linestyle=_DASHED, linewidth=1.4, label=label))
    figure.legend(handles=handles, loc="outside upper left", handlelength=1.2, labelspacing=0.3)
    return figure


@mpl.rc_context(STYLE)
def det(
    curves: Mapping[str, Curve],
    bands: Mapping[str, pd.DataFrame] | None = None,
    points: Mapping[str, tuple[Rate, Rate]] | None = None,
) -> Figure:
    """Detection error trade-off: FNMR against FMR on normal-deviate axes [1]_.

    Parameters
    ----------
    curves : mapping of label to curve
        A label that holds "skilled", "random" or "stroke-blind" takes that kind's colour (the last
        of these words in the list wins).
    bands : mapping of label to DataFrame, optional
        Columns `fmr`, and `low` and `high` of the FNMR there: `metrics.curve_band`.
    points : mapping of label to (fmr, fnmr), optional
        The operating point at the validation threshold, each rate with its interval if it has one.

    Returns
    -------
    Figure

    Raises
    ------
    DeepSignError
        If there is no curve, a curve's arrays differ in length, or a band or point has no curve.

    References
    ----------
    .. [1] A. Martin et al., "The DET curve in assessment of detection task performance",
       Eurospeech 1997.
    """
    looks = _looks(curves, bands, points)
    figure, axes = _axes(height=5.6 + 0.25 * len(curves))
    good = min(_crossing(curve) for curve in curves.values())
    bad = max(_crossing(curve) for curve in curves.values())
    rates = np.concatenate([rate for curve in curves.values() for rate in (curve.fmr, curve.fnmr)])
    fine = good < 0.01 and rates[rates > 0].min() < 0.0005  # else there are too few pairs to tell
    low, high = (0.0001 if fine else 0.001), (0.6 if bad < 0.3 else 0.95)

    def deviate(rates: ArrayLike) -> NDArray:
        # A rate of 0 lies infinitely far away: it is drawn on the lower frame.
        return norm.ppf(np.clip(np.asarray(rates, float), low, 1 - low))

    ends = deviate([low, high])
    axes.plot(ends, ends, color=QUIET, linewidth=1)
    axes.annotate(
        "EER",
        [0.97, 0.97],
        xycoords="axes fraction",
        xytext=(-4, -14),
        textcoords="offset points",
        ha="left",
        color=QUIET,
        fontsize=11,
    )
    _trade_offs(axes, curves, bands, points, looks, deviate, deviate)
    shown = [r for r in (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95) if low <= r <= high]
    between = [r for r in (0.0005, 0.002, 0.005, 0.02, 0.1, 0.4) if low <= r <= high]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(deviate(shown)))
        axis.set_minor_locator(FixedLocator(deviate(between)))
        axis.set_ticklabels([f"{100 * r:g}" for r in shown])
    pad = 0.02 * (ends[1] - ends[0])  # a curve along the frame is not cut in half
    axes.set(xlim=(ends[0] - pad, ends[1]), ylim=(ends[0] - pad, ends[1]))
    axes.set_aspect("equal")
    axes.set_xlabel("FMR: forged pairs accepted (%)")
    axes.set_ylabel("FNMR: genuine pairs rejected (%)")
    _legend_above(axes, looks.items())
    return figure


@mpl.rc_context(STYLE)
def roc(
    curves: Mapping[str, Curve],
    bands: Mapping[str, pd.DataFrame] | None = None,
    points: Mapping[str, tuple[Rate, Rate]] | None = None,
) -> Figure:
    """Genuine pairs accepted against forged pairs accepted; arguments as in `det`.

    Parameters
    ----------
    curves : mapping of label to curve
    bands : mapping of label to DataFrame, optional
    points : mapping of label to (fmr, fnmr), optional

    Returns
    -------
    Figure
    """
    looks = _looks(curves, bands, points)
    figure, axes = _axes(height=5.6 + 0.25 * len(curves))
    axes.plot([0, 100], [0, 100], color=QUIET, linewidth=1)
    axes.annotate(
        "chance", (62, 58), color=QUIET, fontsize=11, rotation=45, ha="center", va="center"
    )

    def accepted(rates: ArrayLike) -> NDArray:
        return 100 * (1 - np.asarray(rates, float))

    _trade_offs(axes, curves, bands, points, looks, _per_cent, accepted)
    axes.set(xlim=(-1.5, 100), ylim=(0, 101.5))
    axes.set_aspect("equal")
    axes.set_xlabel("FMR: forged pairs accepted (%)")
    axes.set_ylabel("genuine pairs accepted (%)")
    _legend_above(axes, looks.items())
    return figure


@mpl.rc_context(STYLE)
def error_against_threshold(curves: Mapping[str, Curve], threshold: float) -> Figure:
    """FMR of each curve, and their common FNMR, against the threshold.

    Parameters
    ----------
    curves : mapping of label to curve
        Colours as in `det`. The FNMR is drawn once, from the first curve.
    threshold : float
        From the validation writers.

    Returns
    -------
    Figure
    """
    looks = _looks(curves)
    figure, axes = _axes(height=4.2)
    genuine = {"color": COLOURS["genuine"]}
    first = next(iter(curves.values()))
    drawn = [(first.threshold, first.fnmr, genuine)]
    drawn += [(curve.threshold, curve.fmr, looks[label]) for label, curve in curves.items()]
    ends = [threshold]
    for thresholds, rates, look in drawn:
        thresholds, rates = np.asarray(thresholds, float), np.asarray(rates, float)
        inside = np.isfinite(thresholds)
        places, heights = _thin(thresholds[inside], 100 * rates[inside])
        axes.plot(places, heights, **look)
        busy = places[(heights > 0.2) & (heights < 99.8)]
        ends += [*busy[:1], *busy[-1:]]
    axes.axvline(threshold, color=INK, linewidth=1.4)
    axes.set_ylim(0, 100)
    axes.set_xlim(min(ends), max(ends) + 1e-9)
    axes.set_xlabel("threshold on the score (no unit)")
    axes.set_ylabel("error rate (%)")
    fmrs = [(f"FMR, {label}", look) for label, look in looks.items()]
    entries = [("FNMR, genuine", genuine), *fmrs, ("validation threshold", _UPRIGHT)]
    _legend_above(axes, entries, columns=2)
    return figure


@mpl.rc_context(STYLE)
def per_writer(
    eers: Mapping[str, float] | pd.Series, pooled: Rate, mean: Rate | None = None
) -> Figure:
    """EER of each test writer, sorted, with their mean and the EER of all pairs pooled.

    Parameters
    ----------
    eers : mapping of writer to EER
        A writer without one (NaN) is left out.
    pooled : rate
        EER with one threshold for all writers.
    mean : rate, optional
        Average of the writers' EERs; counted from `eers` where missing.

    Returns
    -------
    Figure
    """
    eers = pd.Series(eers, dtype=float).dropna().sort_values(kind="stable")
    _require(len(eers) > 0, "There is no writer whose EER could be drawn.")
    mean = float(eers.mean()) if mean is None else mean
    figure, axes = _axes(height=4.2)
    places, heights = np.arange(len(eers)), 100 * eers.to_numpy()
    colour = COLOURS["skilled"]
    axes.vlines(places, 0, heights, color=colour, alpha=0.35, linewidth=1.5)
    axes.plot(places, heights, "o", color=colour, markersize=7 if len(eers) <= 60 else 4)
    entries = []
    for rate, name, dashes in ((pooled, "pooled", "-"), (mean, "mean of writers", (0, (5, 3)))):
        value, low, high = _interval(rate)
        look = {"color": INK, "linewidth": 1.6, "linestyle": dashes}
        axes.axhline(100 * value, **look)
        axes.axhspan(100 * low, 100 * high, color=INK, alpha=0.08, linewidth=0)
        entries.append((f"{name}: {_written(rate)}", look))
    top = max(5, 1.08 * heights.max())
    axes.set_ylim(-0.02 * top, top)
    axes.margins(x=0.02)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("EER of the writer (%)")
    _name_places(axes, [str(writer) for writer in eers.index], "test writer", "easiest first")
    _legend_above(axes, entries)
    return figure


@mpl.rc_context(STYLE)
def pair_gallery(pairs: Sequence[Mapping[str, Any]], *, differences: bool = False) -> Figure:
    """Pairs of signatures, reference left and questioned right, the score beneath.

    Genuine pairs fill the left column and forged ones the right; pairs of one sort fill both, and
    a single pair the whole width.

    Parameters
    ----------
    pairs : sequence of mappings
        `left`, `right`: canvases (H, W), ink bright on 0; `score`: float; `kind`: "genuine",
        "skilled" or "random"; `caption`: str, printed after the score (may be empty).
    differences : bool
        Whether to draw beneath each pair, large, where its two signatures differ; see `overlaid`.

    Returns
    -------
    Figure

    Raises
    ------
    DeepSignError
        If there is no pair, one lacks a field, or `overlaid` refuses its canvases.
    """
    wanted = {"left", "right", "score", "kind", "caption"}
    _require(len(pairs) > 0, "A gallery of pairs needs at least one pair.")
    for pair in pairs:
        _require(wanted <= set(pair), f"A pair of the gallery lacks {wanted - set(pair)}.")
        _require(pair["kind"] in COLOURS, f"A pair's kind cannot be {pair['kind']!r}.")
    genuine = [pair for pair in pairs if pair["kind"] == "genuine"]
    forged = [pair for pair in pairs if pair["kind"] != "genuine"]
    both = bool(genuine and forged)
    columns = [genuine, forged] if both else [list(pairs[0::2]), list(pairs[1::2])]
    columns = [members for members in columns if members]

    cell = (WIDTH - 0.1 - 0.2 * (len(columns) - 1)) / (2 * len(columns))
    aspect = _aspect([pair["left"] for pair in pairs])
    height, wide = cell / aspect, 2 * cell - 0.04
    below = height + 0.04 + wide / aspect if differences else height
    legend = 0.3 if differences else 0.0
    row, head = below + 0.42, legend + (0.34 if both else 0.08)
    count = max(map(len, columns))
    figure = Figure(figsize=(WIDTH, head + row * count))
    if differences:
        handles = [
            Line2D([], [], color=colour, label=label, **_SWATCH)
            for label, colour in DIFFERENCE.items()
        ]
        figure.legend(handles=handles, loc="upper left", ncols=3, borderpad=0.2, handlelength=1)
    for column, members in enumerate(columns):
        start = 0.05 + column * (2 * cell + 0.2)
        present = dict.fromkeys(pair["kind"] for pair in members) if both else ()
        for place, kind in zip((start, start + cell), present, strict=False):
            look = {"color": COLOURS[kind], "weight": "bold"}
            _put(figure, place + 0.02, legend + 0.06, NAMES[kind], **look)
        for index, pair in enumerate(members):
            top, frame = head + index * row, COLOURS[pair["kind"]]
            for side, place in (("left", start), ("right", start + cell)):
                box = (place + 0.02, top, cell - 0.04, height)
                _picture(figure, box, _ink_dark(pair[side], True), frame)
            if differences:
                box = (start + 0.02, top + height + 0.04, wide, wide / aspect)
                _picture(figure, box, overlaid(pair["left"], pair["right"]), frame)
            score = f"{pair['score']:.3f}".replace("-", "−")
            line = f"score {score}  {pair['caption']}".rstrip()
            _put(figure, start + 0.02, top + below + 0.06, line, fontsize=10.5)
    return figure


def overlaid(reference: NDArray, questioned: NDArray) -> NDArray[np.floating]:
    """Two signatures laid over each other, coloured as in `DIFFERENCE` where they differ.

    The questioned signature's ink box is stretched onto the reference's. No two signatures of one
    hand lie exactly on each other, so ink counts as present in both where the other's ink is within
    a 32nd of the canvas's height, about a stroke's width; farther away its colour turns.

    Parameters
    ----------
    reference, questioned : (H, W) uint8
        Canvases of one size, ink bright on 0.

    Returns
    -------
    (H, W, 3) float64
        Red, green and blue in 0..1, paper white.

    Raises
    ------
    DeepSignError
        If the canvases differ in size, or one is blank.
    """
    inks = [1 - _ink_dark(canvas, True) for canvas in (reference, questioned)]
    same = inks[0].shape == inks[1].shape
    _require(same, f"Canvases to overlay have one size, not {inks[0].shape} and {inks[1].shape}.")
    top, bottom, left, right = ink_box(inks[0] > 0)
    box = ink_box(inks[1] > 0)
    stretched = Image.fromarray(inks[1][box[0] : box[1], box[2] : box[3]].astype(np.float32))
    stretched = stretched.resize((right - left, bottom - top), Image.Resampling.HAMMING)
    inks[1] = np.zeros_like(inks[0])
    inks[1][top:bottom, left:right] = stretched

    shared, *alone = (np.array(mpl.colors.to_rgb(colour)) for colour in DIFFERENCE.values())
    near = len(inks[0]) / 32
    picture = np.ones((*inks[0].shape, 3))
    for ink, other, colour in zip(inks, inks[::-1], alone, strict=True):
        away = ndimage.distance_transform_edt(other < other.max() / 2)
        differs = np.clip(away / near - 1, 0, 1)[..., None]
        picture *= 1 - ink[..., None] * (1 - shared - differs * (colour - shared))
    return picture


@mpl.rc_context(STYLE)
def references(results: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Error rates against the number of references, with their intervals.

    Parameters
    ----------
    results : mapping
        ``test.references`` of metrics.json: number of references (str) to ``eer`` and ``fmr`` (of
        ``skilled`` and ``random``) and ``fnmr``, all rates.

    Returns
    -------
    Figure
    """
    _require(bool(results), "There is no number of references to draw results of.")
    counts = sorted(results, key=int)
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    series = (
        (
            "at the validation threshold",
            (("fnmr", "genuine"), ("fmr", "skilled"), ("fmr", "random")),
        ),
        ("EER (threshold of the test)", (("eer", "skilled"), ("eer", "random"))),
    )
    markers = {"genuine": "o", "skilled": "s", "random": "D"}
    top = 1.0
    for axes, (title, rates) in zip(panels, series, strict=True):
        axes.set_title(title, fontsize=11, pad=8)
        for index, (rate, kind) in enumerate(rates):
            found = [results[count][rate] for count in counts]
            found = [_interval(each if rate == "fnmr" else each[kind]) for each in found]
            value, low, high = 100 * np.array(found).T
            places = np.arange(len(counts)) + 0.14 * (index - (len(rates) - 1) / 2)
            look = {"color": COLOURS[kind], "linestyle": DASHES[kind]}
            axes.plot(places, value, **look, linewidth=1.2, alpha=0.6)
            axes.vlines(places, low, high, color=COLOURS[kind])
            axes.plot(places, value, markers[kind], color=COLOURS[kind], markersize=7)
            top = max(top, np.nanmax(high))
        axes.set_xticks(range(len(counts)), counts)
        axes.set_xlim(-0.45, len(counts) - 0.55)
        axes.set_xlabel("references per writer")
        axes.grid(axis="x", visible=False)
    panels[0].set_ylim(0, 1.06 * top)
    panels[0].set_ylabel("error rate (%)")
    entries = {"FNMR, genuine": "genuine", "skilled forgery": "skilled", "random forgery": "random"}
    handles = [
        Line2D([], [], color=COLOURS[kind], marker=markers[kind], markersize=7, label=label)
        for label, kind in entries.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


# --- Sweeps and benchmarks ----------------------------------------------------------------------

MOST_SETTINGS = 24
"""Settings of a study that `sweep_errors` shows at once and can still be read."""


@mpl.rc_context(STYLE)
def sweep_errors(results: pd.DataFrame) -> Figure:
    """Skilled EER of each run with its interval, by setting; a panel a study.

    Parameters
    ----------
    results : DataFrame
        Finished runs: columns `study`, `setting` (text), `seed`, `validation_eer`, `eer_skilled`,
        `eer_skilled_low`, `eer_skilled_high` (fractions).

    Returns
    -------
    Figure
        In each panel the setting with the lowest mean `validation_eer` is on top.
    """
    rates = ["validation_eer", "eer_skilled", "eer_skilled_low", "eer_skilled_high"]
    _require_columns(results, ["study", "setting", "seed", *rates], "table of runs")
    _require(len(results) > 0, "No run is finished: there is nothing to draw.")
    panels = list(results.groupby("study", sort=False))
    seeds = results["seed"].nunique()
    row = 0.42 + 0.13 * seeds
    heights = [row * part["setting"].nunique() + 0.45 for _, part in panels]
    figure = Figure(figsize=(WIDTH, sum(heights) + 1.2), layout="constrained")
    axes_of = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    colour = COLOURS["skilled"]
    for axes, (study, part) in zip(axes_of, panels, strict=True):
        settings = list(part.groupby("setting")["validation_eer"].mean().sort_values().index)
        for place, setting in enumerate(settings):
            runs = part[part["setting"] == setting].sort_values("seed")
            offsets = 0.16 * (np.arange(len(runs)) - (len(runs) - 1) / 2)
            low, value, high = (
                _per_cent(runs[f"eer_skilled{end}"]) for end in ("_low", "", "_high")
            )
            axes.hlines(place + offsets, low, high, color=colour, linewidth=2, alpha=0.55)
            axes.plot(value, place + offsets, "|", color=colour, markersize=8, markeredgewidth=2)
            axes.plot(np.mean(value), place, "D", color=colour, markersize=8)
            validation = 100 * runs["validation_eer"].mean()
            axes.plot(validation, place, "o", color=INK, markerfacecolor="white", markersize=8)
        axes.set_yticks(range(len(settings)), [_broken(setting) for setting in settings])
        axes.set_ylim(len(settings) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        if len(panels) > 1:
            axes.set_title(study, pad=6)
    axes_of[-1].set_xlabel("EER, skilled forgeries (%)")
    one = {"linestyle": "-", "marker": "|", "markersize": 9, "alpha": 0.75, "color": colour}
    entries = {
        "a seed, with its interval": one,
        "mean, test": {**_MARK, "marker": "D", "color": colour},
        "mean, validation": {**_MARK, "marker": "o", "color": INK, "markerfacecolor": "white"},
    }
    handles = [Line2D([], [], label=label, **look) for label, look in entries.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


@mpl.rc_context(STYLE)
def sweep_parameters(results: pd.DataFrame, varied: Sequence[str]) -> Figure:
    """Skilled EER against each swept parameter: small multiples, a point a run.

    Parameters
    ----------
    results : DataFrame
        Finished runs: columns `study`, `eer_skilled` (fraction) and those of `varied`.
    varied : sequence of str
        The swept parameters.

    Returns
    -------
    Figure
    """
    _require_columns(results, ["study", "eer_skilled", *varied], "table of runs")
    _require(bool(varied) and len(results) > 0, "There is no swept parameter or run to draw.")
    columns = min(2, len(varied))
    rows = -(-len(varied) // columns)
    figure = Figure(figsize=(WIDTH, 0.5 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    studies = list(results["study"].unique())
    palette = dict(zip(studies, (COLOURS["skilled"], *OTHERS) * len(studies), strict=False))
    for axes, name in zip(grid.flat, varied, strict=False):
        values = sorted(results[name].unique())
        place_of = {value: place for place, value in enumerate(values)}
        for study, part in results.groupby("study", sort=False):
            places = part[name].map(place_of)
            errors = _per_cent(part["eer_skilled"])
            axes.plot(places, errors, "o", color=palette[study], alpha=0.45, markersize=6)
            means = pd.Series(errors).groupby(places.to_numpy()).mean()
            axes.plot(means.index, means, color=palette[study], marker="D", markersize=6)
        written = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        axes.set_xticks(range(len(values)), written)
        axes.set_xlim(-0.5, len(values) - 0.5)
        axes.set_xlabel(name)
        axes.grid(axis="x", visible=False)
    for axes in grid.flat[len(varied) :]:
        axes.axis("off")
    for axes in grid[:, 0]:
        axes.set_ylabel("EER, skilled (%)")
    if len(studies) > 1:
        handles = [
            Line2D([], [], color=palette[study], marker="D", label=study) for study in studies
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


@mpl.rc_context(STYLE)
def bench_ratios(ratios: pd.DataFrame) -> Figure:
    """Measured ratios against their targets, on one logarithmic axis.

    Parameters
    ----------
    ratios : DataFrame
        Columns `label`, `value` and `target` (NaN where there is none); both above 0. A ratio at
        or above its target is drawn filled.

    Returns
    -------
    Figure
    """
    _require_columns(ratios, ["label", "value", "target"], "table of ratios")
    _require(len(ratios) > 0, "There is no ratio to draw.")
    figure, axes = _axes(height=1.4 + 0.5 * len(ratios))
    places = np.arange(len(ratios))[::-1]
    colour = OTHERS[0]
    for place, row in zip(places, ratios.itertuples(), strict=True):
        reached = np.isnan(row.target) or row.value >= row.target
        axes.plot([1, row.value], [place, place], color=colour, linewidth=3, alpha=0.6)
        face = colour if reached else "white"
        axes.plot(row.value, place, "o", color=colour, markerfacecolor=face, markersize=10)
        if not np.isnan(row.target):
            axes.plot(row.target, place, "|", color=INK, markersize=18, markeredgewidth=2)
        axes.annotate(
            f"{row.value:.2f}" if row.value < 10 else f"{row.value:.0f}",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            weight="bold",
        )
    numbers = ratios[["value", "target"]].to_numpy(float)
    axes.set_xscale("log")
    axes.set_xlim(0.7 * min(np.nanmin(numbers), 1), 1.4 * max(np.nanmax(numbers), 1))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.axvline(1, color=QUIET, linewidth=1.2)
    axes.set_ylim(-0.6, len(ratios) - 0.4)
    axes.set_yticks(places, ratios["label"])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("ratio (logarithmic)")
    dot = {**_MARK, "marker": "o", "color": colour, "markersize": 9}
    entries = {
        "measured": dot,
        "below its target": {**dot, "markerfacecolor": "white"},
        "target": {**_UPRIGHT, "color": INK},
    }
    handles = [Line2D([], [], label=label, **look) for label, look in entries.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


def _broken(text: str, width: int = 26) -> str:
    """A long label over several lines, broken after commas."""
    lines = [""]
    for part in text.split(", "):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append(part)
        else:
            lines[-1] += (", " if lines[-1] else "") + part
    return "\n".join(lines)


# --- Parts that the figures share ---------------------------------------------------------------


@mpl.rc_context(STYLE)
def cross_matrix(rates: pd.DataFrame, title: str) -> Figure:
    """Heat map of one error rate: trained on the row's study, tested on the column's.

    Parameters
    ----------
    rates : DataFrame
        Fractions, in % in the figure, NaN for none; both axes name the studies. Those on the
        diagonal, where a study meets its own test writers, are framed.
    title : str
        The rate's name.

    Returns
    -------
    Figure

    Raises
    ------
    DeepSignError
        If it is empty, or rows and columns differ.
    """
    names = list(rates.columns)
    _require(
        len(names) > 0 and names == list(rates.index), "A matrix names the same studies twice."
    )
    figure, axes = _axes(height=1.6 + 0.62 * len(names))
    # Light to dark in one hue: an error of 50 % is a tossed coin, and all beyond it as dark.
    colours = sns.light_palette(COLOURS["skilled"], as_cmap=True)
    edges = np.arange(len(names) + 1) - 0.5
    axes.pcolormesh(edges, edges, rates.to_numpy(float), cmap=colours, vmin=0, vmax=0.5)
    axes.invert_yaxis()  # the first study stands at the top
    for (row, column), rate in np.ndenumerate(rates.to_numpy(float)):
        if np.isnan(rate):
            continue
        dark = rate > 0.42
        axes.annotate(
            f"{100 * rate:.1f}",
            (column, row),
            ha="center",
            va="center",
            color="white" if dark else INK,
            weight="bold" if row == column else "normal",
        )
    for place in range(len(names)):
        box = mpl.patches.Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, edgecolor=INK)
        axes.add_patch(box)
    places = np.arange(len(names))
    crowded = max(map(len, names)) * len(names) > 50
    turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(places, names, **turned)
    axes.set_yticks(places, names)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_title(f"{title} (%)")
    axes.set_xlabel("tested on")
    axes.set_ylabel("trained on")
    return figure


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DeepSignError(message)


def _require_columns(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    missing = [column for column in columns if column not in table]
    _require(not missing, f"The {name} lacks the columns {missing}; it has {list(table.columns)}.")


def _require_same_length(name: str, **sequences: Sequence) -> None:
    lengths = {key: len(value) for key, value in sequences.items()}
    same = len(set(lengths.values())) == 1
    _require(same, f"{name} takes sequences of one length, not {lengths}.")
    _require(min(lengths.values()) > 0, f"{name} was given no image or point to draw.")


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


# How legends show what is not a curve: an area, a mark, an upright line.
_SWATCH = {"linestyle": "", "marker": "s", "markersize": 11}
_MARK = {"linestyle": "", "markersize": 7}
_UPRIGHT = {"linestyle": "", "marker": "|", "markersize": 14, "markeredgewidth": 1.6}
_DASHED = (0, (3, 2))
_DOTTED = (0, (1, 1.2))


def _legend_above(
    axes: Axes, entries: Sequence[tuple[str, Mapping[str, Any]]], columns: int = 1
) -> None:
    """Put the legend above the axes, where no curve can run through it."""
    handles = [Line2D([], [], label=label, **{"color": INK, **look}) for label, look in entries]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        ncols=columns,
        labelspacing=0.3,
        columnspacing=1.2,
        handlelength=2.4,
    )


def _name_places(axes: Axes, names: Sequence[str], noun: str, order: str) -> None:
    """Name each place on the x axis where there is room, else only say what they are."""
    if len(names) * max(map(len, names)) <= 60:
        axes.set_xticks(range(len(names)), names)
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel(f"{noun} ({order})")
    else:
        axes.xaxis.set_major_locator(NullLocator())
        axes.set_xlabel(f"{len(names)} {noun}s ({order})")


def _edges(values: NDArray, count: int) -> NDArray:
    """Bin edges for positive values, even if all are the same."""
    low, high = values.min(), values.max()
    return np.linspace(low, high, count + 1) if high > low else np.array([0.95, 1.05]) * low


def _interval(rate: Rate) -> tuple[float, float, float]:
    if isinstance(rate, Mapping):
        return float(rate["value"]), float(rate["low"]), float(rate["high"])
    return float(rate), float(rate), float(rate)


def _written(rate: Rate) -> str:
    value, low, high = (100 * number for number in _interval(rate))
    digits = 1 if value >= 1 else 2
    interval = f" [{low:.{digits}f}, {high:.{digits}f}]" if isinstance(rate, Mapping) else ""
    return f"{value:.{digits}f} %{interval}"


def _per_cent(rates: ArrayLike) -> NDArray:
    return 100 * np.asarray(rates, float)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"


def _thousands(number: float) -> str:
    return f"{number:,.0f}"


def _looks(
    curves: Mapping[str, Curve], bands: Mapping | None = None, points: Mapping | None = None
) -> dict[str, dict[str, Any]]:
    """Check the curves, and give each label its colour and dashes."""
    _require(bool(curves), "There is no curve to draw.")
    spare = iter(OTHERS * len(curves))
    looks = {}
    for label, curve in curves.items():
        lengths = {len(curve.threshold), len(curve.fmr), len(curve.fnmr)}
        _require(
            len(lengths) == 1 and 0 not in lengths,
            f"The curve {label!r} has arrays of different length, or empty ones: {lengths}.",
        )
        kinds = [kind for kind in ("skilled", "random", "stroke-blind") if kind in label]
        if kinds:
            look = {"color": COLOURS[kinds[-1]], "linestyle": DASHES[kinds[-1]]}
            # Of two curves of one kind, the second is dotted.
            looks[label] = look | ({"linestyle": _DOTTED} if look in looks.values() else {})
        else:
            looks[label] = {"color": next(spare), "linestyle": "-"}
    for extra in (bands, points):
        unknown = set(extra or {}) - set(curves)
        _require(not unknown, f"There is no curve called {sorted(unknown)}.")
    return looks


def _crossing(curve: Curve) -> float:
    """EER, roughly: enough to choose the range of the axes."""
    fmr, fnmr = np.asarray(curve.fmr, float), np.asarray(curve.fnmr, float)
    nearest = np.argmin(np.abs(fmr - fnmr))
    return float(fmr[nearest] + fnmr[nearest]) / 2


def _thin(x: NDArray, y: NDArray, steps: int = 600) -> tuple[NDArray, NDArray]:
    """Drop points that fall on the same spot: a million pairs make no larger figure than a few."""
    spans = np.ptp(x) or 1.0, np.ptp(y) or 1.0
    spots = np.column_stack([np.round(steps * x / spans[0]), np.round(steps * y / spans[1])])
    keep = np.r_[True, (np.diff(spots, axis=0) != 0).any(axis=1)]
    keep[-1] = True
    return x[keep], y[keep]


def _trade_offs(
    axes: Axes,
    curves: Mapping[str, Curve],
    bands: Mapping | None,
    points: Mapping | None,
    looks: Mapping[str, dict[str, Any]],
    across: Callable[[ArrayLike], NDArray],
    up: Callable[[ArrayLike], NDArray],
) -> None:
    """Draw curves of (FMR, FNMR) with bands and points, on axes that `across` and `up` scale."""
    for label, band in (bands or {}).items():
        x, low, high = across(band["fmr"]), up(band["low"]), up(band["high"])
        axes.fill_between(x, low, high, color=looks[label]["color"], alpha=0.15, linewidth=0)
    for label, curve in curves.items():
        order = np.argsort(np.asarray(curve.threshold, float), kind="stable")
        x, y = across(np.asarray(curve.fmr)[order]), up(np.asarray(curve.fnmr)[order])
        axes.plot(*_thin(x, y), **looks[label])
    for label, (fmr, fnmr) in (points or {}).items():
        (x, *x_ends), (y, *y_ends) = across(_interval(fmr)), up(_interval(fnmr))
        colour = looks[label]["color"]
        axes.plot(x_ends, [y, y], color=colour, linewidth=1.5, zorder=3)
        axes.plot([x, x], y_ends, color=colour, linewidth=1.5, zorder=3)
        axes.plot(x, y, "o", markersize=9, color=colour, markerfacecolor="white", markeredgewidth=2)


def _ink_dark(image: NDArray, ink_bright: bool) -> NDArray:
    """One image as floating gray in 0..1, paper bright."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    _require(
        image.ndim == 2 and image.size > 0,
        f"An image has shape (H, W) or (H, W, 1), not {image.shape}.",
    )
    scaled = image / 255 if image.dtype == np.uint8 else np.clip(image.astype(float), 0, 1)
    return 1 - scaled if ink_bright else scaled


def _aspect(images: Sequence[NDArray]) -> float:
    """Width over height of a cell in which the images sit well."""
    return float(np.clip(np.median([i.shape[1] / i.shape[0] for i in images]), 0.8, 3))


def _put(figure: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Write text at x, y inches from the figure's top left corner."""
    width, height = figure.get_size_inches()
    figure.text(x / width, 1 - y / height, text, va="top", **look)


def _picture(
    figure: Figure, box: tuple[float, float, float, float], image: NDArray, frame: str
) -> None:
    """Draw an image into a box (left, top, width, height) in inches from the top left corner."""
    width, height = figure.get_size_inches()
    left, top, wide, tall = box
    axes = figure.add_axes((left / width, 1 - (top + tall) / height, wide / width, tall / height))
    enlarged = image.shape[1] < 100 * wide  # a filter of 3 x 3 keeps its squares
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest" if enlarged else "auto")
    axes.set(xticks=[], yticks=[], anchor="C")
    for spine in axes.spines.values():
        spine.set(visible=True, color=frame, linewidth=1.4)


def _gallery(
    rows: Sequence[Sequence[tuple[NDArray, str] | None]],
    labels: Sequence[str],
    titles: Sequence[tuple[float, str, str]] = (),
) -> Figure:
    """Lay (image, frame colour) out in rows, each label above its row.

    Titles (place, text, colour) stand above all, at a place in 0..1 from left to right.
    """
    columns = max(map(len, rows))
    cell = WIDTH / columns
    aspect = _aspect([entry[0] for row in rows for entry in row if entry])
    tall = (cell - 0.06) / aspect
    head = 0.34 if titles else 0.04
    tops = head + np.cumsum([0, *(tall + 0.08 + (0.28 if label else 0) for label in labels)])
    figure = Figure(figsize=(WIDTH, tops[-1]))
    for place, text, colour in titles:
        _put(figure, place * WIDTH + 0.03, 0.05, text, color=colour, weight="bold")
    for row, label, top in zip(rows, labels, tops, strict=False):
        if label:
            _put(figure, 0.03, top + 0.03, label, fontsize=11)
            top += 0.28
        for column, entry in enumerate(row):
            if entry:
                box = (column * cell + 0.03, top, cell - 0.06, tall)
                _picture(figure, box, entry[0], entry[1])
    return figure
