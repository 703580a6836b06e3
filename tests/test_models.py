"""The encoder is the one in the table, and its files load safely."""

import ast
import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT
from keras import ops

from deepsign_utils import DeepSignError, models
from deepsign_utils.study import PRETRAINED, starting_point

# Layer name, type, output shape, parameters: the mission's table, row by row.
TABLE = [
    ("encoder_input", "InputLayer", (128, 256, 1), 0),
    ("conv2d", "Conv2D", (128, 256, 32), 288),
    ("batch_normalization", "BatchNormalization", (128, 256, 32), 128),
    ("re_lu", "ReLU", (128, 256, 32), 0),
    ("max_pooling2d", "MaxPooling2D", (64, 128, 32), 0),
    ("conv2d_1", "Conv2D", (64, 128, 32), 9216),
    ("batch_normalization_1", "BatchNormalization", (64, 128, 32), 128),
    ("re_lu_1", "ReLU", (64, 128, 32), 0),
    ("conv2d_2", "Conv2D", (64, 128, 64), 18432),
    ("batch_normalization_2", "BatchNormalization", (64, 128, 64), 256),
    ("re_lu_2", "ReLU", (64, 128, 64), 0),
    ("max_pooling2d_1", "MaxPooling2D", (32, 64, 64), 0),
    ("conv2d_3", "Conv2D", (32, 64, 64), 36864),
    ("batch_normalization_3", "BatchNormalization", (32, 64, 64), 256),
    ("re_lu_3", "ReLU", (32, 64, 64), 0),
    ("conv2d_4", "Conv2D", (32, 64, 128), 73728),
    ("batch_normalization_4", "BatchNormalization", (32, 64, 128), 512),
    ("re_lu_4", "ReLU", (32, 64, 128), 0),
    ("max_pooling2d_2", "MaxPooling2D", (16, 32, 128), 0),
    ("conv2d_5", "Conv2D", (16, 32, 128), 147456),
    ("batch_normalization_5", "BatchNormalization", (16, 32, 128), 512),
    ("re_lu_5", "ReLU", (16, 32, 128), 0),
    ("global_average_pooling2d", "GlobalAveragePooling2D", (128,), 0),
    ("dense", "Dense", (128,), 16384),
    ("batch_normalization_6", "BatchNormalization", (128,), 512),
    ("embed_l2norm", "UnitNormalization", (128,), 0),
]


@pytest.fixture(scope="module")
def small_encoder() -> keras.Model:
    return models.build_encoder("lightweight_encoder", 16, 32, seed=3)


@pytest.fixture(scope="module")
def canvases() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 16, 32), np.uint8)


def test_the_default_encoder_is_the_tabled_one():
    encoder = models.lightweight_encoder()
    rows = [
        (layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in encoder.layers
    ]
    assert rows == TABLE
    assert encoder.name == "lightweight_encoder"
    assert encoder.count_params() == 304_672
    assert sum(int(np.prod(w.shape)) for w in encoder.trainable_weights) == 303_520
    assert sum(int(np.prod(w.shape)) for w in encoder.non_trainable_weights) == 1_152


def test_the_regional_encoder_has_fewer_than_half_a_million_parameters():
    encoder = models.regional_encoder()
    assert encoder.name == "regional_encoder"
    assert encoder.count_params() == 435_744
    assert encoder.output_shape == (None, 128)


def test_the_regional_encoder_tells_where_a_stroke_is_and_the_default_one_hardly_does():
    # Given one stroke at the left and the same one at the right, away from the borders
    canvases = np.zeros((2, 32, 64), np.uint8)
    canvases[0, 12:20, 12:20] = canvases[1, 12:20, 44:52] = 255
    apart = {}
    for name in models.ENCODERS:
        left, right = models.embed(models.build_encoder(name, 32, 64, seed=3), canvases)
        apart[name] = np.linalg.norm(left - right)
    assert apart["regional_encoder"] > 5 * apart["lightweight_encoder"]


def test_the_regional_encoder_refuses_a_canvas_that_has_no_equal_regions():
    with pytest.raises(DeepSignError, match="multiple of 16 pixels high and of 32 wide"):
        models.build_encoder("regional_encoder", 40, 64, seed=0)


def test_a_training_starts_from_nothing_from_the_shipped_model_or_from_a_file():
    assert starting_point("") is None
    assert starting_point("pretrained") == PRETRAINED / "encoder.keras"
    with pytest.raises(DeepSignError, match=r"'reports/x\.keras'"):
        starting_point("reports/x.keras")


def test_two_encoders_in_one_process_are_named_alike():
    first, second = (models.lightweight_encoder(16, 32) for _ in range(2))
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_weights_depend_on_the_seed_alone(small_encoder):
    again = models.build_encoder("lightweight_encoder", 16, 32, seed=3)
    other = models.build_encoder("lightweight_encoder", 16, 32, seed=4)
    kernels = [m.get_layer("conv2d").get_weights()[0] for m in (small_encoder, again, other)]
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_embeddings_have_length_one_and_do_not_depend_on_the_block(small_encoder, canvases):
    embeddings = models.embed(small_encoder, canvases)
    assert embeddings.shape == (5, 128)
    assert embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert np.allclose(models.embed(small_encoder, canvases, block=2), embeddings, atol=1e-5)
    assert models.embed(small_encoder, canvases[:0]).shape == (0, 128)


def test_the_siamese_network_gives_the_distance_of_the_embeddings(small_encoder, canvases):
    images = models.as_images(canvases)
    siamese = models.siamese_network(small_encoder)
    distance = siamese.predict([images[:4], images[1:]], verbose=0)
    embeddings = models.embed(small_encoder, canvases)
    assert np.allclose(distance, np.linalg.norm(embeddings[:4] - embeddings[1:], axis=1), atol=1e-5)
    assert siamese.count_params() == small_encoder.count_params()
    assert siamese.predict([images[:1], images[:1]], verbose=0) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("loss", "kind"), [("sigmoid", "log odds"), ("contrastive", "distance")])
