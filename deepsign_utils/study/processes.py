"""Worker processes, and how many this machine can use."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor


def worker_pool(processes: int) -> ProcessPoolExecutor:
    """So many worker processes, which end when the one that started them does.

    They are not forked from the caller, which may run TensorFlow's threads: those do not survive a
    fork. On Linux they are forked from a process that has imported what cleaning and drawing need,
    once for all pools of the caller; elsewhere each starts, and imports, for itself.
    """
    if sys.platform == "linux":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["deepsign_utils.preprocessing"])
    else:
        context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, _start_worker)


def _start_worker() -> None:
    """Let a worker process do its matrix products by itself, and end when its parent was killed.

    As many threads in each worker as there are processors would wait for one another; and a worker
    whose parent is gone would wait for ever.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def usable_processors() -> int:
    """Processors that this process may run on; no more than ``DEEPSIGN_THREADS``, if that is set.

    So one of several runs on a machine starts no more processes than threads.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    wanted = os.environ.get("DEEPSIGN_THREADS", "")
    return min(count, int(wanted)) if wanted.isdecimal() and int(wanted) > 0 else count
