"""The command line: ``deepsign <command>``, or ``python -m deepsign_utils <command>``.

Its exit statuses stand in `EXIT_STATUSES`, which ``deepsign --help`` and docs/commands.md show.
"""

from __future__ import annotations

import argparse
import atexit
import builtins
import glob
import json
import mmap
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsign_utils import DeepSignError, __version__, layouts
from deepsign_utils.study import (
    CHAPTERS,
    DEMONSTRATION,
    PARAMETERS,
    PRETRAINED,
    ROOT,
    Study,
    alone,
    check_new_folder,
    check_output,
    check_values,
    clear_partial,
    draws_its_own,
    news_of_images,
    read_study,
    record_images,
    resolve,
    starting_point,
    write_atomically,
    write_chapter_parameters,
    write_json,
    written_at,
)
from deepsign_utils.study.surroundings import (
    expand,
    forget_output,
    keep_apart,
    load_keras,
    print_anything,
    tell_ignored,
)

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError

    from deepsign_utils.verifying.calibration import People

EXIT_STATUSES = """\
exit status:
  0    done; of compare, embed, evaluate and calibrate: of those that could be used, and the rest
       are listed
  1    stopped, and why stands on the standard error, by Ctrl-C too; of compare and embed: none
       could be used; of extract: a file could not be read, of reproduce: a number differs, of
       sweep: a run failed
  2    the command was typed wrongly
  141  whoever read the output has left, as `head` does
  143  ended by SIGTERM, as a shell tells it; serve has then answered what was in work
  verify answers by its own: 0 accepted, 1 rejected, 2 could not be judged, 3 referred to a person
"""
LEFT = 141  # as shells tell of a program that ended because its reader had left


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    print_anything()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        forget_output()
        return LEFT


def _run(arguments: Sequence[str] | None) -> int:
    if sys.warnoptions:  # PYTHONWARNINGS=error makes an end of any remark of any package
        warnings.simplefilter("default")
    options = _parser().parse_args(arguments)
    failed = 2 if options.run is _verify else 1  # where 1 is a rejection
    if options.run in (_verify, _embed, _compare, _serve):
        # NumPy's threads would start for nothing: the encoder's are onnxruntime's.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        keep_apart()
        tell_ignored(strict=options.run is _serve)
        if options.quiet:
            os.environ["DEEPSIGN_QUIET"] = "1"  # also for what is started from here
        return options.run(options) or 0
    except BrokenPipeError:
        raise
    except DeepSignError as error:
        print(f"\n{error}\n", file=sys.stderr)
        return failed
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("deepsign_utils"):
            raise
        evaluates = options.run in (_evaluate, _calibrate, _promise) and error.name != "keras"
        extra = "evaluate" if evaluates else "study"
        print(
            f"\nThis needs the package {error.name}, which is not installed. It comes with: "
            f"pip install 'deepsign-utils[{extra}]'\n",
            file=sys.stderr,
        )
        return failed
    except OSError as error:  # a full disk, a folder that may not be written to
        where = f"{error.filename}: " if error.filename else ""
        print(f"\n{where}{error.strerror or error}.\n", file=sys.stderr)
        return failed
    except KeyboardInterrupt:
        print("\nInterrupted; what was finished is kept.", file=sys.stderr)
        return failed


class _InGroups(argparse.RawDescriptionHelpFormatter):
    """Leaves the commands to the epilog, which has them in groups."""

    def add_argument(self, action: argparse.Action) -> None:
        if not isinstance(action, argparse._SubParsersAction):
            super().add_argument(action)


class _Commands:
    """Subcommands in groups, so that ``--help`` reads like a table of contents."""

    GROUPS: Mapping[str, Sequence[str]] = {
        "verify signatures": ("verify", "compare", "embed", "extract"),
        "fit a model to people": ("calibrate", "promise", "export"),
        "look at data": ("evaluate", "audit", "capture", "manifest", "layouts", "realism"),
        "serve": ("serve",),
        "studies, as make runs them": (
            *("synthesize", "parameters", "execute", "alone", "report", "matrix", "publish"),
            *("document", "reproduce", "sweep"),
        ),
        "shell": ("completion",),
    }

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._known = parser.add_subparsers(metavar="command", required=True, prog=parser.prog)
        self._help: dict[str, str] = {}

    def add_parser(self, name: str, help: str, description: str) -> argparse.ArgumentParser:
        self._help[name] = help
        parser = self._known.add_parser(name, help=help, description=description)
        # Before or after the command; unset here, so that it undoes nothing.
        parser.add_argument("-q", "--quiet", **_QUIET, default=argparse.SUPPRESS)
        return parser

    def in_groups(self) -> str:
        """Every command with its help, by group."""
        width = max(map(len, self._help))
        return "\n".join(
            f"{group}:\n" + "".join(f"  {name:{width}}  {self._help[name]}\n" for name in names)
            for group, names in self.GROUPS.items()
        )


def _name(text: str) -> str:
    """A file's or folder's name, as typed; an empty one would stand for the folder at hand."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty, and names no file or folder")
    return text


def _path(text: str) -> Path:
    """A path as typed, with ``~`` as the user's home."""
    try:
        return expand(_name(text))
    except DeepSignError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seed(text: str) -> int:
    from deepsign_utils.study.parameters import LARGEST_SEED

    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST_SEED):
        raise argparse.ArgumentTypeError(f"it must be a whole number from 0 to {LARGEST_SEED}")
    return int(text)


