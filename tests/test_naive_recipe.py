"""The demonstration's pieces: a shortcut is planted, taken out again, and swapped."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepsign_utils import DeepSignError, datasets, scoring, shortcuts, synthetic
from deepsign_utils.runs import naive_recipe

DRAWN = {"writers": 8, "genuine": 6, "forgeries": 6, "seed": 3, "progress": False}
FEW = DRAWN | {"writers": 2, "genuine": 3, "forgeries": 3}  # where nothing is measured


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return naive_recipe.write_planted(tmp_path_factory.mktemp("data") / "planted", 0.2, **DRAWN)


@pytest.fixture(scope="module")
def signatures(folder):
    return datasets.read_dataset(folder, progress=False)[0]


@pytest.fixture(scope="module")
def raw(folder, signatures):
    return shortcuts.raw_feature_table(folder, signatures, progress=False)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return naive_recipe.write_planted(tmp_path_factory.mktemp("few") / "planted", 0.2, **FEW)


def flagged(features, signatures):
    audit = shortcuts.audit(features, signatures, np.random.default_rng(0))
    return set(audit.loc[audit["verdict"] == "flagged", "probe"])


def test_only_the_forgeries_lie_on_darker_paper(few, tmp_path):
    honest = synthetic.write_dataset(tmp_path / "honest", **FEW)
    for path in sorted(honest.rglob("*.png")):
        before = np.asarray(Image.open(path))
        after = np.asarray(Image.open(few / path.relative_to(honest)))
        forged = path.parent.name.endswith("_forg")
        np.testing.assert_array_equal(after, np.rint(before * (0.8 if forged else 1)))


def test_what_was_planted_is_flagged_and_gone_once_all_lie_on_one_paper(
    folder, signatures, raw, tmp_path
):
    assert {"background", "border"} <= flagged(raw, signatures)
    # When every signature is redrawn with the genuine files' typical paper and ink
    paper, ink = naive_recipe.typical_levels(raw, signatures)["genuine"]
    for path in signatures["path"]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        gray = np.asarray(Image.open(folder / path))
        Image.fromarray(naive_recipe.on_paper(gray, paper, ink)).save(tmp_path / path)
    redrawn = shortcuts.raw_feature_table(tmp_path, signatures, progress=False)
    # Then neither paper nor border gives anything away
    assert flagged(redrawn.filter(regex="background|border"), signatures) == set()


def test_typical_levels_know_the_darker_paper(raw, signatures):
    levels = naive_recipe.typical_levels(raw, signatures)
    assert levels["forgery"][0] == pytest.approx(0.8 * levels["genuine"][0], abs=12)
    assert levels["genuine"][1] < levels["genuine"][0]


def test_a_naive_canvas_keeps_the_paper_and_a_redrawn_one_has_the_one_it_is_given(
    folder, signatures
):
    as_is = naive_recipe.naive_canvases(folder, signatures, 32, 64)
    levels = {"genuine": (200, 50), "forgery": (250, 50)}
    redrawn = naive_recipe.naive_canvases(folder, signatures, 32, 64, levels)
    assert as_is.shape == redrawn.shape == (len(signatures), 32, 64)
    assert as_is.dtype == redrawn.dtype == np.uint8
    forged = (signatures["kind"] == "forgery").to_numpy()
    corners = as_is[:, 0, 0].astype(int)
    assert np.median(corners[forged]) > np.median(corners[~forged]) + 20  # inverted: darker, more
    assert (redrawn[forged, 0, 0] == 5).all()
    assert (redrawn[~forged, 0, 0] == 55).all()


def test_swapping_changes_the_questioned_side_alone():
    ids = np.array([3, 5])
    pairs = pd.DataFrame({"left": [3, 5], "right": [5, 3], "kind": "genuine", "writer": "a"})
    plain = np.array([[1, 0], [0, 1]], np.float32)
    swapped = np.array([[0, 1], [0, 1]], np.float32)
    table = scoring.pair_scores(*naive_recipe.swapped_pairs(plain, swapped, ids, pairs))
    # 3 as it is against 5 swapped; 5 as it is against 3 swapped
    assert table["distance"].tolist() == pytest.approx([2**0.5, 0])


def test_the_same_planted_dataset_is_left_alone_and_another_one_is_refused(few):
    before = {path: path.stat().st_mtime_ns for path in few.rglob("*")}
    naive_recipe.write_planted(few, 0.2, **FEW)
    assert {path: path.stat().st_mtime_ns for path in few.rglob("*")} == before
    with pytest.raises(DeepSignError, match="holds something else"):
        naive_recipe.write_planted(few, 0.3, **FEW)
    with pytest.raises(DeepSignError, match="darker by 0 to 1"):
        naive_recipe.write_planted(few, 1.5, **FEW)
