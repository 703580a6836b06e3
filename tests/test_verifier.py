"""A trained model applied to anyone's images: in Python, and on the command line."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from serving import CANVAS, ROOT, model_folder, signature

from deepsign_utils import DeepSignError, models, scoring
from deepsign_utils.__main__ import main
from deepsign_utils.deployed_encoder import export
from deepsign_utils.preprocessing import BlankPageError, clean
from deepsign_utils.study import PRETRAINED, seal
from deepsign_utils.verifying import scan_faults
from deepsign_utils.verifying.explanation import occlude
from deepsign_utils.verifying.model_folder import MODEL_FILES
from deepsign_utils.verifying.references import References
from deepsign_utils.verifying.verifier import Verifier


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load(model_folder())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files g0.png to g3.png of one writer, f.png forged, blank.png, text.png (no image)."""
    folder = tmp_path_factory.mktemp("images")
    for specimen in range(4):
        signature(1, specimen).save(folder / f"g{specimen}.png")
    signature(1, 9, unsteadiness=25).save(folder / "f.png")
    Image.new("L", (300, 120), 255).save(folder / "blank.png")
    (folder / "text.png").write_text("no image")
    return folder


# ------------------------------------------------------------------------------------ comparing


def test_genuine_is_accepted_and_forged_rejected(verifier: Verifier) -> None:
    references = [signature(1, specimen) for specimen in range(3)]

    genuine = verifier.compare(references, signature(1, 3))
    forged = verifier.compare(references, signature(2, 0))

    assert genuine.accepted
    assert genuine.llr > 0
    assert not forged.accepted
    assert forged.llr < 0
    assert genuine.in_words()[0].startswith("Accepted")
    assert forged.in_words()[0].startswith("Rejected")


def test_path_bytes_image_and_array_give_the_same(verifier: Verifier, images: Path) -> None:
    file = images / "g0.png"
    opened = Image.open(file)

    scores = {
        verifier.compare([reference], signature(1, 1)).score
        for reference in (file, str(file), file.read_bytes(), opened, np.asarray(opened))
    }

    assert len(scores) == 1
    assert verifier.compare(file, signature(1, 1)).score in scores  # one image, no list


@pytest.mark.parametrize("k", [1, 3])
def test_score_is_the_one_that_evaluation_gives(verifier: Verifier, k: int) -> None:
    specimens = [signature(5, specimen) for specimen in range(k + 1)]
    canvases = np.stack([clean(np.asarray(image), CANVAS) for image in specimens])
    embeddings = models.embed(models.load_encoder(model_folder() / "encoder.keras"), canvases)
    trial = pd.DataFrame({"references": [list(range(k))], "questioned": [k], "kind": ["genuine"]})
    expected = scoring.trial_scores(
        embeddings, np.arange(k + 1), trial, verifier.scoring.population
    )

    comparison = verifier.compare(specimens[:k], specimens[k])

    assert comparison.score == pytest.approx(expected["score"][0], abs=1e-5)


def test_verdict_carries_the_errors_measured_at_its_threshold(verifier: Verifier) -> None:
    comparison = verifier.compare([signature(1, 0)], signature(1, 1), threshold="fmr=0.1")

    measured = verifier.scoring.expected_errors(verifier.scoring.rule("fmr=0.1", 1), 1)
    assert comparison.expected_errors == measured
    assert comparison.expected_errors["fmr"]["skilled"]["value"] <= 0.1
    assert comparison.measured_on == [{"dataset": "drawn", "split": "validation", "writers": 8}]
    assert "8 validation writers of 'drawn'" in comparison.in_words()[-1]
    json.dumps(comparison.to_dict(), allow_nan=False)


def test_numbers_of_references_that_were_not_measured_take_the_nearest_below(verifier) -> None:
    comparison = verifier.compare([signature(1, n) for n in range(5)], signature(1, 8))

    assert (comparison.references, comparison.measured_references) == (5, 3)


