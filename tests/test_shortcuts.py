"""Shortcuts: probes find what separates forged from genuine without comparing, and only that."""

import numpy as np
import pandas as pd
import planted
import pytest
from PIL import Image, ImageDraw, ImageOps
from scipy import ndimage

from deepsign_utils import DeepSignError, duplicates, pairing, shortcuts
from deepsign_utils.preprocessing import Preprocessing, clean, clean_files, load_grayscale
from deepsign_utils.shortcuts import probes

WRITERS, EACH = 9, 6


def draw(rng: np.random.Generator, pen: int = 3) -> Image.Image:
    """Random polylines on white paper of a random size."""
    width, height = int(rng.integers(180, 220)), int(rng.integers(70, 90))
    image = Image.new("L", (width, height), 255)
    pencil = ImageDraw.Draw(image)
    for _ in range(3):
        points = rng.uniform((12, 12), (width - 12, height - 12), size=(5, 2))
        pencil.line([tuple(point) for point in points], fill=30, width=pen, joint="curve")
    return image


def dataset(folder, rng, forge=lambda image: image, forged_pen=3, writers=WRITERS) -> pd.DataFrame:
    """Write drawings of a few writers to `folder`; those called forged go through `forge`."""
    rows = []
    for writer in range(writers):
        for kind in ("genuine", "forgery"):
            for number in range(EACH):
                path = f"{writer}_{kind}_{number}.png"
                image = draw(rng) if kind == "genuine" else forge(draw(rng, forged_pen))
                image.save(folder / path)
                rows.append({"path": path, "writer": f"w{writer}", "kind": kind})
    return pd.DataFrame(rows).rename_axis("signature_id").reset_index()


def canvases(folder, signatures) -> np.ndarray:
    cleaned = clean_files(
        folder, list(signatures["path"]), Preprocessing(64, 128, "aspect"), progress=False
    )
    return np.stack([one.canvas for one in cleaned])


def verdicts(features, signatures, seed=0) -> dict[str, str]:
    audit = shortcuts.audit(features, signatures, np.random.default_rng(seed))
    return dict(zip(audit["probe"], audit["verdict"], strict=True))


# --- features ---------------------------------------------------------------------------------


def test_raw_features_describe_size_paper_and_border(tmp_path):
    # Given white paper 60 x 40 with a gray stroke across the middle and a dark corner pixel
    page = np.full((40, 60), 250, np.uint8)
    page[18:22, 10:50] = 40
    page[0, 0] = 7
    Image.fromarray(page).save(tmp_path / "page.png", dpi=(300, 300))

    features = shortcuts.raw_features(tmp_path / "page.png")

    assert (features["size.width"], features["size.height"]) == (60, 40)
    assert features["background.paper.median"] == features["background.paper.max"] == 250
    assert features["background.ink.median"] == 40
    assert features["border.top_left"] == features["border.top.min"] == 7
    assert features["border.bottom_right"] == features["border.right.min"] == 250
    assert features["border.top.mean"] == pytest.approx((59 * 250 + 7) / 60)
    assert features["mode.dpi_x"] == pytest.approx(300, abs=0.1)


def test_file_mode_shows_in_the_mode_features_alone(tmp_path):
    # Given the same drawing saved as gray and as RGBA
    drawing = draw(np.random.default_rng(1))
    drawing.save(tmp_path / "gray.png")
    drawing.convert("RGBA").save(tmp_path / "rgba.png")

    gray, rgba = (shortcuts.raw_features(tmp_path / name) for name in ("gray.png", "rgba.png"))

    assert {name for name in gray if gray[name] != rgba[name]} == {"mode.pixels", "mode.stored"}


