"""Enrolment looked at, and copies: in Python, on the command line, and as a case file."""

import functools
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.__main__ import main
from deepsign_utils.capture import form
from deepsign_utils.capture.paper import estimated_dpi
from deepsign_utils.study import PRETRAINED
from deepsign_utils.verifying.enrolment import first_copies
from deepsign_utils.verifying.references import References, Signature
from deepsign_utils.verifying.verifier import Verifier

WRITERS = 8


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load()


@pytest.fixture(scope="module")
def writers() -> list[list[np.ndarray]]:
    return [synthetic.draw_writer(3, index, 6, 0).genuine for index in range(WRITERS)]


@pytest.fixture(scope="module")
def enrol(verifier, writers) -> Callable[..., References]:
    """Enrols signatures of (writer, number), each read once; negative: number turned about."""

    @functools.cache
    def read(writer: int, number: int) -> tuple[Signature, np.ndarray]:
        gray = writers[writer][abs(number)]
        signature = verifier.read(np.rot90(gray, 2) if number < 0 else gray)
        return signature, verifier.embed(signature.canvas[None])[0]

    def enrolled(*which: tuple[int, int]) -> References:
        signatures, embeddings = zip(*(read(*one) for one in which), strict=True)
        named = [replace(one, name=f"reference {n}") for n, one in enumerate(signatures, 1)]
        return verifier.looked_at(named, np.stack(embeddings))

    return enrolled


def scanned_again(gray: np.ndarray) -> Image.Image:
    """Turned, reduced and compressed."""
    sheet = Image.fromarray(gray).rotate(
        2, Image.Resampling.BICUBIC, expand=True, fillcolor=int(gray.max())
    )
    content = io.BytesIO()
    sheet.resize([round(0.8 * side) for side in sheet.size]).save(content, "JPEG", quality=50)
    return Image.open(content)


def codes(references: References) -> dict[str, str]:
    return {remark.code: remark.image for remark in references.warnings}


# ---------------------------------------------------------------------------------------- copies


def test_a_copy_of_a_reference_is_an_alarm_and_is_never_accepted(verifier, writers) -> None:
    comparison = verifier.compare(writers[4][:3], scanned_again(writers[4][1]))

    assert comparison.decision == "referred"
    assert not comparison.accepted
    assert comparison.copy_of.reference == "reference 2"
    assert comparison.copy_of.scaled == pytest.approx(0.8, rel=0.05)
    verdict, evidence = comparison.in_words()
    assert "a copy of reference 2" in verdict
    assert "no likelihood ratio" in evidence
    assert json.loads(json.dumps(comparison.to_dict()))["copy_of"]["reference"] == "reference 2"


def test_another_signature_is_no_copy(verifier, writers) -> None:
    for own in writers[:4]:
        comparison = verifier.compare(own[:3], own[3])
        assert comparison.copy_of is None
        assert comparison.to_dict()["copy_of"] is None


def test_the_alarm_works_for_references_that_were_kept(verifier, writers, tmp_path: Path) -> None:
    verifier.enrol(writers[4][:3]).save(tmp_path / "anna.npz")
    kept = References.load(tmp_path / "anna.npz")

    assert verifier.compare(kept, writers[4][2]).copy_of.reference == "reference 3"
    assert verifier.compare(kept, writers[4][5]).copy_of is None


def test_references_kept_by_an_older_version_are_said_to_be_unchecked(
    verifier, writers, tmp_path: Path
) -> None:
    now = verifier.enrol(writers[4][:2])
    np.savez(tmp_path / "old.npz", embeddings=now.embeddings, model=now.model, warnings=[])

    comparison = verifier.compare(References.load(tmp_path / "old.npz"), writers[4][0])

    assert comparison.copy_of is None
    assert [remark.code for remark in comparison.warnings][-1] == "copy_not_checked"


def test_references_kept_without_their_pens_width_are_said_to_be_unchecked(
    verifier, writers, tmp_path: Path
) -> None:
    now = verifier.enrol(writers[4][:2])
    older = tuple(replace(trace, width=None) for trace in now.traces)
    replace(now, traces=older).save(tmp_path / "old.npz")

    comparison = verifier.compare(References.load(tmp_path / "old.npz"), writers[4][3])

    assert [remark.code for remark in comparison.warnings][-1] == "pen_not_checked"


