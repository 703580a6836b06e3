"""Every figure of the report: what it shows, in which colours, and that a rerun repeats it."""

import io
import itertools
import json
import subprocess
import sys
import warnings
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from skimage.color import rgb2lab
from traitlets.config import Config

from deepsign_utils import DeepSignError, figures
from deepsign_utils.figures import style
from deepsign_utils.metrics import error_curve
from deepsign_utils.study.names import isolated


class Curve(NamedTuple):
    threshold: np.ndarray
    fmr: np.ndarray
    fnmr: np.ndarray


def curve(shift: float, count: int = 200) -> Curve:
    """Error curve of two normal distributions, `shift` deviations apart."""
    rng = np.random.default_rng(0)
    genuine, forged = rng.normal(shift, 1, count), rng.normal(0, 1, count)
    threshold = np.r_[-np.inf, np.sort(np.r_[genuine, forged]), np.inf]
    fmr = 1 - np.searchsorted(np.sort(forged), threshold) / count
    fnmr = np.searchsorted(np.sort(genuine), threshold) / count
    return Curve(threshold, fmr, fnmr)


def signatures(writers: int, genuine: int = 4, forged: int = 3) -> pd.DataFrame:
    rows = [
        {"writer": f"{w:03d}", "kind": kind, "width": 300 + 9 * w, "height": 100 + i}
        for w in range(writers)
        for kind, count in (("genuine", genuine), ("forgery", forged))
        for i in range(count)
    ]
    return pd.DataFrame(rows).assign(
        duplicate_of=pd.array([0] + [pd.NA] * (len(rows) - 1), "Int32")
    )


def score_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    centres = {"genuine": -0.3, "skilled": -0.8, "random": -1.4}
    return pd.concat(
        pd.DataFrame({"kind": kind, "score": rng.normal(centre, 0.2, 80)})
        for kind, centre in centres.items()
    )


def canvas() -> np.ndarray:
    drawn = np.zeros((16, 32), np.uint8)
    drawn[8, 4:28] = 255
    return drawn


def history(first: int = 0) -> pd.DataFrame:
    epochs = np.arange(first, 5)
    loss = np.where(epochs == 0, np.nan, 1 / (epochs + 1))
    return pd.DataFrame({"epoch": epochs, "loss": loss, "validation_eer": 0.3 / (epochs + 1)})


def rate(value: float) -> dict[str, float]:
    return {"value": value, "low": 0.8 * value, "high": 1.3 * value}


def reference_results() -> dict:
    return {
        count: {
            "eer": {"skilled": rate(value), "random": rate(value / 5)},
            "fmr": {"skilled": rate(value), "random": rate(value / 5)},
            "fnmr": rate(value),
        }
        for count, value in (("10", 0.05), ("1", 0.1), ("5", 0.06))
    }


def audit() -> pd.DataFrame:
    rows = [("size", 0.8, 0.75, 0.84, "flagged"), ("mode", np.nan, np.nan, np.nan, "impossible")]
    return pd.DataFrame(rows, columns=["probe", "auc", "low", "high", "verdict"])


def storage() -> pd.DataFrame:
    return pd.DataFrame(
        {"stored": ["records", "pairs"], "bytes": [7.1e6, 1.9e9], "pairs_per_second": [9e4, np.nan]}
    )


def pair(kind: str) -> dict:
    return {"left": canvas(), "right": canvas(), "score": -0.5, "kind": kind, "caption": "001"}


CURVES = {"network, skilled": curve(3), "network, random": curve(5), "stroke-blind": curve(0.3)}
KINDS = ["genuine", "forgery", "genuine", "forgery"]
WRITERS = ["a", "a", "b", "b"]
GENUINE, FORGED = [0.5, 0.9], [0.1, 0.6]