def test_compression_shows_in_the_mode_features(tmp_path):
    drawing = draw(np.random.default_rng(1))
    for name, options in (
        ("raw.tif", {}),
        ("lzw.tif", {"compression": "tiff_lzw"}),
        ("fine.jpg", {"quality": 95}),
        ("coarse.jpg", {"quality": 60}),
    ):
        drawing.save(tmp_path / name, **options)
    codes = {
        name: tuple(
            shortcuts.raw_features(tmp_path / name)[f"mode.{feature}"]
            for feature in ("format", "compression", "quantisation")
        )
        for name in ("raw.tif", "lzw.tif", "fine.jpg", "coarse.jpg")
    }
    assert len(set(codes.values())) == 4


def test_canvas_features_measure_a_bar():
    # Given a bar 5 pixels wide and 40 long
    canvas = np.zeros((64, 128), np.uint8)
    canvas[30:35, 20:60] = 255

    features = shortcuts.canvas_features(canvas)

    # Then twice the distance to the nearest pixel off the bar is 2 in its outermost ring of 86
    # pixels, 4 in the next of 78, and 6 in the innermost 36
    widths = np.repeat([2, 4, 6], [86, 78, 36])
    assert features["stroke_width.mean"] == pytest.approx(widths.mean())
    assert features["stroke_width.std"] == pytest.approx(widths.std())
    assert (features["extent.height"], features["extent.width"]) == (5, 40)
    assert features["extent.aspect"] == 8
    assert features["extent.density"] == 1
    background = {value for name, value in features.items() if name.startswith("background.")}
    assert background == {0}


def test_features_of_an_empty_canvas_and_of_a_blank_page_are_finite(tmp_path):
    Image.new("L", (50, 30), 255).save(tmp_path / "blank.png")
    raw = shortcuts.raw_features(tmp_path / "blank.png")
    canvas = shortcuts.canvas_features(np.zeros((64, 128), np.uint8))
    assert np.isfinite([*raw.values(), *canvas.values()]).all()
    assert raw["background.ink.mean"] == canvas["stroke_width.mean"] == -1


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DeepSignError, match=r"broken\.png"):
        shortcuts.raw_features(tmp_path / "broken.png")


def test_feature_tables_are_indexed_by_signature_and_sorted_into_probes(tmp_path):
    signatures = dataset(tmp_path, np.random.default_rng(2)).iloc[[5, 2, 7]]

    raw = shortcuts.raw_feature_table(tmp_path, signatures, progress=False)
    canvas = shortcuts.canvas_feature_table(
        signatures["signature_id"], canvases(tmp_path, signatures), progress=False
    )

    assert list(raw.index) == list(canvas.index) == [5, 2, 7]
    assert raw.loc[2, "size.width"] == Image.open(tmp_path / signatures["path"][2]).width
    assert list(shortcuts.probe_columns(raw)) == [
        "size",
        "background",
        "border",
        "marks",
        "mode",
        "all",
    ]
    probes = shortcuts.probe_columns(canvas)
    assert list(probes) == ["background", "stroke_width", "extent", "image", "all"]
    assert set(probes["all"]) == set(canvas.columns) - set(probes["image"])


# --- planted shortcuts ------------------------------------------------------------------------


def darker_paper(image: Image.Image) -> Image.Image:
    return image.point(lambda level: min(level, 249))


def wider(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, (0, 0, 30, 0), fill=255)


def marked(image: Image.Image) -> Image.Image:
    image.putpixel((0, 0), 254)
    return image


def recoded(image: Image.Image) -> Image.Image:
    return image.convert("RGBA")


@pytest.mark.parametrize(
    ("forge", "probes"),
    [
        (wider, {"size"}),
        (darker_paper, {"background", "border"}),
        (marked, {"background", "border", "marks"}),
        (recoded, {"mode"}),
    ],
)
def test_a_planted_shortcut_is_flagged_by_name(tmp_path, forge, probes):
    signatures = dataset(tmp_path, np.random.default_rng(3), forge)
    features = shortcuts.raw_feature_table(tmp_path, signatures, progress=False)
    found = verdicts(features, signatures)
    assert {probe for probe in found if found[probe] == "flagged"} == probes | {"all"}


