"""Commands that make studies; `make` runs most of them."""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import sys
from collections import Counter
from typing import Any

from deepsign_utils import DeepSignError
from deepsign_utils.commands import arguments
from deepsign_utils.commands.group import Group, argument
from deepsign_utils.study import (
    CHAPTERS,
    DEMONSTRATION,
    PARAMETERS,
    ROOT,
    Study,
    alone,
    check_output,
    check_values,
    clear_partial,
    draws_its_own,
    news_of_images,
    read_study,
    record_images,
    resolve,
    starting_point,
    study_of,
    was_read,
    write_chapter_parameters,
    write_json,
    written_at,
)
from deepsign_utils.study.folders import expand

GROUP = Group("studies, as make runs them")


@GROUP.command(
    "draw a dataset of synthetic writers and forgers",
    argument("folder", type=arguments.path, help="where to write it"),
    argument("--writers", type=int, default=60, help="default: %(default)s"),
    argument(
        "--genuine", type=int, default=24, help="signatures of each writer; default: %(default)s"
    ),
    argument("--forgeries", type=int, default=24, help="of each writer; default: %(default)s"),
    arguments.SEED,
    argument(
        "--skill",
        type=float,
        help="of the forgers, 0 (clumsy) to 1 (nearly perfect); default: drawn for each",
    ),
    argument(
        "--replace",
        action="store_true",
        help="replace a synthetic dataset of other parameters or of an older generator",
    ),
    argument(
        "--darker-forgeries",
        type=float,
        metavar="SHARE",
        help="plant a shortcut: the paper of forgeries, and of these only, is darker by this share "
        "of its brightness (0.2, say)",
    ),
)
def _synthesize(options: argparse.Namespace) -> None:
    """Draw a dataset of synthetic writers and forgers, in the IDCAR layout.

    <writer>/ genuine, eight signed on a day, <writer>_forg/ forged, and a manifest.csv. The same
    seed draws the same bytes.
    """
    from deepsign_utils import synthetic
    from deepsign_utils.runs import naive_recipe

    folder = options.folder.resolve()
    drawn = {
        "writers": options.writers,
        "genuine": options.genuine,
        "forgeries": options.forgeries,
        "seed": options.seed,
        "skill": options.skill,
    }
    with alone(folder):
        for left in folder.parent.glob(f".{glob.escape(folder.name)}-*"):
            shutil.rmtree(left)  # of a process that was killed
        if options.darker_forgeries is None:
            synthetic.write_dataset(folder, **drawn, replace=options.replace)
        else:
            naive_recipe.write_planted(folder, options.darker_forgeries, **drawn)
    print(options.folder)


@GROUP.command(
    "check a study's parameters and write them, a file for each chapter",
    arguments.STUDY,
    arguments.RUN,
    argument("--data", help="folder of the images"),
    argument("--output", type=arguments.path, required=True, help="folder to write to"),
    *(
        argument(name, metavar=metavar, help=help, nargs=2, action="append", default=[])
        for name, metavar, help in (
            ("-p", ("NAME", "VALUE"), "a parameter"),
            ("-r", ("NAME", "TEXT"), "one taken as text"),
        )
    ),
    argument("-y", metavar="YAML", action="append", default=[], help="a mapping"),
)
def _parameters(options: argparse.Namespace) -> None:
    """Check a study's YAML and what overrides it (papermill's -p, -r and -y).

    Writes the resolved parameters, a file for each chapter, rewritten only where they change.
    """
    values = read_study(ROOT / "notebooks" / "studies" / f"{options.study}.yaml")
    values["study"] = options.run_name or values.get("study", options.study)
    if options.data:
        folder = expand(options.data).resolve()
        values["data_root"] = str(folder)
        if draws_its_own(resolve(values)["dataset"]):  # somebody's images are not those
            values["dataset"] = folder.name
    values |= check_values(_overrides(options), "PARAMS")
    starting_point(resolve(values)["start_from"])  # before chapter 5 misses the file
    demonstration = options.study == DEMONSTRATION
    chapters = [DEMONSTRATION] if demonstration else CHAPTERS
    study = study_of(values)
    drawn = demonstration or draws_its_own(study.dataset)
    if not (drawn or study.data_root.is_dir() or was_read(study)):
        raise DeepSignError(
            f"the data folder {study.data_root} does not exist: give the folder that holds the "
            "dataset as DATA=<folder> (data/README.md says how it may be laid out)"
        )
    changed = write_chapter_parameters(values, options.output, study.used_parameters, chapters)
    if changed:
        news = "; ".join(
            f"{name} was {then}, and is {now}" for name, (then, now) in changed.items()
        )
        print(
            f"{study.name} was made with other parameters ({news}): the chapters that use them run "
            "again, in its place. RUN=<another name> would keep both.",
            file=sys.stderr,
        )
    if news := news_of_images(study):
        print(news, file=sys.stderr)
    for name in PARAMETERS:
        if name.upper() in os.environ:
            print(
                f"{name.upper()} is set in the environment, and not read: "
                f'make report PARAMS="-p {name} {os.environ[name.upper()]}"',
                file=sys.stderr,
            )


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    """The parameters that papermill's -p, -r and -y set, unchecked."""
    from deepsign_utils.study.yaml_1_2 import read_yaml

    pairs = [
        # YAML would read an empty text as nothing at all.
        (name, read_yaml(value, f"PARAMS: -p {name} {value}") if value.strip() else "")
        for name, value in options.p
    ]
    pairs += options.r
    for text in options.y:
        mapping = read_yaml(text, f"PARAMS: -y {text}")
        if not isinstance(mapping, dict):
            raise DeepSignError(f"-y takes a YAML mapping such as 'references: [1, 5]'; got {text}")
        pairs += mapping.items()
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise DeepSignError(f"PARAMS sets '{name}' {count} times: which one is meant?")
    given = dict(pairs)
    if "study" in given:
        raise DeepSignError(
            f"PARAMS sets 'study', which names the folders: make report RUN={given['study']}"
        )
    return given


