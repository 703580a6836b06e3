"""Figures of scores and errors: distributions, DET, ROC, writers, pairs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy import ndimage
from scipy.stats import norm

from deepsign_utils.figures.style import (
    COLOURS,
    DASHES,
    INK,
    NAMES,
    OTHERS,
    QUIET,
    STYLE,
    SWATCH,
    UPRIGHT,
    WIDTH,
    Curve,
    Rate,
    aspect_of,
    draw_picture,
    ink_dark,
    legend_above,
    name_places,
    new_axes,
    per_cent,
    put_text,
    require,
    require_columns,
)
from deepsign_utils.metrics import format_rate
from deepsign_utils.preprocessing import ink_box

# Ink of two signatures laid over each other: no kind's colour, 3 : 1 against white, and apart from
# each other and from the gray for readers with any colour vision.
DIFFERENCE = {"in both": "#404040", "reference only": "#0E8FA0", "questioned only": "#CF8200"}


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
    require_columns(scores, ["kind", "score"], "score table")
    kinds = [kind for kind in ("genuine", "skilled", "random") if (scores["kind"] == kind).any()]
    require(bool(kinds), "The score table has no genuine, skilled or random pair.")
    values = scores["score"].to_numpy(float)
    require(bool(np.isfinite(values).all()), "The score table has scores that are not finite.")
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
        Line2D([], [], color=INK, label=f"{name}: accepted to its right", **UPRIGHT),
        Line2D([], [], color=INK, label="dark: decided wrongly", **SWATCH),
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
    figure, axes = new_axes(height=5.6 + 0.25 * len(curves))
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
        (0.97, 0.97),
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
        axis.set_major_locator(FixedLocator(deviate(shown).tolist()))
        axis.set_minor_locator(FixedLocator(deviate(between).tolist()))
        axis.set_ticklabels([f"{100 * r:g}" for r in shown])
    pad = 0.02 * (ends[1] - ends[0])  # a curve along the frame is not cut in half
    axes.set(xlim=(ends[0] - pad, ends[1]), ylim=(ends[0] - pad, ends[1]))
    axes.set_aspect("equal")
    axes.set_xlabel("FMR: forged pairs accepted (%)")
    axes.set_ylabel("FNMR: genuine pairs rejected (%)")
    legend_above(axes, looks.items())
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
    figure, axes = new_axes(height=5.6 + 0.25 * len(curves))
    axes.plot([0, 100], [0, 100], color=QUIET, linewidth=1)
    axes.annotate(
        "chance", (62, 58), color=QUIET, fontsize=11, rotation=45, ha="center", va="center"
    )

    def accepted(rates: ArrayLike) -> NDArray:
        return 100 * (1 - np.asarray(rates, float))

    _trade_offs(axes, curves, bands, points, looks, per_cent, accepted)
    axes.set(xlim=(-1.5, 100), ylim=(0, 101.5))
    axes.set_aspect("equal")
    axes.set_xlabel("FMR: forged pairs accepted (%)")
    axes.set_ylabel("genuine pairs accepted (%)")
    legend_above(axes, looks.items())
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
    figure, axes = new_axes(height=4.2)
    genuine: dict[str, Any] = {"color": COLOURS["genuine"]}
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
    entries = [("FNMR, genuine", genuine), *fmrs, ("validation threshold", UPRIGHT)]
    legend_above(axes, entries, columns=2)
    return figure


@mpl.rc_context(STYLE)
def counted_errors(genuine: ArrayLike, forged: ArrayLike, curve: Curve, eer: float) -> Figure:
    """A handful of scores, and the error rates that each threshold among them makes.

    Parameters
    ----------
    genuine, forged : array (g,), array (f,)
        Scores, few enough to be counted.
    curve : curve
        Of these: `metrics.error_curve`.
    eer : float
        Where its two rates are equal, a fraction.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2.6))
    scores = {"genuine": np.asarray(genuine, float), "skilled": np.asarray(forged, float)}
    for height, (kind, values) in enumerate(scores.items()):
        upper.plot(values, np.full(len(values), height), "o", markersize=9, color=COLOURS[kind])
    upper.set_yticks([0, 1], ["genuine", "forged"])
    upper.set_ylim(-0.6, 1.6)
    upper.tick_params(axis="y", length=0)
    upper.grid(axis="y", visible=False)
    # A threshold does the same from above one score up to the next.
    places, rates = np.asarray(curve.threshold, float), (curve.fmr, curve.fnmr)
    pad = 0.06 * np.ptp(places)
    ends = np.concatenate([[places[0] - pad], places, [places[-1] + pad]])
    for kind, rate, dashes in zip(("skilled", "genuine"), rates, ("-", (0, (4, 1.5))), strict=True):
        steps = 100 * np.concatenate([[rate[0]], rate, [rate[-1]]])
        lower.step(ends, steps, where="pre", color=COLOURS[kind], linestyle=dashes)
    lower.axhline(100 * eer, color=QUIET, linewidth=1.2)
    lower.annotate(
        f"EER {100 * eer:.1f} %", (ends[-1], 100 * eer), ha="right", va="bottom", color=INK
    )
    lower.set(xlim=(ends[0], ends[-1]), ylim=(-3, 103))
    lower.set_xlabel("threshold on the score (no unit)")
    lower.set_ylabel("error rate (%)")
    looks: list[tuple[str, dict[str, Any]]] = [
        ("FMR: forged accepted", {"color": COLOURS["skilled"]}),
        ("FNMR: genuine rejected", {"color": COLOURS["genuine"], "linestyle": (0, (4, 1.5))}),
    ]
    legend_above(upper, looks, columns=2)
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
    require(len(eers) > 0, "There is no writer whose EER could be drawn.")
    mean = float(eers.mean()) if mean is None else mean
    figure, axes = new_axes(height=4.2)
    places, heights = np.arange(len(eers)), 100 * eers.to_numpy()
    colour = COLOURS["skilled"]
    axes.vlines(places, 0, heights, color=colour, alpha=0.35, linewidth=1.5)
    axes.plot(places, heights, "o", color=colour, markersize=7 if len(eers) <= 60 else 4)
    entries = []
    for rate, name, dashes in ((pooled, "pooled", "-"), (mean, "mean of writers", (0, (5, 3)))):
        value, low, high = _interval(rate)
        look: dict[str, Any] = {"color": INK, "linewidth": 1.6, "linestyle": dashes}
        axes.axhline(100 * value, **look)
        axes.axhspan(100 * low, 100 * high, color=INK, alpha=0.08, linewidth=0)
        entries.append((f"{name}: {_written(rate)}", look))
    top = max(5, 1.08 * heights.max())
    axes.set_ylim(-0.02 * top, top)
    axes.margins(x=0.02)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("EER of the writer (%)")
    name_places(axes, [str(writer) for writer in eers.index], "test writer", "easiest first")
    legend_above(axes, entries)
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
    require(len(pairs) > 0, "A gallery of pairs needs at least one pair.")
    for pair in pairs:
        require(wanted <= set(pair), f"A pair of the gallery lacks {wanted - set(pair)}.")
        require(pair["kind"] in COLOURS, f"A pair's kind cannot be {pair['kind']!r}.")
    genuine = [pair for pair in pairs if pair["kind"] == "genuine"]
    forged = [pair for pair in pairs if pair["kind"] != "genuine"]
    both = bool(genuine and forged)
    columns = [genuine, forged] if both else [list(pairs[0::2]), list(pairs[1::2])]
    columns = [members for members in columns if members]

    cell = (WIDTH - 0.1 - 0.2 * (len(columns) - 1)) / (2 * len(columns))
    aspect = aspect_of([pair["left"] for pair in pairs])
    height, wide = cell / aspect, 2 * cell - 0.04
    below = height + 0.04 + wide / aspect if differences else height
    legend = 0.3 if differences else 0.0
    row, head = below + 0.42, legend + (0.34 if both else 0.08)
    count = max(map(len, columns))
    figure = Figure(figsize=(WIDTH, head + row * count))
    if differences:
        handles = [
            Line2D([], [], color=colour, label=label, **SWATCH)
            for label, colour in DIFFERENCE.items()
        ]
        figure.legend(handles=handles, loc="upper left", ncols=3, borderpad=0.2, handlelength=1)
    for column, members in enumerate(columns):
        start = 0.05 + column * (2 * cell + 0.2)
        present = dict.fromkeys(pair["kind"] for pair in members) if both else ()
        for place, kind in zip((start, start + cell), present, strict=False):
            look = {"color": COLOURS[kind], "weight": "bold"}
            put_text(figure, place + 0.02, legend + 0.06, NAMES[kind], **look)
        for index, pair in enumerate(members):
            top, frame = head + index * row, COLOURS[pair["kind"]]
            for side, place in (("left", start), ("right", start + cell)):
                box = (place + 0.02, top, cell - 0.04, height)
                draw_picture(figure, box, ink_dark(pair[side], True), frame)
            if differences:
                box = (start + 0.02, top + height + 0.04, wide, wide / aspect)
                draw_picture(figure, box, overlaid(pair["left"], pair["right"]), frame)
            score = f"{pair['score']:.3f}".replace("-", "−")
            line = f"score {score}  {pair['caption']}".rstrip()
            put_text(figure, start + 0.02, top + below + 0.06, line, fontsize=10.5)
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
    inks = [1 - ink_dark(canvas, True) for canvas in (reference, questioned)]
    same = inks[0].shape == inks[1].shape
    require(same, f"Canvases to overlay have one size, not {inks[0].shape} and {inks[1].shape}.")
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
    require(bool(results), "There is no number of references to draw results of.")
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


_DASHED = (0, (3, 2))
_DOTTED = (0, (1, 1.2))


def _interval(rate: Rate) -> tuple[float, float, float]:
    if isinstance(rate, Mapping):
        return float(rate["value"]), float(rate["low"]), float(rate["high"])
    return float(rate), float(rate), float(rate)


def _written(rate: Rate) -> str:
    interval = rate if isinstance(rate, Mapping) else {"value": rate, "low": None, "high": None}
    return format_rate(interval).replace("\u00a0", " ")


def _looks(
    curves: Mapping[str, Curve], bands: Mapping | None = None, points: Mapping | None = None
) -> dict[str, dict[str, Any]]:
    """Check the curves, and give each label its colour and dashes."""
    require(bool(curves), "There is no curve to draw.")
    spare = iter(OTHERS * len(curves))
    looks: dict[str, dict[str, Any]] = {}
    for label, curve in curves.items():
        lengths = {len(curve.threshold), len(curve.fmr), len(curve.fnmr)}
        require(
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
        require(not unknown, f"There is no curve called {sorted(unknown)}.")
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
