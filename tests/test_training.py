"""Batches, augmentation, and a training that can be interrupted."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsign_utils import DeepSignError, batches, models, pairing, scoring, training
from deepsign_utils.losses import LOSSES
from deepsign_utils.tfrecords import Canvases

SETTINGS = training.Settings(epochs=4, writers_per_batch=4, learning_rate=0.005)
WHOLE = tuple(batches.HANDS["halves"][0])


def drawn_writers(writers: int, genuine: int, forged: int, seed: int = 0) -> Canvases:
    """Writers who each fill the canvas with stripes of their own slant and width.

    Forgers get the slant wrong. How dark the ink is tells nothing.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :32]
    rows = []
    for writer in range(writers):
        slant, period = rng.uniform(0.2, 1.4), rng.uniform(4, 8)
        for number in range(genuine + forged):
            angle = slant + rng.normal(0, 0.05) + (0 if number < genuine else 0.6)
            wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
            canvas = (wave > rng.uniform(-0.3, 0.3)) * rng.integers(100, 256)
            kind = "genuine" if number < genuine else "forgery"
            rows.append((f"w{writer}", kind, canvas.astype(np.uint8)))
    names, kinds, canvases = zip(*rows, strict=True)
    ids = np.arange(len(rows), dtype=np.int32)
    return Canvases(ids, np.array(names), np.array(kinds), np.stack(canvases))


def pairs_of(data: Canvases) -> pd.DataFrame:
    table = pd.DataFrame(
        {"signature_id": data.signature_id, "writer": data.writer, "kind": data.kind}
    )
    return pairing.draw_pairs(table, np.random.default_rng(0))


@settings(max_examples=20, deadline=None)
@given(
    writers=st.integers(1, 7),
    genuine=st.integers(2, 9),
    forged=st.integers(0, 5),
    in_batch=st.integers(2, 9),
    epoch=st.integers(0, 3),
)
def test_every_batch_is_made_of_whole_writers(writers, genuine, forged, in_batch, epoch):
    names = np.repeat([f"w{i}" for i in range(writers)], genuine + forged)
    kinds = np.tile(["genuine"] * genuine + ["forgery"] * forged, writers)
    plan = training.Settings(writers_per_batch=in_batch)
    rows, labels, variants = batches.plan_epoch(names, kinds, plan, 5, epoch)

    assert len(rows) >= 1
    for row, label, variant in zip(rows, labels, variants, strict=True):
        assert np.array_equal(label[:, 1] == 1, kinds[row] == "genuine")
        seen = set()
        for number in np.unique(label[:, 0]):
            of = label[:, 0] == number
            # then: one writer, looked at in one way, the wanted numbers of each kind
            assert len(set(names[row[of]])) == 1
            assert len(np.unique(variant[of], axis=0)) == 1
            count = (label[of, 1] == 1).sum()
            assert count == (3 if forged else 6)
            seen.add((names[row[of]][0], tuple(variant[of][0])))
        # no such writer twice under two numbers
        assert len(seen) == len(np.unique(label[:, 0]))


def test_an_epoch_depends_on_seed_and_number_alone():
    data = drawn_writers(6, 6, 4)
    plan = lambda seed, epoch: batches.plan_epoch(data.writer, data.kind, SETTINGS, seed, epoch)  # noqa: E731
    assert all(np.array_equal(a, b) for a, b in zip(plan(1, 2), plan(1, 2), strict=True))
    assert not np.array_equal(plan(1, 2)[0], plan(1, 3)[0])
    assert not np.array_equal(plan(1, 2)[0], plan(2, 2)[0])


def test_every_genuine_signature_is_about_equally_often_seen():
    data = drawn_writers(8, 6, 4)
    epochs = [batches.plan_epoch(data.writer, data.kind, SETTINGS, 0, e)[0] for e in range(40)]
    seen = np.bincount(np.concatenate(epochs).ravel(), minlength=len(data.writer))
    genuine = seen[data.kind == "genuine"]
    assert genuine.min() > 0.6 * genuine.mean()