@GROUP.command(
    "run a notebook with papermill",
    argument("notebook", type=arguments.path, help="a notebook's file"),
    argument("--parameters", type=arguments.path, required=True, help="YAML file"),
    argument("--output", type=arguments.path, required=True, help="executed notebook"),
    argument("--missing", type=arguments.path, help="run it only if this file is missing"),
    keeps=True,
)
def _execute(options: argparse.Namespace) -> None:
    """Run a notebook with papermill.

    The output appears when every cell has run; of a failed notebook the partly executed copy is
    left beside it.
    """
    from deepsign_utils.runs.execute import execute

    check_output(options.output, [options.notebook, options.parameters], (".ipynb",))
    output = written_at(options.output)
    with alone(output):
        # Of several goals that a chapter serves, the first has it made for all of them.
        if options.missing and options.missing.exists():
            return
        parameters = read_study(options.parameters)
        print(options.notebook.stem, flush=True)
        if options.notebook.stem in (CHAPTERS[0], DEMONSTRATION):
            record_images(study_of(parameters))
        execute(options.notebook, parameters, output)


@GROUP.command(
    "run a command on a study's folders while nobody else does",
    arguments.OUTPUT_FOLDER,
    # It is not called `command`: that is this one.
    argument("given", metavar="command", nargs="+", help="the command, after --"),
)
def _alone(options: argparse.Namespace) -> None:
    """Run a command when no other one works on the same study, waiting if there is one.

    What a killed run left half written is removed.
    """
    study = Study(options.study)
    with alone(study.reports, inherited=True):
        for folder in (study.built, study.reports):
            clear_partial(folder)
        sys.stdout.flush()
        # The command takes this process's place, and with it the lock: killed, it holds none.
        os.execvp(options.given[0], options.given)


@GROUP.command("make the HTML report of executed notebooks", arguments.OUTPUT_FOLDER)
def _report(options: argparse.Namespace) -> None:
    """Make reports/<study>/index.html, and the list of all studies beside it."""
    from deepsign_utils import report

    study = Study(options.study)
    output = study.reports / "index.html"
    demonstration = study.notebooks / f"{DEMONSTRATION}.ipynb"
    if demonstration.exists():
        report.write_demonstration(demonstration, study.metrics, output)
    else:
        # The counterpart's report shows this study beside its own.
        other = Study(report.counterpart(study.name))
        for one in (other, study):
            notebooks = [one.notebooks / f"{name}.ipynb" for name in CHAPTERS]
            page = one.reports / "index.html"
            if one is study or (page.exists() and all(file.exists() for file in notebooks)):
                report.write_report(notebooks, one.metrics, page)
    with alone(study.reports.parent / "index.html"):
        report.write_index(study.reports.parent)
    print(f"\nThe report: {output.relative_to(ROOT)}")