@pytest.mark.parametrize("place", [(0, 0), (5, 9), (60, 3)])
def test_a_lone_pixel_is_found_on_noisy_paper(tmp_path, place):
    # Given a drawing on noisy paper, and one pixel off it that stands out from its neighbours
    rng = np.random.default_rng(13)
    page = np.minimum(np.asarray(draw(rng)), 225)
    page = np.clip(page + rng.normal(0, 4, page.shape), 0, 255).astype(np.uint8)
    page[place] = 150
    Image.fromarray(page).save(tmp_path / "page.png")

    features = shortcuts.raw_features(tmp_path / "page.png")

    assert (features["marks.dark.row"], features["marks.dark.column"]) == place
    assert features["marks.dark.excess"] == pytest.approx(-75, abs=10)


@pytest.mark.parametrize("where", ["one place", "any place"])
def test_a_pixel_among_the_strokes_of_a_canvas_is_seen_by_the_convolutions(tmp_path, where):
    # Given canvases of forgeries with one bright pixel, which is ink to all the other probes
    rng = np.random.default_rng(14)
    signatures = dataset(tmp_path, rng, writers=3 * WRITERS)
    kept = canvases(tmp_path, signatures)
    for row in np.flatnonzero(signatures["kind"] == "forgery"):
        empty = np.argwhere(ndimage.maximum_filter(kept[row], 5) == 0)
        place = (1, 1) if where == "one place" else tuple(rng.choice(empty))
        kept[row][place] = 255
    features = shortcuts.canvas_feature_table(signatures["signature_id"], kept, progress=False)
    assert verdicts(features.filter(like="image"), signatures)["image"] == "flagged"


def test_a_pen_that_the_forgers_share_is_flagged_on_the_canvas(tmp_path):
    signatures = dataset(tmp_path, np.random.default_rng(4), forged_pen=6)
    features = shortcuts.canvas_feature_table(
        signatures["signature_id"], canvases(tmp_path, signatures), progress=False
    )
    found = verdicts(features.filter(regex="background|stroke_width"), signatures)
    assert found["stroke_width"] == "flagged"
    assert found["background"] == "at chance"


@pytest.mark.parametrize("shade", [3, 60])
def test_paper_that_cleaning_left_on_the_canvas_is_flagged(tmp_path, shade):
    # Given canvases of forgeries that kept some shade of their paper
    signatures = dataset(tmp_path, np.random.default_rng(5))
    kept = canvases(tmp_path, signatures)
    kept[signatures["kind"] == "forgery"] |= shade
    features = shortcuts.canvas_feature_table(signatures["signature_id"], kept, progress=False)

    assert verdicts(features.filter(like="background"), signatures)["background"] == "flagged"


def test_honest_drawings_are_not_flagged(tmp_path):
    signatures = dataset(tmp_path, np.random.default_rng(6))
    raw = shortcuts.raw_feature_table(tmp_path, signatures, progress=False)
    canvas = shortcuts.canvas_feature_table(
        signatures["signature_id"], canvases(tmp_path, signatures), progress=False
    )
    assert "flagged" not in verdicts(raw, signatures).values()
    found = verdicts(canvas.drop(columns=canvas.filter(like="image")), signatures)
    assert "flagged" not in found.values()
    assert found["background"] == "at chance"


@pytest.mark.slow
def test_what_is_planted_is_named_in_the_report_s_summary_and_honest_data_are_not(tmp_path):
    """The short form; `make planted` draws 20 honest datasets, and plants four shortcuts."""
    honest = planted.draw(tmp_path / "honest", 0, writers=15, each=6)
    found, text = planted.flagged(honest)
    assert found == set()
    assert "No probe is flagged." in text
    change, expected = planted.PLANTS["stroke width"]
    found, text = planted.flagged(planted.plant(honest, tmp_path / "planted", change))
    assert expected in found
    assert "Flagged: " in text
    assert expected in text


