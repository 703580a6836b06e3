"""Simulations do what they say, and nothing at strength 0; the benchmark measures a real model."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, copy_project
from PIL import Image

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.__main__ import main
from deepsign_utils.capture import (
    benchmark,
    camera,
    capturing,
    fax,
    form,
    geometry,
    page,
    paper,
    pen,
    sheet,
)
from deepsign_utils.capture.conditions import BY_NAME, CONDITIONS, in_turn
from deepsign_utils.verifying.verifier import Verifier

PRINTED = (
    form.ruled_line,
    form.dashed_line,
    form.lined_paper,
    form.squared_paper,
    form.box,
    form.comb,
    form.text_below,
    form.text_above,
    form.text_beside,
    form.line_and_text,
    form.stamp,
    form.seal,
)
DPI = 200.0
NAMES = ("ruled line", "turned")  # measured with a real model


def seeded() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """A synthetic signature as scanned: uint8 (H, W)."""
    return synthetic.draw_writer(3, 5, 1, 0).genuine[0]


@pytest.fixture(scope="module")
def in_colour(scan) -> np.ndarray:
    """The same in blue ink: uint8 (H, W, 3)."""
    return pen.coloured_ink(scan, seeded(), 1)


@pytest.fixture(scope="module")
def blank() -> np.ndarray:
    """White paper, 40 x 80 mm, with a small cross as its ink."""
    image = np.full((315, 630), 250, np.uint8)
    image[150:165, 300:303] = image[156:159, 294:309] = 20
    return image


# Every simulation


@pytest.mark.parametrize("name", BY_NAME)
def test_strength_0_is_the_identity(name, scan, in_colour):
    for image in (scan, in_colour):
        same = BY_NAME[name].simulate(image, seeded(), 0.0, DPI)
        np.testing.assert_array_equal(same, image)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_seed_decides_and_the_image_given_is_left_alone(name, scan):
    before = scan.copy()
    first, again = (BY_NAME[name].simulate(scan, seeded(), 0.7, DPI) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(scan, before)
    assert first.shape != scan.shape or (first != scan).any()


@pytest.mark.parametrize("name", BY_NAME)
def test_bytes_come_back_in_gray_and_in_colour(name, scan, in_colour):
    for strength in BY_NAME[name].strengths.values():
        for image in (scan, in_colour):
            result = BY_NAME[name].simulate(image, seeded(), strength, DPI)
            assert result.dtype == np.uint8
            assert result.ndim >= image.ndim
            assert min(result.shape[:2]) > 8


def test_a_page_without_ink_is_captured_too():
    page = np.full((60, 90), 255, np.uint8)
    for condition in CONDITIONS:
        assert condition.simulate(page, seeded(), 1.0, DPI).size


def test_names_are_unique_and_strengths_grow():
    assert len(BY_NAME) == len(CONDITIONS)
    for condition in CONDITIONS:
        strengths = list(condition.strengths.values())
        assert strengths == sorted(strengths)
        assert 0 < strengths[0] <= strengths[-1] <= 1


# Print


@pytest.mark.parametrize("simulate", PRINTED)
def test_print_multiplies_and_never_brightens(simulate, scan):
    # At the faintest strength the page grows alike and nothing shows; ink stays or gets darker.
    bare, over = (simulate(scan, seeded(), strength, DPI) for strength in (1e-9, 1.0))
    assert (over <= bare).all()
    assert (over < bare).mean() > 0.002


@pytest.mark.parametrize("simulate", PRINTED)
def test_coloured_print_takes_some_light_and_leaves_its_own(simulate, scan):
    red = simulate(scan, seeded(), 1.0, DPI, colour=form.STAMP_RED).astype(int)
    printed = red[..., 0] - red[..., 1] > 60
    assert printed.mean() > 0.002


def test_a_ruled_line_darkens_a_row_from_side_to_side(blank):
    lined = form.ruled_line(blank, seeded(), 1.0, DPI)
    dark = lined < 128
    assert dark.any(axis=0).mean() > 0.99
    assert np.flatnonzero(dark.mean(axis=1) > 0.3).size


def test_where_ink_crosses_print_it_is_darker_than_either(blank):
    ink = np.repeat(np.linspace(40, 250, 630)[None], 315, axis=0).astype(np.uint8)
    half = paper.printed(ink, np.full(ink.shape, 0.5, np.float32), 1.0)
    np.testing.assert_allclose(half, ink * (1 - 0.5 * 0.92), atol=0.51)


def test_print_keeps_its_size_in_millimetres_at_any_resolution(blank):
    def step(dpi: float) -> float:
        page = paper.resized(blank, round(315 * dpi / DPI), round(630 * dpi / DPI))
        dark = form.squared_paper(page, seeded(), 1.0, dpi) < 200
        between = dark[:, dark.sum(axis=0).argmin()]  # a column between two upright lines
        return float(np.median(np.diff(np.flatnonzero(np.diff(between.astype(int)) == 1)))) / dpi

    assert step(150) == pytest.approx(5 / 25.4, rel=0.05)
    assert step(400) == pytest.approx(5 / 25.4, rel=0.05)


# Pen, geometry, light, machines


@pytest.mark.parametrize(
    ("simulate", "strength", "expected"),
    [
        (pen.thinner_pen, 0.545, 0.3),
        (pen.thinner_pen, 1.0, 0.2),
        (pen.thicker_pen, 0.487, 0.8),
        (pen.thicker_pen, 1.0, 1.2),
    ],
)
def test_a_pen_draws_as_wide_as_it_says(simulate, strength, expected):
    stroke = np.full((120, 800), 245, np.uint8)
    dpi = 400.0
    width = round(paper.dots(paper.PEN_MM, dpi))
    stroke[60 : 60 + width, 60:-60] = 30
    drawn = simulate(stroke, seeded(), strength, dpi)
    darkness = (245 - drawn[:, drawn.shape[1] // 2].astype(float)).sum() / 215
    assert darkness / dpi * 25.4 == pytest.approx(expected, abs=0.06)


def test_a_thinner_pen_leaves_every_stroke(scan):
    before, after = (
        paper.in_gray(image).min() for image in (scan, pen.thinner_pen(scan, seeded(), 1.0, DPI))
    )
    assert after == pytest.approx(before, abs=40)


def test_a_resolution_is_estimated_from_a_ballpoints_line(scan):
    fine = paper.resized(scan, 2 * scan.shape[0], 2 * scan.shape[1])
    assert paper.estimated_dpi(fine) == pytest.approx(2 * paper.estimated_dpi(scan), rel=0.1)
    assert paper.estimated_dpi(np.full((9, 9), 255, np.uint8)) == paper.DEFAULT_DPI


def test_resolutions_reach_75_and_600_dpi(scan):
    assert geometry.coarser(scan, seeded(), 1.0, 300.0).shape[0] == round(scan.shape[0] / 4)
    assert geometry.finer(scan, seeded(), 1.0, 300.0).shape[0] == 2 * scan.shape[0]


def test_cropping_cuts_one_side_through_the_ink(scan):
    ink = np.count_nonzero(paper.ink_of(scan))
    cut = geometry.cropped(scan, seeded(), 1.0)
    assert 0.3 * ink < np.count_nonzero(paper.ink_of(cut)) < 0.99 * ink


def test_light_on_dark_turns_the_levels_over(scan):
    np.testing.assert_array_equal(geometry.light_on_dark(scan, seeded(), 1.0), 255 - scan)


def test_a_shadows_edge_is_as_sharp_as_its_penumbra(blank):
    def steepest(image: np.ndarray) -> float:
        white = np.full_like(image, 250)
        shaded = camera.shadow(white, seeded(), 1.0, DPI, penumbra_mm=10.0)
        sharp = camera.sharp_shadow(white, seeded(), 1.0, DPI)
        assert shaded.min() == pytest.approx(sharp.min(), abs=3)
        slope = [np.abs(np.diff(one.astype(int), axis=1)).max() for one in (shaded, sharp)]
        return slope[1] / max(slope[0], 1)

    assert steepest(blank) > 4


def test_a_desk_surrounds_the_sheet_with_the_share_that_it_says(scan):
    on_desk = camera.desk(np.full((300, 500), 250, np.uint8), seeded(), 1.0, DPI)
    assert (on_desk < 180).mean() == pytest.approx(camera.MOST_SURROUNDINGS, abs=0.05)


def test_a_fax_is_black_and_white_at_its_own_resolution(scan, in_colour):
    for image in (scan, in_colour):
        standard = fax.fax(image, seeded(), 1.0, DPI)
        assert set(np.unique(standard)) == {0, 255}
        assert standard.ndim == image.ndim
        assert standard.shape[1] == round(image.shape[1] * 204 / DPI)
        np.testing.assert_array_equal(standard[::2], standard[1::2])


def test_other_machines_give_black_and_white_too(scan):
    for simulate in (fax.one_bit, fax.dithered):
        assert set(np.unique(simulate(scan, seeded(), 1.0, DPI))) == {0, 255}


def test_copies_harden_from_generation_to_generation(scan):
    def between(image: np.ndarray) -> float:
        return float(((image > 60) & (image < 200)).mean())

    first, fifth = (fax.photocopy(scan, seeded(), s, DPI) for s in (0.2, 1.0))
    assert between(fifth) < between(first)


def test_what_shines_through_is_fainter_than_the_ink(scan):
    both = sheet.bleed_through(scan, seeded(), 1.0, DPI)
    assert (both <= scan).all()
    new = (scan - both)[~paper.ink_of(scan)]
    assert 20 < new.max() < 0.6 * scan.max()


def test_simulations_compose(scan):
    both = in_turn(form.ruled_line, camera.jpeg)(scan, seeded(), 1.0, DPI)
    rng = seeded()
    lined = form.ruled_line(scan, rng, 1.0, DPI)
    np.testing.assert_array_equal(both, camera.jpeg(lined, rng, 1.0, DPI))


# The benchmark, with the shipped model


@pytest.fixture(scope="module")
def judge() -> Verifier:
    return Verifier.load()


@pytest.fixture(scope="module")
def measured(judge, tmp_path_factory) -> tuple[dict, Path]:
    """Four writers, three signatures of each kind, two conditions; and the project's root."""
    root = tmp_path_factory.mktemp("project")
    page.run(judge, ["synthetic"], 4, 3, 3, names=NAMES, root=root)
    return json.loads((root / "reports/capture/capture.json").read_text())["synthetic"], root


