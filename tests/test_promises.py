"""What a verdict promises, kept: for every number of references, on every way to ask.

The shipped model judges writers whom it never saw: synthetic ones here, and the public sets of real
signatures where they are at hand.
"""

import io
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from serving import Service, serving

from deepsign_utils import DeepSignError, metrics, pairing, scoring, synthetic
from deepsign_utils.__main__ import main
from deepsign_utils.capture import form
from deepsign_utils.datasets import find_layout
from deepsign_utils.preprocessing import density
from deepsign_utils.runs.misfit import by_pen, turned
from deepsign_utils.scoring import Scoring
from deepsign_utils.study import PRETRAINED, digest
from deepsign_utils.synthetic import draw_writer
from deepsign_utils.verifying import calibration
from deepsign_utils.verifying.calibration import People
from deepsign_utils.verifying.references import References
from deepsign_utils.verifying.verifier import Verifier

SHARED = Path(__file__).resolve().parents[2] / "shared"
CASES = SHARED / "cases"
REAL = {
    "BHSig260 Bengali": "bhsig260-bengali",
    "CEDAR": "cedar-half",
    "ICDAR 2011 Dutch": "icdar2011-dutch-half",
}
EVERY = range(1, 21)
WRITERS, GENUINE, FORGERIES = 24, 23, 6


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load()


@pytest.fixture(scope="module")
def drawn(verifier: Verifier) -> People:
    """Writers whom no training has seen, read and embedded as the verifier does."""
    rows, canvases = [], []
    for writer in range(WRITERS):
        hand = draw_writer(2026, writer, GENUINE, FORGERIES)
        for kind, images in (("genuine", hand.genuine), ("forgery", hand.forgeries)):
            for image in images:
                rows.append((len(rows), str(writer), kind))
                canvases.append(verifier.read(image).canvas)
    table = pd.DataFrame(rows, columns=["signature_id", "writer", "kind"])
    dense = np.array([density(canvas) for canvas in canvases])
    return People("drawn", table, verifier.embed(np.stack(canvases)), dense, {})


def rates(people: People, chosen: Scoring, counts=EVERY) -> pd.DataFrame:
    """Measured errors at the threshold "eer", beside what was promised, by number of references."""
    rng = np.random.default_rng(0)
    ids = people.signatures["signature_id"].to_numpy()
    tables = scoring.score_tables(
        people.embeddings,
        ids,
        pairing.draw_pairs(people.signatures, rng),
        pairing.draw_trials(people.signatures, list(counts), rng),
        chosen.population,
    )
    rows = []
    for k, table in tables.items():
        score = {kind: part["score"] for kind, part in table.groupby("kind")}
        rule = chosen.rule("eer", k)
        promised = chosen.expected_errors(rule, k)
        rows.append(
            {
                "references": k,
                "fnmr": metrics.fnmr(score["genuine"], rule.reject_below),
                "skilled": metrics.fmr(score["skilled"], rule.accept_from),
                "random": metrics.fmr(score["random"], rule.accept_from),
                "promised": {"fnmr": promised["fnmr"], **promised["fmr"]},
            }
        )
    return pd.DataFrame(rows).set_index("references")


def kept(found: pd.DataFrame, kind: str, slack: float = 0.0) -> pd.Series:
    """Whether what was measured lies in the interval that was promised."""
    return pd.Series(
        {
            k: row["promised"][kind]["low"] - slack
            <= row[kind]
            <= row["promised"][kind]["high"] + slack
            for k, row in found.iterrows()
        }
    )