def test_chance_is_seldom_flagged():
    # Given six data sets whose features know the writer, and nothing of who forged
    rng = np.random.default_rng(7)
    writers = np.repeat(np.arange(12), 12)
    forged = np.tile(np.repeat([False, True], 6), 12)
    levels = rng.normal(size=(6, 12, 2))[:, writers] + rng.normal(size=(6, 144, 2))
    found = [shortcuts.probe(level, forged, writers, rng).verdict for level in levels]
    assert found.count("flagged") <= 1


# --- probes -----------------------------------------------------------------------------------


def test_constant_features_give_one_half_exactly():
    forged = np.tile([False, True], 20)
    writers = np.repeat(np.arange(10), 4)
    result = shortcuts.probe(np.ones((40, 3)), forged, writers, np.random.default_rng(0))
    assert (result.auc, result.low, result.high) == (0.5, 0.5, 0.5)
    assert result.verdict == "at chance"


def test_a_feature_that_separates_gives_one():
    forged = np.tile([False, True], 40)
    writers = np.repeat(np.arange(8), 10)
    result = shortcuts.probe(forged[:, None] * 3.0, forged, writers, np.random.default_rng(0))
    assert (result.auc, result.low, result.high) == (1, 1, 1)
    assert result.scores[forged].min() > result.scores[~forged].max()


def test_what_separates_within_each_writer_alone_is_no_shortcut():
    # Given a paper shade for each writer's genuine signatures and another for the forgeries of
    # them, all drawn by chance: known writers are told apart fully, unseen ones not at all
    rng = np.random.default_rng(8)
    writers = np.repeat(np.arange(30), 10)
    forged = np.tile(np.repeat([False, True], 5), 30)
    shade = rng.normal(size=(30, 2))[writers, forged.astype(int)]
    result = shortcuts.probe(shade[:, None], forged, writers, rng)
    assert result.low < 0.5 < result.high


def test_a_single_odd_file_tells_nothing():
    # Given features that are the same in all images but one: forests then differ by constants
    forged = np.tile([False, True, True], 40)
    writers = np.repeat(np.arange(12), 10)
    features = np.zeros((120, 1))
    features[7] = 1
    result = shortcuts.probe(features, forged, writers, np.random.default_rng(0))
    assert result.auc == pytest.approx(0.5, abs=0.01)