def test_every_strength_is_measured_on_either_side(measured):
    found, _ = measured
    asked = [(name, label) for name in NAMES for label in BY_NAME[name].strengths]
    for side in benchmark.SIDES:
        rows = [row for row in found["rows"] if row["side"] == side]
        assert [(row["condition"], row["strength"]) for row in rows] == asked
    assert found["pairs"] == {"genuine": 4 * 3, "skilled": 4 * 9}
    for row in (found["scanned"], *found["rows"]):
        for rate in ("eer", "fnmr", "fmr"):
            assert 0 <= row[rate]["low"] <= row[rate]["high"] <= 1
        assert row["silent"] <= row["fnmr"]["value"]


def test_each_condition_can_be_named_by_only():
    assert not any("," in name or name != name.strip() for name in BY_NAME)


def test_an_aim_is_missed_only_where_the_interval_says_so():
    def rates(eer: float, low: float, fnmr: float = 0.1) -> dict:
        return {"eer": {"value": eer, "low": low}, "fnmr": {"value": fnmr, "low": fnmr}}

    def aim(name: str, found: dict) -> str:
        return benchmark.aim_of(BY_NAME[name], found, rates(0.10, 0.05))

    assert aim("ruled line", rates(0.14, 0.10)) == "met"
    assert aim("ruled line", rates(0.16, 0.14)) == "open"
    assert aim("ruled line", rates(0.20, 0.16)) == "missed"
    assert aim("ruled line", rates(0.14, 0.10, fnmr=0.2)) == "missed"
    assert aim("cropped", rates(0.50, 0.40)) == ""


