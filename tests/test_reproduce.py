"""Published numbers, and what a rerun that misses them is told."""

import copy
import json
import shutil
from pathlib import Path

import nbformat
import pytest
from conftest import Project

from deepsign_utils import DeepSignError
from deepsign_utils.runs import reproduce


def rate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def metrics() -> dict:
    return {
        "study": "cedar",
        "encoder": {"name": "lightweight_encoder", "parameters": 304672},
        "validation": {"writers": 11, "references": {"1": {"threshold": -0.25}}},
        "test": {"writers": 17, "references": {"1": {"eer": {"skilled": rate(0.3)}}}},
        "shortcuts": {"raw": {"size": {"verdict": "flagged"}}},
        "provenance": {
            "seed": 0,
            "parameters": {"study": "cedar", "epochs": 10},
            "versions": {"numpy": "2.4.0"},
            "threads": {"tensorflow": 2},
            "processor": "A, x86_64, avx2",
            "inputs": {"signatures": "00ff"},
            "seconds": {"training": 100.0},
        },
    }


def rerun(changes: dict[str, object]) -> dict:
    """The same, later, in another folder, with changes by dotted name."""
    values = copy.deepcopy(metrics())
    changes = {"study": "again", "provenance.seconds.training": 7.0, **changes}
    for name, value in changes.items():
        *path, last = name.split(".")
        node = values
        for key in path:
            node = node[key]
        node[last] = value
    return values


@pytest.fixture
def published(tmp_path) -> dict:
    reproduce.publish(metrics(), "cedar", tmp_path)
    return reproduce.read_published("cedar", tmp_path)


ELSEWHERE = {"provenance.processor": "B, x86_64, avx512f"}
EER = "test.references.1.eer.skilled.value"
THRESHOLD = "validation.references.1.threshold"


def test_only_a_study_s_own_numbers_are_published():
    usual = {"study": "lab", "dataset": "synthetic", "data_root": "", "epochs": 10}
    for changed in ({"epochs": 1}, {"data_root": "our_customers"}, {"dataset": "our_customers"}):
        run = rerun({"provenance.parameters": {**usual, **changed}})
        (name,) = changed
        with pytest.raises(DeepSignError, match=f"not the study synthetic: it ran with {name}"):
            reproduce.check_recipe(run, "synthetic", usual)
    reproduce.check_recipe(rerun({"provenance.parameters": usual}), "synthetic", usual)
    # Real images lie where their owner put them
    real = usual | {"dataset": "cedar"}
    elsewhere = rerun({"provenance.parameters": {**real, "data_root": "CEDAR"}})
    reproduce.check_recipe(elsewhere, "cedar", real)


def test_times_are_not_published(published):
    assert "seconds" not in published["provenance"]


def test_an_equal_rerun_is_reproduced_whatever_its_folder_and_time(published):
    comparison = reproduce.compare(published, rerun({}))
    assert comparison.same
    assert comparison.made_with == comparison.differences == []
    assert comparison.in_words()[-1].startswith(f"{comparison.numbers} of {comparison.numbers} ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (EER, 0.30000000000000004),
        (EER, 0.30000001),
        ("test.references.1.eer.skilled.low", 0.2),
        (THRESHOLD, -0.2500001),
        ("test.writers", 16),
        ("test.writers", 17.0),
        ("shortcuts.raw.size.verdict", "chance"),
        ("provenance.inputs.signatures", "00fe"),
        ("provenance.parameters.epochs", 11),
        ("provenance.seed", 1),
        ("test.more", 1),
    ],
)
def test_made_alike_every_number_must_be_equal(published, name, value):
    comparison = reproduce.compare(published, rerun({name: value}))
    assert not comparison.same
    assert [difference.name for difference in comparison.differences] == [name]
    assert any(name in line and "DIFFERS" in line for line in comparison.in_words())


@pytest.mark.parametrize("name", ["provenance.versions.numpy", *ELSEWHERE])
def test_what_it_was_made_with_is_named(published, name):
    words = "\n".join(reproduce.compare(published, rerun({name: "9"})).in_words())
    assert name.removeprefix("provenance.") in words
    assert "95 % interval" in words


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        (EER, 0.3, True),
        (EER, 0.349, True),
        (EER, 0.351, False),
        (EER, 0.249, False),
        (EER, None, False),
        (THRESHOLD, -0.9, True),  # of one trained network: listed only
        ("shortcuts.raw.size.verdict", "chance", True),
        ("provenance.inputs.signatures", "00fe", True),
        ("test.writers", 16, False),
        ("encoder.name", None, False),
        ("provenance.parameters.epochs", 11, False),
        ("provenance.seed", 1, False),
    ],
)
def test_made_elsewhere_a_rate_may_lie_in_its_published_interval(published, name, value, same):
    comparison = reproduce.compare(published, rerun({**ELSEWHERE, name: value}))
    assert comparison.same is same
    assert all(name in d.name for d in comparison.differences)


@pytest.mark.parametrize(("low", "same"), [(0.0, True), (0.0001, False)])
def test_a_rate_of_nothing_is_reached_where_the_rerun_s_own_interval_holds_it(published, low, same):
    published["test"]["references"]["1"]["eer"]["skilled"] = {"value": 0.0, "low": 0.0, "high": 0.0}
    other = rerun({**ELSEWHERE, EER: 0.0002})
    other["test"]["references"]["1"]["eer"]["skilled"] |= {"low": low, "high": 0.0006}
    assert reproduce.compare(published, other).same is same


def test_a_study_that_was_never_published_is_named_with_those_that_were(published, tmp_path):
    with pytest.raises(DeepSignError, match=r"study dutch .*Published: cedar"):
        reproduce.read_published("dutch", tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"provenance": 1}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "cedar.json").write_text(text)
    with pytest.raises(DeepSignError, match=r"cedar\.json is damaged"):
        reproduce.read_published("cedar", tmp_path)


