"""The deployed encoder as ONNX: it embeds as Keras does, in any program."""

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from serving import CANVAS, ROOT, model_folder, signature

from deepsign_utils import DeepSignError, models
from deepsign_utils.deployed_encoder import export
from deepsign_utils.deployed_encoder.runtime import OnnxEncoder
from deepsign_utils.preprocessing import clean
from deepsign_utils.study import PRETRAINED, check_seal, digest

CANVASES = np.stack([clean(np.asarray(signature(writer)), CANVAS) for writer in range(11)])


@pytest.mark.parametrize("folder", [model_folder, lambda: PRETRAINED], ids=["bare", "shipped"])
def test_it_embeds_as_keras_does(folder) -> None:
    encoder = models.load_encoder(folder() / "encoder.keras")
    height, width, _ = encoder.input_shape[1:]
    canvases = np.stack([np.resize(canvas, (height, width)) for canvas in CANVASES])
    canvases[0] = 0

    exported = OnnxEncoder(folder() / "encoder.onnx")
    embeddings = exported.embed(canvases)

    assert embeddings.dtype == np.float32
    assert np.abs(embeddings - models.embed(encoder, canvases)).max() < 1e-5
    assert exported.embed(canvases[:0]).shape == (0, embeddings.shape[1])
    assert exported.canvas_shape == (height, width)
    assert exported.name == encoder.name
    assert exported.source == digest(folder() / "encoder.keras")


def test_the_same_encoder_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deepsign_utils", "export", str(model_folder())]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "exported")],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for name in (export.ONNX_FILE, export.GOLDEN_FILE, "preprocessing.json", "scoring.json"):
        assert (tmp_path / "exported" / name).read_bytes() == (model_folder() / name).read_bytes()
    check_seal(tmp_path / "exported", [export.ONNX_FILE, export.GOLDEN_FILE])


def test_a_port_can_test_itself_by_the_golden_vectors() -> None:
    """What a program in another language does, with nothing of DeepSign."""
    golden = json.loads((PRETRAINED / export.GOLDEN_FILE).read_text())
    session = onnxruntime.InferenceSession(PRETRAINED / export.ONNX_FILE)

    assert len(golden["vectors"]) == 3
    for vector in golden["vectors"]:
        canvas = Image.open(io.BytesIO(base64.b64decode(vector["canvas"])))
        (embedding,) = session.run(["embedding"], {"canvas": np.asarray(canvas)[None]})
        assert embedding[0] == pytest.approx(np.array(vector["embedding"]), abs=golden["tolerance"])
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_what_embeds_differently_is_not_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(DeepSignError, match="embeds differently"):
        export.export_encoder(model_folder() / "encoder.keras", CANVAS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["thesis.tex", export.ONNX_FILE])
def test_a_folder_that_holds_something_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("years of work")
    with pytest.raises(DeepSignError, match="is not empty: name a new folder"):
        export.export_model(model_folder(), tmp_path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["years of work"]


@pytest.mark.parametrize("content", [b"", b"text", b"cut"])
def test_a_damaged_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    whole = (model_folder() / export.ONNX_FILE).read_bytes()
    file = tmp_path / export.ONNX_FILE
    file.write_bytes(whole[:-5000] if content == b"cut" else content)
    with pytest.raises(DeepSignError, match=r"encoder\.onnx"):
        OnnxEncoder(file)


def test_a_damaged_model_folder_is_not_exported(tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "model")
    (folder / "encoder.keras").write_bytes(b"")
    with pytest.raises(DeepSignError, match=r"encoder\.keras"):
        export.export_model(folder, tmp_path / "out")
