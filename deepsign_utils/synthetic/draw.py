"""Synthetic writers as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from deepsign_utils import DeepSignError
from deepsign_utils.study.processes import in_processes
from deepsign_utils.synthetic.forgers import draw_forger, forge
from deepsign_utils.synthetic.scan import draw_image
from deepsign_utils.synthetic.writers import draw_model, write_specimen

SPECIMENS_A_SESSION = 8
FORGERIES_A_FORGER = 6


@dataclass(frozen=True)
class DrawnWriter:
    """One writer's images: uint8 (H, W), paper bright, each of its own size (or whatever
    ``prepare`` made of them); ``forgers`` names who forged, one for each forgery."""

    index: int
    genuine: list[Any]
    forgeries: list[Any]
    forgers: list[str]


def check_counts(
    skill: float | None, processes: int | None = None, **counts: tuple[int, int]
) -> None:
    """Raise DeepSignError unless each count, named with its least value, and the skill are good."""
    if processes is not None:
        counts["processes"] = (processes, 1)
    for name, (value, least) in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise DeepSignError(f"{name} must be a whole number, at least {least}, not {value!r}.")
    if skill is not None and not 0 <= skill <= 1:
        raise DeepSignError(
            f"skill must lie between 0 (clumsy) and 1 (nearly perfect), not {skill!r}."
        )


def draw_writer(
    seed: int, index: int, genuine: int = 24, forgeries: int = 24, skill: float | None = None
) -> DrawnWriter:
    """Draw one virtual writer's genuine specimens and skilled forgeries.

    Writer ``index`` of ``seed`` is the same however many writers or images are drawn: more images
    continue the same series.

    Parameters
    ----------
    seed, index : int, at least 0
        Which world of writers, and which writer of it.
    genuine, forgeries : int
        How many images of each kind. A forger makes six forgeries; then the next one follows.
    skill : float in 0..1, optional
        Of every forger; drawn for each one if not given.

    Returns
    -------
    DrawnWriter
        Images uint8 (H, W), paper bright, sizes as scanned.

    Raises
    ------
    DeepSignError
        If a parameter is out of its range.
    """
    check_counts(
        skill, seed=(seed, 0), index=(index, 0), genuine=(genuine, 1), forgeries=(forgeries, 0)
    )
    writer = draw_model(seed, index)
    images = []
    for number in range(genuine):
        session = np.random.default_rng([seed, index, 4, number // SPECIMENS_A_SESSION])
        rng = np.random.default_rng([seed, index, 5, number])
        ink_rng = np.random.default_rng([seed, index, 6, number])
        images.append(draw_image(*write_specimen(writer, session, rng), rng, ink_rng))
    forged, forgers = [], []
    for number in range(forgeries):
        who = number // FORGERIES_A_FORGER
        if number % FORGERIES_A_FORGER == 0:
            forger = draw_forger(writer, seed, index, who, skill)
        rng = np.random.default_rng([seed, index, 7, number])
        ink_rng = np.random.default_rng([seed, index, 8, number])
        forged.append(draw_image(*forge(forger, writer, rng), rng, ink_rng))
        forgers.append(f"{index + 1:04d}-{who + 1}")
    return DrawnWriter(index, images, forged, forgers)


def _drawn_and_prepared(index, seed, genuine, forgeries, skill, prepare) -> DrawnWriter:
    drawn = draw_writer(seed, index, genuine, forgeries, skill)
    if prepare is None:
        return drawn
    return replace(
        drawn,
        genuine=[prepare(image) for image in drawn.genuine],
        forgeries=[prepare(image) for image in drawn.forgeries],
    )


def draw_writers(
    writers: int | Iterable[int],
    genuine: int = 24,
    forgeries: int = 24,
    seed: int = 0,
    skill: float | None = None,
    processes: int | None = None,
    prepare: Callable[[np.ndarray], Any] | None = None,
) -> Iterator[DrawnWriter]:
    """Draw many writers in parallel, in order, without touching the disk.

    Parameters
    ----------
    writers : int or iterable of int
        How many (indices 0, 1, ...), or which indices.
    genuine, forgeries, seed, skill
        As in `draw_writer`.
    processes : int, optional
        How many processes draw; all cores if not given. The images do not depend on it.
    prepare : callable, optional
        Applied to each image where it is drawn, for example to clean it to a small canvas; must be
        picklable.

    Yields
    ------
    DrawnWriter

    Raises
    ------
    DeepSignError
        If a parameter is out of its range.
    """
    indices = range(writers) if isinstance(writers, int) else writers
    check_counts(skill, processes, seed=(seed, 0), genuine=(genuine, 1), forgeries=(forgeries, 0))
    task = partial(
        _drawn_and_prepared,
        seed=seed,
        genuine=genuine,
        forgeries=forgeries,
        skill=skill,
        prepare=prepare,
    )
    return in_processes(task, indices, processes)