def test_what_is_published_in_the_repository_can_be_read():
    for file in reproduce.EXPECTED.glob("*.json"):
        assert reproduce.read_published(file.stem)["test"]
        assert len(json.dumps(reproduce.read_published(file.stem))) < 50_000


def executed(
    file: Path, rate: str = "12.0", picture: str = "AAAA", drawn: str = "", text: str = ""
):
    """A chapter with a table, a picture, a cell that shows times, and what was printed."""
    v4 = nbformat.v4
    outputs = [
        v4.new_output("execute_result", {"text/plain": f"rate  {rate}", "text/html": rate}),
        v4.new_output("display_data", {"image/png": picture, "text/plain": drawn or "Bars."}),
        v4.new_output("stream", text=text or "7 pairs\n"),
    ]
    cells = [
        v4.new_code_cell("", id=f"02-0{number}", outputs=[output])
        for number, output in enumerate(outputs)
    ]
    seconds = v4.new_output("stream", text=f"{id(cells)} s")
    timed = {"tags": [reproduce.TIMED]}
    cells += [v4.new_code_cell("", id="02-09", outputs=[seconds], metadata=timed)]
    cells += [v4.new_markdown_cell("Said."), v4.new_code_cell("silent = 1")]
    file.parent.mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells), file)


@pytest.mark.parametrize(
    ("changed", "differing"),
    [
        ({}, []),
        ({"picture": "BBBB"}, []),
        ({"rate": "12.5"}, ["02_pairing, cell 02-00"]),
        ({"drawn": "Other bars."}, ["02_pairing, cell 02-01"]),
        ({"text": "8 pairs\n"}, ["02_pairing, cell 02-02"]),
    ],
)
def test_what_two_runs_show_is_compared_but_for_pictures_and_times(tmp_path, changed, differing):
    # given two runs of a chapter, and one of which a single run is left
    executed(tmp_path / "first" / "02_pairing.ipynb")
    executed(tmp_path / "again" / "02_pairing.ipynb", **changed)
    executed(tmp_path / "first" / "04_model.ipynb")
    # when they are compared, then each cell whose words differ is named
    found = reproduce.compare_outputs(tmp_path / "first", tmp_path / "again")
    assert found == (3, differing)


def as_a_study(project: Project, name: str) -> Path:
    """The tiny study's parameters as a study of that name."""
    metrics = project.folder / "data/undisturbed/reports/tiny/metrics.json"
    parameters = json.loads(metrics.read_text())["provenance"]["parameters"]
    file = project.folder / f"notebooks/studies/{name}.yaml"
    file.write_text(json.dumps({**parameters, "study": name, "data_root": ""}))
    return file


@pytest.mark.slow
def test_a_rerun_is_compared_with_the_notebooks_of_the_first_run(tiny_study):
    # given a published run, and another one with the same numbers
    command = ["-m", "deepsign_utils"]
    reports = tiny_study.folder / "reports"
    for name in ("first", "repeated"):
        shutil.copytree(tiny_study.folder / "data/undisturbed/reports/tiny", reports / name)
    study = as_a_study(tiny_study, "first")
    assert tiny_study.python(*command, "publish", "first").returncode == 0
    # when their notebooks show the same, then that is said
    same = tiny_study.python(*command, "reproduce", "first", "--run", "repeated")
    assert same.returncode == 0, same.stderr
    assert "outputs equal, pictures apart." in same.stdout
    assert "DIFFERS" not in same.stdout
    # when a table of the rerun shows something else, then it is named
    file = reports / "repeated/notebooks/02_pairing.ipynb"
    file.write_text(file.read_text().replace("skilled", "practised"))
    other = tiny_study.python(*command, "reproduce", "first", "--run", "repeated")
    assert other.returncode == 1
    assert "02_pairing, cell 02-11: DIFFERS" in other.stdout
    for name in ("first", "repeated"):
        shutil.rmtree(reports / name)
    study.unlink()


@pytest.mark.slow
def test_a_finished_run_is_published_and_compared_on_the_command_line(tiny_study):
    """As `make publish` and `make reproduce` do; the exit status is the verdict."""
    command = ["-m", "deepsign_utils"]
    metrics = tiny_study.folder / "data/undisturbed/reports/tiny/metrics.json"
    again = tiny_study.folder / "reports/again/metrics.json"
    again.parent.mkdir()
    again.write_text(metrics.read_text())

    missing = tiny_study.python(*command, "reproduce", "cedar", "--run", "again")
    assert missing.returncode == 1
    assert "make publish STUDY=cedar" in missing.stderr

    # Only a study's own numbers take the place of its published ones
    refused = tiny_study.python(*command, "publish", "synthetic", "--run", "again")
    assert refused.returncode == 1
    assert "The run 'tiny' is not the study synthetic: it ran with" in refused.stderr

    study = as_a_study(tiny_study, "own")
    published = tiny_study.python(*command, "publish", "own", "--run", "again")
    assert published.returncode == 0, published.stderr
    same = tiny_study.python(*command, "reproduce", "own", "--run", "again")
    assert same.returncode == 0, same.stderr
    assert ", 0 within tolerance, 0 listed only, 0 not." in same.stdout

    other = json.loads(metrics.read_text())
    other["test"]["references"]["1"]["fnmr"]["value"] += 0.5
    again.write_text(json.dumps(other))
    differs = tiny_study.python(*command, "reproduce", "own", "--run", "again")
    assert differs.returncode == 1
    assert "test.references.1.fnmr.value" in differs.stdout
    assert "DIFFERS" in differs.stdout
    shutil.rmtree(again.parent)
    study.unlink()
