"""Learning: Keras ``fit``, checkpoints, resume.

An epoch is a function of (weights and optimizer state, seed, epoch number) alone. All of the
former is in one checkpoint, written after every epoch, so a training that was interrupted and
resumed ends with exactly the weights of one that was not.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers, ops
from tqdm import tqdm

from deepsign_utils import metrics, scoring
from deepsign_utils.batches import Augmentation, Settings, augment, batches
from deepsign_utils.losses import LOSSES
from deepsign_utils.models import embed, training_network
from deepsign_utils.study.artefacts import write_atomically
from deepsign_utils.study.processes import progress_bar, usable_processors, wanted_threads
from deepsign_utils.tfrecords import Canvases

WARM_UP = 0.05
WEIGHT_DECAY = 1e-4


def prepare_tensorflow(seed: int) -> dict[str, int]:
    """Fix what would make two trainings differ on one machine; return the thread counts.

    Threads are the processors that this process may use, or ``DEEPSIGN_THREADS``.

    Raises
    ------
    DeepSignError
        If ``DEEPSIGN_THREADS`` is no positive whole number.
    """
    import tensorflow as tf

    threads = wanted_threads() or usable_processors()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        # Operations that run beside each other share oneDNN's threads differently from run to run,
        # and with them the last bits of the weights.
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # already running in this process: then they stay as they are
        threads = tf.config.threading.get_intra_op_parallelism_threads() or threads
    tf.config.experimental.enable_op_determinism()
    tf.get_logger().setLevel("ERROR")  # it warns of retracing wherever two networks are embedded by
    keras.utils.set_random_seed(seed)
    return {"tensorflow": threads, "onednn": int(os.environ.get("TF_ENABLE_ONEDNN_OPTS", "0"))}


def arithmetic() -> dict[str, str]:
    """On what Keras computes, how it lays images out, and in which precision."""
    return {
        "backend": keras.config.backend(),
        "image_data_format": keras.config.image_data_format(),
        "precision": keras.config.dtype_policy().name,
    }


@keras.saving.register_keras_serializable(package="deepsign")
class WarmUpThenCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to the peak, then falls to zero as half a cosine."""

    def __init__(self, peak: float, steps: int) -> None:
        self.peak = peak
        self.steps = steps

    def __call__(self, step):
        """Learning rate at a step."""
        step = ops.cast(step, "float32")
        warm_up = max(1.0, WARM_UP * self.steps)
        progress = ops.clip((step - warm_up) / max(1.0, self.steps - warm_up), 0.0, 1.0)
        falling = 0.5 * (1.0 + ops.cos(math.pi * progress))
        return self.peak * ops.minimum((step + 1.0) / warm_up, falling)

    def get_config(self) -> dict:
        """What rebuilds it from a file."""
        return {"peak": self.peak, "steps": self.steps}


class FusedBatchNormalization(layers.Layer):
    """A batch normalisation of feature maps as one kernel of TensorFlow's, where Keras's takes ten.

    A training step takes a quarter less time for it. The layer inside keeps the weights, so that
    nothing of this is in the trained encoder.
    """

    def __init__(self, inside: layers.BatchNormalization) -> None:
        # The maps come in the precision that they have; the weights stay in their own.
        super().__init__(name=f"fused_{inside.name}", autocast=False)
        self.inside = inside

    def call(self, maps, training=None, mask=None):
        """Apply the layer."""
        if not training:
            return self.inside(maps, training=False)
        inside = self.inside
        import tensorflow as tf

        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=maps,
            scale=inside.gamma,
            offset=inside.beta,
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=inside.epsilon,
        )
        for moving, now in ((inside.moving_mean, mean), (inside.moving_variance, variance)):
            moving.assign(moving * inside.momentum + now * (1.0 - inside.momentum))
        return y


def fused(encoder: keras.Model) -> keras.Model:
    """The same encoder, made to train faster on TensorFlow; on another backend, itself.

    Parameters
    ----------
    encoder : keras.Model
        Maps float images (n, height, width, 1) to embeddings (n, d).

    Returns
    -------
    keras.Model
        The same map. It shares the encoder's weights: training one trains the other.
    """
    if keras.backend.backend() != "tensorflow":
        return encoder

    def faster(layer: layers.Layer) -> layers.Layer:
        of_maps = isinstance(layer, layers.BatchNormalization) and layer.input_spec.ndim == 4
        return FusedBatchNormalization(layer) if of_maps else layer

    return keras.models.clone_model(encoder, clone_function=faster)


