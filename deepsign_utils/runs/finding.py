"""Train the models that find signatures on pages, and measure how well they find them.

``python -m deepsign_utils.runs.finding train`` composes pages and writes
`verifying/find_signatures/models.json`; ``… measure`` composes others and writes a table, a row for
each page, that a second run continues.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from deepsign_utils.study.artefacts import write_atomically
from deepsign_utils.study.processes import ordered_map, progress_bar
from deepsign_utils.synthetic.pages import Page, compose
from deepsign_utils.verifying.find_signatures import (
    Box,
    Models,
    Trees,
    clockwise,
    find_signatures,
    overlap,
)
from deepsign_utils.verifying.find_signatures.groups import (
    among_groups,
    box_of,
    group_features,
    groups_of,
)
from deepsign_utils.verifying.find_signatures.models import MODELS, in_context
from deepsign_utils.verifying.find_signatures.page_ink import read_ink
from deepsign_utils.verifying.find_signatures.pieces import Pieces, pieces_of

_TREES, _LEAVES = 200, 32  # of a model
_GOOD = 0.6  # overlap with a signature, from which a group is taken for it in training,
_THERE = 0.3  # and from which there is one at all
_THRESHOLD = 0.6  # chosen on pages in fonts that neither training nor `measure` used
_NEGATIVES = 250  # pieces of a page that are no signature's, at most


class Example(NamedTuple):
    """A page as the models see it: ruled lines, pieces, and which of them are a signature's."""

    packed: np.ndarray  # the lines, a bit a pixel: thousands of pages are held
    shape: tuple[int, int]
    pieces: Pieces
    boxes: np.ndarray  # of the signatures, at the working size
    labels: np.ndarray

    @property
    def lines(self) -> np.ndarray:
        """Bool (H, W)."""
        bits = np.unpackbits(self.packed, count=self.shape[0] * self.shape[1])
        return bits.reshape(self.shape).astype(bool)


def example(page: np.ndarray, boxes: Sequence[Box]) -> Example | None:
    """Take a page apart; None where it is blank."""
    ink = read_ink(page)
    pieces = pieces_of(ink)
    if not len(pieces.boxes):
        return None
    truth = np.array(boxes, float).reshape(-1, 4) / ink.factor
    labels = np.zeros(len(pieces.boxes), bool)
    for box in truth:
        low = np.maximum(pieces.boxes[:, :2], box[:2] - 2)
        high = np.minimum(pieces.boxes[:, 2:], box[2:] + 2)
        inside = np.prod(np.maximum(high - low, 0), axis=1)
        labels |= inside > 0.7 * np.prod(pieces.boxes[:, 2:] - pieces.boxes[:, :2], axis=1)
    return Example(np.packbits(ink.lines), ink.lines.shape, pieces, truth, labels)


_Model = TypeVar("_Model", HistGradientBoostingClassifier, HistGradientBoostingRegressor)


def _boosted(
    features: np.ndarray,
    labels: np.ndarray,
    seed: int,
    trees: int = _TREES,
    leaves: int = _LEAVES,
    kind: type[_Model] = HistGradientBoostingClassifier,
) -> _Model:
    return kind(
        max_iter=trees,
        learning_rate=0.1,
        max_leaf_nodes=leaves,
        min_samples_leaf=20,
        l2_regularization=1.0,
        random_state=seed,
    ).fit(features, labels)


def _plain(model: _Model) -> Trees:
    """A model's trees as plain numbers."""
    nodes, roots, start = [], [], 0
    for (tree,) in model._predictors:
        grown = tree.nodes
        own = np.arange(len(grown)) + start
        leaf = grown["is_leaf"].astype(bool)
        nodes.append(
            (
                np.where(leaf, 0, grown["feature_idx"]),
                np.where(leaf, 0, grown["num_threshold"]),
                np.where(leaf, own, grown["left"] + start),
                np.where(leaf, own, grown["right"] + start),
                np.where(leaf, grown["value"], 0),
            )
        )
        roots.append(start)
        start += len(grown)
    feature, threshold, left, right, value = (
        np.concatenate(part) for part in zip(*nodes, strict=True)
    )
    return Trees(
        feature.astype(int),
        threshold.astype(float),
        left.astype(int),
        right.astype(int),
        value.astype(float),
        np.array(roots),
        float(np.ravel(model._baseline_prediction)[0]),
    )


