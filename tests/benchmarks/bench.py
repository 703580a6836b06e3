"""`make bench`: how fast this machine does what a study does, in ratios that hold on others.

Writes ``reports/bench/bench.json``, and a page with a table and a figure beside it. A ratio divides
two measurements of one run on one machine; absolute rates only say what machine that was. A copy in
``docs/bench.json`` is what `deepsign document` writes the tables of docs/scaling.md from.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import measures
import numpy as np
import pandas as pd
import psutil

from deepsign_utils import figures, report
from deepsign_utils.study import ROOT, usable_processors, write_json

WRITERS, RUNS, EPOCHS = 10_000, 1000, 30  # that are planned for
OUTPUT = ROOT / "reports" / "bench"

# What each ratio divides, and what it should reach on 2 cores.
RATIOS: dict[str, tuple[str, str, str, float]] = {
    "inference_over_sgemm": (
        "inference / matrix product",
        "inference_gflops",
        "sgemm_gflops",
        0.75,
    ),
    "file_to_embedding_over_inference": (
        "file to embedding / inference",
        "images_a_second",
        "inference_images",
        0.6,
    ),
    "training_step_over_sgemm": (
        "training step / matrix product",
        "training_gflops",
        "sgemm_gflops",
        0.45,
    ),
    "all_pairs_over_pairwise": ("all pairs / pair by pair", "all_pairs", "pairwise", 30),
    "batches_over_training_step": (
        "input pipeline / training step",
        "pipeline_images",
        "training_images",
        5,
    ),
    "service_over_runtime": (
        "service, all clients / embedding",
        "service_images",
        "runtime_images",
        0.5,
    ),
    "naive_bytes_over_tfrecord": (
        "bytes of stored pairs / TFRecord",
        "naive_bytes",
        "tfrecord_bytes",
        np.nan,
    ),
}

# What is measured, as the table tells it.
ROWS = {
    "sgemm_gflops": "float32 matrix product of a large square (GFLOP/s)",
    "inference_gflops": "the encoder's inference (GFLOP/s)",
    "inference_images": "the encoder's inference (images/s)",
    "training_gflops": "a training step, forward and backward (GFLOP/s)",
    "training_images": "a training step (images/s)",
    "pipeline_images": "gathering and augmenting batches alone (images/s)",
    "in_batch_pairs": "learning from all pairs inside a batch (pairs/s)",
    "siamese_pairs": "learning from a Siamese batch of independent pairs (pairs/s)",
    "in_batch_over_siamese": "pairs learnt in a batch for one of a Siamese batch",
    "all_pairs": "scoring all pairs, each image embedded once, embedding included (pairs/s)",
    "pairwise": "scoring pair by pair (pairs/s)",
    "tfrecord_bytes": "one record a signature, and pairs of ids (bytes)",
    "naive_bytes": "both images of every pair (bytes)",
    "record_bytes": "one record (bytes)",
    "tfrecord_records": "records read and decoded (records/s)",
    "tfrecord_pairs": "pairs read, stored by id (pairs/s)",
    "naive_pairs": "pairs read, both images stored (pairs/s)",
    "images": "image files of the evaluation",
    "pairs": "pairs of the evaluation",
    "images_a_second": "file to embedding (images/s)",
    "embedding_seconds": "cleaning and embedding these files (s)",
    "evaluation_seconds": "the whole evaluation: cleaned, embedded, all pairs, 1,000 resamples (s)",
    "verify_seconds": "`verify` with the shipped model on one core, from start to answer (s)",
    "enrolled_comparison_seconds": "one comparison of a file with three enrolled references (s)",
    "signature_best_seconds": "the shipped model, one embedding on one core, at best (s)",
    "signature_median_seconds": "the same, in the median (s)",
    "keras_signature_best_seconds": "the same by Keras, at best (s)",
    "cold_start_seconds": "the service, from start to ready (s)",
    "service_resident_bytes": "memory of the service after all comparisons (bytes)",
    "runtime_images": "bare embedding of its model (images/s)",
    "service_images": "images embedded for all clients at once (images/s)",
    "comparison_seconds": "one comparison over HTTP (s)",
    "comparisons_a_second": "comparisons of all clients at once (comparisons/s)",
    "clients": "clients at once",
}

# Beside it, where PyTorch is installed.
PYTORCH_ROWS = {
    "pytorch_inference_images": "the same encoder's inference in PyTorch (images/s)",
    "pytorch_training_images": "the same training step in PyTorch (images/s)",
    "inference_over_pytorch": "inference / inference in PyTorch",
    "training_over_pytorch": "training step / training step in PyTorch",
}

PLAN = {
    "writers": "writers, 24 genuine and 30 forged images each",
    "images": "images",
    "test_pairs": "test pairs, one reference each",
    "canvas_bytes": "canvases in the memory-mapped cache (bytes)",
    "shard_bytes": "shards on disk (bytes)",
    "cleaning_hours": "cleaning, once for all runs that share it (h)",
    "training_hours": f"training, {EPOCHS} epochs (h)",
    "embedding_hours": "embedding the test writers (h)",
    "intervals_hours": "intervals, 1,000 resamples (h)",
    "run_hours": "a run, cleaning apart (h)",
    "runs": "runs",
    "sweep_hours": "all runs on one such machine; divide by the number of machines (h)",
}


def run(sizes: measures.Sizes, real_data: Path | None, output: Path) -> dict[str, Any]:
    """Measure everything and write bench.json and the page.

    Parameters
    ----------
    sizes
        How much of each.
    real_data
        Folder of real signatures, if there is one.
    output
        Folder to write to.

    Returns
    -------
    dict
        What bench.json holds.
    """
    from deepsign_utils import training

    started = time.perf_counter()
    threads = training.prepare_tensorflow(0)
    values: dict[str, Any] = {}
    for name, measure in (
        ("network", lambda: measures.network(sizes, threads["tensorflow"])),
        ("all pairs", lambda: measures.all_pairs(sizes)),
        ("storage", lambda: measures.storage(sizes)),
        ("files", lambda: measures.files(sizes, real_data)),
        ("verifying", lambda: measures.verifying(sizes)),
        ("service", lambda: measures.service(sizes)),
    ):
        print(f"{name} …", flush=True)
        values |= measure()
    values["in_batch_over_siamese"] = values["in_batch_pairs"] / values["siamese_pairs"]
    print(f"{', '.join(measures.PARTS)}: on one core and all, and how they grow …", flush=True)
    grown = measures.growth(sizes)
    bench: dict[str, Any] = {
        "ratios": {
            key: values[over] / values[under] for key, (_, over, under, _) in RATIOS.items()
        },
        "targets": {key: t for key, (*_, t) in RATIOS.items() if not np.isnan(t)},
        "labels": {
            "ratios": {key: label for key, (label, *_) in RATIOS.items()},
            "values": ROWS,
            "plan": PLAN,
        },
        "values": values,
        "growth": grown,
        "canvas": [sizes.height, sizes.width],
        "batch": {"inference": sizes.batch, "training": 6 * sizes.writers_per_batch},
        "machine": machine(threads),
        "seconds": round(time.perf_counter() - started, 1),
    }
    bench["plan"] = plan(bench, WRITERS, RUNS)
    write_json(output / "bench.json", bench)
    write_page(bench, output / "index.html")
    return bench


def plan(bench: Mapping[str, Any], writers: int, runs: int) -> dict[str, float]:
    """What a study of so many writers, and so many runs of it, take on this machine.

    The formulas are those of docs/scaling.md.

    Parameters
    ----------
    bench
        ``values``, ``growth`` and ``canvas`` of bench.json.
    writers
        Each with 24 genuine signatures and 30 forgeries; 30 % of them test, 20 % validate.
    runs
        Studies of a sweep.

    Returns
    -------
    dict
        Counts, bytes, hours by step, and hours of a run and of the sweep.
    """
    values, (height, width) = bench["values"], bench["canvas"]
    each = measures.GENUINE + measures.FORGED
    images, tested = writers * each, round(0.3 * writers)
    test_pairs = tested * (2 * 276 + 720)
    # The last row of a part is its largest size, on all cores that it uses.
    largest = {row["part"]: row for row in bench["growth"]}
    of_part = {name: row["seconds"] / row["size"] for name, row in largest.items()}
    # An epoch visits each training writer eight times, six images each.
    trained = 0.5 * writers * 48 * EPOCHS
    hours = {
        "cleaning": images * of_part["preprocessing"] / 3600,
        "training": trained / values["training_images"] / 3600,
        "embedding": tested * each / values["inference_images"] / 3600,
        "intervals": test_pairs * of_part["bootstrap"] / 3600,
    }
    once = hours["cleaning"]
    run_hours = sum(hours.values()) - once
    return {
        "writers": writers,
        "images": images,
        "test_pairs": test_pairs,
        "canvas_bytes": images * height * width,
        "shard_bytes": images * values["record_bytes"],
        **{f"{name}_hours": value for name, value in hours.items()},
        "run_hours": run_hours,
        "runs": runs,
        "sweep_hours": once + runs * run_hours,
    }


def machine(threads: Mapping[str, int]) -> dict[str, Any]:
    """What the numbers were measured on; no names of hosts or paths."""
    import keras
    import tensorflow as tf

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    about = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    flags = set(about.get("flags", "").split())
    wanted = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")
    return {
        "processor": about.get("model name") or platform.processor() or platform.machine(),
        "instructions": [flag for flag in wanted if flag in flags],
        "cores": usable_processors(),
        "busy": round(os.getloadavg()[0], 2),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": dict(threads),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }


def write_page(bench: Mapping[str, Any], output: Path) -> None:
    """The ratios as a figure and a table, then what they are made of."""
    ratios = pd.DataFrame(
        {
            "key": list(RATIOS),
            "label": [label for label, *_ in RATIOS.values()],
            "value": [bench["ratios"][key] for key in RATIOS],
            "target": [target for *_, target in RATIOS.values()],
        }
    )
    ratios["aimed"] = ratios["target"].notna()
    ratios["missed"] = ratios["value"] < ratios["target"]
    short = ratios.assign(label=ratios["label"].str.replace(" / ", " /\n"))
    picture = report.figure(
        figures.render(figures.bench_ratios(short)),
        "Each ratio as a dot on a logarithmic axis, with a mark at its target.",
        "What is measured divided by what it is measured against, on the same threads of the same "
        "machine in the same minutes. Right of the mark, the target is reached.",
        1,
    )
    height, width = bench["canvas"]
    rows = {key: label for key, label in (ROWS | PYTORCH_ROWS).items() if key in bench["values"]}
    report.write_page(
        output,
        "bench.html.j2",
        figure=picture,
        ratios=ratios.to_dict("records"),
        values=[(label, _plain(bench["values"][key])) for key, label in rows.items()],
        pytorch=rows.keys() >= PYTORCH_ROWS.keys(),
        growth=[_grown(row) for row in bench["growth"]],
        canvas=f"{height} x {width}",
        data=bench["values"]["data"],
        plan=[(PLAN[key], _plain(bench["plan"][key])) for key in PLAN],
        machine=report.flatten(bench["machine"]),
        minutes=bench["seconds"] / 60,
    )


def _grown(row: Mapping[str, Any]) -> dict[str, str]:
    unit = measures.UNITS[row["part"]]
    return {
        "part": row["part"],
        "size": f"{row['size']:,} {unit}s",
        "cores": row["cores"],
        "each": f"{1000 * row['seconds'] / row['size']:.3g} ms",
        "seconds": f"{row['seconds']:.3g}",
        "memory": f"{row['peak_bytes'] / 1e6:,.0f} MB",
    }


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def real_data() -> Path | None:
    """``DEEPSIGN_DATA``, by default ``../shared/data``; None if there is no such folder."""
    folder = Path(os.environ.get("DEEPSIGN_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


def main() -> None:
    # Container images often keep no compiled modules; a second start is measured, not the first.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"Busy before it begins: {os.getloadavg()[0]:.1f} processes; best run alone.", flush=True)
    bench = run(measures.Sizes(), real_data(), OUTPUT)
    print()
    for key, (label, _, _, target) in RATIOS.items():
        aim = "" if np.isnan(target) else f"target {target:g}"
        print(f"{bench['ratios'][key]:8.2f}  {label:45} {aim}")
    print(f"\n{OUTPUT.relative_to(ROOT)}/index.html, {bench['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
