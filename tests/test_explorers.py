"""Explorers: what a reader chooses is what the figure shows, and headless there is no widget."""

import re
import subprocess
import sys

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from IPython.display import Markdown
from PIL import Image

from deepsign_utils import DeepSignError
from deepsign_utils.figures import explorers


@pytest.fixture
def in_jupyterlab(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/reader/01_eda.ipynb")


@pytest.fixture
def headless(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


@pytest.fixture
def dataset(tmp_path) -> pd.DataFrame:
    """Two writers on disk: 001 with four genuine images and a forged one, 002 with one genuine."""
    rows = [("001", "genuine")] * 4 + [("001", "forgery"), ("002", "genuine")]
    for number in range(len(rows)):
        paper = np.full((20, 40), 255, np.uint8)
        paper[8:12, 4 : 8 + 4 * number] = 0
        Image.fromarray(paper).save(tmp_path / f"{number}.png")
    table = pd.DataFrame(rows, columns=["writer", "kind"])
    return table.assign(path=[f"{number}.png" for number in range(len(rows))])


SCORES = pd.DataFrame(
    [
        (0, 1, "a", "genuine", 0.9),
        (0, 2, "a", "genuine", 0.4),
        (0, 3, "a", "genuine", 0.7),
        (0, 4, "a", "skilled", 0.6),
        (0, 5, "a", "skilled", 0.2),
        (0, 6, "b", "random", 0.1),
    ],
    columns=["left", "right", "writer", "kind", "score"],
)
CANVASES = {number: np.eye(16, 32, number, dtype=np.uint8) * 255 for number in range(7)}


def control(explorer: ipywidgets.VBox, name: str) -> ipywidgets.ValueWidget:
    (found,) = [child for child in explorer.children if child.description == name]
    return found


def shown(explorer: ipywidgets.VBox) -> str:
    return explorer.children[-1].value


def picture(explorer: ipywidgets.VBox) -> str:
    return re.search(r'src="data:image/png;base64,([^"]+)"', shown(explorer)).group(1)


# --- Headless -----------------------------------------------------------------------------------

EXPLORERS = {
    "writers": lambda dataset, root: explorers.writers(dataset, root),
    "pairs": lambda dataset, root: explorers.pairs(SCORES, CANVASES, 0.5),
    "threshold": lambda dataset, root: explorers.threshold(SCORES, 0.5),
}
every_explorer = pytest.mark.parametrize("explore", EXPLORERS.values(), ids=EXPLORERS)


@every_explorer
def test_headless_there_is_a_sentence_and_no_widget(
    explore, dataset, tmp_path, headless, monkeypatch
):
    made = []
    monkeypatch.setattr(ipywidgets.Widget, "open", lambda widget: made.append(widget))
    told = explore(dataset, tmp_path)
    assert isinstance(told, Markdown)
    assert "In JupyterLab" in told.data
    assert len(told.data.splitlines()) == 1
    assert made == []


@every_explorer
def test_in_jupyterlab_the_image_has_its_words(explore, dataset, tmp_path, in_jupyterlab):
    explorer = explore(dataset, tmp_path)
    assert isinstance(explorer, ipywidgets.VBox)
    said = re.search(r"<p>(.+?)</p>", shown(explorer)).group(1)
    assert f'alt="{said}"' in shown(explorer)
    assert picture(explorer)


@every_explorer
def test_the_same_choice_shows_the_same_figure(explore, dataset, tmp_path, in_jupyterlab):
    assert shown(explore(dataset, tmp_path)) == shown(explore(dataset, tmp_path))


# --- Writers ------------------------------------------------------------------------------------


def test_another_writer_is_another_gallery(dataset, tmp_path, in_jupyterlab):
    explorer = explorers.writers(dataset, tmp_path)
    assert control(explorer, "writer").options == ("001", "002")
    assert "Writer 001: 4 genuine and 1 forged images" in shown(explorer)
    before = picture(explorer)
    control(explorer, "writer").value = "002"
    assert "Writer 002: 1 genuine and 0 forged images" in shown(explorer)
    assert picture(explorer) != before


def test_every_image_of_a_writer_is_shown(dataset, tmp_path, in_jupyterlab):
    # Given a writer whose fourth genuine image begins a second row
    four = picture(explorers.writers(dataset, tmp_path))
    three = picture(explorers.writers(dataset.drop(index=3), tmp_path))
    assert four != three


def test_an_image_that_has_gone_is_told_below_the_menu(dataset, tmp_path, in_jupyterlab):
    explorer = explorers.writers(dataset, tmp_path)
    (tmp_path / "5.png").unlink()
    control(explorer, "writer").value = "002"
    assert "5.png" in shown(explorer)
    assert "<img" not in shown(explorer)
    control(explorer, "writer").value = "001"
    assert picture(explorer)


# --- Pairs --------------------------------------------------------------------------------------


def test_the_ranking_begins_with_the_hardest_genuine_pair(in_jupyterlab):
    explorer = explorers.pairs(SCORES, CANVASES, 0.5)
    assert "Pair 1 of 3, the hardest first: a genuine pair of writer a" in shown(explorer)
    assert "0.400, is below 0.500: rejected, wrongly." in shown(explorer)


def test_moving_along_the_ranking_shows_the_next_pair(in_jupyterlab):
    explorer = explorers.pairs(SCORES, CANVASES, 0.5)
    before = picture(explorer)
    control(explorer, "place").value = 3
    assert "0.900, is at least 0.500: accepted, rightly." in shown(explorer)
    assert picture(explorer) != before


def test_another_kind_has_its_own_ranking_with_the_likeliest_forgery_first(in_jupyterlab):
    explorer = explorers.pairs(SCORES, CANVASES, 0.5)
    control(explorer, "kind").value = "skilled"
    assert "Pair 1 of 2, the hardest first: a skilled forgery pair" in shown(explorer)
    assert "0.600, is at least 0.500: accepted, wrongly." in shown(explorer)


def test_a_place_beyond_a_shorter_ranking_becomes_its_last(in_jupyterlab):
    explorer = explorers.pairs(SCORES, CANVASES, 0.5)
    control(explorer, "place").value = 3
    control(explorer, "kind").value = "random"
    assert "Pair 1 of 1" in shown(explorer)
    control(explorer, "kind").value = "genuine"
    assert control(explorer, "place").max == 3


def test_a_score_on_the_threshold_is_accepted(in_jupyterlab):
    assert "0.400: accepted, rightly." in shown(explorers.pairs(SCORES, CANVASES, 0.4))


def test_a_score_is_compared_unrounded(in_jupyterlab):
    # Given single-precision scores, and a threshold that rounds down onto one of them
    single = SCORES.astype({"score": np.float32})
    above = np.nextafter(float(single["score"][1]), 1)
    assert "rejected, wrongly." in shown(explorers.pairs(single, CANVASES, above))


# --- Threshold ----------------------------------------------------------------------------------


def test_the_slider_begins_at_the_studys_threshold(in_jupyterlab):
    explorer = explorers.threshold(SCORES, 0.5)
    assert control(explorer, "threshold").value == 0.5
    for said in (
        "1 of 3 genuine pairs are rejected (FNMR 33.3 %)",
        "1 of 2 skilled forgery pairs are accepted (FMR 50.0 %)",
        "0 of 1 random forgery pairs are accepted (FMR 0.0 %)",
        "own, 0.500, was fixed on validation writers",
    ):
        assert said in shown(explorer)


def test_another_threshold_makes_other_errors(in_jupyterlab):
    explorer = explorers.threshold(SCORES, 0.5)
    before = picture(explorer)
    control(explorer, "threshold").value = 0.75
    assert "2 of 3 genuine pairs are rejected (FNMR 66.7 %)" in shown(explorer)
    assert "0 of 2 skilled forgery pairs are accepted (FMR 0.0 %)" in shown(explorer)
    assert picture(explorer) != before


def test_the_slider_reaches_from_accept_all_to_reject_all(in_jupyterlab):
    explorer = explorers.threshold(SCORES, 0.5)
    slider = control(explorer, "threshold")
    slider.value = slider.min
    assert "0 of 3 genuine pairs are rejected" in shown(explorer)
    assert "2 of 2 skilled forgery pairs are accepted" in shown(explorer)
    slider.value = slider.max
    assert "3 of 3 genuine pairs are rejected" in shown(explorer)
    assert "0 of 2 skilled forgery pairs are accepted" in shown(explorer)


def test_scores_below_nought_have_a_minus_sign(in_jupyterlab):
    below = SCORES.assign(score=SCORES["score"] - 1)
    assert "At a threshold of −0.500," in shown(explorers.threshold(below, -0.5))
    assert "Its score, −0.600, is below −0.500" in shown(explorers.pairs(below, CANVASES, -0.5))


def test_kinds_that_were_not_scored_are_not_spoken_of(in_jupyterlab):
    explorer = explorers.threshold(SCORES.query("kind != 'random'"), 0.5)
    assert "random" not in shown(explorer)


# --- Bad input, and what is loaded --------------------------------------------------------------


@pytest.mark.parametrize(
    ("explore", "message"),
    [
        (lambda: explorers.writers(pd.DataFrame({"writer": ["a"]}), "."), "kind"),
        (lambda: explorers.pairs(SCORES.iloc[:0], CANVASES, 0.5), "empty"),
        (lambda: explorers.pairs(SCORES, {0: CANVASES[0]}, 0.5), "no canvas"),
        (lambda: explorers.pairs(SCORES.assign(kind="x"), CANVASES, 0.5), "kind"),
        (lambda: explorers.threshold(SCORES.drop(columns="score"), 0.5), "score"),
        (lambda: explorers.threshold(SCORES.assign(score=np.nan), 0.5), "finite"),
        (lambda: explorers.threshold(SCORES.assign(kind="x"), 0.5), "kind"),
    ],
)
def test_wrong_input_is_told_in_a_sentence_headless_too(explore, message, headless):
    with pytest.raises(DeepSignError, match=message):
        explore()


def test_exploring_needs_no_tensorflow():
    script = (
        "import sys\n"
        "from deepsign_utils.figures import explorers\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
