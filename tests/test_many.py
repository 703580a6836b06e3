"""Many images and pairs: streamed in blocks, gone on with after a kill, spread over machines."""

import csv
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from PIL import Image
from serving import ROOT, model_folder, signature

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.__main__ import main
from deepsign_utils.runs.misfit import coarse
from deepsign_utils.study import PRETRAINED
from deepsign_utils.verifying import many
from deepsign_utils.verifying.verifier import Verifier

BLOCK = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images, one of them blank, and a table of pairs of them, each with a note."""
    folder = tmp_path_factory.mktemp("images")
    for n in range(40):
        signature(n % 5, n, 6).save(folder / f"{n:02}.png")
    (folder / "07.png").write_bytes(b"no image")
    with (folder / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["left", "right", "note"])
        rows.writerows((f"{n % 7:02}.png", f"{n:02}.png", f"é,{n}") for n in range(40))
    return folder


def embed(folder: Path, output: Path, **more: object) -> list[str]:
    return many.embed_images(model_folder(), many.image_files([folder]), output, **more)


def table(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as kept:
        return dict(kept)


def test_blocks_leave_no_trace_in_the_output(folder: Path, tmp_path: Path) -> None:
    for name in ("whole.npz", "blocks.npz", "blocks.parquet"):
        left_out = embed(folder, tmp_path / name, block=64 if name == "whole.npz" else BLOCK)
        assert len(left_out) == 1
        assert "07.png" in left_out[0]

    whole, blocks = table(tmp_path / "whole.npz"), table(tmp_path / "blocks.npz")
    parquet = pd.read_parquet(tmp_path / "blocks.parquet")
    assert whole["path"].tolist() == blocks["path"].tolist() == parquet["path"].tolist()
    assert np.array_equal(whole["embedding"], np.stack(parquet["embedding"]))
    # Another number of canvases in a pass may move a last digit.
    assert np.allclose(whole["embedding"], blocks["embedding"], atol=1e-6)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "blocks.npz", "blocks.parquet", "whole.npz",
    ]  # fmt: skip


def test_a_folder_s_images_are_those_of_linked_folders_too(tmp_path: Path) -> None:
    hidden = ("here/._a.png", "here/.trash/e.png")
    for name in ("here/a.png", "here/below/b.PNG", "here/c.txt", "elsewhere/d.tif", *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    try:
        (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere/round").symlink_to(tmp_path / "here")
    except OSError:
        pytest.skip("this disk has no links")
    found = many.image_files([tmp_path / "here"])
    names = [file.relative_to(tmp_path / "here").as_posix() for file in found]
    assert names == ["a.png", "below/b.PNG", "link/d.tif"]


def test_embed_goes_on_after_a_kill(folder: Path, tmp_path: Path) -> None:
    output, parts = tmp_path / "killed.npz", tmp_path / ".killed.npz.parts"
    code = f"""
import os, signal, sys
from pathlib import Path
from deepsign_utils.verifying import many

write = many.write_atomically
def told(file, content):
    print(file.name, flush=True)
    write(file, content)
    if "killed" in sys.argv and len(list(file.parent.glob("0*.npz"))) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