class TestEveryNumberOfReferences:
    @pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases here")
    @pytest.mark.parametrize("k", range(1, 6))
    def test_they_know_their_writer_and_no_stranger(self, verifier, k):
        *references, own = sorted((CASES / "two_references").glob("0001_*.png"))
        stranger = CASES / "two_references" / "0002_01.png"
        assert verifier.compare(references[:k], own).decision == "accepted"
        assert verifier.compare(references[:k], stranger).decision == "rejected"
        # the first of them as light ink on dark paper, against others
        light = verifier.compare([own, *references[1:k]], CASES / "polarity" / "light_on_dark.png")
        assert light.decision == "accepted"
        assert [warning.code for warning in light.warnings] == ["inverted"]

    def test_the_shipped_model_accepts_no_strangers_and_few_forgeries(self, verifier, drawn):
        found = rates(drawn, verifier.scoring)

        assert list(found.index) == list(EVERY)
        assert (found["random"] <= 0.005).all()
        assert (found["skilled"] <= 0.25).all()
        assert kept(found, "fnmr").all()

    def test_more_references_accept_no_more_forgeries(self, verifier, drawn):
        found = rates(drawn, verifier.scoring)

        # Draws of references scatter by about a point.
        assert (found["skilled"] <= found["skilled"].cummin() + 0.015).all()
        assert found["skilled"][20] < found["skilled"][1]

    def test_a_stranger_beside_one_reference_lets_no_more_forgeries_pass(self, verifier, drawn):
        # Given two references by two people, who cannot be told apart from one varied writer
        table, rng = drawn.signatures, np.random.default_rng(3)
        genuine = table[table["kind"] == "genuine"].groupby("writer")["signature_id"]
        own, other = genuine.nth(0).to_numpy(), genuine.nth(0).to_numpy()[rng.permutation(WRITERS)]
        forged = table[table["kind"] == "forgery"].groupby("writer")["signature_id"]
        questioned = np.stack([forged.nth(n).to_numpy() for n in range(FORGERIES)], axis=1)

        def accepted(references: np.ndarray) -> float:
            rows = np.repeat(references, FORGERIES, axis=0)
            _, score = scoring.score_against(
                drawn.embeddings, rows, questioned.ravel(), verifier.scoring.population
            )
            threshold = verifier.scoring.threshold("eer", references.shape[1])
            return float((score >= threshold).mean())

        mixed = np.stack([own, other], axis=1)[own != other]
        questioned = questioned[own != other]
        assert accepted(mixed) <= accepted(own[own != other, None])

    def test_a_model_calibrated_on_a_few_people_keeps_its_promise_to_others(self, verifier, drawn):
        # Given twenty other writers, of each of whom there are genuine signatures alone.
        rows, canvases = [], []
        for writer in range(100, 120):
            for image in draw_writer(2026, writer, 12, 1).genuine:
                rows.append((len(rows), str(writer), "genuine"))
                canvases.append(verifier.read(image).canvas)
        table = pd.DataFrame(rows, columns=["signature_id", "writer", "kind"])
        table["path"] = table["sha256"] = table["signature_id"].map(str)
        dense = np.array([density(canvas) for canvas in canvases])
        people = People("ours", table, verifier.embed(np.stack(canvases)), dense, {})

        chosen = calibration.calibrate(verifier.scoring, people, np.random.default_rng(0), 300)

        found = rates(drawn, chosen)
        assert max(chosen.operations) == 10
        assert kept(found, "fnmr", slack=0.03).all()
        assert kept(found, "skilled", slack=0.01).all()
        assert (found["random"] <= 0.005).all()
        assert found["fnmr"][1] < rates(drawn, verifier.scoring, [1])["fnmr"][1]

    @pytest.mark.parametrize("name", REAL)
    def test_real_writers_are_judged_as_promised(self, verifier, name):
        folder = SHARED / "data" / REAL[name]
        if not folder.is_dir():
            pytest.skip("the real signatures are not at hand")
        files = [file for file in find_layout(folder).files if file.kind]
        some = sorted({file.writer for file in files})[:12]
        rows = [
            (file.path, file.writer, file.kind, digest(folder / file.path))
            for file in files
            if file.writer in some
        ]
        signatures = pd.DataFrame(rows, columns=["path", "writer", "kind", "sha256"])
        signatures = signatures.drop_duplicates("sha256", ignore_index=True)
        signatures["signature_id"] = signatures.index
        embeddings, problems = verifier.embed_files([folder / path for path in signatures["path"]])
        assert not problems
        found = rates(
            People(name, signatures, embeddings, np.ones(len(signatures)), {}), verifier.scoring
        )

        for kind in ("fnmr", "skilled", "random"):
            assert kept(found, kind, slack=0.005).all()


def answers(service: Service, references: list[Path], questioned: Path) -> list[dict]:
    """What the service says: of references sent along, and of an enrolled writer's."""
    upload = [("references", (file.name, file.read_bytes())) for file in references]
    asked = ("questioned", (questioned.name, questioned.read_bytes()))
    service.client.delete("/writers/w")
    assert service.client.post("/writers/w/references", files=upload).status_code == 201
    return [
        service.client.post("/verify", files=[*upload, asked]).json(),
        service.client.post("/writers/w/verify", files=[asked]).json(),
    ]