@contextlib.contextmanager
def computed_in(encoder: keras.Model, precision: str) -> Iterator[None]:
    """Meanwhile, an encoder's convolutions and what lies between them compute in this precision.

    Weights, batch statistics, embeddings and loss stay in float32.

    Parameters
    ----------
    encoder : keras.Model
        Of ``models.ENCODERS``.
    precision : str
        float32 or bfloat16.
    """

    def set_policy(name: str) -> None:
        for layer in encoder.layers:
            if isinstance(layer, layers.Conv2D | layers.ReLU | layers.MaxPooling2D):
                layer.dtype_policy = name
        encoder.predict_function = None  # traced with the policy that it had

    set_policy("float32" if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        set_policy("float32")


class _Augment(layers.Layer):
    def call(self, batch):
        return augment(*batch, Augmentation())


def augmented(network: keras.Model) -> keras.Model:
    """A network of images that augments them first.

    Parameters
    ----------
    network : keras.Model
        Maps float images (n, height, width, 1) to anything.

    Returns
    -------
    keras.Model
        Maps what `batches` yields, to the same.
    """
    height, width, _ = network.input_shape[1:]
    images = keras.Input((height, width), dtype="uint8", name="images")
    variants, draws = keras.Input((6,), name="variants"), keras.Input((8,), name="draws")
    looked_at = _Augment(name="augment")([images, variants, draws])
    return keras.Model([images, variants, draws], network(looked_at), name="augmented")


def kept_epoch(history: pd.DataFrame, keep: str) -> pd.Series:
    """The row of `train`'s history whose weights it kept.

    Parameters
    ----------
    history : DataFrame
        From `train`.
    keep : str
        ``Settings.keep``: the best epoch's on validation writers, or the last one's.

    Returns
    -------
    Series
    """
    return history.loc[history["validation_eer"].idxmin() if keep == "best" else history.index[-1]]


def kept_in_words(history: pd.DataFrame, keep: str) -> str:
    """Which epoch's weights were kept, and what they brought.

    Parameters
    ----------
    history : DataFrame
        From `train`.
    keep : str
        ``Settings.keep``.
    """
    kept, last = kept_epoch(history, keep), history["epoch"].max()
    which = (
        f"{kept['epoch']:.0f} of {last:.0f} was best" if keep == "best" else f"{last:.0f} was last"
    )
    return (
        f"Epoch {which}: validation EER {100 * kept['validation_eer']:.1f} % "
        f"({100 * history['validation_eer'][0]:.1f} % before training)"
    )


def nothing_learnt(history: pd.DataFrame, keep: str) -> str:
    """A Markdown point that says so, where what was kept is no better than the start.

    Parameters
    ----------
    history, keep
        As for `kept_in_words`.
    """
    if kept_epoch(history, keep)["validation_eer"] < history["validation_eer"][0]:
        return ""
    return (
        "- **What was kept is no better than the start: nothing was learnt.** With few writers, "
        "start from the shipped model (`start_from`) or wait longer (`patience`).\n"
    )


class _Checkpoint(keras.callbacks.Callback):
    """After every epoch: validation EER, early stopping, history, and the state to resume from."""

    def __init__(self, encoder, validation, pairs, settings, steps, folder, identity) -> None:
        super().__init__()
        self.encoder, self.validation, self.pairs = encoder, validation, pairs
        self.settings, self.steps = settings, steps
        self.file, self.identity = folder / "state.npz", identity
        self.history: list[dict] = []
        self.best: list[np.ndarray] = encoder.get_weights()
        self.finished = False
        self.bar: tqdm  # from when training begins

    @property
    def epochs_done(self) -> int:
        return sum(row["epoch"] > 0 for row in self.history)

    def _record(self, epoch: int, loss: float, seconds: float) -> None:
        seen = self.validation
        embeddings = embed(self.encoder, seen.canvas)
        errors = scoring.pair_errors(embeddings, seen.signature_id, self.pairs)
        decisive = errors[metrics.opponent(errors)]
        if not self.history or decisive < min(row["validation_eer"] for row in self.history):
            self.best = self.encoder.get_weights()
        rate = float(self.model.optimizer.learning_rate)
        self.history.append(
            {
                "epoch": epoch,
                "loss": loss,
                "validation_eer": decisive,
                **{f"validation_eer_{kind}": error for kind, error in errors.items()},
                "learning_rate": rate,
                "seconds": seconds,
            }
        )

    def resume(self) -> None:
        """Take up the state of an interrupted training, if there is one of this very training."""
        try:
            with np.load(self.file, allow_pickle=False) as state:
                about = json.loads(str(state["about"]))
                if about["identity"] != self.identity:
                    return
                arrays = {
                    name: [state[f"{name}_{i}"] for i in range(about["counts"][name])]
                    for name in about["counts"]
                }
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            return  # none yet, or a damaged one: training starts anew
        self.model.set_weights(arrays["weights"])
        self.model.optimizer.build(self.model.trainable_variables)
        for variable, value in zip(
            self.model.optimizer.variables, arrays["optimizer"], strict=True
        ):
            variable.assign(value)
        self.best = arrays["best"]
        self.history = about["history"]
        self.finished = about["finished"]

    def save(self) -> None:
        arrays = {
            "weights": self.model.get_weights(),
            "optimizer": [np.asarray(variable) for variable in self.model.optimizer.variables],
            "best": self.best,
        }
        about = {
            "identity": self.identity,
            "history": self.history,
            "finished": self.finished,
            "counts": {name: len(values) for name, values in arrays.items()},
        }
        named = {f"{name}_{i}": v for name, values in arrays.items() for i, v in enumerate(values)}
        buffer = io.BytesIO()
        np.savez(buffer, about=np.array(json.dumps(about)), **named)
        write_atomically(self.file, buffer.getvalue())

    def on_train_begin(self, logs=None) -> None:
        if not self.history:
            self._record(0, math.nan, 0.0)
        self.bar = progress_bar(
            total=self.settings.epochs * self.steps,
            initial=self.epochs_done * self.steps,
            desc="training",
            unit="step",
        )
        self._show()

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None) -> None:
        self._record(epoch + 1, float(logs["loss"]), time.perf_counter() - self.started)
        logs |= {k: self.history[-1][k] for k in ("validation_eer", "learning_rate")}
        best = min(self.history, key=lambda row: row["validation_eer"])
        waited = self.epochs_done - best["epoch"]
        self.finished = waited >= self.settings.patience or self.epochs_done == self.settings.epochs
        self.model.stop_training = self.finished
        self.save()
        self._show()

    def on_train_end(self, logs=None) -> None:
        self.bar.close()

    def _show(self) -> None:
        row = self.history[-1]
        # Before the first epoch there is none.
        loss = "" if math.isnan(row["loss"]) else f"loss {row['loss']:.3f}, "
        self.bar.set_postfix_str(f"{loss}EER {100 * row['validation_eer']:.1f} %")


