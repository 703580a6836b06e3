"""Cleaned canvases in TFRecord shards, and back.

One record a signature, never a pair: pairs are two ids, so every image is stored once. A manifest
beside the shards holds their schema, the preprocessing that made the canvases, counts and hashes;
nothing is read that it does not vouch for.
"""

from __future__ import annotations

import glob
import io
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import Cleaned
from deepsign_utils.study.artefacts import digest, write_json

# TensorFlow is imported where records are written or read: what else needs `Canvases` does without.
if TYPE_CHECKING:
    import tensorflow as tf

SCHEMA = {"signature_id": "int64", "writer": "bytes", "kind": "bytes", "canvas": "bytes"}
MANIFEST = "manifest.json"
SHARD_BYTES = 64 * 2**20
MEMORY_MAP_BYTES = 2**30


class Canvases(NamedTuple):
    """The images of one split, in the order of their records."""

    signature_id: np.ndarray  # (n,) int32
    writer: np.ndarray  # (n,) str
    kind: np.ndarray  # (n,) str, genuine or forgery
    canvas: np.ndarray  # (n, height, width) uint8, ink bright on 0

    @classmethod
    def of(cls, signatures: pd.DataFrame, canvas: np.ndarray) -> Canvases:
        """Those of a signature table's rows, in order."""
        ids, writers, kinds = (signatures[name].to_numpy() for name in cls._fields[:3])
        return cls(ids, writers, kinds, canvas)