_QUIET: dict[str, Any] = {"action": "store_true", "help": "no progress bars"}


def _parser(prog: str = "") -> argparse.ArgumentParser:
    typed = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        prog=prog or (typed if typed == "deepsign" else "python -m deepsign_utils"),
        usage="%(prog)s [-q] command … ; %(prog)s command --help",
        description="DeepSign: offline signature verification that can be trusted and rerun.",
        formatter_class=_InGroups,
    )
    parser.add_argument("--version", action="version", version=f"deepsign {__version__}")
    parser.add_argument("-q", "--quiet", **_QUIET)
    commands = _Commands(parser)

    synthesize = commands.add_parser(
        "synthesize",
        help="draw a dataset of synthetic writers and forgers",
        description="Draw a dataset of synthetic writers and forgers, in the IDCAR layout: "
        "<writer>/ genuine, <writer>_forg/ forged, and a manifest.csv. The same seed draws the "
        "same bytes.",
    )
    synthesize.add_argument("folder", type=_path, help="where to write it")
    synthesize.add_argument("--writers", type=int, default=60, help="default: %(default)s")
    synthesize.add_argument(
        "--genuine", type=int, default=24, help="signatures of each writer; default: %(default)s"
    )
    synthesize.add_argument(
        "--forgeries", type=int, default=24, help="of each writer; default: %(default)s"
    )
    synthesize.add_argument("--seed", type=_seed, default=0, help="default: %(default)s")
    synthesize.add_argument(
        "--skill",
        type=float,
        help="of the forgers, 0 (clumsy) to 1 (nearly perfect); default: drawn for each",
    )
    synthesize.add_argument(
        "--replace",
        action="store_true",
        help="replace a synthetic dataset of other parameters or of an older generator",
    )
    synthesize.add_argument(
        "--darker-forgeries",
        type=float,
        metavar="SHARE",
        help="plant a shortcut: the paper of forgeries, and of these only, is darker by this share "
        "of its brightness (0.2, say)",
    )
    synthesize.set_defaults(run=_synthesize)

    realism = commands.add_parser(
        "realism",
        help="set synthetic signatures beside those of datasets: what they measure alike",
        description="Draw synthetic writers and measure them beside datasets: aspect, density, "
        "stroke width, curvature, ends and branches. Writes realism.csv, realism.svg and a gallery "
        "of the synthetic writers; of the datasets, numbers only.",
    )
    realism.add_argument(
        "datasets", nargs="+", metavar="NAME=FOLDER", help="a dataset and what to call it"
    )
    realism.add_argument(
        "--output",
        type=_path,
        required=True,
        metavar="FOLDER",
        help="where to write; files of the same names are replaced",
    )
    realism.add_argument("--seed", type=_seed, default=0, help="default: %(default)s")
    realism.set_defaults(run=_realism)

    manifest = commands.add_parser(
        "manifest",
        help="write a first manifest.csv for a folder of images, to be corrected",
        description="List a folder's images with writer and kind: as a known layout tells, as "
        "--pattern says, or guessed from names. What is unsure is marked; a manifest is read when "
        "no mark is left. Paths are relative to the folder: the manifest belongs into it.",
    )
    manifest.add_argument("folder", type=_path, help="a dataset's folder")
    manifest.add_argument(
        "--pattern",
        metavar="TEXT",
        help="how a path below the folder tells, as '{writer}/{kind}_{n}' or '{kind}/{writer}-*'",
    )
    manifest.add_argument(
        "--output", type=_path, metavar="FILE.csv", help="default: manifest.csv in the folder"
    )
    manifest.set_defaults(run=_manifest)

    known = commands.add_parser(
        "layouts",
        help="show the known folder layouts, each with an example tree",
        description="Show the known folder layouts, each with an example tree and what is read "
        "from every file of it.",
    )
    known.set_defaults(run=lambda options: print(layouts.described(), end=""))

    parameters = commands.add_parser(
        "parameters",
        help="check a study's parameters and write them, a file for each chapter",
        description="Check a study's YAML and what overrides it (papermill's -p, -r and -y), and "
        "write the resolved parameters, a file for each chapter, rewritten only where they change.",
    )
    parameters.add_argument("study", help="name of a file in notebooks/studies, without .yaml")
    parameters.add_argument("--run", dest="run_name", help="output folder; default: the study's")
    parameters.add_argument("--data", help="folder of the images")
    parameters.add_argument("--output", type=_path, required=True, help="folder to write to")
    pair: dict[str, Any] = {"nargs": 2, "action": "append", "default": []}
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
    execute.add_argument("notebook", type=_path, help="a notebook's file")
    execute.add_argument("--parameters", type=_path, required=True, help="YAML file")
    execute.add_argument("--output", type=_path, required=True, help="executed notebook")
    execute.add_argument("--missing", type=_path, help="run it only if this file is missing")
    execute.set_defaults(run=_execute)

    undisturbed = commands.add_parser(
        "alone",
        help="run a command on a study's folders while nobody else does",
        description="Run a command when no other one works on the same study, waiting if there is "
        "one, and remove what a killed run left half written.",
    )
    undisturbed.add_argument("study", help="name of the study's output folder")
    undisturbed.add_argument("command", nargs="+", help="the command, after --")
    undisturbed.set_defaults(run=_alone)

    report = commands.add_parser(
        "report",
        help="make the HTML report of executed notebooks",
        description="Make reports/<study>/index.html, and the list of all studies beside it.",
    )
    report.add_argument("study", help="name of the study's output folder")
    report.set_defaults(run=_report)

    matrix = commands.add_parser(
        "matrix",
        help="train on one dataset, test on another, for all finished studies",
        description="Apply every finished study's model to every study's test pairs, with its own "
        "cleaning and its own threshold, and write reports/matrix: index.html and matrix.json.",
    )
    matrix.add_argument("studies", nargs="*", metavar="STUDY", help="default: all finished ones")
    matrix.set_defaults(run=_matrix)

    publish = commands.add_parser(
        "publish",
        help="write down a finished run's numbers for reruns to reach",
        description="Write the numbers of a finished run to notebooks/studies/expected/<study>.json"
        ", to be committed.",
    )
    publish.add_argument("study", help="name of a file in notebooks/studies, without .yaml")
    publish.add_argument("--run", dest="run_name", help="output folder; default: the study's")
    publish.set_defaults(run=_publish)

    document = commands.add_parser(
        "document",
        help="write the tables of README and docs",
        description="Write the tables of README.md and docs from what was measured: the shipped "
        "model's card, published studies and the table of parameters.",
    )
    document.set_defaults(run=_document)

    reproduce = commands.add_parser(
        "reproduce",
        help="compare a finished run with the study's published numbers",
        description="Compare a finished run with the study's published numbers, one by one, and "
        "what its notebooks show with those of the study's own run, where that has the same "
        "numbers. Exit status: 0 reproduced, 1 not.",
    )
    reproduce.add_argument("study", help="name of a file in notebooks/studies, without .yaml")
    reproduce.add_argument("--run", dest="run_name", help="output folder; default: the study's")
    reproduce.set_defaults(run=_reproduce)

    sweep = commands.add_parser(
        "sweep",
        help="make many studies: a grid of studies, seeds and parameters",
        description="Make every study of a grid with every seed and every setting, on this machine "
        "or on a Dask cluster (DASK_SCHEDULER=tcp://…), and compare them: "
        "reports/sweeps/<name>/. Finished runs are not made again. Exit status 1 if runs failed.",
    )
    sweep.add_argument("file", type=_path, help="YAML file, such as notebooks/sweeps/example.yaml")
    sweep.set_defaults(run=_sweep)

    model: dict[str, Any] = {
        "type": _path,
        "default": PRETRAINED,
        "metavar": "FOLDER",
        "help": "model folder; default: the shipped model",
    }
    threshold: dict[str, Any] = {
        "default": "eer",
        "metavar": "NAME",
        "help": "eer, where both kinds of error were equally frequent; fmr=0.01 for another rate "
        "of accepted forgeries, fnmr=0.01 of rejected genuine signatures; fmr=0.01,fnmr=0.01 for "
        "both: what lies between is referred to a person; default: %(default)s",
    }
    verify = commands.add_parser(
        "verify",
        help="compare a questioned signature with a writer's references",
        description="Compare a questioned signature with genuine references of the writer. Exit "
        "status: 0 accepted, 1 rejected, 2 could not be judged, 3 referred to a person.",
    )
    verify.add_argument(
        "references", nargs="+", type=_name, metavar="REFERENCE", help="genuine signature"
    )
    verify.add_argument(
        "--questioned",
        required=True,
        type=_name,
        metavar="FILE",
        help="image, page or PDF to judge",
    )
    verify.add_argument("--page", type=int, metavar="N", help="page of it that is meant")
    verify.add_argument(
        "--box", metavar="LEFT,TOP,RIGHT,BOTTOM", help="where on that page, in pixels"
    )
    verify.add_argument("--model", **model)
    verify.add_argument("--threshold", **threshold)
    verify.add_argument("--json", action="store_true", help="print JSON rather than sentences")
    verify.add_argument(
        "--report",
        type=_path,
        metavar="FILE.html",
        help="also write a case file: images, verdict, evidence, limits and hashes, to print",
    )
    verify.set_defaults(run=_verify)

    scheduler: dict[str, Any] = {
        "default": "",
        "metavar": "ADDRESS",
        "help": "spread the work over a Dask cluster whose workers see the same files, such as "
        "tcp://10.0.0.1:8786 (docs/scaling.md); default: this machine",
    }
    embed = commands.add_parser(
        "embed",
        help="embed images: a vector of length 1 for each",
        description="Embed images. The output holds two arrays or columns: path (text, as given; "
        "of a folder, every image in it) and embedding (float32, images x dimension). Images that "
        "cannot be used are listed and left out. A command that was killed goes on where it "
        "stopped when it is given again.",
    )
    embed.add_argument(
        "images",
        nargs="+",
        type=_path,
        metavar="IMAGE-OR-FOLDER",
        help="an image, or a folder with images in it or below",
    )
    embed.add_argument(
        "--output",
        type=_path,
        required=True,
        metavar="FILE",
        help="FILE.npz, or FILE.parquet; replaced if it is there",
    )
    embed.add_argument("--scheduler", **scheduler)
    embed.add_argument("--model", **model)
    embed.set_defaults(run=_embed)

    extract = commands.add_parser(
        "extract",
        help="cut the signatures out of whole pages: images, TIFF, PDF",
        description="Find the signatures on pages and cut them out: an image for each, "
        "manifest.csv with the box in pixels and how sure it is, and a picture of each page with "
        "its signatures framed. A page without one is told and has no row. Exit status: 0 when "
        "every page was read, signed or not; 1 when a file could not be read.",
    )
    extract.add_argument(
        "files", nargs="+", type=_path, metavar="PAGE", help="image, TIFF of several pages or PDF"
    )
    extract.add_argument(
        "--output",
        type=_path,
        required=True,
        metavar="FOLDER",
        help="a new folder, or an empty one; one that holds something is refused, and kept",
    )
    extract.set_defaults(run=_extract)

    compare = commands.add_parser(
        "compare",
        help="compare many pairs of images, listed in a table",
        description="Compare pairs of images. The table has the columns left (a genuine "
        "reference) and right (the questioned signature): paths, relative to the table's folder. "
        "The output is the same table with five more columns: score (higher is more genuine), "
        "decision (accepted, rejected or referred), reason, where a pair could not be judged, "
        "where, which part of a page or PDF was judged, and warnings, what is wrong with the "
        "images. A command that was killed goes on where it stopped when it is given again. Exit "
        "status: 0, or 1 if no pair could be judged.",
    )
    compare.add_argument("pairs", type=_path, metavar="PAIRS.csv", help="the table of pairs")
    compare.add_argument(
        "--output",
        type=_path,
        required=True,
        metavar="FILE",
        help="FILE.csv, or FILE.parquet; replaced if it is there",
    )
    compare.add_argument("--scheduler", **scheduler)
    compare.add_argument("--model", **model)
    compare.add_argument("--threshold", **threshold)
    compare.set_defaults(run=_compare)

    layout: dict[str, Any] = {
        "default": "auto",
        "metavar": "NAME",
        "help": ", ".join(layouts.CHOICES),
    }
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a trained model on a dataset of writers it never saw",
        description="Measure a trained model on all writers of a dataset: FMR and FNMR at the "
        "model's own threshold, and the EER, with 95 % intervals by bootstrap over writers. The "
        "model must not have been trained on any of these writers.",
    )
    evaluate.add_argument("folder", type=_path, help="a dataset's folder")
    evaluate.add_argument("--layout", **layout)
    evaluate.add_argument("--model", **model)
    evaluate.add_argument("--seed", type=_seed, default=0, help="default: %(default)s")
    evaluate.add_argument(
        "--baselines",
        action="store_true",
        help="also measure what needs no training (the encoder's random weights, and HOG), and "
        "what remains when one pen redraws every stroke",
    )
    evaluate.add_argument("--output", type=_path, metavar="FILE.json", help="where to keep it")
    evaluate.set_defaults(run=_evaluate)

    capture = commands.add_parser(
        "capture",
        help="measure a trained model on signatures captured in other ways: forms, cameras, pens",
        description="Capture signatures in some fifty ways (on forms, under stamps, by camera and "
        "fax, by other pens), and measure what a model makes of them: EER, FMR and FNMR at the "
        "threshold fixed on the images as scanned, and how often a warning speaks up. Writes "
        "reports/capture: index.html, and capture.json, .csv and .md. An interrupted run goes on "
        "where it stopped.",
    )
    capture.add_argument(
        "datasets",
        nargs="*",
        default=["synthetic"],
        metavar="FOLDER or NAME=FOLDER",
        help="datasets of writers whom the model never saw; default: synthetic ones are drawn",
    )
    capture.add_argument("--writers", type=int, default=16, help="default: %(default)s")
    capture.add_argument(
        "--genuine", type=int, default=5, help="signatures of each writer; default: %(default)s"
    )
    capture.add_argument(
        "--forgeries", type=int, default=5, help="of each writer; default: %(default)s"
    )
    capture.add_argument(
        "--only",
        metavar="NAME,NAME",
        help="conditions to measure, such as 'ruled line,fax'; default: all",
    )
    capture.add_argument("--layout", default="auto", help="as for evaluate; default: %(default)s")
    capture.add_argument("--model", **model)
    capture.add_argument("--seed", type=_seed, default=0, help="default: %(default)s")
    capture.add_argument(
        "--pictures",
        type=_path,
        metavar="FOLDER",
        help="measure nothing: only draw capture.png there, a signature under each condition",
    )
    capture.set_defaults(run=_capture)

    new_model: dict[str, Any] = {
        "type": _path,
        "required": True,
        "metavar": "MODEL",
        "help": "a new folder, or an empty one; one that holds something is refused, and kept",
    }
    calibrate = commands.add_parser(
        "calibrate",
        help="fit a model's thresholds to one's own people, from genuine signatures",
        description="Fit a model's thresholds and likelihood ratios to one's own people and "
        "scanner. Genuine signatures are enough: 20 writers with three or more each. How often "
        "genuine signatures are refused and strangers accepted is measured on them; for skilled "
        "forgeries it is inferred, or measured where ten writers or more have some. Writes a "
        "model folder, which verify, compare, evaluate and serve take with --model.",
    )
    calibrate.add_argument("folder", type=_path, help="a dataset's folder")
    calibrate.add_argument("--output", **new_model)
    calibrate.add_argument("--layout", **layout)
    calibrate.add_argument("--model", **model)
    calibrate.add_argument("--seed", type=_seed, default=0, help="default: %(default)s")
    calibrate.set_defaults(run=_calibrate)

    promise = commands.add_parser(
        "promise",
        help="fit a model's thresholds to several datasets, for people in none of them",
        description="Fit a model's thresholds and likelihood ratios to several datasets with "
        "skilled forgeries, each counting alike, and say what people who are in none of them may "
        "expect. Each dataset is also judged by what the others promise. The model must not have "
        "been trained on any of these writers.",
    )
    promise.add_argument(
        "datasets", nargs="+", metavar="NAME=FOLDER", help="a dataset and what to call it"
    )
    promise.add_argument("--output", **new_model)
    promise.add_argument("--model", **model)
    promise.add_argument("--seed", type=_seed, default=0, help="default: %(default)s")
    promise.set_defaults(run=_promise)

    audit = commands.add_parser(
        "audit",
        help="measure what gives forgeries away in a dataset without a look at a stroke",
        description="Measure the shortcuts of a dataset: how well a classifier that sees single "
        "images, and never a reference, tells forged from genuine, on writers it never saw. "
        "AUC 0.5 is chance; a shortcut is flagged where the interval lies above 0.55.",
    )
    audit.add_argument("folder", type=_path, help="a dataset's folder")
    audit.add_argument("--layout", **layout)
    audit.add_argument("--seed", type=_seed, default=0, help="default: %(default)s")
    audit.set_defaults(run=_audit)

    export = commands.add_parser(
        "export",
        help="write a model's encoder as ONNX, for programs without Keras",
        description="Write a model folder's encoder as encoder.onnx, which embeds as Keras does "
        "within 0.00001, and golden_vectors.json, canvases and embeddings for a port to test "
        "itself by. The output is a model folder that verify and serve take.",
    )
    export.add_argument("model", type=_path, metavar="MODEL", help="model folder of a study")
    export.add_argument(
        "--output",
        type=_path,
        metavar="FOLDER",
        help="a new folder, or an empty one; default: the model folder itself",
    )
    export.set_defaults(run=_export)

    serve = commands.add_parser(
        "serve",
        help="start the verification service and its page",
        description="Start the verification service, with its page at /. Settings come from the "
        "environment: DEEPSIGN_API_KEYS, DEEPSIGN_STORE and others, all in docs/service.md. "
        "SIGTERM and Ctrl-C end it when it has answered what is in work.",
    )
    serve.add_argument("--host", help="address to listen on; default: this machine only")
    serve.add_argument("--port", type=int, help="default: 8000")
    # Without a default of its own: the environment may name a model.
    serve.add_argument("--model", **(model | {"default": None}))
    serve.set_defaults(run=_serve)

    completion = commands.add_parser(
        "completion",
        help="print what lets a shell complete these commands",
        description='Print a script for a shell. Bash: put `eval "$(deepsign completion bash)"` '
        "into ~/.bashrc. Zsh: write it to a file _deepsign in a folder of $fpath.",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell's name")
    completion.set_defaults(run=_completion)
    parser.epilog = f"{commands.in_groups()}\n{EXIT_STATUSES}"
    return parser


def _completion(options: argparse.Namespace) -> None:
    import shtab

    print(shtab.complete(_parser("deepsign"), options.shell))


def _synthesize(options: argparse.Namespace) -> None:
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


def _manifest(options: argparse.Namespace) -> None:
    from deepsign_utils import datasets, manifests

    output = options.output or options.folder / manifests.NAME
    if output.exists():
        raise DeepSignError(f"{output} is there already: remove it, or name another --output.")
    tree = datasets.walk(options.folder).tree
    check_output(output, endings=(".csv",))
    rows, source = manifests.draft(options.folder, tree, options.pattern)
    write_atomically(output, manifests.to_csv(rows))
    unsure = sum(bool(row[manifests.UNSURE]) for row in rows)
    print(f"{output}: {len(rows)} images, told by {source}; {unsure} unsure.")
    if unsure:
        print(f"Correct them, then empty the column '{manifests.UNSURE}'.")
    if output.parent.resolve() != options.folder.resolve():
        print(f"Then move it to {options.folder / manifests.NAME}: its paths start there.")


def _realism(options: argparse.Namespace) -> None:
    import numpy as np

    from deepsign_utils import figures
    from deepsign_utils.synthetic import realism

    for name in ("realism.csv", "realism.svg", "gallery.png"):
        check_output(options.output / name)
    real = {
        name: realism.describe_dataset(folder, np.random.default_rng(options.seed))
        for name, folder in _named_folders(options.datasets)
    }
    tables = {"synthetic": realism.describe_writers(200, options.seed), **real}
    compared = realism.compare(tables)
    write_atomically(
        options.output / "realism.csv", compared.to_csv(index=False, float_format="%.4g")
    )
    figures.save(figures.realism(tables, realism.STATISTICS), options.output, "realism")
    images, writers, kinds = realism.gallery(12, options.seed)
    figures.save(
        figures.specimens(images, writers, kinds, ink_bright=False), options.output, "gallery"
    )
    overlaps = compared.pivot(index="statistic", columns="dataset", values="overlap")
    print(overlaps.loc[list(realism.STATISTICS), list(tables)[1:]].round(2).to_string())


def _parameters(options: argparse.Namespace) -> None:
    from deepsign_utils.study.yaml_1_2 import read_yaml

    values = read_study(ROOT / "notebooks" / "studies" / f"{options.study}.yaml")
    values["study"] = options.run_name or values.get("study", options.study)
    if options.data:
        folder = expand(options.data).resolve()
        values["data_root"] = str(folder)
        if draws_its_own(resolve(values)["dataset"]):  # somebody's images are not those
            values["dataset"] = folder.name
    given = {
        name: read_yaml(value, f"PARAMS: -p {name} {value}") for name, value in options.p
    } | dict(options.r)
    for text in options.y:
        mapping = read_yaml(text, f"PARAMS: -y {text}")
        if not isinstance(mapping, dict):
            raise DeepSignError(f"-y takes a YAML mapping such as 'references: [1, 5]'; got {text}")
        given |= mapping
    starting_point(resolve(values | given)["start_from"])  # before chapter 5 misses the file
    if "study" in given:
        raise DeepSignError(
            f"PARAMS sets 'study', which names the folders: make report RUN={given['study']}"
        )
    values |= check_values(given, "PARAMS")
    demonstration = options.study == DEMONSTRATION
    chapters = [DEMONSTRATION] if demonstration else CHAPTERS
    study = _study_of(values)
    write_chapter_parameters(values, options.output, study.used_parameters, chapters)
    if news := news_of_images(study):
        print(news, file=sys.stderr)
    for name in PARAMETERS:
        if name.upper() in os.environ:
            print(
                f"{name.upper()} is set in the environment, and not read: "
                f'make report PARAMS="-p {name} {os.environ[name.upper()]}"',
                file=sys.stderr,
            )


def _study_of(values: Mapping[str, Any]) -> Study:
    """The study of resolved or unresolved parameters."""
    every = resolve(values)
    return Study(*(every[name] for name in ("study", "dataset", "data_root", "seed")))


def _alone(options: argparse.Namespace) -> None:
    study = Study(options.study)
    with alone(study.reports, inherited=True):
        for folder in (study.built, study.reports):
            clear_partial(folder)
        sys.stdout.flush()
        # The command takes this process's place, and with it the lock: killed, it holds none.
        os.execvp(options.command[0], options.command)


def _execute(options: argparse.Namespace) -> int:
    check_output(options.output, [options.notebook, options.parameters], (".ipynb",))
    options.output = written_at(options.output)
    with alone(options.output):
        # Of several goals that a chapter serves, the first has it made for all of them.
        if options.missing and options.missing.exists():
            return 0
        return _execute_notebook(options)


def _execute_notebook(options: argparse.Namespace) -> int:
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    os.environ.setdefault("TQDM_MININTERVAL", "5")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "MPLCONFIGDIR"):
        Path(os.environ[name]).mkdir(parents=True, exist_ok=True)
    partial = options.output.with_name(f"{options.output.stem}.partial.ipynb")
    parameters = read_study(options.parameters)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    print(options.notebook.stem, flush=True)
    if options.notebook.stem in (CHAPTERS[0], DEMONSTRATION):
        record_images(_study_of(parameters))
    try:
        papermill.execute_notebook(
            options.notebook,
            partial,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            stderr_file=sys.stderr,  # progress bars
            cwd=ROOT,
            config=_kernel_of_its_own(),
            # All is written. Given time, a kernel waits for the tracker that worker processes leave
            # behind, which no signal ends, and complains of its own shutdown.
            shutdown_kernel="immediate",
        )
    except PapermillExecutionError as error:
        print(_explain(error, options.notebook, partial), file=sys.stderr)
        return 1
    except RuntimeError as error:  # of the kernel, not of a cell
        raise DeepSignError(
            f"{options.notebook.stem} stopped: {error}. Its process was killed, ran out of memory "
            "or could not start. What was finished is kept: run the same command again."
        ) from error
    executed = nbformat.read(partial, as_version=4)
    for cell in executed.cells:
        if cell.cell_type == "code":
            # Progress bars have served; without them the copy is the same at every run.
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(executed, partial)
    partial.replace(options.output)
    return 0