def train(
    encoder: keras.Model,
    data: Canvases,
    validation: Canvases,
    validation_pairs: pd.DataFrame,
    settings: Settings,
    seed: int,
    folder: Path,
    identity: str,
) -> pd.DataFrame:
    """Train an encoder in place; it ends with the weights that ``settings.keep`` names.

    Interrupted and called again with the same arguments, it goes on from the last whole epoch.

    Parameters
    ----------
    encoder : keras.Model
        From ``models.build_encoder`` or ``models.load_encoder``.
    data, validation : Canvases
        Canvases of the training and of the validation writers.
    validation_pairs : DataFrame
        Pair table of the validation writers: by its skilled EER the best epoch is told.
    settings : Settings
        How to train.
    seed : int
        The study's seed; the streams ``batches`` and ``augment`` derive from it.
    folder : Path
        Keeps the checkpoint and TensorBoard's logs.
    identity : str
        Whatever else the training depends on (data, code); a checkpoint of another identity,
        settings or seed is not resumed.

    Returns
    -------
    DataFrame
        One row an epoch, from 0 (untrained): ``epoch``, ``loss``, ``validation_eer`` (the decisive
        one), ``validation_eer_skilled``, ``validation_eer_random``, ``learning_rate``,
        ``seconds``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole_identity = json.dumps([identity, encoder.name, asdict(settings), seed])
    _, steps = batches(data, settings, seed)
    with computed_in(encoder, settings.precision):
        network = augmented(training_network(fused(encoder), settings.loss))
        schedule = WarmUpThenCosine(settings.learning_rate, steps * settings.epochs)
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY, global_clipnorm=1.0)
        network.compile(optimizer, LOSSES[settings.loss]())
        checkpoint = _Checkpoint(
            encoder, validation, validation_pairs, settings, steps, folder, whole_identity
        )
        checkpoint.set_model(network)
        checkpoint.resume()
        if not checkpoint.finished:
            first = checkpoint.epochs_done
            network.fit(
                batches(data, settings, seed, first)[0],
                initial_epoch=first,
                epochs=settings.epochs,
                steps_per_epoch=steps,
                shuffle=False,
                verbose=0,
                callbacks=[
                    checkpoint,
                    keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
                ],
            )
    if settings.keep == "best":
        encoder.set_weights(checkpoint.best)
    return pd.DataFrame(checkpoint.history)
