"""Shortcuts: how far one gets without looking at a stroke.

A shortcut is anything that separates forged from genuine without comparing two signatures: the
shade of the paper, the size of the image, the mode of the file, the pen that the forgers happened
to share. A probe measures one: a random forest sees the features of a single image, and is scored
on writers that it never saw. Each feature belongs to one probe and is named after it
(`size.width`, `stroke_width.mean`); the probe "all" sees all of them together.

The probes of the raw file are

- size: width and height;
- background: gray levels, of the paper and of the ink that stands out from it (how dark a scan
  shows the same ink depends on the scanner);
- border: gray levels of the outermost rows and columns and of the four corners;
- marks: the darkest and the brightest single pixel of the paper against its neighbours, and where
  they lie;
- mode: file format, compression, pixel mode, resolution and the metadata that the file carries;

those of the cleaned canvas

- background: what is left outside the ink;
- stroke_width: mean and spread of twice the distance to the stroke's edge;
- extent: the ink's box and density;
- image: the whole canvas through a small convolutional layer with fixed filters, pooled. It sees
  strokes, though it compares nothing, so "all" does without it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from scipy.special import ndtr, stdtrit
from tqdm import tqdm

from deepsign_utils import DeepSignError, metrics
from deepsign_utils.preprocessing import ink_mask, load_grayscale, open_image, ordered_map

# scikit-learn is imported where it is used: each worker process imports this module, to measure
# images, and half of the seconds which that takes are scikit-learn's.
if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

CHANCE = 0.55
"""AUC up to which a probe counts as no better than chance."""

PROBES = {
    "raw": {
        "size": "image size",
        "background": "paper shade",
        "border": "border of the image",
        "marks": "single pixels",
        "mode": "file mode",
        "all": "all together",
    },
    "canvas": {
        "background": "background",
        "stroke_width": "stroke width",
        "extent": "extent of the ink",
        "image": "whole picture",
        "all": "all together",
    },
}
"""What each probe looks at, in plain words."""

_ASKED = 2 * sum(len(probes) for probes in PROBES.values())
"""Probes in a report: each asks writers of the audit and test writers. None may cry wolf."""

NEAR_COPY = 24
"""Largest distance, of 256 bits, between the hashes of two near copies."""

AUDITED = 6_000
"""Images that an audit looks at, at most: more writers would narrow its intervals little."""

_HALO = 3  # pixels around the ink that the scanner's blur, or resizing, may have touched
_INK = 64  # canvas level, of 255, from which a pixel counts as ink: a quarter of it is covered
_TRACE = 8  # canvas level below which a pixel shows no mark, however faint
_TREES = 50
_LEAST_LEAF = 5
_DRAWS = 4000


def sample(
    signatures: pd.DataFrame, rng: np.random.Generator, images: int = AUDITED
) -> pd.DataFrame:
    """The signatures of as many writers, drawn at random, as make up `images` images.

    All of them where there are no more, in the order of the table.
    """
    if len(signatures) <= images:
        return signatures
    counts = signatures["writer"].value_counts().sort_index()
    counts = counts.iloc[rng.permutation(len(counts))]
    chosen = counts.index[counts.cumsum() <= images]
    return signatures[signatures["writer"].isin(chosen)]


# Features of a raw file


def raw_features(path: str | Path) -> dict[str, float]:
    """What a raw image file gives away without its strokes.

    Parameters
    ----------
    path : str or Path
        Image file.

    Returns
    -------
    dict
        Feature name -> value: gray levels in 0 to 255, sizes in pixels, resolutions in dots an
        inch (-1 where the file states none), categories as code numbers.

    Raises
    ------
    DeepSignError
        If the file can't be read as an image.
    """
    with open_image(path) as image:
        encoding = _encoding(image)
        gray = load_grayscale(image, str(path))
        mode = encoding | _stated(image)
    ink = ink_mask(gray)
    return {
        "size.width": gray.shape[1],
        "size.height": gray.shape[0],
        **_named("background", _background(gray, ink)),
        **_named("border", _border(gray)),
        **_named("marks", _marks(gray, ink)),
        **_named("mode", mode),
    }


def raw_feature_table(
    root: str | Path, signatures: pd.DataFrame, progress: bool = True
) -> pd.DataFrame:
    """Features of many raw files, read in parallel.

    Parameters
    ----------
    root : str or Path
        The dataset's root, that the paths are relative to.
    signatures : DataFrame
        Signature table: `signature_id`, `path`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        float32, one column a feature, indexed by `signature_id`, in the order of `signatures`.
    """
    paths = [Path(root) / path for path in signatures["path"]]
    return _table(raw_features, paths, signatures["signature_id"], progress, "raw features")


def _encoding(image: Image.Image) -> dict[str, float]:
    """How the pixels are stored; Pillow knows it only until they are decoded."""
    arguments = image.tile[0].args if image.tile else None
    stored = arguments[0] if isinstance(arguments, tuple) else arguments
    return {
        "format": _code(image.format),
        "pixels": _code(image.mode),
        "stored": _code(stored),
        "compression": _code(image.info.get("compression")),
        "quantisation": _code(getattr(image, "quantization", None)),
    }


def _stated(image: Image.Image) -> dict[str, float]:
    """Resolution and kinds of metadata, complete only after decoding: some follow the pixels."""
    across, down = image.info.get("dpi", (-1, -1))
    return {"dpi_x": float(across), "dpi_y": float(down), "metadata": _code(sorted(image.info))}


def _code(category: object) -> int:
    """A number that stands for a category, the same in every run and for every data set."""
    return zlib.crc32(repr(category).encode()) & 0xFFFF  # float32 holds 16 bits exactly


def _background(gray: np.ndarray, ink: np.ndarray) -> dict[str, float]:
    """Levels of the paper and of the ink, and the paper's grain: its mean step to the right."""
    paper = ~_grown(ink)
    steps = np.abs(np.diff(gray.astype(np.int16), axis=1))[paper[:, 1:] & paper[:, :-1]]
    levels = _named("paper", _levels(gray[paper])) | _named("ink", _levels(gray[ink]))
    return levels | {"grain": steps.mean() if steps.size else -1}