def encode_png(canvas: np.ndarray) -> bytes:
    """A canvas (height, width) uint8 as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def serialize(signature_id: int, writer: str, kind: str, png: bytes) -> bytes:
    """One signature as the bytes of a ``tf.train.Example`` of the schema."""
    import tensorflow as tf

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    feature = {
        "signature_id": tf.train.Feature(int64_list=tf.train.Int64List(value=[signature_id])),
        "writer": of_bytes(writer.encode()),
        "kind": of_bytes(kind.encode()),
        "canvas": of_bytes(png),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # A map's order is otherwise another one in every process, and so the shards' hashes.
    return example.SerializeToString(deterministic=True)


def write_shards(
    folder: Path,
    signatures: pd.DataFrame,
    cleaned: Iterable[Cleaned],
    preprocessing: dict,
) -> dict:
    """Write each split's shards and the manifest; the folder appears only when complete.

    One process at a time may write a folder (``study.step`` sees to it).

    Parameters
    ----------
    folder : Path
        Where to; an older folder of this name is replaced.
    signatures : DataFrame
        Signature table with a column ``split``.
    cleaned : iterable of Cleaned
        For each row its canvas, or why there is none (``preprocessing.clean_files``): such images
        are left out and listed in the manifest.
    preprocessing : dict
        The parameters that made the canvases, for the manifest.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DeepSignError
        If the shards cannot be written (disk full, no permission).
    """
    import tensorflow as tf

    beside = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}.partial")
    try:
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
            shutil.rmtree(left)  # of a process that was killed
        beside.mkdir(parents=True)
        manifest = _write_shards(beside, signatures, cleaned, preprocessing)
        write_json(beside / MANIFEST, manifest)
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
    except (OSError, tf.errors.OpError) as error:
        raise DeepSignError(f"The shards in {folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return manifest


def _write_shards(
    folder: Path, signatures: pd.DataFrame, cleaned: Iterable[Cleaned], preprocessing: dict
) -> dict:
    import tensorflow as tf

    shards: dict[str, list[dict]] = {split: [] for split in ("train", "validation", "test")}
    writers: dict[str, set[str]] = {split: set() for split in shards}
    open_writers: dict[str, tf.io.TFRecordWriter] = {}
    left_out = []
    for row, (_, canvas, problem) in zip(signatures.itertuples(), cleaned, strict=True):
        if canvas is None:
            left_out.append({"path": row.path, "reason": problem})
            continue
        of_split = shards[row.split]
        if not of_split or of_split[-1]["bytes"] > SHARD_BYTES:
            if of_split:
                open_writers[row.split].close()
            name = f"{row.split}-{len(of_split):03d}.tfrecord"
            open_writers[row.split] = tf.io.TFRecordWriter(str(folder / name))
            of_split.append({"file": name, "records": 0, "bytes": 0})
        record = serialize(row.signature_id, row.writer, row.kind, encode_png(canvas))
        open_writers[row.split].write(record)
        of_split[-1]["records"] += 1
        of_split[-1]["bytes"] += len(record) + 16  # TFRecord's framing
        writers[row.split].add(row.writer)
    for writer in open_writers.values():
        writer.close()
    for shard in itertools.chain.from_iterable(shards.values()):
        shard["bytes"] = (folder / shard["file"]).stat().st_size
        shard["sha256"] = digest(folder / shard["file"])
    return {
        "format": 1,
        "schema": SCHEMA,
        "preprocessing": preprocessing,
        "left_out": left_out,
        "splits": {
            split: {
                "writers": len(writers[split]),
                "records": sum(shard["records"] for shard in shards[split]),
                "shards": shards[split],
            }
            for split in shards
        },
    }


def read_manifest(folder: Path) -> dict:
    """Read the manifest of a folder of shards.

    Raises
    ------
    DeepSignError
        If it is missing, damaged, or of another format.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        same = manifest["format"] == 1 and manifest["schema"] == SCHEMA
    except FileNotFoundError as error:
        raise DeepSignError(f"{file} is missing. Run `make report`.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DeepSignError(f"{file} is damaged. Delete {folder} and run `make report`.") from error
    if not same:
        raise DeepSignError(f"{file} has another format. Delete {folder} and run `make report`.")
    return manifest


def check_preprocessing(folder: Path, preprocessing: dict) -> None:
    """Refuse shards that were cleaned in another way than a model expects.

    Raises
    ------
    DeepSignError
        Naming the first parameter that differs.
    """
    made_with = read_manifest(folder)["preprocessing"]
    for name in made_with | preprocessing:
        if made_with.get(name) != preprocessing.get(name):
            raise DeepSignError(
                f"The model expects images cleaned with {name} = {preprocessing.get(name)!r}, but "
                f"the shards in {folder} were made with {made_with.get(name)!r}. Train a model on "
                "these shards, or run notebook 03 with the model's parameters."
            )


def check_shards(folder: Path, split: str) -> list[Path]:
    """The shards of a split, each compared with the manifest's size and hash.

    Raises
    ------
    DeepSignError
        If a shard is missing, truncated or changed.
    """
    files = []
    for shard in read_manifest(folder)["splits"][split]["shards"]:
        file = folder / shard["file"]
        if not file.is_file():
            raise DeepSignError(
                f"The shard {file} is missing. Delete {folder} and run `make report`."
            )
        if file.stat().st_size != shard["bytes"] or digest(file) != shard["sha256"]:
            raise DeepSignError(
                f"The shard {file} is not the one that was written: its size or hash differs from "
                f"the manifest. Delete {folder} and run `make report`."
            )
        files.append(file)
    return files


def dataset(files: Sequence[Path]) -> tf.data.Dataset:
    """Parsed records of the shards, in order, with the canvas decoded (height, width) uint8."""
    import tensorflow as tf

    types = {"int64": tf.int64, "bytes": tf.string}
    features = {name: tf.io.FixedLenFeature([], types[kind]) for name, kind in SCHEMA.items()}

    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_single_example(record, features)
        image = tf.io.decode_png(example["canvas"], channels=1)[:, :, 0]
        return {**example, "canvas": image}

    records = tf.data.TFRecordDataset([str(file) for file in files])
    return records.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def read_canvases(folder: Path, split: str, memory_map_bytes: int = MEMORY_MAP_BYTES) -> Canvases:
    """Read one split's shards, once, into an array from which batches are gathered.

    Parameters
    ----------
    folder, split
        Which shards.
    memory_map_bytes : int
        Above this size the canvases lie in a memory-mapped file on the shards' disk, which ends
        with the process.

    Raises
    ------
    DeepSignError
        If a shard is missing or damaged, or the split is empty.
    """
    manifest = read_manifest(folder)
    files = check_shards(folder, split)
    count = manifest["splits"][split]["records"]
    if count == 0:
        raise DeepSignError(f"The {split} split in {folder} holds no signature.")
    size = manifest["preprocessing"]["canvas_height"], manifest["preprocessing"]["canvas_width"]
    shape = (count, *size)
    canvas: np.ndarray
    if np.prod(shape) > memory_map_bytes:
        # A file of this process alone, gone with it: another that reads here has its own.
        with tempfile.TemporaryFile(dir=folder, prefix=f".{split}.canvases.") as file:
            canvas = np.memmap(file, np.uint8, "w+", shape=shape)
    else:
        canvas = np.empty(shape, np.uint8)
    ids = np.empty(count, np.int32)
    writers, kinds = [], []
    for row, record in enumerate(dataset(files).as_numpy_iterator()):
        ids[row] = record["signature_id"]
        writers.append(record["writer"].decode())
        kinds.append(record["kind"].decode())
        canvas[row] = record["canvas"]
    return Canvases(ids, np.array(writers), np.array(kinds), canvas)


def selected(parts: Sequence[Canvases], ids: Sequence[int]) -> Canvases:
    """Of several splits' images those with one of some ids, in the splits' order."""
    chosen = [np.isin(part.signature_id, ids) for part in parts]
    return Canvases(
        *(
            np.concatenate([values[rows] for values, rows in zip(of_parts, chosen, strict=True)])
            for of_parts in zip(*parts, strict=True)
        )
    )


def compare_layouts(
    folder: Path, split: str, pairs: pd.DataFrame, sample: int = 2000
) -> list[dict]:
    """Measure what storing pairs by id saves against storing both images of every pair.

    The naive layout is written for a sample of the pairs and read back; its size is that of the
    sample, scaled to all pairs.

    Parameters
    ----------
    folder, split
        The shards of the pairs' signatures.
    pairs : DataFrame
        Pair table of that split.
    sample : int
        How many pairs, evenly spread over the table, are written.

    Returns
    -------
    list of dict
        Of each ``layout``: ``records`` (count), ``bytes``, ``pairs_per_second`` read and decoded.
    """
    import tensorflow as tf

    files = check_shards(folder, split)
    ids, pngs = [], []
    for record in tf.data.TFRecordDataset([str(file) for file in files]).as_numpy_iterator():
        example = tf.train.Example.FromString(record).features.feature
        ids.append(example["signature_id"].int64_list.value[0])
        pngs.append(example["canvas"].bytes_list.value[0])
    _seconds_to_read(files)  # warms up, so that neither layout pays for it
    by_id_seconds = _seconds_to_read(files)
    chosen = pairs.iloc[np.unique(np.linspace(0, len(pairs) - 1, sample).astype(int))]
    row_of = {signature_id: row for row, signature_id in enumerate(ids)}
    naive = folder / f".naive.{os.getpid()}.tfrecord.partial"  # others may measure here too
    try:
        with tf.io.TFRecordWriter(str(naive)) as writer:
            for number, pair in enumerate(chosen[["left", "right"]].to_numpy()):
                for signature_id in pair:
                    writer.write(serialize(number, "", "", pngs[row_of[signature_id]]))
        naive_seconds = _seconds_to_read([naive])
        naive_bytes = naive.stat().st_size * len(pairs) / len(chosen)
    finally:
        naive.unlink(missing_ok=True)
    by_id_bytes = sum(file.stat().st_size for file in files) + 8 * len(pairs)
    return [
        {
            "layout": "one record a signature, pairs by id",
            "records": len(ids),
            "bytes": by_id_bytes,
            "pairs_per_second": len(pairs) / by_id_seconds,
        },
        {
            "layout": "both images of every pair",
            "records": 2 * len(pairs),
            "bytes": round(naive_bytes),
            "pairs_per_second": len(chosen) / naive_seconds,
        },
    ]


def _seconds_to_read(files: Sequence[Path]) -> float:
    start = time.perf_counter()
    for _ in dataset(files):
        pass
    return time.perf_counter() - start
