"""What is no signature is not judged: print, codes, ticks, whole pages, on every path."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from serving import Service, serving, signature, upload

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.__main__ import main
from deepsign_utils.preprocessing import EDGE, plain
from deepsign_utils.runs import handwriting
from deepsign_utils.synthetic.not_signatures import KINDS
from deepsign_utils.synthetic.pages import compose
from deepsign_utils.verifying.scan_faults import Fault, faults
from deepsign_utils.verifying.verifier import Verifier

DRAWN = 10
MARKS = ("tick", "cross", "stroke", "dot")


def drawn(kind: str, number: int) -> np.ndarray:
    return KINDS[kind](np.random.default_rng([8, number]))


def found(image: np.ndarray) -> tuple[Fault, ...]:
    page = plain(image)
    return faults(page.gray, 128, 256, page.field > EDGE)


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files name.png, tick.png, page.png, and a.png, b.png of one writer."""
    folder = tmp_path_factory.mktemp("files")
    signed = synthetic.draw_writer(3, 4, 2, 0).genuine
    page = compose(5, 1, kind="letter", signed=True, script="latin", dpi=150).image
    images = {"name": drawn("typed name", 0), "tick": drawn("tick", 0), "page": page}
    for name, image in {**images, "a": signed[0], "b": signed[1]}.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


# ----------------------------------------------------------------------------------------- telling


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_signature_is_refused_or_warned_of(verifier: Verifier, kind: str) -> None:
    refused = warned = 0
    for number in range(DRAWN):
        try:
            codes = [warning.code for warning in verifier.read(drawn(kind, number)).warnings]
        except DeepSignError:
            refused += 1
        else:
            warned += "like_print" in codes
    assert refused + warned >= DRAWN - 1
    assert refused >= DRAWN - 2


def test_signatures_are_not_taken_for_print() -> None:
    codes = [
        [fault for fault in found(image) if fault.stops or fault.code == "like_print"]
        for writer in range(30)
        for image in synthetic.draw_writer(9, writer, 1, 0).genuine
    ]
    assert not any(fault.stops for some in codes for fault in some)
    assert sum(map(bool, codes)) <= 2


def test_real_signatures_are_not_taken_for_print(real_data: Path) -> None:
    files = sorted((real_data / "bhsig260-bengali").glob("*/*.tif"))[::180]
    files += sorted((real_data / "cedar-half").glob("*/*/*.png"))[::60]
    files += sorted((real_data / "icdar2011-dutch-half").glob("*/*"))[::30]
    codes = [fault for file in files for fault in found(np.asarray(Image.open(file).convert("L")))]
    assert not any(fault.stops for fault in codes)
    assert sum(fault.code == "like_print" for fault in codes) <= 0.03 * len(files)


def test_a_turned_tick_is_a_tick_and_a_small_scrawl_none() -> None:
    turned = np.asarray(
        Image.fromarray(drawn("tick", 1)).rotate(40, Image.Resampling.BICUBIC, True, fillcolor=240)
    )
    assert [fault.code for fault in found(turned)] == ["mere_mark"]
    scrawls = [np.asarray(signature(writer)) for writer in range(20)]
    assert not any(fault.stops for scrawl in scrawls for fault in found(scrawl))


# ------------------------------------------------------------------------------------ on each path


@pytest.mark.parametrize(
    ("name", "said"), [("name", "print or a code"), ("tick", "mere tick"), ("page", "page|print")]
)
def test_verify_does_not_judge_them_on_either_side(
    files: Path, name: str, said: str, capsys: pytest.CaptureFixture
) -> None:
    wrong, right = str(files / f"{name}.png"), str(files / "a.png")
    sides = [(wrong, right)] if name == "page" else [(wrong, right), (right, wrong)]
    for reference, questioned in sides:
        status = main(["verify", reference, "--questioned", questioned])
        told = capsys.readouterr().err
        assert status == 2
        assert wrong in told
        assert "cannot be judged" in told
        assert re.search(said, told)


def test_compare_says_why_for_each_pair(files: Path, tmp_path: Path) -> None:
    pairs = [("a", "b"), ("name", "name"), ("a", "tick"), ("page", "b")]
    table = pd.DataFrame([(f"{a}.png", f"{b}.png") for a, b in pairs], columns=["left", "right"])
    table.to_csv(files / "pairs.csv", index=False)

    main(["compare", str(files / "pairs.csv"), "--output", str(tmp_path / "judged.csv")])

    judged = pd.read_csv(tmp_path / "judged.csv", keep_default_na=False)
    assert [bool(decision) for decision in judged["decision"]] == [True, False, False, False]
    assert "print" in judged["reason"][1]
    assert "tick" in judged["reason"][2]
    assert "cannot be judged" in judged["reason"][3]
    assert not any(judged["warnings"][1:])


def test_compare_tells_warnings(tmp_path: Path) -> None:
    small = signature(1).resize((60, 24), Image.Resampling.LANCZOS)
    signature(1).save(tmp_path / "a.png")
    small.save(tmp_path / "small.png")
    (tmp_path / "pairs.csv").write_text("left,right\na.png,small.png\n")
    main(["compare", str(tmp_path / "pairs.csv"), "--output", str(tmp_path / "judged.csv")])
    told = pd.read_csv(tmp_path / "judged.csv")["warnings"][0]
    assert re.search(r"right: .*higher resolution", told)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "enrolments.sqlite") as running:
        yield running


def test_the_service_neither_judges_nor_enrols_them(service: Service) -> None:
    wrong = Image.fromarray(drawn("typed name", 0))
    both = upload("references", signature(1)) + upload("questioned", wrong)
    judged = service.client.post("/verify", files=both)
    kept = service.client.post("/writers/anna/references", files=upload("references", wrong))
    for answer in (judged, kept):
        assert answer.status_code == 422
        assert "print or a code" in answer.text
    assert service.client.get("/writers/anna").status_code == 404


# ----------------------------------------------------------------------------------------- measured


def test_the_trees_that_ship_can_be_trained_and_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    handwriting.main(["train", "--images", "24", "--output", str(tmp_path / "trees.json")])
    assert (tmp_path / "trees.json").stat().st_size > 1000
    synthetic.write_dataset(tmp_path / "set", 2, 2, 2, progress=False)
    handwriting.main(["measure", "--images", "2", f"mine={tmp_path / 'set'}"])
    told = capsys.readouterr().out
    assert all(kind in told for kind in [*KINDS, "synthetic writers", "two signatures", "mine"])