def test_what_is_said_of_the_evidence_is_bounded_by_what_was_measured(verifier: Verifier) -> None:
    comparison = replace(
        verifier.compare([signature(1, 0)], signature(1, 0)), decision="accepted", copy_of=None
    )

    for kind, (lowest, highest) in comparison.bounds.items():
        assert comparison.llrs[kind] == highest
        assert 0 < highest <= np.log(comparison.pairs[kind])
        assert lowest >= -np.log(comparison.pairs["genuine"])
    assert f"at least {np.exp(highest):.0f} times" in "\n".join(comparison.in_words())


def test_evidence_names_both_its_propositions(verifier: Verifier) -> None:
    _, skilled, random, _ = verifier.compare([signature(1, 0)], signature(2, 1)).in_words()

    assert skilled.startswith("Did the writer of the references write it, or a skilled forger?")
    assert skilled.endswith("times as probable if the forger wrote it.")
    assert random.startswith(
        "Did the writer of the references write it, or another person, in their own hand?"
    )
    assert random.endswith("times as probable if the other person wrote it.")


def test_what_lies_between_two_tolerated_errors_is_referred_to_a_person(verifier) -> None:
    reference, name = verifier.enrol([signature(1, 0)]), "fmr=0.02,fnmr=0.02"
    rule = verifier.scoring.rule(name, 1)
    found = [
        verifier.compare(reference, signature(writer, n, unsteadiness=u), name)
        for writer, n, u in [(1, 1, 3), (1, 7, 14), (1, 8, 20), (1, 9, 30), (2, 1, 3)]
    ]

    assert {one.decision for one in found} == {"accepted", "referred", "rejected"}
    for one in found:
        expected = "accepted" if one.score >= rule.accept_from else "referred"
        assert one.decision == ("rejected" if one.score < rule.reject_below else expected)
        assert one.decision in one.in_words()[0].lower()
    shares = verifier.scoring.expected_referrals(rule, 1)
    assert set(shares) == {"genuine", "skilled", "random"}
    for one in found:
        assert one.expected_referrals == shares
        assert f"{100 * shares['genuine']:.1f} % of genuine signatures and " in one.in_words()[-1]


def test_a_verdict_names_the_encoder_and_the_scoring(verifier: Verifier, tmp_path: Path) -> None:
    # Given the same model calibrated otherwise
    other = shutil.copytree(model_folder(), tmp_path / "other")
    values = json.loads((other / "scoring.json").read_text())
    values["measured_on"][0]["dataset"] = "others"
    (other / "scoring.json").write_text(json.dumps(values))
    seal(other)

    one, two = (
        model.compare([signature(1, 0)], signature(1, 1))
        for model in (verifier, Verifier.load(other))
    )

    assert one.model == two.model
    for found, folder in ((one, model_folder()), (two, other)):
        assert found.scoring == hashlib.sha256((folder / "scoring.json").read_bytes()).hexdigest()
        assert found.to_dict()["scoring"] == found.scoring


def test_enrolled_references_can_be_kept(verifier: Verifier, tmp_path: Path) -> None:
    enrolled = verifier.enrol([signature(1, n) for n in range(3)])
    enrolled.save(tmp_path / "anna.npz")

    again = verifier.compare(References.load(tmp_path / "anna.npz"), signature(1, 5))

    assert again.score == verifier.compare(enrolled, signature(1, 5)).score
    with pytest.raises(DeepSignError, match=r"anna\.csv must end in \.npz"):
        enrolled.save(tmp_path / "anna.csv")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_damaged_kept_references_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "anna.npz").write_bytes(content)
    with pytest.raises(DeepSignError, match=r"anna\.npz"):
        References.load(tmp_path / "anna.npz")


def test_references_of_another_model_are_refused(verifier: Verifier) -> None:
    enrolled = verifier.enrol([signature(1, 0)])
    foreign = References(enrolled.embeddings, "0" * 64)
    with pytest.raises(DeepSignError, match="another model"):
        verifier.compare(foreign, signature(1, 1))


