"""Train what tells print from handwriting, and measure how often the verifier speaks up.

``python -m deepsign_utils.runs.handwriting train`` draws print, codes and synthetic writers'
signatures and writes `verifying/handwriting.json`; ``… measure NAME=FOLDER …`` draws others, and
tells how often each kind, and each dataset of real signatures, is refused or warned of.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from deepsign_utils import DeepSignError, datasets
from deepsign_utils.preprocessing import EDGE, ink_box, ink_mask, load_image, plain
from deepsign_utils.runs.finding import _boosted, _plain
from deepsign_utils.study.artefacts import check_output, write_atomically
from deepsign_utils.study.processes import ordered_map
from deepsign_utils.synthetic.draw import draw_writer
from deepsign_utils.synthetic.not_signatures import KINDS
from deepsign_utils.verifying import handwriting
from deepsign_utils.verifying.verifier import Verifier

_PRINTED = {"typed name": 0.65, "text": 0.15, "matrix code": 0.1, "bar code": 0.1}
_TREES = 120
_IMAGES = 3  # of each synthetic writer
_REFUSED = "refused"


def _described(image: Path | np.ndarray) -> np.ndarray | None:
    """Features of an image's ink; None where there is none."""
    ink = plain(load_image(image)).field > EDGE
    return handwriting.describe(ink) if ink.any() else None


def _taught(number: int, seed: int, fonts: Path | None) -> list[tuple[np.ndarray, bool]]:
    """Features of one print or code, and of one writer's signatures."""
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice(list(_PRINTED), p=list(_PRINTED.values())))
    print_ = KINDS[kind](rng, fonts if number % 2 else None)
    signatures = draw_writer(seed, number, _IMAGES, 0).genuine
    found = [(_described(print_), True), *((_described(one), False) for one in signatures)]
    return [(features, printed) for features, printed in found if features is not None]


def train(examples: int, seed: int, fonts: Path | None) -> str:
    """Train on so many prints and writers; the trees as `handwriting.json` holds them."""
    work = partial(_taught, seed=seed, fonts=fonts)
    drawn = ordered_map(work, range(examples), None, True, "drawing")
    features, printed = zip(*(one for some in drawn for one in some), strict=True)
    model = _boosted(np.stack(features), np.array(printed), seed, _TREES, leaves=8)
    return json.dumps(_plain(model).to_dict()) + "\n"


@cache
def _verifier() -> Verifier:
    return Verifier.load()


def _spoken(image: Path | np.ndarray) -> str:
    """What the verifier says of an image: `_REFUSED`, or codes of warnings."""
    try:
        return ",".join(warning.code for warning in _verifier().read(image).warnings)
    except DeepSignError:
        return _REFUSED


def _two(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Side by side, as far apart as the higher one is high, each on paper of its own."""
    height = max(len(one), len(other))
    both = [
        np.pad(image, ((0, height - len(image)), (0, height)), constant_values=int(image.max()))
        for image in (one, other)
    ]
    return np.hstack(both)


def _cut(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Without the right quarter of its ink."""
    _, _, left, right = ink_box(ink_mask(one))
    return one[:, : right - (right - left) // 4]


def _coarse(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The ink's longer side in 64 pixels."""
    top, bottom, left, right = ink_box(ink_mask(one))
    factor = 64 / max(bottom - top, right - left)
    size = [max(3, round(side * factor)) for side in one.shape[::-1]]
    return np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX))


_SPOILT = {"two signatures": _two, "a quarter cut off": _cut, "64 pixels wide": _coarse}


def measure(
    folders: Iterable[tuple[str, Path]],
    drawn: int,
    seed: int,
    fonts: Path | None,
    most: int | None = None,
) -> Iterator[dict[str, Any]]:
    """How often the verifier refuses or warns.

    Parameters
    ----------
    folders : iterable of (str, Path)
        Datasets of signatures, and what to call them.
    drawn : int
        How many of each kind are drawn, of synthetic signatures, and of such spoilt.
    seed : int
        None that `train` used.
    fonts : Path, optional
    most : int, optional
        Images of a dataset, evenly taken; all if not given.

    Yields
    ------
    dict
        Of a kind or set: ``kind``, ``images``, shares ``refused`` and ``warned``, and ``said``,
        how often each code was.
    """
    for name, folder in folders:
        files = [folder / one.path for one in datasets.find_layout(folder).files if one.kind]
        files = files[:: max(1, len(files) // most)] if most else files
        yield _counted(name, tqdm(files, name))
    signed = [draw_writer(seed, writer, 1, 0).genuine[0] for writer in range(drawn)]
    yield _counted("synthetic writers", tqdm(signed, "synthetic writers"))
    for name, spoil in _SPOILT.items():
        yield _counted(name, (spoil(signed[one], signed[one - 1]) for one in range(drawn)))
    for number, (name, draw) in enumerate(KINDS.items()):
        generators = (np.random.default_rng([seed, number, one]) for one in range(drawn))
        yield _counted(name, (draw(rng, fonts) for rng in tqdm(generators, name, drawn)))


def _counted(kind: str, images: Iterable[Path | np.ndarray]) -> dict[str, Any]:
    said = [_spoken(image) for image in images]
    return {
        "kind": kind,
        "images": len(said),
        "refused": said.count(_REFUSED) / len(said),
        "warned": sum(codes not in ("", _REFUSED) for codes in said) / len(said),
        "said": dict(Counter(code for codes in said for code in codes.split(",") if code)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: see the module."""
    parser = argparse.ArgumentParser(prog="python -m deepsign_utils.runs.handwriting")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, number, seed in (("train", 1200, 21), ("measure", 200, 5)):
        command = commands.add_parser(name)
        command.add_argument("--images", type=int, default=number, help="default: %(default)s")
        command.add_argument("--seed", type=int, default=seed, help="default: %(default)s")
        command.add_argument("--fonts", type=Path, help="a folder of more fonts")
        if name == "train":
            command.add_argument("--output", type=Path, default=handwriting.MODEL)
        else:
            command.add_argument("--most", type=int, help="images of a set; default: all")
            command.add_argument("sets", nargs="*", help="NAME=FOLDER of real signatures")
    options = parser.parse_args(arguments)
    if options.command == "train":
        check_output(options.output, endings=(".json",))
        write_atomically(options.output, train(options.images, options.seed, options.fonts))
        return
    named = [one.partition("=") for one in options.sets]
    folders = [(name, Path(folder)) for name, _, folder in named]
    for row in measure(folders, options.images, options.seed, options.fonts, options.most):
        print(
            f"{row['kind']:20} {row['images']:5}  refused {row['refused']:6.1%}  "
            f"warned {row['warned']:6.1%}  {row['said']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