def _kernel_of_its_own() -> Any:
    """Settings by which a kernel talks through socket files, where the system has them.

    Ports are chosen before the kernel takes them, and two kernels that start at once may choose the
    same ones; nor can another user of the machine reach a socket file.
    """
    from traitlets.config import Config

    config = Config()
    if os.name == "posix":
        # Not in TMPDIR, which may be too long for a socket's name.
        folder = tempfile.mkdtemp(prefix="deepsign-", dir="/tmp")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        config.KernelManager.transport = "ipc"
        config.KernelManager.connection_file = f"{folder}/kernel.json"
    return config


def _explain(error: PapermillExecutionError, notebook: Path, partial: Path) -> str:
    """Which cell failed and why; the traceback only where the user cannot have caused it."""
    # They define what chapters raise.
    from deepsign_utils import datasets, preprocessing  # noqa: F401

    kinds: list[type[Exception]] = [DeepSignError, *DeepSignError.__subclasses__()]
    kind = getattr(builtins, error.ename, None)
    of_the_system = isinstance(kind, type) and issubclass(kind, OSError)  # such as a full disk
    if error.ename in [one.__name__ for one in kinds] or of_the_system:
        reason = error.evalue
    else:
        source = "\n".join(f"    {line}" for line in error.source.splitlines())
        reason = f"{source}\n\n" + "\n".join(error.traceback)
    return (
        f"\n{notebook.stem} stopped in cell [{error.exec_count}]:\n\n{reason}\n\n"
        f"The notebook as far as it got: {partial}\n"
    )


