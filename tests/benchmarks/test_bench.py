"""`make bench` on tiny sizes: it measures everything it promises, and says on what."""

import html
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import bench
import measures
import pytest

PROMISED = {
    "inference_over_sgemm",
    "file_to_embedding_over_inference",
    "training_step_over_sgemm",
    "all_pairs_over_pairwise",
    "batches_over_training_step",
    "service_over_runtime",
    "naive_bytes_over_tfrecord",
}

PYTORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    bench.run(measures.TINY, None, folder)
    return folder


@pytest.mark.slow
class TestABench:
    def test_writes_the_promised_ratios(self, written):
        ratios = json.loads((written / "bench.json").read_text())["ratios"]
        assert set(ratios) == PROMISED
        assert all(math.isfinite(value) and value > 0 for value in ratios.values())

    def test_a_ratio_is_of_two_measurements_that_stand_beside_it(self, written):
        made = json.loads((written / "bench.json").read_text())
        values = made["values"]
        assert made["ratios"]["inference_over_sgemm"] == pytest.approx(
            values["inference_gflops"] / values["sgemm_gflops"]
        )
        numbers = [value for value in values.values() if not isinstance(value, str)]
        assert all(value > 0 for value in numbers)
        assert set(bench.ROWS) <= set(values)

    def test_measures_every_part_on_one_core_and_what_uses_more_on_all(self, written):
        rows = json.loads((written / "bench.json").read_text())["growth"]
        assert {row["part"] for row in rows} == set(measures.PARTS)
        assert all(row["seconds"] > 0 and row["peak_bytes"] > 1e6 for row in rows)
        assert {row["part"] for row in rows if row["cores"] == 1} == set(measures.PARTS)
        all_cores = measures.usable_processors()
        assert {row["part"] for row in rows if row["cores"] == all_cores} == (
            set(measures.PARTS) - (measures.ON_ONE_CORE if all_cores > 1 else set())
        )

    def test_shows_how_a_part_grows_up_to_a_hundred_thousand_where_it_can(self):
        for name in measures.PARTS:
            sizes = getattr(measures.Sizes(), name)
            assert max(sizes) >= 4 * min(sizes)
            assert max(sizes) == 100_000 or name in {"preprocessing", "synthetic", "audit"}

    def test_compares_with_pytorch_where_it_is_installed_and_says_so_where_not(self, written):
        values = json.loads((written / "bench.json").read_text())["values"]
        page = html.unescape((written / "index.html").read_text())
        assert (set(bench.PYTORCH_ROWS) <= set(values)) == PYTORCH
        assert ("pip install torch" in page) != PYTORCH
        assert all((label in page) == PYTORCH for label in bench.PYTORCH_ROWS.values())

    def test_the_plan_follows_from_what_was_measured(self, written):
        made = json.loads((written / "bench.json").read_text())
        planned, values = made["plan"], made["values"]
        assert planned["images"] == 540_000
        # half of the writers train: eight visits of six images an epoch
        assert planned["training_hours"] == pytest.approx(
            5000 * 48 * 30 / values["training_images"] / 3600
        )
        assert planned["sweep_hours"] > 1000 * planned["run_hours"]

    def test_names_the_machine_but_no_host_and_no_path(self, written):
        import platform

        text = (written / "bench.json").read_text()
        assert json.loads(text)["machine"]["cores"] >= 1
        assert str(Path.home()) not in text
        assert platform.node() not in text

    def test_the_page_needs_nothing_else(self, written):
        page = (written / "index.html").read_text()
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
        assert "data:image/svg+xml" in page
        assert all(key in page for key in PROMISED)


SAME_IN_PYTORCH = """
import in_pytorch
import numpy as np
import torch
from deepsign_utils import losses, models

# given weights and moving averages of any size, not those of a fresh network
rng = np.random.default_rng(0)
encoder = models.build_encoder("lightweight_encoder", 32, 64, seed=0)
weights = encoder.get_weights()
encoder.set_weights([rng.random(w.shape) + 0.1 if w.ndim == 1 else w for w in weights])
images = rng.random((12, 32, 64, 1), np.float32)
labels = np.stack([np.repeat(np.arange(2), 6), np.tile([1, 1, 1, 0, 0, 0], 2)], axis=1)
# then: the same embeddings
embedded = in_pytorch.inference(encoder, images)()
assert np.allclose(embedded, encoder.predict_on_batch(images), atol=1e-5)
# and the same loss, which the step lowers
pairs = models.training_network(encoder, "sigmoid")(images, training=True)
loss = float(losses.SigmoidPairLoss()(torch.tensor(labels), pairs).detach())
step = in_pytorch.training_step(encoder, images, labels, 0.002, 1e-4)
first, second = step(), step()
assert abs(first - loss) < 1e-3 * loss
assert second < first
"""


@pytest.mark.skipif(not PYTORCH, reason="PyTorch is not installed: nothing is compared with it")
def test_it_is_the_same_network_in_pytorch():
    folders = [str(Path(bench.__file__).parent), str(measures.ROOT)]
    made = subprocess.run(
        [sys.executable, "-c", SAME_IN_PYTORCH],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr


def test_what_is_measured_in_turn_takes_its_shortest_time():
    calls = []
    seconds = measures.best({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3  # the first round warms up
    assert set(seconds) == {"a", "b"}
    assert max(seconds.values()) < 1


def test_memory_does_not_grow_with_the_number_of_pairs():
    """Given ten times the pairs, when resampled a thousand times, then no array of all is made."""
    few, many = (measures.part("bootstrap", size, 1) for size in (2000, 20_000))
    # an array of resamples x pairs would take 160 MB
    assert many["peak_bytes"] - few["peak_bytes"] < 40e6
