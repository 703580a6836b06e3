"""Parameters, random streams, atomic files and steps."""

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from papermill import inspect_notebook

from deepsign_utils import DeepSignError, metrics, report, study, training
from deepsign_utils.study import (
    CHAPTERS,
    DEMONSTRATION,
    PARAMETERS,
    STREAMS,
    Study,
    check_values,
    fingerprint,
    news_of_images,
    notebook_parameters,
    open_study,
    read_artefact,
    read_study,
    record_images,
    room,
    sources,
    step,
    stream,
    write_artefact,
    write_atomically,
    write_chapter_parameters,
    write_json,
)

STUDIES = sorted((ROOT / "notebooks" / "studies").glob("*.yaml"))
NOTEBOOKS = [ROOT / "notebooks" / f"{name}.ipynb" for name in (*CHAPTERS, DEMONSTRATION)]


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_shipped_study_is_valid_and_named_like_its_file(file):
    assert read_study(file)["study"] == file.stem


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_study_sets_a_value_only_where_it_differs_from_the_default(file):
    values = read_study(file)
    same = [
        name
        for name, value in values.items()
        if value == PARAMETERS[name].default and name not in ("study", "dataset")
    ]
    assert same == []


def test_the_published_test_writers_are_those_of_the_data_readme(real_data):
    text = (real_data / "README.md").read_text()
    for script, count in (("Bengali", 50), ("Hindi", 60)):
        published = re.search(rf"- {script}, {count}: ([\d ]+)", text).group(1).split()
        file = ROOT / "notebooks" / "studies" / f"bhsig260_{script.lower()}.yaml"
        assert read_study(file)["test_writers"] == published


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_repeats_the_parameter_table_word_for_word(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    (cell,) = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    for line in "".join(cell["source"]).splitlines():
        name, kind, value, remark = re.fullmatch(r"(\w+): (.+?) = (.+?)  # (.+)", line).groups()
        known = PARAMETERS[name]
        assert (kind, yaml.safe_load(value), remark) == (known.type, known.default, known.help)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_papermill_reads_every_parameter_of_a_notebook(notebook):
    # It skips, and warns of, a line whose annotation it does not understand
    listed = [*inspect_notebook(str(notebook))]
    assert listed == notebook_parameters(notebook)


def test_every_default_is_a_valid_value():
    for parameter in PARAMETERS.values():
        assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("epochs", "three", "a whole number"),
        ("epochs", True, "a whole number"),
        ("epochs", 2.5, "a whole number"),
        ("epochs", 0, "1 or more"),
        ("learning_rate", "fast", "a number"),
        ("learning_rate", 0, "or more"),
        ("learning_rate", float("nan"), "or more"),
        ("cohort_share", 1.5, "1 or less"),
        ("cohort_share", -0.1, "0 or more"),
        ("loss", "triplet", "sigmoid, contrastive"),
        ("fit", 3, "a text"),
        ("references", 5, "a list"),
        ("references", [], "a list"),
        ("references", [1, "five"], "a list"),
        ("references", [0, 5], "1 or more"),
        ("test_writers", 1.5, "a share"),
        ("test_writers", "seven", "a share"),
        ("test_writers", "0/5", "a part such as"),
        ("test_writers", "6/5", "a part such as"),
        ("test_writers", "1/1", "a part such as"),
        ("seed", -1, "0 or more"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_reason(name, value, said):
    with pytest.raises(DeepSignError, match=said) as error:
        check_values({name: value}, "here")
    assert f"'{name}'" in str(error.value)
    assert repr(value) in str(error.value)


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    with pytest.raises(
        DeepSignError, match=r"'epoch', which is no parameter\. Did you mean 'epochs'"
    ):
        check_values({"epoch": 3}, "here")


def test_writers_may_be_a_part():
    assert check_values({"test_writers": "2/5"}, "here") == {"test_writers": "2/5"}


def test_writers_may_be_listed_as_numbers():
    assert check_values({"test_writers": [7, "a"]}, "here") == {"test_writers": ["7", "a"]}


@pytest.mark.parametrize("text", ["- a list", "a: [", "just text", ""])
def test_a_study_file_that_is_no_mapping_is_refused(tmp_path, text):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(DeepSignError, match=re.escape(str(file))):
        read_study(file)


def test_a_missing_study_is_answered_with_those_there_are(tmp_path):
    (tmp_path / "cedar.yaml").write_text("study: cedar")
    with pytest.raises(DeepSignError, match=r"Studies there: cedar\."):
        read_study(tmp_path / "ceder.yaml")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "/etc"])