def test_what_cannot_be_judged_says_why(verifier: Verifier) -> None:
    with pytest.raises(BlankPageError, match="questioned"):
        verifier.compare([signature(1)], Image.new("L", (200, 100), 255))
    with pytest.raises(DeepSignError, match="reference 2"):
        verifier.compare([signature(1), b"no image"], signature(1))
    with pytest.raises(DeepSignError, match="at least one"):
        verifier.compare([], signature(1))
    with pytest.raises(DeepSignError, match="no threshold 'strict'"):
        verifier.compare([signature(1)], signature(1), threshold="strict")


# -------------------------------------------------------------------------- what moved the score


def test_occlusion_map_is_the_change_that_erasing_ink_makes(verifier: Verifier) -> None:
    references, questioned = verifier.enrol([signature(1, 0)]), verifier.read(signature(2, 0))
    cells, canvases = occlude(questioned.canvas)
    row, column = cells[3]
    erased = verifier.score(references, verifier.embed(canvases[3:4]))[0]
    whole = verifier.score(references, verifier.embed(questioned.canvas[None]))[0]

    moved = verifier.occlusion_map(references, questioned)

    assert moved.shape == (8, 16)
    # On the calibration's line, not bounded: else nothing would move where the bound is reached.
    scale = verifier.scoring.operation(1).calibrations[verifier.scoring.opponent].scale
    assert moved[row, column] == pytest.approx(scale * (erased - whole), abs=1e-2)


def test_where_there_is_no_ink_nothing_moves(verifier: Verifier) -> None:
    canvas = np.zeros((32, 64), np.uint8)
    canvas[10:20, 4:12] = 255  # in the left quarter

    cells, canvases = occlude(canvas)

    assert cells[:, 1].max() <= 3
    assert all(without.sum() < canvas.sum() for without in canvases)


def test_distributions_have_the_measured_share_below_each_threshold(verifier: Verifier) -> None:
    drawn = verifier.scoring.distributions(1)
    curve = verifier.scoring.operation(1).curve
    middle = verifier.scoring.threshold("eer", 1)

    below = drawn["genuine"][drawn["score"] < middle].sum()

    assert drawn["genuine"].sum() == pytest.approx(1)
    assert below == pytest.approx(np.interp(middle, curve["threshold"], curve["fnmr"]), abs=0.08)


# --------------------------------------------------------------------------------- image quality


def _shaded() -> Image.Image:
    light = np.linspace(255, 150, 300)[None, :]
    return Image.fromarray((np.asarray(signature(1)) * light / 255).astype(np.uint8))


def _two() -> Image.Image:
    both = Image.new("L", (900, 120), 255)
    both.paste(signature(1), (0, 0))
    both.paste(signature(2), (600, 0))
    return both


def _run_out() -> Image.Image:
    image = signature(1)
    ImageDraw.Draw(image).line([(60, 40), (340, 70)], fill=0, width=5)
    return image


def _faint() -> Image.Image:
    """Ink that is a thirteenth darker than its paper, here more and there less, and grain."""
    rng = np.random.default_rng(0)
    inked = np.asarray(signature(1)) < 128
    grain = rng.normal(0, 6, inked.shape) * inked + rng.normal(0, 1, inked.shape)
    return Image.fromarray(np.clip(240 - 18 * inked + grain, 0, 255).astype(np.uint8))


def _dot() -> Image.Image:
    image = Image.new("L", (300, 120), 255)
    ImageDraw.Draw(image).line([(100, 60), (130, 55)], fill=0, width=5)
    return image


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (signature(1).resize((60, 24), Image.Resampling.LANCZOS), "too_small"),
        (_run_out(), "cut_off"),
        (_faint(), "faint"),
        (_dot(), "mere_mark"),
        (_two(), "several_signatures"),
        (_shaded(), "shaded_paper"),
    ],
)
def test_faults_are_named(image: Image.Image, code: str) -> None:
    assert code in [fault.code for fault in scan_faults.faults(np.asarray(image), 64, 128)]