@pytest.mark.parametrize(("parts", "hands"), [("halves", 12), ("quarters", 40)])
def test_a_writer_is_as_many_hands_as_no_two_are_the_same(parts, hands):
    assert len(np.unique(batches.HANDS[parts], axis=0)) == len(batches.HANDS[parts]) == hands
    # and in the end a training has shown them all
    data, plan = drawn_writers(4, 6, 4), replace(SETTINGS, parts=parts)
    epochs = [batches.plan_epoch(data.writer, data.kind, plan, 0, e)[2] for e in range(60)]
    assert len(np.unique(np.concatenate(epochs).reshape(-1, 6), axis=0)) == hands


def test_writers_without_two_genuine_signatures_cannot_train():
    with pytest.raises(DeepSignError, match="two genuine signatures"):
        batches.plan_epoch(np.array(["a", "b"]), np.array(["genuine"] * 2), SETTINGS, 0, 0)


def seconds_to_plan(writers: int) -> float:
    """Processor time of one epoch's plan; the best of three, against what else is running."""
    names = np.repeat([f"w{i}" for i in range(writers)], 6)
    kinds = np.tile(["genuine"] * 4 + ["forgery"] * 2, writers)
    taken = []
    for _ in range(3):
        started = time.process_time()
        batches.plan_epoch(names, kinds, SETTINGS, 0, 0)
        taken.append(time.process_time() - started)
    return min(taken)


def test_planning_grows_with_the_writers_and_not_with_their_square():
    # Sixteen times the writers are 256 times the work where each one goes through all the images.
    assert seconds_to_plan(8000) < 3 * 16 * seconds_to_plan(500)


