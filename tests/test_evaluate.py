"""`evaluate` gives the study's own numbers, for any model on any dataset."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from serving import model_folder, signature

from deepsign_utils import DeepSignError, pairing, synthetic
from deepsign_utils.__main__ import main
from deepsign_utils.datasets import read_dataset
from deepsign_utils.runs import evaluate, naive_recipe
from deepsign_utils.study import hash_of_images
from deepsign_utils.synthetic.not_signatures import KINDS
from deepsign_utils.verifying.near_copies import near_copies
from deepsign_utils.verifying.verifier import Verifier


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load()


@pytest.fixture(scope="module")
def found(verifier, tiny_data) -> dict:
    rng = np.random.default_rng(0)
    return evaluate.evaluate(verifier, tiny_data, rng, baselines=True, resamples=50)


def test_every_writer_and_image_of_the_dataset_is_counted(found):
    assert found["writers"] == 10
    assert found["images"] == 160
    assert found["left_out"] == {}


def test_what_cannot_be_acquired_or_enrolled_is_counted(verifier, tiny_data, tmp_path):
    # Given a writer all of whose genuine signatures are blank, and one who has one blank forgery
    folder = tmp_path / "blank"
    shutil.copytree(tiny_data, folder)
    (folder / "manifest.csv").unlink(missing_ok=True)
    blank = [*(folder / "0001").glob("*.png"), *sorted((folder / "0002_forg").glob("*.png"))[:1]]
    for number, file in enumerate(blank):  # no two of them the same file
        Image.new("L", (300 + number, 150), 250).save(file)

    found = evaluate.evaluate(verifier, folder, np.random.default_rng(0), resamples=50)

    assert found["failure_to_acquire"] == pytest.approx(len(blank) / 160)
    assert found["failure_to_enrol"] == pytest.approx(1 / 10)
    assert found["images"] + len(found["left_out"]) == found["found"]
    assert "to enrol 10.0 %" in evaluate.in_words(found)


def test_what_verify_would_refuse_or_refer_is_told(verifier, tiny_data, tmp_path):
    # Given a writer with a mere tick among the genuine ones, and one under a stamp
    folder = tmp_path / "refused"
    shutil.copytree(tiny_data, folder)
    tick, under_a_stamp = folder / "0001" / "0001_01.png", folder / "0002" / "0002_01.png"
    Image.fromarray(KINDS["tick"](np.random.default_rng(8))).save(tick)
    page = Image.open(under_a_stamp).convert("L")
    middle = page.width // 2, page.height // 2
    pen = ImageDraw.Draw(page)
    pen.circle(middle, 0.4 * page.height, outline=30, width=5)
    for down in (-0.1, 0.1):
        row = middle[0], middle[1] + down * page.height
        pen.text(row, "PAID", 30, ImageFont.load_default(0.15 * page.height), "mm")
    page.save(under_a_stamp)
    with pytest.raises(DeepSignError, match="mere tick"):
        verifier.read(tick)
    assert "under_a_stamp" in [one.code for one in verifier.read(under_a_stamp).warnings]

    found = evaluate.evaluate(verifier, folder, np.random.default_rng(0), resamples=50)

    # then neither is passed over in silence.
    assert "mere tick" in found["left_out"]["0001/0001_01.png"]
    assert found["failure_to_acquire"] == pytest.approx(1 / 160)
    assert found["referred"] == pytest.approx(1 / 159)
    said = evaluate.in_words(found)
    assert "Failure to acquire 0.6 %" in said
    assert "0.6 % of the images would send every comparison to a person" in said


def test_a_number_of_references_that_one_writer_alone_has_is_not_measured(
    verifier, tiny_data, tmp_path
):
    folder = tmp_path / "uneven"
    shutil.copytree(tiny_data, folder)
    (folder / "manifest.csv").unlink()
    for file in folder.glob("000[2-9]/*_0[5-8].png"):
        file.unlink()
    for file in folder.glob("0010/*_0[5-8].png"):
        file.unlink()

    found = evaluate.evaluate(verifier, folder, np.random.default_rng(0), resamples=50)

    assert set(found["references"]) == {"1", "2", "3"}


def test_a_signature_saved_again_counts_once(verifier, tiny_data, found, tmp_path):
    # Given two writers' signatures larger and compressed, too
    folder = tmp_path / "again"
    shutil.copytree(tiny_data, folder)
    for told in (*folder.glob("*.csv"), *folder.glob("*.json")):
        told.unlink()
    files = [*(folder / "0001").glob("*.png"), *(folder / "0002").glob("*.png")]
    for file in files:
        image = Image.open(file).convert("L")
        image.resize((image.width * 13 // 10, image.height * 13 // 10)).save(
            file.with_name(f"{file.stem}_again.jpg"), quality=80
        )

    again = evaluate.evaluate(verifier, folder, np.random.default_rng(0), resamples=50)

    # then each is told, and the rates are those without them.
    told = again["left_out"]
    assert sum(why.startswith(pairing.NEAR_COPY) for why in told.values()) >= 0.9 * len(files)
    assert {Path(path).suffix for path in told} == {".jpg"}
    assert again["images"] + len(told) == again["found"] == 160 + len(files)
    assert len(told) < len(files) or again["references"] == found["references"]


def test_of_a_signature_saved_again_for_another_person_nobody_knows_whose_it_is(
    verifier, tiny_data, tmp_path
):
    # Given three signatures, one of which is another person's as well
    names = ["0001_01.png", "0001_02.png", "0002_01.png", "again.jpg"]
    for name in names[:3]:
        shutil.copy(tiny_data / name[:4] / name, tmp_path)
    image = Image.open(tmp_path / names[0]).convert("L")
    image.resize((image.width * 13 // 10, image.height * 13 // 10)).save(tmp_path / names[3])
    signatures = pd.DataFrame(
        {"path": names, "writer": ["1", "1", "2", "2"], "kind": ["genuine"] * 4}
    )
    embeddings, _ = verifier.embed_files([tmp_path / name for name in names])

    told = near_copies(tmp_path, signatures, embeddings, verifier.preprocessing)

    mislabelled = f"which is another person's: {pairing.MISLABELLED}"
    assert told == {
        one: f"{pairing.NEAR_COPY}: {other}, {mislabelled}"
        for one, other in ((names[3], names[0]), (names[0], names[3]))
    }


def test_what_the_thresholds_were_fitted_to_is_said(verifier, tiny_data):
    # Given a model whose thresholds come from these very images
    signatures, _ = read_dataset(tiny_data)
    fitted = replace(verifier.scoring, measured_on=[{"writers": 10, **hash_of_images(signatures)}])
    own = Verifier(verifier._encoder, verifier.preprocessing, fitted, verifier.identity, "")

    found = evaluate.evaluate(own, tiny_data, np.random.default_rng(0), resamples=50)

    assert "fitted to these very images" in evaluate.in_words(found)


def test_rates_stand_at_the_models_own_threshold(found, verifier):
    for k, threshold in found["threshold"].items():
        assert threshold == verifier.scoring.threshold("eer", int(k))
    for result in found["references"].values():
        for rate in (*result["fmr"].values(), result["fnmr"], *result["eer"].values()):
            assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1


def test_the_same_rate_by_hand(found, verifier, tiny_data):
    # When every forgery is compared with every genuine signature, one by one
    accepted = []
    for writer in range(1, 11):
        genuine, forged = (
            [verifier.read(file) for file in folder.glob("*.png")]
            for folder in (tiny_data / f"{writer:04d}", tiny_data / f"{writer:04d}_forg")
        )
        asked = verifier.embed(np.stack([signature.canvas for signature in forged]))
        scores = [verifier.score(verifier.references_of([one]), asked) for one in genuine]
        accepted.append(np.stack(scores) >= found["threshold"]["1"])

    # then as many are accepted as `evaluate` says.
    rate = found["references"]["1"]["fmr"]["skilled"]["value"]
    assert np.mean(accepted) == pytest.approx(rate, abs=2e-3)


def test_what_needs_no_training_and_what_the_pen_tells_stand_beside(found):
    assert list(found["baselines"]) == [
        "HOG, cosine",
        "untrained encoder",
        "untrained encoder, one pen",
        "this model, one pen",
    ]
    assert found["baselines"]["HOG, cosine"]["random"]["value"] < 0.3
    assert "1, HOG, cosine" in evaluate.in_words(found)


def test_an_untrained_network_that_goes_by_the_pen_fails_with_one_pen(tmp_path):
    # Given forgeries that are genuine signatures with a thicker pen
    folder = synthetic.write_dataset(tmp_path / "pens", writers=5, genuine=6, forgeries=6, seed=2)
    for writer in range(1, 6):
        for number in range(1, 7):
            drawn = Image.open(folder / f"{writer:04d}" / f"{writer:04d}_{number:02d}.png")
            forged = folder / f"{writer:04d}_forg" / f"{writer:04d}_forg_{number:02d}.png"
            assert forged.exists()
            drawn.convert("L").filter(ImageFilter.MinFilter(5)).save(forged)
    small = Verifier.load(model_folder())
    found = evaluate.evaluate(small, folder, np.random.default_rng(0), baselines=True, resamples=20)

    # when the untrained network sees them as they are and with one pen
    errors = {name: row["skilled"]["value"] for name, row in found["baselines"].items()}

    # then only the first can tell them from genuine ones.
    assert errors["untrained encoder"] < 0.3
    assert errors["untrained encoder, one pen"] >= 0.4


def test_copies_are_left_out_by_reason(verifier, tmp_path):
    # Given 33 files, of which two repeat the writer's own and one another's, of too few writers
    folder = synthetic.write_dataset(tmp_path / "few", writers=4, genuine=4, forgeries=4, seed=2)
    (folder / "manifest.csv").unlink()
    for writer in ("0001", "0002"):
        signature = (folder / writer / f"{writer}_01.png").read_bytes()
        (folder / writer / f"{writer}_02.png").write_bytes(signature)
    (folder / "0003" / "0003_01.png").write_bytes(signature)
    found = evaluate.evaluate(verifier, folder, np.random.default_rng(0))

    # then found is used and left out,
    assert found["found"] == found["images"] + len(found["left_out"]) == 33
    said = evaluate.in_words(found)
    assert "33 files found: 28 images of 4 writers, 5 left out" in said
    assert "4 a copy of another file, byte for byte" in said

    # and of the copy across people both files are left out, as nobody knows whose it is,
    assert "0003/0003_01.png is a copy of another file, byte for byte: 0002/0002_01.png" in said
    assert "0002/0002_01.png is a copy of another file, byte for byte: 0003/0003_01.png" in said
    assert "which is another person's" in said

    # and no rate is claimed.
    assert found["references"] == {}
    assert "too few to tell: " in said
    assert "5 writers" in said


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from([f"{w}{of}/{n}.png" for w in "123" for of in ("", "_forg") for n in "789"]),
        st.sampled_from(["signature", "blank", "broken", "copy"]),
        max_size=8,
    ),
    st.sets(st.sampled_from(["notes.txt", "1/.hidden.png", "x/scan.png", "2/list.csv"])),
)
def test_evaluate_and_audit_account_for_every_file_of_any_folder(
    verifier, tmp_path_factory, capsys, more, junk
):
    # Given three writers, and among their signatures whatever lies about
    root = tmp_path_factory.mktemp("people")
    first = {f"{w}{of}/{n}.png": "signature" for w in "123" for of in ("", "_forg") for n in "12"}
    for place, (name, what) in enumerate((first | more).items()):
        (root / name).parent.mkdir(exist_ok=True)
        match what:
            case "signature":
                signature(place, place).save(root / name)
            case "blank":
                Image.new("L", (300, 120), 255).save(root / name)
            case "broken":
                (root / name).write_bytes(b"no image")
            case "copy":
                shutil.copy(root / "1/1.png", root / name)
    for name in junk:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"junk")
    # then what is found is what is used and what is left out, in both.
    files = len(first | more) + len(junk - {"1/.hidden.png"})
    found = evaluate.evaluate(verifier, root, np.random.default_rng(0), resamples=50)
    assert found["found"] == found["images"] + len(found["left_out"]) == files
    capsys.readouterr()
    assert main(["audit", str(root)]) == 0
    said = capsys.readouterr().out
    account = re.search(r"(\d+) files found: (\d+) images of .*, (\d+) left out", said)
    of_audit, used, left_out = map(int, account.groups())
    assert of_audit == used + left_out == files


def test_what_a_manifest_lists_and_is_not_there_was_not_found():
    reasons = ["missing", "not an image", "It is blank: scan it again."]
    said = "12 files found, 1 missing: 10 images of 3 writers, 2 left out (1 not an image, 1 as it "
    assert evaluate.in_account(10, 3, reasons).startswith(said)


def test_an_audit_of_two_writers_has_no_verdict(tmp_path, capsys):
    folder = tmp_path / "shade"
    naive_recipe.write_planted(folder, 0.3, writers=2, genuine=10, forgeries=10, seed=1, skill=None)
    assert main(["audit", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "40 files found: 40 images of 2 writers, 0 left out." in said
    assert "Shortcuts: too few to tell: " in said
    assert "chance" not in said


def test_histograms_of_gradients_have_length_one(tiny_data):
    paths = [f"0001/0001_0{number}.png" for number in (1, 2)]
    table = evaluate.hog_descriptors(tiny_data, paths)
    assert table.shape == (2, 7 * 15 * 4 * 9)
    assert np.allclose(np.linalg.norm(table, axis=1), 1, atol=1e-5)


def test_a_folder_without_a_dataset_is_refused(verifier, tmp_path):
    with pytest.raises(DeepSignError, match=str(tmp_path)):
        evaluate.evaluate(verifier, tmp_path, np.random.default_rng(0))


def test_on_the_command_line(tiny_data, tmp_path):
    command = [sys.executable, "-m", "deepsign_utils", "evaluate", tiny_data]
    command += ["--model", model_folder(), "--output", tmp_path / "found.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "160 images of 10 writers, 0 left out." in done.stdout
    written = json.loads((tmp_path / "found.json").read_text())
    assert set(written["references"]) == {"1", "2", "3", "5"}
