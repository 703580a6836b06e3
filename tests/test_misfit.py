"""A questioned signature that leans, is by another pen, or of another kind than the references, is
told."""

import re

import numpy as np
import pytest

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.preprocessing import plain
from deepsign_utils.runs.misfit import PENS, by_pen, judged, left_part, turned
from deepsign_utils.verifying.comparison import Comparison
from deepsign_utils.verifying.copies import Trace, trace
from deepsign_utils.verifying.misfit import amount, lean, pen
from deepsign_utils.verifying.verifier import Verifier

WRITERS = 6


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load()


@pytest.fixture(scope="module")
def writers() -> list[list[np.ndarray]]:
    return [synthetic.draw_writer(31, writer, 4, 0).genuine for writer in range(WRITERS)]


def codes(comparison: Comparison) -> set[str]:
    return {warning.code for warning in comparison.warnings}


def traced(gray: np.ndarray) -> Trace:
    return trace(plain(gray).field)


def test_lean_and_amount_are_those_of_the_drawing(writers) -> None:
    for own in writers[:4]:
        level = traced(own[0])
        for degrees in (-14, 7):
            askew = traced(turned(own[0], degrees))
            assert lean([level], askew) == pytest.approx(degrees, abs=1)
            assert amount([level], askew) == pytest.approx(1, abs=0.25)
        assert amount([level], level) == pytest.approx(1)
        assert amount([level], traced(left_part(own[0]))) < 0.6


def test_a_turned_signature_is_referred_and_told_which_way_to_turn_it(verifier, writers) -> None:
    lost = told = 0
    for own in writers:
        known = verifier.enrol(own[:3])
        for degrees, turned_to, back in (
            (14, "anticlockwise", "clockwise"),
            (-14, "clockwise", "anticlockwise"),
        ):
            level = verifier.compare(known, own[3])
            askew = verifier.compare(known, turned(own[3], degrees))
            assert "askew" not in codes(level)
            notes = [w.message for w in askew.warnings if w.code == "askew"]
            assert (askew.decision == "referred") == bool(notes)
            assert not notes or askew.has_evidence  # it holds if the page lay straight
            way = rf"turned by about 1\d° {turned_to} .* the image {back} and"
            assert not notes or re.search(way, notes[0])
            if level.accepted and not askew.accepted:
                lost += 1
                told += bool(notes)
    assert lost >= WRITERS // 3
    assert told >= 0.6 * lost


@pytest.mark.parametrize("k", [1, 3])
def test_a_page_on_its_side_or_upside_down_is_no_forgery(verifier, writers, k) -> None:
    for own in writers:
        known = verifier.enrol(own[:k])
        if not verifier.compare(known, own[3]).accepted:
            continue
        for quarters, how in ((1, "by 90° clockwise"), (2, "by 180°"), (3, "90° anticlockwise")):
            found = verifier.compare(known, np.rot90(own[3], quarters).copy())
            assert found.decision == "referred"
            assert not found.has_evidence
            (told,) = (w.message for w in found.warnings if w.code == "not_upright")
            assert how in told


@pytest.mark.parametrize(("degrees", "how"), [(192, "by 180°"), (100, "by 90° clockwise")])
def test_what_leans_besides_is_told_to_be_turned_first(verifier, writers, degrees, how) -> None:
    level = told = 0
    for own in writers:
        known = verifier.enrol(own[:3])
        if not verifier.compare(known, own[3]).accepted:
            continue
        level += 1
        found = verifier.compare(known, turned(own[3], degrees))
        assert found.decision != "accepted"
        notes = [w.message for w in found.warnings if w.code == "not_upright"]
        assert (found.decision == "referred") == bool(notes)
        told += any(how in note for note in notes)
    assert told >= 0.6 * level > 0


def test_a_far_thicker_pen_is_told_where_its_signature_is_refused(verifier, writers) -> None:
    refused = told = 0
    for own in writers:
        known = verifier.enrol(own[:3])
        same, thick = own[3], by_pen(own[3], "1.2 mm")
        assert "another_pen" not in codes(verifier.compare(known, same))
        found = verifier.compare(known, thick)
        assert pen([traced(same)], traced(thick)) > 1.5
        assert not found.accepted or "another_pen" not in codes(found)
        refused += not found.accepted
        told += any("times as thick as" in warning.message for warning in found.warnings)
    assert refused
    assert told == refused


def test_references_kept_before_pens_were_measured_have_none() -> None:
    line = np.eye(40, dtype=bool)
    assert pen([Trace(line, 1.0)], Trace(line, 1.0, 3.0)) is None
    assert pen([Trace(line, 1.0), Trace(line, 1.0, 6.0)], Trace(line, 1.0, 3.0)) == 0.5


def test_a_part_of_a_signature_is_told_from_a_full_one(verifier, writers) -> None:
    parts = whole = 0
    for own in writers:
        known = verifier.enrol(own[:3])
        try:
            parts += "other_kind" in codes(verifier.compare(known, left_part(own[3])))
        except DeepSignError:  # too little to judge at all
            parts += 1
        whole += "other_kind" in codes(verifier.compare(known, own[3]))
    assert parts >= 0.7 * WRITERS
    assert whole <= 1


def test_the_measurement_counts_verdicts(verifier) -> None:
    drawn = synthetic.draw_writer(505, 0, 6, 1)
    other = synthetic.draw_writer(505, 1, 1, 0)
    rows = judged(verifier, drawn.genuine, drawn.forgeries, other.genuine)
    pens = {f"{width} pen" for width in PENS}
    assert {row["kind"] for row in rows} == {"genuine", "forged", "stranger", "part"} | pens
    assert {row["references"] for row in rows} == {1, 5}