def test_references_that_are_copies_of_one_another_count_once(verifier, writers) -> None:
    first, second, third = writers[4][:3]
    copies = [first, scanned_again(first), second, first, third]

    references = verifier.enrol(copies)
    comparison = verifier.compare(references, writers[4][5])

    assert len(references.embeddings) == comparison.references == 3
    assert references.names == ("reference 1", "reference 3", "reference 5")
    told = [r.image for r in references.warnings if r.code == "copy_of_a_reference"]
    assert told == ["reference 2", "reference 4"]
    alone = verifier.compare([first, second, third], writers[4][5])
    assert comparison.score == pytest.approx(alone.score, abs=1e-6)
    assert verifier.compare(copies, third).copy_of.reference == "reference 5"


def test_a_copy_is_of_the_first_of_its_kind() -> None:
    assert first_copies([None, None]) == [None, None]


# ---------------------------------------------------------------------------------- odd references


def test_a_wrong_person_among_five_is_named(enrol) -> None:
    named = 0
    for own, foreign in combinations(range(5), 2):
        references = enrol((own, 0), (own, 1), (foreign, 0), (own, 2), (own, 3))
        named += codes(references).get("odd_reference") == "reference 3"
    assert named >= 8  # of 10

    message = next(r.message for r in references.warnings if r.code == "odd_reference")
    assert re.search(r"makes what is seen [\d,.]+ times as probable", message)


def test_no_verdict_rests_on_a_reference_by_another_hand(enrol, verifier, writers) -> None:
    clean = enrol((0, 0), (0, 1), (0, 2), (0, 3))
    mixed = enrol((0, 0), (0, 1), (1, 0), (0, 2), (0, 3))
    assert codes(mixed).get("odd_reference") == "reference 3"

    for questioned in (writers[0][4], writers[0][5], writers[2][0]):
        one, other = (verifier.compare(references, questioned) for references in (clean, mixed))
        assert other.references == 4
        assert other.score == pytest.approx(one.score, abs=1e-6)
        assert other.decision == one.decision


def test_references_of_one_hand_are_left_in_peace(enrol) -> None:
    told = [codes(enrol(*((writer, n) for n in range(5)))) for writer in range(WRITERS)]
    assert sum("odd_reference" in one or "two_styles" in one for one in told) <= 1


def test_an_upside_down_reference_is_named(enrol) -> None:
    named = [
        codes(enrol((w, 0), (w, 1), (w, 2), (w, 3), (w, -4))).get("odd_reference")
        for w in range(WRITERS)
    ]
    assert named.count("reference 5") >= 0.6 * WRITERS


def test_two_styles_are_told_apart(enrol) -> None:
    references = enrol((4, 0), (4, 1), (4, 2), (7, 0), (7, 1))

    message = next(r.message for r in references.warnings if r.code == "two_styles")
    assert "reference 4 and reference 5" in message
    assert "odd_reference" not in codes(references)


def test_no_verdict_rests_on_references_of_two_writers(verifier, writers, enrol) -> None:
    for kept in (enrol((4, 0), (4, 1), (4, 2), (7, 0), (7, 1)), enrol((4, 0), (7, 0))):
        for questioned in (writers[4][5], writers[2][0]):
            comparison = verifier.compare(kept, questioned)
            assert comparison.decision == "referred"
            verdict, evidence = comparison.in_words()
            assert "look like two styles, or two writers'" in verdict
            assert "one writer's references" in evidence
            assert comparison.to_dict()["llr"] is None


# ------------------------------------------------------------------------------- what is an image


def test_colour_arrays_and_open_files_are_images(verifier, writers) -> None:
    gray, questioned = writers[4][0], writers[4][5]
    content = io.BytesIO()
    Image.fromarray(gray).save(content, "PNG")
    expected = verifier.compare([gray], questioned).score
    colour = np.repeat(gray[..., None], 3, axis=2)

    content.seek(0)
    for reference in (colour, [colour], content):
        assert verifier.compare(reference, questioned).score == pytest.approx(expected, abs=1e-6)
    assert verifier.compare(gray, np.repeat(questioned[..., None], 3, axis=2)).score == (
        pytest.approx(expected, abs=1e-6)
    )
    with pytest.raises(DeepSignError, match="'rb'"):
        verifier.compare(gray, io.StringIO("text"))


# -------------------------------------------------------------------------------- command, report


