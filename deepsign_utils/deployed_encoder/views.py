"""From a trained encoder to the one that is deployed: several views of a signature, whitened.

A deployed encoder looks at a signature in some of the ways that the training took for other
writers' hands, and in smaller parts than those: the whole of it, upright and upside down, and its
halves, thirds and quarters, some of them mirrored. Their errors partly cancel out, and a part shows
its strokes wider. More mirror images would cost time and bring next to nothing
(docs/experiments.md). What varies within a writer is then taken out (see ``whitening``), in the
views of each kind apart; and, where a study wants it, a part of what a signature has in common with
other writers (see ``cohort``). All of it is inside the model file, in built-in Keras layers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
from keras import layers, ops
from threadpoolctl import threadpool_limits

from deepsign_utils.deployed_encoder import cohort, whitening
from deepsign_utils.deployed_encoder.cohort import Cohort
from deepsign_utils.models import embed
from deepsign_utils.parts import HALVES, QUARTERS, THIRDS, WHOLE, Part
from deepsign_utils.tfrecords import Canvases


class View(NamedTuple):
    """A way to look at a signature: a part of it, then mirrored left-right and up-down, or not."""

    part: Part
    across: bool = False
    down: bool = False


# Signatures that say how a writer's own vary: of more, whole writers are left out.
ENOUGH = 5000

# What is whitened together, by name. So chosen that, but for the middle third, a signature mirrored
# left-right shows the same ones.
BLOCKS: dict[str, tuple[View, ...]] = {
    "whole": (View(WHOLE), View(WHOLE, down=True)),
    "halves": (View(HALVES[0]), View(HALVES[1], across=True)),
    "thirds": (View(THIRDS[0]), View(THIRDS[1]), View(THIRDS[2], across=True)),
    "quarters": tuple(
        View(part, bool(number & 1), bool(number & 2)) for number, part in enumerate(QUARTERS)
    ),
}


def orders(views: tuple[View, ...]) -> list[list[int]]:
    """In which orders mirror images of a signature show the same views.

    Parameters
    ----------
    views : tuple of View
        A block.

    Returns
    -------
    list
        One entry for each mirroring that only changes the places of the views: the places from
        which the mirror image's views come. The first is that of the signature itself.
    """
    found = []
    for across, down in ((False, False), (True, False), (False, True), (True, True)):
        moved = [
            View(view.part.mirrored(across, down), view.across ^ across, view.down ^ down)
            for view in views
        ]
        if set(moved) == set(views):
            found.append([views.index(view) for view in moved])
    return found


def _seen(image, view: View):
    """The image (n, height, width, 1) as the view shows it, on the same canvas."""
    _, height, width, _ = image.shape
    if view.part != WHOLE:
        left, right = (round(share * width) for share in view.part[:2])
        top, bottom = (round(share * height) for share in view.part[2:])
        image = ops.image.resize(image[:, top:bottom, left:right], (height, width))
    axes = [axis for axis, mirrored in ((2, view.across), (1, view.down)) if mirrored]
    return ops.flip(image, axes) if axes else image


def _views(encoder: keras.Model):
    """Image input, and by block the embeddings of its views side by side."""
    image = keras.Input(encoder.input_shape[1:], name="image")
    every = [view for views in BLOCKS.values() for view in views]
    stacked = ops.stack([_seen(image, view) for view in every], axis=1)
    embeddings = encoder(ops.reshape(stacked, (-1, *encoder.input_shape[1:])))
    row = ops.reshape(embeddings, (-1, len(every) * encoder.output_shape[-1]))
    blocks, start = {}, 0
    for name, views in BLOCKS.items():
        size = len(views) * encoder.output_shape[-1]
        blocks[name] = row[:, start : start + size]
        start += size
    return image, blocks


def view_encoder(encoder: keras.Model) -> keras.Model:
    """The embeddings of all the views of an image.

    Parameters
    ----------
    encoder : keras.Model
        Maps float images (n, height, width, 1) to embeddings (n, d).

    Returns
    -------
    keras.Model
        Maps float images (n, height, width, 1) to float (n, v d): those of the v views, side by
        side, block after block.
    """
    image, blocks = _views(encoder)
    return keras.Model(image, layers.Concatenate()(list(blocks.values())), name=encoder.name)


def whitened_encoder(
    encoder: keras.Model, matrices: list[np.ndarray], others: Cohort | None = None
) -> keras.Model:
    """The encoder as it is deployed.

    Parameters
    ----------
    encoder : keras.Model
        As trained; it becomes a layer of the new model, under its own name.
    matrices : list of ndarray
        For each of `BLOCKS`, of b views each: float (b d, b d).
    others : Cohort, optional
        The cohort, in whitened embeddings of all v views: centres float (c, v d).

    Returns
    -------
    keras.Model
        Maps float images (n, height, width, 1) to embeddings (n, v d) of length 1.
    """
    image, blocks = _views(encoder)
    whitened, denses = [], []
    for (name, block), matrix in zip(blocks.items(), matrices, strict=True):
        dense = layers.Dense(len(matrix), use_bias=False, trainable=False, name=f"whiten_{name}")
        whitened.append(layers.UnitNormalization(name=f"unit_{name}")(dense(block)))
        denses.append(dense)
    row = layers.Concatenate(name="views")(whitened)
    if others is not None:
        row = layers.UnitNormalization(name="unit_views")(row)
        near = layers.Dense(
            len(others.centres),
            activation="softmax",
            use_bias=False,
            trainable=False,
            name="cohort_nearness",
        )
        common = layers.Dense(row.shape[-1], use_bias=False, trainable=False, name="cohort_common")
        row = layers.Add(name="without_common")([row, common(near(row))])
        denses += [near, common]
        matrices = [*matrices, cohort.NEARNESS * others.centres.T, -others.share * others.centres]
    model = keras.Model(
        image, layers.UnitNormalization(name="embed_l2norm")(row), name=encoder.name
    )
    for dense, matrix in zip(denses, matrices, strict=True):
        dense.set_weights([matrix])
    return model


def build_deployed(
    encoder: keras.Model,
    data: Canvases,
    validation: Canvases,
    validation_pairs: pd.DataFrame,
    cohort_share: float = 0.0,
) -> tuple[keras.Model, pd.DataFrame]:
    """Finish a trained encoder.

    Parameters
    ----------
    encoder : keras.Model
        As trained.
    data, validation : Canvases
        Canvases of the training and of the validation writers: how genuine signatures vary is
        learnt from the former, of very many from about `ENOUGH`, of whole writers.
    validation_pairs : DataFrame
        Pair table of the validation writers: it chooses how far to trust that.
    cohort_share : float
        From 0 to 1: how much of what a signature has in common with its nearest training writers to
        take out. Above 0, the mean embeddings of training writers are in the encoder.

    Returns
    -------
    encoder : keras.Model
        See `whitened_encoder`.
    errors : DataFrame
        See `whitening.whitening_errors`.

    Raises
    ------
    DeepSignError
        If no training writer has two genuine signatures.
    """
    views = view_encoder(encoder)
    genuine = data.kind == "genuine"
    every = math.ceil(np.count_nonzero(genuine) / ENOUGH)
    genuine &= np.isin(data.writer, np.unique(data.writer[genuine])[:: max(every, 1)])
    learnt, seen = embed(views, data.canvas[genuine]), embed(views, validation.canvas)
    # Eigenvectors differ in their last bits with the number of threads that look for them.
    with threadpool_limits(1, user_api="blas"):
        covariances, start = [], 0
        for block in BLOCKS.values():
            part = learnt[:, start : start + len(block) * encoder.output_shape[-1]]
            covariances.append(
                whitening.within_writer_covariance(part, data.writer[genuine], orders(block))
            )
            start += part.shape[1]

        def cohort_by(matrices: list[np.ndarray]) -> Cohort | None:
            if not cohort_share:
                return None
            moved = whitening.whitened(learnt, matrices)
            return Cohort(cohort.centres(moved, data.writer[genuine]), cohort_share)

        def deployed(matrices: list[np.ndarray]) -> np.ndarray:
            moved, others = whitening.whitened(seen, matrices), cohort_by(matrices)
            return moved if others is None else cohort.without_common(moved, others)

        errors = whitening.whitening_errors(
            covariances, deployed, validation.signature_id, validation_pairs
        )
        shrinkage = whitening.choose_shrinkage(errors)
        matrices = [whitening.whitening(covariance, shrinkage) for covariance in covariances]
        others = cohort_by(matrices)
    return whitened_encoder(encoder, matrices, others), errors