def test_the_training_network_compares_all_pairs(small_encoder, canvases, loss, kind):
    matrix = models.training_network(small_encoder, loss).predict(
        models.as_images(canvases), verbose=0
    )
    embeddings = models.embed(small_encoder, canvases)
    cosines = embeddings @ embeddings.T
    distances = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    expected = np.exp(2.3) * cosines - 5 if kind == "log odds" else distances
    assert np.allclose(matrix, expected, atol=2e-3)


def test_the_gradient_is_finite_where_two_embeddings_are_equal(small_encoder):
    import tensorflow as tf

    network = models.training_network(small_encoder, "contrastive")
    images = ops.ones((2, 16, 32, 1))
    with tf.GradientTape() as tape:
        loss = ops.sum(network(images, training=True))
    gradients = tape.gradient(loss, network.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_a_saved_encoder_loads_in_safe_mode_and_embeds_alike(small_encoder, canvases, tmp_path):
    models.save_encoder(small_encoder, tmp_path / "model" / "encoder.keras")
    loaded = models.load_encoder(tmp_path / "model" / "encoder.keras")
    assert np.array_equal(models.embed(loaded, canvases), models.embed(small_encoder, canvases))
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["encoder.keras"]


def test_the_siamese_network_loads_in_safe_mode(small_encoder, canvases, tmp_path):
    siamese = models.siamese_network(small_encoder)
    siamese.save(tmp_path / "siamese.keras")
    loaded = keras.saving.load_model(tmp_path / "siamese.keras", safe_mode=True)
    images = models.as_images(canvases)
    pairs = [images[:4], images[1:]]
    assert np.allclose(loaded.predict(pairs, verbose=0), siamese.predict(pairs, verbose=0))


def test_a_model_that_brings_code_along_is_refused(tmp_path):
    image = keras.Input((16, 32, 1))
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image)).save(tmp_path / "code.keras")
    with pytest.raises(DeepSignError, match=r"code\.keras cannot be loaded"):
        models.load_encoder(tmp_path / "code.keras")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 truncated"])
def test_a_damaged_model_file_is_refused_by_name(tmp_path, content):
    file = tmp_path / "encoder.keras"
    file.write_bytes(content)
    with pytest.raises(DeepSignError, match=r"encoder\.keras cannot be loaded"):
        models.load_encoder(file)


def test_a_missing_model_file_says_how_to_make_one(tmp_path):
    with pytest.raises(DeepSignError, match="make report"):
        models.load_encoder(tmp_path / "encoder.keras")


def test_an_unknown_encoder_is_answered_with_the_known_ones():
    with pytest.raises(DeepSignError, match="lightweight_encoder"):
        models.build_encoder("resnet", 16, 32, 0)


def test_training_may_start_from_an_encoder_of_another_canvas(small_encoder, tmp_path):
    models.save_encoder(small_encoder, tmp_path / "encoder.keras")
    wider = models.build_encoder("lightweight_encoder", 16, 64, 9, tmp_path / "encoder.keras")
    for mine, given in zip(wider.get_weights(), small_encoder.get_weights(), strict=True):
        assert np.array_equal(mine, given)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    image = keras.Input((16, 32, 1))
    keras.Model(image, keras.layers.Conv2D(2, 3)(image)).save(tmp_path / "other.keras")
    with pytest.raises(DeepSignError, match="do not fit"):
        models.build_encoder("lightweight_encoder", 16, 32, 0, tmp_path / "other.keras")


def test_multiply_accumulates_by_hand():
    # 1 x 3 x 3 x 32 weights at 128 x 256 places, and so on; the dense layer once.
    by_hand = 128 * 256 * 288 + 64 * 128 * (9216 + 18432) + 32 * 64 * (36864 + 73728)
    by_hand += 16 * 32 * 147456 + 16384
    assert models.multiply_accumulates(models.lightweight_encoder()) == by_hand


@pytest.mark.parametrize("module", ["models", "losses"])
def test_models_and_losses_name_no_backend(module):
    tree = ast.parse((ROOT / "deepsign_utils" / f"{module}.py").read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        )
    }
    assert "keras" in imported
    assert imported.isdisjoint({"tensorflow", "torch", "jax"})


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_models_and_losses_run_on_another_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"Keras's {backend} backend needs {backend}, which is not installed")
    code = """
import numpy as np
from keras import ops
from deepsign_utils import losses, models
encoder = models.build_encoder("lightweight_encoder", 16, 32, 0)
batch = np.random.default_rng(0).random((4, 16, 32, 1), np.float32)
labels = np.array([[0, 1], [0, 1], [0, 0], [1, 1]])
for name in losses.LOSSES:
    value = losses.LOSSES[name]()(labels, models.training_network(encoder, name)(batch))
    assert np.isfinite(ops.convert_to_numpy(value))
"""
    environment = {**os.environ, "KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_summary_in_chapter_four_is_of_this_encoder():
    cells = json.loads((ROOT / "notebooks" / "04_model.ipynb").read_text())["cells"]
    assert any("network.summary()" in "".join(cell["source"]) for cell in cells)