@pytest.fixture(scope="module")
def files(writers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for number, gray in enumerate(writers[4]):
        Image.fromarray(gray).save(folder / f"g{number}.png")
    scanned_again(writers[4][1]).convert("L").save(folder / "again.png")
    return folder


def test_verify_refers_a_copy_to_a_person(files: Path, capsys) -> None:
    references = [str(files / f"g{number}.png") for number in range(3)]

    assert main(["verify", *references, "--questioned", str(files / "again.png")]) == 3
    assert "a copy of" in capsys.readouterr().out


def test_two_references_by_two_people_are_told(enrol) -> None:
    told = [
        any(remark.code == "two_hands" for remark in enrol((one, 0), (other, 0)).warnings)
        for one, other in combinations(range(WRITERS), 2)
    ]
    own = [
        any(remark.code == "two_hands" for remark in enrol((one, 0), (one, 1)).warnings)
        for one in range(WRITERS)
    ]

    assert np.mean(told) > 0.8
    assert not any(own)


@pytest.mark.parametrize("output", ["g5.png", "g0.png"])
def test_a_case_file_never_overwrites_what_it_judges(files: Path, output: str, capsys) -> None:
    before = (files / output).read_bytes()

    command = ["verify", str(files / "g0.png"), "--questioned", str(files / "g5.png")]
    status = main([*command, "--report", str(files / output)])

    assert status == 2
    assert "is an input and would be overwritten" in capsys.readouterr().err
    assert (files / output).read_bytes() == before


def test_what_a_seal_lies_across_is_referred_to_a_person(
    verifier, files: Path, tmp_path: Path
) -> None:
    for number in (0, 5):
        gray = np.asarray(Image.open(files / f"g{number}.png").convert("L"))
        sealed = form.seal(gray, np.random.default_rng(0), 0.9, estimated_dpi(gray))
        Image.fromarray(sealed).save(files / f"sealed{number}.png")
    (files / "pairs.csv").write_text(
        "left,right\ng0.png,sealed5.png\nsealed0.png,g5.png\ng0.png,g5.png\n"
    )

    assert main(["compare", str(files / "pairs.csv"), "--output", str(tmp_path / "out.csv")]) == 0
    found = [
        verifier.compare([files / left], files / right)
        for left, right in (("g0.png", "sealed5.png"), ("sealed0.png", "g5.png"))
    ]

    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [",referred,a stamp or seal" in row for row in rows] == [True, True, False]
    for comparison in found:
        assert comparison.decision == "referred"
        assert comparison.to_dict()["llr"] is None
        assert "a stamp or seal lies across" in comparison.in_words()[0]


def test_a_reference_under_a_stamp_is_left_out_where_others_are_not(verifier, files: Path) -> None:
    gray = np.asarray(Image.open(files / "g0.png").convert("L"))
    sealed = form.seal(gray, np.random.default_rng(0), 0.9, estimated_dpi(gray))
    Image.fromarray(sealed).save(files / "sealed0.png")
    clear = [files / "g1.png", files / "g2.png"]

    found = verifier.compare([files / "sealed0.png", *clear], files / "g5.png")
    expected = verifier.compare(clear, files / "g5.png")

    assert (found.score, found.references, found.decision) == (
        expected.score,
        2,
        expected.decision,
    )
    (told,) = [one for one in found.warnings if one.code == "stamped_reference"]
    assert told.image == str(files / "sealed0.png")
    assert "under_a_stamp" not in [one.code for one in found.warnings]


def test_compare_marks_copies(files: Path, tmp_path: Path) -> None:
    (files / "pairs.csv").write_text("left,right\ng1.png,again.png\ng1.png,g2.png\ng0.png,g0.png\n")

    assert main(["compare", str(files / "pairs.csv"), "--output", str(tmp_path / "out.csv")]) == 0

    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert ["a copy of the reference" in row for row in rows] == [True, False, True]
    assert [",referred," in row for row in rows] == [True, False, True]


def test_verify_writes_a_case_file(files: Path, tmp_path: Path, capsys) -> None:
    references = [str(files / f"g{number}.png") for number in range(3)]
    report = tmp_path / "case.html"

    status = main(
        ["verify", *references, "--questioned", str(files / "g5.png"), "--report", str(report)]
    )

    page, said = report.read_text(), capsys.readouterr().out
    first = page
    assert status in (0, 1, 3)
    for part in ("Examiner", "What was asked", "presentation attack", "SHA-256", "--questioned"):
        assert part in page
    assert page.count("data:image/") == 3 + 2 * 3  # as given, cleaned, heat map; the references'
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert said.splitlines()[2].split(".")[0] in page
    for file in (files / "g5.png", PRETRAINED / "scoring.json"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() in page

    # A copy says nothing of who made it: no picture, score or threshold speaks either.
    asked = ["verify", *references, "--questioned", str(files / "g1.png"), "--report", str(report)]
    assert main(asked) == 3
    page = report.read_text()
    assert page.count("data:image/") == 2 + 2 * 3
    for part in ("spoke for", "Score", "Threshold"):
        assert part not in page
    assert ">Score<" in first
    for part in ("onnxruntime", "Python 3"):
        assert part in page
