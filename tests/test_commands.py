"""The command line as such: its help, its exit statuses, and what it does with its output."""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PATIENCE, ROOT
from serving import model_folder, signature

from deepsign_utils import synthetic
from deepsign_utils.__main__ import LEFT, main
from deepsign_utils.commands.parser import EXIT_STATUSES, GROUPS, parser
from deepsign_utils.study import digest, study_of
from deepsign_utils.study.yaml_1_2 import read_yaml_file
from deepsign_utils.verifying.verifier import Verifier


def commands() -> list[str]:
    return [command.name for group in GROUPS for command in group.commands]


def deepsign(*arguments: object, environment: dict | None = None, **options) -> tuple[int, str]:
    """Run a command in a process of its own; its status and what it wrote to standard error."""
    made = subprocess.run(
        [sys.executable, "-m", "deepsign_utils", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        stderr=subprocess.PIPE,
        check=False,
        **options,
    )
    return made.returncode, made.stderr.decode("utf-8", "surrogateescape")


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """Six synthetic writers with four genuine signatures and four forgeries each."""
    folder = tmp_path_factory.mktemp("commands") / "people"
    synthetic.write_dataset(folder, writers=6, genuine=4, forgeries=4, seed=3, progress=False)
    return folder


def test_help_has_every_command_in_a_group(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert sorted(commands()) == sorted(re.findall(r"^  ([a-z]+)  +\S", said, re.M))
    assert said.endswith(EXIT_STATUSES)


def test_the_page_on_commands_shows_this_help():
    page = (ROOT / "docs" / "commands.md").read_text()
    assert f"```\n{parser('deepsign').epilog}```\n" in page


@pytest.mark.parametrize("command", commands())
def test_every_command_tells_its_options(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"{command} [-h] [-q]" in said
    for page in re.findall(r"\bdocs/\w+\.md", said):
        assert (ROOT / page).is_file()
    assert "README" not in said or command == "document"
    assert "%%" not in said
    known = next(one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    assert [one.dest for one in known.choices[command]._actions if not one.help] == []


def test_what_is_typed_wrongly_is_status_2():
    assert deepsign("verfy")[0] == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_completes_commands_and_options():
    script = subprocess.run(
        [sys.executable, "-m", "deepsign_utils", "completion", "bash"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for typed, completed in (("ver", "verify"), ("verify --thr", "--threshold")):
        words = f"COMP_WORDS=(deepsign {typed}); COMP_CWORD={len(typed.split())}"
        asked = f'{script}\n{words}; _shtab_deepsign; echo "${{COMPREPLY[@]}}"'
        made = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
        assert made.stdout.strip() == completed


def test_whoever_stops_reading_the_output_gets_no_traceback(people: Path, tmp_path: Path):
    one, other, third = sorted((people / "0001").iterdir())[:3]
    model = ("--model", model_folder())
    table = tmp_path / "pairs.csv"
    table.write_text(f"left,right\n{one},{other}\n")
    verify = ("verify", one, other, "--questioned", third, *model)
    judged = deepsign(*verify, stdout=subprocess.DEVNULL)[0]
    for command, status in (
        (("completion", "bash"), LEFT),
        (("layouts",), LEFT),
        (("compare", table, "--output", tmp_path / "c.csv", *model), LEFT),
        (("embed", people, "--output", tmp_path / "e.npz", *model), LEFT),
        (("manifest", people, "--output", tmp_path / "m.csv"), LEFT),
        (("evaluate", people, *model), LEFT),
        (verify, judged),  # the verdict stands
    ):
        read, write = os.pipe()
        os.close(read)
        found, said = deepsign(*command, stdout=write)
        os.close(write)
        assert found == status, (command, said)
        assert "Traceback" not in said
        assert "BrokenPipe" not in said


def test_quiet_shows_no_progress(people: Path, tmp_path: Path):
    model, output = ("--model", model_folder()), tmp_path / "e.npz"
    assert "image/s" in deepsign("embed", people, "--output", output, *model)[1]
    for command in (("-q", "embed"), ("embed", "--quiet")):
        assert deepsign(*command, people, "--output", output, *model) == (0, "")


def test_a_name_is_printed_as_it_is_where_python_reads_no_unicode(tmp_path: Path):
    bare = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    status, said = deepsign("audit", tmp_path / "署名", environment=bare)
    assert status == 1
    assert "署名 does not exist" in said


def test_quiet_export_says_one_line(tmp_path: Path):
    given = ("-q", "export", model_folder(), "--output", tmp_path / "out")
    assert deepsign(*given, stdout=subprocess.DEVNULL) == (0, "")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("verify", "", "--questioned", "a.png"), "argument REFERENCE: it is empty"),
        (("verify", "a.png", "--questioned", ""), "argument --questioned: it is empty"),
        (("embed", "", "--output", "e.npz"), "argument IMAGE-OR-FOLDER: it is empty"),
        (("compare", "", "--output", "judged.csv"), "argument PAIRS.csv: it is empty"),
        (("evaluate", "", "--output", "e.json"), "argument folder: it is empty"),
        (("extract", "a.png", "--output", ""), "argument --output: it is empty"),
        (("evaluate", "~nobody-of-that-name/x"), "there is no home that ~ could stand for"),
        (
            ("verify", "a.png", "--questioned", "b.png", "--questioned", "c.png"),
            "--questioned is given twice: which one is meant?",
        ),
    ],
)
def test_a_name_that_is_empty_nobodys_or_given_twice_is_typed_wrongly(
    command: tuple, said: str, capsys
):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


# What is only half there


def test_genuine_signatures_alone_are_told_and_calibrate_takes_them(people, tmp_path, capsys):
    flat, folders, cedar = tmp_path / "a/genuine", tmp_path / "b", tmp_path / "c/full_org"
    for writer in range(1, 7):
        for n, file in enumerate(sorted((people / f"{writer:04}").iterdir()), 1):
            for copy in (
                flat / f"{writer}_{n}.png",
                folders / f"{writer}/{n}.png",
                cedar / f"original_{writer}_{n}.png",
            ):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
    for name in ("a", "a/genuine", "b", "c"):
        for command in ("evaluate", "audit"):
            assert main([command, str(tmp_path / name)]) == 1
            said = capsys.readouterr().err
            assert re.search(
                "24 genuine images and no forged one|genuine signatures of 6 people", said
            ), said
            assert re.search("calibrate, verify and serve work with these", said, re.I), said
        output = tmp_path / f"model {name.replace('/', ' ')}"
        assert main(["calibrate", str(tmp_path / name), "--output", str(output)]) == 0
        assert "24 images of 6 writers, 0 left out" in capsys.readouterr().out
    # The model names the images by the hash that sha256sum gives.
    files = sorted(path.relative_to(folders).as_posix() for path in folders.rglob("*.png"))
    lines = "".join(f"{digest(folders / file)}  {file}\n" for file in files)
    sum_ = hashlib.sha256(lines.encode()).hexdigest()
    (one,) = json.loads((tmp_path / "model b/scoring.json").read_text())["measured_on"]
    assert one["sha256"] == sum_
    assert sum_ in (tmp_path / "model b/card.md").read_text()
    # Calibrated once more, it still owes what it infers of forgeries to the public sets.
    again = tmp_path / "again"
    model = str(tmp_path / "model b")
    assert main(["calibrate", str(folders), "--output", str(again), "--model", model]) == 0
    assert "inferred from BHSig260 Bengali" in capsys.readouterr().out
    (twice,) = json.loads((again / "scoring.json").read_text())["measured_on"]
    assert twice["skilled_inferred_from"] == one["skilled_inferred_from"]


@pytest.mark.parametrize("name", ["2024-01-0{n}/{writer}.png", "{n}_{writer}.png"])
def test_calibrate_takes_no_days_for_people(name, tmp_path: Path, capsys):
    """Given eight people's signatures, sorted by the day on which they signed."""
    for place in ((writer, n) for writer in range(8) for n in range(1, 7)):
        file = tmp_path / "days" / name.format(writer=10_020 + place[0], n=place[1])
        file.parent.mkdir(parents=True, exist_ok=True)
        signature(*place).save(file)
    output = tmp_path / "model"
    assert main(["calibrate", str(tmp_path / "days"), "--output", str(output)]) == 1
    assert "no more alike than those of several" in capsys.readouterr().err
    assert not output.exists()


def test_calibrate_looks_askance_at_forgeries_among_the_genuine(people: Path, tmp_path, capsys):
    for n, file in enumerate(sorted(people.rglob("*.png"))):
        copy = tmp_path / "mixed" / file.parent.name.removesuffix("_forg") / f"{n}.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    said = []
    for folder in (people, tmp_path / "mixed"):
        model = tmp_path / f"model of {folder.name}"
        assert main(["calibrate", str(folder), "--output", str(model)]) == 0
        said.append("are among the genuine ones." in capsys.readouterr().out)
    assert said == [False, True]


def test_forgeries_alone_are_told(people: Path, tmp_path: Path, capsys):
    shutil.copytree(people / "0001_forg", tmp_path / "0001_forg")
    for command in ("evaluate", "audit"):
        assert main([command, str(tmp_path)]) == 1
        assert "4 forged images and no genuine one" in capsys.readouterr().err


def test_one_writer_is_too_few_and_what_was_left_out_is_why(people: Path, tmp_path: Path, capsys):
    names = {"Reference/R": "0001", "Simulated/S": "0001_forg", "Disguise/D": "0002"}
    for name, source in names.items():
        for n, file in enumerate(sorted((people / source).iterdir()), 1):
            copy = tmp_path / f"TrainingSet/{name}{n:03}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    assert main(["evaluate", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "1 writer has two genuine signatures and a forgery, but 2 are needed" in said
    assert "4 left out as other hand: the writer's own, in disguise" in said


def test_copies_do_not_make_a_writer_to_calibrate_on(people: Path, tmp_path: Path, capsys):
    for writer in range(1, 7):
        (tmp_path / f"people/{writer}").mkdir(parents=True)
        for n in range(3):
            file = people / f"{writer:04}" / f"{writer:04}_01.png"
            shutil.copy(file, tmp_path / f"people/{writer}/{n}.png")
    assert main(["calibrate", str(tmp_path / "people"), "--output", str(tmp_path / "m")]) == 1
    said = capsys.readouterr().err
    assert "0 writers with two different genuine signatures" in said
    assert "6 images of 6 writers could be used; 12 left out: a copy of another file" in said


def test_calibrate_names_what_is_in_its_way(people: Path, tmp_path: Path, capsys):
    def calibrate(*options: str) -> tuple[int, str]:
        output = tmp_path / f"model {len(list(tmp_path.iterdir()))}"
        return main(["calibrate", str(folder), "--output", str(output), *options]), (
            capsys.readouterr().err
        )

    folder = tmp_path / "customers"
    names = ["Forge Smith", "p 2", "p 3", "p 4", "p 5", "p 6"]
    for writer, name in enumerate(names, 1):
        shutil.copytree(people / f"{writer:04}", folder / name)
    status, said = calibrate()
    assert status == 1
    assert "'Forge Smith/0001_01.png' has a word for them" in said
    assert "--layout genuine_only" in said
    shutil.copy(folder / "p 2/0002_01.png", folder / "p 4/9.png")
    status, said = calibrate("--layout", "genuine_only")
    assert status == 0
    for one, other in (("p 4/9.png", "p 2/0002_01.png"), ("p 2/0002_01.png", "p 4/9.png")):
        assert (
            f"Left out: {one}: a copy of another file, byte for byte: {other}, which is "
            "another person's: one of the two labels is wrong\n"
        ) in said
    (folder / "Forge Smith").rename(folder / "p 1")
    (folder / "p 5/old").mkdir()
    (folder / "p 5/0005_01.png").rename(folder / "p 5/old/x.png")
    for options in ((), ("--layout", "genuine_only")):
        status, said = calibrate(*options)
        assert status == 1
        assert "the folder 'p 5/old' does not lie beside those of other people" in said
    (folder / "p 5/old").rename(folder / "p 5/genuine")  # a word for it is no person
    shutil.copy(folder / "p 3/0003_01.png", folder / "stray.png")
    assert "'stray.png' lies in no person's folder" in calibrate()[1]


def test_calibrate_takes_no_wrong_manifest_for_none(people: Path, tmp_path: Path, capsys):
    shutil.copytree(people, tmp_path / "people")
    with (tmp_path / "people/manifest.csv").open("a") as manifest:
        manifest.write("0001/0001_01.png,1,perhaps,\n")
    for folder in tmp_path.glob("people/*_forg"):
        folder.rename(folder.with_name(folder.name.replace("_forg", " x")))
    given = ["calibrate", str(tmp_path / "people"), "--output", str(tmp_path / "m")]
    assert main(given) == 1
    assert "kind must be genuine or forgery, not 'perhaps'" in capsys.readouterr().err


# Tables and outputs


@pytest.mark.parametrize(
    "content",
    [
        "left;right\n{};{}\n",
        "sep=;\nleft;right;note\n{};{};x\n",
        "\ufeffLeft,Right\n{},{}\n",
        "right\tleft\n{}\t{}\n",
    ],
)
def test_pairs_are_read_as_spreadsheets_write_them(content: str, people: Path, tmp_path: Path):
    one, other = sorted((people / "0001").iterdir())[:2]
    table, output = tmp_path / "pairs.csv", tmp_path / "judged.csv"
    table.write_text(content.format(one, other), encoding="utf-8")
    given = ["compare", str(table), "--output", str(output), "--model", str(model_folder())]
    assert main(given) == 0
    *above, header, row = output.read_text(encoding="utf-8-sig").splitlines()
    assert above == [line for line in content.splitlines() if line.startswith("sep=")]
    (delimiter,) = set(";\t,") & set(content)
    assert header.split(delimiter)[:2] in (["left", "right"], ["right", "left"])
    assert {"accepted", "rejected", "referred"} & set(row.split(delimiter))


def test_a_row_with_more_values_than_columns_is_refused(tmp_path: Path, capsys):
    table = tmp_path / "pairs.csv"
    table.write_text("left,right\na.png,b.png,c.png\n")
    assert main(["compare", str(table), "--output", str(tmp_path / "judged.csv")]) == 1
    assert "line 2: 3 values for 2 columns" in capsys.readouterr().err


def test_a_pair_that_lacks_an_image_is_named_by_its_line(people: Path, tmp_path: Path, capsys):
    one, other = sorted((people / "0001").iterdir())[:2]
    table, output = tmp_path / "half.csv", tmp_path / "judged.csv"
    table.write_text(f"left,right\n{one},{other}\n{one},\n ,{other}\n")
    given = ["compare", str(table), "--output", str(output), "--model", str(model_folder())]
    assert main(given) == 0
    said = capsys.readouterr().err
    assert f"Left out: {table}, line 3: the column right is empty\n" in said
    assert f"Left out: {table}, line 4: the column left is empty\n" in said
    assert "directory" not in said
    rows = output.read_text().splitlines()
    assert re.search(",(accepted|rejected|referred),", rows[1])
    assert rows[2].endswith(",,the column right is empty,,")


def test_a_table_with_a_column_twice_says_so(tmp_path: Path, capsys):
    (tmp_path / "pairs.csv").write_text("left,right,left\na,b,c\n")
    given = ["compare", str(tmp_path / "pairs.csv"), "--output", str(tmp_path / "judged.csv")]
    assert main(given) == 1
    assert "has several called 'left'" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_not_called_empty(tmp_path: Path, capsys):
    folder = tmp_path / "nonesuch"
    for command in ("manifest", "evaluate", "audit"):
        assert main([command, str(folder)]) == 1
        assert "nonesuch does not exist" in capsys.readouterr().err
    assert main(["calibrate", str(folder), "--output", str(tmp_path / "m")]) == 1
    assert "nonesuch does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_new_model_takes_no_folder_that_holds_something(people: Path, tmp_path: Path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    (tmp_path / "file").touch()
    sets = [f"a={people}", f"b={people}"]
    for given in (["calibrate", str(people)], ["promise", *sets]):
        for target, said in (
            ("full", "is not empty"),
            ("file", "is a file"),
            ("file/below", f"{tmp_path / 'file/below'} cannot be written"),
        ):
            assert main([*given, "--output", str(tmp_path / target)]) == 1
            told = capsys.readouterr().err
            assert said in told
            assert "image/s" not in told  # nothing was begun
    below = str(tmp_path / "file/below")
    page = str(next((people / "0001").iterdir()))
    for given in (["synthesize", below], ["extract", page, "--output", below]):
        assert main(given) == 1
        assert f"{below} cannot be written" in capsys.readouterr().err
    assert main(["calibrate", str(people), "--output", str(people / "model")]) == 1
    assert "lies among the images" in capsys.readouterr().err


@pytest.mark.parametrize(
    "seed", ["-1", str(2**32), "1e3", "9" * 5000, "0" * 5000], ids=lambda seed: seed[:12]
)
def test_a_seed_out_of_bounds_is_said_to_be(people: Path, seed: str, capsys):
    for command in (["evaluate", str(people)], ["audit", str(people)]):
        with pytest.raises(SystemExit, match="2"):
            main([*command, f"--seed={seed}"])
        assert "whole number from 0 to 4294967295" in capsys.readouterr().err


def test_what_a_study_starts_from_is_looked_for_first(tmp_path: Path, capsys):
    given = ["parameters", "idcar", "--output", str(tmp_path / "p"), "--run", "x", "-p"]
    assert main([*given, "start_from", "none.keras"]) == 1
    assert "start_from is 'none.keras', but there is no model file" in capsys.readouterr().err
    assert main([*given, "seed", str(2**32)]) == 1
    assert "it must be 4294967295 or less" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_empty_text_is_one_and_a_tilde_a_home(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    out = tmp_path / "parameters"
    given = ["parameters", "cedar", "--output", str(out), "--run", "x", "-p", "start_from", ""]
    assert main([*given, "-p", "data_root", "~"]) == 0, capsys.readouterr().err
    used = read_yaml_file(out / "05_training.yaml", "it") | read_yaml_file(
        out / "01_eda.yaml", "it"
    )
    assert (used["start_from"], used["data_root"]) == ("", "~")
    assert study_of(used).data_root == tmp_path
    assert main([*given, "-p", "data_root", "~nobody-of-that-name/x"]) == 1
    assert "there is no home that ~ could stand for" in capsys.readouterr().err
    signature(1, 1).save(tmp_path / "one.png")
    assert main(["verify", "~/one.png", "--questioned", "~/one.png"]) == 3  # a copy


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_the_status_is_the_same_where_nobody_listens(people: Path, closed: str):
    image = next((people / "0001").iterdir())
    line = f"'{sys.executable}' -m deepsign_utils verify '{image}' --questioned '{image}' {closed}"
    unheard = subprocess.run(["bash", "-c", line], capture_output=True, cwd=ROOT, check=False)
    assert (unheard.returncode, unheard.stderr) == (3, b"")  # a copy


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_verdict_that_cannot_be_written_is_not_called_none(people: Path):
    image = next((people / "0001").iterdir())
    with Path("/dev/full").open("wb") as full:
        status, said = deepsign("verify", image, "--questioned", image, stdout=full)
    assert status == 2
    assert (
        said.strip()
        == "It was judged, but the answer could not be written: No space left on device."
    )


@pytest.mark.parametrize("report", [False, True])
def test_verify_names_all_images_that_cannot_be_used(people: Path, tmp_path, capsys, report: bool):
    good = str(next((people / "0001").iterdir()))
    bad = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    for file in bad:
        Path(file).write_text("no image")
    given = ["verify", bad[0], good, bad[1], "--questioned", bad[2]]

    assert main([*given, *["--report", str(tmp_path / "case.html")] * report]) == 2

    told = capsys.readouterr().err.strip().splitlines()
    for line, file in zip(told, bad, strict=True):
        assert line.startswith(file)
    assert not (tmp_path / "case.html").exists()


def test_verify_says_what_interrupted_it_and_takes_no_folder(people: Path, capsys, monkeypatch):
    image = str(next((people / "0001").iterdir()))
    assert main(["verify", str(people / "0001"), "--questioned", image]) == 2
    assert f"{people / '0001'} is a folder: name the images in it." in capsys.readouterr().err

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Verifier, "compare", interrupted)
    assert main(["verify", image, "--questioned", image]) == 2
    assert capsys.readouterr().err.strip() == "Interrupted: nothing was judged."


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_what_is_interrupted_and_keeps_nothing_claims_nothing(tmp_path: Path):
    running = subprocess.Popen(
        [sys.executable, "-m", "deepsign_utils", "synthesize", tmp_path / "people"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # Drawn beside, moved there when whole; some are, so that the processes that draw have started.
    while len(list(tmp_path.glob(".people-*/*"))) < 4:
        assert running.poll() is None
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)

    said = running.communicate(timeout=60)[1]

    assert running.returncode == 1
    assert "Interrupted." in said
    assert "kept" not in said
    assert "Traceback" not in said, said
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_what_sigterm_ends_has_the_status_that_is_told(tmp_path: Path):
    assert "  143  ended by SIGTERM" in EXIT_STATUSES
    log = tmp_path / "log"
    line = (
        f"'{sys.executable}' -m deepsign_utils serve --port 0 --model '{model_folder()}' "
        f"> '{log}' 2>&1 & while ! grep -q listening '{log}'; do sleep 0.1; done; "
        'kill -TERM $!; wait $!; echo "status $?"'
    )
    environment = {**os.environ, "DEEPSIGN_STORE": str(tmp_path / "e.sqlite")}
    ended = subprocess.run(
        ["bash", "-c", line],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ended.stdout == "status 143\n", ended.stderr + log.read_text()


def test_an_extraction_takes_no_folder_that_holds_something(tmp_path: Path, capsys):
    pages = [tmp_path / "letter.png", tmp_path / "contract.png"]
    for writer, page in enumerate(pages):
        signature(writer).save(page)
    out = tmp_path / "out"
    failed = ["extract", str(tmp_path / "none.png"), "--output", str(out)]
    assert main(failed) == 1
    assert main(["extract", str(pages[0]), "--output", str(out)]) == 0  # nothing is in the way
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    for page in pages:
        capsys.readouterr()
        assert main(["extract", str(page), "--output", str(out)]) == 1
        assert "out is not empty: name a new folder" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.parametrize(
    ("command", "name", "endings"),
    [
        (("compare", "pairs.csv", "--output"), "out.xlsx", ".csv or .parquet"),
        (("embed", "a.png", "--output"), "e4.csv", ".npz or .parquet"),
        (("evaluate", ".", "--output"), "found.csv", ".json"),
        (("manifest", ".", "--output"), "manifest.xlsx", ".csv"),
        (("verify", "a.png", "--questioned", "b.png", "--report"), "case.pdf", ".html or .htm"),
        (("execute", "n.ipynb", "--parameters", "p.yaml", "--output"), "n.html", ".ipynb"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_output_whose_name_promises_another_format_is_refused_at_once(
    command: tuple, name: str, endings: str, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for file in ("a.png", "b.png"):
        signature(1).save(file)
    Path("pairs.csv").write_text("left,right\na.png,b.png\n")
    for typed in (name, Path(name).stem):
        assert main([*command, typed]) == (2 if command[0] == "verify" else 1)
        assert f"The output {typed} must end in {endings}." in capsys.readouterr().err
        assert not Path(typed).exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_an_output_that_is_a_pipe_or_what_is_printed_stays(tmp_path: Path):
    one, other = tmp_path / "a.png", tmp_path / "b.png"
    signature(1).save(one)
    signature(1, 2).save(other)
    (tmp_path / "pairs.csv").write_text("left,right\na.png,b.png\n")
    verify = ("verify", one, "--questioned", other, "--report")
    os.mkfifo(tmp_path / "case.html")
    os.mkfifo(tmp_path / "judged.csv")
    for command in (
        (*verify, tmp_path / "case.html"),
        ("compare", tmp_path / "pairs.csv", "--output", tmp_path / "judged.csv"),
    ):
        status, said = deepsign(*command)
        assert status == (2 if command[0] == "verify" else 1)
        assert "it is a device, pipe or socket; name a file" in said
        assert Path(command[-1]).is_fifo()
    with (tmp_path / "printed.html").open("w") as printed:
        status, said = deepsign(*verify, tmp_path / "printed.html", stdout=printed)
    assert (status, "messages of this command go there" in said) == (2, True)


def test_a_link_to_an_output_is_written_through(people: Path, tmp_path: Path):
    (tmp_path / "judged.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("judged.csv")
    one, other = sorted((people / "0001").iterdir())[:2]
    (tmp_path / "pairs.csv").write_text(f"left,right\n{one},{other}\n")
    given = ["compare", str(tmp_path / "pairs.csv"), "--output", str(tmp_path / "link.csv")]
    assert main([*given, "--model", str(model_folder())]) == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "judged.csv").read_text().startswith("left,right,score")
