"""What lies around a user changes no answer: settings, variables, encodings, a moved checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Project, copy_project, report_of
from serving import model_folder, signature

from deepsign_utils import DeepSignError
from deepsign_utils.__main__ import main
from deepsign_utils.runs import reproduce, sweep
from deepsign_utils.study import Study, surroundings
from deepsign_utils.study.processes import progress_bar
from deepsign_utils.study.relocation import relocate


def hostile_home(folder: Path) -> dict[str, str]:
    """A home of a person with many other projects; the environment of their shell."""
    files = {
        ".keras/keras.json": json.dumps(
            {"floatx": "float16", "backend": "theano", "image_data_format": "channels_first"}
        ),
        ".config/matplotlib/matplotlibrc": "text.usetex: True\nfigure.dpi: 31\naxes.grid: False\n",
        ".ipython/profile_default/startup/00-mine.py": (
            "import os\nROWS = 5\nmy_project = 'thesis'\nfit = 7\nepochs = 'many'\nseed = -1\n"
        ),
        ".ipython/profile_default/ipython_kernel_config.py": (
            "c.InteractiveShellApp.exec_lines = ['raise SystemExit(9)']\n"
            "c.InteractiveShell.ast_node_interactivity = 'none'\n"
        ),
        ".jupyter/jupyter_config.json": '{"KernelManager": {"transport": "carrier pigeon"}}',
        ".local/share/jupyter/kernels/python3/kernel.json": json.dumps(
            {"argv": ["/bin/false"], "display_name": "mine", "language": "python"}
        ),
        "start.py": "raise SystemExit('started by PYTHONSTARTUP')\n",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "JUPYTER_PATH": str(folder / ".local/share/jupyter"),
        "JUPYTER_PREFER_ENV_PATH": "0",
        "JPY_SESSION_NAME": "mine.ipynb",
        "KERAS_HOME": str(folder / ".keras"),
        "KERAS_MAX_EPOCHS": "1",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
        "MPLBACKEND": "Qt5Agg",
        "MATPLOTLIBRC": str(folder / ".config/matplotlib/matplotlibrc"),
        "PYTHONSTARTUP": str(folder / "start.py"),
        "PYTHONWARNINGS": "error",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "SOURCE_DATE_EPOCH": "yesterday",
        "PYTHONIOENCODING": "cp1252",
        "LC_ALL": "C",
        "TZ": "Asia/Kathmandu",
        "DATA": "/somewhere/else",
        "RUN": "another study",
        "STUDY": "cedar",
        "PYTHON": "/usr/bin/false",
        "EPOCHS": "3",
        "WRITERS": "3",
        "ONLY": "fax",
    }


def numbers(project: Project) -> dict:
    """A study's metrics, but for the time it took."""
    found = json.loads((project.folder / "reports/tiny/metrics.json").read_text())
    del found["provenance"]["seconds"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "begun", ["at training", pytest.param("at its first chapter", marks=pytest.mark.torture)]
)
def test_a_study_is_the_same_to_the_last_digit(
    begun, half_way, tiny_study, tiny_data, tmp_path: Path
):
    project = half_way if begun == "at training" else copy_project(tmp_path / "copy")
    environment = hostile_home(tmp_path / "home")

    made = project.run("make", *report_of(tiny_data), **environment)

    said = made.stdout + made.stderr
    assert made.returncode == 0, said
    assert numbers(project) == numbers(Project(tiny_study.folder / "data/undisturbed"))
    # and figures, byte for byte, but for one of times
    for file in (tiny_study.folder / "data/undisturbed/reports/tiny/figures").iterdir():
        again = project.folder / "reports/tiny/figures" / file.name
        assert file.name == "storage.svg" or again.read_bytes() == file.read_bytes(), file.name
    # and so is what every cell of the notebooks shows.
    shown, differing = reproduce.compare_outputs(
        tiny_study.folder / "data/undisturbed/reports/tiny/notebooks",
        project.folder / "reports/tiny/notebooks",
    )
    assert shown > 40
    assert differing == []
    for name in ("STUDY", "EPOCHS", "WRITERS"):  # the others are given to make here
        assert f"{name} is set" in said
    assert "absl" not in said  # nor does TensorFlow log of itself


