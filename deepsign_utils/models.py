"""Encoders, and the Siamese networks on them.

Everything is written in Keras layers and ``keras.ops``, so that it runs on each of Keras's
backends. An encoder maps a canvas to an embedding of length 1; two signatures are compared by the
distance of their embeddings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from deepsign_utils import DeepSignError
from deepsign_utils.study.artefacts import written_at

# Whatever another project, in a file or in this process, has set: the networks are made for these.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_dtype_policy("float32")

EMBEDDING_SIZE = 128
# Keras's 0.99 averages over the last hundreds of steps: too slow for trainings this short.
BATCH_NORM_MOMENTUM = 0.9


def lightweight_encoder(height: int = 128, width: int = 256) -> keras.Model:
    """The default encoder: six 3 x 3 convolutions, averaged over the canvas; 304,672 parameters.

    Parameters
    ----------
    height, width : int
        Size of the canvas in pixels; it does not change the number of parameters.

    Returns
    -------
    keras.Model
        Maps float images (n, height, width, 1), ink 1 on 0, to embeddings (n, 128) of length 1.
    """
    image, features = _convolutions(height, width)
    pooled = layers.GlobalAveragePooling2D(name="global_average_pooling2d")(features)
    return keras.Model(image, _embedding(pooled), name="lightweight_encoder")


REGIONS = (2, 4)


def regional_encoder(height: int = 128, width: int = 256) -> keras.Model:
    """The same convolutions, averaged over 2 x 4 regions as well as over the whole canvas; 435,744
    parameters.

    What is where counts in a signature, and a single average forgets it. A few dozen training
    writers are soon learnt by heart this way; thousands (synthetic ones) are not.

    Parameters
    ----------
    height, width : int
        Size of the canvas in pixels, multiples of 16 and of 32; it does not change the number of
        parameters.

    Returns
    -------
    keras.Model
        Maps float images (n, height, width, 1), ink 1 on 0, to embeddings (n, 128) of length 1.

    Raises
    ------
    DeepSignError
        If the canvas cannot be cut into equal regions.
    """
    rows, columns = REGIONS
    if height % (SHRINK * rows) or width % (SHRINK * columns):
        raise DeepSignError(
            f"The canvas of the regional_encoder must be a multiple of {SHRINK * rows} pixels high "
            f"and of {SHRINK * columns} wide, not {height} x {width}."
        )
    image, features = _convolutions(height, width)
    pooled = layers.GlobalAveragePooling2D(name="global_average_pooling2d")(features)
    region = (height // SHRINK // rows, width // SHRINK // columns)
    regions = layers.AveragePooling2D(region, name="average_pooling2d")(features)
    regions = layers.Flatten(name="flatten")(regions)
    pooled = layers.Concatenate(name="concatenate")([pooled, regions])
    return keras.Model(image, _embedding(pooled), name="regional_encoder")


SHRINK = 8  # of the canvas by the three max poolings


def _convolutions(height: int, width: int) -> tuple:
    """Image input, and its feature map (height / 8, width / 8, 128)."""
    # Names are given, not counted up, so that they do not depend on what was built before.
    image = keras.Input((height, width, 1), name="encoder_input")
    x = image
    pooled_after = (0, 2, 4)
    for number, filters in enumerate((32, 32, 64, 64, 128, 128)):
        suffix = f"_{number}" if number else ""
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv2d{suffix}")(x)
        x = layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, name=f"batch_normalization{suffix}"
        )(x)
        x = layers.ReLU(name=f"re_lu{suffix}")(x)
        if number in pooled_after:
            order = pooled_after.index(number)
            x = layers.MaxPooling2D(name=f"max_pooling2d_{order}" if order else "max_pooling2d")(x)
    return image, x


def _embedding(pooled):
    """Embeddings (n, 128) of length 1 from pooled features (n, d)."""
    x = layers.Dense(EMBEDDING_SIZE, use_bias=False, name="dense")(pooled)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name="batch_normalization_6")(x)
    return layers.UnitNormalization(name="embed_l2norm")(x)


ENCODERS: dict[str, Callable[[int, int], keras.Model]] = {
    "lightweight_encoder": lightweight_encoder,
    "regional_encoder": regional_encoder,
}


def build_encoder(
    name: str, height: int, width: int, seed: int, start_from: Path | None = None
) -> keras.Model:
    """Build an encoder by name, with random weights or those of a trained one.

    Parameters
    ----------
    name : str
        One of ``ENCODERS``.
    height, width : int
        Size of the canvas in pixels.
    seed : int
        The random weights depend on it alone.
    start_from : Path, optional
        Encoder file whose weights to take; it may have been trained on another size of canvas, and
        be finished: then those of the encoder inside.

    Raises
    ------
    DeepSignError
        If no encoder has this name, or the file's weights do not fit it.
    """
    if name not in ENCODERS:
        raise DeepSignError(f"There is no encoder '{name}'. Known: {', '.join(ENCODERS)}.")
    keras.utils.set_random_seed(seed)
    encoder = ENCODERS[name](height, width)
    if start_from is not None:
        weights = bare_encoder(load_encoder(start_from)).get_weights()
        if [w.shape for w in weights] != [w.shape for w in encoder.get_weights()]:
            raise DeepSignError(f"The weights in {start_from} do not fit the encoder '{name}'.")
        encoder.set_weights(weights)
    return encoder


def save_encoder(encoder: keras.Model, file: Path) -> None:
    """Save an encoder as a ``.keras`` file: written beside, then renamed into place."""
    place = written_at(file)
    beside = place.with_name(f".{place.stem}.{os.getpid()}.partial.keras")
    place.parent.mkdir(parents=True, exist_ok=True)
    encoder.save(beside)
    beside.replace(place)


def load_encoder(file: Path) -> keras.Model:
    """Load an encoder in Keras's safe mode: the file cannot bring code along.

    Raises
    ------
    DeepSignError
        If the file is missing, damaged, or no ``.keras`` file that safe mode accepts.
    """
    if not Path(file).is_file():
        raise DeepSignError(f"There is no model file {file}. Train one first (make report).")
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds; all mean that the file is unusable
        reason = str(error).strip().splitlines()[0]
        raise DeepSignError(f"{file} cannot be loaded as a Keras model: {reason}") from error


def bare_encoder(encoder: keras.Model) -> keras.Model:
    """The trained encoder inside a deployed one; any other encoder itself."""
    inside = [layer for layer in encoder.layers if isinstance(layer, keras.Model)]
    return inside[0] if inside else encoder


@keras.saving.register_keras_serializable(package="deepsign")
class EmbeddingDistance(layers.Layer):
    """Euclidean distance of two embeddings: (n, d) and (n, d) to (n,), from 0 to 2."""

    def call(self, left, right):
        """Distance of each pair."""
        # The small constant keeps the square root's gradient finite for equal embeddings.
        return ops.sqrt(ops.sum(ops.square(left - right), axis=-1) + 1e-12)


@keras.saving.register_keras_serializable(package="deepsign")
class PairwiseDistances(layers.Layer):
    """Euclidean distances between all embeddings of a batch: (n, d) to (n, n), from 0 to 2."""

    def call(self, embeddings):
        """Apply the layer."""
        cosines = ops.matmul(embeddings, ops.transpose(embeddings))
        return ops.sqrt(ops.maximum(2.0 - 2.0 * cosines, 0.0) + 1e-12)


@keras.saving.register_keras_serializable(package="deepsign")
class PairwiseLogits(layers.Layer):
    """Log odds that two embeddings are of one hand, for all pairs of a batch: (n, d) to (n, n).

    The cosine of the two embeddings with a learned scale and bias, as in the sigmoid loss of Zhai
    et al., "Sigmoid Loss for Language Image Pre-Training", 2023. On embeddings of length 1 the
    cosine is ``1 - distance**2 / 2``: a distance-based similarity.
    """

    def build(self, shape):
        """Make the weights for this shape."""
        self.log_scale = self.add_weight(
            name="log_scale", shape=(), initializer=keras.initializers.Constant(2.3)
        )
        self.bias = self.add_weight(
            name="bias", shape=(), initializer=keras.initializers.Constant(-5.0)
        )

    def call(self, embeddings):
        """Apply the layer."""
        cosines = ops.matmul(embeddings, ops.transpose(embeddings))
        return ops.exp(self.log_scale) * cosines + self.bias


def siamese_network(encoder: keras.Model) -> keras.Model:
    """Two images through one encoder, and the distance of their embeddings.

    Returns
    -------
    keras.Model
        Maps [left, right], each (n, height, width, 1), to distances (n,).
    """
    left = keras.Input(encoder.input_shape[1:], name="left")
    right = keras.Input(encoder.input_shape[1:], name="right")
    distance = EmbeddingDistance(name="distance")(encoder(left), encoder(right))
    return keras.Model([left, right], distance, name="siamese_network")


def training_network(encoder: keras.Model, loss: str) -> keras.Model:
    """The same network for learning: each image of a batch embedded once, all pairs compared.

    Parameters
    ----------
    encoder : keras.Model
        Shared by reference: training this network trains the encoder.
    loss : str
        ``sigmoid`` (the output is log odds) or ``contrastive`` (the output is distances).

    Returns
    -------
    keras.Model
        Maps images (n, height, width, 1) to (n, n).
    """
    layers: dict[str, type[keras.Layer]] = {
        "sigmoid": PairwiseLogits,
        "contrastive": PairwiseDistances,
    }
    image = keras.Input(encoder.input_shape[1:], name="image")
    compare = layers[loss](name="pairs")
    return keras.Model(image, compare(encoder(image)), name="training_network")


def layer_outputs(
    encoder: keras.Model, names: Sequence[str], images: np.ndarray
) -> dict[str, np.ndarray]:
    """What some of an encoder's layers give, by name.

    Parameters
    ----------
    encoder : keras.Model
        Maps float images (n, height, width, 1) to embeddings.
    names : sequence of str
        Of its layers.
    images : float (n, height, width, 1)
    """
    outputs = {name: encoder.get_layer(name).output for name in names}
    values = keras.Model(encoder.input, outputs)(images)
    return {name: ops.convert_to_numpy(value) for name, value in values.items()}


def multiply_accumulates(encoder: keras.Model) -> int:
    """Multiply-accumulate operations of one image's pass (convolutions and dense layers)."""
    total = 0
    for layer in encoder.layers:
        if isinstance(layer, layers.Conv2D):
            _, height, width, filters = layer.output.shape
            total += height * width * filters * layer.kernel.shape[0] ** 2 * layer.kernel.shape[2]
        elif isinstance(layer, layers.Dense):
            total += layer.kernel.shape[0] * layer.kernel.shape[1]
    return total


def embed(encoder: keras.Model, canvases: np.ndarray, block: int = 4096) -> np.ndarray:
    """Embed cleaned canvases.

    Parameters
    ----------
    encoder : keras.Model
        Maps float images (n, height, width, 1) to embeddings (n, d).
    canvases : uint8 (n, height, width)
        Ink bright on 0; may be memory-mapped.
    block : int
        Images converted to float at a time, which bounds memory.

    Returns
    -------
    ndarray
        float32 (n, d).
    """
    embeddings = [
        encoder.predict(as_images(canvases[start : start + block]), batch_size=128, verbose=0)
        for start in range(0, len(canvases), block)
    ]
    none = np.empty((0, encoder.output_shape[-1]), np.float32)
    return np.concatenate(embeddings) if embeddings else none


def as_images(canvases: np.ndarray) -> np.ndarray:
    """Canvases (n, height, width) uint8 as the encoder's input: (n, height, width, 1), 0 to 1."""
    return canvases[..., None].astype(np.float32) / np.float32(255)