DRAWINGS = {
    "dataset_overview": lambda: figures.dataset_overview(signatures(5)),
    "size_scatter": lambda: figures.size_scatter(signatures(5)),
    "probe_aucs": lambda: figures.probe_aucs(audit()),
    "storage_comparison": lambda: figures.storage_comparison(storage()),
    "training_history": lambda: figures.training_history(history(), 4),
    "embedding_maps": lambda: figures.embedding_maps({"a": np.eye(4, 2)}, WRITERS, KINDS),
    "counted_errors": lambda: figures.counted_errors(
        GENUINE, FORGED, error_curve(GENUINE, FORGED), 0.5
    ),
    "distance_distributions": lambda: figures.distance_distributions(score_table(), -0.5),
    "det": lambda: figures.det(CURVES),
    "roc": lambda: figures.roc(CURVES),
    "error_against_threshold": lambda: figures.error_against_threshold(CURVES, 1.5),
    "per_writer": lambda: figures.per_writer({"a": 0.1, "b": 0.0}, rate(0.06)),
    "references": lambda: figures.references(reference_results()),
    "cross_matrix": lambda: figures.cross_matrix(
        pd.DataFrame([[0.1, 0.4], [np.nan, 0.2]], ["a", "b"], ["a", "b"]), "EER"
    ),
}
GALLERIES = {
    "specimens": lambda: figures.specimens([canvas()] * 4, WRITERS, KINDS, ink_bright=True),
    "before_after": lambda: figures.before_after([255 - canvas()], [canvas()], ["001"]),
    "augmented_views": lambda: figures.augmented_views(
        np.stack([canvas()] * 4), pd.Series(WRITERS), np.array(KINDS)
    ),
    "feature_maps": lambda: figures.feature_maps(np.random.default_rng(0).random((9, 3, 3))),
    "pair_gallery": lambda: figures.pair_gallery([pair("genuine"), pair("skilled")]),
    "in_steps": lambda: figures.in_steps({"gray": canvas(), "ink": canvas() > 0.5}),
    "encoder_walk": lambda: figures.encoder_walk(canvas(), {"first": np.ones((8, 16, 3))}),
    "pair_matrices": lambda: figures.pair_matrices(np.full((2, 2), "random"), {"all": np.eye(2)}),
    "differences": lambda: figures.pair_gallery([pair("genuine")], differences=True),
}


def texts(figure: Figure) -> str:
    """All that is written on a figure."""
    return " | ".join(text.get_text() for text in figure.findobj(Text) if text.get_text())


def colours(figure: Figure) -> set[str]:
    """Colours of the curves, marks and areas of a figure."""
    found = set()
    for axes in figure.axes:
        found |= {to_hex(line.get_color()) for line in axes.lines}
        found |= {to_hex(patch.get_facecolor()) for patch in axes.patches}
        found |= {to_hex(c) for artist in axes.collections for c in artist.get_edgecolor()}
        found |= {to_hex(c) for artist in axes.collections for c in artist.get_facecolor()}
        found |= {to_hex(spine.get_edgecolor()) for spine in axes.spines.values()}
    return {colour.upper() for colour in found}


def visible_labels(figure: Figure) -> list[str]:
    return [
        label
        for axes in figure.axes
        if axes.axison
        for label in (axes.get_xlabel(), axes.get_ylabel())
        if label
    ]


# --- All figures --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_has_labelled_axes_and_is_the_same_svg_on_every_rerun(name):
    first, second = DRAWINGS[name](), DRAWINGS[name]()
    assert visible_labels(first)
    svg = figures.render(first)["image/svg+xml"]
    assert svg == figures.render(second)["image/svg+xml"]
    assert "<dc:date>" not in svg
    ElementTree.fromstring(svg)


@pytest.mark.parametrize("name", GALLERIES)
def test_a_gallery_is_a_png_alone_and_the_same_on_every_rerun(name):
    rendered = figures.render(GALLERIES[name]())
    assert set(rendered) == {"image/png"}
    assert rendered == figures.render(GALLERIES[name]())