def _taught_rows(one: Example, rng: np.random.Generator) -> np.ndarray:
    """Pieces of a page to learn from: all of the signatures', and some of the others."""
    negative = np.flatnonzero(~one.labels)
    if len(negative) > _NEGATIVES:
        # Large pieces are rarer, and those that are mistaken.
        weight = one.pieces.area[negative] ** 0.5
        negative = rng.choice(negative, _NEGATIVES, False, weight / weight.sum())
    return np.concatenate([np.flatnonzero(one.labels), negative])


def _crossed(
    tables: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    taught: Sequence[np.ndarray],
    rng: np.random.Generator,
    seed: int,
) -> tuple[Trees, list[np.ndarray]]:
    """Trees learnt from all pages, and what each page's rows get from trees that did not see it.

    `tables` describe the rows of each page, `labels` say which are a signature's, and `taught`
    which are learnt from.
    """

    def learnt(pages: Iterable[int]) -> HistGradientBoostingClassifier:
        rows = [(tables[page][taught[page]], labels[page][taught[page]]) for page in pages]
        features, answers = (np.concatenate(part) for part in zip(*rows, strict=True))
        return _boosted(features, answers, seed)

    judged: list[np.ndarray] = [np.empty(0)] * len(tables)
    halves = np.array_split(rng.permutation(len(tables)), 2)
    for half, other in (halves, halves[::-1]):
        model = learnt(half)
        for page in other:
            judged[page] = model.predict_proba(tables[page])[:, 1]
    return _plain(learnt(range(len(tables)))), judged


class _Groups(NamedTuple):
    """Groups of a page: their description, boxes, and how far each overlaps a signature."""

    features: np.ndarray
    boxes: np.ndarray
    best: np.ndarray


def _groups_of(page: tuple[Example, np.ndarray]) -> _Groups | None:
    one, likely = page
    groups = groups_of(one.pieces, likely)
    if not groups:
        return None
    boxes = np.array([box_of(one.pieces.boxes[members]) for members in groups])
    best = [max((overlap(box, true) for true in one.boxes), default=0.0) for box in boxes]
    features = group_features(one.lines, one.pieces, likely, groups)
    return _Groups(features, boxes, np.array(best))


def train(examples: Sequence[Example], seed: int) -> Models:
    """Train on pages taken apart.

    Each model learns from what the one before says of pages that it did not learn from.
    """
    rng = np.random.default_rng(seed)
    labels = [one.labels for one in examples]
    taught = [_taught_rows(one, rng) for one in examples]
    pieces, alone = _crossed([one.pieces.features for one in examples], labels, taught, rng, seed)
    among = [in_context(one.pieces, likely) for one, likely in zip(examples, alone, strict=True)]
    context, likely = _crossed(among, labels, taught, rng, seed)
    pages = list(zip(examples, likely, strict=True))
    found = [one for one in ordered_map(_groups_of, pages, description="grouping") if one]
    groups, alone = _crossed(
        [one.features for one in found],
        [one.best >= _GOOD for one in found],
        [np.arange(len(one.best)) for one in found],
        rng,
        seed,
    )
    table = np.concatenate(
        [
            np.column_stack([one.features, among_groups(one.boxes, judged)])
            for one, judged in zip(found, alone, strict=True)
        ]
    )
    best = np.concatenate([one.best for one in found])
    present = _plain(_boosted(table, best >= _THERE, seed))
    fit = _plain(_boosted(table, best, seed, kind=HistGradientBoostingRegressor))
    return Models(pieces, context, groups, present, fit, _THRESHOLD)


# --------------------------------------------------------------------------------------------------
# Pages to learn from, and pages to measure on
# --------------------------------------------------------------------------------------------------

# Kinds in turn, those more often in which more is to be told apart.
_TAUGHT = (
    *("contract", "form", "letter", "cheque", "contract", "form"),
    *("note", "invoice", "letter", "contract", "form", "register"),
)


def _taught(number: int, seed: int, fonts: Path | None) -> Example | None:
    coarse = np.random.default_rng([seed, number, 9]).random() < 0.85
    page = compose(
        seed,
        number,
        kind=_TAUGHT[number % len(_TAUGHT)],
        signed=None if number % 3 else True,
        dpi=150 if coarse else None,
        fonts=fonts,
    )
    return example(page.image, page.signatures)


