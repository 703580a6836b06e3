"""What varies within a writer is measured, mirrored and taken back."""

import math

import numpy as np
import pandas as pd
import pytest

from deepsign_utils import DeepSignError
from deepsign_utils.deployed_encoder import whitening

ALONE = [[0]]
MIRRORS = [[view ^ mirror for view in range(4)] for mirror in range(4)]


@pytest.fixture(scope="module")
def hands() -> tuple[np.ndarray, np.ndarray]:
    """Six writers with forty embeddings of 4 views x 2: one direction loud, the others quiet."""
    rng = np.random.default_rng(0)
    writers = np.repeat(np.arange(6), 40)
    loud = np.array([5, 1, 1, 1, 1, 1, 1, 1.0])
    return rng.normal(0, 1, (6, 8))[writers] + rng.normal(0, 0.05, (240, 8)) * loud, writers


def test_the_covariance_is_about_each_writers_own_mean(hands):
    embeddings, writers = hands
    moved = embeddings + 10 * writers[:, None]
    covariance = whitening.within_writer_covariance(embeddings, writers, ALONE)
    assert np.allclose(covariance, whitening.within_writer_covariance(moved, writers, ALONE))
    assert covariance[0, 0] == pytest.approx((5 * 0.05) ** 2, rel=0.2)
    assert np.diag(covariance)[1:] == pytest.approx([0.05**2] * 7, rel=0.35)


def test_mirrored_writers_count_as_well(hands):
    # given the same signatures, mirrored left-right: views 0 and 1, and 2 and 3, change places
    embeddings, writers = hands
    mirrored = embeddings.reshape(-1, 4, 2)[:, [1, 0, 3, 2]].reshape(-1, 8)
    covariance = whitening.within_writer_covariance(embeddings, writers, MIRRORS)
    assert np.allclose(covariance, whitening.within_writer_covariance(mirrored, writers, MIRRORS))
    # then what is loud in one view is so in all
    loud = np.diag(covariance).reshape(4, 2)
    assert np.allclose(loud, loud[0])
    assert (loud[:, 0] > 3 * loud[:, 1]).all()


def test_whitened_embeddings_vary_alike_in_all_directions(hands):
    embeddings, writers = hands
    covariance = whitening.within_writer_covariance(embeddings, writers, ALONE)
    moved = embeddings @ whitening.whitening(covariance, 1e-6)
    after = whitening.within_writer_covariance(moved, writers, ALONE)
    assert np.allclose(after, np.eye(8) * after[0, 0], atol=1e-3 * after[0, 0])


def test_blocks_are_whitened_apart_and_weigh_alike(hands):
    embeddings, _ = hands
    left, right = np.diag([1.0, 2, 3]), 100 * np.eye(5)
    moved = whitening.whitened(embeddings, [left, right])
    lengths = np.linalg.norm(moved[:, :3], axis=1), np.linalg.norm(moved[:, 3:], axis=1)
    assert np.allclose(lengths, np.sqrt(0.5))
    assert np.allclose(moved[:, 3:], whitening.whitened(embeddings[:, 3:], [right]) * np.sqrt(0.5))
    assert np.allclose(moved[:, :3], whitening.whitened(embeddings[:, :3], [left]) * np.sqrt(0.5))


def test_shrinkage_leads_from_whitened_to_untouched(hands):
    covariance = whitening.within_writer_covariance(*hands, ALONE)
    spread = [
        np.ptp(np.linalg.eigvalsh(whitening.whitening(covariance, shrinkage)))
        for shrinkage in whitening.SHRINKAGES
    ]
    assert spread == sorted(spread, reverse=True)
    assert np.array_equal(whitening.whitening(covariance, math.inf), np.eye(8))


def test_whitening_finds_the_forger_where_a_loud_direction_hides_him():
    # given forgers who differ from their writer in one quiet direction, beneath a loud one
    rng = np.random.default_rng(1)
    rows, embeddings = [], []
    for writer in range(12):
        centre = rng.normal(0, 0.3, 8)
        for number in range(20):
            forged = number >= 10
            noise = rng.normal(0, 1, 8) * np.array([1.0] + [0.05] * 7)
            embeddings.append(centre + noise + forged * 0.4 * np.eye(8)[3])
            rows.append((f"w{writer}", "forgery" if forged else "genuine"))
    embeddings = np.array(embeddings) / np.linalg.norm(embeddings, axis=1, keepdims=True)
    writers, kinds = map(np.array, zip(*rows, strict=True))
    pairs = pd.DataFrame(
        [
            (i, j, "genuine" if kinds[j] == "genuine" else "skilled", writers[i])
            for i in range(240)
            for j in range(240)
            if kinds[i] == "genuine"
            and writers[i] == writers[j]
            and (i < j or kinds[j] != kinds[i])
        ],
        columns=["left", "right", "kind", "writer"],
    )
    genuine = kinds == "genuine"
    covariance = whitening.within_writer_covariance(embeddings[genuine], writers[genuine], ALONE)

    def deployed(matrices):
        return whitening.whitened(embeddings, matrices)

    errors = whitening.whitening_errors([covariance], deployed, np.arange(240), pairs)

    # then the validation error says so, and the choice follows it
    assert list(errors.index) == list(whitening.SHRINKAGES)
    assert errors["random"].isna().all()
    chosen = whitening.choose_shrinkage(errors)
    assert not math.isinf(chosen)
    assert errors["skilled"][chosen] < 0.5 * errors["skilled"][math.inf]


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [((0.102, 0.1, 0.2), 0.01), ((0.12, 0.1, 0.1), 0.3), ((0.2, 0.2, 0.1), math.inf)],
)
def test_of_errors_that_hardly_differ_the_strongest_whitening_is_chosen(errors, chosen):
    table = pd.DataFrame({"skilled": [math.nan] * 3, "random": errors}, index=[0.01, 0.3, math.inf])
    assert whitening.choose_shrinkage(table) == chosen


def test_one_signature_a_writer_is_too_little():
    with pytest.raises(DeepSignError, match="two genuine signatures"):
        whitening.within_writer_covariance(np.zeros((3, 8)), np.arange(3), MIRRORS)