class TestAugment:
    still = batches.Augmentation(rotation=0, scale=0, shear=0, shift=0, stroke=0, gamma=0)
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 32), np.uint8)

    def run(self, variants=(WHOLE,) * 4, seed=1, bounds=still, images=images) -> np.ndarray:
        draws = np.random.default_rng(seed).uniform(-1, 1, (len(images), 8)).astype(np.float32)
        augmented = batches.augment(images, np.array(variants, np.float32), draws, bounds)
        return keras.ops.convert_to_numpy(augmented)

    def test_nothing_changes_within_no_bounds(self):
        assert np.allclose(self.run()[..., 0], self.images / 255, atol=1e-5)

    def test_mirrors_are_exact(self):
        flipped = self.run([(-1, 1, *WHOLE[2:]), (1, -1, *WHOLE[2:]), (-1, -1, *WHOLE[2:]), WHOLE])[
            ..., 0
        ]
        expected = [
            self.images[0, :, ::-1],
            self.images[1, ::-1],
            self.images[2, ::-1, ::-1],
            self.images[3],
        ]
        assert np.allclose(flipped, np.stack(expected) / 255, atol=1e-4)

    def test_halves_fill_the_canvas(self):
        # given a ramp from the left to the right edge
        ramp = np.broadcast_to(np.linspace(0, 255, 32).round().astype(np.uint8), (3, 16, 32))
        left, right = (9 / 16 / 2 - 1 / 2, 0, 9 / 16, 1), (1 / 2 - 9 / 16 / 2, 0, 9 / 16, 1)
        variants = [(1, 1, *left), (1, 1, *right), (-1, 1, *left)]
        left, right, mirrored = self.run(variants, images=ramp)[:, 8, :, 0]
        # then each shows nine sixteenths of it; mirrored, the left half stays the left half
        # (the outermost pixel reaches beyond the canvas)
        assert np.allclose(left[1:], np.linspace(0, 1, 32)[1:] * 9 / 16, atol=0.01)
        assert np.allclose(right[1:-1], left[1:-1] + 7 / 16, atol=0.02)
        assert np.allclose(mirrored, left[::-1], atol=1e-4)

    def test_the_draws_decide(self):
        bounds = batches.Augmentation()
        first, again, other = (self.run(seed=seed, bounds=bounds) for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert first.min() >= 0
        assert first.max() <= 1

    def test_strokes_get_thicker_and_thinner(self):
        bar = np.zeros((64, 32, 32), np.uint8)
        bar[:, 12:18, 6:26] = 255
        bounds = batches.Augmentation(0, 0, 0, 0, stroke=1, gamma=0)
        ink = self.run([WHOLE] * 64, bounds=bounds, images=bar)
        ink = ink.sum(axis=(1, 2, 3)) / (6 * 20)
        assert ink.min() < 0.9
        assert ink.max() > 1.2


def test_a_network_that_augments_sees_what_augment_makes():
    image = keras.Input((16, 32, 1))
    network = training.augmented(keras.Model(image, keras.layers.Identity()(image)))
    (inputs, _), *_ = batches.batches(drawn_writers(6, 3, 3), SETTINGS, seed=0)[0]
    expected = batches.augment(*inputs, batches.Augmentation())
    assert np.allclose(network.predict(list(inputs), verbose=0), expected, atol=1e-5)


class TestOneKernelForNormalising:
    def step(self, faster):
        encoder = models.build_encoder("lightweight_encoder", 16, 32, seed=3)
        network = models.training_network(faster(encoder), "sigmoid")
        network.compile(keras.optimizers.SGD(0.01), LOSSES["sigmoid"]())
        rng = np.random.default_rng(0)
        images = rng.random((24, 16, 32, 1)).astype(np.float32)
        labels = np.stack([np.repeat(np.arange(4), 6), np.tile([1, 1, 1, 0, 0, 0], 4)], axis=-1)
        losses = [float(network.train_on_batch(images, labels)) for _ in range(2)]
        return encoder, losses, models.embed(encoder, (255 * images[..., 0]).astype(np.uint8))

    def test_it_learns_what_the_layers_of_keras_learn_into_the_same_encoder(self):
        plain, plain_losses, plain_embeddings = self.step(lambda encoder: encoder)
        encoder, losses, embeddings = self.step(training.fused)
        assert losses == pytest.approx(plain_losses, rel=1e-3)
        # A kernel of its own estimates the moving variance with n - 1 pixels, not n.
        for ours, theirs in zip(encoder.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=5e-3, atol=2e-4)
        np.testing.assert_allclose(embeddings, plain_embeddings, atol=5e-3)

    def test_the_encoder_keeps_the_layers_that_any_keras_loads(self, tmp_path):
        encoder, _, _ = self.step(training.fused)
        models.save_encoder(encoder, tmp_path / "encoder.keras")
        loaded = models.load_encoder(tmp_path / "encoder.keras")
        assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
        assert equal(encoder.get_weights(), loaded.get_weights())


@pytest.fixture(scope="module")
def study():
    data, validation = drawn_writers(16, 6, 6), drawn_writers(8, 6, 6, seed=1)
    return data, validation, pairs_of(validation)


def fit(study, folder, plan=SETTINGS, identity="x", seed=0):
    training.prepare_tensorflow(seed)
    encoder = models.build_encoder("lightweight_encoder", 16, 32, seed)
    history = training.train(encoder, *study, plan, seed, folder, identity)
    return encoder.get_weights(), history.drop(columns="seconds")


def equal(one, other) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("loss", "precision"),
    [("sigmoid", "float32"), ("contrastive", "float32"), ("sigmoid", "bfloat16")],
)
def test_training_learns_something_that_holds_for_other_writers(study, tmp_path, loss, precision):
    plan = training.Settings(
        loss, epochs=12, patience=12, writers_per_batch=8, learning_rate=0.005, precision=precision
    )
    _, history = fit(study, tmp_path, plan)
    assert history["loss"].iloc[-1] < 0.6 * history["loss"].iloc[1]
    untrained, trained = history["validation_eer"].iloc[[0, -1]]
    assert trained < untrained / 2


