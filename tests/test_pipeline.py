"""The whole study, run by Make on tiny data: what comes out, what is run again, what goes wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, TINY, Project, copy_project, report_of
from PIL import Image

from deepsign_utils import __version__
from deepsign_utils.study import CHAPTERS, DEMONSTRATION, room, sources, write_artefact

pytestmark = pytest.mark.slow


def processor_seconds() -> float:
    """What the children of this process have worked: other work on the machine does not count."""
    of = os.times()
    return of.children_user + of.children_system


def times(project: Project) -> dict[str, int]:
    """When each generated file was last written."""
    return {
        str(path.relative_to(project.folder)): path.stat().st_mtime_ns
        for top in ("data/built", "reports/tiny")
        for path in (project.folder / top).rglob("*")
        if path.is_file() and path.suffix != ".partial"
    }


def said(made) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", made.stdout + made.stderr)


class TestWhatComesOut:
    def test_six_executed_notebooks_without_an_error(self, tiny_study):
        for chapter in CHAPTERS:
            file = tiny_study.folder / "reports/tiny/notebooks" / f"{chapter}.ipynb"
            notebook = nbformat.read(file, 4)
            outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
            assert outputs
            assert not [o for o in outputs if o.output_type == "error"]

    def test_metrics_in_their_fixed_form(self, tiny_study):
        metrics = json.loads((tiny_study.folder / "reports/tiny/metrics.json").read_text())
        assert (metrics["study"], metrics["dataset"], metrics["seed"]) == ("tiny", "tiny", 0)
        assert metrics["encoder"] == {
            "name": "lightweight_encoder",
            "parameters": 304672,
            "whitening": 2 * 256**2 + 384**2 + 512**2,
        }
        assert set(metrics["validation"]["references"]) == {"1", "3"}
        # two of ten writers validate, three test: 28 genuine, 64 skilled and 28 random pairs each
        assert metrics["validation"]["writers"] == 2
        assert metrics["test"]["writers"] == 3
        assert metrics["test"]["pairs"] == {"genuine": 84, "skilled": 192, "random": 84}
        assert metrics["test"]["published"]["pairs"] == {"genuine": 84, "skilled": 192}
        for of in metrics["test"]["references"].values():
            rates = [of["fnmr"], of["eer_per_writer"], of["cllr"]]
            rates += [
                of[name][kind] for name in ("eer", "fmr", "auc") for kind in ("skilled", "random")
            ]
            for rate in rates:
                assert rate["low"] <= rate["high"]
                assert rate["value"] >= 0
        assert {"size", "background", "mode", "all"} <= set(metrics["shortcuts"]["raw"])
        canvas = {"background", "stroke_width", "extent", "all"}
        assert canvas <= set(metrics["shortcuts"]["canvas"])
        provenance = metrics["provenance"]
        assert provenance["parameters"]["epochs"] == 2
        assert provenance["threads"]["tensorflow"] >= 1
        assert {"tensorflow", "keras", "numpy"} <= set(provenance["versions"])
        assert all(
            re.fullmatch(r"[0-9a-f]{64}", digest) for digest in provenance["inputs"].values()
        )

    def test_metrics_and_card_name_the_images_by_hash(self, tiny_study, tiny_data):
        reports = tiny_study.folder / "reports/tiny"
        provenance = json.loads((reports / "metrics.json").read_text())["provenance"]
        listed = subprocess.run(
            "find . -name '*.png' -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum"
            " | sha256sum",
            shell=True,
            cwd=tiny_data,
            capture_output=True,
            text=True,
            check=True,
        )
        sum_ = listed.stdout.split()[0]
        assert provenance["images"] == {"files": 160, "sha256": sum_}
        card = (reports / "model/card.md").read_text()
        assert sum_ in card
        assert f"trained by DeepSign {__version__}" in card
        assert sum_ in (reports / "index.html").read_text()

    def test_the_scores_are_those_that_the_metrics_were_made_of(self, tiny_study):
        reports = tiny_study.folder / "reports/tiny"
        metrics = json.loads((reports / "metrics.json").read_text())
        scores = pd.read_parquet(reports / "scores.parquet")
        threshold = metrics["validation"]["references"]["1"]["threshold"]
        accepted = scores["score"].astype(float) >= threshold
        one = metrics["test"]["references"]["1"]
        of = scores["kind"]
        assert one["fmr"]["skilled"]["value"] == pytest.approx(accepted[of == "skilled"].mean())
        assert one["fmr"]["random"]["value"] == pytest.approx(accepted[of == "random"].mean())
        assert one["fnmr"]["value"] == pytest.approx(1 - accepted[of == "genuine"].mean())

    def test_one_small_report_that_asks_no_other_host(self, tiny_study):
        report = tiny_study.folder / "reports/tiny/index.html"
        text = report.read_text()
        assert report.stat().st_size < 15e6
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", re.sub(r"<a [^>]*>", "", text))
        metrics = json.loads((report.parent / "metrics.json").read_text())
        eer = 100 * metrics["test"]["references"]["1"]["eer"]["skilled"]["value"]
        assert f"{eer:.1f}" in text
        assert (report.parent.parent / "index.html").is_file()

    def test_a_model_folder_complete_in_itself(self, tiny_study):
        names = {path.name for path in (tiny_study.folder / "reports/tiny/model").glob("[!.]*")}
        files = {"encoder.keras", "preprocessing.json", "scoring.json", "card.md", "SHA256SUMS"}
        assert names == files | {"encoder.onnx", "golden_vectors.json"}

    def test_nothing_names_this_machine(self, tiny_study):
        for file in ("metrics.json", "model/card.md", "model/scoring.json"):
            assert str(Path.home()) not in (tiny_study.folder / "reports/tiny" / file).read_text()
            assert (
                str(tiny_study.folder)
                not in (tiny_study.folder / "reports/tiny" / file).read_text()
            )


class TestWhatIsRunAgain:
    def test_a_second_report_does_nothing_at_once(self, tiny_study, tiny_data):
        # given a report that is whole, whatever other tests left of it
        assert tiny_study.make(*report_of(tiny_data)).returncode == 0
        before = times(tiny_study)
        worked = processor_seconds()
        made = tiny_study.make(*report_of(tiny_data))
        assert made.returncode == 0
        assert made.stdout.splitlines()[-1] == "The report: reports/tiny/index.html"
        assert processor_seconds() - worked < 6
        assert times(tiny_study) == before

    def test_touching_the_figures_draws_them_again_and_nothing_else(self, tiny_study, tiny_data):
        # given figures that were drawn differently
        before = times(tiny_study)
        figures = tiny_study.folder / "deepsign_utils/figures/style.py"
        was = figures.stat()
        figures.touch()
        # when two chapters are made
        made = tiny_study.make(
            *(f"reports/tiny/notebooks/{name}.ipynb" for name in ("02_pairing", "04_model")),
            *report_of(tiny_data)[1:],
        )
        os.utime(figures, ns=(was.st_atime_ns, was.st_mtime_ns))
        assert made.returncode == 0, said(made)
        # then they run again, as does the first chapter, whose artefact the other reads
        changed = {name for name, time in times(tiny_study).items() if before.get(name) != time}
        drawn = {name for name in changed if name.endswith(".ipynb")}
        assert {Path(name).stem for name in drawn} == {"01_eda", "02_pairing", "04_model"}
        # and no artefact is made anew
        assert not [name for name in changed if name.endswith(".parquet")]

    def test_a_parameter_reruns_what_depends_on_it_and_no_more(self, tiny_study, tiny_data):
        before = times(tiny_study)
        made = tiny_study.make(*report_of(tiny_data, bootstrap=60))
        assert made.returncode == 0, said(made)
        changed = {Path(n).stem for n, t in times(tiny_study).items() if before.get(n) != t}
        assert {"05_training", "06_evaluation", "metrics"} <= changed
        assert changed.isdisjoint({"01_eda", "02_pairing", "03_tfrecord", "encoder", "signatures"})

    def test_make_knows_the_rooms_of_each_chapter(self):
        """The Makefile's lists against the imports, followed through the package."""
        goals = ("-npq", "RUN=x", "reports/x/index.html")
        database = Project(ROOT).run("make", *goals).stdout
        for chapter in (*CHAPTERS, DEMONSTRATION):
            needed = sources([ROOT / "notebooks" / f"{chapter}.ipynb"], apart=())
            (rule,) = re.findall(rf"^reports/x/notebooks/{chapter}\.ipynb: (.*)$", database, re.M)
            listed = {ROOT / name for name in re.findall(r"deepsign_utils/\S+\.py", rule)}
            assert {room(file) for file in listed} == {*map(room, needed), "__init__"}, chapter
            assert set(needed) <= listed, chapter