def _border(gray: np.ndarray) -> dict[str, float]:
    sides = {"top": gray[0], "bottom": gray[-1], "left": gray[:, 0], "right": gray[:, -1]}
    corners = {
        f"{row_name}_{column_name}": gray[row, column]
        for row, row_name in ((0, "top"), (-1, "bottom"))
        for column, column_name in ((0, "left"), (-1, "right"))
    }
    return corners | {
        f"{side}.{name}": getattr(levels, name)()
        for side, levels in sides.items()
        for name in ("min", "mean", "max")
    }


def _marks(gray: np.ndarray, ink: np.ndarray) -> dict[str, float]:
    """How far the paper's most conspicuous pixel exceeds its 8 neighbours' mean, and its place."""
    level = gray.astype(np.float32)
    neighbours = (9 * ndimage.uniform_filter(level, 3, mode="mirror") - level) / 8
    excess = np.where(_grown(ink), 0, level - neighbours)
    row, column = np.unravel_index([excess.argmin(), excess.argmax()], gray.shape)
    return {
        f"{name}.{feature}": value
        for which, name in enumerate(("dark", "bright"))
        for feature, value in (
            ("excess", excess[row[which], column[which]]),
            ("row", row[which]),
            ("column", column[which]),
        )
    }


def _levels(values: np.ndarray) -> dict[str, float]:
    """Statistics of some pixels' levels; all -1 where there are no such pixels."""
    if values.size == 0:
        return dict.fromkeys(("median", "mean", "std", "min", "max"), -1)
    return {
        "median": np.median(values),
        "mean": values.mean(),
        "std": values.std(),
        "min": values.min(),
        "max": values.max(),
    }


# Features of a canvas


def canvas_features(canvas: np.ndarray) -> dict[str, float]:
    """What a cleaned canvas gives away without comparing it with another.

    Parameters
    ----------
    canvas : np.ndarray
        Shape (H, W), uint8, ink bright on 0.

    Returns
    -------
    dict
        Feature name -> value: levels in 0 to 255, lengths in canvas pixels, densities and offsets
        as shares. On an empty canvas, what is measured on the ink is -1.
    """
    ink = canvas >= _INK
    return {
        **_named("background", _remains(canvas)),
        **_named("stroke_width", _stroke_width(ink)),
        **_named("extent", _extent(ink)),
        **{f"image.{index}": value for index, value in enumerate(_convolved(canvas))},
    }


