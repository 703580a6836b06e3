"""How figures look, and how they are shown and kept."""

import io
from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike, NDArray

from deepsign_utils import DeepSignError
from deepsign_utils.study.artefacts import write_atomically
from deepsign_utils.study.names import isolated

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

INK = "#222222"
QUIET = "#767676"
GRID = "#E4E4E4"

# 6.4 inches at 12 points: a figure squeezed to a phone's 380 pixels keeps letters of 10 pixels.
WIDTH = 6.4

# For names in scripts that matplotlib's own face lacks: the same letters on every machine.
_FONTS = Path(__file__).parent / "fonts"
for _file in sorted(_FONTS.glob("*.ttf")):
    font_manager.fontManager.addfont(_file)
_FACES = ["Noto Sans Bengali", "Noto Sans Devanagari", "Noto Sans SC", "Noto Sans KR"]

_NO_STYLE = ("backend", "interactive", "toolbar", "tk", "webagg", "savefig.directory", "datapath")
STYLE = {
    # First matplotlib's own defaults: a person's matplotlibrc changes no figure.
    **{name: of for name, of in mpl.rcParamsDefault.items() if not name.startswith(_NO_STYLE)},
    **sns.axes_style("ticks"),
    "font.family": ["DejaVu Sans", *_FACES],  # the first comes with matplotlib
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
    for text in figure.findobj(Text):
        text.set_text(isolated(text.get_text()))
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
    require(bool(alt.strip()) and bool(caption.strip()), "A figure needs an alt and a caption.")
    require(folder is None or bool(name), "A figure needs a name to be saved in a folder.")
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


def require(condition: bool, message: str) -> None:
    """Raise a `DeepSignError` with this message unless the condition holds."""
    if not condition:
        raise DeepSignError(message)


def require_columns(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """Raise a `DeepSignError` that names the columns which a table lacks."""
    missing = [column for column in columns if column not in table]
    require(not missing, f"The {name} lacks the columns {missing}; it has {list(table.columns)}.")


def require_same_length(name: str, **sequences: Sized) -> None:
    """Raise a `DeepSignError` that names sequences of unequal length."""
    lengths = {key: len(value) for key, value in sequences.items()}
    same = len(set(lengths.values())) == 1
    require(same, f"{name} takes sequences of one length, not {lengths}.")
    require(min(lengths.values()) > 0, f"{name} was given no image or point to draw.")


def new_axes(height: float) -> tuple[Figure, Axes]:
    """One pair of axes in a figure of the usual width, `height` inches high."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


# How legends show what is not a curve: an area, a mark, an upright line.
SWATCH: dict[str, Any] = {"linestyle": "", "marker": "s", "markersize": 11}
MARK: dict[str, Any] = {"linestyle": "", "markersize": 7}
UPRIGHT: dict[str, Any] = {"linestyle": "", "marker": "|", "markersize": 14, "markeredgewidth": 1.6}


def legend_above(
    axes: Axes, entries: Iterable[tuple[str, Mapping[str, Any]]], columns: int = 1
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


def name_places(axes: Axes, names: Sequence[str], noun: str, order: str) -> None:
    """Name each place on the x axis where there is room, else only say what they are."""
    if len(names) * max(map(len, names)) <= 60:
        axes.set_xticks(range(len(names)), names)
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel(f"{noun} ({order})")
    else:
        axes.xaxis.set_major_locator(NullLocator())
        axes.set_xlabel(f"{len(names)} {noun}s ({order})")


def per_cent(rates: ArrayLike) -> NDArray:
    """Rates, 0 to 1, in per cent."""
    return 100 * np.asarray(rates, float)


def ink_dark(image: NDArray, ink_bright: bool) -> NDArray:
    """One image as floating gray in 0..1, paper bright."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    require(
        image.ndim == 2 and image.size > 0,
        f"An image has shape (H, W) or (H, W, 1), not {image.shape}.",
    )
    scaled = image / 255 if image.dtype == np.uint8 else np.clip(image.astype(float), 0, 1)
    return 1 - scaled if ink_bright else scaled


def aspect_of(images: Sequence[NDArray]) -> float:
    """Width over height of a cell in which the images sit well."""
    return float(np.clip(np.median([i.shape[1] / i.shape[0] for i in images]), 0.8, 3))


def put_text(figure: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Write text at x, y inches from the figure's top left corner."""
    width, height = figure.get_size_inches()
    figure.text(x / width, 1 - y / height, text, va="top", **look)


def draw_picture(
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


def draw_gallery(
    rows: Sequence[Sequence[tuple[NDArray, str] | None]],
    labels: Sequence[str],
    titles: Sequence[tuple[float, str, str]] = (),
) -> Figure:
    """Lay (image, frame colour) out in rows, each label above its row.

    Titles (place, text, colour) stand above all, at a place in 0..1 from left to right.
    """
    columns = max(map(len, rows))
    cell = WIDTH / columns
    aspect = aspect_of([entry[0] for row in rows for entry in row if entry])
    tall = (cell - 0.06) / aspect
    head = 0.34 if titles else 0.04
    tops = head + np.cumsum([0, *(tall + 0.08 + (0.28 if label else 0) for label in labels)])
    figure = Figure(figsize=(WIDTH, tops[-1]))
    for place, text, colour in titles:
        put_text(figure, place * WIDTH + 0.03, 0.05, text, color=colour, weight="bold")
    for row, label, top in zip(rows, labels, tops, strict=False):
        if label:
            put_text(figure, 0.03, top + 0.03, label, fontsize=11)
            top += 0.28
        for column, entry in enumerate(row):
            if entry:
                box = (column * cell + 0.03, top, cell - 0.06, tall)
                draw_picture(figure, box, entry[0], entry[1])
    return figure
