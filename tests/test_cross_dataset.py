"""The matrix compares finished studies only, and on writers that the model never met.

That its numbers are those of the studies themselves, `test_pipeline.py` checks on whole studies.
"""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from serving import model_folder

from deepsign_utils import DeepSignError, scoring
from deepsign_utils.preprocessing import clean, load_grayscale
from deepsign_utils.runs import cross_dataset
from deepsign_utils.study import Study, folders, write_artefact
from deepsign_utils.synthetic.not_signatures import KINDS
from deepsign_utils.verifying.verifier import Verifier


@pytest.fixture
def two_studies(tmp_path, monkeypatch):
    """Two studies of the same four writers, one file each, split differently."""
    for module in (folders, cross_dataset):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    writers = ["a", "b", "c", "d"]
    splits = {"one": ["train", "validation", "test", "test"], "two": ["test"] * 3 + ["train"]}
    for name, parts in splits.items():
        study = Study(name)
        files = pd.DataFrame({"writer": writers, "sha256": [f"file of {w}" for w in writers]})
        write_artefact(study.signatures, files)
        write_artefact(study.split, pd.DataFrame({"writer": writers, "split": parts}))
    return Study("one"), Study("two")


def test_writers_whom_the_model_met_are_known_by_their_files(two_studies):
    one, two = two_studies
    # "one" learnt from a and validated on b; "two" tests on a, b and c
    assert cross_dataset.writers_met(one, two) == {"a", "b"}
    assert cross_dataset.writers_met(two, one) == {"d"}
    assert cross_dataset.writers_met(one, one) == set()


def test_a_pair_counts_as_in_the_study_though_verify_would_not_judge_it(two_studies, tiny_data):
    # Given a study of which one signature is a mere tick
    study, _ = two_studies
    study.data_root = tiny_data.parent / "with_a_tick"
    shutil.copytree(tiny_data / "0001", study.data_root)
    files = sorted(path.name for path in study.data_root.iterdir())
    Image.fromarray(KINDS["tick"](np.random.default_rng(8))).save(study.data_root / files[0])
    ids = np.arange(len(files))
    write_artefact(study.signatures, pd.DataFrame({"signature_id": ids, "path": files}))
    pairs = pd.DataFrame({"left": 0, "right": ids[1:], "kind": "genuine", "writer": "0001"})
    write_artefact(study.pairs("test"), pairs)

    scores = cross_dataset._scores(model_folder(), study, study.built / "scores.parquet")

    # then the matrix has all its pairs, with the scores of the study's own canvases.
    judge = Verifier.load(model_folder())
    canvases = [
        clean(load_grayscale(study.data_root / file), judge.preprocessing) for file in files
    ]
    expected = scoring.pair_scores(judge.embed(np.stack(canvases)), ids, pairs)
    assert len(scores) == len(pairs)
    np.testing.assert_allclose(scores["score"], expected["score"], atol=1e-6)


def test_a_study_that_is_not_finished_is_refused_with_what_it_lacks(two_studies):
    assert cross_dataset.finished_studies() == []
    with pytest.raises(DeepSignError, match=r"'one' is not finished: .*encoder\.keras"):
        cross_dataset.measure(["one", "two"])


def test_one_study_makes_no_matrix():
    with pytest.raises(DeepSignError, match="at least two finished studies"):
        cross_dataset.measure([])