def _report(options: argparse.Namespace) -> None:
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


def _matrix(options: argparse.Namespace) -> None:
    from deepsign_utils import report
    from deepsign_utils.runs import cross_dataset

    measured = cross_dataset.measure(options.studies or cross_dataset.finished_studies())
    folder = ROOT / "reports" / cross_dataset.NAME
    write_json(folder / "matrix.json", measured)
    output = report.write_matrix(folder / "matrix.json", folder / "index.html")
    with alone(folder.parent / "index.html"):
        report.write_index(folder.parent)
    print(f"\nThe matrix: {output.relative_to(ROOT)}")


def _publish(options: argparse.Namespace) -> None:
    from deepsign_utils import report
    from deepsign_utils.runs import reproduce

    values = read_study(ROOT / "notebooks" / "studies" / f"{options.study}.yaml")
    metrics = report.read_json(Study(options.run_name or options.study).metrics)
    reproduce.check_recipe(metrics, options.study, resolve(values))
    file = reproduce.publish(metrics, options.study)
    print(f"Published: {file.relative_to(ROOT)}")


def _document(options: argparse.Namespace) -> None:
    from deepsign_utils.runs.document import document

    for file in document():
        print(f"Written: {file.relative_to(ROOT)}")


def _reproduce(options: argparse.Namespace) -> int:
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


