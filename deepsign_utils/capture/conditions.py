"""The conditions under which a verifier is measured: each simulation at two or three strengths."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from deepsign_utils.capture import camera, fax, form, geometry, pen, sheet
from deepsign_utils.capture.paper import DEFAULT_DPI

Simulation = Callable[[np.ndarray, np.random.Generator, float, float], np.ndarray]
"""Image, generator, strength, dots per inch -> image; see `deepsign_utils.capture.paper`."""


@dataclass(frozen=True)
class Aim:
    """What the project wants to hold under a condition, against images as scanned.

    Attributes
    ----------
    eer : float
        The EER is at most so many times theirs.
    refused : float, optional
        At the threshold fixed on them, this share more of genuine signatures is refused at most.
    """

    eer: float
    refused: float | None = None


HARMLESS, CLEANED, COVERED = Aim(1.1), Aim(1.5, 0.05), Aim(2.0)
"""What should cost nothing, what cleaning should mend, and what hides strokes."""


@dataclass(frozen=True)
class Condition:
    """One way of capturing a signature, at several strengths.

    Attributes
    ----------
    name, group : str
        For people; the name is unique.
    simulate : Simulation
    strengths : dict
        Label -> strength, weakest first.
    aim : Aim, optional
        None for what no cleaning can give back.
    """

    name: str
    group: str
    simulate: Simulation
    strengths: dict[str, float]
    aim: Aim | None = None


def in_turn(*steps: Simulation) -> Simulation:
    """A simulation made of several, each at the same strength, one after the other."""

    def simulate(
        image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
    ) -> np.ndarray:
        for step in steps:
            image = step(image, rng, strength, dpi)
        return image

    return simulate


_INK = {"pale": 0.35, "black": 0.9}
_RED = {"pale": 0.4, "full": 1.0}


def _turned(*degrees: int) -> dict[str, float]:
    return {f"{n}°": n / geometry.MOST_DEGREES for n in degrees}


def _red(simulate: Callable[..., np.ndarray]) -> Simulation:
    return partial(simulate, colour=form.STAMP_RED)


CONDITIONS = (
    Condition("shading", "camera", camera.shading, {"30 %": 0.5, "60 %": 1.0}, HARMLESS),
    Condition("soft shadow", "camera", camera.shadow, {"30 %": 0.5, "60 %": 1.0}, CLEANED),
    Condition("sharp shadow", "camera", camera.sharp_shadow, {"30 %": 0.5, "60 %": 1.0}, CLEANED),
    Condition("perspective", "camera", camera.perspective, {"10°": 1 / 3, "20°": 2 / 3}, HARMLESS),
    Condition("out of focus", "camera", camera.defocus, {"0.15 mm": 0.3, "0.3 mm": 0.6}),
    Condition("motion", "camera", camera.motion, {"0.3 mm": 0.3, "0.6 mm": 0.6}),
    Condition("noise", "camera", camera.noise, {"10 levels": 1 / 3, "20 levels": 2 / 3}, HARMLESS),
    Condition("sharpening", "camera", camera.sharpened, {"1 x": 1 / 3, "2 x": 2 / 3}),
    Condition("JPEG", "camera", camera.jpeg, {"quality 40": 2 / 3, "quality 20": 8 / 9}, HARMLESS),
    Condition("sheet on a desk", "camera", camera.desk, {"15 %": 0.25, "40 %": 2 / 3}, CLEANED),
    Condition("photograph", "camera", camera.photograph, {"mild": 0.5, "full": 1.0}, CLEANED),
    Condition(
        "photograph on a desk", "camera", camera.on_a_desk, {"mild": 0.5, "full": 1.0}, CLEANED
    ),
    Condition("thinner pen", "pen", pen.thinner_pen, {"0.3 mm": 0.545, "0.2 mm": 1.0}, CLEANED),
    Condition("thicker pen", "pen", pen.thicker_pen, {"0.8 mm": 0.487, "1.2 mm": 1.0}, HARMLESS),
    Condition("pencil", "pen", pen.pencil, {"half": 0.6, "faint": 1.0}, HARMLESS),
    Condition("blue ink", "pen", pen.coloured_ink, {"full": 1.0}, HARMLESS),
    Condition("turned", "geometry", geometry.turned, _turned(3, 5, 8, 10), CLEANED),
    Condition("turned far", "geometry", geometry.turned, _turned(15)),
    Condition("coarser", "geometry", geometry.coarser, {"half way": 0.5, "75 dpi": 1.0}, HARMLESS),
    Condition("finer", "geometry", geometry.finer, {"600 dpi": 1.0}, HARMLESS),
    Condition("cropped", "geometry", geometry.cropped, {"6 %": 0.2, "15 %": 0.5}),
    Condition(
        "light on dark", "geometry", geometry.light_on_dark, {"gray": 0.6, "black": 1.0}, HARMLESS
    ),
    Condition("ruled line", "form", form.ruled_line, _INK, CLEANED),
    Condition("dashed line", "form", form.dashed_line, _INK, CLEANED),
    Condition("lined paper", "form", form.lined_paper, _INK, CLEANED),
    Condition("squared paper", "form", form.squared_paper, _INK, CLEANED),
    Condition("box", "form", form.box, _INK, CLEANED),
    Condition("comb", "form", form.comb, _INK, CLEANED),
    Condition("text below", "form", form.text_below, _INK, CLEANED),
    Condition("text above", "form", form.text_above, _INK, CLEANED),
    Condition("text beside", "form", form.text_beside, _INK, CLEANED),
    Condition("line and text", "form", form.line_and_text, _INK, CLEANED),
    Condition("pale stamp", "form", form.stamp, {"pale": 0.35}, CLEANED),
    Condition("dark stamp", "form", form.stamp, {"black": 0.9}, COVERED),
    Condition("pale seal", "form", form.seal, {"pale": 0.35}, CLEANED),
    Condition("dark seal", "form", form.seal, {"black": 0.9}, COVERED),
    Condition("red stamp", "form", _red(form.stamp), _RED, COVERED),
    Condition("red line", "form", _red(form.ruled_line), _RED, CLEANED),
    Condition(
        "blue ink on a black line",
        "form",
        in_turn(pen.coloured_ink, form.ruled_line),
        {"full": 1},
        CLEANED,
    ),
    Condition("black and white", "machine", fax.one_bit, {"light": 0.2, "hard": 0.8}),
    Condition("dithered", "machine", fax.dithered, {"white paper": 0.1, "gray paper": 1.0}),
    Condition("fax", "machine", fax.fax, {"fine": 0.5, "standard": 1.0}, CLEANED),
    Condition("photocopy", "machine", fax.photocopy, {"first": 0.2, "third": 0.6, "fifth": 1.0}),
    Condition("streaks", "machine", fax.streaks, {"2": 0.25, "8": 1.0}),
    Condition("bleed-through", "sheet", sheet.bleed_through, {"25 %": 0.5, "50 %": 1.0}),
    Condition("fold", "sheet", sheet.folded, {"30 %": 0.5, "60 %": 1.0}),
    Condition("punch hole", "sheet", sheet.punched, {"black": 1.0}, CLEANED),
    Condition("staple", "sheet", sheet.stapled, {"black": 1.0}, CLEANED),
    Condition("page's border", "sheet", sheet.bordered, {"2 mm": 1 / 3, "6 mm": 1.0}),
)
"""Every condition of the benchmark, in the order of its table."""

BY_NAME = {condition.name: condition for condition in CONDITIONS}
