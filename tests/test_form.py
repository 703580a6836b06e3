"""A signature on a form: what is not the signature is taken away, and told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from deepsign_utils import synthetic
from deepsign_utils.capture.geometry import light_on_dark
from deepsign_utils.preprocessing import (
    EDGE,
    Preprocessing,
    clean,
    has_ink,
    lines,
    load_image,
    plain,
)

CASES = Path(__file__).parents[2] / "shared" / "cases"
CANVAS = Preprocessing(64, 128, "fill")


@pytest.fixture(scope="module")
def signatures() -> list[np.ndarray]:
    """Three writers' signatures with white paper around them, as on a form."""
    drawn = []
    for writer in (1, 3, 4):
        gray = synthetic.draw_writer(5, writer, 1, 0).genuine[0]
        across = gray.shape[1] // 5
        pad = ((gray.shape[0] // 3,) * 2, (across,) * 2)
        drawn.append(np.pad(gray, pad, constant_values=int(np.median(gray))))
    return drawn


def pen(gray: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw, int, int]:
    image = Image.fromarray(gray)
    return image, ImageDraw.Draw(image), *image.size


def ruled(gray: np.ndarray) -> np.ndarray:
    image, draw, width, height = pen(gray)
    draw.line([0, 0.62 * height, width, 0.64 * height], fill=60, width=2)
    return np.minimum(gray, image)


def thickly_ruled(gray: np.ndarray) -> np.ndarray:
    """A thick line that ends short of the image, far beyond the signature."""
    gray = np.pad(gray, ((0, 0), (gray.shape[1],) * 2), constant_values=int(np.median(gray)))
    image, draw, width, height = pen(gray)
    draw.line([20, 0.63 * height, width - 20, 0.63 * height], fill=30, width=5)
    return np.minimum(gray, image)


def beside(gray: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw, int, int]:
    """Free paper left of the signature, as wide as the image is high."""
    return pen(np.pad(gray, ((0, 0), (gray.shape[0], 0)), constant_values=int(np.median(gray))))


def punched(gray: np.ndarray) -> np.ndarray:
    """Two punch holes, the scanner's dark lid behind them."""
    image, draw, _, height = beside(gray)
    x, radius = 0.3 * height, 0.1 * height
    for y in (0.2 * height, 0.8 * height):
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=40)
    return np.asarray(image)


def stapled(gray: np.ndarray) -> np.ndarray:
    image, draw, _, height = beside(gray)
    draw.line([0.2 * height, 0.6 * height, 0.8 * height, 0.3 * height], fill=50, width=4)
    return np.asarray(image)


def dithered(gray: np.ndarray) -> np.ndarray:
    """Light paper in black and white, strewn with single dots."""
    return np.asarray(Image.fromarray(np.minimum(gray, 246)).convert("1").convert("L"))


def sparsely_dithered(gray: np.ndarray) -> np.ndarray:
    """Paper so light that only one pixel in sixty is black."""
    return np.asarray(Image.fromarray(np.minimum(gray, 251)).convert("1").convert("L"))


def dashed(gray: np.ndarray) -> np.ndarray:
    image, draw, width, height = pen(gray)
    for start in range(0, width, 12):
        draw.line([start, 0.75 * height, start + 6, 0.75 * height], fill=60, width=2)
    return np.minimum(gray, image)


def boxed(gray: np.ndarray) -> np.ndarray:
    image, draw, width, height = pen(gray)
    draw.rectangle([6, 6, width - 7, height - 7], outline=50, width=2)
    return np.minimum(gray, image)


def dotted(gray: np.ndarray) -> np.ndarray:
    """A dotted line as black as the pen, which strokes cross."""
    image, draw, width, height = pen(gray)
    for start in range(3, width - 6, 8):
        draw.rectangle([start, 0.62 * height, start + 2, 0.62 * height + 2], fill=20)
    return np.minimum(gray, image)


def combed(gray: np.ndarray) -> np.ndarray:
    """A box with a tooth for each letter."""
    page = boxed(gray)
    image, draw, width, height = pen(page)
    for column in range(20, width - 16, 14):
        draw.line([column, height - 7 - 0.22 * height, column, height - 7], fill=50, width=2)
    return np.minimum(page, image)


def labelled(gray: np.ndarray) -> np.ndarray:
    image, draw, width, height = pen(gray)
    font = ImageFont.load_default(0.09 * height)
    draw.text((0.1 * width, 0.86 * height), "Date and signature", fill=30, font=font)
    return np.minimum(gray, image)


def stamped(gray: np.ndarray) -> np.ndarray:
    """A gray stamp across the signature: a frame and large print."""
    plate = Image.new("L", gray.shape[::-1])
    draw, (height, width) = ImageDraw.Draw(plate), gray.shape
    draw.rectangle([0.3 * width, 0.3 * height, 0.8 * width, 0.7 * height], outline=255, width=4)
    font = ImageFont.load_default(0.25 * height)
    draw.text((0.33 * width, 0.35 * height), "PAID", fill=255, font=font)
    return (gray * (1 - np.asarray(plate) / 255 * 0.3)).astype(np.uint8)


def in_colours(ink: np.ndarray, colour: tuple, print_: np.ndarray, shade: tuple) -> np.ndarray:
    """A signature in one colour on a form in another; each of two shades lets through its light."""
    through = [
        (1 - (1 - gray[..., None] / 255) * (1 - np.array(light)))
        for gray, light in ((ink, colour), (print_, shade))
    ]
    return np.rint(255 * through[0] * through[1]).astype(np.uint8)


def on_a_desk(gray: np.ndarray) -> np.ndarray:
    return np.pad(gray, 30, constant_values=50)


def in_shadow(gray: np.ndarray) -> np.ndarray:
    dark = gray.copy()
    dark[:, : gray.shape[1] // 2] //= 2
    return dark


def mostly_in_shadow(gray: np.ndarray) -> np.ndarray:
    """All but a sharp corner of light; the ink lies in both."""
    rows, columns = np.indices(gray.shape) / np.array(gray.shape)[:, None, None]
    return np.where(rows + columns < 1.45, gray * 0.4, gray).astype(np.uint8)


@pytest.mark.parametrize("light", [0.5, 0.25])
@pytest.mark.parametrize("turns", range(4))
def test_a_shadow_across_a_signature_is_no_desk_beside_its_sheet(signatures, light, turns):
    told, same = [], []
    for gray in signatures:
        rows, columns = np.indices(gray.shape) / np.array(gray.shape)[:, None, None]
        beyond = (rows, columns, 1 - rows, 1 - columns)[turns] > 0.5
        page = np.where(beyond, light * gray, gray).astype(np.uint8)
        told.append(codes(page) == ["shadow_removed"])
        same.append(agreement(clean(page, CANVAS), clean(gray, CANVAS)))
    assert sum(told) >= 2
    assert np.median(same) > 0.85


def finely_squared(gray: np.ndarray) -> np.ndarray:
    """Squares of lines thinner than a pixel, askew, so that they lie now in one row, now in two."""
    return np.minimum(hairlines(gray), hairlines(np.ascontiguousarray(gray.T)).T)


def turned_over(gray: np.ndarray) -> np.ndarray:
    return 255 - gray


def hairlines(gray: np.ndarray) -> np.ndarray:
    """Writing paper whose lines are thinner than a pixel and not quite level."""
    finer = 4
    plate = Image.new("L", tuple(finer * side for side in gray.shape[::-1]), 255)
    draw, (width, height) = ImageDraw.Draw(plate), plate.size
    for row in np.arange(0.1, 1, 0.25) * height:
        draw.line([0, row, width, row + 0.03 * width], fill=0, width=3)
    return np.minimum(gray, plate.reduce(finer))


def in_a_wide_field(gray: np.ndarray) -> np.ndarray:
    """A box that spans a third of the image."""
    return np.pad(boxed(gray), ((0, 0), (gray.shape[1],) * 2), constant_values=int(gray.max()))


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Ink that two canvases share, as a share of all their ink."""
    return np.minimum(one, other).sum() / np.maximum(one, other).sum()


def codes(gray: np.ndarray) -> list[str]:
    return [removal.code for removal in plain(gray).removed]


@pytest.mark.parametrize(
    ("spoil", "code", "least"),
    [
        (ruled, "ruled_line_removed", 0.85),
        (hairlines, "ruled_line_removed", 0.85),
        (finely_squared, "ruled_line_removed", 0.75),
        (thickly_ruled, "ruled_line_removed", 0.7),
        (punched, "punch_hole_removed", 0.95),
        (stapled, "bar_removed", 0.95),
        (dithered, "dithering_smoothed", 0.6),
        (sparsely_dithered, "dithering_smoothed", 0.6),
        (dashed, "ruled_line_removed", 0.8),
        (dotted, "ruled_line_removed", 0.8),
        (boxed, "box_removed", 0.9),
        (combed, "box_removed", 0.8),
        (in_a_wide_field, "box_removed", 0.9),
        (labelled, "printed_text_removed", 0.9),
        (stamped, "pale_print_removed", 0.7),
        (on_a_desk, "sheet_found", 0.7),
        (in_shadow, "shadow_removed", 0.9),
        (mostly_in_shadow, "shadow_removed", 0.9),
        (turned_over, "inverted", 0.95),
    ],
)
def test_the_form_is_taken_away_and_told(signatures, spoil, code, least):
    told, same = [], []
    for gray in signatures:
        spoilt = spoil(gray)
        told.append(code in codes(spoilt))
        same.append(agreement(clean(spoilt, CANVAS), clean(gray, CANVAS)))
    assert sum(told) >= 2
    assert np.median(same) > least


def test_a_blot_at_a_strokes_end_stays(signatures):
    for gray in signatures:
        image, draw, width, height = beside(gray)
        x, y, radius = height // 2, height // 2, 8
        draw.line([x, y, width - 5, y - 20], fill=40, width=5)
        draw.line([x, y, x - 30, y + 25], fill=40, width=5)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=40)
        assert "punch_hole_removed" not in codes(np.asarray(image))


def test_a_blot_of_ink_and_a_dash_by_hand_stay(signatures):
    for gray in signatures:
        image, draw, width, height = beside(gray)
        draw.ellipse([width // 2 - 3, height // 2 - 3, width // 2 + 3, height // 2 + 3], fill=40)
        bow = [(x, 0.6 * height + 3 * np.sin(x / 11)) for x in range(height // 4, height)]
        draw.line(bow, fill=50, width=3)
        assert not {"punch_hole_removed", "bar_removed"} & set(codes(np.asarray(image)))


def framed(gray: np.ndarray, turn: float, reach: float) -> np.ndarray:
    """A frame about the left part of a signature, turned by some degrees."""
    height, width = gray.shape
    frame = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(frame)
    draw.rectangle([0.1 * width, 0.2 * height, reach * width, 0.85 * height], outline=20, width=3)
    return np.minimum(gray, frame.rotate(turn, Image.Resampling.BICUBIC, fillcolor=255))


@pytest.mark.parametrize(
    ("turn", "reach", "stamp"),
    [
        (0, 0.9, False),
        (0, 0.5, False),
        (3, 0.9, False),
        (3, 0.5, True),
        (-4, 0.5, True),
        (8, 0.9, True),
    ],
)
def test_a_frame_that_leans_across_a_signature_is_a_stamps(signatures, turn, reach, stamp):
    gray = signatures[2]
    assert ("under_a_stamp" in codes(framed(gray, turn, reach))) is stamp


def test_a_hole_in_a_shadow_is_taken_away(signatures):
    for gray in signatures:
        page = punched(gray).copy()
        page[:, : gray.shape[0]] = 0.8 * page[:, : gray.shape[0]]
        assert "punch_hole_removed" in codes(page)
        assert agreement(clean(page, CANVAS), clean(gray, CANVAS)) > 0.9


def test_a_pattern_of_discs_is_no_sheet_with_holes(signatures):
    image, draw, width, height = pen(signatures[2])
    for y in range(20, height, 45):
        for x in range(20, width, 45):
            draw.ellipse([x - 15, y - 15, x + 15, y + 15], fill=30)
    assert "punch_hole_removed" not in codes(np.asarray(image))


def test_a_page_with_nothing_but_a_hole_shows_what_it_showed(signatures):
    page = punched(np.full_like(signatures[0], 240))
    assert plain(page).removed == ()


BLACK, BLUE, RED, YELLOW = (0.1, 0.1, 0.1), (0.1, 0.2, 0.7), (0.8, 0.1, 0.1), (1.0, 0.9, 0.3)


@pytest.mark.parametrize(("colour", "shade"), [(BLACK, RED), (BLUE, BLACK), (BLUE, RED)])
def test_a_form_of_another_colour_is_taken_away_and_told(signatures, colour, shade):
    told, same = [], []
    for gray in signatures:
        form = ruled(labelled(np.full_like(gray, 255)))
        page = load_image(in_colours(gray, colour, form, shade))
        told.append("other_ink_removed" in codes(page))
        same.append(agreement(clean(page, CANVAS), clean(gray, CANVAS)))
    assert all(told)
    assert np.median(same) > 0.8


@pytest.mark.parametrize(
    ("fasten", "code"), [(punched, "punch_hole_removed"), (stapled, "other_ink_removed")]
)
def test_what_fastened_a_sheet_is_no_second_ink(signatures, fasten, code):
    for gray in signatures:
        black = fasten(np.full_like(gray, 255))
        page = load_image(in_colours(np.asarray(beside(gray)[0]), BLUE, black, BLACK))
        assert codes(page) == [code]
        assert agreement(clean(page, CANVAS), clean(gray, CANVAS)) > 0.8


@pytest.mark.parametrize("colour", [BLUE, RED, YELLOW])
def test_ink_of_one_colour_is_read_whole(signatures, colour):
    for gray in signatures:
        page = load_image(in_colours(gray, colour, np.full_like(gray, 255), BLACK))
        assert codes(page) == []
        assert agreement(clean(page, CANVAS), clean(gray, CANVAS)) > 0.7


@pytest.mark.parametrize("form", [boxed, ruled])
@pytest.mark.parametrize("paleness", [0.35, 0.5])
def test_a_pale_pen_beside_black_print_is_the_signature(signatures, form, paleness):
    same = []
    for gray in signatures:
        pale = np.rint(255 - (255 - gray.astype(float)) * paleness).astype(np.uint8)
        print_ = np.where(form(np.full_like(gray, 255)) < 200, 20, 255).astype(np.uint8)
        page = np.minimum(pale, print_)
        same.append(agreement(clean(page, CANVAS), clean(gray, CANVAS)))
    assert np.median(same) > 0.8


def legs(columns: range, shape: tuple[int, int] = (120, 400)) -> np.ndarray:
    """Upright strokes, 40 pixels long, that stand on one line; and one stroke across the ink."""
    ink = np.zeros(shape, bool)
    ink[10:12, 10:-10] = True
    for column in columns:
        ink[-50:-10, column : column + 2] = True
    return ink


def test_teeth_span_the_ink_and_the_legs_of_a_letter_do_not():
    assert len(lines.teeth(legs(range(20, 380, 40)))) == 9
    assert lines.teeth(legs(range(200, 230, 12))) == []
    assert lines.teeth(legs(range(20, 2900, 300), shape=(60, 3000))) == []


@pytest.mark.parametrize("writer", [3, 7, 19])
def test_dense_light_ink_is_no_sheet(writer):
    gray = synthetic.draw_writer(11, writer, 1, 0).genuine[0]
    spoilt = light_on_dark(gray, np.random.default_rng(0), 0.6)
    assert codes(spoilt) == ["inverted"]
    assert agreement(clean(spoilt, CANVAS), clean(gray, CANVAS)) > 0.8


def test_a_stroke_aslant_is_kept_where_it_crosses_a_line(signatures):
    slope = np.full((200, 400), 255, np.uint8)
    image, draw, *_ = pen(slope)
    draw.line([100, 170, 300, 50], fill=40, width=4)
    stroke = np.asarray(image)
    left = plain(ruled(stroke)).field > EDGE
    columns = np.flatnonzero(left[:, 110:290].any(axis=0))
    assert "ruled_line_removed" in codes(ruled(stroke))
    assert np.diff(columns).max() <= 2


def test_a_plain_scan_passes_unchanged(signatures):
    for gray in signatures:
        page = plain(gray)
        assert page.removed == ()
        assert np.array_equal(page.gray, gray)


def test_a_form_without_a_signature_is_blank():
    paper = np.full((120, 400), 240, np.uint8)
    assert not has_ink(boxed(paper))
    assert not has_ink(on_a_desk(paper))


def test_white_ink_on_transparent_ground_is_seen(signatures):
    gray = signatures[0]
    white = np.full((*gray.shape, 4), 255, np.uint8)
    white[..., 3] = 255 - gray
    canvas = clean(load_image(Image.fromarray(white)), CANVAS)
    assert agreement(canvas, clean(gray, CANVAS)) > 0.85


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases here")
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("forms/questioned_box_around.png", "box_removed"),
        ("forms/questioned_form__line_and_text.png", "ruled_line_removed"),
        ("forms/questioned_photo_on_a_desk.png", "sheet_found"),
        ("forms/questioned_ruled_paper.png", "ruled_line_removed"),
        ("polarity/16bit_whiteiszero.tif", "inverted"),
        ("polarity/white_ink_in_alpha.png", "inverted"),
    ],
)
def test_a_writer_is_accepted_on_a_form_as_on_plain_paper(verifier, name, code):
    references = [CASES / "forms" / f"reference_{number}.png" for number in range(1, 6)]
    comparison = verifier.compare(references, CASES / name)
    assert comparison.accepted
    assert code in [warning.code for warning in comparison.warnings]


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases here")
def test_a_signature_under_a_stamp_is_somebodys_to_look_at(verifier):
    references = [CASES / "forms" / f"reference_{number}.png" for number in range(1, 6)]
    comparison = verifier.compare(references, CASES / "forms" / "questioned_stamp_over.png")
    assert comparison.decision == "referred"
    assert "under_a_stamp" in [warning.code for warning in comparison.warnings]


@pytest.fixture(scope="module")
def verifier():
    from deepsign_utils.verifying.verifier import Verifier

    return Verifier.load()
