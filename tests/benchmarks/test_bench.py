"""`make bench` on tiny sizes: it measures everything it promises, and says on what."""

import json
import math
import re
from pathlib import Path

import bench
import measures
import pytest

PROMISED = {
    "inference_over_sgemm",
    "file_to_embedding_over_inference",
    "training_step_over_sgemm",
    "all_pairs_over_pairwise",
    "tfdata_over_training_step",
    "naive_bytes_over_tfrecord",
}


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

    def test_measures_every_part_on_one_core_and_on_all(self, written):
        rows = json.loads((written / "bench.json").read_text())["growth"]
        assert {row["part"] for row in rows} == set(measures.PARTS)
        assert all(row["seconds"] > 0 and row["peak_bytes"] > 1e6 for row in rows)
        assert {row["part"] for row in rows if row["cores"] == 1} == set(measures.PARTS)

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