def test_what_was_trained_in_bfloat16_is_kept_and_run_in_float32(study, tmp_path):
    encoder = models.build_encoder("lightweight_encoder", 16, 32, seed=3)
    canvases = study[0].canvas
    before = models.embed(encoder, canvases)
    with training.computed_in(encoder, "bfloat16"):
        # then the convolutions' seven bits of mantissa show, and no more than that
        rounded = models.embed(encoder, canvases)
        assert not np.array_equal(rounded, before)
        assert np.sum(rounded * before, axis=1).min() > 0.999
    assert np.array_equal(models.embed(encoder, canvases), before)
    plan = training.Settings(epochs=1, writers_per_batch=8, precision="bfloat16")
    training.train(encoder, *study, plan, 0, tmp_path, "x")
    assert {str(weight.dtype) for weight in encoder.weights} == {"float32"}
    models.save_encoder(encoder, tmp_path / "encoder.keras")
    loaded = models.load_encoder(tmp_path / "encoder.keras")
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    assert np.array_equal(models.embed(loaded, canvases), models.embed(encoder, canvases))


class TestResume:
    def test_an_interrupted_training_ends_with_the_same_weights(self, study, tmp_path, monkeypatch):
        # given a training that was never interrupted
        weights, history = fit(study, tmp_path / "whole")

        # when another one dies in its third epoch, after some steps, and is called again
        save = training._Checkpoint.on_train_batch_end
        steps = []

        def die(self, batch, logs=None):
            steps.append(batch)
            if self.epochs_done == 2 and batch == 1:
                raise KeyboardInterrupt
            save(self, batch, logs)

        monkeypatch.setattr(training._Checkpoint, "on_train_batch_end", die)
        with pytest.raises(KeyboardInterrupt):
            fit(study, tmp_path / "broken")
        monkeypatch.undo()
        resumed, resumed_history = fit(study, tmp_path / "broken")

        # then nothing differs, bit for bit
        assert equal(weights, resumed)
        pd.testing.assert_frame_equal(history, resumed_history)

    def test_a_finished_training_is_not_repeated(self, study, tmp_path):
        first, history = fit(study, tmp_path)
        before = (tmp_path / "state.npz").stat().st_mtime_ns
        again, history_again = fit(study, tmp_path)
        assert equal(first, again)
        assert history.equals(history_again)
        assert (tmp_path / "state.npz").stat().st_mtime_ns == before

    def test_a_checkpoint_of_another_training_is_not_taken_up(self, study, tmp_path):
        short = training.Settings(epochs=1, writers_per_batch=4)
        fit(study, tmp_path, short)
        longer = training.Settings(epochs=2, writers_per_batch=4)
        _, history = fit(study, tmp_path, longer)
        assert equal(fit(study, tmp_path / "fresh", longer)[1].to_numpy(), history.to_numpy())

    @pytest.mark.parametrize("kept", [0, 1000])
    def test_a_damaged_checkpoint_starts_the_training_anew(self, study, tmp_path, kept):
        short = training.Settings(epochs=1, writers_per_batch=4)
        first, _ = fit(study, tmp_path, short)
        state = tmp_path / "state.npz"
        state.write_bytes(state.read_bytes()[:kept])
        assert equal(first, fit(study, tmp_path, short)[0])