def test_the_svg_does_not_depend_on_the_process(tmp_path):
    # Given a fresh interpreter, whose string hashes and style differ from this one's
    script = (
        "import matplotlib as mpl; mpl.rcParams['font.size'] = 30\n"
        "from deepsign_utils import figures\n"
        "figure = figures.per_writer({'a': 0.1, 'b': 0.0}, 0.05)\n"
        "print(figures.render(figure)['image/svg+xml'], end='')\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    here = figures.render(figures.per_writer({"a": 0.1, "b": 0.0}, 0.05))["image/svg+xml"]
    assert told.stdout == here


def test_drawing_needs_no_tensorflow_and_leaves_the_readers_style_alone():
    script = (
        "import sys, matplotlib as mpl\n"
        "before = dict(mpl.rcParams)\n"
        "from deepsign_utils import figures\n"
        "figures.per_writer({'a': 0.1}, 0.1)\n"
        "assert dict(mpl.rcParams) == before\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", ["training_history", "det", "per_writer", "references"])
def test_error_rates_are_labelled_in_per_cent(name):
    assert any("(%)" in label for label in visible_labels(DRAWINGS[name]()))


@pytest.mark.parametrize(
    "name", ["training_history", "det", "specimens", "differences", "in_steps", "pair_matrices"]
)
def test_letters_stay_readable_on_a_phone(name):
    # A figure of 6.4 inches on 380 pixels: 10.5 points become 8.7 pixels.
    figure = {**DRAWINGS, **GALLERIES}[name]()
    written = [text for text in figure.findobj(Text) if text.get_text()]
    assert figure.get_figwidth() == pytest.approx(6.4)
    assert min(text.get_fontsize() for text in written) >= 10.5


# --- Colours ------------------------------------------------------------------------------------


def test_a_kind_has_one_colour_and_a_forged_image_that_of_a_skilled_pair():
    assert figures.COLOURS["forgery"] == figures.COLOURS["skilled"]
    assert len(set(figures.COLOURS.values())) == 4


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("dataset_overview", {"genuine", "skilled"}),
        ("size_scatter", {"genuine", "skilled"}),
        ("counted_errors", {"genuine", "skilled"}),
        ("specimens", {"genuine", "skilled"}),
        ("augmented_views", {"genuine", "skilled"}),
        ("pair_gallery", {"genuine", "skilled"}),
        ("distance_distributions", {"genuine", "skilled", "random"}),
        ("references", {"genuine", "skilled", "random"}),
        ("det", {"skilled", "random", "stroke-blind"}),
        ("roc", {"skilled", "random", "stroke-blind"}),
        ("error_against_threshold", {"genuine", "skilled", "random", "stroke-blind"}),
        ("probe_aucs", {"stroke-blind"}),
    ],
)
def test_kinds_keep_their_colours_in_every_figure(name, kinds):
    shown = colours({**DRAWINGS, **GALLERIES}[name]()) & set(figures.COLOURS.values())
    assert shown == {figures.COLOURS[kind] for kind in kinds}


