"""The same numbers again: from another process, in another folder, with other threads."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

# A whole study is held to it by `make test` (test_surroundings); threads are compared here alone.
pytestmark = pytest.mark.torture

# A few steps at the size of the default study, as chapter 5 makes them.
TRAIN = """
import sys
from pathlib import Path
import numpy as np
from deepsign_utils import models, pairing, training
from deepsign_utils.tfrecords import Canvases
import pandas as pd

used = training.prepare_tensorflow(1)

def canvases(writers, seed):
    rng = np.random.default_rng(seed)
    ink = rng.random((writers * 12, 64, 128)) < 0.1
    images = (ink * rng.integers(0, 256, ink.shape)).astype(np.uint8)
    names = np.repeat([f"w{i}" for i in range(writers)], 12)
    kinds = np.tile(["genuine"] * 6 + ["forgery"] * 6, writers)
    return Canvases(np.arange(len(images), dtype=np.int32), names, kinds, images)

data, validation = canvases(24, 0), canvases(2, 1)
table = pd.DataFrame(
    {"signature_id": validation.signature_id, "writer": validation.writer, "kind": validation.kind}
)
pairs = pairing.draw_pairs(table, np.random.default_rng(0))
encoder = models.build_encoder("lightweight_encoder", 64, 128, 1)
settings = training.Settings(epochs=1)
folder = Path(sys.argv[1])
untrained = models.embed(encoder, validation.canvas)
history = training.train(encoder, data, validation, pairs, settings, 0, folder, "x")
np.savez(folder / "measured.npz", untrained=untrained, loss=history["loss"][1])
print(used["tensorflow"])
"""


def train(folder: Path, threads: int) -> dict[str, np.ndarray]:
    """Weights, optimizer state and more after four steps in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, folder],
        cwd=ROOT,
        env={**os.environ, "DEEPSIGN_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(threads)
    with np.load(folder / "state.npz") as state, np.load(folder / "measured.npz") as measured:
        learnt = {name: state[name] for name in state.files if name != "about"}
        return learnt | dict(measured)


@pytest.fixture(scope="module")
def two_threads(tmp_path_factory) -> dict[str, np.ndarray]:
    return train(tmp_path_factory.mktemp("two"), threads=2)


def fingerprint(arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()


def test_another_process_ends_with_the_same_weights_bit_for_bit(two_threads, tmp_path):
    again = train(tmp_path, threads=2)
    assert fingerprint(again) == fingerprint(two_threads)


def test_one_thread_and_two_differ_by_no_more_than_is_promised(two_threads, tmp_path):
    """The promise stands in docs/reliability.md."""
    one_thread = train(tmp_path, threads=1)
    # The same network sees the same: only last bits differ.
    away = np.abs(one_thread["untrained"] - two_threads["untrained"]).max()
    assert away < 1e-5
    # Learning makes more of them, from step to step.
    assert one_thread["loss"] == pytest.approx(two_threads["loss"], rel=1e-3)
    print(away, one_thread["loss"], two_threads["loss"])
