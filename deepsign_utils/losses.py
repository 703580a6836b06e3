"""Pair losses on the pairs inside a batch.

A batch holds some writers with some genuine signatures and forgeries of each. Its pairs are those
of the evaluation: genuine with genuine of one writer (accept), genuine with a forgery of that
writer (skilled: reject), genuine with another writer's genuine (random: reject). The three kinds
weigh alike, however many pairs each has.

Labels are integers (n, 2): the writer's number inside the batch, and 1 for genuine, 0 for forged.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


def pair_masks(labels):
    """Which pairs of a batch are of which kind.

    Parameters
    ----------
    labels : int (n, 2)
        Writer number, and 1 genuine or 0 forged.

    Returns
    -------
    tuple of three float tensors (n, n)
        1 where the pair (row: a genuine reference, column: the questioned one) is a genuine, a
        skilled or a random pair. An image is not paired with itself.
    """
    writer, genuine = labels[:, 0], ops.cast(labels[:, 1], "float32")
    same_writer = ops.cast(ops.equal(writer[:, None], writer[None, :]), "float32")
    from_genuine = genuine[:, None]
    to_genuine = genuine[None, :]
    not_itself = 1.0 - ops.eye(ops.shape(labels)[0])
    return (
        from_genuine * to_genuine * same_writer * not_itself,
        from_genuine * (1.0 - to_genuine) * same_writer,
        from_genuine * to_genuine * (1.0 - same_writer),
    )


def _mean_over(mask, values):
    return ops.sum(mask * values) / ops.maximum(ops.sum(mask), 1.0)


@keras.saving.register_keras_serializable(package="deepsign")
class SigmoidPairLoss(keras.losses.Loss):
    """Logistic loss of every pair's log odds (n, n); see ``models.PairwiseLogits``."""

    def call(self, y_true, y_pred):
        """Loss of a batch."""
        genuine, skilled, random = pair_masks(y_true)
        reject = ops.softplus(y_pred)
        return (
            _mean_over(genuine, ops.softplus(-y_pred))
            + _mean_over(skilled, reject)
            + _mean_over(random, reject)
        )


@keras.saving.register_keras_serializable(package="deepsign")
class ContrastivePairLoss(keras.losses.Loss):
    """Contrastive loss of every pair's distance (n, n).

    ``distance**2`` for a genuine pair, ``max(margin - distance, 0)**2`` for a forged one (Hadsell,
    Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", 2006).
    """

    def __init__(self, margin: float = 1.0, name: str = "contrastive_pair_loss", **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        self.margin = margin

    def call(self, y_true, y_pred):
        """Loss of a batch."""
        genuine, skilled, random = pair_masks(y_true)
        reject = ops.square(ops.maximum(self.margin - y_pred, 0.0))
        return (
            _mean_over(genuine, ops.square(y_pred))
            + _mean_over(skilled, reject)
            + _mean_over(random, reject)
        )

    def get_config(self):
        """What rebuilds it from a file."""
        return {**super().get_config(), "margin": self.margin}


def pull(log_odds: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How hard each pair of a batch pulls under `SigmoidPairLoss`: its slope, turned round.

    Parameters
    ----------
    log_odds : float (n, n)
        See ``models.PairwiseLogits``.
    labels : int (n, 2)

    Returns
    -------
    ndarray
        float (n, n): above 0 the pair is pulled together, below 0 pushed apart; the share with
        which the network is wrong about it, by the number of pairs of its kind.
    """
    genuine, skilled, random = (np.asarray(mask) for mask in pair_masks(labels))
    accepted = 1 / (1 + np.exp(-log_odds))
    return (
        genuine * (1 - accepted) / max(genuine.sum(), 1)
        - skilled * accepted / max(skilled.sum(), 1)
        - random * accepted / max(random.sum(), 1)
    )


LOSSES: dict[str, type[keras.losses.Loss]] = {
    "sigmoid": SigmoidPairLoss,
    "contrastive": ContrastivePairLoss,
}
