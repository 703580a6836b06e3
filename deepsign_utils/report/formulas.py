"""Formulas of a notebook's prose as pictures, which need no script and no other host."""

from __future__ import annotations

import base64
import html
import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

from deepsign_utils import DeepSignError
from deepsign_utils.report.rendering import picture_size

FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)


def with_pictures(markdown: str) -> str:
    """Markdown whose formulas, between double dollars, are pictures; their text stands for them.

    Raises
    ------
    DeepSignError
        For what matplotlib cannot set.
    """
    return FORMULA.sub(lambda found: _picture(" ".join(found[1].split())), markdown)


def _picture(text: str) -> str:
    figure, stream = Figure(), io.BytesIO()
    try:
        with mpl.rc_context(mpl.rcParamsDefault | {"svg.hashsalt": "deepsign"}):
            figure.text(0, 0, f"${text}$", fontsize=13)
            figure.savefig(
                stream,
                format="svg",
                transparent=True,
                bbox_inches="tight",
                pad_inches=0.03,
                metadata={"Date": None, "Creator": None},
            )
    except ValueError as error:
        raise DeepSignError(f"The formula {text} cannot be set: {error}") from error
    width, height = picture_size(stream.getvalue(), "image/svg+xml")
    source = f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return (
        f'<img class="formula" alt="{html.escape(text)}" src="{source}" '
        f'width="{width}" height="{height}">'
    )
