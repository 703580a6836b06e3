"""Measure how often a verdict tells that a signature leans, was written with another pen, is too
coarse, or of another kind.

``python -m deepsign_utils.runs.misfit NAME=FOLDER …`` judges genuine, forged and strangers'
signatures as they are and turned; genuine ones by thicker pens, and genuine and forged ones in few
pixels; and the left third of genuine ones, which stands for initials.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from deepsign_utils import DeepSignError, datasets
from deepsign_utils.capture.conditions import BY_NAME
from deepsign_utils.capture.paper import estimated_dpi
from deepsign_utils.preprocessing import ink_box, ink_mask, load_grayscale
from deepsign_utils.synthetic.draw import draw_writer
from deepsign_utils.verifying.references import References
from deepsign_utils.verifying.verifier import Verifier

TURNS = (0, 5, 8, 10, 15, 90, 100, 180, 190)
"""Degrees, to either side in turn."""

PENS = BY_NAME["thicker pen"].strengths
"""Width -> strength of the capture; signatures as scanned are taken to be by a pen of 0.42 mm."""

PIXELS = (192, 128, 96, 64, 48)
"""Of a coarse signature's longer side."""

_REFERENCES = (1, 5)
_QUESTIONED = 3  # genuine, and forged, of each writer
_THIRD = 0.35


def turned(gray: np.ndarray, degrees: float) -> np.ndarray:
    """A page turned anticlockwise on paper of its own shade."""
    if not degrees:
        return gray
    paper = int(np.median(gray))
    image = Image.fromarray(gray)
    return np.asarray(image.rotate(degrees, Image.Resampling.BICUBIC, True, fillcolor=paper))


def left_part(gray: np.ndarray) -> np.ndarray:
    """The left third of a signature, somewhat more."""
    _, _, left, right = ink_box(ink_mask(gray))
    return gray[:, : left + round(_THIRD * (right - left))]


def by_pen(gray: np.ndarray, width: str) -> np.ndarray:
    """A signature, uint8 (H, W), by one of the thicker `PENS`."""
    thicker = BY_NAME["thicker pen"].simulate
    return thicker(gray, np.random.default_rng(0), PENS[width], estimated_dpi(gray))


def coarse(gray: np.ndarray, pixels: int) -> np.ndarray:
    """A page reduced until its ink's longer side has so many pixels, where it has more."""
    top, bottom, left, right = ink_box(ink_mask(gray))
    share = min(1.0, pixels / max(bottom - top, right - left))
    size = [max(1, round(share * side)) for side in gray.shape[::-1]]
    return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.HAMMING))


def synthetic_writers(number: int) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Genuine and forged signatures of writers that no shipped model has learnt from."""
    for writer in range(number):
        drawn = draw_writer(505, writer, max(_REFERENCES) + _QUESTIONED, _QUESTIONED)
        yield drawn.genuine, drawn.forgeries


def people(folder: Path, number: int) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """The same of a dataset's first writers with enough signatures."""
    signatures, _ = datasets.read_dataset(folder)
    for _, own in list(signatures.groupby("writer", sort=False))[:number]:
        kinds = [own.loc[own["kind"] == kind, "path"] for kind in ("genuine", "forgery")]
        if len(kinds[0]) > max(_REFERENCES) and len(kinds[1]):
            genuine, forged = (
                [load_grayscale(folder / path) for path in paths[:most]]
                for paths, most in zip(
                    kinds, (max(_REFERENCES) + _QUESTIONED, _QUESTIONED), strict=True
                )
            )
            yield genuine, forged


def judged(
    verifier: Verifier,
    genuine: list[np.ndarray],
    forged: list[np.ndarray],
    strangers: list[np.ndarray],
) -> list[dict]:
    """Judge signatures against a writer's references: a row a verdict."""
    read = [verifier.read(image) for image in genuine[: max(_REFERENCES)]]
    embedded = verifier.embed(np.stack([one.canvas for one in read]))
    known = {}
    for k in _REFERENCES:
        traces = tuple(one.trace for one in read[:k])
        known[k] = References(embedded[:k], verifier.identity, (), traces)
    rows = []
    for kind, turn, image in _cases(genuine[max(_REFERENCES) :], forged, strangers):
        row = {"kind": kind, "turned": turn}
        try:
            signature = verifier.read_questioned(image)
        except DeepSignError:
            rows += [row | {"references": k, "decision": "not judged", "codes": ""} for k in known]
            continue
        embedding = verifier.embed(signature.canvas[None])[0]
        for k, references in known.items():
            comparison = verifier.judge(references, signature, embedding)
            codes = ",".join(warning.code for warning in comparison.warnings)
            rows.append(row | {"references": k, "decision": comparison.decision, "codes": codes})
    return rows


def _cases(
    genuine: list[np.ndarray], forged: list[np.ndarray], strangers: list[np.ndarray]
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Kind, turn and image of what is judged."""
    questioned = [("genuine", image) for image in genuine]
    questioned += [("forged", image) for image in forged]
    questioned += [("stranger", image) for image in strangers]
    for number, (kind, image) in enumerate(questioned):
        for turn in TURNS:
            yield kind, turn, turned(image, turn * (-1) ** number)
        if kind == "genuine":
            yield "part", 0, left_part(image)
            for width in PENS:
                yield f"{width} pen", 0, by_pen(image, width)
        if kind != "stranger":
            of = "" if kind == "genuine" else ", forged"
            for pixels in PIXELS:
                yield f"{pixels} pixels{of}", 0, coarse(image, pixels)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares by number of references, kind and turn: decisions, told to be by another pen or of
    another kind, and rejected without a word.

    A signature is referred if it is turned and would be accepted upright, or if it is refused and
    too coarse.
    """
    rows = rows.assign(silent=(rows["decision"] == "rejected") & (rows["codes"] == ""))
    groups = rows.groupby(["references", "kind", "turned"])
    decisions = ("accepted", "referred", "rejected", "not judged")
    shares = {
        name: groups["decision"].agg(lambda some, name=name: (some == name).mean())
        for name in decisions
    }
    for code in ("another_pen", "other_kind"):
        shares[code.replace("_", " ")] = groups["codes"].agg(
            lambda some, code=code: some.str.contains(code).mean()
        )
    shares["silent"] = groups["silent"].mean()
    return pd.DataFrame({"verdicts": groups.size(), **shares}).reset_index()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: see the module."""
    parser = argparse.ArgumentParser(prog="python -m deepsign_utils.runs.misfit")
    parser.add_argument("--writers", type=int, default=20, help="of each; default: %(default)s")
    parser.add_argument("sets", nargs="*", help="NAME=FOLDER of real signatures")
    options = parser.parse_args(arguments)
    verifier = Verifier.load()
    sources = {"synthetic": synthetic_writers(options.writers)}
    for one in options.sets:
        name, _, folder = one.partition("=")
        sources[name] = people(Path(folder), options.writers)
    for name, writers in sources.items():
        rows: list[dict] = []
        strangers: list[np.ndarray] = []
        for genuine, forged in tqdm(writers, name):
            rows += judged(verifier, genuine, forged, strangers)
            strangers = genuine[-_QUESTIONED:]  # to the next one
        print(f"{name}:\n{summary(pd.DataFrame(rows)).round(3).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