def luminance(colour: str) -> float:
    channels = np.array(to_rgba(colour)[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colour", sorted(set(figures.COLOURS.values())))
def test_a_kinds_colour_stands_out_from_white(colour):
    # WCAG 2.2 asks 3 : 1 of graphics and of large bold text.
    assert 1.05 / (luminance(colour) + 0.05) >= 3


# --- Showing and saving -------------------------------------------------------------------------


@pytest.fixture
def shown_outputs(tmp_path, monkeypatch):
    """What a notebook's kernel is given to show."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))

    def show(figure: Figure, **said) -> list:
        with capture_output() as captured:
            figures.show(figure, **said)
        return captured.outputs

    yield show
    InteractiveShell.clear_instance()


def test_show_gives_the_image_its_alternative_text_and_a_caption_below(shown_outputs):
    image, caption = shown_outputs(
        DRAWINGS["per_writer"](), alt="Two writers.", caption="Easy ones.", name="writers"
    )
    assert image.data["image/svg+xml"].startswith("<?xml")
    assert image.data["image/png"].startswith(b"\x89PNG")
    assert image.data["text/plain"] == "Two writers."
    assert image.metadata["deepsign"] == {
        "alt": "Two writers.",
        "caption": "Easy ones.",
        "name": "writers",
    }
    assert image.metadata["image/png"] == {"alt": "Two writers.", "width": 614}
    assert caption.data["text/markdown"] == "Easy ones."
    assert caption.metadata == {"deepsign": {"role": "caption"}}
    json.dumps([image.metadata, caption.metadata])


def test_show_saves_drawings_as_svg_and_galleries_as_png(shown_outputs, tmp_path):
    folder = tmp_path / "reports" / "figures"
    shown_outputs(DRAWINGS["per_writer"](), alt="a", caption="b", name="w", folder=folder)
    shown_outputs(GALLERIES["specimens"](), alt="a", caption="b", name="s", folder=folder)
    assert sorted(file.name for file in folder.iterdir()) == ["s.png", "w.svg"]
    assert (folder / "w.svg").read_text() == figures.render(DRAWINGS["per_writer"]())[
        "image/svg+xml"
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"alt": " ", "caption": "b"},
        {"alt": "a", "caption": ""},
        {"alt": "a", "caption": "b", "folder": "figures"},
    ],
)
def test_a_figure_is_not_shown_without_words_or_saved_without_a_name(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeepSignError):
        figures.show(DRAWINGS["per_writer"](), **said)
    assert not list(tmp_path.iterdir())


def test_no_figure_stays_open_behind_a_notebook():
    for draw in (DRAWINGS["size_scatter"], GALLERIES["specimens"]):
        draw()
    assert plt.get_fignums() == []


# --- What single figures say --------------------------------------------------------------------


@pytest.mark.parametrize(("writers", "named"), [(5, True), (300, False)])
def test_the_overview_names_few_writers_and_counts_many(writers, named):
    said = texts(figures.dataset_overview(signatures(writers)))
    assert f"genuine: {4 * writers:,}, 1 of them copies (pale)" in said
    assert f"forged: {3 * writers:,}" in said
    assert ("004" in said) == named
    assert (f"{writers} writers" in said) != named


def test_a_dataset_without_forgeries_is_drawn():
    table = signatures(3, forged=0)
    assert "forged" not in texts(figures.dataset_overview(table))
    assert "forged" not in texts(figures.size_scatter(table))
    gallery = figures.specimens([canvas()] * 2, ["a", "b"], ["genuine"] * 2, ink_bright=True)
    assert "forged" not in texts(gallery)


def test_images_of_one_size_are_drawn():
    figure = figures.size_scatter(signatures(3).assign(width=256, height=128))
    assert figures.render(figure)


def test_specimens_are_dark_ink_on_white_whichever_way_they_are_stored():
    bright = figures.specimens([canvas()], ["a"], ["genuine"], ink_bright=True)
    dark = figures.specimens([255 - canvas()], ["a"], ["genuine"], ink_bright=False)
    for figure in (bright, dark):
        picture = figure.axes[0].images[0].get_array()
        assert picture[8, 10] == 0
        assert picture[0, 0] == 1


def test_specimens_show_at_most_so_many_of_each_kind():
    images, kinds = [canvas()] * 9, ["genuine"] * 5 + ["forgery"] * 4
    figure = figures.specimens(images, ["a"] * 9, kinds, ink_bright=True, per_kind=2)
    assert len(figure.axes) == 4


def test_augmented_views_take_a_batch_as_the_network_gets_it():
    batch = np.stack([canvas()] * 4)[..., None].astype(np.float32) / 255
    figure = figures.augmented_views(batch, WRITERS)
    picture = figure.axes[0].images[0].get_array()
    assert picture[8, 10] == pytest.approx(0)
    assert picture[0, 0] == 1


def test_only_a_flagged_probe_is_filled():
    table = audit().assign(auc=[0.8, 0.5], low=[0.75, 0.48], high=[0.84, 0.53])
    table["verdict"] = ["flagged", "at chance"]
    faces = [
        line.get_markerfacecolor()
        for line in figures.probe_aucs(table).axes[0].lines
        if line.get_marker() == "o"
    ]
    assert faces == [figures.COLOURS["stroke-blind"], "white"]


def test_the_history_marks_the_kept_epoch_and_the_start():
    said = texts(figures.training_history(history(first=0), 4))
    assert "kept: epoch 4, EER 6.0 %" in said
    assert "before training" in said
    assert "before training" not in texts(figures.training_history(history(first=1), 4))


def test_the_dark_areas_are_exactly_the_wrong_decisions():
    # Given scores of which some equal the threshold, which accepts them
    table = pd.DataFrame(
        {
            "kind": ["genuine"] * 4 + ["skilled"] * 5,
            "score": [0.1, 0.5, 0.7, 0.9, 0.1, 0.2, 0.3, 0.5, 0.6],
        }
    )
    figure = figures.distance_distributions(table, 0.5)
    dark = [axes.patches[1].get_data().values.sum() for axes in figure.axes]
    assert dark == [1, 2]
    said = texts(figure)
    assert "rejected: 25.0 %" in said
    assert "accepted: 40.0 %" in said


def test_an_outlier_among_the_scores_is_counted_and_squeezes_nothing():
    table = pd.concat([score_table()] * 10)
    table.iloc[0, table.columns.get_loc("score")] = -1e6
    axes = figures.distance_distributions(table, -0.5).axes[0]
    assert axes.patches[2].get_data().values.sum() == 800
    assert axes.get_xlim()[0] > -4


def test_the_distributions_print_the_intervals_they_are_given():
    figure = figures.distance_distributions(score_table(), -0.5, {"skilled": rate(0.1)})
    assert "accepted: 10.0 % [8.0, 13.0]" in texts(figure)


def test_the_distributions_do_without_a_kind_that_is_missing():
    table = score_table()
    figure = figures.distance_distributions(table[table["kind"] != "skilled"], -0.5)
    assert "skilled" not in texts(figure)


def test_curves_without_an_error_stay_on_the_det_axes():
    perfect = Curve(np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    figure = figures.det({"skilled": perfect}, points={"skilled": (0.0, 0.0)})
    axes = figure.axes[0]
    drawn = axes.lines[1].get_xydata()
    assert np.isfinite(drawn).all()
    assert drawn.min() >= axes.get_xlim()[0]


def test_det_points_and_bands_carry_their_intervals():
    band = pd.DataFrame({"fmr": [0.01, 0.1], "low": [0.2, 0.02], "high": [0.4, 0.1]})
    label = "network, skilled"
    figure = figures.det(CURVES, {label: band}, {label: (rate(0.1), rate(0.05))})
    assert len(figure.axes[0].collections) == 1
    across = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2][1]
    # Probit of 8 % and of 13 %, from tables of the normal distribution.
    assert across.get_xdata() == pytest.approx([-1.4051, -1.1264], abs=1e-3)


def test_a_det_curve_of_a_million_pairs_stays_small():
    figure = figures.det({"skilled": curve(2, 200_000)})
    assert len(figures.render(figure)["image/svg+xml"]) < 200_000


def test_curves_that_are_no_kind_get_colours_of_their_own():
    figure = figures.det({"1 reference": curve(2), "5 references": curve(3)})
    drawn = colours(figure)
    assert {"#009E73", "#56B4E9"} <= drawn
    assert not drawn & set(figures.COLOURS.values())


def test_two_curves_of_one_kind_differ_in_their_dashes():
    labels = ("stroke-blind, raw files", "stroke-blind, canvas")
    first, second = figures.det({label: curve(1) for label in labels}).axes[0].lines[-2:]
    assert first.get_color() == second.get_color()
    assert first.get_linestyle() != second.get_linestyle() or (
        first._dash_pattern != second._dash_pattern
    )


def test_rows_that_are_no_writers_are_not_called_so():
    figure = figures.specimens([canvas()] * 2, ["cleaned"] * 2, KINDS[:2], ink_bright=True, noun="")
    assert "cleaned" in texts(figure)
    assert "writer" not in texts(figure)


def test_a_writer_without_an_eer_is_left_out():
    figure = figures.per_writer({f"writer {i}": 0.1 for i in range(20)} | {"x": np.nan}, 0.1)
    assert "20 test writers" in texts(figure)


@pytest.mark.parametrize(
    "figure",
    [
        lambda name: figures.pair_gallery([pair("genuine") | {"caption": name}]),
        lambda name: figures.specimens([canvas()] * 2, [name] * 2, KINDS[:2], ink_bright=True),
        lambda name: figures.before_after([255 - canvas()], [canvas()], [name]),
        lambda name: figures.per_writer({name: 0.1, "b": 0.0}, rate(0.06)),
        lambda name: figures.dataset_overview(signatures(3).replace("000", name)),
        lambda name: figures.cross_matrix(pd.DataFrame([[0.1]], [name], [name]), "EER"),
    ],
)
def test_a_name_with_dollars_is_no_formula(figure):
    # As a formula this one cannot be read, and drawing it would stop the notebook
    figures.render(figure("$\\frac{1}{$ _^{}"))


def test_numbers_of_references_are_sorted_as_numbers():
    ticks = figures.references(reference_results()).axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["1", "5", "10"]


@pytest.mark.parametrize("kinds", [["genuine"], ["random"], ["genuine", "random", "skilled"]])
def test_pair_galleries_take_any_mixture(kinds):
    figure = figures.pair_gallery([pair(kind) for kind in kinds])
    assert len(figure.axes) == 2 * len(kinds)
    assert "score −0.500  001" in texts(figure)


def test_a_single_pair_fills_the_width():
    alone = figures.pair_gallery([pair("genuine")])
    among = figures.pair_gallery([pair("genuine"), pair("genuine")])
    assert alone.axes[1].get_position().x1 > 0.95
    assert among.axes[1].get_position().x1 < 0.55


def drawn(rows: slice, columns: slice) -> np.ndarray:
    ink = np.zeros((64, 128), np.uint8)
    ink[rows, columns] = 255
    return ink


def test_differences_stand_large_beneath_each_pair_and_the_legend_names_their_colours():
    figure = figures.pair_gallery([pair("genuine"), pair("skilled")], differences=True)
    left, right, below = (axes.get_position() for axes in figure.axes[:3])
    assert below.y1 < left.y0
    assert below.width > left.width + right.width
    assert {text.get_text() for text in figure.legends[0].texts} == set(figures.DIFFERENCE)


def test_ink_is_gray_where_both_have_it_and_coloured_where_one_does():
    # Given two signatures that share one stroke, and have one more each
    shared = drawn(slice(30, 34), slice(4, 124))
    mine = np.maximum(shared, drawn(slice(4, 8), slice(4, 40)))
    theirs = np.maximum(shared, drawn(slice(4, 8), slice(84, 124)))
    picture = figures.overlaid(mine, theirs)
    assert to_hex(picture[5, 20]) == figures.DIFFERENCE["reference only"].lower()
    assert to_hex(picture[5, 100]) == figures.DIFFERENCE["questioned only"].lower()
    assert picture[31, 64].max() < 0.3
    assert np.ptp(picture[31, 64]) == pytest.approx(0)
    assert (picture[60, 60] == 1).all()


def test_a_signature_differs_nowhere_from_itself_placed_and_sized_otherwise():
    # Given the same strokes, once in a corner at half the size
    frame = np.kron([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.ones((4, 8))).astype(np.uint8) * 255
    small, large = np.zeros((64, 128), np.uint8), np.zeros((64, 128), np.uint8)
    small[2:14, 3:27] = frame
    large[20:44, 40:88] = np.kron(frame, np.ones((2, 2), np.uint8))
    picture = figures.overlaid(large, small)
    assert np.ptp(picture, axis=-1).max() == pytest.approx(0, abs=1e-6)
    assert (picture[0:20] == 1).all()


def test_hands_are_not_still_and_near_ink_counts_as_shared():
    line, beside = (drawn(slice(top, top + 2), slice(4, 124)) for top in (20, 22))
    corners = np.maximum(drawn(slice(0, 1), slice(0, 1)), drawn(slice(63, 64), slice(127, 128)))
    picture = figures.overlaid(np.maximum(line, corners), np.maximum(beside, corners))
    assert np.ptp(picture[20:24, 60], axis=-1).max() == pytest.approx(0)


def seen_by(colour: str, vision: str) -> np.ndarray:
    """A colour in CIELAB as a dichromat sees it.

    G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A physiologically-based model for
    simulation of color vision deficiency", IEEE TVCG 15, 2009, table 1 at severity 1.
    """
    matrix = {
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        "tritanopia": [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    }[vision]
    channels = np.array(to_rgba(colour)[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(matrix @ linear, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("vision", ["protanopia", "deuteranopia", "tritanopia"])
def test_readers_of_any_colour_vision_tell_the_differences_apart(vision):
    # A CIELAB distance of 2.3 is just noticeable; thin strokes want far more.
    for one, other in itertools.combinations(figures.DIFFERENCE.values(), 2):
        assert np.linalg.norm(seen_by(one, vision) - seen_by(other, vision)) > 30


@pytest.mark.parametrize("colour", figures.DIFFERENCE.values())
def test_a_differences_colour_stands_out_from_white(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 3


def test_a_chosen_threshold_decides_and_the_validation_threshold_is_but_marked():
    table = pd.DataFrame(
        {"kind": ["genuine"] * 4 + ["skilled"] * 4, "score": [0.1, 0.5, 0.7, 0.9] * 2}
    )
    figure = figures.distance_distributions(table, 0.5, chosen=0.8)
    assert "rejected: 75.0 %" in texts(figure)
    assert "accepted: 25.0 %" in texts(figure)
    assert "chosen threshold: accepted to its right" in texts(figure)
    marked = [line.get_xdata()[0] for line in figure.axes[0].lines]
    assert marked == [0.8, 0.5]


# --- Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.dataset_overview(pd.DataFrame({"writer": ["a"]})), "kind"),
        (lambda: figures.dataset_overview(signatures(1)[:0]), "empty"),
        (lambda: figures.size_scatter(signatures(1)[:0]), "empty"),
        (lambda: figures.specimens([canvas()], ["a", "b"], KINDS, ink_bright=True), "length"),
        (lambda: figures.specimens([canvas()], ["a"], ["skilled"], ink_bright=True), "skilled"),
        (
            lambda: figures.specimens(
                [np.zeros((4, 4, 3), np.uint8)], ["a"], ["genuine"], ink_bright=True
            ),
            "shape",
        ),
        (lambda: figures.before_after([canvas()], []), "length"),
        (lambda: figures.augmented_views([], []), "no image"),
        (lambda: figures.probe_aucs(audit().drop(columns="low")), "low"),
        (lambda: figures.storage_comparison(storage().drop(columns="bytes")), "bytes"),
        (lambda: figures.training_history(history(), 99), "99"),
        (lambda: figures.feature_maps(np.zeros((3, 3))), "shape"),
        (lambda: figures.embedding_maps({"a": np.zeros((4, 3))}, WRITERS, KINDS), "shape"),
        (lambda: figures.pair_matrices(np.full((2, 2), "genuine"), {"a": np.eye(3)}), "pairs"),
        (lambda: figures.encoder_walk(canvas(), {"a": np.zeros((4, 3))}), "shape"),
        (lambda: figures.in_steps({}), "no picture"),
        (lambda: figures.distance_distributions(score_table().assign(kind="x"), 0), "no genuine"),
        (lambda: figures.distance_distributions(score_table().assign(score=np.nan), 0), "finite"),
        (lambda: figures.det({}), "no curve"),
        (lambda: figures.det(CURVES, points={"other": (0.1, 0.1)}), "other"),
        (lambda: figures.roc({"a": Curve(np.zeros(2), np.zeros(3), np.zeros(2))}), "length"),
        (lambda: figures.per_writer({}, 0.1), "no writer"),
        (lambda: figures.pair_gallery([]), "at least one"),
        (lambda: figures.pair_gallery([{"left": canvas()}]), "lacks"),
        (lambda: figures.overlaid(canvas(), canvas()[:, 4:]), "one size"),
        (lambda: figures.overlaid(canvas(), 0 * canvas()), "blank"),
        (lambda: figures.references({}), "no number"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(draw, message):
    with pytest.raises(DeepSignError, match=message):
        draw()


@pytest.mark.parametrize(
    "name",
    [
        *("王小明", "張偉國", "田中さん", "김민준", "똠방", "ㄱㄴ"),
        *("محمد عبد الله", "রবীন্দ্রনাথ", "श्रीमती क्षत्रिय", "שלום"),
    ],
)
def test_names_in_every_script_are_drawn_not_boxes(name):
    figure, axes = plt.subplots()
    axes.set_axis_off()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a glyph that no face has
        with mpl.rc_context(style.STYLE):
            drawn = axes.text(0.1, 0.5, name)
            style.render(figure)
    assert drawn.get_window_extent().width > 0
    plt.close(figure)


def test_what_is_written_from_right_to_left_is_drawn_so():
    figure = plt.figure(figsize=(4, 1))
    with mpl.rc_context(style.STYLE):
        figure.text(0.1, 0.4, "اـد", fontsize=40)  # alif, a tall stroke, is the first letter
        content = style.render(figure)["image/png"]
    plt.close(figure)
    ink = np.asarray(Image.open(io.BytesIO(content)).convert("L")) < 128
    heights = ink[:, ink.any(axis=0)].sum(axis=0)
    third = len(heights) // 3
    assert heights[-third:].max() > 1.5 * heights[:third].max()


def test_names_from_the_right_leave_the_order_of_what_is_around_them():
    def left_end(text: str) -> np.ndarray:
        figure = plt.figure(figsize=(5, 1))
        with mpl.rc_context(style.STYLE):
            figure.text(0.1, 0.4, text, fontsize=30)
            content = style.render(figure)["image/png"]
        plt.close(figure)
        ink = np.asarray(Image.open(io.BytesIO(content)).convert("L")) < 128
        return ink[:, np.flatnonzero(ink.any(axis=0))[0] :][:, :60]

    # What comes first stands on the left, be it the name or what is said of it.
    np.testing.assert_array_equal(left_end("שלום, 3 of 12"), left_end("שלום"))
    np.testing.assert_array_equal(left_end("Imm, שלום, 3"), left_end("Imm"))


def test_names_from_the_right_are_isolated_once():
    assert isolated("'محمد', 'שלום' and 1") == "'\u2068محمد\u2069', '\u2068שלום\u2069' and 1"
    assert isolated(isolated("محمد عبد_01.png")) == "\u2068محمد عبد_01\u2069.png"
    assert isolated("plain, 王小明") == "plain, 王小明"