def test_a_sound_scan_has_no_fault() -> None:
    for writer in range(20):
        assert scan_faults.faults(np.asarray(signature(writer)), 64, 128) == ()


def test_several_pages_are_named(verifier: Verifier, tmp_path: Path) -> None:
    signature(1).save(tmp_path / "two.tif", save_all=True, append_images=[signature(2)])
    warnings = verifier.compare([tmp_path / "two.tif"], signature(1, 1)).warnings
    assert [(w.image, w.code) for w in warnings] == [(str(tmp_path / "two.tif"), "several_pages")]


def test_real_scans_rarely_have_a_fault(real_data: Path) -> None:
    files = sorted((real_data / "bhsig260-bengali").glob("*/*.tif"))[::180]
    found = [
        bool(scan_faults.faults(np.asarray(Image.open(f).convert("L")), 64, 128)) for f in files
    ]
    assert np.mean(found) < 0.2


# ---------------------------------------------------------------------------------- model folder


def _cut(file: str):
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:-200])


def _edit(file: str, change):
    def damage(folder: Path) -> None:
        values = json.loads((folder / file).read_text())
        change(values)
        (folder / file).write_text(json.dumps(values))

    return damage


def _set(*path: str, value: object):
    def change(values: dict) -> None:
        for key in path[:-1]:
            values = values[key]
        values[path[-1]] = value

    return change


def _smuggle_code(folder: Path) -> None:
    image = keras.Input((32, 64, 1))
    lambda_ = keras.layers.Lambda(lambda x: x * 2)(keras.layers.GlobalAveragePooling2D()(image))
    keras.Model(image, lambda_).save(folder / "encoder.keras")


def _no_embedding(folder: Path) -> None:
    image = keras.Input((32, 64, 1))
    keras.Model(image, keras.layers.Flatten()(image)).save(folder / "encoder.keras")


def _not_a_number(folder: Path) -> None:
    encoder = models.load_encoder(folder / "encoder.keras")
    encoder.set_weights([weights * np.nan for weights in encoder.get_weights()])
    models.save_encoder(encoder, folder / "encoder.keras")


def _never_exported(damage):
    def damaged(folder: Path) -> None:
        (folder / "encoder.onnx").unlink()
        damage(folder)

    return damaged


CURVE = ("references", "1", "curve")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_never_exported(lambda folder: (folder / "encoder.keras").unlink()), "encoder.keras"),
        (lambda folder: (folder / "scoring.json").unlink(), "scoring.json"),
        (_never_exported(_cut("encoder.keras")), "encoder.keras"),
        (_never_exported(_smuggle_code), "encoder.keras"),
        (_never_exported(_no_embedding), "encoder.keras"),
        (_never_exported(_not_a_number), "encoder.keras"),
        (_not_a_number, "was not exported from the encoder.keras"),
        (_cut("encoder.onnx"), "encoder.onnx"),
        (_cut("scoring.json"), "scoring.json"),
        (_cut("preprocessing.json"), "preprocessing.json"),
        (lambda folder: (folder / "scoring.json").write_text("[1]"), "scoring.json"),
        (lambda folder: (folder / "scoring.json").write_bytes(b"\xff\xfe"), "scoring.json"),
        (_edit("preprocessing.json", _set("canvas_width", value=128)), "encoder.onnx"),
        (_edit("preprocessing.json", _set("fit", value="tight")), "preprocessing.json"),
        (_edit("scoring.json", _set("population", value="newest")), "scoring.json"),
        (_edit("scoring.json", _set("references", value={})), "scoring.json"),
        (_edit("scoring.json", _set("references", "1", "thresholds", value={})), "scoring.json"),
        (
            _edit("scoring.json", _set("references", "1", "thresholds", "eer", value=float("nan"))),
            "scoring.json",
        ),
        (_edit("scoring.json", _set(*CURVE, "fnmr", value=[7.0])), "scoring.json"),
        (
            _edit("scoring.json", lambda v: v["references"]["1"]["curve"]["threshold"].reverse()),
            "scoring.json",
        ),
        (
            _edit(
                "scoring.json",
                _set("references", "1", "calibrations", "skilled", "scale", value=-3),
            ),
            "scoring.json",
        ),
    ],
)
def test_a_damaged_model_folder_is_refused_by_name(damage, named: str, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "model")
    damage(folder)
    seal(folder)  # as one would who does not know better
    with pytest.raises(DeepSignError, match=named):
        Verifier.load(folder)