class TestOtherReports:
    """What is made of more than one study, or of none: the demonstration, the matrix, one pen."""

    def test_the_demonstration_shows_what_a_naive_figure_is_worth(self, tmp_path):
        # Given writers whose forgeries lie on darker paper
        project = copy_project(tmp_path / "project")
        drawn = ["--writers", "9", "--genuine", "6", "--forgeries", "6", "--seed", "2"]
        planted = ["--darker-forgeries", "0.2", str(tmp_path / "raw")]
        project.python("-m", "deepsign_utils", "synthesize", *drawn, *planted)
        # When the demonstration runs, small
        small = "-p canvas_height 16 -p canvas_width 32 -p epochs 2 -p bootstrap 50"
        small += " -p precision bfloat16"
        made = project.make(
            "report", f"STUDY={DEMONSTRATION}", f"DATA={tmp_path / 'raw'}", f"PARAMS={small}"
        )
        assert made.returncode == 0, said(made)
        # Then it takes not the study's own place; both figures stand in its metrics.json, with
        # intervals, and at the top of its report
        reports = project.folder / "reports" / f"{DEMONSTRATION}_changed"
        assert not reports.with_name(DEMONSTRATION).exists()
        measured = json.loads((reports / "metrics.json").read_text())["demonstration"]
        assert measured["stroke_blind"]["raw"]["value"] < 0.05
        assert measured["naive"]["swapped"]["value"] > measured["naive"]["as_is"]["value"]
        for eer in (*measured["naive"].values(), measured["deepsign"]["eer"]):
            assert eer["low"] <= eer["value"] <= eer["high"]
            assert f"{100 * eer['value']:.1f}" in (reports / "index.html").read_text()
        assert f"{reports.name}/index.html" in (reports.parent / "index.html").read_text()

    @pytest.mark.torture
    def test_one_pen_and_the_matrix(self, tiny_study, tiny_data):
        # Given a study, and the same one with normalised strokes
        arguments = report_of(tiny_data, stroke_width="normalised", precision="bfloat16", epochs=1)
        made = tiny_study.make(*[a.replace("RUN=tiny", "RUN=tiny_normalised") for a in arguments])
        assert made.returncode == 0, said(made)
        reports = tiny_study.folder / "reports"
        # Then each report shows both
        for run in ("tiny", "tiny_normalised"):
            text = (reports / run / "index.html").read_text()
            assert "The same with one pen" in text
        # When each is tested on the other
        made = tiny_study.make("matrix", "STUDIES=tiny tiny_normalised")
        assert made.returncode == 0, said(made)
        cells = json.loads((reports / "matrix/matrix.json").read_text())["cells"]
        # Then at home a model has the rates of its own study
        for run in ("tiny", "tiny_normalised"):
            own = json.loads((reports / run / "metrics.json").read_text())
            own = own["test"]["references"]["1"]
            at_home = cells[run][run]
            assert at_home["eer"]["value"] == pytest.approx(own["eer"]["skilled"]["value"])
            assert at_home["fnmr"] == pytest.approx(own["fnmr"])
            assert at_home["writers"] == 3
        # and of the same images, on the same pairs, another one judges otherwise
        assert cells["tiny"]["tiny_normalised"]["eer"] == cells["tiny"]["tiny"]["eer"]
        assert cells["tiny_normalised"]["tiny"]["eer"] != cells["tiny"]["tiny"]["eer"]
        assert "matrix/index.html" in (reports / "index.html").read_text()

    def test_a_matrix_of_an_unfinished_study_is_refused(self, project):
        made = project.make("matrix", "STUDIES=nothing nowhere")
        assert made.returncode != 0
        assert "The study 'nothing' is not finished" in said(made)
        assert "Traceback" not in said(made)


