"""A deployed encoder embeds as the trained one, without batch normalisation."""

import keras
import numpy as np
import pytest
from test_training import drawn_writers

from deepsign_utils import finishing, folding, models
from deepsign_utils.verifier import Verifier


@pytest.fixture(scope="module")
def canvases() -> np.ndarray:
    return drawn_writers(1, 3, 2).canvas


def trained(name: str) -> keras.Model:
    """An encoder whose batch normalisation has met other images than the standard ones."""
    encoder = models.build_encoder(name, 16, 32, seed=3)
    rng = np.random.default_rng(1)
    encoder.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in encoder.get_weights()])
    return encoder


def normalisations(encoder: keras.Model) -> int:
    layers = models.bare_encoder(encoder).layers
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


@pytest.mark.parametrize("name", ["lightweight_encoder", "regional_encoder"])
@pytest.mark.parametrize("finished", [False, True], ids=["bare", "finished"])
def test_it_embeds_as_before_without_batch_normalisation(name, finished, canvases):
    encoder = trained(name)
    if finished:
        rng = np.random.default_rng(2)
        sizes = [128 * len(views) for views in finishing.BLOCKS.values()]
        matrices = [rng.normal(0, 1, (size, size)).astype(np.float32) for size in sizes]
        encoder = finishing.finished_encoder(encoder, matrices)
    before, weights = models.embed(encoder, canvases), encoder.get_weights()

    folded = folding.folded(encoder)

    assert normalisations(encoder) == 7
    assert normalisations(folded) == 0
    assert folded.name == name
    assert folded.input_shape == encoder.input_shape
    assert np.allclose(models.embed(folded, canvases), before, atol=1e-6)
    # and the encoder itself stays what it was
    assert all(np.array_equal(a, b) for a, b in zip(weights, encoder.get_weights(), strict=True))
    assert np.array_equal(models.embed(encoder, canvases), before)


@pytest.mark.parametrize("options", [{"activation": "relu"}, {"use_bias": True}], ids=str)
def test_a_layer_that_does_more_than_multiply_keeps_its_normalisation(options, canvases):
    # given a convolution that rectifies, or adds, before it is normalised
    image = keras.Input((16, 32, 1))
    x = keras.layers.Conv2D(4, 3, **{"use_bias": False} | options)(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    encoder = keras.Model(image, x)
    rng = np.random.default_rng(1)
    encoder.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in encoder.get_weights()])
    # when it is folded, then nothing changes
    folded = folding.folded(encoder)
    assert normalisations(folded) == 1
    assert np.array_equal(models.embed(folded, canvases), models.embed(encoder, canvases))


def test_a_loaded_model_is_folded():
    assert normalisations(Verifier.load()._encoder) == 0