def _flip_a_byte(file: str):
    def damage(folder: Path) -> None:
        content = bytearray((folder / file).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / file).write_bytes(content)

    return damage


def _of_another_study(file: str):
    def damage(folder: Path) -> None:
        if file == "encoder.keras":
            models.save_encoder(
                models.build_encoder("lightweight_encoder", 32, 64, 2), folder / file
            )
        else:  # the same form, other numbers
            _edit("scoring.json", _set("measured_on", value=[{"dataset": "other", "writers": 9}]))(
                folder
            )

    return damage


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        *((_flip_a_byte(file), file) for file in (*MODEL_FILES, "encoder.onnx")),
        (lambda folder: (folder / "golden_vectors.json").write_text(""), "golden_vectors.json"),
        (_of_another_study("encoder.keras"), "encoder.keras is not the file"),
        (_of_another_study("scoring.json"), "scoring.json is not the file"),
        (_edit("preprocessing.json", _set("fit", value="fill")), "preprocessing.json is not the"),
        (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda folder: (folder / "SHA256SUMS").write_text(""), "does not vouch for preprocessing"),
        (lambda folder: (folder / "SHA256SUMS").write_text("x"), "SHA256SUMS is damaged"),
        (lambda folder: (folder / "SHA256SUMS").write_bytes(b"\xff"), "SHA256SUMS is damaged"),
        (lambda folder: _also_sealed(folder, "card.md"), "card.md is missing"),
        (lambda folder: _also_sealed(folder, "../secret"), "does not vouch for ../secret"),
    ],
)
def test_files_that_were_not_sealed_together_are_refused_by_name(
    damage, named: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "model")
    damage(folder)
    with pytest.raises(DeepSignError, match=re.escape(named)):
        Verifier.load(folder)


def _also_sealed(folder: Path, name: str) -> None:
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")


def test_where_no_model_is_named_the_shipped_one_judges() -> None:
    assert Verifier.load().identity == Verifier.load(PRETRAINED).identity


def test_the_seal_is_what_sha256sum_checks(tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "model")
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    checked = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == len(
        {*MODEL_FILES, "encoder.onnx", "golden_vectors.json"}
    )


def test_identity_is_of_encoder_and_preprocessing(verifier: Verifier, tmp_path: Path) -> None:
    same = shutil.copytree(model_folder(), tmp_path / "same")
    _edit("scoring.json", _set("measured_on", value=[{"dataset": "other", "writers": 9}]))(same)
    other = shutil.copytree(model_folder(), tmp_path / "other")
    _edit("preprocessing.json", _set("fit", value="fill"))(other)
    for folder in (same, other):
        seal(folder)

    assert Verifier.load(same).identity == verifier.identity
    assert Verifier.load(other).identity != verifier.identity


