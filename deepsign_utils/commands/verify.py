"""Commands that judge signatures."""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepsign_utils import DeepSignError
from deepsign_utils.commands import arguments
from deepsign_utils.commands.group import Group, argument
from deepsign_utils.study import PRETRAINED, check_output, write_atomically
from deepsign_utils.study.surroundings import forget_output

GROUP = Group("verify signatures")


@GROUP.command(
    "compare a questioned signature with a writer's references",
    argument(
        "references", nargs="+", type=arguments.file, metavar="REFERENCE", help="genuine signature"
    ),
    argument(
        "--questioned",
        required=True,
        type=arguments.file,
        metavar="FILE",
        help="image, page or PDF to judge",
    ),
    argument("--page", type=int, metavar="N", help="page of it that is meant"),
    argument("--box", metavar="LEFT,TOP,RIGHT,BOTTOM", help="where on that page, in pixels"),
    arguments.MODEL,
    arguments.THRESHOLD,
    argument(
        "--json",
        action="store_true",
        help="print JSON, not sentences; where nothing was judged, its decision is null",
    ),
    argument(
        "--report",
        type=arguments.path,
        metavar="FILE.html",
        help="also write a case file: images, verdict, evidence, limits and hashes, to print",
    ),
    stopped=2,  # where 1 is a rejection
    threads=False,
)
def _verify(options: argparse.Namespace) -> int:
    """Compare a questioned signature with genuine references of the writer.

    Exit status: 0 accepted, 1 rejected, 2 could not be judged, 3 referred to a person.
    """
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
                _typed_again(options),
            )
            write_atomically(options.report, page)
        else:
            comparison = verifier.compare(
                options.references, options.questioned, options.threshold, options.page, box
            )
        told = {"accepted": 0, "rejected": 1, "referred": 3}[comparison.decision]
        if options.json:
            _print_json(comparison.to_dict())
        else:
            warnings = [f"Note, {w.image}: {w.message}" for w in comparison.warnings]
            print("\n".join([*comparison.in_words(), *warnings]), flush=True)
    except BrokenPipeError:  # judged, and whoever read it has left
        forget_output()
    except (Exception, KeyboardInterrupt) as error:
        why = _why_not_judged(error, judged=told != 2)
        print(f"\n{why}\n", file=sys.stderr)
        if options.json and told == 2:
            with contextlib.suppress(OSError):
                _print_json({"decision": None, "reason": why})
        return 2
    return told


def _why_not_judged(error: BaseException, judged: bool) -> str:
    from deepsign_utils.verifying.pages import WhichSignatureError

    if isinstance(error, WhichSignatureError):
        return error.told("--page and --box")
    if isinstance(error, DeepSignError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted: nothing was judged."
    if judged and isinstance(error, OSError):
        return f"It was judged, but the answer could not be written: {error.strerror or error}."
    return f"Not judged: {type(error).__name__}: {error}"


def _print_json(values: dict[str, Any]) -> None:
    ascii_ = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    print(json.dumps(values, indent=1, ensure_ascii=ascii_), flush=True)


def _typed_again(options: argparse.Namespace) -> list[str]:
    """What to type for the same verdict again."""
    command = ["python", "-m", "deepsign_utils", "verify", *options.references]
    command += ["--questioned", options.questioned, "--threshold", options.threshold]
    command += ["--page", str(options.page)] * (options.page is not None)
    command += ["--box", str(options.box)] * (options.box is not None)
    return command + ["--model", str(options.model)] * (options.model != PRETRAINED)


@GROUP.command(
    "compare many pairs of images, listed in a table",
    argument("pairs", type=arguments.path, metavar="PAIRS.csv", help="the table of pairs"),
    arguments.TABLE.but(help="FILE.csv, or FILE.parquet; replaced if it is there"),
    arguments.SCHEDULER,
    arguments.MODEL,
    arguments.THRESHOLD,
    threads=False,
    keeps=True,
)
def _compare(options: argparse.Namespace) -> None:
    """Compare pairs of images.

    The table has the columns left (a genuine reference) and right (the questioned signature):
    paths, relative to the table's folder. The output is the same table with five more columns:
    score (higher is more genuine), decision (accepted, rejected or referred), reason, where a pair
    could not be judged or a person has to decide, where, which part of a page or PDF was judged,
    and warnings, what is wrong with the images. A command that was killed goes on where it stopped,
    to the last 512 pairs, when it is given again. Exit status: 0, or 1 if no pair could be
    judged.
    """
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


@GROUP.command(
    "embed images: a vector of length 1 for each",
    argument(
        "images",
        nargs="+",
        type=arguments.path,
        metavar="IMAGE-OR-FOLDER",
        help="an image, or a folder with images in it or below",
    ),
    arguments.TABLE.but(help="FILE.npz, or FILE.parquet; replaced if it is there"),
    arguments.SCHEDULER,
    arguments.MODEL,
    threads=False,
    keeps=True,
)
def _embed(options: argparse.Namespace) -> None:
    """Embed images.

    The output holds two arrays or columns: path (text, as given; of a folder, every image in it)
    and embedding (float32, images x dimension). Images that cannot be used are listed and left out.
    A command that was killed goes on where it stopped, to the last 2,048 images, when it is given
    again.
    """
    from deepsign_utils.verifying import many

    files = many.image_files(options.images)
    check_output(options.output, files)
    left_out = many.embed_images(options.model, files, options.output, options.scheduler)
    _list_problems(left_out)
    used = len(files) - len(left_out)
    print(f"{used} of {len(files)} images embedded: {options.output}")


def _list_problems(problems: Sequence[str]) -> None:
    for problem in problems:
        print(f"Left out: {problem}", file=sys.stderr)


@GROUP.command(
    "cut the signatures out of whole pages: images, TIFF, PDF",
    argument(
        "files",
        nargs="+",
        type=arguments.path,
        metavar="PAGE",
        help="image, TIFF of several pages or PDF",
    ),
    arguments.NEW_FOLDER,
    keeps=True,
)
def _extract(options: argparse.Namespace) -> None:
    """Find the signatures on pages and cut them out.

    There is an image for each, manifest.csv with the box in pixels and how sure it is, and a
    picture of each page with its signatures framed. A page without one is told and has no row. Exit
    status: 0 when every page was read, signed or not; 1 when a file could not be read.
    """
    from deepsign_utils.verifying.pages import extract

    for told in extract(options.files, options.output):
        print(told, flush=True)