many.write_atomically = told
files = many.image_files([Path({str(folder)!r})])
many.embed_images(Path({str(model_folder())!r}), files, Path({str(output)!r}), block={BLOCK})
"""
    command = [sys.executable, "-c", code]
    killed = subprocess.run([*command, "killed"], cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    first, second = sorted(file.name for file in parts.glob("0*.npz"))

    changed = folder / "00.png"  # in the first block, which then no longer holds
    os.utime(changed, ns=(0, 0))
    resumed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    made = resumed.stdout.split()
    assert [name[:6] for name in made] == ["000000", "000002", "000003", "000004"]
    assert not {first, second} & set(made)
    embed(folder, tmp_path / "whole.npz", block=BLOCK)
    unbroken, whole = table(tmp_path / "whole.npz"), table(output)
    assert unbroken["path"].tolist() == whole["path"].tolist()
    assert np.array_equal(unbroken["embedding"], whole["embedding"])
    assert not parts.exists()


def test_pairs_are_judged_as_one_by_one(folder: Path, tmp_path: Path) -> None:
    for name in ("judged.csv", "judged.parquet"):
        decisions, problems = many.compare_pairs(
            model_folder(), folder / "pairs.csv", tmp_path / name, block=BLOCK
        )
        assert decisions[""] == len(problems) == 1

    judged = pd.read_csv(tmp_path / "judged.csv", keep_default_na=False)
    parquet = pd.read_parquet(tmp_path / "judged.parquet")
    assert list(judged) == list(parquet) == ["left", "right", "note", *many.ADDED]
    assert judged["note"].tolist() == parquet["note"].tolist()
    assert judged["decision"].tolist() == parquet["decision"].tolist()
    assert np.isnan(parquet["score"][7])
    verifier = Verifier.load(model_folder())
    for row in judged[judged["decision"] != ""][::9].itertuples():
        expected = verifier.compare([folder / row.left], folder / row.right)
        assert float(row.score) == pytest.approx(expected.score, abs=1e-5)
        assert row.decision == expected.decision


def test_what_lies_between_two_thresholds_has_its_reason(folder: Path, tmp_path: Path) -> None:
    wide = "fmr=0.01,fnmr=0.01"
    many.compare_pairs(model_folder(), folder / "pairs.csv", tmp_path / "wide.csv", wide)
    judged = pd.read_csv(tmp_path / "wide.csv", keep_default_na=False)
    referred = judged[judged["decision"] == "referred"]
    assert (referred["reason"] == "the score lies between the two thresholds").any()
    assert (referred["reason"] != "").all()


def test_what_is_too_coarse_beside_its_reference_is_referred(tmp_path: Path) -> None:
    own = synthetic.draw_writer(505, 5, 1, 1)
    for name, image in (("fine", own.genuine[0]), ("forged", own.forgeries[0])):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    Image.fromarray(coarse(own.forgeries[0], 80)).save(tmp_path / "few.png")
    (tmp_path / "pairs.csv").write_text("left,right\nfine.png,few.png\nfew.png,fine.png\n")
    few, fine = str(tmp_path / "few.png"), str(tmp_path / "fine.png")
    assert main(["verify", fine, "--questioned", few]) == 3
    many.compare_pairs(PRETRAINED, tmp_path / "pairs.csv", tmp_path / "judged.csv")
    judged = pd.read_csv(tmp_path / "judged.csv")
    assert judged["decision"].tolist() == ["referred", "referred"]
    assert (
        judged["reason"].tolist()
        == ["the two are of very different resolution, too much for a rejection"] * 2
    )


def test_a_table_from_windows_names_its_files_with_backslashes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(2):
        signature(1, n, 6).save(tmp_path / "in" / f"{n}.png")
    (tmp_path / "pairs.csv").write_text("left,right,\nin\\0.png,in\\1.png,\n")
    output = tmp_path / "judged.csv"
    decisions, problems = many.compare_pairs(model_folder(), tmp_path / "pairs.csv", output)
    assert (sum(decisions.values()), decisions[""], problems) == (1, 0, [])
    assert pd.read_csv(output)["left"].tolist() == ["in\\0.png"]


def test_a_table_keeps_its_own_columns_and_bears_spaces_and_empty_lines(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        signature(1, 1, 6).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"no image")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("\n\nleft, right, problems\na.png , b.png,mine 1\na.png, bad.png,mine 2\n")
    many.compare_pairs(model_folder(), pairs, tmp_path / "judged.csv")
    judged = pd.read_csv(tmp_path / "judged.csv", keep_default_na=False)
    assert judged["problems"].tolist() == ["mine 1", "mine 2"]
    assert judged["decision"].tolist() == ["referred", ""]  # of one image, a copy


@pytest.mark.parametrize(
    ("delimiter", "encoding", "written"),
    [
        (",", "utf-8", "utf-8"),
        (";", "utf-8-sig", "utf-8-sig"),
        (";", "cp1252", "utf-8-sig"),
        ("\t", "utf-16", "utf-8-sig"),
    ],
)
def test_a_table_s_output_opens_where_the_table_did(
    delimiter: str, encoding: str, written: str, tmp_path: Path
) -> None:
    signature(0, 0).save(tmp_path / "Zoë.png")
    signature(0, 1).save(tmp_path / "b.png")
    rows = [["left", "right", "note"], ["Zoë.png", "b.png", "first, urgent"]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    (tmp_path / "pairs.csv").write_bytes(text.getvalue().encode(encoding))
    output = tmp_path / "judged.csv"

    many.compare_pairs(model_folder(), tmp_path / "pairs.csv", output)

    content = output.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") == (written == "utf-8-sig")
    reader = csv.reader(io.StringIO(content.decode(written)), delimiter=delimiter)
    head, row = reader
    assert (head, row[:3]) == ([*rows[0], *many.ADDED], rows[1])
    assert row[4] in ("accepted", "rejected")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_table_in_a_pipe_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pairs.csv")
    with pytest.raises(DeepSignError, match="is read more than once, and is no file"):
        many.compare_pairs(model_folder(), tmp_path / "pairs.csv", tmp_path / "judged.csv")


def test_a_cluster_embeds_the_same(folder: Path, tmp_path: Path) -> None:
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        embed(folder, tmp_path / "far.npz", scheduler=cluster.scheduler_address, block=BLOCK)
    embed(folder, tmp_path / "here.npz", block=BLOCK)

    far, here = table(tmp_path / "far.npz"), table(tmp_path / "here.npz")
    assert far["path"].tolist() == here["path"].tolist()
    assert np.allclose(far["embedding"], here["embedding"], atol=1e-6)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_before_the_work(folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "e.npz"
    os.mkfifo(pipe)
    with pytest.raises(DeepSignError, match="a device, pipe or socket"):
        embed(folder, pipe)
    assert [file.name for file in tmp_path.iterdir()] == ["e.npz"]


def test_a_scheduler_that_does_not_answer_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepSignError, match="No Dask scheduler answers at --scheduler nonsense"):
        embed(folder, tmp_path / "e.npz", scheduler="nonsense://1")