@pytest.mark.slow
def test_a_bare_papermill_works_as_typed(tiny_data, tmp_path: Path):
    page = (ROOT / "docs" / "parameters.md").read_text()
    commands = re.findall(r"^\.venv/bin/papermill .*$", page, re.M)
    assert len(commands) == 2
    project, home = copy_project(tmp_path / "copy"), tmp_path / "home"
    home.mkdir()
    (home / "signatures").symlink_to(tiny_data)
    for command in commands:
        made = project.run("sh", "-c", command, HOME=str(home))
        assert made.returncode == 0, made.stdout + made.stderr
    split = project.folder / "data/built/mine/split.parquet"
    assert (pd.read_parquet(split)["split"] == "test").sum() == 2  # of ten, the second fifth


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_a_tilde_is_a_home_everywhere(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "signatures").mkdir()
    assert Study("mine", data_root="~/signatures").data_root == tmp_path / "signatures"
    grid = tmp_path / "grid.yaml"
    grid.write_text("studies: [cedar]\nseeds: [0]\ndata: {cedar: ~/signatures}\n")
    assert {run.images for run in sweep.read_sweep(grid).runs} == {tmp_path / "signatures"}
    project = copy_project(tmp_path / "copy")
    made = project.make("data/built/mine/parameters/01_eda.yaml", "RUN=mine", "DATA=~/signatures")
    assert made.returncode == 0, made.stderr
    written = (project.folder / "data/built/mine/parameters/01_eda.yaml").read_text()
    assert f'data_root: "{tmp_path / "signatures"}"' in written


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_lab_keeps_a_users_lab_settings_and_not_their_ipython():
    made = subprocess.run(
        ["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    line = " ".join(made.stdout.replace("\\\n", " ").split())
    assert f"IPYTHONDIR='{ROOT}/data/built/.settings/ipython'" in line
    assert "-u MPLBACKEND" in line
    for own in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTER_NO_CONFIG"):
        assert own not in line


def test_metrics_tell_on_what_keras_computed(tiny_study):
    assert numbers(tiny_study)["provenance"]["arithmetic"] == {
        "backend": "tensorflow",
        "image_data_format": "channels_last",
        "precision": "float32",
    }


def verified(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """`verify` on files whose names hold letters of many scripts."""
    names = ["署名一.png", "توقيع.png", "স্বাক্ষর 🖊.png"]
    for number, name in enumerate(names):
        signature(1, number).save(folder / name)
    command = [sys.executable, "-m", "deepsign_utils", "verify", *names[:2]]
    command += ["--questioned", names[2], "--model", str(model_folder()), "--json"]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )


def test_a_verdict_is_the_same_to_the_last_digit(tmp_path: Path):
    plain = verified(tmp_path, dict(os.environ))
    hostile = verified(tmp_path, {**os.environ, **hostile_home(tmp_path / "home")})
    homeless = verified(tmp_path, {"PATH": os.environ["PATH"], "HOME": "/nowhere"})
    assert plain.returncode in (0, 1), plain.stderr
    for other in (hostile, homeless):
        assert other.returncode == plain.returncode, other.stderr
        assert json.loads(other.stdout) == json.loads(plain.stdout)


def test_a_name_that_the_terminal_lacks_is_printed_as_an_escape(tmp_path: Path):
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "deepsign_utils", "verify", "署.png", "--questioned", "b.png"]
    made = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert made.returncode == 2
    assert b"\\u7f72.png cannot be read" in made.stderr


def test_a_slow_machine_hears_nothing_of_font_caches(tmp_path: Path):
    # matplotlib says so when the cache has taken five seconds; here, at once
    code = """
import threading
timer = threading.Timer
threading.Timer = lambda seconds, say: timer(0, say)
{}
from matplotlib import font_manager
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", code.format(first)],
            cwd=ROOT,
            env={**os.environ, "MPLCONFIGDIR": str(tmp_path / str(number))},
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        for number, first in enumerate(("", "import deepsign_utils"))
    ]
    assert "font cache" in said[0]
    assert said[1] == ""


def test_a_backend_that_is_none_is_told():
    with pytest.raises(DeepSignError, match=r"KERAS_BACKEND.*'theano'.*tensorflow, jax, torch"):
        surroundings.keep_apart({"KERAS_BACKEND": "theano"})


def test_unknown_settings_are_named_with_the_nearest_one(capsys):
    environment = {"DEEPSIGN_API_KEY": "k", "DEEPSIGN_SERVICE_HOST": "h", "DEEPSIGN_PORT": "1"}
    with pytest.raises(DeepSignError, match=r"DEEPSIGN_API_KEY .*did you mean DEEPSIGN_API_KEYS"):
        surroundings.tell_ignored(dict(environment), strict=True)
    surroundings.tell_ignored(environment)
    said = capsys.readouterr().err
    assert said.splitlines()[0] == (
        "DEEPSIGN_API_KEY is no setting of DeepSign: did you mean DEEPSIGN_API_KEYS?"
    )
    assert "DEEPSIGN_SERVICE_HOST" in said
    assert list(environment) == ["DEEPSIGN_PORT"]  # what is started from here says it no more
    with pytest.raises(DeepSignError, match=r"deepsign_api_keys .*did you mean DEEPSIGN_API_KEYS"):
        surroundings.tell_ignored({"deepsign_api_keys": "k"}, strict=True)


def test_the_model_of_a_service_is_told_to_be_no_other_s(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEPSIGN_MODEL", str(tmp_path))
    (tmp_path / "blank.png").write_bytes(b"")
    image = str(tmp_path / "blank.png")
    assert main(["verify", image, "--questioned", image]) == 2
    assert "DEEPSIGN_MODEL is for serve: here --model names a model." in capsys.readouterr().err


@pytest.mark.parametrize(("quiet", "shown"), [("no", True), ("0", True), ("", True), ("1", False)])
def test_quiet_means_what_it_says(quiet: str, shown: bool, monkeypatch):
    monkeypatch.setenv("DEEPSIGN_QUIET", quiet)
    assert progress_bar(total=1).disable is not shown


def test_the_settings_are_those_of_the_service():
    from deepsign_utils.verifying.service.settings import Settings

    known = [name.lower() for name in surroundings.SETTINGS]
    assert known == [*Settings.model_fields, "threads", "data", "quiet"]


def test_a_moved_environment_names_its_new_place(tmp_path: Path):
    old, new = tmp_path / "old", tmp_path / "new place"
    environment = old / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    script = environment / "bin" / "tool"
    script.write_text(f"#!{environment}/bin/python\nprint('{old}er')\n")
    script.chmod(0o755)
    (path_file,) = [next(environment.glob("lib/python*/site-packages")) / "__editable__.pth"]
    path_file.write_text(f"{old}\n")
    assert relocate(environment) == 0

    old.rename(new)
    moved = new / ".venv"
    assert relocate(moved) >= 5

    # It runs where no first line may name the interpreter, and another folder's name stays
    ran = subprocess.run([moved / "bin" / "tool"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{old}er\n"
    assert (moved / path_file.relative_to(environment)).read_text() == f"{new}\n"
    assert str(moved) in (moved / "bin" / "activate").read_text()
    assert relocate(moved) == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("given", "environment", "said"),
    [
        (["RUN=a b"], {}, "RUN is 'a b': it names a folder"),
        ([], {"RUN": "other"}, "RUN is set in the environment, and not read"),
        ([], {"DATA": "/x"}, "DATA is set in the environment, and not read"),
    ],
)
def test_make_says_what_it_does_not_take(given: list, environment: dict, said: str):
    made = subprocess.run(
        ["make", "-n", "help", *given],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in made.stdout + made.stderr
    assert (made.returncode == 0) == (not given)
