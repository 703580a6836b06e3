"""Explorers for JupyterLab: a reader chooses, and the figure follows.

Each function returns widgets with a figure below them. In a notebook that is run headless there is
nobody to choose: it then returns one sentence that says what could be chosen, and draws nothing.
Every figure comes from the figures; nothing is random, and nothing that a study writes changes.
"""

import base64
import os
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import TypeAlias, cast

import ipywidgets
import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from deepsign_utils import DeepSignError, figures, metrics, preprocessing

IMAGES_IN_A_ROW = 3  # of each kind
SLIDER_STEPS = 200

Explorer: TypeAlias = "ipywidgets.VBox | Markdown"


def writers(signatures: pd.DataFrame, data_root: str | Path) -> Explorer:
    """Choose a writer: all of their genuine and forged images, side by side, as scanned.

    Parameters
    ----------
    signatures : DataFrame
        The signature table: columns `writer`, `kind`, `path`.
    data_root : str or Path
        The folder that the paths are relative to.

    Returns
    -------
    ipywidgets.VBox or IPython.display.Markdown
        A menu with the gallery; headless, a sentence.

    Raises
    ------
    DeepSignError
        If the table is empty or lacks a column, or an image of the first writer cannot be read.
    """
    _require_table(signatures, {"writer", "kind", "path"}, "signature table")
    if _headless():
        return _offer("a writer, and see all of their images")
    names = list(dict.fromkeys(signatures["writer"]))
    writer = ipywidgets.Dropdown(options=names, description="writer")

    def draw() -> str:
        chosen = signatures[signatures["writer"] == writer.value]
        row = chosen.groupby("kind").cumcount() // IMAGES_IN_A_ROW
        first, last = row * IMAGES_IN_A_ROW + 1, (row + 1) * IMAGES_IN_A_ROW
        figure = figures.specimens(
            [preprocessing.load_grayscale(Path(data_root) / path) for path in chosen["path"]],
            [f"{writer.value}, {a} to {b}" for a, b in zip(first, last, strict=True)],
            list(chosen["kind"]),
            ink_bright=False,
            per_kind=IMAGES_IN_A_ROW,
        )
        counts = chosen["kind"].value_counts()
        said = f"{counts.get('genuine', 0)} genuine and {counts.get('forgery', 0)} forged images"
        return _figure(figure, f"Writer {writer.value}: {said}, as scanned.")

    return _explorer(draw, [writer])


def pairs(scores: pd.DataFrame, canvases: Mapping[int, np.ndarray], threshold: float) -> Explorer:
    """Choose a kind and a place in its ranking: the pair, where it differs, and the verdict.

    The ranking begins with the hardest pair: the lowest score of the genuine ones, the highest of
    the forged ones.

    Parameters
    ----------
    scores : DataFrame
        The score table: columns `left`, `right`, `writer`, `kind`, `score`.
    canvases : mapping of signature id to (H, W) uint8
        Ink bright on 0.
    threshold : float
        A pair is accepted if its score is at least this.

    Returns
    -------
    ipywidgets.VBox or IPython.display.Markdown
        A menu, a slider and the pair; headless, a sentence.

    Raises
    ------
    DeepSignError
        If the table is empty or lacks a column, or a signature of it has no canvas.
    """
    _require_table(scores, {"left", "right", "writer", "kind", "score"}, "score table")
    missing = sorted({*scores["left"], *scores["right"]} - set(canvases))
    if missing:
        raise DeepSignError(
            f"{len(missing)} signatures of the score table have no canvas (first: {missing[0]}): "
            "take scores and canvases from the same study."
        )
    if _headless():
        return _offer("any pair of the ranking, and see where it differs")
    ranking = {
        kind: scores[scores["kind"] == kind].sort_values(
            "score", ascending=kind == "genuine", kind="stable"
        )
        for kind in metrics.KINDS
        if (scores["kind"] == kind).any()
    }
    named = [(figures.NAMES[kind], kind) for kind in ranking]
    kind = ipywidgets.Dropdown(options=named, description="kind")
    place = ipywidgets.IntSlider(
        value=1, min=1, max=len(ranking[kind.value]), description="place", continuous_update=False
    )

    def draw() -> str:
        ranked = ranking[kind.value]
        place.max = len(ranked)
        row = ranked.iloc[place.value - 1]
        score = float(row["score"])  # in float32 the threshold would be rounded, perhaps onto it
        accepted = score >= threshold
        right = accepted == (row["kind"] == "genuine")
        pair = {
            "left": canvases[row["left"]],
            "right": canvases[row["right"]],
            "score": score,
            "kind": row["kind"],
            "caption": f"writer {row['writer']}",
        }
        return _figure(
            figures.pair_gallery([pair], differences=True),
            f"Pair {place.value} of {len(ranked)}, the hardest first: a {kind.label} pair of "
            f"writer {row['writer']}. Its score, {_number(score)}, is "
            f"{'at least' if accepted else 'below'} {_number(threshold)}: "
            f"{'accepted' if accepted else 'rejected'}, {'rightly' if right else 'wrongly'}.",
        )

    return _explorer(draw, [kind, place])