def canvas_feature_table(
    signature_ids: Sequence[int], canvases: Sequence[np.ndarray], progress: bool = True
) -> pd.DataFrame:
    """Features of many canvases, measured in parallel.

    Parameters
    ----------
    signature_ids : sequence of int, (n,)
    canvases : sequence of (H, W) uint8, or an array (n, H, W)
        In the order of `signature_ids`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        float32, one column a feature, indexed by `signature_id`.
    """
    return _table(canvas_features, canvases, signature_ids, progress, "canvas features")


def _remains(canvas: np.ndarray) -> dict[str, float]:
    """What a scan left outside the marks; shade from `_TRACE` on leaves no outside, all -1."""
    outside = canvas[~_grown(canvas >= _TRACE)]
    usual = np.bincount(canvas.ravel()).argmax()
    return _levels(outside) | {
        "not_zero": np.count_nonzero(outside) / outside.size if outside.size else -1,
        "usual": usual,
    }


def _stroke_width(ink: np.ndarray) -> dict[str, float]:
    if not ink.any():
        return {"mean": -1, "std": -1}
    widths = 2 * ndimage.distance_transform_edt(np.pad(ink, 1))[1:-1, 1:-1][ink]
    return {"mean": widths.mean(), "std": widths.std()}


def _extent(ink: np.ndarray) -> dict[str, float]:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if rows.size == 0:
        names = ("height", "width", "aspect", "density", "row", "column")
        return dict.fromkeys(names, -1)
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    row, column = ndimage.center_of_mass(ink)
    return {
        "height": height,
        "width": width,
        "aspect": width / height,
        "density": np.count_nonzero(ink) / (height * width),
        "row": (row - rows[0]) / height,
        "column": (column - columns[0]) / width,
    }


def _fixed_filters() -> np.ndarray:
    """Eight random 5 x 5 filters and one for a lone pixel, of mean 0 and length 1: (9, 25)."""
    lone = np.zeros((5, 5))
    lone[1:4, 1:4], lone[2, 2] = -1 / 8, 1
    filters = np.vstack([np.random.default_rng(0).normal(size=(8, 25)), lone.ravel()])
    filters -= filters.mean(axis=1, keepdims=True)
    return (filters / np.linalg.norm(filters, axis=1, keepdims=True)).astype(np.float32)


_FILTERS = _fixed_filters()


def _convolved(canvas: np.ndarray) -> np.ndarray:
    """One convolutional layer, rectified in both directions (18 maps) and pooled: (740,).

    Each map's mean in 4 x 8 cells, its sum for each pixel of ink and its maximum; the lone pixels'
    maximum in 8 x 16 cells.
    """
    padded = np.pad(canvas.astype(np.float32) / 255, 2)
    patches = np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).reshape(-1, 25)
    response = (_FILTERS @ patches.T).reshape(len(_FILTERS), *canvas.shape)
    maps = np.maximum(np.concatenate([response, -response]), 0)
    ink = max(np.count_nonzero(canvas >= _INK), 1)
    return np.concatenate(
        [
            _cells(maps, 4, 8).mean(axis=(2, 4)).ravel(),
            maps.sum(axis=(1, 2)) / ink,
            maps.max(axis=(1, 2)),
            _cells(response[-1:], 8, 16).max(axis=(2, 4)).ravel(),
        ]
    )


