"""Figures of many runs: sweeps, benchmarks, one dataset against another."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deepsign_utils.figures.style import (
    COLOURS,
    INK,
    MARK,
    OTHERS,
    QUIET,
    STYLE,
    UPRIGHT,
    WIDTH,
    new_axes,
    per_cent,
    require,
    require_columns,
)

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
    require_columns(results, ["study", "setting", "seed", *rates], "table of runs")
    require(len(results) > 0, "No run is finished: there is nothing to draw.")
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
                per_cent(runs[f"eer_skilled{end}"]) for end in ("_low", "", "_high")
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
    one: dict[str, Any] = {
        "linestyle": "-",
        "marker": "|",
        "markersize": 9,
        "alpha": 0.75,
        "color": colour,
    }
    entries = {
        "a seed, with its interval": one,
        "mean, test": {**MARK, "marker": "D", "color": colour},
        "mean, validation": {**MARK, "marker": "o", "color": INK, "markerfacecolor": "white"},
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
    require_columns(results, ["study", "eer_skilled", *varied], "table of runs")
    require(bool(varied) and len(results) > 0, "There is no swept parameter or run to draw.")
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
            errors = per_cent(part["eer_skilled"])
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
    require_columns(ratios, ["label", "value", "target"], "table of ratios")
    require(len(ratios) > 0, "There is no ratio to draw.")
    figure, axes = new_axes(height=1.4 + 0.5 * len(ratios))
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
    dot = {**MARK, "marker": "o", "color": colour, "markersize": 9}
    entries = {
        "measured": dot,
        "below its target": {**dot, "markerfacecolor": "white"},
        "target": {**UPRIGHT, "color": INK},
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
    require(len(names) > 0 and names == list(rates.index), "A matrix names the same studies twice.")
    figure, axes = new_axes(height=1.6 + 0.62 * len(names))
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
    turned: dict[str, Any] = {}
    if crowded:
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(places, names, **turned)
    axes.set_yticks(places, names)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_title(f"{title} (%)")
    axes.set_xlabel("tested on")
    axes.set_ylabel("trained on")
    return figure