def test_the_scores_are_the_verifiers(measured, judge):
    # The threshold lies between two scores of images as scanned; so it does between the verifier's.
    found, root = measured
    files = {
        writer: sorted((root / f"data/raw/capture/{writer}").glob("*.png"))
        for writer in ("0001", "0001_forg")
    }
    reference = judge.enrol([files["0001"][0]])
    embeddings, _ = judge.embed_files([*files["0001"][1:], *files["0001_forg"]], progress=False)
    scores = judge.score(reference, embeddings)
    assert scores.min() < found["threshold"] < scores.max()


def test_an_interrupted_measurement_goes_on_where_it_stopped(measured, judge, monkeypatch):
    found, root = measured
    kept = sorted((root / "data/built/capture").rglob("*.npz"))
    assert len(kept) == 1 + sum(len(BY_NAME[name].strengths) for name in NAMES)
    kept[-1].unlink()
    embedded = []
    embed = judge.embed
    monkeypatch.setattr(judge, "embed", lambda canvases: embedded.append(1) or embed(canvases))
    page.run(judge, ["synthetic"], 4, 3, 3, names=NAMES, root=root)
    assert len(embedded) == 1
    assert json.loads((root / "reports/capture/capture.json").read_text())["synthetic"] == found


def test_an_image_that_is_not_judged_counts_as_refused(judge):
    size = judge.embed(np.zeros((1, 64, 128), np.uint8)).shape[1]
    embeddings = np.eye(4, size, dtype=np.float32)
    codes = np.array(["", "", "cut_off", capturing.NOT_JUDGED])
    capture = capturing.Capture(embeddings, codes != capturing.NOT_JUDGED, codes)
    pairs = pd.DataFrame({"left": [0, 0, 0], "right": [1, 2, 3], "writer": ["a", "a", "b"]})
    pairs["kind"] = ["genuine", "skilled", "genuine"]
    scores = benchmark.pair_scores(judge, np.arange(4), pairs, capture, capture)
    assert scores["score"].idxmin() == 2
    assert scores["warned"].tolist() == [False, True, True]


