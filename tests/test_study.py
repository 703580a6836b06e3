"""Parameters, random streams, atomic files and steps."""

import ast
import contextlib
import json
import os
import re
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from papermill import inspect_notebook

from deepsign_utils import DeepSignError, metrics, report, study, training
from deepsign_utils.study import (
    CHAPTERS,
    DEMONSTRATION,
    PARAMETERS,
    STREAMS,
    Study,
    check_new_folder,
    check_output,
    check_values,
    fingerprint,
    folders,
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
from deepsign_utils.study.yaml_1_2 import read_yaml

STUDIES = sorted((ROOT / "notebooks" / "studies").glob("*.yaml"))
NOTEBOOKS = [ROOT / "notebooks" / f"{name}.ipynb" for name in (*CHAPTERS, DEMONSTRATION)]


# By hand it has a place of its own, and the data and sizes of its study.
OF_THE_DEMONSTRATION = {
    **read_study(ROOT / "notebooks" / "studies" / f"{DEMONSTRATION}.yaml"),
    "study": "lab_shortcut_demo",
}


def test_what_is_run_by_hand_goes_to_no_study_of_a_file():
    shipped = {file.stem for file in STUDIES}
    assert shipped.isdisjoint({PARAMETERS["study"].default, OF_THE_DEMONSTRATION["study"]})


def test_the_defaults_are_those_of_the_default_study():
    file = ROOT / "notebooks" / "studies" / "synthetic.yaml"
    assert read_study(file) == {"study": "synthetic", "dataset": PARAMETERS["dataset"].default}


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
        of_its_own = OF_THE_DEMONSTRATION if notebook.stem == DEMONSTRATION else {}
        default = of_its_own.get(name, known.default)
        assert (kind, ast.literal_eval(value), remark) == (known.type, default, known.help)


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
        ("learning_rate", float("nan"), "a number"),
        ("cohort_share", 1.5, "1 or less"),
        ("cohort_share", -0.1, "0 or more"),
        ("loss", "triplet", "sigmoid, contrastive"),
        ("fit", 3, "a text"),
        ("references", 5, "a list"),
        ("references", [], "a list"),
        ("references", [1, "five"], "a list"),
        ("references", [0, 5], "1 or more"),
        ("references", [5, 5], "each once"),
        ("test_writers", 1.5, "a share"),
        ("test_writers", "seven", "a share"),
        ("test_writers", "0/5", "a part such as"),
        ("test_writers", "6/5", "a part such as"),
        ("test_writers", "1/1", "a part such as"),
        ("test_writers", [1.1], "in quotes"),
        ("test_writers", ["a", None], "in quotes"),
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


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "/etc", "a b", "a$b", "a%b", "a'b"])
def test_a_study_name_cannot_leave_its_folder(name):
    with pytest.raises(DeepSignError, match="plain folder name"):
        Study(name)


def test_streams_are_reproducible_and_independent():
    first, again = stream(3, "pairs"), stream(3, "pairs")
    assert np.array_equal(first.random(5), again.random(5))
    draws = {tuple(stream(seed, name).random(2)) for seed in (0, 1) for name in STREAMS}
    assert len(draws) == 2 * len(STREAMS)


def test_a_chapters_parameters_are_rewritten_only_when_they_change(tmp_path):
    files, used = tmp_path / "parameters", tmp_path / "used"
    write_chapter_parameters({"epochs": 3}, files, used)
    before = {file.name: file.stat().st_mtime_ns for file in files.iterdir()}
    write_chapter_parameters({"epochs": 4}, files, used)
    changed = [n for n, t in before.items() if (files / n).stat().st_mtime_ns != t]
    assert changed == ["05_training.yaml"]
    assert read_study(files / "05_training.yaml")["epochs"] == 4


def test_a_chapter_that_was_run_by_hand_with_others_is_run_again(tmp_path):
    files, used = tmp_path / "parameters", tmp_path / "used"
    write_chapter_parameters({}, files, used)
    for chapter in ("02_pairing", "05_training"):
        write_artefact(used / f"{chapter}.json", read_study(files / f"{chapter}.yaml"))
    by_hand = read_study(files / "05_training.yaml") | {"epochs": 1}
    write_artefact(used / "05_training.json", by_hand)
    before = {file.name: file.stat().st_mtime_ns for file in files.iterdir()}

    changed = write_chapter_parameters({}, files, used)

    newer = [n for n, t in before.items() if (files / n).stat().st_mtime_ns != t]
    assert newer == ["05_training.yaml"]
    assert changed == {"epochs": (1, PARAMETERS["epochs"].default)}
    (used / "05_training.json").write_text("[]")
    assert write_chapter_parameters({}, files, used) == {}


