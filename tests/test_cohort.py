"""What a signature shares with other writers, taken out: one threshold serves more of them."""

import numpy as np
import pytest

from deepsign_utils import metrics
from deepsign_utils.deployed_encoder import cohort


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_writers_centre_is_the_direction_of_their_mean():
    embeddings = unit(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]))
    found = cohort.centres(embeddings, np.array(["b", "b", "a", "a"]))
    assert found == pytest.approx(unit(np.array([[0.0, 0, 1], [1, 1, 0]])))
    assert found.dtype == np.float32


def test_of_very_many_writers_some_of_the_whole_range_are_taken(monkeypatch):
    monkeypatch.setattr(cohort, "MOST", 3)
    found = cohort.centres(np.eye(9), np.arange(9))
    assert found.argmax(axis=1).tolist() == [0, 4, 8]


def test_without_a_share_nothing_changes_and_with_one_the_nearest_fades():
    embeddings = unit(np.random.default_rng(0).normal(0, 1, (5, 8)))
    others = unit(np.random.default_rng(1).normal(0, 1, (4, 8)))
    same = cohort.without_common(embeddings, cohort.Cohort(others, 0.0))
    assert same == pytest.approx(embeddings)

    less = cohort.without_common(embeddings, cohort.Cohort(others, 0.5))
    nearest = (embeddings @ others.T).argmax(axis=1)
    near = others[nearest]
    assert np.all(np.sum(less * near, axis=1) < np.sum(embeddings * near, axis=1))
    assert np.linalg.norm(less, axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("share", "better"), [(0.0, False), (0.5, True)])
def test_writers_of_a_common_and_of_a_rare_style_come_to_one_scale(share, better):
    # given: half of the writers in a style that many write, which forgers have for nothing
    rng = np.random.default_rng(0)

    def like(direction, noise, count):
        return unit(direction + noise * unit(rng.normal(0, 1, (count, 64))))

    style = unit(rng.normal(0, 1, 64))
    others = cohort.Cohort(like(0.9 * style, 0.5, 100), share)
    genuine, skilled = [], []
    for writer in range(60):
        own = unit(rng.normal(0, 1, 64))
        if writer % 2:
            signatures, forged = like(0.9 * style + 0.5 * own, 0.3, 20), like(0.9 * style, 0.5, 20)
        else:
            signatures, forged = like(own, 0.6, 20), like(0.5 * own, 0.8, 20)
        signatures, forged = (cohort.without_common(x, others) for x in (signatures, forged))
        genuine += (signatures[:10] @ signatures[10:].T).ravel().tolist()
        skilled += (signatures @ forged.T).ravel().tolist()
    # then: one threshold serves both halves, which it does not without
    error = metrics.eer(np.array(genuine), np.array(skilled))
    assert error < 0.1 if better else error > 0.2