def test_the_same_stream_gives_the_same_result():
    rng = np.random.default_rng(9)
    forged = np.tile([False, True], 40)
    writers = np.repeat(np.arange(8), 10)
    features = rng.normal(size=(80, 3))
    one, two = (
        shortcuts.probe(features, forged, writers, np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.scores, two.scores)
    assert (one.auc, one.low, one.high) == (two.auc, two.low, two.high)


def test_few_writers_are_rarely_flagged_by_chance():
    # Given 300 sets of six writers; each has a shade for genuine signatures and one for forgeries,
    # drawn alike, so that images of one writer fall to one side together
    rng = np.random.default_rng(10)
    codes = np.repeat(np.arange(6), 20)
    forged = np.tile(np.repeat([False, True], 10), 6)
    one_forest = np.zeros(6, dtype=int)
    lows, corrected_lows = [], []
    for _ in range(300):
        scores = rng.normal(size=(6, 2))[codes, forged.astype(int)] + rng.normal(size=120)
        _, low, _, corrected_low = probes._auc_interval(scores, forged, codes, one_forest, rng)
        lows.append(low)
        corrected_lows.append(corrected_low)

    # then intervals of 95 % lie above chance as seldom as they say (2.5 %, and what 300 draws add),
    assert np.mean(np.array(lows) > 0.5) < 0.05
    # and those corrected for all the probes of a report next to never
    assert np.sum(np.array(corrected_lows) > 0.5) <= 1


def test_the_corrected_interval_is_the_wider_one():
    rng = np.random.default_rng(10)
    forged = np.tile([False, True], 100)
    writers = np.repeat(np.arange(20), 10)
    features = (forged + rng.normal(size=200))[:, None]
    result = shortcuts.probe(features, forged, writers, np.random.default_rng(0))
    assert 0.5 < result.corrected_low < result.low < result.auc < result.high


@pytest.mark.parametrize(("writers", "images"), [(2, 10), (4, 1), (4, 10), (8, 2)])
def test_of_too_few_images_nothing_is_said(writers, images):
    forged = np.tile(np.arange(2 * images) % 2 == 1, writers)
    of = np.repeat(np.arange(writers), 2 * images)
    result = shortcuts.probe(forged[:, None], forged, of, np.random.default_rng(0))
    assert (result.verdict, result.low, result.high) == ("too few to tell", 0, 1)


@pytest.mark.parametrize(
    ("high", "corrected_low", "expected"),
    [
        (0.99, 0.56, "flagged"),
        (0.99, 0.55, "inconclusive"),
        (0.55, 0.45, "inconclusive"),
        (0.54, 0.45, "at chance"),
        (0.40, 0.20, "at chance"),
    ],
)
def test_verdicts(high, corrected_low, expected):
    assert shortcuts.verdict(high, corrected_low) == expected


@pytest.mark.parametrize(
    ("forged", "writers", "message"),
    [
        ([False] * 4, [0, 0, 1, 1], "no forged images"),
        ([True] * 4, [0, 0, 1, 1], "no genuine images"),
        ([False, True] * 2, [0] * 4, "one writer"),
        ([False, False, True, True], [0, 0, 1, 1], "different writers"),
    ],
)
def test_what_a_probe_cannot_measure_it_refuses(forged, writers, message):
    with pytest.raises(DeepSignError, match=message):
        shortcuts.probe(np.zeros((4, 1)), forged, writers, np.random.default_rng(0))


# --- probes as verifiers ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def verified():
    """Features of 12 writers, one telling all and one nothing; fitted on seven, tested on five."""
    signatures = pd.DataFrame(
        {
            "signature_id": np.arange(120),
            "writer": np.repeat([f"w{number}" for number in range(12)], 10),
            "kind": np.tile(np.repeat(["genuine", "forgery"], 5), 12),
        }
    )
    forged = (signatures["kind"] == "forgery").to_numpy()
    features = pd.DataFrame({"shade.level": forged * 1.0, "size.width": 100.0})
    features.index = pd.Index(signatures["signature_id"])
    train, test = features.iloc[:70], features.iloc[70:]
    pairs = pairing.draw_pairs(signatures.iloc[70:], np.random.default_rng(0))
    fitted = shortcuts.fit_probes(train, signatures, np.random.default_rng(1))
    findings, scores = shortcuts.verify_with_probes(
        fitted, test, signatures, pairs, np.random.default_rng(2)
    )
    return pairs, findings, scores


def test_a_verifier_that_compares_nothing_is_as_good_as_its_shortcut(verified):
    _, findings, _ = verified
    eer = findings["shade"]["eer"]
    assert eer["value"] == eer["low"] == 0
    assert 0 < eer["high"] < 0.1  # so few writers do not show that it never errs
    assert findings["shade"]["auc"] == {"value": 1, "low": 1, "high": 1}
    assert findings["size"]["eer"]["value"] == findings["size"]["auc"]["value"] == 0.5
    assert [findings[name]["verdict"] for name in ("shade", "size")] == ["flagged", "at chance"]


def test_the_audit_of_other_writers_stands_beside_the_findings(verified):
    _, findings, _ = verified
    audit = pd.DataFrame(
        {
            "probe": ["shade", "size", "all"],
            "auc": [0.8, 0.5, 0.9],
            "low": [0.7, 0.4, 0.8],
            "high": [0.9, 0.6, 1.0],
            "verdict": ["flagged", "inconclusive", "flagged"],
        }
    )
    both = shortcuts.with_audit(findings, audit)
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    assert both["size"]["audit"] == {"auc": interval, "verdict": "inconclusive"}
    assert {k: both["shade"][k] for k in findings["shade"]} == findings["shade"]


def test_its_scores_form_a_score_table(verified):
    pairs, _, scores = verified
    table = scores["all"]
    assert list(table.columns) == [*pairs.columns, "distance", "score"]
    assert (table["distance"].dtype, table["score"].dtype) == (np.float32, np.float32)
    mean = table.groupby("kind")["score"].mean()
    assert mean["genuine"] > mean["skilled"]
    # A random forgery is a genuine signature of somebody: nothing shows on it.
    assert mean["random"] == pytest.approx(mean["genuine"])


def test_it_never_looks_at_the_reference(verified):
    _, _, scores = verified
    assert (scores["all"].groupby("right")["score"].nunique() == 1).all()


# --- copies ------------------------------------------------------------------------------


def test_copies_are_counted_by_the_bounds_that_they_cross():
    # Given files 0 = 2 (one writer, one kind), 1 = 3 (another kind) and 0 = 4 (another writer)
    signatures = pd.DataFrame(
        {
            "signature_id": [0, 1, 2, 3, 4],
            "writer": ["a", "a", "a", "a", "b"],
            "kind": ["genuine", "genuine", "genuine", "forgery", "genuine"],
            "duplicate_of": pd.array([None, None, 0, 1, 0], "Int32"),
        }
    )
    copies = duplicates.exact_duplicates(signatures)
    assert copies[["id_a", "id_b", "distance"]].to_numpy().tolist() == [
        [0, 2, 0],
        [1, 3, 0],
        [0, 4, 0],
    ]
    bounds = {"files": 3, "across_writers": 1, "across_kinds": 1}
    for parts, across in ((["train", "train"], 0), (["train", "test"], 1)):
        split = pd.DataFrame({"writer": ["a", "b"], "split": parts})
        expected = bounds | {"across_splits": across}
        assert duplicates.copy_counts(copies, signatures, split) == expected
    nothing = dict.fromkeys([*bounds, "across_splits"], 0)
    assert duplicates.copy_counts(copies.iloc[:0], signatures, split) == nothing


def copies(image: Image.Image, folder) -> list[Image.Image]:
    image.save(folder / "copy.jpg", quality=80)
    shifted = Image.new("L", image.size, 255)
    shifted.paste(image, (1, 1))
    larger = image.resize((image.width * 3 // 2, image.height * 3 // 2), Image.Resampling.BICUBIC)
    return [Image.open(folder / "copy.jpg"), shifted, larger]


def test_near_copies_are_found_and_other_specimens_are_not(tmp_path):
    # Given twenty drawings, and three near copies of the first of them in other writers' folders
    rng = np.random.default_rng(11)
    images = [draw(rng) for _ in range(20)]
    images += copies(images[0], tmp_path)
    signatures = pd.DataFrame(
        {
            "signature_id": np.arange(100, 123),
            "writer": ["a"] * 20 + ["a", "b", "b"],
            "kind": ["genuine"] * 20 + ["genuine", "genuine", "forgery"],
        }
    )
    cleaned = [clean(load_grayscale(image), Preprocessing(128, 256, "aspect")) for image in images]

    found = duplicates.near_duplicates(signatures, cleaned, progress=False)

    family = [100, 120, 121, 122]
    expected = {(a, b) for a in family for b in family if a < b}
    assert set(zip(found["id_a"], found["id_b"], strict=True)) == expected
    assert found["distance"].is_monotonic_increasing
    one = found.set_index(["id_a", "id_b"])
    assert one.loc[(100, 120), ["same_writer", "same_kind"]].all()
    assert not one.loc[(100, 122), ["same_writer", "same_kind"]].any()


def test_near_copies_are_found_however_far_apart_they_stand():
    # Given more canvases than are compared at once, the last one a copy of the second
    rng = np.random.default_rng(12)
    canvases = rng.integers(0, 256, (1100, 16, 32), dtype=np.uint8)
    canvases[-1] = canvases[1]
    signatures = pd.DataFrame({"signature_id": np.arange(1100), "writer": "a", "kind": "genuine"})
    found = duplicates.near_duplicates(signatures, canvases, progress=False)
    assert found[["id_a", "id_b", "distance"]].to_numpy().tolist() == [[1, 1099, 0]]


def test_no_near_copies_give_an_empty_table():
    signatures = pd.DataFrame({"signature_id": [1], "writer": ["a"], "kind": ["genuine"]})
    found = duplicates.near_duplicates(signatures, np.eye(32, dtype=np.uint8)[None] * 255)
    assert list(found.columns) == ["id_a", "id_b", "distance", "same_writer", "same_kind"]
    assert found.empty


# --- real signatures --------------------------------------------------------------------------


def bengali(path) -> tuple[str, str]:
    return path.parent.name, "forgery" if "-F-" in path.name else "genuine"


def cedar(path) -> tuple[str, str]:
    return path.stem.split("_")[1], "forgery" if path.name.startswith("forg") else "genuine"


def dutch(path) -> tuple[str, str]:
    folder = path.parent.name
    return folder.removesuffix("_forg"), "forgery" if folder.endswith("_forg") else "genuine"


@pytest.mark.parametrize(
    ("name", "labels", "each", "probe", "least"),
    [
        ("bhsig260-bengali", bengali, 1, "size", 0.9),
        ("cedar-half", cedar, 6, "background", 0.99),
        ("icdar2011-dutch-half", dutch, 8, "background", 0.9),
    ],
)
def test_shortcuts_of_the_public_sets(real_data, name, labels, each, probe, least):
    # Given some images of each writer
    files = (real_data / name).rglob("*.*")
    rows = [(str(path), *labels(path)) for path in sorted(files) if path.suffix != ".md"]
    signatures = pd.DataFrame(rows, columns=["path", "writer", "kind"])
    signatures = signatures.groupby(["writer", "kind"]).head(each).reset_index(drop=True)
    signatures = signatures.rename_axis("signature_id").reset_index()

    # When the probe looks at the files, then it tells forged from genuine
    raw = shortcuts.raw_feature_table("", signatures, progress=False)
    columns = shortcuts.probe_columns(raw)[probe]
    forged, writers = signatures["kind"] == "forgery", signatures["writer"]
    result = shortcuts.probe(raw[columns], forged, writers, np.random.default_rng(0))
    assert result.auc >= least
    assert result.verdict == "flagged"

    # And when the files were cleaned, nothing is left outside the ink
    kept = canvases("", signatures)
    canvas = shortcuts.canvas_feature_table(signatures["signature_id"], kept, progress=False)
    background = verdicts(canvas.filter(like="background"), signatures)
    assert background == {"background": "at chance", "all": "at chance"}


def test_a_large_dataset_is_audited_on_whole_writers():
    # Given 50 writers with 10 images each
    signatures = pd.DataFrame({"signature_id": range(500), "writer": np.arange(500) // 10})
    # when at most 125 images are wanted,
    sample = shortcuts.sample(signatures, np.random.default_rng(0), images=125)
    # then twelve writers are there, with all their images, and the same ones for the same seed.
    assert (sample["writer"].value_counts() == 10).all()
    assert sample["writer"].nunique() == 12
    again = shortcuts.sample(signatures.iloc[::-1], np.random.default_rng(0), images=125)
    assert set(again["signature_id"]) == set(sample["signature_id"])
    assert shortcuts.sample(signatures, np.random.default_rng(0), images=500) is signatures