def test_what_was_exported_is_all_that_a_verifier_needs(verifier: Verifier, tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    export.export_model(model_folder(), folder)

    exported = Verifier.load(folder)

    assert not (folder / "encoder.keras").exists()
    assert exported.identity == verifier.identity  # so that enrolments stay valid
    enrolled = exported.enrol([signature(1)])
    assert verifier.compare(enrolled, signature(2)).score == pytest.approx(
        exported.compare(enrolled, signature(2)).score
    )


def test_a_folder_that_was_not_exported_is_run_by_keras_and_says_how_to_export_it(
    verifier: Verifier, tmp_path: Path, capsys
) -> None:
    folder = shutil.copytree(model_folder(), tmp_path / "model")
    (folder / "encoder.onnx").unlink()
    seal(folder)
    canvases = np.stack([verifier.read(signature(n)).canvas for n in range(9)])

    slow = Verifier.load(folder)

    assert f"deepsign export {folder}" in capsys.readouterr().err
    assert slow.identity == verifier.identity
    assert np.allclose(slow.embed(canvases), verifier.embed(canvases), atol=1e-5)


# ---------------------------------------------------------------------------------- command line


def run(*arguments: object) -> int:
    """A command on the tiny model."""
    return main([*map(str, arguments), "--model", str(model_folder())])


def test_verify_answers_by_its_exit_status(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    references = [images / f"g{n}.png" for n in range(3)]
    signature(2, 0).save(tmp_path / "stranger.png")

    assert run("verify", *references, "--questioned", images / "g3.png") == 0
    assert "Accepted" in capsys.readouterr().out
    assert run("verify", *references, "--questioned", tmp_path / "stranger.png") == 1
    assert "Rejected" in capsys.readouterr().out
    assert run("verify", *references, "--questioned", images / "blank.png") == 2
    assert "blank.png" in capsys.readouterr().err


def test_verify_prints_json(images: Path, capsys: pytest.CaptureFixture) -> None:
    run("verify", images / "g0.png", "--questioned", images / "g1.png", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert answer["decision"] in ("accepted", "rejected")
    assert set(answer["expected_errors"]["fnmr"]) == {"value", "low", "high"}


@pytest.mark.parametrize("options", [(), ("--threshold", "fmr=2"), ("--box", "1,2")])
def test_verify_prints_json_where_it_cannot_judge(options, images: Path, capsys) -> None:
    questioned = images / ("g1.png" if options else "blank.png")

    assert run("verify", images / "g0.png", "--questioned", questioned, "--json", *options) == 2

    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert answer["decision"] is None
    assert answer["reason"] in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere.png", "--questioned", "nowhere.png"),
        ("{images}/g0.png", "--questioned", "{images}/text.png"),
        ("{images}/g0.png", "--questioned", "{images}"),
        ("{images}/g0.png", "--questioned", "{images}/g1.png", "--threshold", "fmr=2"),
        ("{images}/g0.png", "--questioned", "{images}/g1.png", "--model", "/nowhere"),
        ("{images}/g0.png", "--questioned", "a\0b"),
    ],
)
def test_what_cannot_be_judged_is_2(arguments, images: Path, capsys) -> None:
    given = [argument.format(images=images) for argument in arguments]
    model = [] if "--model" in given else ["--model", str(model_folder())]
    assert main(["verify", *given, *model]) == 2
    assert capsys.readouterr().err.strip()


def test_a_crash_is_no_rejection(images: Path) -> None:
    # Given too little memory to load a network, the process must not end with status 1.
    command = (
        "import resource, sys, deepsign_utils.verifying.verifier;"
        "from deepsign_utils.__main__ import main;"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 5_000_000,) * 2);"
        f"sys.exit(main(['verify', '{images}/g0.png', '--questioned', '{images}/g1.png',"
        f"'--model', '{model_folder()}']))"
    )
    ended = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True)
    assert ended.returncode not in (0, 1)