def train_on_composed(pages: int, seed: int, fonts: Path | None = None) -> Models:
    """Compose pages and train on them.

    Parameters
    ----------
    pages, seed : int
        How many, and which series: none that `measure` is to use.
    fonts : Path, optional
        A folder of fonts used beside those that come with matplotlib.
    """
    work = partial(_taught, seed=seed, fonts=fonts)
    examples = ordered_map(work, range(pages), description="composing")
    return train([one for one in examples if one is not None], seed)


def matched(found: Sequence[Box], truth: Sequence[Box], least: float = 0.5) -> int:
    """How many signatures were found: pairs that overlap by at least ``least``, each used once."""
    shares = np.array([[overlap(one, true) for true in truth] for one in found])
    if not shares.size:
        return 0
    rows, columns = linear_sum_assignment(shares, maximize=True)
    return int((shares[rows, columns] >= least).sum())


def turned(page: Page, quarters: int) -> tuple[np.ndarray, list[Box]]:
    """A page's image turned anticlockwise by quarters, and where its signatures then stand."""
    boxes, (height, width) = list(page.signatures), page.image.shape[:2]
    for _ in range(-quarters % 4):
        boxes = [clockwise(box, height) for box in boxes]
        height, width = width, height
    return np.ascontiguousarray(np.rot90(page.image, quarters)), boxes


COLUMNS = ("number", "kind", "script", "dpi", "signatures", "found", "right", "seconds")


def measure(
    file: Path, pages: int, seed: int, fonts: Path | None = None, quarters: int = 0
) -> pd.DataFrame:
    """Find the signatures of composed pages; a row a page, kept as it is measured.

    Parameters
    ----------
    file : Path
        A table (CSV), continued where it exists.
    pages, seed, fonts
        As for `train_on_composed`.
    quarters : int
        By which each page is turned, anticlockwise.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: ``right`` of the ``found`` are signatures; processor ``seconds``.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(",".join(COLUMNS) + "\n")
    done = set(pd.read_csv(file)["number"])
    for number in progress_bar(iterable=range(pages), unit="page", initial=len(done)):
        if number in done:
            continue
        page = compose(seed, number, fonts=fonts)
        image, boxes = turned(page, quarters)
        start = time.process_time()
        found = [one.box for one in find_signatures(image)]
        seconds = time.process_time() - start
        right = matched(found, boxes)
        row = (number, page.kind, page.script, page.dpi, len(page.signatures), len(found), right)
        with file.open("a") as table:
            table.write(",".join(map(str, row)) + f",{seconds:.2f}\n")
    return pd.read_csv(file)


def summary(rows: pd.DataFrame) -> dict[str, float]:
    """Recall and precision of signatures, and the share of unsigned pages that stay empty."""
    unsigned = rows[rows["signatures"] == 0]
    return {
        "pages": len(rows),
        "recall": rows["right"].sum() / max(rows["signatures"].sum(), 1),
        "precision": rows["right"].sum() / max(rows["found"].sum(), 1),
        "empty": float((unsigned["found"] == 0).mean()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: see the module."""
    parser = argparse.ArgumentParser(prog="python -m deepsign_utils.runs.finding")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, pages, seed in (("train", 5000, 12), ("measure", 500, 2)):
        command = commands.add_parser(name)
        command.add_argument("--pages", type=int, default=pages, help="default: %(default)s")
        command.add_argument("--seed", type=int, default=seed, help="default: %(default)s")
        command.add_argument("--fonts", type=Path, help="a folder of more fonts")
        command.add_argument("--output", type=Path, default=MODELS, required=name == "measure")
    command.add_argument(
        "--turned", type=int, default=0, metavar="QUARTERS", help="anticlockwise, of each page"
    )
    options = parser.parse_args(arguments)
    if options.command == "train":
        models = train_on_composed(options.pages, options.seed, options.fonts)
        write_atomically(options.output, to_json(models))
        return
    rows = measure(options.output, options.pages, options.seed, options.fonts, options.turned)
    for kind, some in [*rows.groupby("kind"), *rows.groupby("script"), ("all", rows)]:
        print(f"{kind:12}", "  ".join(f"{name} {n:.3g}" for name, n in summary(some).items()))


def to_json(models: Models) -> str:
    """The models as `models.json` holds them."""
    values = {
        name: one.to_dict() if isinstance(one, Trees) else one
        for name, one in models._asdict().items()
    }
    return json.dumps(values) + "\n"


if __name__ == "__main__":
    main()
