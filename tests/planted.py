"""Planted shortcuts must be flagged by name, honest data must not: the full form.

    python tests/planted.py [--honest 20] [--first 0]

draws honest datasets and plants four shortcuts into the first of them, and prints what the audits
and the report's summary flag. `make planted` runs it; `make test` runs the same on less data.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from bs4 import BeautifulSoup
from PIL import Image
from scipy import ndimage

from deepsign_utils import datasets, pairing, report, shortcuts, synthetic
from deepsign_utils.preprocessing import Preprocessing, clean_files
from deepsign_utils.runs import naive_recipe
from deepsign_utils.study import write_json


def paper_shade(gray: np.ndarray) -> np.ndarray:
    return naive_recipe.darkened(gray, 0.2)


def image_size(gray: np.ndarray) -> np.ndarray:
    """The same signature in a frame of one size, as forms are cut."""
    missing = np.maximum(np.array([500, 1000]) - gray.shape, 0)
    return np.pad(gray, ((0, missing[0]), (0, missing[1])), mode="edge")


def stroke_width(gray: np.ndarray) -> np.ndarray:
    """A pen that is two pixels broader on either side."""
    return ndimage.minimum_filter(gray, size=5)


def marker_pixel(gray: np.ndarray) -> np.ndarray:
    gray = gray.copy()
    gray[2, 2] = 0
    return gray


PLANTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "paper shade": (paper_shade, "paper shade (raw files)"),
    "image size": (image_size, "image size (raw files)"),
    "stroke width": (stroke_width, "stroke width (cleaned canvas)"),
    "marker pixel": (marker_pixel, "single pixels (raw files)"),
}
"""What is planted, how, and what the report must call it."""


def draw(folder: Path, seed: int, writers: int, each: int) -> Path:
    """An honest dataset: genuine and forged on the same papers, with the same pens."""
    return synthetic.write_dataset(
        folder, writers=writers, genuine=each, forgeries=each, seed=seed, progress=False
    )


def plant(honest: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A copy of a dataset whose forgeries, and only these, were changed."""
    for path in sorted(honest.rglob("*.png")):
        target = folder / path.relative_to(honest)
        target.parent.mkdir(parents=True, exist_ok=True)
        gray = np.asarray(Image.open(path))
        forged = path.parent.name.endswith("_forg")
        Image.fromarray(change(gray) if forged else gray).save(target)
    return folder


def flagged(folder: Path, seed: int = 0) -> tuple[set[str], str]:
    """What a study of this folder flags, in plain words, and what its report opens with.

    The audits of chapters 1 and 3 look at training and validation writers, chapter 6 at test
    writers, as in a study.
    """
    signatures, _ = datasets.read_dataset(folder, progress=False)
    paths = signatures["path"].tolist()
    cleaned = clean_files(folder, paths, Preprocessing(64, 128, "aspect"), progress=False)
    canvases = np.stack([one.canvas for one in cleaned])
    tables = {
        "raw": shortcuts.raw_feature_table(folder, signatures, progress=False),
        "canvas": shortcuts.canvas_feature_table(
            signatures["signature_id"], canvases, progress=False
        ),
    }
    rng = np.random.default_rng(seed)
    split = pairing.split_writers(signatures, 0.2, 0.3, rng)
    test = pairing.of_split(signatures, split, "test")
    pairs = pairing.draw_pairs(test, rng)
    found, measured = set(), {}
    for stage, features in tables.items():
        tested = features.index.isin(test["signature_id"])
        audit = shortcuts.audit(features[~tested], signatures, rng)
        fitted = shortcuts.fit_probes(features[~tested], signatures, rng)
        answered, _ = shortcuts.verify_with_probes(fitted, features[tested], signatures, pairs, rng)
        measured[stage] = shortcuts.with_audit(answered, audit)
        names = set(audit.loc[audit["verdict"] == "flagged", "probe"])
        names |= {name for name, of in answered.items() if of["verdict"] == "flagged"}
        where = {"raw": "raw files", "canvas": "cleaned canvas"}[stage]
        found |= {f"{shortcuts.probe_name(stage, name)} ({where})" for name in names}
    return found, summary(measured)


def summary(measured: dict) -> str:
    """The text that a reader meets first in the report of a study with these findings."""
    metrics = {
        "study": "planted",
        "test": {"references": {"1": {}}},
        "shortcuts": measured,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "metrics.json"
        write_json(file, metrics)
        page = report.write_report([], file, Path(folder) / "index.html").read_text()
    return " ".join(BeautifulSoup(page, "html.parser").find(id="summary").get_text().split())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--honest", type=int, default=20, help="how many honest datasets")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--writers", type=int, default=20)
    parser.add_argument("--each", type=int, default=8, help="genuine and forged of each writer")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as base:
        for seed in range(options.first, options.first + options.honest):
            honest = draw(Path(base) / f"honest-{seed}", seed, options.writers, options.each)
            kinds = [(f"honest, seed {seed}", honest, "")]
            if seed == 0:
                kinds += [
                    (name, plant(honest, Path(base) / name, change), expected)
                    for name, (change, expected) in PLANTS.items()
                ]
            for name, folder, expected in kinds:
                started = time.perf_counter()
                found, text = flagged(folder)
                named = expected in text if expected else "No probe is flagged" in text
                rows.append({"dataset": name, "flagged": ", ".join(sorted(found)), "named": named})
                seconds = time.perf_counter() - started
                print(f"{name:18} {seconds:5.1f} s  {rows[-1]['flagged'] or '-'}", flush=True)
    table = pd.DataFrame(rows)
    honest = table["dataset"].str.startswith("honest")
    false_alarms = int((table["flagged"] != "")[honest].sum())
    caught = int(table["named"][~honest].sum())
    print(f"\nhonest: {false_alarms} of {honest.sum()} flagged")
    print(f"planted: {caught} of {(~honest).sum()} flagged by name in the report's summary")
    return int(false_alarms > 1 or caught < (~honest).sum())


if __name__ == "__main__":
    sys.exit(main())