@pytest.mark.parametrize("writers", [["010", "7"], ["1e5", "null"], ["o'neill", "名 #1: a"]])
def test_what_a_chapter_is_given_is_what_was_meant(tmp_path, writers):
    values = {"test_writers": writers, "learning_rate": 1e-5}
    write_chapter_parameters(values, tmp_path, tmp_path / "used")
    assert read_study(tmp_path / "02_pairing.yaml")["test_writers"] == writers
    assert read_study(tmp_path / "05_training.yaml")["learning_rate"] == 1e-5


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-3", 0.001),
        ("2E5", 200_000.0),
        (".5", 0.5),
        ("-7", -7),
        ("[010,011,012]", ["010", "011", "012"]),
        ("[1, 05]", [1, "05"]),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("[no, off, y]", ["no", "off", "y"]),
        ("true", True),
        ("~", "~"),
    ],
)
def test_values_mean_what_they_look_like(written, meant):
    assert read_yaml(written, "it") == meant


@pytest.mark.parametrize("text", ["{epochs: 3, epochs: 4}", "[1", "a: b: c", "\x00"])
def test_yaml_that_is_none_is_told(text):
    with pytest.raises(DeepSignError, match="it is not valid YAML"):
        read_yaml(text, "it")


def test_yaml_without_end_is_told():
    with pytest.raises(DeepSignError, match="it is nested too deep"):
        read_yaml("[" * 1000 + "]" * 1000, "it")


def test_a_list_may_come_as_papermills_p_passes_it():
    assert PARAMETERS["test_writers"].check("[010, 011]") == ["010", "011"]
    assert PARAMETERS["references"].check("[1, 5]") == [1, 5]
    for twice in ("[a, a]", "[7, '7']"):
        with pytest.raises(DeepSignError, match="each once"):
            PARAMETERS["test_writers"].check(twice)


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    for there in (True, False):
        target, link = tmp_path / "far/target.txt", tmp_path / f"link {there}"
        target.write_text("old") if there else target.unlink()
        link.symlink_to("far/target.txt")
        check_output(link)
        write_atomically(link, "new")
        assert link.is_symlink()
        assert target.read_text() == "new"
        assert [file.name for file in target.parent.iterdir()] == ["target.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to the pipe").symlink_to("pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    (tmp_path / "round").symlink_to("about")
    (tmp_path / "about").symlink_to("round")
    before = {path.name: path.lstat().st_ino for path in tmp_path.iterdir()}
    for name, why in (
        *((name, "a device, pipe or socket") for name in ("pipe", "to the pipe", "socket")),
        ("round", "Too many levels"),
        ("pipe/below.csv", "Not a directory"),
    ):
        for write in (check_output, lambda file: write_atomically(file, "text")):
            with pytest.raises(DeepSignError, match=f"cannot be written: .*{why}"):
                write(tmp_path / name)
    listening.close()
    assert {path.name: path.lstat().st_ino for path in tmp_path.iterdir()} == before


def test_looking_whether_an_output_can_be_written_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "a/b/judged.csv")
    check_new_folder(tmp_path / "c/model")
    assert list(tmp_path.iterdir()) == []


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
        (read.data_root / "a/Thumbs.db").write_bytes(b"clutter")
        assert news_of_images(read) == ""
        assert read.images.stat().st_mtime_ns == before

    def test_what_a_link_within_the_folder_leads_to_is_watched_too(self, read):
        (read.data_root / "c").symlink_to(".kept/c")
        (read.data_root / "out").symlink_to(read.data_root.parent)
        write_atomically(read.data_root / ".kept/c/1.png", "kept")
        assert "(1 added)" in news_of_images(read)
        (read.data_root / ".kept/c/1.png").unlink()
        assert "(1 withdrawn)" in news_of_images(read)

    def test_of_another_folder_nothing_is_known(self, read):
        assert news_of_images(Study("one", "another set")) == ""


