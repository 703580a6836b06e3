"""A command that ends with whoever started it.

``python -m deepsign_utils.runs.end_with_parent COMMAND…`` runs a command while its own
standard input stays open. When that closes, because the process at its other end was killed, the
command and all that it started are ended too: a run that another worker takes over is not made
twice at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

GRACE = 10  # seconds that a command has to end its own children, such as notebooks' kernels


def run_while_parent_lives(command: Sequence[str]) -> int:
    """Run a command as long as standard input is open.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.

    Returns
    -------
    int
        The command's exit status; negative if a signal ended it.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_input, args=[process], daemon=True).start()
    try:
        return process.wait()
    finally:  # interrupted here, or ended there: nothing of it goes on
        _end(process)


def _end_with_input(process: subprocess.Popen) -> None:
    # Not through sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 4096):
        pass
    _end(process)


def _end(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(run_while_parent_lives(sys.argv[1:]))