def _sweep(options: argparse.Namespace) -> int:
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


def _command_of(options: argparse.Namespace) -> list[str]:
    """What to type for the same verdict again."""
    command = ["python", "-m", "deepsign_utils", "verify", *options.references]
    command += ["--questioned", options.questioned, "--threshold", options.threshold]
    command += ["--page", str(options.page)] * (options.page is not None)
    command += ["--box", str(options.box)] * (options.box is not None)
    return command + ["--model", str(options.model)] * (options.model != PRETRAINED)


def _verify(options: argparse.Namespace) -> int:
    told = 2  # until it is judged: a program must not take a failure for a rejection
    try:
        from deepsign_utils.verifying.pages import parse_box
        from deepsign_utils.verifying.verifier import Verifier

        # Without memory OpenBLAS itself would end the process, with the status of a rejection.
        mmap.mmap(-1, 1 << 27).close()
        box = parse_box(options.box) if options.box else None
        if options.report:
            read = [*options.references, options.questioned, options.model]
            check_output(options.report, map(Path, read), (".html", ".htm"))
        verifier = Verifier.load(options.model)
        if options.report:
            from deepsign_utils.verifying.case_file import verify_files

            comparison, page = verify_files(
                verifier,
                options.references,
                options.questioned,
                options.threshold,
                options.page,
                box,
                _command_of(options),
            )
            write_atomically(options.report, page)
        else:
            comparison = verifier.compare(
                options.references, options.questioned, options.threshold, options.page, box
            )
        told = {"accepted": 0, "rejected": 1, "referred": 3}[comparison.decision]
        if options.json:
            ascii_ = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
            print(json.dumps(comparison.to_dict(), indent=1, ensure_ascii=ascii_), flush=True)
        else:
            warnings = [f"Note, {w.image}: {w.message}" for w in comparison.warnings]
            print("\n".join([*comparison.in_words(), *warnings]), flush=True)
    except BrokenPipeError:  # judged, and whoever read it has left
        forget_output()
    except DeepSignError as error:
        from deepsign_utils.verifying.pages import WhichSignatureError

        why = str(error)
        if isinstance(error, WhichSignatureError):
            why = error.told("--page and --box")
        print(f"\n{why}\n", file=sys.stderr)
        return 2
    except (Exception, KeyboardInterrupt) as error:
        print(f"\nNot judged: {type(error).__name__}: {error}\n", file=sys.stderr)
        return 2
    return told