def _cells(maps: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Maps (m, H, W) cut into cells: (m, rows, H / rows, columns, W / columns)."""
    height, width = maps.shape[1] // rows, maps.shape[2] // columns
    return maps[:, : rows * height, : columns * width].reshape(-1, rows, height, columns, width)


def _grown(ink: np.ndarray) -> np.ndarray:
    return ndimage.maximum_filter(ink, size=2 * _HALO + 1)


def _named(probe: str, features: Mapping[str, float]) -> dict[str, float]:
    return {f"{probe}.{name}": value for name, value in features.items()}


def _table(
    measure: Callable[[Any], dict[str, float]],
    items: Sequence[Any],
    signature_ids: Sequence[int],
    progress: bool,
    description: str,
) -> pd.DataFrame:
    rows = ordered_map(partial(_values, measure), items, progress=progress, description=description)
    index = pd.Index(signature_ids, name="signature_id")
    return pd.DataFrame(np.stack(list(rows)), index=index, columns=list(measure(items[0])))


def _values(measure: Callable[[Any], dict[str, float]], item: Any) -> np.ndarray:
    return np.fromiter(measure(item).values(), dtype=np.float32)


# Probes


def probe_columns(features: pd.DataFrame) -> dict[str, list[str]]:
    """Which columns of a feature table each probe sees, "all" (without "image") included.

    A column belongs to the probe that its name begins with, up to the dot.
    """
    columns: dict[str, list[str]] = {}
    for column in features.columns:
        columns.setdefault(column.partition(".")[0], []).append(column)
    return columns | {"all": [c for c in features.columns if not c.startswith("image.")]}


def probe_name(stage: str, probe: str) -> str:
    """What a probe of a stage ("raw" or "canvas") looks at, in plain words."""
    return PROBES[stage].get(probe, probe.replace("_", " "))


@dataclass(frozen=True)
class ProbeResult:
    """How well one probe separates forged from genuine.

    Attributes
    ----------
    scores : float64 (n,)
        Forged share of the forest's votes, each image judged by a forest that never saw its
        writer.
    auc, low, high : float
        Area under the ROC curve (chance that a forged image's score exceeds a genuine one's), and
        its 95 % interval by bootstrap over writers.
    corrected_low : float
        Lower end of the interval that is corrected for all the probes of a report.
    """

    scores: np.ndarray
    auc: float
    low: float
    high: float
    corrected_low: float

    @property
    def verdict(self) -> str:
        """What `verdict` says of the interval."""
        return verdict(self.high, self.corrected_low)


def verdict(high: float, corrected_low: float) -> str:
    """Judge an AUC by its interval.

    Parameters
    ----------
    high : float
        Upper end of the 95 % interval.
    corrected_low : float
        Lower end of the interval that is corrected for all the probes of a report.

    Returns
    -------
    str
        "flagged" if the corrected interval lies above `CHANCE`, "at chance" if the interval lies
        below it, else "inconclusive".
    """
    if corrected_low > CHANCE:
        return "flagged"
    return "at chance" if high < CHANCE else "inconclusive"


def probe(
    features: np.ndarray,
    forged: np.ndarray,
    writers: np.ndarray,
    rng: np.random.Generator,
    folds: int = 5,
) -> ProbeResult:
    """Measure how well the features of single images separate forged from genuine.

    Parameters
    ----------
    features : float (n, d)
    forged : bool (n,)
    writers : (n,)
        No writer is on both sides of a fold.
    rng : np.random.Generator
    folds : int
        At most as many as there are writers.

    Returns
    -------
    ProbeResult
        Of features that are the same in all images: AUC 0.5, its interval of no width.

    Raises
    ------
    DeepSignError
        If there are no forged or no genuine images, fewer than two writers, or so few who have
        both kinds that no fold can compare them.
    """
    from sklearn.model_selection import GroupKFold

    features, forged = np.asarray(features, dtype=np.float32), np.asarray(forged, dtype=bool)
    codes = pd.factorize(np.asarray(writers))[0]
    _check_classes(forged)
    if codes.max() == 0:
        raise DeepSignError("All images are of one writer: probes need at least two writers.")
    seed, fold_seed = rng.integers(2**31, size=2)
    splitter = GroupKFold(min(folds, codes.max() + 1), shuffle=True, random_state=int(fold_seed))
    scores, fold_of = np.empty(len(forged)), np.empty(codes.max() + 1, dtype=int)
    for fold, (train, held_out) in enumerate(splitter.split(features, groups=codes)):
        forest = _fit(features[train], forged[train], int(seed))
        scores[held_out] = _forged_share(forest, features[held_out])
        fold_of[codes[held_out]] = fold
    return ProbeResult(scores, *_auc_interval(scores, forged, codes, fold_of, rng))


def audit(
    features: pd.DataFrame, signatures: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Every probe's verdict on the images of a feature table.

    Parameters
    ----------
    features : DataFrame
        From `raw_feature_table` or `canvas_feature_table`: training and validation writers only,
        where test writers are to stay unseen. Columns of other names make further probes.
    signatures : DataFrame
        Signature table that has all ids of `features`: `signature_id`, `writer`, `kind`.
    rng : np.random.Generator

    Returns
    -------
    DataFrame
        One row a probe: `probe`, `features` (how many it sees), `auc`, `low`, `high`,
        `corrected_low`, `verdict` ("flagged", "at chance", "inconclusive"); see `probe`.

    Raises
    ------
    DeepSignError
        As `probe` does.
    """
    forged, writers = _labels(features, signatures)
    columns = probe_columns(features)
    rows = []
    for (name, seen), stream in zip(columns.items(), rng.spawn(len(columns)), strict=True):
        result = probe(features[seen].to_numpy(), forged, writers, stream)
        rows.append(
            {
                "probe": name,
                "features": len(seen),
                "auc": result.auc,
                "low": result.low,
                "high": result.high,
                "corrected_low": result.corrected_low,
                "verdict": result.verdict,
            }
        )
    return pd.DataFrame(rows)


def _labels(features: pd.DataFrame, signatures: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Whether forged, bool (n,), and writer, (n,), of each row of a feature table."""
    rows = signatures.set_index("signature_id").loc[features.index]
    return (rows["kind"] == "forgery").to_numpy(), rows["writer"].to_numpy()


def _check_classes(forged: np.ndarray) -> None:
    if forged.all() or not forged.any():
        missing = "genuine" if forged.all() else "forged"
        raise DeepSignError(f"There are no {missing} images: nothing is there to tell apart.")


def _fit(features: np.ndarray, forged: np.ndarray, seed: int) -> RandomForestClassifier | None:
    """A forest, or None where the training images leave nothing to learn."""
    from sklearn.ensemble import RandomForestClassifier

    if (features == features[0]).all() or forged.all() or not forged.any():
        return None
    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=_LEAST_LEAF, class_weight="balanced", random_state=seed
    )
    return forest.fit(features, forged)


def _forged_share(forest: RandomForestClassifier | None, features: np.ndarray) -> np.ndarray:
    return np.full(len(features), 0.5) if forest is None else forest.predict_proba(features)[:, 1]


def _auc_interval(
    scores: np.ndarray,
    forged: np.ndarray,
    writers: np.ndarray,
    fold_of: np.ndarray,
    rng: np.random.Generator,
) -> tuple[float, float, float, float]:
    """AUC, its 95 % interval, and the lower end of the one at 1 - 0.05 / `_ASKED` (Bonferroni).

    Only scores of the same forest are compared: two forests that learnt nothing still differ by
    a constant. With won[i, j] the number of times that a forged image of writer i outscores a
    genuine one of writer j (Mann and Whitney; ties count half), and tried[i, j] the number of such
    comparisons, the AUC of a resample that draws each writer c[i] times is c' won c / c' tried c.

    Parameters
    ----------
    writers : int (n,)
        Codes from 0, each of which occurs.
    fold_of : int (writers,)
        Which forest scored a writer's images.
    """
    count = len(fold_of)
    forgeries = np.bincount(writers[forged], minlength=count)
    genuines = np.bincount(writers[~forged], minlength=count)
    same_fold = fold_of[:, None] == fold_of
    tried = np.outer(forgeries, genuines) * same_fold
    if not tried.any():
        raise DeepSignError(
            "Genuine and forged images come from different writers, and too few of them to probe "
            "for shortcuts: add writers who have both."
        )
    won = np.empty((count, count))
    for writer in range(count):
        genuine = np.sort(scores[~forged & (writers == writer)])
        beaten = np.searchsorted(genuine, scores[forged], "left")
        beaten_or_tied = np.searchsorted(genuine, scores[forged], "right")
        won[:, writer] = np.bincount(
            writers[forged], (beaten + beaten_or_tied) / 2, minlength=count
        )
    won *= same_fold
    draws = rng.multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    with np.errstate(invalid="ignore"):  # a resample may leave nothing to compare
        aucs = ((draws @ won) * draws).sum(axis=1) / ((draws @ tried) * draws).sum(axis=1)
    auc = won.sum() / tried.sum()
    # The percentiles of few writers lie too close together; Hesterberg's expanded ones do not
    # ("What Teachers Should Know About the Bootstrap", The American Statistician 69, 2015).
    scale = np.sqrt(count / (count - 1))
    outer = ndtr(scale * stdtrit(count - 1, 0.025))
    low, high = np.nanquantile(aucs, [outer, 1 - outer])
    # So far out lie too few resamples to count: t, with their standard deviation.
    corrected_low = auc + stdtrit(count - 1, 0.025 / _ASKED) * scale * np.nanstd(aucs)
    return float(auc), float(low), float(high), float(corrected_low)


# Probes as verifiers


@dataclass(frozen=True)
class FittedProbe:
    """A probe fitted on some writers, to judge images of others.

    Attributes
    ----------
    columns : list of str
        The features that it sees.
    forest : RandomForestClassifier or None
        None where there was nothing to learn: it then judges all images alike.
    """

    columns: list[str]
    forest: RandomForestClassifier | None

    def forged_share(self, features: pd.DataFrame) -> np.ndarray:
        """Forged share of the forest's votes for each image, float64 (n,)."""
        return _forged_share(self.forest, features[self.columns].to_numpy(dtype=np.float32))


def fit_probes(
    features: pd.DataFrame, signatures: pd.DataFrame, rng: np.random.Generator
) -> dict[str, FittedProbe]:
    """Fit every probe on the images of a feature table.

    Parameters
    ----------
    features, signatures : DataFrame
        As for `audit`: training and validation writers.
    rng : np.random.Generator

    Returns
    -------
    dict
        Probe's name -> fitted probe.

    Raises
    ------
    DeepSignError
        If there are no forged or no genuine images.
    """
    forged, _ = _labels(features, signatures)
    _check_classes(forged)
    columns = probe_columns(features)
    seeds = rng.integers(2**31, size=len(columns))
    return {
        name: FittedProbe(seen, _fit(features[seen].to_numpy(), forged, int(seed)))
        for (name, seen), seed in zip(columns.items(), seeds, strict=True)
    }


def verify_with_probes(
    fitted: Mapping[str, FittedProbe],
    features: pd.DataFrame,
    signatures: pd.DataFrame,
    pairs: pd.DataFrame,
    rng: np.random.Generator,
) -> tuple[dict[str, dict], dict[str, pd.DataFrame]]:
    """Verify signatures by their shortcuts alone: what one gets without comparing anything.

    Each probe sees the questioned image of a pair and never the reference.

    Parameters
    ----------
    fitted : mapping
        From `fit_probes`, on writers who have no row in `features`.
    features, signatures : DataFrame
        Feature table and signature table of the writers to test on.
    pairs : DataFrame
        Pair table of those writers: `left`, `right`, `kind`, `writer`.
    rng : np.random.Generator

    Returns
    -------
    findings : dict
        Probe's name -> ``{"auc": I, "eer": I, "verdict": str}`` with
        ``I = {"value", "low", "high"}``: the AUC of the images, forged against genuine, and the
        EER of the pairs, skilled forgeries against genuine, both with 95 % intervals by bootstrap
        over writers; the verdict as in `audit`.
    scores : dict
        Probe's name -> score table: `pairs` with `distance` (forged share of the forest's votes)
        and `score` (genuine share), float32.

    Raises
    ------
    DeepSignError
        If there are no forged or no genuine images, fewer than two writers, or no genuine or
        skilled pairs.
    """
    forged, writers = _labels(features, signatures)
    _check_classes(forged)
    codes, names = pd.factorize(writers)
    if len(names) < 2:
        raise DeepSignError("All images are of one writer: probes need at least two writers.")
    one_forest = np.zeros(len(names), dtype=int)
    findings, scores = {}, {}
    for (name, one), stream in zip(fitted.items(), rng.spawn(len(fitted)), strict=True):
        share = one.forged_share(features)
        distance = pd.Series(share, features.index).loc[pairs["right"]].to_numpy(np.float32)
        scores[name] = pairs.assign(distance=distance, score=1 - distance)
        auc, low, high, corrected_low = _auc_interval(share, forged, codes, one_forest, stream)
        findings[name] = {
            "auc": {"value": auc, "low": low, "high": high},
            "eer": metrics.bootstrap_eer(scores[name], "skilled", stream),
            "verdict": verdict(high, corrected_low),
        }
    return findings, scores


def with_audit(findings: Mapping[str, dict], audit: pd.DataFrame) -> dict[str, dict]:
    """Put what other writers gave away beside what the test writers do.

    Parameters
    ----------
    findings : mapping
        From `verify_with_probes`, on test writers.
    audit : DataFrame
        From `audit`, on training and validation writers: more of them, so a surer verdict.

    Returns
    -------
    dict
        The findings, each with ``"audit": {"auc": I, "verdict": str}``.
    """
    rows = audit.set_index("probe")
    return {
        name: of
        | {
            "audit": {
                "auc": {
                    "value": float(rows.loc[name, "auc"]),
                    "low": float(rows.loc[name, "low"]),
                    "high": float(rows.loc[name, "high"]),
                },
                "verdict": str(rows.loc[name, "verdict"]),
            }
        }
        for name, of in findings.items()
    }


# Copies


def exact_duplicates(signatures: pd.DataFrame) -> pd.DataFrame:
    """Files that repeat an earlier one byte for byte.

    Parameters
    ----------
    signatures : DataFrame
        Signature table: `signature_id`, `writer`, `kind`, `duplicate_of`.

    Returns
    -------
    DataFrame
        As `near_duplicates` gives it; `id_a` is the first of the copies, every distance 0.
    """
    repeats = signatures.dropna(subset=["duplicate_of"])
    originals = signatures.set_index("signature_id").loc[repeats["duplicate_of"]]
    return pd.DataFrame(
        {
            "id_a": originals.index.to_numpy(),
            "id_b": repeats["signature_id"].to_numpy(),
            "distance": np.zeros(len(repeats), np.int32),
            "same_writer": originals["writer"].to_numpy() == repeats["writer"].to_numpy(),
            "same_kind": originals["kind"].to_numpy() == repeats["kind"].to_numpy(),
        }
    )


def copy_counts(
    copies: pd.DataFrame, signatures: pd.DataFrame, split: pd.DataFrame
) -> dict[str, int]:
    """How many files are copies of others, and across which bounds.

    Parameters
    ----------
    copies : DataFrame
        From `exact_duplicates` or `near_duplicates`.
    signatures : DataFrame
        Signature table.
    split : DataFrame
        `writer` and `split`.

    Returns
    -------
    dict
        `files`: files that copy an earlier one; and of these, those that have such a partner
        `across_writers`, `across_kinds` (a genuine file and a forged one) and `across_splits`.
    """
    part = signatures.merge(split, on="writer").set_index("signature_id")["split"]
    bounds = {
        "across_writers": ~copies["same_writer"],
        "across_kinds": ~copies["same_kind"],
        "across_splits": part[copies["id_a"]].to_numpy() != part[copies["id_b"]].to_numpy(),
    }
    return {"files": int(copies["id_b"].nunique())} | {
        name: int(copies.loc[crosses, "id_b"].nunique()) for name, crosses in bounds.items()
    }


def near_duplicates(
    signatures: pd.DataFrame,
    canvases: Sequence[np.ndarray],
    largest_distance: int = NEAR_COPY,
    progress: bool = True,
) -> pd.DataFrame:
    """Pairs of images that show the same specimen: re-encoded, rescaled, shifted or scanned twice.

    Canvases are compared by the Hamming distance of their perceptual hashes: the signs, about
    their median, of the 16 x 16 lowest frequencies of a cosine transform (pHash, 256 bits).

    Parameters
    ----------
    signatures : DataFrame
        Signature table: `signature_id`, `writer`, `kind`.
    canvases : sequence of (H, W) uint8, or an array (n, H, W)
        In the order of `signatures`.
    largest_distance : int
        Bits in which the hashes of near copies may differ. Different specimens of one writer
        rarely come below 30.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        Nearest first: `id_a`, `id_b` (`id_a` stands earlier in `signatures`), `distance` int32,
        `same_writer`, `same_kind` bool.
    """
    bar = tqdm(canvases, desc="near copies", unit="image", disable=not progress)
    signs = np.array([_perceptual_hash(canvas) for canvas in bar], dtype=np.float32)
    found = []
    for start in range(0, len(signs), _BLOCK):
        block = signs[start : start + _BLOCK]
        distance = (signs.shape[1] - block @ signs[start:].T) / 2
        first, second = np.nonzero(np.triu(distance <= largest_distance, k=1))
        found.append(np.stack([first + start, second + start, distance[first, second]]))
    first, second, distance = np.concatenate(found, axis=1).astype(np.int32)
    one, other = signatures.iloc[first], signatures.iloc[second]
    pairs = pd.DataFrame(
        {
            "id_a": one["signature_id"].to_numpy(),
            "id_b": other["signature_id"].to_numpy(),
            "distance": distance,
            "same_writer": one["writer"].to_numpy() == other["writer"].to_numpy(),
            "same_kind": one["kind"].to_numpy() == other["kind"].to_numpy(),
        }
    )
    return pairs.sort_values("distance", kind="stable", ignore_index=True)


_BLOCK = 1024


def _perceptual_hash(canvas: np.ndarray) -> np.ndarray:
    """256 signs, -1 or 1."""
    return np.where(imagehash.phash(Image.fromarray(canvas), hash_size=16).hash.ravel(), 1, -1)