class TestEveryWayToAsk:
    """One answer for the same images, however it is asked: the case of two to four references."""

    @pytest.fixture(scope="class")
    def images(self, tmp_path_factory) -> dict[str, list[Path]]:
        folder = tmp_path_factory.mktemp("asked")
        files: dict[str, list[Path]] = {"references": [], "stranger": []}
        own, other = (draw_writer(7, writer, 8, 1) for writer in (0, 1))
        for name, images in (("references", own.genuine), ("stranger", other.genuine[:1])):
            for number, image in enumerate(images):
                files[name].append(folder / f"{name}_{number}.png")
                Image.fromarray(image).save(files[name][-1])
        # A genuine signature on a page that lay askew, refused as it stands.
        files["askew"] = [folder / "askew.png"]
        Image.fromarray(turned(own.genuine[-1], -12)).save(files["askew"][0])
        files["marker"] = [folder / "marker.png"]
        Image.fromarray(by_pen(own.genuine[5], "1.2 mm")).save(files["marker"][0])
        files["upside down"] = [folder / "upside_down.png"]
        Image.fromarray(np.rot90(own.genuine[1], 2)).save(files["upside down"][0])
        return files

    @pytest.fixture(scope="class")
    def service(self, tmp_path_factory):
        store = tmp_path_factory.mktemp("store") / "store.db"
        with serving(store, model=PRETRAINED) as running:
            yield running

    def test_an_enrolment_of_two_people_refers_whatever_it_is_asked(self, images, service):
        for file in (images["references"][0], images["stranger"][0]):
            upload = [("references", (file.name, file.read_bytes()))]
            added = service.client.post("/writers/mixed/references", files=upload)
            assert added.status_code == 201
        assert "two_hands" in {one["code"] for one in added.json()["warnings"]}

        for file in (images["references"][1], images["stranger"][0]):
            asked = [("questioned", (file.name, file.read_bytes()))]
            answer = service.client.post("/writers/mixed/verify", files=asked).json()
            assert answer["decision"] == "referred"
            assert answer["llr"] is None

    def test_what_a_seal_lies_across_is_not_enrolled(self, images, service):
        gray = np.asarray(Image.open(images["references"][0]).convert("L"))
        sealed = Image.fromarray(form.seal(gray, np.random.default_rng(0), 0.9, 300))
        content = io.BytesIO()
        sealed.save(content, "PNG")

        upload = [("references", ("sealed.png", content.getvalue()))]
        answer = service.client.post("/writers/sealed/references", files=upload)

        assert answer.status_code == 422
        assert "stamp or seal" in answer.text
        assert service.client.get("/writers/sealed").status_code == 404

    @pytest.mark.parametrize("k", [1, 2, 3, 4, 6])
    def test_python_command_line_service_and_enrolment_agree(self, verifier, images, service, k):
        references = images["references"][:k]
        for questioned, must_be in (
            (images["references"][-1], {"accepted"} if k > 2 else {"accepted", "rejected"}),
            (images["stranger"][0], {"rejected"}),
        ):
            comparison = verifier.compare(references, questioned)
            expected = comparison.decision
            assert expected in must_be

            status = main(["verify", *map(str, references), "--questioned", str(questioned)])
            assert status == {"accepted": 0, "rejected": 1}[expected]

            for answer in answers(service, references, questioned):
                assert answer["decision"] == expected
                assert answer["score"] == pytest.approx(comparison.score, abs=1e-5)

    def test_a_copy_of_a_reference_is_an_alarm_on_every_way(
        self, verifier, images, service, tmp_path, capsys
    ):
        # Given a reference scanned again: turned, reduced, compressed.
        sheet = Image.open(images["references"][1]).convert("L")
        sheet = sheet.rotate(
            2, Image.Resampling.BICUBIC, expand=True, fillcolor=sheet.getpixel((0, 0))
        )
        again = tmp_path / "again.jpg"
        sheet.resize([round(0.8 * side) for side in sheet.size]).save(again, quality=60)
        references = images["references"][:3]

        assert verifier.compare(references, again).copy_of.reference.endswith(references[1].name)
        assert main(["verify", *map(str, references), "--questioned", str(again)]) == 3
        assert "copy" in capsys.readouterr().out.splitlines()[0]
        for answer in answers(service, references, again):
            assert answer["decision"] == "referred"
            assert answer["copy_of"]
            assert "copy" in answer["words"][0]

    @pytest.mark.parametrize("k", [1, 3])
    @pytest.mark.parametrize(
        ("name", "code", "said"),
        [("askew", "askew", "leans against"), ("upside down", "not_upright", "lies upside down")],
    )
    def test_what_upright_would_be_accepted_is_referred_on_every_way(
        self, verifier, images, service, capsys, k, name, code, said
    ):
        references, file = images["references"][:k], images[name][0]

        found = verifier.compare(references, file)
        assert found.decision == "referred"
        assert found.score < found.rule.accept_from
        assert code in {one.code for one in found.warnings}
        assert found.has_evidence == (code == "askew")  # it holds if the page lay straight
        assert main(["verify", *map(str, references), "--questioned", str(file)]) == 3
        assert said in capsys.readouterr().out.splitlines()[0]
        for answer in answers(service, references, file):
            assert answer["decision"] == "referred"
            assert (answer["llr"] is not None) == found.has_evidence
            assert said in answer["words"][0]

    @pytest.mark.parametrize("k", [1, 3])
    def test_another_pen_is_told_on_every_way(self, verifier, images, service, capsys, k):
        references, file = images["references"][:k], images["marker"][0]

        found = verifier.compare(references, file)
        assert found.decision == "rejected"
        assert [one.code for one in found.warnings] == ["another_pen"]
        assert main(["verify", *map(str, references), "--questioned", str(file)]) == 1
        assert found.warnings[0].message in capsys.readouterr().out
        for answer in answers(service, references, file):
            assert answer["decision"] == "rejected"
            assert [one["code"] for one in answer["warnings"]] == ["another_pen"]

    @pytest.mark.parametrize("k", [1, 3])
    def test_a_line_lost_on_one_side_is_told_on_every_way(
        self, verifier, images, service, capsys, tmp_path, k
    ):
        # given references whose underline was taken for a printed line
        references = []
        for number, file in enumerate(images["references"][:k]):
            sheet = np.pad(np.asarray(Image.open(file).convert("L")), 40, mode="edge")
            sheet[-30:-27] = 40
            references.append(tmp_path / f"{number}.png")
            Image.fromarray(sheet).save(references[-1])
        file = images["stranger"][0]

        found = verifier.compare(references, file)
        assert found.decision == "rejected"
        *faults, told = (one.code for one in found.warnings)
        assert told == "line_on_one_side"
        assert faults.count("ruled_line_removed") > k / 2
        assert main(["verify", *map(str, references), "--questioned", str(file)]) == 1
        assert "A line was taken away from the references" in capsys.readouterr().out
        for answer in answers(service, references, file):
            assert answer["warnings"][-1]["code"] == "line_on_one_side"
        # where both sides lost one, and where the signature is accepted, there is nothing to tell
        for known, other in (
            (references, references[0]),
            (images["references"][:k], references[0]),
        ):
            codes = [one.code for one in verifier.compare(known, other).warnings]
            assert "line_on_one_side" not in codes
        table = tmp_path / "pairs.csv"
        table.write_text(f"left,right\n{references[0]},{file}\n")
        assert main(["compare", str(table), "--output", str(tmp_path / "judged.csv")]) == 0
        assert "A line was taken away from the reference" in (tmp_path / "judged.csv").read_text()

    def test_the_service_gives_a_case_file_that_needs_nothing_else(self, images, service):
        files = [("references", (f.name, f.read_bytes())) for f in images["references"][:2]]
        files.append(("questioned", ("q.png", images["stranger"][0].read_bytes())))

        answer = service.client.post("/verify", files=files, params={"report": True}).json()

        assert "Examiner" in answer["report"]
        assert not re.search(r"(src|href)=\"(?!data:)", answer["report"])

    def test_kept_references_give_the_same_answer(self, verifier, images, tmp_path):
        verifier.enrol(images["references"][:4]).save(tmp_path / "w.npz")
        enrolled = References.load(tmp_path / "w.npz")

        found = verifier.compare(enrolled, images["stranger"][0])

        assert found.decision == "rejected"
        assert (
            found.score == verifier.compare(images["references"][:4], images["stranger"][0]).score
        )

    @pytest.mark.parametrize("threshold", ["eer", "fmr=0.05,fnmr=0.05"])
    def test_a_table_of_pairs_judges_each_pair_as_verify_does(
        self, verifier, images, tmp_path, threshold
    ):
        table, output = tmp_path / "pairs.csv", tmp_path / "judged.csv"
        asked = ("references", "stranger", "askew", "upside down", "marker")
        rights = [images[name][-1] for name in asked]
        pd.DataFrame({"left": images["references"][0], "right": rights}).to_csv(table, index=False)

        main(["compare", str(table), "--output", str(output), "--threshold", threshold])

        judged = pd.read_csv(output, keep_default_na=False)
        for row, questioned in zip(judged.itertuples(), rights, strict=True):
            expected = verifier.compare(images["references"][:1], questioned, threshold)
            assert row.decision == expected.decision
            assert row.score == pytest.approx(expected.score, abs=1e-5)
            for told in expected.warnings:
                assert told.message in row.warnings
        if threshold == "eer":
            assert "leans against the reference" in judged["reason"][2]
            assert "not upright" in judged["reason"][3]
            assert "times as thick as" in judged["warnings"][4]

    def test_exit_status_tells_the_third_answer(self, images):
        # Given an error that no score can be sure to stay below: nearly all go to a person.
        strict = "fmr=0.001,fnmr=0.001"
        found = subprocess.run(
            [
                sys.executable,
                "-m",
                "deepsign_utils",
                "verify",
                str(images["references"][0]),
                "--questioned",
                str(images["references"][1]),
                "--threshold",
                strict,
            ],
            capture_output=True,
            text=True,
        )

        assert found.returncode == 3, found.stderr
        assert found.stdout.startswith("Referred to a person")


