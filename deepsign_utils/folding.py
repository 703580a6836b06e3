"""The same embeddings a tenth sooner: batch normalisation folded into the layer before it.

Once trained, batch normalisation multiplies and adds fixed numbers, which the weights and the bias
of the convolution before it can do as well (Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, section 3.2). A model file
keeps the two apart, so that a training can start from it; `Verifier` folds what it has loaded.
"""

from __future__ import annotations

import keras
from keras import layers, ops


def folded(encoder: keras.Model) -> keras.Model:
    """A copy of an encoder without batch normalisation, for embedding alone.

    Parameters
    ----------
    encoder
        Maps float images (n, height, width, 1) to embeddings (n, d); as trained or finished. What
        is normalised is read by nothing else, as in `models`; a layer with a bias or an
        activation of its own keeps its normalisation.

    Returns
    -------
    keras.Model
        Maps the same images to the same embeddings, but for rounding (less than a millionth).
    """
    norms = _norms(encoder)
    gone = {id(norm) for norm in norms.values()}
    copies = []

    def copy(operation):
        # What holds no weights serves both models.
        if not isinstance(operation, layers.Layer) or id(operation) in gone:
            return operation
        config = operation.get_config()
        if id(operation) in norms:
            config["use_bias"] = True
        copies.append((operation, type(operation).from_config(config)))
        return copies[-1][1]

    def call(operation, *arguments, **options):
        return arguments[0] if id(operation) in gone else operation(*arguments, **options)

    model = keras.models.clone_model(
        encoder, clone_function=copy, call_function=call, recursive=True
    )
    for layer, its_copy in copies:
        weights = layer.get_weights()
        if id(layer) in norms:
            norm = norms[id(layer)]
            scale = norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon)
            weights = [layer.kernel * scale, norm.beta - norm.moving_mean * scale]
        its_copy.set_weights(weights)
    return model


def _norms(encoder: keras.Model) -> dict[int, layers.BatchNormalization]:
    """The batch normalisation behind a layer, by the layer's id; those of models inside as well."""
    found = {}
    behind = {
        id(layer.input): layer
        for layer in encoder.layers
        if isinstance(layer, layers.BatchNormalization)
    }
    for layer in encoder.layers:
        if isinstance(layer, keras.Model):
            found |= _norms(layer)
        elif (
            isinstance(layer, (layers.Conv2D, layers.Dense))
            and id(layer.output) in behind
            and not layer.use_bias
            and layer.activation is keras.activations.linear
        ):
            found[id(layer)] = behind[id(layer.output)]
    return found
