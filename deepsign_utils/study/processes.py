"""Worker processes, and how many this machine can use."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from deepsign_utils import DeepSignError

if TYPE_CHECKING:  # imported where they are needed: who compares one signature needs neither
    from concurrent.futures import ProcessPoolExecutor

    from tqdm import tqdm


def worker_pool(processes: int) -> ProcessPoolExecutor:
    """So many worker processes, which end when the one that started them does.

    They are not forked from the caller, which may run TensorFlow's threads: those do not survive a
    fork. On Linux they are forked from a process that has imported what cleaning and drawing need,
    once for all pools of the caller; elsewhere each starts, and imports, for itself.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

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
    import multiprocessing

    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def progress_bar(shown: bool = True, **options: Any) -> tqdm:
    """A progress bar; none where the user has asked for quiet (``--quiet``, ``DEEPSIGN_QUIET=1``).

    Parameters
    ----------
    shown : bool
        Whether to show one otherwise.
    **options
        Of `tqdm.tqdm`.
    """
    from tqdm import tqdm

    quiet = os.environ.get("DEEPSIGN_QUIET", "").lower() not in ("", "0", "no", "off", "false")
    return tqdm(disable=not shown or quiet, **options)


def usable_processors() -> int:
    """Processors that this process may run on; no more than ``DEEPSIGN_THREADS``, if that is set.

    So one of several runs on a machine starts no more processes than threads.

    Raises
    ------
    DeepSignError
        As `wanted_threads`.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return min(count, wanted_threads() or count)


def wanted_threads() -> int | None:
    """``DEEPSIGN_THREADS``; None where it is not set.

    Raises
    ------
    DeepSignError
        If it is no positive whole number.
    """
    wanted = os.environ.get("DEEPSIGN_THREADS", "")
    if wanted and not (wanted.isascii() and wanted.isdigit() and int(wanted) > 0):
        raise DeepSignError(f"DEEPSIGN_THREADS is {wanted!r}; it must be a positive whole number.")
    return int(wanted) if wanted else None


_CHUNK = 16
_WORTH_A_PROCESS = 250  # images that take as long as a process takes to start


def ordered_map(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    processes: int | None = None,
    progress: bool = True,
    description: str | None = None,
) -> Iterator[Any]:
    """Apply a picklable function to many items in worker processes, yielding results in order.

    Parameters
    ----------
    function : callable
        Picklable, as are its results.
    items : sequence
        What to apply it to.
    processes : int, optional
        Worker processes; by default one per available core, and none for a few items.
    progress : bool
        Whether to show a progress bar.
    description : str, optional
        The bar's label.

    Yields
    ------
    object
        `function(item)`, in the order of `items`. At most a few chunks wait in memory.
    """
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    processes = max(1, min(processes or _cores(), len(items) // _WORTH_A_PROCESS))
    with progress_bar(progress, total=len(items), desc=description, unit="image") as bar:
        for results in in_processes(partial(_apply, function), chunks, processes):
            for result in results:
                yield result
                bar.update()


def _cores() -> int:
    import multiprocessing

    if multiprocessing.current_process().daemon:  # such a process may start none of its own
        return 1
    return usable_processors()


def _apply(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [function(item) for item in items]


def in_processes(
    function: Callable[[Any], Any], items: Iterable[Any], processes: int | None
) -> Generator[Any, None, None]:
    """Apply a picklable function in worker processes, each item on its own.

    Parameters
    ----------
    function : callable
        Picklable, as are its results.
    items : iterable
        Taken a few ahead of the caller, so that results never pile up.
    processes : int, optional
        Worker processes; by default one per available core, and none for one.

    Yields
    ------
    object
        ``function(item)``, in the order of the items.

    Raises
    ------
    DeepSignError
        If a worker process ends by itself.
    """
    processes = processes or _cores()
    if processes < 2:
        yield from map(function, items)
        return
    from concurrent.futures.process import BrokenProcessPool

    pool = worker_pool(processes)
    try:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DeepSignError(
            "a worker process ended by itself: there was too little memory, or a script called "
            'this outside `if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
