"""The command line: ``python -m deepsign_utils <command>``.

Exit status 0: done. 1: the study stopped, and why is on the standard error. 2: the command itself
was wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from deepsign_utils import DeepSignError, __version__, studies


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
    except DeepSignError as error:
        print(f"\n{error}\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; what was finished is kept.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deepsign_utils",
        description="DeepSign: offline signature verification that can be trusted and rerun.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="command", required=True)

    synthesize = commands.add_parser(
        "synthesize",
        help="draw a dataset of synthetic writers and forgers",
        description="Draw a dataset of synthetic writers and forgers, in the IDCAR layout: "
        "<writer>/ genuine, <writer>_forg/ forged, and a manifest.csv. The same seed draws the "
        "same bytes.",
    )
    synthesize.add_argument("folder", type=Path, help="where to write it")
    synthesize.add_argument("--writers", type=int, default=60, help="default: %(default)s")
    synthesize.add_argument(
        "--genuine", type=int, default=24, help="signatures of each writer; default: %(default)s"
    )
    synthesize.add_argument(
        "--forgeries", type=int, default=24, help="of each writer; default: %(default)s"
    )
    synthesize.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    synthesize.add_argument(
        "--skill",
        type=float,
        help="of the forgers, 0 (clumsy) to 1 (nearly perfect); default: drawn for each",
    )
    synthesize.set_defaults(run=_synthesize)

    parameters = commands.add_parser(
        "parameters",
        help="check a study's parameters and write them, a file for each chapter",
        description="Check a study's YAML and what overrides it (papermill's -p, -r and -y), and "
        "write the resolved parameters, a file for each chapter, rewritten only where they change.",
    )
    parameters.add_argument("study", help="name of a file in notebooks/studies, without .yaml")
    parameters.add_argument("--run", dest="run_name", help="output folder; default: the study's")
    parameters.add_argument("--data", help="folder of the images")
    parameters.add_argument("--output", type=Path, required=True, help="folder to write to")
    pair = {"nargs": 2, "action": "append", "default": []}
    parameters.add_argument("-p", metavar=("NAME", "VALUE"), help="a parameter", **pair)
    parameters.add_argument("-r", metavar=("NAME", "TEXT"), help="one taken as text", **pair)
    parameters.add_argument("-y", metavar="YAML", action="append", default=[], help="a mapping")
    parameters.set_defaults(run=_parameters)

    execute = commands.add_parser(
        "execute",
        help="run a notebook with papermill",
        description="Run a notebook with papermill. The output appears when every cell has run; "
        "of a failed notebook the partly executed copy is left beside it.",
    )
    execute.add_argument("notebook", type=Path)
    execute.add_argument("--parameters", type=Path, required=True, help="YAML file")
    execute.add_argument("--output", type=Path, required=True, help="executed notebook")
    execute.set_defaults(run=_execute)

    report = commands.add_parser(
        "report",
        help="make the HTML report of executed notebooks",
        description="Make reports/<study>/index.html, and the list of all studies beside it.",
    )
    report.add_argument("study", help="name of the study's output folder")
    report.set_defaults(run=_report)
    return parser


def _synthesize(options: argparse.Namespace) -> None:
    from deepsign_utils import synthetic

    synthetic.write_dataset(
        options.folder,
        writers=options.writers,
        genuine=options.genuine,
        forgeries=options.forgeries,
        seed=options.seed,
        skill=options.skill,
    )
    print(options.folder)


def _parameters(options: argparse.Namespace) -> None:
    values = studies.read_study(studies.ROOT / "notebooks" / "studies" / f"{options.study}.yaml")
    values["study"] = options.run_name or values.get("study", options.study)
    if options.data:
        values["data_root"] = str(Path(options.data).resolve())
    given = {name: yaml.safe_load(value) for name, value in options.p} | dict(options.r)
    for text in options.y:
        mapping = yaml.safe_load(text)
        if not isinstance(mapping, dict):
            raise DeepSignError(f"-y takes a YAML mapping such as 'references: [1, 5]'; got {text}")
        given |= mapping
    values |= studies.check_values(given, "PARAMS")
    studies.write_chapter_parameters(values, options.output)


def _execute(options: argparse.Namespace) -> int:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    os.environ.setdefault("TQDM_MININTERVAL", "5")
    partial = options.output.with_name(f"{options.output.stem}.partial.ipynb")
    parameters = yaml.safe_load(options.parameters.read_text(encoding="utf-8"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    print(options.notebook.stem, flush=True)
    try:
        papermill.execute_notebook(
            options.notebook,
            partial,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            stderr_file=sys.stderr,  # progress bars
            cwd=studies.ROOT,
        )
    except PapermillExecutionError as error:
        print(_explain(error, options.notebook, partial), file=sys.stderr)
        return 1
    partial.replace(options.output)
    return 0


def _explain(error: Exception, notebook: Path, partial: Path) -> str:
    """Which cell failed and why; the traceback only where the user cannot have caused it."""
    if error.ename == DeepSignError.__name__:
        reason = error.evalue
    else:
        source = "\n".join(f"    {line}" for line in error.source.splitlines())
        reason = f"{source}\n\n" + "\n".join(error.traceback)
    return (
        f"\n{notebook.stem} stopped in cell [{error.exec_count}]:\n\n{reason}\n\n"
        f"The notebook as far as it got: {partial}\n"
    )


def _report(options: argparse.Namespace) -> None:
    from deepsign_utils import reporting

    study = studies.Study(options.study)
    notebooks = [study.reports / "notebooks" / f"{name}.ipynb" for name in studies.CHAPTERS]
    output = study.reports / "index.html"
    reporting.write_report(notebooks, study.metrics, output)
    reporting.write_index(study.reports.parent)
    print(f"\nThe report: {output.relative_to(studies.ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