def threshold(scores: pd.DataFrame, threshold: float) -> Explorer:
    """Try another threshold: what it would have accepted and rejected.

    Parameters
    ----------
    scores : DataFrame
        The score table: columns `kind`, `score`.
    threshold : float
        The study's own, from the validation writers; the slider begins there.

    Returns
    -------
    ipywidgets.VBox or IPython.display.Markdown
        A slider, the error rates in words and the distributions; headless, a sentence.

    Raises
    ------
    DeepSignError
        If the table is empty or lacks a column, or a score is not finite.
    """
    _require_table(scores, {"kind", "score"}, "score table")
    values = {
        kind: metrics.finite_scores(scores.loc[scores["kind"] == kind, "score"], kind)
        for kind in metrics.KINDS
        if (scores["kind"] == kind).any()
    }
    if _headless():
        return _offer("another threshold, and see what it would have done")
    low = min(threshold, *(part.min() for part in values.values()))
    high = max(threshold, *(part.max() for part in values.values()))
    step = max(high - low, 1e-6) / SLIDER_STEPS
    slider = ipywidgets.FloatSlider(
        value=threshold,
        min=low,
        max=high + step,  # where even the highest score is rejected
        step=step,
        readout_format=".3f",
        description="threshold",
        continuous_update=False,
    )

    def draw() -> str:
        said = []
        for kind, part in values.items():
            wrong = int((part < slider.value if kind == "genuine" else part >= slider.value).sum())
            rate, verb = ("FNMR", "rejected") if kind == "genuine" else ("FMR", "accepted")
            said.append(
                f"{wrong:,} of {len(part):,} {figures.NAMES[kind]} pairs are {verb} "
                f"({rate} {wrong / len(part):.1%})".replace("%", " %")
            )
        return _figure(
            figures.distance_distributions(scores, threshold, chosen=slider.value),
            f"At a threshold of {_number(slider.value)}, {'; '.join(said)}. The study's own, "
            f"{_number(threshold)}, was fixed on validation writers, and stays.",
        )

    return _explorer(draw, [slider])


def _headless() -> bool:
    """Whether nobody can choose: JupyterLab sets this variable, papermill and nbval do not."""
    return "JPY_SESSION_NAME" not in os.environ


def _offer(choice: str) -> Markdown:
    return Markdown(f"*In JupyterLab (`make lab`), choose here {choice}.*")


def _explorer(draw: Callable[[], str], controls: list[ipywidgets.ValueWidget]) -> ipywidgets.VBox:
    """Put what `draw` returns (HTML) below the controls, and draw again when one changes."""
    shown = ipywidgets.HTML(draw())

    def follow(change: dict) -> None:
        try:
            shown.value = draw()
        except DeepSignError as error:  # raised here, it would end up in a log that nobody reads
            shown.value = f"<p>{escape(str(error))}</p>"

    for control in controls:
        control.observe(follow, "value")
    return ipywidgets.VBox([*controls, shown])


def _figure(figure: Figure, said: str) -> str:
    """A figure and what it says, as HTML. An image in HTML has an alternative text, unlike the
    image widget."""
    image = base64.b64encode(cast(bytes, figures.render(figure)["image/png"])).decode()
    width = round(figure.get_figwidth() * 96)  # CSS pixels, of which 96 make an inch
    return (
        f"<p>{escape(said)}</p>"
        f'<img src="data:image/png;base64,{image}" alt="{escape(said)}" '
        f'style="width: {width}px; max-width: 100%">'
    )


def _number(score: float) -> str:
    return f"{score:.3f}".replace("-", "−")


def _require_table(table: pd.DataFrame, columns: set[str], name: str) -> None:
    missing = sorted(columns - set(table))
    if missing:
        raise DeepSignError(f"The {name} lacks the columns {missing}; it has {list(table)}.")
    if table.empty:
        raise DeepSignError(f"The {name} is empty: there is nothing to choose from.")
    unknown = set(table["kind"]) - {"forgery", *metrics.KINDS}
    if unknown:
        raise DeepSignError(f"The {name} has rows of an unknown kind: {sorted(map(str, unknown))}.")
