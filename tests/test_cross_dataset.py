"""The matrix compares finished studies only, and on writers that the model never met.

That its numbers are those of the studies themselves, `test_pipeline.py` checks on whole studies.
"""

import pandas as pd
import pytest

from deepsign_utils import DeepSignError
from deepsign_utils.runs import cross_dataset
from deepsign_utils.study import Study, folders, write_artefact


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


def test_a_study_that_is_not_finished_is_refused_with_what_it_lacks(two_studies):
    assert cross_dataset.finished_studies() == []
    with pytest.raises(DeepSignError, match=r"'one' is not finished: .*encoder\.keras"):
        cross_dataset.measure(["one", "two"])


def test_one_study_makes_no_matrix():
    with pytest.raises(DeepSignError, match="at least two finished studies"):
        cross_dataset.measure([])
