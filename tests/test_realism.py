"""Synthetic signatures beside real ones: measured alike, and nothing but numbers leaves a set."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from deepsign_utils import DeepSignError, figures
from deepsign_utils.synthetic import realism


@pytest.fixture(scope="module")
def drawn() -> pd.DataFrame:
    return realism.describe_writers(6, seed=3)


def test_every_image_has_every_statistic(drawn):
    assert len(drawn) == 6 * 4
    assert drawn["kind"].value_counts().to_dict() == {"genuine": 12, "forgery": 12}
    assert np.isfinite(drawn[list(realism.STATISTICS)].to_numpy()).all()


def test_a_dataset_is_sampled_by_kind_and_by_the_generator_alone(tiny_data):
    one, again = (
        realism.describe_dataset(tiny_data, np.random.default_rng(5), images=7, progress=False)
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, again)
    assert one["kind"].value_counts().to_dict() == {"genuine": 7, "forgery": 7}


def test_a_set_overlaps_wholly_with_itself_and_not_with_one_far_away(drawn):
    far = drawn.assign(**{name: drawn[name] + 1e6 for name in realism.STATISTICS})
    compared = realism.compare({"drawn": drawn, "same": drawn.copy(), "far": far})
    overlap = compared.pivot(index="statistic", columns="dataset", values="overlap")
    assert np.allclose(overlap["same"], 1)
    assert (overlap["far"] == 0).all()
    aspect = compared.query("statistic == 'aspect' and dataset == 'drawn'").iloc[0]
    assert aspect["low"] <= aspect["median"] == drawn["aspect"].median() <= aspect["high"]


def test_the_figure_has_a_place_for_each_statistic(drawn):
    figure = figures.realism({"drawn": drawn, "same": drawn}, realism.STATISTICS)
    labels = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    assert labels == list(realism.STATISTICS.values())


def test_the_gallery_shows_genuine_before_forged():
    images, writers, kinds = realism.gallery(2, seed=3)
    assert len(images) == 12
    assert writers == ["1"] * 6 + ["2"] * 6
    assert kinds == (["genuine"] * 3 + ["forgery"] * 3) * 2


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(DeepSignError):
        realism.describe_dataset(tmp_path, np.random.default_rng(0), progress=False)


def test_a_dataset_without_a_name_is_answered_on_the_command_line(tmp_path):
    command = [sys.executable, "-m", "deepsign_utils", "realism", "here", "--output", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "NAME=FOLDER" in done.stderr


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    return realism.describe_writers(40, seed=1)


@pytest.mark.parametrize("name", ["cedar-half", "icdar2011-dutch-half"])
def test_every_statistic_overlaps_with_that_of_real_sets(real_data, many, name):
    # Given 40 drawn writers and 60 images of a real set, when compared,
    real = realism.describe_dataset(real_data / name, np.random.default_rng(1), 30, False)
    overlap = realism.compare({"drawn": many, name: real}).query("dataset == @name")["overlap"]
    # then none lies apart: sets of people differ among themselves as much.
    assert overlap.min() > 0.25
    assert overlap.mean() > 0.5
