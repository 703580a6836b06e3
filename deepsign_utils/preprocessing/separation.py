"""Which ink on a page is the signature's: told by a small network, `separation.onnx`.

The network sees a page's ink at one scale, whatever the scan's resolution, and says of each pixel
whether a stroke of the signature passes there, and of all other ink what it is. A pixel where a
stroke crosses print is the stroke's, so that no stroke is cut. The network learnt from synthetic
writers on simulated forms (`deepsign_utils.runs.separating`), from no real signature.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from deepsign_utils.preprocessing.images import resize
from deepsign_utils.preprocessing.ink import EDGE, ink_box, paper_levels, typical_stroke_width

if TYPE_CHECKING:  # its import takes a tenth of a second
    import onnxruntime

SEPARATOR = Path(__file__).with_name("separation.onnx")
"""The network: float32 (1, H, W, 2) to (1, H, W, 1 + kinds), H and W multiples of `STEP`."""

KINDS = ("line", "box", "text", "stamp", "back", "staple")
"""What other ink may be: lines and squares, a box or comb, print, a stamp or seal, writing that
shines through from the back, a staple. The network's outputs behind the first are in this order."""

STEP = 32
"""A network's input is padded to multiples of so many pixels."""

_STROKE = 3.0  # pixels that strokes are wide at the network's scale
_LONGEST = 768  # pixels of the longer side, at most
_MARGIN = 8  # pixels of the page around the ink
_DARKEST = 1.25  # times the darkness that a tenth of the ink exceeds


class View(NamedTuple):
    """A page's ink as the network sees it.

    Attributes
    ----------
    seen : np.ndarray
        Shape (h, w, 2), uint8: darkness, 255 at `_DARKEST` times the ink's own; the ink's share of
        each pixel.
    box : tuple of slice
        The part of the page that is seen.
    """

    seen: np.ndarray
    box: tuple[slice, slice]


class Separation(NamedTuple):
    """What of a page's ink is the signature's.

    Attributes
    ----------
    kept : np.ndarray
        Shape (H, W), bool: the signature's ink.
    other : dict
        Kind -> where its ink is, bool (H, W); kinds that the page shows only.
    """

    kept: np.ndarray
    other: dict[str, np.ndarray]


def view(gray: np.ndarray, field: np.ndarray) -> View:
    """Show a page's ink as the network sees it.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright.
    field : np.ndarray
        Its ink, from `ink.ink_field`; there is some.
    """
    top, bottom, left, right = ink_box(field > EDGE)
    box = np.s_[max(0, top - _MARGIN) : bottom + _MARGIN, max(0, left - _MARGIN) : right + _MARGIN]
    ink = field[box] > EDGE
    darkness = np.clip(1 - gray[box] / paper_levels(gray)[box], 0, 1)
    darkness /= _DARKEST * np.percentile(darkness[ink], 90)
    scale = min(_STROKE / typical_stroke_width(ink), _LONGEST / max(ink.shape))
    height, width = (max(1, round(scale * side)) for side in ink.shape)
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    seen = [
        resize(np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8), (height, width), how)
        for plane in (darkness, ink)
    ]
    return View(np.stack(seen, axis=-1), box)


def separate(gray: np.ndarray, field: np.ndarray) -> Separation:
    """Tell the signature's ink from all other ink on a page.

    Parameters
    ----------
    gray, field : np.ndarray
        As for `view`.
    """
    seen, box = view(gray, field)
    told = tell(seen)
    ink = field[box] > EDGE
    kept = np.zeros(field.shape, bool)
    kept[box] = ink & (resize(told[..., 0], ink.shape, Image.Resampling.BILINEAR) > 0)
    kinds = resize(
        told[..., 1:].argmax(axis=-1).astype(np.uint8), ink.shape, Image.Resampling.NEAREST
    )
    other = {}
    for number, kind in enumerate(KINDS):
        part = np.zeros(field.shape, bool)
        part[box] = ink & ~kept[box] & (kinds == number)
        if part.any():
            other[kind] = part
    return Separation(kept, other)


def tell(seen: np.ndarray) -> np.ndarray:
    """What the network says of each pixel.

    Parameters
    ----------
    seen : uint8 (h, w, 2)
        From `view`.

    Returns
    -------
    float32 (h, w, 1 + kinds)
        Log odds that ink is the signature's; logits of what it is if not.
    """
    height, width = seen.shape[:2]
    padded = np.zeros((1, height + -height % STEP, width + -width % STEP, 2), np.float32)
    padded[0, :height, :width] = seen / np.float32(255)
    network = _network()
    (told,) = network.run(None, {network.get_inputs()[0].name: padded})
    return told[0, :height, :width]


@cache
def _network() -> onnxruntime.InferenceSession:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # on Windows, which does not ask the environment
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # images go side by side
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(SEPARATOR, options, providers=["CPUExecutionProvider"])