def test_a_scanners_border_is_no_part_of_what_is_captured(judge, scan, tmp_path):
    # The page grows to the left, and yet the strip does not become a line within it.
    bordered = np.pad(scan, ((0, 0), (3, 0)), constant_values=20)
    canvases = []
    for name, image in (("plain.png", scan), ("bordered.png", bordered)):
        Image.fromarray(image).save(tmp_path / name)
        item = (capturing.Setting("punch hole", "black", 1e-9), 0, name)
        canvases.append(capturing.capture(judge.preprocessing, tmp_path, 0, item)[0].astype(float))
    assert np.abs(canvases[0] - canvases[1]).mean() < 4


def test_the_page_and_the_tables_hold_every_number(measured):
    found, root = measured
    folder = root / "reports/capture"
    table = pd.read_csv(folder / "capture.csv")
    assert len(table) == 1 + len(found["rows"])
    np.testing.assert_allclose(
        table["eer"], [row["eer"]["value"] for row in (found["scanned"], *found["rows"])], atol=1e-5
    )
    html = (folder / "index.html").read_text()
    for name in NAMES:
        assert name in html
        assert f"| {name} |" in (folder / "capture.md").read_text()
    assert html.count("<figure>") == 3


def test_make_capture_measures_a_folder_and_lists_the_report(tiny_data, tmp_path):
    project = copy_project(tmp_path / "project")
    made = project.make("capture", f"DATA={tiny_data}", "WRITERS=2", "ONLY=staple")
    assert made.returncode == 0, made.stderr
    assert "The benchmark: reports/capture/index.html" in made.stdout
    table = pd.read_csv(project.folder / "reports/capture/capture.csv", keep_default_na=False)
    assert table["condition"].tolist() == ["", "staple", "staple"]
    assert set(table["dataset"]) == {tiny_data.name}
    assert "capture/index.html" in (project.folder / "reports/index.html").read_text()


def test_the_picture_of_the_document_can_be_drawn_again(tmp_path, capsys):
    assert main(["capture", "--pictures", str(tmp_path)]) == 0
    assert f"The pictures: {tmp_path / 'capture.png'}" in capsys.readouterr().out
    assert main(["capture", "--only", "fax", "--pictures", str(tmp_path)]) == 1
    assert "leave out --only" in capsys.readouterr().err
    drawn = np.asarray(Image.open(tmp_path / "capture.png").convert("L"), int)
    kept = np.asarray(Image.open(ROOT / "docs/capture.png").convert("L"), int)
    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).mean() < 2


def test_what_cannot_be_measured_is_told(judge, tmp_path):
    with pytest.raises(DeepSignError, match="writers must be at least 2"):
        page.run(judge, ["synthetic"], 1, 3, 3, root=tmp_path)
    with pytest.raises(DeepSignError, match="Two datasets are called 'a'"):
        page.run(judge, ["a=here", "a=there"], 4, 3, 3, root=tmp_path)
    with pytest.raises(DeepSignError, match="There is no condition 'telex'"):
        page.run(judge, ["synthetic"], 4, 3, 3, names=["telex"], root=tmp_path)


@pytest.mark.parametrize("numbers", ["capture.csv", "capture_before.csv"])
def test_the_documents_tables_are_those_that_their_numbers_make(numbers):
    table = pd.read_csv(ROOT / "docs" / numbers, keep_default_na=False)
    assert benchmark.as_markdown(table) in (ROOT / "docs/capture.md").read_text()
