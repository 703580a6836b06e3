"""Images of concurrent requests, embedded together: callers share the network's pass."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from deepsign_utils import DeepSignError


class OverloadedError(DeepSignError):
    """More is waiting than can be done soon: try again later."""


class Batcher:
    """One worker thread that embeds what is submitted, several submissions at a time.

    Parameters
    ----------
    embed : callable
        uint8 (n, H, W) to float32 (n, d).
    size : int
        Images at which a batch is full.
    seconds : float
        How long the first of a batch waits for others.
    capacity : int
        Images that may wait; more are refused.
    observe : callable
        Told the number of images of each batch.
    """

    def __init__(
        self,
        embed: Callable[[np.ndarray], np.ndarray],
        size: int,
        seconds: float,
        capacity: int,
        observe: Callable[[int], None],
    ) -> None:
        self._embed = embed
        self._size = size
        self._seconds = seconds
        self._capacity = capacity
        self._observe = observe
        self._queue: queue.SimpleQueue[tuple[np.ndarray, Future] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._worker = threading.Thread(target=self._work, name="embedding", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Images that were submitted and not yet embedded."""
        return self._waiting

    def submit(self, canvases: np.ndarray) -> Future:
        """Queue canvases, uint8 (n, H, W); the result is their embeddings, float32 (n, d).

        Raises
        ------
        OverloadedError
            If too many images wait already.
        """
        with self._lock:
            if self._waiting + len(canvases) > self._capacity:
                raise OverloadedError("The service has more to do than it can: try again later.")
            self._waiting += len(canvases)
        future: Future = Future()
        self._queue.put((canvases, future))
        return future

    def close(self) -> None:
        """Finish what is queued, then stop."""
        self._queue.put(None)
        self._worker.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, closing = self._gather(first)
            self._answer(batch)
            if closing:
                return

    def _gather(self, first: tuple[np.ndarray, Future]) -> tuple[list, bool]:
        batch, images = [first], len(first[0])
        deadline = time.monotonic() + self._seconds
        while images < self._size:
            try:
                item = self._queue.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                return batch, False
            if item is None:
                return batch, True
            batch.append(item)
            images += len(item[0])
        return batch, False

    def _answer(self, batch: list[tuple[np.ndarray, Future]]) -> None:
        wanted = [(c, future) for c, future in batch if future.set_running_or_notify_cancel()]
        embeddings, failure = np.empty(0), None
        try:
            if wanted:
                embeddings = self._embed(np.concatenate([canvases for canvases, _ in wanted]))
                self._observe(len(embeddings))
        except BaseException as error:  # the callers must learn of it, and the worker go on
            failure = error
        # First: who is answered finds its images counted no more.
        with self._lock:
            self._waiting -= sum(len(canvases) for canvases, _ in batch)
        ends = np.cumsum([len(canvases) for canvases, _ in wanted])
        for (canvases, future), end in zip(wanted, ends, strict=True):
            if failure:
                future.set_exception(failure)
            else:
                future.set_result(embeddings[end - len(canvases) : end])
