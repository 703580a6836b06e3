"""What meets in a batch, and how it is looked at: writer-balanced batches and augmentation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

from deepsign_utils import DeepSignError
from deepsign_utils.parts import HALVES, QUARTERS, THIRDS, WHOLE, Part
from deepsign_utils.study.parameters import PARAMETERS
from deepsign_utils.study.streams import stream
from deepsign_utils.tfrecords import Canvases


def _hands(parts: Sequence[Part]) -> np.ndarray:
    """Ways to look at a signature, float32 (4 p, 6): each part in each of its four mirrorings.

    A row has the signs of the horizontal and the vertical axis, then the part: where its middle
    lies from the canvas's, its width and its height, in shares of the canvas. Neighbouring rows
    differ in both, which an odd number of parts takes.
    """
    rows = []
    for k in range(4 * len(parts)):
        left, right, top, bottom = parts[k % len(parts)]
        middle = (left + right - 1) / 2, (top + bottom - 1) / 2
        rows.append((1 - 2 * (k & 1), 1 - (k & 2), *middle, right - left, bottom - top))
    return np.array(rows, np.float32)


_HALVES = _hands((WHOLE, *HALVES[::-1]))
# Each way to look at a writer's signatures makes another, unseen hand; by the parameter `parts`.
HANDS = {"halves": _HALVES, "quarters": np.concatenate([_HALVES, _hands((*THIRDS, *QUARTERS))])}


@dataclass(frozen=True)
class Settings:
    """How to train: those of a study's parameters, with their defaults."""

    loss: str = PARAMETERS["loss"].default
    epochs: int = PARAMETERS["epochs"].default
    patience: int = PARAMETERS["patience"].default
    writers_per_batch: int = PARAMETERS["writers_per_batch"].default
    genuine_per_writer: int = PARAMETERS["genuine_per_writer"].default
    forgeries_per_writer: int = PARAMETERS["forgeries_per_writer"].default
    learning_rate: float = PARAMETERS["learning_rate"].default
    precision: str = PARAMETERS["precision"].default
    parts: str = PARAMETERS["parts"].default
    keep: str = PARAMETERS["keep"].default


@dataclass(frozen=True)
class Augmentation:
    """Bounds of the random changes to an image; each is drawn uniformly.

    Angles in degrees; shift as a share of the canvas; stroke: 1 dilates (or erodes) by a pixel.
    """

    rotation: float = 4.0
    scale: float = 0.1
    shear: float = 0.12
    shift: float = 0.05
    stroke: float = 1.0
    gamma: float = 0.3


