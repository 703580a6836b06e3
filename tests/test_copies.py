"""Copies: what was done to an image does not make it another signature; another specimen is one."""

from itertools import combinations

import numpy as np
import pytest
from copying import CHANGES
from PIL import Image
from serving import signature

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.preprocessing import BlankPageError, finely, plain
from deepsign_utils.verifying import copies
from deepsign_utils.verifying.copies import COPY, Trace, alike

WRITERS = 8


def trace(gray: np.ndarray) -> Trace:
    return copies.trace(*finely(plain(gray)))


@pytest.fixture(scope="module")
def writers() -> list[list[np.ndarray]]:
    """Three genuine signatures and one skilled forgery of each writer."""
    drawn = (synthetic.draw_writer(11, index, 3, 1) for index in range(WRITERS))
    return [[*writer.genuine, *writer.forgeries] for writer in drawn]


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_is_found_whatever_was_done_to_it(writers, name: str) -> None:
    rng = np.random.default_rng(0)
    found = [
        alike(trace(first), trace(CHANGES[name](first, rng))) is not None for first, *_ in writers
    ]
    assert sum(found) >= WRITERS - 1


def test_two_signatures_of_one_hand_are_no_copies(writers) -> None:
    pairs = [pair for images in writers for pair in combinations(map(trace, images), 2)]
    assert sum(alike(one, other) is not None for one, other in pairs) == 0


@pytest.mark.parametrize("steady", [21, 37])
def test_a_plain_signature_written_steadily_is_no_copy_of_the_last_one(steady: int) -> None:
    images = synthetic.draw_writer(11, steady, 5, 1).genuine
    assert not any(alike(one, other) for one, other in combinations(map(trace, images), 2))


@pytest.mark.parametrize("writer", range(6))
def test_a_scrawl_of_a_few_strokes_is_no_copy_because_a_stretch_fits_it(writer: int) -> None:
    scrawls = [trace(np.asarray(signature(writer, number))) for number in range(5)]
    assert not any(alike(one, other) for one, other in combinations(scrawls, 2))


def test_it_tells_how_a_copy_was_turned_and_scaled(writers) -> None:
    gray = writers[5][0]
    sheet = Image.fromarray(gray).resize([side // 2 for side in gray.shape[::-1]])
    sheet = sheet.rotate(3, Image.Resampling.BICUBIC, expand=True, fillcolor=int(gray.max()))

    copy = alike(trace(gray), trace(np.asarray(sheet)))

    assert copy.turned == pytest.approx(3, abs=0.5)
    assert copy.scaled == pytest.approx(0.5, rel=0.03)
    assert copy.stretched == pytest.approx(1, abs=0.02)
    assert 0 < copy.distance <= COPY


def test_it_tells_how_a_copy_was_stretched(writers) -> None:
    gray = writers[5][0]
    wider = Image.fromarray(gray).resize((round(gray.shape[1] * 1.1), gray.shape[0]))

    copy = alike(trace(gray), trace(np.asarray(wider)))

    assert copy.stretched == pytest.approx(1.1, abs=0.02)
    assert copy.scaled == pytest.approx(1.1**0.5, abs=0.02)


@pytest.mark.filterwarnings("error")
def test_no_signature_shrinks_to_a_copy_of_a_stroke(writers) -> None:
    level, rising = np.zeros((2, 200, 400), bool)
    level[100], rising[np.arange(200), np.arange(200)] = True, True
    for stroke in (level, rising, rising | rising[:, 199::-1].repeat(2, axis=1)):
        assert not any(alike(trace(gray), Trace(stroke, 1.0)) for gray, *_ in writers)


def test_a_trace_is_small_and_can_be_kept(writers) -> None:
    for gray, *_ in writers:
        kept = trace(gray).to_bytes()
        again = Trace.from_bytes(kept)
        assert len(kept) < 4096
        assert again.pen == trace(gray).pen
        assert alike(again, trace(gray)).scaled == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"text"])
def test_a_damaged_trace_is_refused(content: bytes) -> None:
    with pytest.raises(DeepSignError, match="enrol"):
        Trace.from_bytes(content)


def test_a_blank_page_has_no_trace() -> None:
    with pytest.raises(BlankPageError):
        trace(np.full((200, 300), 250, np.uint8))
