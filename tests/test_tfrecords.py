"""Shards: what is written is what is read, and nothing damaged is."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from deepsign_utils import DeepSignError, tfrecords
from deepsign_utils.preprocessing import Cleaned, Preprocessing

PREPROCESSING = Preprocessing(16, 32, "aspect").to_dict()


def signatures(count: int = 12) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "signature_id": np.arange(count, dtype=np.int32) * 3,
            "path": [f"a {i}.png" for i in range(count)],
            "writer": [f"wörter {i // 4}" for i in range(count)],
            "kind": ["genuine", "forgery"] * (count // 2),
            "split": [("train", "validation", "test")[i // 4] for i in range(count)],
        }
    )


def cleaned(table: pd.DataFrame, without: int | None = None) -> list[Cleaned]:
    drawn = np.random.default_rng(0).integers(0, 256, (len(table), 16, 32), np.uint8)
    return [
        Cleaned(path, None, f"{path}: blank") if i == without else Cleaned(path, drawn[i], None)
        for i, path in enumerate(table["path"])
    ]


@pytest.fixture
def shards(tmp_path):
    table = signatures()
    tfrecords.write_shards(tmp_path / "shards", table, cleaned(table), PREPROCESSING)
    return tmp_path / "shards"


def test_what_is_written_is_what_is_read(shards):
    table = signatures()
    drawn = np.stack([item.canvas for item in cleaned(table)])
    for split, group in table.groupby("split"):
        read = tfrecords.read_canvases(shards, split)
        assert read.signature_id.tolist() == group["signature_id"].tolist()
        assert read.writer.tolist() == group["writer"].tolist()
        assert read.kind.tolist() == group["kind"].tolist()
        assert np.array_equal(read.canvas, drawn[group.index])


def test_another_process_serializes_to_the_same_bytes():
    code = "from deepsign_utils import tfrecords as t; print(t.serialize(7, 'w', 'genuine', b'p'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    record = tfrecords.serialize(7, "w", "genuine", b"p")
    assert done.stdout == f"{record}\n"
    places = [record.index(name) for name in (b"canvas", b"kind", b"signature_id", b"writer")]
    assert places == sorted(places)


def test_the_manifest_says_what_is_there(shards):
    manifest = json.loads((shards / "manifest.json").read_text())
    assert manifest["preprocessing"] == PREPROCESSING
    assert manifest["schema"] == tfrecords.SCHEMA
    for part in manifest["splits"].values():
        assert (part["writers"], part["records"]) == (1, 4)
        for shard in part["shards"]:
            assert (shards / shard["file"]).stat().st_size == shard["bytes"]


def test_an_image_that_cannot_be_cleaned_is_listed_and_left_out(tmp_path):
    table = signatures()
    made = tfrecords.write_shards(tmp_path / "s", table, cleaned(table, without=5), PREPROCESSING)
    assert made["left_out"] == [{"path": "a 5.png", "reason": "a 5.png: blank"}]
    assert 15 not in tfrecords.read_canvases(tmp_path / "s", "validation").signature_id


def test_many_images_go_to_several_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecords, "SHARD_BYTES", 1000)
    table = signatures()
    made = tfrecords.write_shards(tmp_path / "s", table, cleaned(table), PREPROCESSING)
    assert len(made["splits"]["train"]["shards"]) == 2
    assert len(tfrecords.read_canvases(tmp_path / "s", "train").canvas) == 4


def test_large_canvases_are_memory_mapped_and_equal(shards):
    mapped = tfrecords.read_canvases(shards, "train", memory_map_bytes=100)
    assert isinstance(mapped.canvas, np.memmap)
    assert np.array_equal(mapped.canvas, tfrecords.read_canvases(shards, "train").canvas)


def test_a_failed_write_keeps_the_old_shards(shards):
    table = signatures()

    def fails():
        yield from cleaned(table)[:3]
        raise OSError(28, "No space left on device")

    with pytest.raises(DeepSignError, match="No space left"):
        tfrecords.write_shards(shards, table, fails(), PREPROCESSING)
    assert len(tfrecords.read_canvases(shards, "train").canvas) == 4
    assert [path.name for path in shards.parent.iterdir()] == ["shards"]


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
    ],
    ids=["flipped byte", "truncated", "emptied", "deleted"],
)
def test_a_damaged_shard_is_refused_by_name(shards, damage):
    damage(shards / "train-000.tfrecord")
    with pytest.raises(DeepSignError, match=r"train-000\.tfrecord"):
        tfrecords.read_canvases(shards, "train")
    # the others are none the worse
    assert len(tfrecords.read_canvases(shards, "test").canvas) == 4


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"format": 2, "schema": {}}'])
def test_a_damaged_manifest_is_refused_by_name(shards, text):
    manifest = shards / "manifest.json"
    manifest.unlink() if text is None else manifest.write_text(text)
    with pytest.raises(DeepSignError, match=r"manifest\.json"):
        tfrecords.read_canvases(shards, "train")


def test_shards_cleaned_in_another_way_are_refused(shards):
    tfrecords.check_preprocessing(shards, PREPROCESSING)
    with pytest.raises(DeepSignError, match="fit = 'fill'"):
        tfrecords.check_preprocessing(shards, PREPROCESSING | {"fit": "fill"})


def test_storing_pairs_by_id_takes_less_than_storing_their_images(shards):
    ids = signatures().query("split == 'validation'")["signature_id"].to_numpy()
    pairs = pd.DataFrame([(a, b) for a in ids for b in ids if a != b], columns=["left", "right"])
    layouts = pd.DataFrame(tfrecords.compare_layouts(shards, "validation", pairs))
    assert layouts["records"].tolist() == [4, 24]
    by_id, naive = layouts["bytes"]
    assert naive / by_id > 4
    assert (layouts["pairs_per_second"] > 0).all()
    assert not list(shards.glob(".naive*"))