class TestAChapterAlone:
    def test_training_opens_no_file_of_the_test_writers(self, tiny_study, tmp_path):
        # given a copy in which everything about the test writers is gone
        project = copy_project(tmp_path / "project")
        shutil.copytree(tiny_study.folder / "data/built", project.folder / "data/built")
        built = project.folder / "data/built/tiny"
        hidden = [built / "signatures.parquet", *built.glob("*_test.parquet")]
        hidden += [*built.glob("*published*"), *(built.parent / "shards").rglob("test-*")]
        assert len(hidden) >= 5
        for file in hidden:
            file.unlink()
        # when chapter 5 is run, then it trains
        done = project.python(
            *("-m", "papermill", "notebooks/05_training.ipynb", str(tmp_path / "out.ipynb")),
            *("-f", str(built / "parameters/05_training.yaml"), "--no-progress-bar"),
        )
        assert done.returncode == 0, done.stderr
        assert (project.folder / "reports/tiny/model/scoring.json").is_file()

    def test_probes_learn_from_no_test_writer_whatever_chapter_1_was_told(
        self, tiny_study, tmp_path
    ):
        # given a first chapter that took test writers for training ones, and what would tell them
        project = copy_project(tmp_path / "project")
        undisturbed = tiny_study.folder / "data/undisturbed"
        shutil.copytree(undisturbed / "built", project.folder / "data/built")
        shutil.copytree(undisturbed / "reports", project.folder / "reports", dirs_exist_ok=True)
        built = project.folder / "data/built/tiny"
        signatures = pd.read_parquet(built / "signatures.parquet")
        split = pd.read_parquet(built / "split.parquet")
        test = signatures[signatures["writer"].isin(split.loc[split["split"] == "test", "writer"])]
        file = built / "audit_raw/features.parquet"
        learnt = pd.read_parquet(file)
        leaked = learnt.iloc[np.arange(len(test)) % len(learnt)].copy()
        leaked.index = pd.Index(test["signature_id"].to_numpy(), name=learnt.index.name)
        leaked[:] = 1000.0 * (test["kind"].to_numpy() == "genuine")[:, None]
        write_artefact(file, pd.concat([learnt, leaked]))
        # when chapter 6 is run, then its verifier without strokes is no other.
        done = project.python(
            *("-m", "papermill", "notebooks/06_evaluation.ipynb", str(tmp_path / "out.ipynb")),
            *("-f", str(built / "parameters/06_evaluation.yaml"), "--no-progress-bar"),
        )
        assert done.returncode == 0, done.stderr
        found, expected = (
            json.loads((folder / "reports/tiny/metrics.json").read_text())["shortcuts"]["raw"]
            for folder in (project.folder, undisturbed)
        )
        assert found == expected

    def test_one_notebook_alone_by_papermill(self, tiny_study, tmp_path):
        done = tiny_study.python(
            *("-m", "papermill", "notebooks/04_model.ipynb", str(tmp_path / "out.ipynb")),
            *("-p", "canvas_height", "32", "-p", "canvas_width", "64", "--no-progress-bar"),
        )
        assert done.returncode == 0, done.stderr
        assert "304,672" in (tmp_path / "out.ipynb").read_text()

    def test_papermill_lists_the_parameters_with_their_meaning(self, tiny_study):
        done = tiny_study.python(
            "-m", "papermill", "--help-notebook", "notebooks/05_training.ipynb"
        )
        assert re.search(r"epochs: int \(default 20\)\s+upper bound", done.stdout)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A copy of the project in which nothing has run."""
    return copy_project(tmp_path_factory.mktemp("wrong"))


class TestWhatGoesWrong:
    """Each is told in a line that says what and where; no traceback, and the next run goes on."""

    def refused(self, project: Project, *goals: str) -> str:
        made = project.make(*goals)
        text = said(made)
        assert made.returncode != 0
        assert "Traceback" not in text
        return text

    def test_an_unknown_parameter(self, project):
        text = self.refused(project, "report", "PARAMS=-p epoch 3")
        assert "'epoch', which is no parameter. Did you mean 'epochs'?" in text

    def test_a_value_of_the_wrong_type(self, project):
        assert "'epochs' is 'many'" in self.refused(project, "report", "PARAMS=-p epochs many")
        assert "'start_from' is 3" in self.refused(project, "report", "PARAMS=-p start_from 3")

    def test_a_study_s_name_among_its_parameters(self, project):
        text = self.refused(project, "report", "PARAMS=-p study mine")
        assert "PARAMS sets 'study', which names the folders: make report RUN=mine" in text

    @pytest.mark.parametrize("parameters", ["-p epochs '[3'", "-y 'epochs: ['"])
    def test_a_value_that_is_no_yaml(self, project, parameters):
        text = self.refused(project, "report", f"PARAMS={parameters}")
        assert "is not valid YAML: while parsing" in text

    @pytest.mark.parametrize(
        "parameters",
        ["-p epochs 2 -p epochs 3", "-p epochs 2 -y 'epochs: 2'", "-p epochs 2 -r epochs 2"],
    )
    def test_a_parameter_that_is_set_twice(self, project, parameters):
        text = self.refused(project, "report", f"PARAMS={parameters}")
        assert "PARAMS sets 'epochs' 2 times: which one is meant?" in text

    @pytest.mark.parametrize("value", [".inf", "1e400", ".nan"])
    def test_a_number_without_end(self, project, value):
        text = self.refused(project, "report", f"PARAMS=-p learning_rate {value}")
        assert "it must be a number" in text

    @pytest.mark.parametrize("name", ["matrix", "sweeps", "Capture", "README.md"])
    def test_a_name_that_another_report_has(self, project, name):
        text = self.refused(project, "report", f"RUN={name}")
        assert f"reports/{name} is another report's place" in text

    def test_a_name_that_reads_like_an_option(self, project):
        assert "does not begin with a hyphen" in self.refused(project, "report", "RUN=-x")

    def test_an_unknown_study(self, project):
        assert "Studies there: bhsig260_bengali" in self.refused(project, "report", "STUDY=cedr")

    def test_a_missing_folder_of_images(self, project):
        text = self.refused(project, "report", "STUDY=cedar")
        assert str(project.folder / "data/raw/cedar") in text
        assert not (project.folder / "data/built/cedar/parameters/01_eda.yaml").exists()

    def test_an_empty_folder(self, project, tmp_path):
        assert str(tmp_path) in self.refused(project, "report", f"DATA={tmp_path}", "RUN=empty")

    def test_a_layout_that_fits_nothing(self, project, tmp_path):
        Image.new("L", (60, 30), 255).save(tmp_path / "scan.png")
        text = self.refused(project, "report", f"DATA={tmp_path}", "RUN=odd")
        assert "manifest.csv" in text

    def test_a_chapter_that_started_worker_processes_ends_without_a_word(self, project, tmp_path):
        """Their tracker outlives them; a kernel that waits for it complains when it is stopped."""
        # given a notebook that leaves such a tracker behind
        cell = nbformat.v4.new_code_cell(
            "import multiprocessing, concurrent.futures as futures, tensorflow\n"
            "with futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:\n"
            "    print(pool.submit(abs, -7).result())"
        )
        language = {"name": "python"}
        notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": language})
        nbformat.write(notebook, tmp_path / "pool.ipynb")
        (tmp_path / "parameters.yaml").write_text("seed: 0\n")
        # when it is executed
        files = ["--parameters", tmp_path / "parameters.yaml", "--output", tmp_path / "out.ipynb"]
        command = ["-m", "deepsign_utils", "execute", tmp_path / "pool.ipynb", *files]
        made = project.python(*map(str, command))
        # then nothing is said of tasks, interrupts or a kernel that had to be killed
        assert made.returncode == 0, made.stderr
        assert '"7\\n"' in (tmp_path / "out.ipynb").read_text()
        assert "pending" not in made.stderr
        assert "IPKernelApp] ERROR" not in made.stderr

    def test_a_failing_cell_is_shown_and_run_again_next_time(self, tiny_study, tiny_data, tmp_path):
        # given a study whose first chapter alone has run
        project, kept = copy_project(tmp_path), tiny_study.folder / "data/undisturbed"
        shutil.copytree(kept / "built", project.folder / "data/built")
        shutil.copytree(kept / "reports", project.folder / "reports", dirs_exist_ok=True)
        for chapter in CHAPTERS[1:]:
            (project.folder / f"reports/tiny/notebooks/{chapter}.ipynb").unlink()
        notebook = project.folder / "notebooks/02_pairing.ipynb"
        whole = notebook.read_text()
        notebook.write_text(whole.replace("pairing.split_writers(", "pairing.split_writer(", 1))
        made = project.make(*report_of(tiny_data))
        assert made.returncode != 0
        assert "02_pairing stopped in cell" in said(made)
        assert "has no attribute 'split_writer'" in said(made)
        executed = project.folder / "reports/tiny/notebooks"
        assert (executed / "02_pairing.partial.ipynb").is_file()
        assert not (executed / "02_pairing.ipynb").exists()
        # mended, it goes on from there
        before = times(project)["reports/tiny/notebooks/01_eda.ipynb"]
        notebook.write_text(whole)
        assert (
            project.make(
                *report_of(tiny_data)[1:], "reports/tiny/notebooks/02_pairing.ipynb"
            ).returncode
            == 0
        )
        assert times(project)["reports/tiny/notebooks/01_eda.ipynb"] == before


class TestWhenImagesChange:
    def test_the_chapters_that_used_them_run_again_or_it_is_said_what_they_stand_on(
        self, tiny_data, tmp_path
    ):
        # given two chapters of a study
        project, data = copy_project(tmp_path / "project"), tmp_path / "signatures"
        shutil.copytree(tiny_data, data)
        chapters = [f"reports/tiny/notebooks/{name}.ipynb" for name in CHAPTERS[:2]]
        goals = [chapters[1], *report_of(data)[1:]]
        assert project.make(*goals).returncode == 0
        table = project.folder / "data/built/tiny/signatures.parquet"
        assert pd.read_parquet(table)["writer"].nunique() == 10
        # when a writer is withdrawn, both are made of the others
        for kind in ("", "_forg"):
            shutil.rmtree(data / f"0007{kind}")
        before = times(project)
        made = project.make(*goals)
        assert made.returncode == 0, said(made)
        assert "16 withdrawn" in said(made)
        assert all(times(project)[name] > before[name] for name in chapters)
        assert "0007" not in set(pd.read_parquet(table)["writer"])
        # when a file is touched, nothing happens
        before = times(project)
        (data / "0001" / "0001_01.png").touch()
        assert project.make(*goals).returncode == 0
        assert {name: times(project)[name] for name in chapters} == {
            name: before[name] for name in chapters
        }
        # when the folder is gone, what is there stays, and it is said what it stands on
        data.rename(tmp_path / "elsewhere")
        made = project.make(*goals)
        assert made.returncode == 0, said(made)
        assert re.search(r"signatures is gone: the report stands on the \d+ files", said(made))


@pytest.mark.torture
@pytest.mark.parametrize(
    ("study", "folder"),
    [("cedar", "cedar-half"), ("icdar2011_dutch", "icdar2011-dutch-half")],
)
def test_a_short_study_of_real_signatures(real_data, tmp_path, study, folder):
    """No code is touched: the folder and parameters are all that differs."""
    project = copy_project(tmp_path)
    shutil.copytree(real_data / folder, tmp_path / "raw")
    made = project.make(
        "report", f"STUDY={study}", "RUN=tiny", f"DATA={tmp_path / 'raw'}", f"PARAMS={TINY}"
    )
    assert made.returncode == 0, said(made)
    metrics = json.loads((project.folder / "reports/tiny/metrics.json").read_text())
    assert metrics["dataset"] == study
    assert metrics["test"]["pairs"]["skilled"] > 0


def test_the_help_names_every_goal():
    made = Project(ROOT).make()
    goals = re.findall(r"^make (\w+)", made.stdout, re.M)
    assert {"report", "reproduce", "lab", "test", "torture", "lint", "lock", "clean"} <= set(goals)
    assert sys.version_info >= (3, 11)