def _embed(options: argparse.Namespace) -> None:
    from deepsign_utils.verifying import many

    files = many.image_files(options.images)
    check_output(options.output, files)
    left_out = many.embed_images(options.model, files, options.output, options.scheduler)
    _list_problems(left_out)
    used = len(files) - len(left_out)
    print(f"{used} of {len(files)} images embedded: {options.output}")


def _extract(options: argparse.Namespace) -> None:
    from deepsign_utils.verifying.pages import extract

    for told in extract(options.files, options.output):
        print(told, flush=True)


def _compare(options: argparse.Namespace) -> None:
    from deepsign_utils.verifying import many

    check_output(options.output, [options.pairs])
    decisions, problems = many.compare_pairs(
        options.model, options.pairs, options.output, options.threshold, options.scheduler
    )
    _list_problems(problems)
    counts = ", ".join(f"{n} {name or 'not judged'}" for name, n in decisions.most_common())
    print(f"{counts}: {options.output}")
    if set(decisions) == {""}:
        raise DeepSignError("No pair could be judged; each one's reason stands in the output.")


def _list_problems(problems: Sequence[str]) -> None:
    for problem in problems:
        print(f"Left out: {problem}", file=sys.stderr)


def _list_left_out(people: People) -> None:
    from deepsign_utils.pairing import COPY, NEAR_COPY

    _list_problems(
        [
            f"{path}: {why}" if why.startswith((COPY, NEAR_COPY)) or path not in why else why
            for path, why in people.left_out.items()
        ]
    )