def plan_epoch(
    writers: np.ndarray, kinds: np.ndarray, settings: Settings, seed: int, epoch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which images meet in which batch of an epoch, and how they are looked at.

    Every writer is visited as often as it takes to see about each genuine signature once. At each
    visit the writer's signatures are looked at in one of several ways (`HANDS`), which makes
    another writer of them; no batch holds the same one twice.

    Parameters
    ----------
    writers, kinds : str (n,)
        Of the training images.
    settings : Settings
        Batch composition.
    seed, epoch : int
        The plan depends on these alone.

    Returns
    -------
    rows : ndarray
        int32 (steps, batch): which image.
    labels : ndarray
        int32 (steps, batch, 2): writer number inside the batch; 1 genuine, 0 forged.
    variants : ndarray
        float32 (steps, batch, 6): rows of `HANDS`.

    Raises
    ------
    DeepSignError
        If no writer has two genuine signatures.
    """
    rng = np.random.default_rng([seed, epoch])
    names, codes = np.unique(writers, return_inverse=True)
    genuine = _rows_by_writer(codes, kinds == "genuine", len(names))
    forged = _rows_by_writer(codes, kinds == "forgery", len(names))
    able = [writer for writer, rows in enumerate(genuine) if len(rows) >= 2]
    if not able:
        raise DeepSignError("No training writer has two genuine signatures to make a pair of.")
    typical = np.median([len(genuine[writer]) for writer in able])
    rounds = math.ceil(typical / settings.genuine_per_writer)
    hands = HANDS[settings.parts]
    in_batch = min(settings.writers_per_batch, len(hands) * len(able), rounds * len(able))
    first_variant = rng.integers(len(hands), size=len(able))
    # A writer comes back in the next round as another one, so a batch across rounds is fine.
    visits = np.concatenate([rng.permutation(len(able)) for _ in range(rounds)])
    variant_of = (first_variant[visits] + np.repeat(np.arange(rounds), len(able))) % len(hands)
    steps = len(visits) // in_batch
    each = settings.genuine_per_writer + settings.forgeries_per_writer
    rows = np.empty((steps, in_batch, each), np.int32)
    for visit in range(steps * in_batch):
        writer = able[visits[visit]]
        questioned = forged[writer] if len(forged[writer]) else genuine[writer]
        rows[visit // in_batch, visit % in_batch] = np.concatenate(
            [
                _draw(genuine[writer], settings.genuine_per_writer, rng),
                _draw(questioned, settings.forgeries_per_writer, rng),
            ]
        )
    used = variant_of[: steps * in_batch].reshape(steps, in_batch, 1)
    number = np.broadcast_to(np.arange(in_batch)[None, :, None], rows.shape)
    labels = np.stack([number, kinds[rows] == "genuine"], axis=-1).astype(np.int32)
    variants = np.broadcast_to(hands[used], (*rows.shape, 6))
    batch = in_batch * each
    return (
        rows.reshape(steps, batch),
        labels.reshape(steps, batch, 2),
        variants.reshape(steps, batch, 6),
    )


def _rows_by_writer(codes: np.ndarray, wanted: np.ndarray, writers: int) -> list[np.ndarray]:
    """The wanted rows of each writer, in order; sorted once rather than looked up by writer."""
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    ends = np.cumsum(np.bincount(codes[rows], minlength=writers))
    return np.split(rows, ends[:-1])


def _draw(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    # Too few images are drawn again: augmentation makes another specimen of each.
    return rng.choice(rows, count, replace=len(rows) < count)


def augment(images, variants, draws, bounds: Augmentation):
    """Change each image as another specimen, pen and scan would.

    Parameters
    ----------
    images : uint8 (n, height, width)
        Ink bright on 0.
    variants : float32 (n, 6)
        Rows of `HANDS`.
    draws : float32 (n, 8)
        From -1 to 1: how far each change goes within its bounds.
    bounds : Augmentation
        How large the changes may be.

    Returns
    -------
    tensor
        float32 (n, height, width, 1), from 0 to 1; of Keras's backend.
    """
    height, width = images.shape[1:]
    turned, wider, higher, slanted, moved, lifted, pressed, inked = (draws[:, k] for k in range(8))
    angle = turned * (bounds.rotation * math.pi / 180)
    scale_x = ops.exp(wider * bounds.scale) * variants[:, 0]
    scale_y = ops.exp(higher * bounds.scale) * variants[:, 1]
    shear = slanted * bounds.shear
    cos, sin = ops.cos(angle), ops.sin(angle)
    # Output to input coordinates, about the centre: mirror and scale after rotating and shearing.
    a, b = scale_x * cos, scale_x * (shear * cos - sin)
    c, d = scale_y * sin, scale_y * (shear * sin + cos)
    # A part of a signature fills the canvas.
    middle_x, middle_y, part_width, part_height = (variants[:, k] for k in range(2, 6))
    a, b = part_width * a, part_width * b
    c, d = part_height * c, part_height * d
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    shift_x = part_width * moved * bounds.shift + middle_x
    shift_y = part_height * lifted * bounds.shift + middle_y
    shift_x = centre_x * (1 - a) - centre_y * b + shift_x * width
    shift_y = centre_y * (1 - d) - centre_x * c + shift_y * height
    zero = ops.zeros_like(a)
    transforms = ops.stack([a, b, shift_x, c, d, shift_y, zero, zero], axis=1)
    images = ops.expand_dims(ops.cast(images, "float32"), -1) / 255.0
    images = ops.image.affine_transform(images, transforms, data_format="channels_last")

    def of_image(value):
        return ops.reshape(value, (-1, 1, 1, 1))

    stroke = of_image(pressed * bounds.stroke)
    thick = ops.max_pool(images, 3, 1, "same", "channels_last")
    thin = -ops.max_pool(-images, 3, 1, "same", "channels_last")
    images = images + ops.maximum(stroke, 0.0) * (thick - images)
    # Erosion by a whole pixel would take thin strokes away, so it goes half as far.
    images = images + ops.maximum(-stroke, 0.0) * 0.5 * (thin - images)
    return ops.power(ops.clip(images, 0.0, 1.0), ops.exp(of_image(inked * bounds.gamma)))


def batches(
    data: Canvases, settings: Settings, seed: int, first_epoch: int = 0
) -> tuple[Iterator[tuple], int]:
    """The batches of a training, from an epoch on, and its steps per epoch.

    Returns
    -------
    batches : iterator
        Of ((images uint8 (n, height, width), variants float32 (n, 6), draws float32 (n, 8)), labels
        int32 (n, 2)): what `augment` takes, and what the losses do.
    steps : int
        Batches in an epoch.
    """
    batch_seed, augment_seed = (int(stream(seed, name).integers(2**31)) for name in _STREAMS)
    steps, size = plan_epoch(data.writer, data.kind, settings, batch_seed, 0)[0].shape

    def gather() -> Iterator[tuple]:
        for epoch in range(first_epoch, settings.epochs):
            plan = plan_epoch(data.writer, data.kind, settings, batch_seed, epoch)
            rng = np.random.default_rng([augment_seed, epoch])
            for rows, labels, variants in zip(*plan, strict=True):
                draws = rng.uniform(-1.0, 1.0, (size, 8)).astype(np.float32)
                yield (data.canvas[rows], variants, draws), labels

    return gather(), steps


_STREAMS = ("batches", "augment")