ON_JAX = """
import sys
import numpy as np
from test_training import SETTINGS, drawn_writers, fit, pairs_of
from deepsign_utils import batches, training

data, validation = drawn_writers(16, 6, 6), drawn_writers(8, 6, 6, seed=1)
inputs, _ = next(batches.batches(data, SETTINGS, seed=0)[0])
np.save(sys.argv[1] + "/seen.npy", batches.augment(*inputs, batches.Augmentation()))

begin = training._Checkpoint.on_epoch_begin

def die(self, epoch, logs=None):
    begin(self, epoch)
    if epoch == 2:
        raise KeyboardInterrupt

training._Checkpoint.on_epoch_begin = die
try:
    fit((data, validation, pairs_of(validation)), training.Path(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_a_training_on_jax_sees_the_same_and_goes_on_here(study, tmp_path):
    # given a training by another of Keras's backends, which ended after two of four epochs
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX, str(tmp_path)],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("interrupted\n"), done.stderr
    # then its augmented images are these
    inputs, _ = next(batches.batches(study[0], SETTINGS, seed=0)[0])
    expected = batches.augment(*inputs, batches.Augmentation())
    assert np.allclose(np.load(tmp_path / "seen.npy"), expected, atol=1e-3)
    # and here it goes on with the third
    with np.load(tmp_path / "state.npz") as state:
        there = json.loads(str(state["about"]))["history"]
    _, history = fit(study, tmp_path)
    assert history["loss"].tolist()[1:3] == [row["loss"] for row in there][1:]
    assert history["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert history["loss"].iloc[-1] < history["loss"].iloc[1]


def test_training_stops_when_patience_ends_and_keeps_the_best(study, tmp_path):
    plan = training.Settings(epochs=30, patience=2, writers_per_batch=4, learning_rate=1e-8)
    _, history = fit(study, tmp_path, plan)
    best = history["validation_eer"].idxmin()
    assert history["epoch"].iloc[-1] == best + 2 < 30


def test_the_last_weights_are_kept_where_they_are_asked_for(study, tmp_path):
    # given a training that only harms
    _, validation, pairs = study
    plan = replace(SETTINGS, epochs=3, patience=3, learning_rate=1.0)
    kept = {}
    for keep in ("best", "last"):
        encoder = models.build_encoder("lightweight_encoder", 16, 32, seed=3)
        start = encoder.get_weights()
        folder, asked = tmp_path / keep, replace(plan, keep=keep)
        history = training.train(encoder, *study, asked, 0, folder, "x")
        # then its weights are those of the epoch that it names, in the same history
        kept[keep] = encoder.get_weights(), history.drop(columns="seconds")
        seen = scoring.pair_errors(
            models.embed(encoder, validation.canvas), validation.signature_id, pairs
        )
        named = training.kept_epoch(history, keep)
        assert seen["skilled"] == pytest.approx(named["validation_eer_skilled"])
        assert named["epoch"] == (3 if keep == "last" else history["validation_eer"].idxmin())
        # also where a finished training is called again
        again = models.build_encoder("lightweight_encoder", 16, 32, seed=3)
        training.train(again, *study, asked, 0, folder, "x")
        assert equal(again.get_weights(), kept[keep][0])
    assert kept["best"][1].equals(kept["last"][1])
    assert not equal(kept["last"][0], start)


def test_the_learning_rate_rises_then_falls_to_nothing():
    schedule = training.WarmUpThenCosine(0.01, 200)
    rates = np.array([float(schedule(step)) for step in range(201)])
    assert rates.argmax() in (9, 10)
    assert rates.max() == pytest.approx(0.01)
    assert (np.diff(rates[10:]) <= 0).all()
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert schedule.from_config(schedule.get_config())(7) == schedule(7)


@pytest.mark.parametrize("threads", ["zero", "0", "-1", "1.5", "²"])
def test_a_wrong_thread_count_is_refused(monkeypatch, threads):
    monkeypatch.setitem(os.environ, "DEEPSIGN_THREADS", threads)
    with pytest.raises(DeepSignError, match="DEEPSIGN_THREADS"):
        training.prepare_tensorflow(0)


@pytest.mark.parametrize(("errors_by_epoch", "learnt"), [((0.2, 0.3), False), ((0.3, 0.2), True)])
def test_it_is_said_where_nothing_was_learnt(errors_by_epoch, learnt):
    # given a training whose best epoch is the start, or the one after it
    history = pd.DataFrame({"epoch": [0, 1], "validation_eer": errors_by_epoch})
    # then that is said, or not, and what was best
    assert ("nothing was learnt" in training.nothing_learnt(history, "best")) != learnt
    assert ("nothing was learnt" in training.nothing_learnt(history, "last")) != learnt
    assert training.kept_in_words(history, "last").startswith("Epoch 1 was last: validation EER ")
    said = training.kept_in_words(history, "best")
    assert said.startswith(f"Epoch {int(learnt)} of 1 was best: validation EER 20.0 % (")
