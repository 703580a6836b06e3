"""Pair losses against the same sums written out by hand."""

import numpy as np
import pytest

from deepsign_utils.losses import LOSSES, ContrastivePairLoss, pair_masks, pull

# Two writers: two genuine and one forgery of the first, two genuine of the second.
LABELS = np.array([[0, 1], [0, 1], [0, 0], [1, 1], [1, 1]])
GENUINE = [(0, 1), (1, 0), (3, 4), (4, 3)]
SKILLED = [(0, 2), (1, 2)]
RANDOM = [(i, j) for i in (0, 1) for j in (3, 4)] + [(j, i) for i in (0, 1) for j in (3, 4)]


def test_pairs_of_a_batch_are_those_of_the_protocol():
    masks = [np.argwhere(np.asarray(mask)) for mask in pair_masks(LABELS)]
    for mask, expected in zip(masks, (GENUINE, SKILLED, RANDOM), strict=True):
        assert {tuple(pair) for pair in mask.tolist()} == set(expected)


def by_hand(values, accept, reject):
    return (
        np.mean([accept(values[pair]) for pair in GENUINE])
        + np.mean([reject(values[pair]) for pair in SKILLED])
        + np.mean([reject(values[pair]) for pair in RANDOM])
    )


def test_sigmoid_loss_weighs_the_three_kinds_alike():
    logits = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32) * 3
    expected = by_hand(logits, lambda x: np.log1p(np.exp(-x)), lambda x: np.log1p(np.exp(x)))
    assert float(LOSSES["sigmoid"]()(LABELS, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_contrastive_loss_pulls_genuine_and_pushes_forged_to_the_margin(margin):
    distances = np.random.default_rng(1).random((5, 5)).astype(np.float32) * 2
    expected = by_hand(distances, np.square, lambda d: max(margin - d, 0) ** 2)
    loss = ContrastivePairLoss(margin=margin)
    assert float(loss(LABELS, distances)) == pytest.approx(expected, rel=1e-5)
    assert ContrastivePairLoss.from_config(loss.get_config()).margin == margin


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_forgeries_still_has_a_finite_loss(name):
    labels = np.array([[0, 1], [0, 1], [1, 1]])
    assert np.isfinite(float(LOSSES[name]()(labels, np.ones((3, 3), np.float32))))


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_batch_costs_less_than_a_confused_one(name):
    same_hand = np.zeros((5, 5), np.float32)
    for pair in GENUINE:
        same_hand[pair] = 1
    good = 20 * same_hand - 10 if name == "sigmoid" else 2 * (1 - same_hand)
    confused = -good if name == "sigmoid" else 2 * same_hand
    loss = LOSSES[name]()
    assert float(loss(LABELS, good)) < 0.01 < float(loss(LABELS, confused.astype(np.float32)))


def test_a_pair_pulls_as_the_losss_slope_says():
    """Against the slope measured by moving each pair's log odds a little."""
    logits = np.random.default_rng(0).normal(size=(5, 5))
    moved = np.zeros((5, 5))
    for pair in np.ndindex(5, 5):
        step = np.zeros((5, 5))
        step[pair] = 1e-2
        up, down = (float(LOSSES["sigmoid"]()(LABELS, logits + s * step)) for s in (1, -1))
        moved[pair] = -(up - down) / 2e-2
    np.testing.assert_allclose(pull(logits, LABELS), moved, atol=1e-4)
