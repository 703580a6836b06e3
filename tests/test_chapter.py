"""What a chapter keeps is computed once, and anew where what it was made of is another."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from deepsign_utils import chapter, metrics
from deepsign_utils.chapter import Chapter


@dataclass(frozen=True)
class Setting:
    share: float = 0.5


@pytest.fixture
def this(tmp_path, monkeypatch) -> Chapter:
    study = Chapter("test_chapter")
    study.figures = tmp_path / "figures"
    return study


@pytest.fixture
def counted(monkeypatch):
    """A function of the package that tells how often it was called."""
    calls = []

    def made(*given, **named):
        calls.append(given)
        return pd.DataFrame({"n": [len(calls)]})

    made.__module__ = metrics.__name__
    return made, calls


def arguments(tmp_path, seed=0):
    table = pd.DataFrame({"writer": ["a", "b"], "ids": [[1, 2], [3]]})
    return table, np.arange(6.0).reshape(2, 3), np.random.default_rng(seed), Setting(), tmp_path


def test_the_same_is_made_once(this, counted, tmp_path):
    make, calls = counted
    (tmp_path / "raw").mkdir()
    for _ in range(2):
        kept = this.keep(tmp_path / "kept.parquet", make, *arguments(tmp_path / "raw"), name="x")
        assert kept["n"].tolist() == [1]
    assert len(calls) == 1


@pytest.mark.parametrize("place", range(5))
def test_anything_else_is_made_anew(this, counted, tmp_path, place):
    make, calls = counted
    (tmp_path / "raw").mkdir()
    given = list(arguments(tmp_path / "raw"))
    this.keep(tmp_path / "kept.parquet", make, *given)
    # when one of what it was given is another
    others = (
        given[0].assign(ids=[[1, 2], [4]]),
        given[1] + 1,
        np.random.default_rng(1),
        Setting(0.4),
        tmp_path / "raw",
    )
    given[place] = others[place]
    if place == 4:  # the folder's content
        (tmp_path / "raw" / "new.png").write_bytes(b"new")
    else:  # a generator that was drawn from is another as well
        given[2] = others[2] if place == 2 else np.random.default_rng(0)
    this.keep(tmp_path / "kept.parquet", make, *given)
    assert len(calls) == 2


def test_several_results_are_kept_in_several_files_and_an_index_with_a_name_stays(this, tmp_path):
    def made(table):
        return table.set_index("writer"), {"rows": len(table)}

    made.__module__ = metrics.__name__
    files = [tmp_path / "one.parquet", tmp_path / "other.json"]
    table, counts = this.keep(files, made, pd.DataFrame({"writer": ["a"], "n": [1]}))
    assert table.index.name == "writer"
    assert counts == {"rows": 1}


def test_what_cannot_be_told_from_others_is_refused(this, counted, tmp_path):
    with pytest.raises(TypeError, match="cannot tell whether an argument of type object has"):
        this.keep(tmp_path / "kept.parquet", counted[0], object())


def test_code_of_another_kind_counts(this, tmp_path):
    """The fingerprint names the function's module and what that imports."""
    this.keep(tmp_path / "eer.json", metrics.eer, np.array([1.0, 2.0]), np.array([0.0, 1.5]))
    stamp = (tmp_path / ".eer.json.fingerprint.json").read_text()
    assert '"metrics.py"' in stamp
    assert '"eer"' in stamp
    assert chapter.__name__ not in stamp
