"""A trained encoder becomes the deployed one: several views of a signature, whitened."""

import keras
import numpy as np
import pytest
from test_training import drawn_writers, pairs_of
from threadpoolctl import threadpool_limits

from deepsign_utils import batches, models, scoring
from deepsign_utils.deployed_encoder import cohort, views, whitening

EVERY = [view for block in views.BLOCKS.values() for view in block]


@pytest.fixture(scope="module")
def encoder() -> keras.Model:
    return models.build_encoder("lightweight_encoder", 16, 32, seed=3)


@pytest.fixture(scope="module")
def canvases() -> np.ndarray:
    return drawn_writers(1, 3, 2).canvas


def views_of(encoder, canvases) -> np.ndarray:
    """Embeddings of every view, (n, v, 128)."""
    seen = models.embed(views.view_encoder(encoder), np.ascontiguousarray(canvases))
    return seen.reshape(len(canvases), len(EVERY), 128)


@pytest.mark.parametrize("place", range(len(EVERY)))
def test_a_view_is_what_the_training_sees_of_a_hand(encoder, canvases, place):
    still = batches.Augmentation(rotation=0, scale=0, shear=0, shift=0, stroke=0, gamma=0)
    (left, right, top, bottom), across, down = EVERY[place]
    middle = (left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5
    row = np.float32([1 - 2 * across, 1 - 2 * down, *middle, right - left, bottom - top])
    assert (row == batches.HANDS["quarters"]).all(axis=1).any()
    draws = np.zeros((len(canvases), 8), np.float32)
    seen = batches.augment(canvases, np.tile(row, (len(canvases), 1)), draws, still)
    expected = encoder.predict(seen, verbose=0)
    # But for the outermost half pixel, where the training sees the canvas end.
    cosine = np.sum(views_of(encoder, canvases)[:, place] * expected, axis=1)
    assert cosine.min() > (0.9999 if EVERY[place].part == views.WHOLE else 0.97)


@pytest.mark.parametrize("view", EVERY)
def test_a_view_is_its_part_stretched_over_the_canvas(encoder, canvases, view):
    # given the part in pixels of a canvas of 32 x 64, where each begins and ends with one
    large = canvases.repeat(2, axis=1).repeat(2, axis=2)
    encoder = models.build_encoder("lightweight_encoder", 32, 64, seed=3)
    left, right, top, bottom = (
        round(share * side) for share, side in zip(view.part, (64, 64, 32, 32), strict=True)
    )
    cut = large[:, top:bottom, left:right, None].astype(np.float32)
    # when it is stretched, then mirrored
    seen = np.array(keras.ops.image.resize(cut, (32, 64)))[..., 0]
    seen = seen[:, :: -1 if view.down else 1, :: -1 if view.across else 1]
    # then that is what the view embeds
    expected = models.embed(encoder, np.rint(seen).astype(np.uint8))
    place = EVERY.index(view)
    found = models.embed(views.view_encoder(encoder), large).reshape(len(large), len(EVERY), -1)
    assert np.sum(found[:, place] * expected, axis=1).min() > 0.999


def test_the_parts_of_a_kind_cover_the_signature_and_overlap():
    for parts in (views.HALVES, views.THIRDS, views.QUARTERS):
        seen = np.zeros((64, 128), int)
        for left, right, top, bottom in parts:
            seen[round(64 * top) : round(64 * bottom), round(128 * left) : round(128 * right)] += 1
        assert seen.min() == 1
        assert seen.max() == {2: 2, 3: 2, 4: 4}[len(parts)]


@pytest.mark.parametrize("block", views.BLOCKS.values(), ids=views.BLOCKS)
def test_a_mirrored_image_has_the_same_views_in_another_order(encoder, canvases, block):
    start = EVERY.index(block[0])
    of_block = slice(start, start + len(block))
    plain = views_of(encoder, canvases)[:, of_block]
    known = views.orders(block)
    assert known[0] == list(range(len(block)))
    found = []
    for changed in (canvases, canvases[:, :, ::-1], canvases[:, ::-1], canvases[:, ::-1, ::-1]):
        seen = views_of(encoder, changed)[:, of_block]
        found += [order for order in known if np.allclose(seen, plain[:, order], atol=1e-4)]
    assert found == known


def test_a_deployed_encoder_is_saved_whole_and_gives_its_inside_back(encoder, canvases, tmp_path):
    rng = np.random.default_rng(1)
    sizes = [128 * len(block) for block in views.BLOCKS.values()]
    matrices = [rng.normal(0, 1, (size, size)).astype(np.float32) for size in sizes]
    finished = views.whitened_encoder(encoder, matrices)
    seen = models.embed(views.view_encoder(encoder), canvases)
    models.save_encoder(finished, tmp_path / "encoder.keras")
    loaded = models.load_encoder(tmp_path / "encoder.keras")
    assert loaded.name == "lightweight_encoder"
    assert loaded.count_params() == 304_672 + sum(size**2 for size in sizes) < 1_000_000
    embedded = models.embed(loaded, canvases)
    assert np.allclose(embedded, whitening.whitened(seen, matrices), atol=1e-4)

    # and a training can start from it
    started = models.build_encoder("lightweight_encoder", 16, 32, 9, tmp_path / "encoder.keras")
    for ours, theirs in zip(started.get_weights(), encoder.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_what_is_shared_with_a_cohort_is_taken_out_inside_the_file(encoder, canvases, tmp_path):
    rng = np.random.default_rng(1)
    sizes = [128 * len(block) for block in views.BLOCKS.values()]
    matrices = [np.eye(size, dtype=np.float32) for size in sizes]
    plain = models.embed(views.whitened_encoder(encoder, matrices), canvases)
    others = cohort.Cohort(
        cohort.centres(plain + rng.normal(0, 0.02, plain.shape), np.arange(len(plain)) // 2), 0.3
    )
    models.save_encoder(
        views.whitened_encoder(encoder, matrices, others), tmp_path / "encoder.keras"
    )
    embedded = models.embed(models.load_encoder(tmp_path / "encoder.keras"), canvases)
    assert np.allclose(embedded, cohort.without_common(plain, others), atol=1e-5)
    assert not np.allclose(embedded, plain, atol=0.01)


def noisy(data):
    """Specks on a third of the pixels, which tell nothing of the writer."""
    specks = np.random.default_rng(4).random(data.canvas.shape) < 0.2
    return data._replace(canvas=np.where(specks, 255 - data.canvas, data.canvas))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_deployed_encoder_has_the_error_that_its_whitening_was_chosen_for(encoder, share):
    data, validation = noisy(drawn_writers(16, 6, 6)), noisy(drawn_writers(8, 6, 6, seed=1))
    pairs = pairs_of(validation)
    finished, errors = views.build_deployed(encoder, data, validation, pairs, share)

    seen = models.embed(finished, validation.canvas)
    measured = scoring.pair_errors(seen, validation.signature_id, pairs)["skilled"]
    chosen = whitening.choose_shrinkage(errors)
    assert measured == pytest.approx(errors["skilled"][chosen], abs=0.005)
    # and what varies within a writer is out of the way
    assert measured < errors["skilled"][np.inf]


def test_it_does_not_depend_on_how_many_threads_numpy_has(encoder):
    data, validation = noisy(drawn_writers(16, 6, 6)), noisy(drawn_writers(8, 6, 6, seed=1))
    pairs, weights = pairs_of(validation), []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            finished, _ = views.build_deployed(encoder, data, validation, pairs)
        weights.append([finished.get_layer(f"whiten_{n}").get_weights() for n in views.BLOCKS])
    assert all(np.array_equal(one, two) for one, two in zip(*weights, strict=True))


def test_of_very_many_signatures_whole_writers_are_left_out(encoder, monkeypatch):
    data, validation = drawn_writers(6, 4, 2), drawn_writers(4, 4, 2, seed=1)
    learnt_from, covariance = [], whitening.within_writer_covariance

    def watched(embeddings, writers, orders):
        learnt_from.append(writers.tolist())
        return covariance(embeddings, writers, orders)

    monkeypatch.setattr(whitening, "within_writer_covariance", watched)
    monkeypatch.setattr(views, "ENOUGH", 12)  # of 24
    views.build_deployed(encoder, data, validation, pairs_of(validation))
    # every second writer, with all four genuine signatures
    assert learnt_from == [[name for name in ("w0", "w2", "w4") for _ in range(4)]] * len(
        views.BLOCKS
    )
