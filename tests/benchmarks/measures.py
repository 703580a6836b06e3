"""What `make bench` measures: one function a measurement, on real arithmetic and drawn data.

Times are the best of several, and what is divided by one another is measured in turn, round by
round, so that a busy moment of the machine meets both. A part whose memory or number of cores
matters runs as a process of its own, which imports no more than it needs.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deepsign_utils import pairing, preprocessing, synthetic
from deepsign_utils.preprocessing import Preprocessing
from deepsign_utils.study import ROOT, usable_processors

# Writers of BHSig260 Bengali: 24 genuine, 30 forged, 276 + 720 pairs of each without random ones.
GENUINE, FORGED = 24, 30
RESAMPLES = 1000


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the defaults are those of `make bench`."""

    height: int = 128
    width: int = 256
    rounds: int = 3
    square: int = 4096  # of the matrix product
    batch: int = 64
    writers_per_batch: int = 12
    pipeline_batches: int = 10
    writers: int = 4  # of the all-pairs and of the storage comparison
    files: int = 1000  # for file to embedding, where there is no Bengali
    bengali_writers: int = 50
    embeddings: int = 60  # of one signature at a time, by the shipped model
    requests: int = 200
    clients: int = 16
    preprocessing: tuple[int, ...] = (1000, 2000, 4000)
    synthetic: tuple[int, ...] = (200, 600, 1800)
    audit: tuple[int, ...] = (500, 1500, 4500)
    bootstrap: tuple[int, ...] = (1000, 10_000, 100_000)
    pairing: tuple[int, ...] = (1000, 10_000, 100_000)
    batches: tuple[int, ...] = (1000, 10_000, 100_000)


TINY = Sizes(
    height=32,
    width=64,
    rounds=1,
    square=128,
    batch=8,
    writers_per_batch=3,
    pipeline_batches=2,
    writers=2,
    files=24,
    bengali_writers=1,
    embeddings=3,
    requests=8,
    clients=2,
    preprocessing=(8,),
    synthetic=(8,),
    audit=(60,),
    bootstrap=(400,),
    pairing=(200,),
    batches=(200,),
)