def test_embed_writes_paths_and_embeddings(verifier, images: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "embeddings.npz"

    assert run("embed", images, "--output", output) == 0

    kept = np.load(output, allow_pickle=False)
    files = [images / name for name in ("f.png", "g0.png", "g1.png", "g2.png", "g3.png")]
    assert kept["path"].tolist() == [str(file) for file in files]
    assert kept["embedding"].dtype == np.float32
    expected = verifier.enrol(files).embeddings
    np.testing.assert_allclose(kept["embedding"], expected, atol=1e-5)
    errors = capsys.readouterr().err
    assert "blank.png" in errors
    assert "text.png" in errors


def test_compare_judges_a_table_as_verify_does(verifier, images: Path, tmp_path: Path) -> None:
    table = images / "pairs.csv"
    table.write_text("left,right,note\ng0.png,g1.png,é\ng0.png,f.png,\ng0.png,blank.png,x\n")
    output = tmp_path / "judged.csv"

    assert run("compare", table, "--output", output) == 0

    judged = pd.read_csv(output, keep_default_na=False)
    assert list(judged) == [
        *("left", "right", "note", "score", "decision", "reason", "where", "warnings")
    ]
    for row in judged[:2].itertuples():
        expected = verifier.compare([images / row.left], images / row.right)
        assert float(row.score) == pytest.approx(expected.score, abs=1e-5)
        assert row.decision == expected.decision
    assert (judged["score"][2], judged["decision"][2]) == ("", "")
    assert "blank" in judged["reason"][2]


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", "left,right,score\n", 'left,right\n"x', "left,right\n\xff\n"]
)
def test_compare_refuses_what_is_no_table_of_pairs(content: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "pairs.csv").write_bytes(content.encode("latin-1"))
    assert run("compare", tmp_path / "pairs.csv", "--output", tmp_path / "out.csv") == 1
    assert "pairs.csv" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_a_table_of_which_no_pair_can_be_judged_is_no_success(
    images: Path, tmp_path: Path, capsys
) -> None:
    table, output = images / "hopeless.csv", tmp_path / "judged.csv"
    table.write_text("left,right\nblank.png,g0.png\ngone.png,g1.png\n")

    assert run("compare", table, "--output", output) == 1

    assert "No pair could be judged" in capsys.readouterr().err
    assert pd.read_csv(output)["reason"].notna().all()


@pytest.mark.parametrize("command", ["compare", "embed"])
def test_an_output_overwrites_no_input(command: str, images: Path, capsys) -> None:
    table = images / "own.csv"
    table.write_text("left,right\ng0.png,g1.png\n")
    given = [table] if command == "compare" else [images / "g0.png"]
    for target in (images / "g0.png", *given):
        before = target.read_bytes()
        assert run(command, *given, "--output", target) == 1
        assert "is an input" in capsys.readouterr().err
        assert target.read_bytes() == before


def test_an_output_that_cannot_be_written_is_told_before_the_work(images: Path, capsys) -> None:
    beside = images / "g0.png" / "judged.csv"  # below a file
    table = images / "own.csv"
    table.write_text("left,right\ng0.png,g1.png\n")
    for target, said in ((beside, "cannot be written"), (images, "is a folder")):
        assert run("compare", table, "--output", target) == 1
        captured = capsys.readouterr()
        assert said in captured.err
        assert "embedding" not in captured.err  # no progress bar: nothing was begun


def test_audit_finds_the_shade_of_the_forged_paper(tmp_path: Path, capsys) -> None:
    for writer in range(8):
        for forged in (False, True):
            folder = tmp_path / (f"{writer:03}_forg" if forged else f"{writer:03}")
            folder.mkdir()
            for specimen in range(4):
                levels = np.asarray(signature(writer, specimen + 10 * forged))
                paper = levels - np.uint8(25 * forged) * (levels > 200)
                Image.fromarray(paper.astype(np.uint8)).save(folder / f"{specimen}.png")

    assert main(["audit", str(tmp_path)]) == 0

    said = capsys.readouterr().out
    assert re.search(r"^raw files +background .* flagged$", said, re.M)
    assert re.search(r"^cleaned canvas +background +- +- +the same in all images$", said, re.M)


def test_importing_the_command_line_imports_no_network() -> None:
    code = "import sys, deepsign_utils.__main__; assert not {'keras', 'fastapi'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
