"""Reads what was typed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deepsign_utils import __version__
from deepsign_utils.commands import data, people, serve, studies, verify
from deepsign_utils.commands.group import QUIET, Group, argument

EXIT_STATUSES = """\
exit status:
  0    done; compare, embed, evaluate and calibrate skip what cannot be used, and list it
  1    stopped, by an error or Ctrl-C; the standard error says why
       compare, embed: nothing could be used    extract: a file could not be read
       reproduce: a number differs              sweep: a run failed
  2    the command was typed wrongly
  141  the reader of the output has left, as `head` does
  143  ended by SIGTERM; serve finishes what it has begun first
  verify has its own: 0 accepted, 1 rejected, 3 referred to a person, 2 where nothing was judged
       (an image cannot be, a file is missing, the command was typed wrongly, Ctrl-C)
"""

SHELL = Group("shell")
GROUPS = (verify.GROUP, people.GROUP, data.GROUP, serve.GROUP, studies.GROUP, SHELL)


@SHELL.command(
    "print what lets a shell complete these commands",
    argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell's name"),
)
def _completion(options: argparse.Namespace) -> None:
    """Print a script for a shell.

    Bash: put `eval "$(deepsign completion bash)"` into ~/.bashrc. Zsh: write it to a file _deepsign
    in a folder of $fpath.
    """
    import shtab

    print(shtab.complete(parser("deepsign"), options.shell))


class _InGroups(argparse.RawDescriptionHelpFormatter):
    """Leaves the commands to the epilog, which has them in groups."""

    def add_argument(self, action: argparse.Action) -> None:
        if not isinstance(action, argparse._SubParsersAction):
            super().add_argument(action)


def parser(prog: str = "") -> argparse.ArgumentParser:
    """What reads the command line; it leaves the `Command` under ``command``.

    Parameters
    ----------
    prog : str
        What the program is called; by default as it was started.
    """
    typed = Path(sys.argv[0]).stem
    made = argparse.ArgumentParser(
        prog=prog or (typed if typed == "deepsign" else "python -m deepsign_utils"),
        usage="%(prog)s [-q] command … ; %(prog)s command --help",
        description="DeepSign: offline signature verification that can be trusted and rerun.",
        formatter_class=_InGroups,
    )
    made.add_argument("--version", action="version", version=f"deepsign {__version__}")
    made.add_argument(*QUIET.names, **QUIET.settings)
    parsers = made.add_subparsers(metavar="command", required=True, prog=made.prog)
    width = max(len(command.name) for group in GROUPS for command in group.commands)
    listed = []
    for group in GROUPS:
        listed += [f"{group.title}:"]
        for command in group.commands:
            command.add_to(parsers)
            listed += [f"  {command.name:{width}}  {command.help}"]
        listed += [""]
    made.epilog = "\n".join([*listed, EXIT_STATUSES])
    return made