def _evaluate(options: argparse.Namespace) -> None:
    import numpy as np

    from deepsign_utils.runs import evaluate
    from deepsign_utils.verifying.verifier import Verifier

    if options.output:
        check_output(options.output, [options.folder, options.model], (".json",))
    if options.baselines:
        load_keras()
    found = evaluate.evaluate(
        Verifier.load(options.model),
        options.folder,
        np.random.default_rng(options.seed),
        options.layout,
        options.baselines,
    )
    if options.output:
        write_json(options.output, found)
    print(f"\n{evaluate.in_words(found)}")


def _capture(options: argparse.Namespace) -> None:
    from deepsign_utils import figures, report
    from deepsign_utils.capture import page, pictures
    from deepsign_utils.verifying.verifier import Verifier

    if options.pictures:
        check_output(options.pictures / f"{page.NAME}.png")
        figures.save(pictures.gallery(), options.pictures, page.NAME)
        return
    with alone(ROOT / "reports" / page.NAME):
        output = page.run(
            Verifier.load(options.model),
            options.datasets,
            options.writers,
            options.genuine,
            options.forgeries,
            options.layout,
            options.seed,
            [name.strip() for name in options.only.split(",")] if options.only else None,
        )
    with alone(ROOT / "reports" / "index.html"):
        report.write_index(ROOT / "reports")
    print(f"\nThe benchmark: {output.relative_to(ROOT)}")


