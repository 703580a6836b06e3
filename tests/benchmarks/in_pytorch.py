"""The same network in PyTorch, for comparison, where PyTorch is installed.

A process of its own, ``python in_pytorch.py BATCH.npz THREADS``, because PyTorch and TensorFlow may
bring two copies of LLVM, which end a process that loads both. It does what each line of its input
says, ``inference`` or ``training``, and answers with a line when that is done: so it is timed in
turn with what it is compared with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from keras import layers
from torch import nn
from torch.nn import functional

from deepsign_utils import models


class _Length1(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(x, dim=1)


def same_encoder(encoder: keras.Model) -> nn.Sequential:
    """A Keras encoder layer by layer in PyTorch, with its weights.

    Raises
    ------
    TypeError
        If it has a layer that is not translated.
    """
    return nn.Sequential(*[module for layer in encoder.layers for module in _translated(layer)])


def _translated(layer: layers.Layer) -> list[nn.Module]:
    weights = [torch.from_numpy(weight.copy()) for weight in layer.get_weights()]
    match layer:
        case layers.InputLayer():
            return []
        case layers.Conv2D():
            kernel = weights[0].permute(3, 2, 0, 1)  # from (rows, columns, in, out)
            convolution = nn.Conv2d(
                kernel.shape[1], kernel.shape[0], layer.kernel_size, padding="same", bias=False
            )
            convolution.weight.data = kernel.contiguous()
            return [convolution]
        case layers.BatchNormalization():
            kind = nn.BatchNorm2d if len(layer.output.shape) == 4 else nn.BatchNorm1d
            norm = kind(len(weights[0]), eps=layer.epsilon, momentum=1 - layer.momentum)
            norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var = weights
            return [norm]
        case layers.ReLU():
            return [nn.ReLU()]
        case layers.MaxPooling2D():
            return [nn.MaxPool2d(layer.pool_size)]
        case layers.GlobalAveragePooling2D():
            return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case layers.Dense():
            dense = nn.Linear(*weights[0].shape, bias=False)
            dense.weight.data = weights[0].T.contiguous()
            return [dense]
        case layers.UnitNormalization():
            return [_Length1()]
    raise TypeError(f"{layer.name} has no translation")


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """Images (n, height, width, 1) as PyTorch has them: (n, 1, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def inference(encoder: keras.Model, images: np.ndarray) -> Callable[[], np.ndarray]:
    """Embeds the images, (n, d)."""
    network, batch = same_encoder(encoder).eval(), as_tensor(images)

    def run() -> np.ndarray:
        with torch.inference_mode():
            return network(batch).numpy()

    return run


def training_step(
    encoder: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    learning_rate: float,
    weight_decay: float,
) -> Callable[[], float]:
    """One step on all pairs of a batch, with the sigmoid loss: as ``train_on_batch`` takes it."""
    network, batch = same_encoder(encoder).train(), as_tensor(images)
    # As models.PairwiseLogits begins.
    log_scale, bias = (nn.Parameter(torch.tensor(value)) for value in (2.3, -5.0))
    learnt = [*network.parameters(), log_scale, bias]
    optimizer = torch.optim.AdamW(learnt, learning_rate, weight_decay=weight_decay)
    writer, genuine = torch.tensor(labels[:, 0]), torch.tensor(labels[:, 1]) == 1
    same = writer[:, None] == writer[None, :]
    to_genuine = genuine[:, None] & genuine[None, :]
    accept = to_genuine & same & ~torch.eye(len(labels), dtype=torch.bool)
    skilled, random = genuine[:, None] & ~genuine[None, :] & same, to_genuine & ~same

    def run() -> float:
        optimizer.zero_grad()
        embeddings = network(batch)
        logits = torch.exp(log_scale) * (embeddings @ embeddings.T) + bias
        reject = functional.softplus(logits)
        loss = functional.softplus(-logits)[accept].mean() + reject[skilled].mean()
        loss = loss + reject[random].mean()
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        return float(loss.detach())

    return run


def main(batch: str, threads: int) -> None:
    """Answer each line of the input, until it ends."""
    torch.set_num_threads(threads)
    with np.load(batch) as arrays:
        many, images, labels = (arrays[name] for name in ("many", "images", "labels"))
        optimizer = (float(arrays[name]) for name in ("learning_rate", "weight_decay"))
        encoder = models.build_encoder("lightweight_encoder", *many.shape[1:3], seed=0)
        does = {
            "inference": inference(encoder, many),
            "training": training_step(encoder, images, labels, *optimizer),
        }
    for line in sys.stdin:
        does[line.strip()]()
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