def best(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Shortest time of each function in seconds, called in turn; the first call does not count."""
    for function in functions.values():
        function()
    seconds = dict.fromkeys(functions, np.inf)
    for _ in range(rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


# ------------------------------------------------------------------------------- the network


def network(sizes: Sizes, threads: int) -> dict[str, float]:
    """Inference, training steps and the input pipeline beside the machine's matrix product.

    Returns
    -------
    dict
        ``sgemm_gflops``, ``inference_gflops``, ``inference_images``, ``training_gflops``,
        ``training_images``, ``pipeline_images``, ``in_batch_pairs`` and ``siamese_pairs`` (learnt),
        all a second; where PyTorch is installed also ``pytorch_inference_images`` and
        ``pytorch_training_images``, and ``inference_over_pytorch`` and ``training_over_pytorch``.
    """
    import keras
    from threadpoolctl import threadpool_limits

    from deepsign_utils import batches, losses, models, training

    encoder = models.build_encoder("lightweight_encoder", sizes.height, sizes.width, seed=0)
    gflop = 2e-9 * models.multiply_accumulates(encoder)
    settings = training.Settings(writers_per_batch=sizes.writers_per_batch, epochs=10_000)
    data = _canvases(sizes, writers=2 * sizes.writers_per_batch)
    pipeline, _ = batches.batches(data, settings, seed=0)
    inputs, labels = next(pipeline)
    images = np.asarray(batches.augment(*inputs, batches.Augmentation()))

    def compiled(model: keras.Model, loss: Any) -> keras.Model:
        schedule = training.WarmUpThenCosine(settings.learning_rate, 1000)
        optimizer = keras.optimizers.AdamW(
            schedule, weight_decay=training.WEIGHT_DECAY, global_clipnorm=1.0
        )
        model.compile(optimizer, loss)
        return model

    def contrastive(genuine, distance):
        near = keras.ops.square(distance)
        far = keras.ops.square(keras.ops.maximum(1.0 - distance, 0.0))
        return keras.ops.mean(genuine * near + (1.0 - genuine) * far)

    trained = models.build_encoder("lightweight_encoder", sizes.height, sizes.width, seed=0)
    in_batch = compiled(models.training_network(trained, "sigmoid"), losses.SigmoidPairLoss())
    twin = models.build_encoder("lightweight_encoder", sizes.height, sizes.width, seed=0)
    siamese = compiled(models.siamese_network(twin), contrastive)
    half = len(images) // 2
    genuine = np.arange(half, dtype=np.float32) % 2
    left, right = images[:half], images[half : 2 * half]
    many = np.zeros((sizes.batch, sizes.height, sizes.width, 1), np.float32)
    many[:] = np.resize(images, many.shape)
    square = np.random.default_rng(0).random((sizes.square, sizes.square), np.float32)
    measured = {
        "sgemm": lambda: square @ square,
        "inference": lambda: encoder.predict_on_batch(many),
        "training": lambda: in_batch.train_on_batch(images, labels),
        "siamese": lambda: siamese.train_on_batch([left, right], genuine),
    }
    batch = {
        "many": many,
        "images": images,
        "labels": labels,
        "learning_rate": settings.learning_rate,
        "weight_decay": training.WEIGHT_DECAY,
    }
    with threadpool_limits(threads), _pytorch(batch, threads) as in_pytorch:
        seconds = best(measured | in_pytorch, sizes.rounds)
    image = keras.Input((sizes.height, sizes.width, 1))
    augmenter = training.augmented(keras.Model(image, keras.layers.Identity()(image)))

    def draw() -> None:
        for _ in range(sizes.pipeline_batches):
            augmenter.predict_on_batch(list(next(pipeline)[0]))

    seconds |= best({"pipeline": draw}, 2)
    per_step = sum(float(np.sum(mask)) for mask in losses.pair_masks(labels))
    rates = {
        "inference_images": sizes.batch / seconds["inference"],
        "training_images": len(images) / seconds["training"],
        "pipeline_images": sizes.pipeline_batches * len(images) / seconds["pipeline"],
    }
    if in_pytorch:
        rates |= {
            "pytorch_inference_images": sizes.batch / seconds["pytorch_inference"],
            "pytorch_training_images": len(images) / seconds["pytorch_training"],
            "inference_over_pytorch": seconds["pytorch_inference"] / seconds["inference"],
            "training_over_pytorch": seconds["pytorch_training"] / seconds["training"],
        }
    return rates | {
        "sgemm_gflops": 2e-9 * sizes.square**3 / seconds["sgemm"],
        "inference_gflops": gflop * rates["inference_images"],
        # Forward, and backward to the inputs and to the weights.
        "training_gflops": 3 * gflop * rates["training_images"],
        "in_batch_pairs": per_step / seconds["training"],
        "siamese_pairs": half / seconds["siamese"],
    }


@contextmanager
def _pytorch(batch: Mapping[str, Any], threads: int) -> Iterator[dict[str, Callable[[], Any]]]:
    """The encoder's inference and training step in PyTorch; none of them if it is not installed."""
    if importlib.util.find_spec("torch") is None:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batch.npz"
        np.savez(file, **batch)
        with subprocess.Popen(
            [sys.executable, Path(__file__).with_name("in_pytorch.py"), file, str(threads)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:

            def ask(what: str) -> None:
                print(what, file=process.stdin, flush=True)
                if not process.stdout.readline():
                    raise RuntimeError("the process that runs PyTorch has ended")

            yield {
                "pytorch_inference": partial(ask, "inference"),
                "pytorch_training": partial(ask, "training"),
            }


def _canvases(sizes: Sizes, writers: int) -> Any:
    """Drawn signatures as Bengali has them: 24 genuine and 30 forged of each writer."""
    from deepsign_utils.tfrecords import Canvases

    rng = np.random.default_rng(0)
    drawn = synthetic.draw_writer(0, index=0, genuine=4, forgeries=4)
    cleaning = Preprocessing(sizes.height, sizes.width, "aspect")
    some = np.stack(
        [preprocessing.clean(image, cleaning) for image in (*drawn.genuine, *drawn.forgeries)]
    )
    each = GENUINE + FORGED
    count = writers * each
    return Canvases(
        np.arange(count, dtype=np.int32),
        np.repeat([f"w{number}" for number in range(writers)], each),
        np.tile(["genuine"] * GENUINE + ["forgery"] * FORGED, writers),
        some[rng.integers(len(some), size=count)],
    )


def all_pairs(sizes: Sizes) -> dict[str, float]:
    """Pairs scored a second by embedding every image once, and by predicting pair by pair."""
    from deepsign_utils import models, scoring

    encoder = models.build_encoder("lightweight_encoder", sizes.height, sizes.width, seed=0)
    siamese = models.siamese_network(encoder)
    data = _canvases(sizes, sizes.writers)
    table = pd.DataFrame(
        {"signature_id": data.signature_id, "writer": data.writer, "kind": data.kind}
    )
    pairs = pairing.draw_pairs(table, np.random.default_rng(0))
    pairs = pairs[pairs["kind"] != "random"]
    sample = pairs.iloc[: sizes.batch]
    left, right = (models.as_images(data.canvas[sample[side]]) for side in ("left", "right"))

    def once() -> None:
        scoring.pair_scores(models.embed(encoder, data.canvas), data.signature_id, pairs)

    seconds = best(
        {"once": once, "pairwise": lambda: siamese.predict_on_batch([left, right])},
        min(sizes.rounds, 3),
    )
    return {
        "all_pairs": len(pairs) / seconds["once"],
        "pairwise": len(sample) / seconds["pairwise"],
    }


def storage(sizes: Sizes) -> dict[str, float]:
    """Bytes and reading rate of a record a signature, and of both images of every pair."""
    from deepsign_utils import tfrecords

    data = _canvases(sizes, sizes.writers)
    table = pd.DataFrame(
        {
            "signature_id": data.signature_id,
            "path": [str(number) for number in data.signature_id],
            "writer": data.writer,
            "kind": data.kind,
            "split": "test",
        }
    )
    cleaned = [
        preprocessing.Cleaned(path, canvas, None)
        for path, canvas in zip(table["path"], data.canvas, strict=True)
    ]
    pairs = pairing.draw_pairs(table, np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        cleaning = Preprocessing(sizes.height, sizes.width, "aspect").to_dict()
        tfrecords.write_shards(shards, table, cleaned, cleaning)
        by_id, naive = tfrecords.compare_layouts(shards, "test", pairs)
    return {
        "tfrecord_bytes": by_id["bytes"],
        "naive_bytes": naive["bytes"],
        "record_bytes": (by_id["bytes"] - 8 * len(pairs)) / by_id["records"],
        # A record of the naive layout is one image too.
        "tfrecord_records": by_id["pairs_per_second"] * by_id["records"] / len(pairs),
        "tfrecord_pairs": by_id["pairs_per_second"],
        "naive_pairs": naive["pairs_per_second"],
    }


# --------------------------------------------------------------------------- files and evaluation


def files(sizes: Sizes, real_data: Path | None) -> dict[str, float | str]:
    """Image files to embeddings, as `embed` does it, and from there to the whole evaluation.

    On the published test writers of BHSig260 Bengali where they are at hand, else on drawn ones.
    """
    from deepsign_utils import metrics, models, scoring
    from deepsign_utils.deployed_encoder.export import export_encoder
    from deepsign_utils.deployed_encoder.runtime import load_encoder
    from deepsign_utils.verifying.verifier import Verifier

    encoder = models.build_encoder("lightweight_encoder", sizes.height, sizes.width, seed=0)
    cleaning = Preprocessing(sizes.height, sizes.width, "fill")
    bengali = real_data / "bhsig260-bengali" if real_data else Path("nowhere")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as deployed:
        models.save_encoder(encoder, Path(deployed) / "encoder.keras")
        export_encoder(Path(deployed) / "encoder.keras", cleaning, Path(deployed))
        verifier = Verifier(load_encoder(Path(deployed)), cleaning, None, "benchmark", "")
        if bengali.is_dir():
            from deepsign_utils.datasets import read_dataset
            from deepsign_utils.study import read_study

            study = read_study(ROOT / "notebooks" / "studies" / "bhsig260_bengali.yaml")
            writers = study["test_writers"][: sizes.bengali_writers]
            root, name = bengali, "BHSig260 Bengali"
            table = read_dataset(bengali, "bhsig260")[0]
            table = table[table["writer"].isin(writers)].reset_index(drop=True)
        else:
            root, name = Path(folder), "drawn"
            table = _drawn_files(root, sizes.files)
        paths = [root / path for path in table["path"]]
        verifier.embed_files(paths[: sizes.batch], progress=False)  # traces the network
        started = time.perf_counter()
        embeddings, problems = verifier.embed_files(paths, progress=False)
        embedded = time.perf_counter() - started
    used = table[[path not in problems for path in paths]]
    rng = np.random.default_rng(0)
    pairs = pairing.draw_pairs(used, rng)
    scores = scoring.pair_scores(embeddings, used["signature_id"].to_numpy(), pairs)
    metrics.evaluate(scores.assign(llr=scores["score"]), -1.0, rng, RESAMPLES)
    return {
        "data": name,
        "images": len(paths),
        "pairs": len(pairs),
        "images_a_second": len(paths) / embedded,
        "embedding_seconds": embedded,
        "evaluation_seconds": time.perf_counter() - started,
    }


def _drawn_files(folder: Path, count: int) -> pd.DataFrame:
    """So many files, of a few drawn signatures."""
    from PIL import Image

    drawn = synthetic.draw_writer(0, index=0, genuine=6, forgeries=6)
    kinds = ["genuine"] * 6 + ["forgery"] * 6
    contents = []
    for image in (*drawn.genuine, *drawn.forgeries):
        Image.fromarray(image).save(file := io.BytesIO(), "PNG", compress_level=1)
        contents.append(file.getvalue())
    for number in range(count):
        (folder / f"{number}.png").write_bytes(contents[number % 12])
    return pd.DataFrame(
        {
            "signature_id": np.arange(count, dtype=np.int32),
            "path": [f"{number}.png" for number in range(count)],
            "writer": [str(number // 12 % 50) for number in range(count)],
            "kind": [kinds[number % 12] for number in range(count)],
        }
    )


# --------------------------------------------------------------------------------- the service


def service(sizes: Sizes) -> dict[str, float]:
    """A real service on loopback: from start to ready, one comparison, and many clients at once."""
    import httpx
    import psutil
    import serving

    from deepsign_utils.verifying.verifier import Verifier

    serving.CANVAS = Preprocessing(sizes.height, sizes.width, "aspect")
    serving.model_folder.cache_clear()
    reference, questioned = serving.signature(1), serving.signature(1, 1)
    body = serving.upload("references", reference) + serving.upload("questioned", questioned)
    with tempfile.TemporaryDirectory() as folder:
        serving.model_folder()
        started = time.perf_counter()
        with serving.serving(Path(folder) / "store.sqlite") as running:
            cold = time.perf_counter() - started

            def compare(client: httpx.Client) -> None:
                client.post("/verify", files=body).raise_for_status()

            compare(running.client)
            one = best({"one": lambda: compare(running.client)}, 4 * sizes.rounds)["one"]

            def client_of(_: int) -> None:
                with httpx.Client(base_url=running.url, timeout=900) as client:
                    for _ in range(sizes.requests // sizes.clients):
                        compare(client)

            started = time.perf_counter()
            with ThreadPoolExecutor(sizes.clients) as pool:
                list(pool.map(client_of, range(sizes.clients)))
            together = time.perf_counter() - started
            resident = psutil.Process(running.process.pid).memory_info().rss
    verifier = Verifier.load(serving.model_folder())
    canvases = np.stack([verifier.read(reference).canvas] * sizes.batch)
    bare = best({"embed": lambda: verifier.embed(canvases)}, sizes.rounds)["embed"]
    asked = sizes.clients * (sizes.requests // sizes.clients)
    return {
        "runtime_images": len(canvases) / bare,
        "service_images": 2 * asked / together,
        "service_resident_bytes": resident,
        "cold_start_seconds": cold,
        "comparison_seconds": one,
        "clients": sizes.clients,
        "comparisons_a_second": asked / together,
    }


def verifying(sizes: Sizes) -> dict[str, float]:
    """The shipped model, on one core: a command from its start to its answer, one comparison with
    enrolled references, and one embedding, which Keras makes as well."""
    seconds = _alone("report_verifying", sizes.embeddings, sizes.rounds, cores=1)
    return {
        "verify_seconds": min(seconds["verify"]),
        "enrolled_comparison_seconds": min(seconds["enrolled"]),
        "signature_best_seconds": min(seconds["runtime"]),
        "signature_median_seconds": float(np.median(seconds["runtime"])),
        "keras_signature_best_seconds": min(seconds["keras"]),
    }


# ----------------------------------------------------------------- parts in processes of their own


def _preprocessing(size: int, cores: int) -> Callable[[], Any]:
    folder = tempfile.TemporaryDirectory()
    table = _drawn_files(Path(folder.name), size)
    cleaning = Preprocessing(128, 256, "aspect")

    def run(folder=folder) -> None:  # which is to live as long as this
        paths = table["path"].tolist()
        for _ in preprocessing.clean_files(folder.name, paths, cleaning, cores, False):
            pass

    return run


def _synthetic(size: int, cores: int) -> Callable[[], Any]:
    def run() -> None:
        for _ in synthetic.draw_writers(size // 8, 4, 4, seed=0, processes=cores):
            pass

    return run


def _audit(size: int, cores: int) -> Callable[[], Any]:
    from deepsign_utils import shortcuts

    drawn = synthetic.draw_writer(0, index=0, genuine=4, forgeries=4)
    cleaning = Preprocessing(64, 128, "aspect")
    some = [preprocessing.clean(image, cleaning) for image in (*drawn.genuine, *drawn.forgeries)]
    rng = np.random.default_rng(0)
    signatures = pd.DataFrame(
        {
            "signature_id": np.arange(size),
            "writer": [f"w{number % max(10, size // 40)}" for number in range(size)],
            "kind": np.where(rng.random(size) < 0.5, "genuine", "forgery"),
        }
    )

    def run() -> None:
        # Noise on few canvases: trees grow as deep as on so many different ones.
        canvases = [some[number % len(some)] for number in range(size)]
        features = shortcuts.canvas_feature_table(signatures["signature_id"], canvases, False)
        features += rng.normal(0, 0.01, features.shape).astype(np.float32)
        shortcuts.audit(features, signatures, rng)

    return run


def _bootstrap(size: int, cores: int) -> Callable[[], Any]:
    from deepsign_utils import metrics

    rng = np.random.default_rng(0)
    kinds = np.resize(["genuine", "skilled", "skilled", "random"], size)
    scores = pd.DataFrame(
        {
            "writer": pd.Categorical([f"w{number}" for number in rng.integers(50, size=size)]),
            "kind": pd.Categorical(kinds),
            "score": (kinds == "genuine") + rng.normal(size=size),
        }
    )
    scores["llr"] = scores["score"]
    return lambda: metrics.evaluate(scores, 0.5, rng, RESAMPLES)


def _signatures(size: int) -> pd.DataFrame:
    """A signature table as long, of writers as Bengali's."""
    number = np.arange(size)
    kinds = np.where(number % (GENUINE + FORGED) < GENUINE, "genuine", "forgery")
    writers = np.char.add("w", (number // (GENUINE + FORGED)).astype(str))
    return pd.DataFrame({"signature_id": number.astype(np.int32), "writer": writers, "kind": kinds})


def _pairing(size: int, cores: int) -> Callable[[], Any]:
    table = _signatures(size)
    return lambda: pairing.draw_pairs(table, np.random.default_rng(0))


def _batches(size: int, cores: int) -> Callable[[], Any]:
    from deepsign_utils import batches, training

    table = _signatures(size)
    writers, kinds = (table[name].to_numpy(str) for name in ("writer", "kind"))
    return lambda: batches.plan_epoch(writers, kinds, training.Settings(), 0, 0)


PARTS: dict[str, Callable[[int, int], Callable[[], Any]]] = {
    "preprocessing": _preprocessing,
    "synthetic": _synthetic,
    "audit": _audit,
    "bootstrap": _bootstrap,
    "pairing": _pairing,
    "batches": _batches,
}
ON_ONE_CORE = {"bootstrap", "pairing", "batches"}  # however many there are
UNITS = {name: "pair" if name == "bootstrap" else "image" for name in PARTS}


def part(name: str, size: int, cores: int) -> dict[str, float]:
    """Time and peak memory of one part, in a process of its own on so many cores.

    Returns
    -------
    dict
        ``seconds``, and ``peak_bytes``: the most memory that the process held, and how much of it
        the part itself added (``added_bytes``).
    """
    return _alone("report", name, size, cores, cores=cores)


def _alone(function: str, *arguments: Any, cores: int) -> Any:
    """What a function of this module prints as JSON, run in a process of its own."""
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).resolve().parent)])
    environment = {**os.environ, "DEEPSIGN_THREADS": str(cores), "PYTHONPATH": paths}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(cores)
    call = f"measures.{function}(*{arguments!r})"
    made = subprocess.run(
        # Worker processes import a main module anew; like a notebook's, this one has none.
        [sys.executable, "-c", f"import measures; measures._use_cores({cores}); {call}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"{call} on {cores} cores failed:\n{made.stderr}")
    return json.loads(made.stdout.splitlines()[-1])


def _use_cores(cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def growth(sizes: Sizes) -> list[dict[str, Any]]:
    """Every part at every size on all the cores it uses, and the middle size on one core too."""
    rows = []
    for name in PARTS:
        steps = getattr(sizes, name)
        most = 1 if name in ON_ONE_CORE else usable_processors()
        for size in steps:
            for cores in sorted({1, most}) if size == steps[len(steps) // 2] else [most]:
                rows.append({"part": name, "size": size, "cores": cores} | part(name, size, cores))
    return rows


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux hands the mark of the process that started this one on to ru_maxrss
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def report(name: str, size: int, cores: int) -> None:
    """Measure a part in this process, and print what `part` returns."""
    run = PARTS[name](size, cores)
    before = _peak()
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    peak = _peak()
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "added_bytes": peak - before}))


def report_verifying(times: int, rounds: int) -> None:
    """Measure what `verifying` returns in this process, and print how long each time took."""
    from PIL import Image

    from deepsign_utils import models, training
    from deepsign_utils.study import PRETRAINED
    from deepsign_utils.verifying.verifier import Verifier

    training.prepare_tensorflow(0)
    verifier = Verifier.load()
    encoder = models.load_encoder(PRETRAINED / "encoder.keras")
    drawn = synthetic.draw_writer(0, index=0, genuine=4, forgeries=0).genuine
    enrolled = verifier.enrol(drawn[1:])
    canvas = verifier.read(drawn[0]).canvas[None]
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"{number}.png") for number in range(2)]
        for file, image in zip(files, drawn[:2], strict=True):
            Image.fromarray(image).save(file)
        command = [sys.executable, "-m", "deepsign_utils", "verify", files[0]]

        def verify() -> None:
            subprocess.run([*command, "--questioned", files[1]], capture_output=True, check=False)

        measured = {
            "verify": (verify, 2 * rounds),
            "enrolled": (lambda: verifier.compare(enrolled, files[0]), times),
            "runtime": (lambda: verifier.embed(canvas), times),
            "keras": (lambda: encoder.predict_on_batch(models.as_images(canvas)), times),
        }
        seconds: dict[str, list[float]] = {name: [] for name in measured}
        for name, (function, count) in measured.items():
            function()
            for _ in range(count):
                started = time.perf_counter()
                function()
                seconds[name].append(time.perf_counter() - started)
    print(json.dumps(seconds))