class TestANotebooksParameters:
    """Of `02_pairing`, in a namespace as a kernel has it."""

    GIVEN = {  # noqa: RUF012, no test changes it
        "study": "test_of_parameters",
        "seed": 3,
        "validation_writers": 0.2,
        "test_writers": ["010"],
        "references": [1],
    }

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path, monkeypatch):
        monkeypatch.setattr(folders, "ROOT", tmp_path)

    def test_an_injected_name_that_is_no_parameter_stops_it(self):
        cell = "# Parameters\nepoch = 3\nseed = 3\n"
        with pytest.raises(DeepSignError, match=r"'epoch'.*Did you mean 'epochs'"):
            open_study(self.GIVEN | {"epoch": 3, "In": ["", cell]}, "02_pairing")

    def test_nothing_else_of_the_namespace_counts(self):
        # as of a startup file, of a person's own cells, and of a second run
        others = {"ROWS": 5, "epochs": "many", "fit": 7, "my_project": "thesis", "Out": {}}
        others["In"] = ["", "ROWS = 5", "# Parameters\nseed = 3", "this = 1"]
        for _ in range(2):
            this = open_study(self.GIVEN | others, "02_pairing")
            assert read_artefact(this.used_parameters / "02_pairing.json") == self.GIVEN

    def test_a_cell_that_was_not_run_is_told(self):
        with pytest.raises(DeepSignError, match="'seed' is not set: run the cell"):
            open_study({"study": "x"}, "02_pairing")


class TestProvenance:
    @pytest.fixture
    def this(self, tmp_path, monkeypatch):
        """A study whose chapters have run, all with the same values."""
        monkeypatch.setattr(folders, "ROOT", tmp_path)
        this = Study("mine")
        write_artefact(this.signatures, pd.DataFrame({"path": ["a.png"], "sha256": ["00"]}))
        for chapter in CHAPTERS:
            write_artefact(
                this.used_parameters / f"{chapter}.json",
                {"study": "mine", "seed": 0, "data_root": "/home/anna/mine"},
            )
        return this

    def parameters(self, this):
        return study.provenance(this, {}, {}, {}, {})["parameters"]

    def test_what_chapters_ran_with_is_recorded_without_where_the_images_lie(self, this):
        assert self.parameters(this) == {"study": "mine", "seed": 0, "data_root": "mine"}

    def test_chapters_run_by_hand_with_different_values_are_told_apart(self, this):
        write_artefact(
            this.used_parameters / "06_evaluation.json",
            {"study": "mine", "seed": 7, "data_root": "/home/anna/mine"},
        )
        told = self.parameters(this)
        made = [chapter for chapter in CHAPTERS[:-1] if chapter != "04_model"]
        assert told["study"] == "mine"
        assert told["seed"] == {**dict.fromkeys(made, 0), "06_evaluation": 7}

    def test_the_chapter_that_hands_nothing_on_may_be_passed_over(self, this):
        (this.used_parameters / "04_model.json").unlink()
        assert self.parameters(this)["seed"] == 0

    def test_another_chapter_of_which_nothing_is_known_is_named(self, this):
        (this.used_parameters / "05_training.json").unlink()
        with pytest.raises(
            DeepSignError, match=r"What 05_training\.ipynb ran with .* run it again"
        ):
            self.parameters(this)


class TestWhatAStepIsMadeOf:
    def test_a_fingerprint_covers_what_the_code_imports_and_not_what_draws(self):
        # training scores with scoring, which measures with metrics
        named = set(json.loads(fingerprint(code=[training]))["code"])
        assert {"training.py", "losses.py", "scoring/scores.py", "metrics.py"} <= named
        # the report draws figures
        assert "figures" in map(room, sources([Path(report.__file__)], apart=()))
        named = set(json.loads(fingerprint(code=[report]))["code"])
        assert not [name for name in named if name.startswith("figures/")]

    def test_of_a_package_every_file_counts_that_it_hands_on(self):
        named = set(json.loads(fingerprint(code=[study]))["code"])
        assert {"study/__init__.py", "study/artefacts.py", "study/steps.py"} <= named

    def test_a_notebook_is_made_of_the_modules_that_its_code_cells_import(self):
        rooms = set(map(room, sources([ROOT / "notebooks" / "02_pairing.ipynb"])))
        assert rooms == {"chapter", "layouts", "pairing", "study"}