def test_a_study_name_cannot_leave_its_folder(name):
    with pytest.raises(DeepSignError, match="plain folder name"):
        Study(name)


def test_streams_are_reproducible_and_independent():
    first, again = stream(3, "pairs"), stream(3, "pairs")
    assert np.array_equal(first.random(5), again.random(5))
    draws = {tuple(stream(seed, name).random(2)) for seed in (0, 1) for name in STREAMS}
    assert len(draws) == 2 * len(STREAMS)


def test_a_chapters_parameters_are_rewritten_only_when_they_change(tmp_path):
    write_chapter_parameters({"epochs": 3}, tmp_path)
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    write_chapter_parameters({"epochs": 4}, tmp_path)
    changed = [n for n, t in before.items() if (tmp_path / n).stat().st_mtime_ns != t]
    assert changed == ["05_training.yaml"]
    assert yaml.safe_load((tmp_path / "05_training.yaml").read_text())["epochs"] == 4


def test_a_failed_write_leaves_what_was_there(tmp_path):
    file = tmp_path / "table.parquet"
    write_artefact(file, pd.DataFrame({"a": [1]}))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DeepSignError, match="cannot be written"):
        write_atomically(tmp_path / "folder", "text")
    assert pd.read_parquet(file)["a"].tolist() == [1]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".table.parquet.sha256", "folder", "table.parquet"]


def test_an_unchanged_file_keeps_its_time(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, {"a": 0.1})
    before = file.stat().st_mtime_ns
    write_json(file, {"a": 0.1})
    assert file.stat().st_mtime_ns == before


def test_json_refuses_numbers_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})


ARTEFACTS = {
    "split.parquet": pd.DataFrame({"writer": ["a", "b"], "split": ["train", "test"]}),
    "history.csv": pd.DataFrame({"epoch": [0, 1], "loss": [0.5, 0.25]}),
    "quality.json": {"images": 12, "left_out": {"blank": 1}},
}


def flipped(content: bytes, at: float) -> bytes:
    place = int(at * (len(content) - 1))
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("name", ARTEFACTS)
class TestArtefacts:
    """What chapters hand on is read as it was written, or refused with what to do."""

    def write(self, folder, name):
        write_artefact(folder / name, ARTEFACTS[name])
        return folder / name

    def refused(self, file):
        with pytest.raises(DeepSignError, match=re.escape(str(file))) as error:
            read_artefact(file)
        assert "make report" in str(error.value)
        assert "\n" not in str(error.value)
        return str(error.value)

    def test_it_comes_back_as_it_was(self, tmp_path, name):
        read = read_artefact(self.write(tmp_path, name))
        if isinstance(read, pd.DataFrame):
            pd.testing.assert_frame_equal(read, ARTEFACTS[name])
        else:
            assert read == ARTEFACTS[name]

    def test_every_flipped_bit_is_noticed(self, tmp_path, name):
        file = self.write(tmp_path, name)
        whole = file.read_bytes()
        for at in np.linspace(0, 1, 50):
            file.write_bytes(flipped(whole, at))
            assert "Delete it" in self.refused(file)

    @pytest.mark.parametrize("kept", [0, 0.1, 0.5, 0.99])
    def test_cut_short_it_is_refused(self, tmp_path, name, kept):
        file = self.write(tmp_path, name)
        whole = file.read_bytes()
        file.write_bytes(whole[: int(kept * len(whole))])
        assert "Delete it" in self.refused(file)

    def test_emptied_it_is_refused_where_nothing_vouches_for_it(self, tmp_path, name):
        """As in studies of before there were hashes."""
        (tmp_path / name).touch()
        assert "cannot be read" in self.refused(tmp_path / name)

    def test_that_of_another_study_is_refused(self, tmp_path, name):
        file = self.write(tmp_path / "one", name)
        other = pd.DataFrame({"writer": ["c"]}) if name != "quality.json" else {"images": 3}
        write_artefact(tmp_path / "other" / name, other)
        (tmp_path / "other" / name).replace(file)
        assert "of another study" in self.refused(file)

    def test_a_missing_one_is_named(self, tmp_path, name):
        assert "is missing" in self.refused(tmp_path / name)

    def test_a_step_makes_a_damaged_one_again(self, tmp_path, name):
        file = tmp_path / name
        for damage in (None, b"", b"x"):
            if damage is not None:
                file.write_bytes(damage)
            with step([file]) as needed:
                assert needed
                self.write(tmp_path, name)
        with step([file]) as needed:
            assert not needed


