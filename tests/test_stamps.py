"""A stamp's frame and a seal's ring are found; what a hand draws is not taken for one."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deepsign_utils import synthetic
from deepsign_utils.preprocessing import EDGE, plain
from deepsign_utils.verifying.stamps import is_stamped

SIZE = 500, 300


def drawn(frame: str, printed: bool, turn: float = 0.0) -> np.ndarray:
    """A frame, with rows of print in it or none, and a stroke that runs across it: bool (H, W)."""
    page = Image.new("L", SIZE)
    draw = ImageDraw.Draw(page)
    if frame == "ring":
        draw.ellipse([150, 50, 350, 250], outline=255, width=5)
    elif frame == "oval":
        draw.ellipse([100, 65, 400, 235], outline=255, width=5)
    else:
        draw.rectangle([110, 90, 390, 210], outline=255, width=5)
    if printed:
        for top in (105, 155):
            for left in range(185, 315, 24):
                draw.rectangle([left, top, left + 12, top + 36], outline=255, width=5)
    page = page.rotate(turn)
    ImageDraw.Draw(page).line([20, 260, 250, 140, 480, 60], fill=255, width=4)
    return np.asarray(page) > 127


@pytest.mark.parametrize(
    ("frame", "turn"),
    [("ring", 0), ("oval", 0), ("oval", 12), ("box", 0), ("box", 9), ("box", -14)],
)
def test_a_frame_with_print_in_it_is_a_stamp(frame, turn):
    assert is_stamped(drawn(frame, printed=True, turn=turn))


@pytest.mark.parametrize("frame", ["ring", "oval", "box"])
def test_an_empty_frame_is_none(frame):
    assert not is_stamped(drawn(frame, printed=False))


def test_a_loop_by_hand_is_none():
    turn = np.linspace(0, 2 * np.pi, 200)
    reach = 100 + 12 * np.sin(3 * turn) + 6 * np.sin(7 * turn)
    loop = np.stack([250 + 1.3 * reach * np.cos(turn), 150 + reach * np.sin(turn)], axis=1)
    page = Image.fromarray(drawn("ring", printed=True).astype(np.uint8) * 0)
    draw = ImageDraw.Draw(page)
    draw.line([tuple(point) for point in loop], fill=255, width=5)
    for left in range(190, 310, 20):
        draw.rectangle([left, 110, left + 10, 190], fill=255)
    assert not is_stamped(np.asarray(page) > 127)


def test_signatures_are_none():
    for writer in range(12):
        for gray in synthetic.draw_writer(2, writer, 2, 0).genuine:
            assert not is_stamped(plain(gray).field > EDGE), writer


def test_small_circles_by_hand_are_no_seals():
    stamped = [
        is_stamped(plain(gray).field > EDGE)
        for writer in (0, 9, 21, 27)  # who draw circles
        for gray in synthetic.draw_writer(5, writer, 6, 0).genuine
    ]
    assert sum(stamped) <= 2
