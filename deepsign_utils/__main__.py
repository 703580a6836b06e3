"""The command line: ``deepsign <command>``, or ``python -m deepsign_utils <command>``.

Its exit statuses stand in ``commands.parser.EXIT_STATUSES``, which ``deepsign --help`` and
docs/commands.md show.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from deepsign_utils import DeepSignError
from deepsign_utils.commands.parser import parser
from deepsign_utils.study.folders import PRETRAINED
from deepsign_utils.study.surroundings import (
    forget_output,
    keep_apart,
    print_anything,
    tell_ignored,
)

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
    options = parser().parse_args(arguments)
    command = options.command
    if not command.threads:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        keep_apart()
        serves = command.name == "serve"
        tell_ignored(strict=serves)
        shipped = getattr(options, "model", None) == PRETRAINED
        if "DEEPSIGN_MODEL" in os.environ and shipped and not serves:
            print("DEEPSIGN_MODEL is for serve: here --model names a model.", file=sys.stderr)
        if options.quiet:
            os.environ["DEEPSIGN_QUIET"] = "1"  # also for what is started from here
        return command.run(options) or 0
    except BrokenPipeError:
        raise
    except DeepSignError as error:
        said = str(error)
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("deepsign_utils"):
            raise
        packages = "study" if error.name == "keras" else command.packages
        said = (
            f"This needs the package {error.name}, which is not installed. It comes with: "
            f"pip install 'deepsign-utils[{packages}]'"
        )
    except OSError as error:  # a full disk, a folder that may not be written to
        where = f"{error.filename}: " if error.filename else ""
        said = f"{where}{error.strerror or error}."
    except KeyboardInterrupt:
        said = "Interrupted; what was finished is kept." if command.keeps else "Interrupted."
    print(f"\n{said}\n", file=sys.stderr)
    return command.stopped


if __name__ == "__main__":
    sys.exit(main())