class TestStep:
    def run(self, tmp_path, **made_of) -> bool:
        with step([tmp_path / "out"], **made_of) as needed:
            if needed:
                (tmp_path / "out").write_text("made")
        return needed

    def test_runs_once(self, tmp_path):
        source = tmp_path / "in"
        source.write_text("1")
        made_of = {"inputs": [source], "parameters": {"a": 1}, "code": [metrics]}
        assert self.run(tmp_path, **made_of)
        assert not self.run(tmp_path, **made_of)

    def test_runs_again_when_input_parameter_or_output_changes(self, tmp_path):
        source = tmp_path / "in"
        source.write_text("1")
        self.run(tmp_path, inputs=[source], parameters={"a": 1})
        source.write_text("2")
        assert self.run(tmp_path, inputs=[source], parameters={"a": 1})
        assert self.run(tmp_path, inputs=[source], parameters={"a": 2})
        (tmp_path / "out").unlink()
        assert self.run(tmp_path, inputs=[source], parameters={"a": 2})

    def test_runs_again_after_it_failed(self, tmp_path):
        (tmp_path / "out").write_text("old")
        with contextlib.suppress(RuntimeError), step([tmp_path / "out"]):
            raise RuntimeError("killed")
        assert self.run(tmp_path)


class TestImages:
    @pytest.fixture
    def read(self, tmp_path, monkeypatch):
        """A study that has read three files."""
        monkeypatch.setattr(study.folders, "ROOT", tmp_path)
        for name in ("a/1.png", "a/2.png", "b/1.png"):
            write_atomically(tmp_path / "data/raw/set" / name, name)
        read = Study("one", "set")
        record_images(read)
        return read

    def test_what_happened_is_counted_and_told_once(self, read):
        assert news_of_images(read) == ""
        (read.data_root / "a/1.png").unlink()
        (read.data_root / "a/2.png").write_bytes(b"other")
        write_atomically(read.data_root / "b/2.png", "new")
        assert "(1 added, 1 changed, 1 withdrawn)" in news_of_images(read)
        assert json.loads(read.images.read_text())["files"] == 3
        assert news_of_images(read) == ""

    def test_what_is_only_touched_or_hidden_leaves_the_record_alone(self, read):
        before = read.images.stat().st_mtime_ns
        (read.data_root / "a/1.png").touch()
        (read.data_root / ".DS_Store").touch()
        assert news_of_images(read) == ""
        assert read.images.stat().st_mtime_ns == before

    def test_of_another_folder_nothing_is_known(self, read):
        assert news_of_images(Study("one", "another set")) == ""


def test_a_notebook_run_with_an_unknown_name_stops(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    with pytest.raises(DeepSignError, match="epoch"):
        open_study({"study": "x", "seed": 0, "epoch": 3}, "01_eda")


def test_the_readme_lists_every_parameter_with_its_default():
    text = (ROOT / "README.md").read_text()
    for parameter in PARAMETERS.values():
        assert f"| `{parameter.name}` | `{parameter.default!r}` | {parameter.help} |" in text


class TestWhatAStepIsMadeOf:
    def test_a_fingerprint_covers_what_the_code_imports_and_not_what_draws(self):
        # training scores with scoring, which measures with metrics
        named = set(json.loads(fingerprint(code=[training]))["code"])
        assert {"training.py", "losses.py", "scoring.py", "metrics.py"} <= named
        # the report draws figures
        assert "figures" in map(room, sources([Path(report.__file__)], apart=()))
        named = set(json.loads(fingerprint(code=[report]))["code"])
        assert not [name for name in named if name.startswith("figures/")]

    def test_of_a_package_every_file_counts_that_it_hands_on(self):
        named = set(json.loads(fingerprint(code=[study]))["code"])
        assert {"study/__init__.py", "study/artefacts.py", "study/steps.py"} <= named

    def test_a_notebook_is_made_of_the_modules_that_its_code_cells_import(self):
        rooms = set(map(room, sources([ROOT / "notebooks" / "02_pairing.ipynb"])))
        assert rooms == {"layouts", "pairing", "study"}