def _with_a_stranger() -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Three signatures of each of ten writers, and one of the next."""
    drawn = [draw_writer(12, writer, 3, 0).genuine for writer in range(11)]
    return [(own, other[0]) for own, other in pairwise(drawn)]


class TestCalibrateCommand:
    def test_writes_a_sealed_model_and_says_what_moved(self, tmp_path, capsys):
        people = tmp_path / "people"
        for writer in range(6):
            (people / str(writer)).mkdir(parents=True)
            # One person has one more than all others, and one image is none.
            count = 5 if writer == 0 else 4
            for number, image in enumerate(draw_writer(11, writer, count, 1).genuine):
                Image.fromarray(image).save(people / str(writer) / f"{number}.png")
        Image.new("L", (300, 100), 255).save(people / "1" / "blank.png")

        assert main(["calibrate", str(people), "--output", str(tmp_path / "mine")]) == 0

        said, complained = capsys.readouterr()
        assert "25 images of 6 writers, 1 left out" in said
        assert "Left out: 1/blank.png" in complained
        assert "6 writers are few" in said
        assert "inferred from" in said
        mine, shipped = Verifier.load(tmp_path / "mine"), Verifier.load()
        assert mine.identity == shipped.identity  # enrolled references stay good
        assert sorted(mine.scoring.operations) == [1, 2, 3]
        words = mine.compare([next((people / "0").glob("*.png"))] * 1, people / "1" / "0.png")
        # Nobody forged these people's signatures: what is inferred is not counted as theirs.
        assert set(words.pairs) == {"genuine", "random"}
        assert "6 calibration writers of 'people'" in words.in_words()[-1]
        assert "inferred from BHSig260 Bengali" in words.in_words()[-1]
        # A card's own people come first, once, however often a model is calibrated.
        again = tmp_path / "again"
        given = [str(people), "--model", str(tmp_path / "mine"), "--output", str(again)]
        assert main(["calibrate", *given]) == 0
        card = (again / "card.md").read_text(encoding="utf-8")
        assert card.count("- people: 6 writers") == card.count("What is promised") == 1
        assert card.index("What is promised") < card.index("## How well it does")
        # How low a rate may be asked for depends on the number of references: it is said.
        assert "least fnmr=" in said
        assert "least fnmr=" in card
        with pytest.raises(DeepSignError, match="with 3 references: ask for fnmr=") as no:
            mine.scoring.rule("fnmr=0.0001", 3)
        least = str(no.value).split("fnmr=")[2].split()[0]
        assert mine.scoring.rule(f"fnmr={least}", 3)

    def test_a_few_untidy_people_leave_a_stranger_among_references_told(self, tmp_path, capsys):
        # Given few writers, one signature of whom is upside down, and some saved twice
        people = tmp_path / "people"
        for writer in range(6):
            (people / str(writer)).mkdir(parents=True)
            for number, image in enumerate(draw_writer(11, writer, 5, 1).genuine):
                Image.fromarray(image).save(people / str(writer) / f"{number}.png")
        turned = people / "2" / "0.png"
        Image.open(turned).rotate(180).save(turned)
        for number in range(4):
            image = Image.open(people / "3" / f"{number}.png").convert("L")
            larger = image.resize((image.width * 13 // 10, image.height * 13 // 10))
            larger.save(people / "3" / f"{number}_again.jpg", quality=85)

        assert main(["calibrate", str(people), "--output", str(tmp_path / "mine")]) == 0

        # then they are told, and what is saved twice counts once
        said, complained = capsys.readouterr()
        assert "Unlike their writer's other signatures, and measured all the same: 2/0.png" in said
        assert complained.count(pairing.NEAR_COPY) >= 3
        # and the model names a stranger among references as the shipped one does.
        told = {}
        for name, model in (("mine", tmp_path / "mine"), ("shipped", PRETRAINED)):
            verifier = Verifier.load(model)
            named = [
                [warning.code for warning in verifier.enrol([*own, other]).warnings]
                for own, other in _with_a_stranger()
            ]
            told[name] = sum("odd_reference" in codes for codes in named)
        assert told["mine"] >= told["shipped"] - 1 >= 8

    def test_what_is_filed_under_several_people_is_no_ones(self, tmp_path, capsys):
        # Given one person's signature saved again under another's name, and copied under a third's
        people = tmp_path / "people"
        for writer in range(6):
            (people / str(writer)).mkdir(parents=True)
            for number, image in enumerate(draw_writer(11, writer, 4, 1).genuine):
                Image.fromarray(image).save(people / str(writer) / f"{number}.png")
        assert main(["calibrate", str(people), "--output", str(tmp_path / "clean")]) == 0
        first = people / "0" / "0.png"
        Image.open(first).save(people / "1" / "saved.jpg", quality=80)
        shutil.copy(first, people / "2" / "copied.png")
        capsys.readouterr()

        assert main(["calibrate", str(people), "--output", str(tmp_path / "mine")]) == 0

        complained = capsys.readouterr().err
        for name in ("0/0.png", "1/saved.jpg", "2/copied.png"):
            assert f"Left out: {name}: " in complained
        mine, clean = (Verifier.load(tmp_path / name).scoring for name in ("mine", "clean"))
        assert mine.threshold("eer", 1) == pytest.approx(clean.threshold("eer", 1), abs=0.01)

    def test_too_few_people_are_refused(self, tmp_path, capsys):
        for writer in range(3):
            (tmp_path / "few" / str(writer)).mkdir(parents=True)
            for number, image in enumerate(draw_writer(11, writer, 2, 1).genuine):
                Image.fromarray(image).save(tmp_path / "few" / str(writer) / f"{number}.png")

        assert main(["calibrate", str(tmp_path / "few"), "--output", str(tmp_path / "m")]) == 1

        assert "needs at least 5" in capsys.readouterr().err
        assert not (tmp_path / "m").exists()

    def test_a_folder_that_holds_something_is_not_written_into(self, tmp_path, capsys):
        (tmp_path / "scan.png").write_bytes(b"kept")

        assert main(["calibrate", str(tmp_path), "--output", str(tmp_path)]) == 1

        assert "is not empty" in capsys.readouterr().err
        assert [file.name for file in tmp_path.iterdir()] == ["scan.png"]

    def test_the_model_itself_is_not_overwritten(self, tmp_path, capsys):
        assert main(["calibrate", str(tmp_path), "--output", str(PRETRAINED)]) == 1

        assert "name another folder" in capsys.readouterr().err


class TestPromiseCommand:
    @pytest.fixture(scope="class")
    def sets(self, tmp_path_factory) -> dict[str, Path]:
        folder = tmp_path_factory.mktemp("sets")
        for name, writers in (("two", 2), ("six", 6)):
            synthetic.write_dataset(
                folder / name, writers=writers, genuine=5, forgeries=5, seed=5, progress=False
            )
        shutil.copytree(folder / "six", folder / "again")
        return {name: folder / name for name in ("two", "six", "again")}

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            (["six"], "needs at least two sets of people"),
            (["a=six", "a=again"], "Two sets are called 'a'"),
            (["six", "again"], "again and six hold the same images"),
            (["six", "two"], "two has too few to tell: 10 genuine and 10 forged images"),
        ],
    )
    def test_what_would_promise_too_much_is_refused(self, sets, given, told, tmp_path, capsys):
        named = [one.partition("=")[::2] for one in given]
        folders = [f"{name}={sets[folder or name]}" for name, folder in named]
        assert main(["promise", *folders, "--output", str(tmp_path / "model")]) == 1
        assert told in capsys.readouterr().err
        assert not (tmp_path / "model").exists()