@GROUP.command(
    "train on one dataset, test on another, for all finished studies",
    argument("studies", nargs="*", metavar="STUDY", help="default: all finished ones"),
)
def _matrix(options: argparse.Namespace) -> None:
    """Apply every finished study's model to every study's test pairs.

    Each with its own cleaning and its own threshold. Writes reports/matrix: index.html and
    matrix.json.
    """
    from deepsign_utils import report
    from deepsign_utils.runs import cross_dataset

    measured = cross_dataset.measure(options.studies or cross_dataset.finished_studies())
    folder = ROOT / "reports" / cross_dataset.NAME
    write_json(folder / "matrix.json", measured)
    output = report.write_matrix(folder / "matrix.json", folder / "index.html")
    with alone(folder.parent / "index.html"):
        report.write_index(folder.parent)
    print(f"\nThe matrix: {output.relative_to(ROOT)}")


@GROUP.command(
    "write down a finished run's numbers for reruns to reach", arguments.STUDY, arguments.RUN
)
def _publish(options: argparse.Namespace) -> None:
    """Write a finished run's numbers to notebooks/studies/expected/<study>.json.

    It is to be committed.
    """
    from deepsign_utils import report
    from deepsign_utils.runs import reproduce

    values = read_study(ROOT / "notebooks" / "studies" / f"{options.study}.yaml")
    metrics = report.read_json(Study(options.run_name or options.study).metrics)
    reproduce.check_recipe(metrics, options.study, resolve(values))
    file = reproduce.publish(metrics, options.study)
    print(f"Published: {file.relative_to(ROOT)}")


@GROUP.command("write the tables of README and docs")
def _document(options: argparse.Namespace) -> None:
    """Write the tables of README.md and docs from what was measured.

    The shipped model's card, published studies and the table of parameters.
    """
    from deepsign_utils.runs.document import document

    for file in document():
        print(f"Written: {file.relative_to(ROOT)}")


@GROUP.command(
    "compare a finished run with the study's published numbers", arguments.STUDY, arguments.RUN
)
def _reproduce(options: argparse.Namespace) -> int:
    """Compare a finished run with the study's published numbers, one by one.

    What its notebooks show is compared with those of the study's own run, where that has the same
    numbers. Exit status: 0 reproduced, 1 not.
    """
    from deepsign_utils import report
    from deepsign_utils.runs import reproduce

    first, run = Study(options.study), Study(options.run_name or options.study)
    found = report.read_json(run.metrics)
    comparison = reproduce.compare(reproduce.read_published(options.study), found)
    print(f"\n{run.name}, compared with what was published of {options.study}.")
    print(*comparison.in_words(), sep="\n")
    same = comparison.same
    if run.name != first.name and first.metrics.is_file():
        print(f"\nThe notebooks of {run.name}, compared with those of {first.name}.")
        numbers = reproduce.compare(report.read_json(first.metrics), found)
        if numbers.made_with or numbers.differences:
            print("Not compared: that run has other numbers, or was made with other versions.")
        else:
            compared, differing = reproduce.compare_outputs(first.notebooks, run.notebooks)
            lines = [f"  {cell}: DIFFERS" for cell in differing]
            lines += [f"{compared - len(differing)} of {compared} outputs equal, pictures apart."]
            print(*lines, sep="\n")
            same = same and not differing
    return 0 if same else 1


@GROUP.command(
    "make many studies: a grid of studies, seeds and parameters",
    argument("file", type=arguments.path, help="YAML file, such as notebooks/sweeps/example.yaml"),
    keeps=True,
)
def _sweep(options: argparse.Namespace) -> int:
    """Make every study of a grid with every seed and every setting, and compare them.

    On this machine or on a Dask cluster (DASK_SCHEDULER=tcp://…): reports/sweeps/<name>/. Finished
    runs are not made again. Exit status 1 if runs failed.
    """
    try:
        from deepsign_utils.runs import sweep
    except ImportError as error:
        raise DeepSignError(
            f"Sweeps need packages that are not installed ({error.name}): run `make sweep`, "
            "or install the extra: pip install 'deepsign-utils[sweep]'."
        ) from error

    grid = sweep.read_sweep(options.file)
    results = sweep.run_sweep(grid, os.environ.get("DASK_SCHEDULER", ""))
    output = sweep.write_report(grid, results)
    failed = int((results["status"] != "finished").sum())
    print(f"\n{len(results) - failed} runs finished, {failed} failed.")
    print(f"The comparison: {output.relative_to(ROOT)}")
    return 1 if failed else 0