def _calibrate(options: argparse.Namespace) -> None:
    import numpy as np

    from deepsign_utils.verifying import calibration
    from deepsign_utils.verifying.verifier import Verifier

    if options.output.resolve() == options.model.resolve():
        raise DeepSignError("--output is the model itself: name another folder.")
    check_new_folder(options.output)
    verifier = Verifier.load(options.model)
    people = calibration.read_people(
        verifier, options.folder.resolve().name, options.folder, options.layout
    )
    _list_left_out(people)
    chosen = calibration.calibrate(verifier.scoring, people, np.random.default_rng(options.seed))
    if odd := calibration.unlike_their_writers(people, chosen):
        print(
            "Unlike their writer's other signatures, and measured all the same: "
            f"{', '.join(odd[:5])}{f' and {len(odd) - 5} more' * (len(odd) > 5)}. Where one is "
            "another person's, upside down or cut off, take it away and calibrate again."
        )
    calibration.write_model(options.model, options.output, chosen)
    print(f"\n{calibration.in_words(verifier.scoring, chosen)}")
    print(f"The calibrated model: {options.output}")


def _promise(options: argparse.Namespace) -> None:
    import numpy as np

    from deepsign_utils.verifying import calibration
    from deepsign_utils.verifying.verifier import Verifier

    check_new_folder(options.output)
    folders = _named_folders(options.datasets)
    verifier = Verifier.load(options.model)
    sets = [calibration.read_people(verifier, name, folder) for name, folder in folders]
    for one in sets:
        _list_left_out(one)
    chosen, left_out = calibration.promise(sets, np.random.default_rng(options.seed))
    calibration.write_model(options.model, options.output, chosen, left_out)
    table = left_out.round(3).to_string(index=False)
    print(f"\nEach set, judged by what the others promise:\n\n{table}")
    print(f"The model: {options.output}")


def _named_folders(given: Sequence[str]) -> list[tuple[str, str]]:
    wrong = [text for text in given if not text.partition("=")[2]]
    if wrong:
        raise DeepSignError(f"'{wrong[0]}' must be NAME=FOLDER, such as cedar=data/raw/cedar.")
    return [(text.partition("=")[0], text.partition("=")[2]) for text in given]


def _audit(options: argparse.Namespace) -> None:
    import numpy as np

    from deepsign_utils import metrics, shortcuts
    from deepsign_utils.datasets import missing_half, read_dataset
    from deepsign_utils.preprocessing import Preprocessing, clean_files
    from deepsign_utils.runs.evaluate import in_account

    signatures, left_out = read_dataset(options.folder, options.layout)
    if len(kinds := signatures["kind"].unique()) == 1:
        raise DeepSignError(missing_half(str(options.folder), len(signatures), kinds[0]))
    cleaned = list(clean_files(options.folder, signatures["path"].tolist(), Preprocessing()))
    usable = signatures[[one.canvas is not None for one in cleaned]]
    canvases = [one.canvas for one in cleaned if one.canvas is not None]
    reasons = [*left_out["reason"], *(one.problem for one in cleaned if one.canvas is None)]
    writers = usable["writer"].nunique()
    print(f"\n{in_account(len(usable), writers, reasons)}\n")
    if few := metrics.too_few(usable["kind"] == "forgery", usable["writer"]):
        print(f"Shortcuts: {few}")
        return
    tables = {
        "raw files": shortcuts.raw_feature_table(options.folder, usable),
        "cleaned canvas": shortcuts.canvas_feature_table(usable["signature_id"], canvases),
    }
    streams = np.random.default_rng(options.seed).spawn(len(tables))
    print(f"{'images':15} {'probe':13} {'AUC':>5}  95 % interval  verdict")
    for (images, features), rng in zip(tables.items(), streams, strict=True):
        for row in shortcuts.audit(features, usable, rng).itertuples():
            interval = f"[{row.low:.3f}, {row.high:.3f}]"
            print(f"{images:15} {row.probe:13} {row.auc:.3f}  {interval}  {row.verdict}")


def _export(options: argparse.Namespace) -> None:
    load_keras()
    from deepsign_utils.deployed_encoder import export

    output = options.output or options.model
    export.export_model(options.model, output)
    print(f"Exported: {output / export.ONNX_FILE}")


def _serve(options: argparse.Namespace) -> None:
    try:
        from deepsign_utils.verifying import service
    except ImportError as error:
        raise DeepSignError(
            f"The service needs packages that are not installed ({error.name}): run `make serve`, "
            "or install the extra: pip install 'deepsign-utils[serve]'."
        ) from error

    given = {"host": options.host, "port": options.port, "model": options.model}
    service.run({name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    sys.exit(main())
