"""Image file -> clean canvas."""

import itertools
import json
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw
from scipy import ndimage

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import (
    MAX_PIXELS,
    READABLE,
    BlankPageError,
    ImageTooLargeError,
    Preprocessing,
    clean,
    clean_files,
    has_ink,
    ink_box,
    ink_mask,
    load_grayscale,
    open_image,
    plain,
)
from deepsign_utils.study import ordered_map

ASPECT = Preprocessing(128, 256, "aspect")
FILL = Preprocessing(128, 256, "fill")
NORMALISED = Preprocessing(128, 256, "aspect", "normalised")
PAPER = 245


def scribble(
    size: tuple[int, int] = (480, 200), width: float = 7, ink: int = 40, paper: int = PAPER
) -> np.ndarray:
    """Draw a smooth flourish with an underline and a dot, (height, width) uint8, antialiased."""
    columns, rows, fine = size[0], size[1], 4
    image = Image.new("L", (columns * fine, rows * fine), paper)
    pen = ImageDraw.Draw(image)
    t = np.linspace(0, 1, 400)
    x = (0.12 + 0.72 * t + 0.05 * np.sin(25 * t)) * columns
    y = (0.45 + 0.22 * np.cos(25 * t) * (1 - 0.5 * t)) * rows
    thickness = width * size[0] / 480 * fine
    curves = [
        np.column_stack([x, y]),
        np.array([[0.2 * columns, 0.8 * rows], [0.85 * columns, 0.74 * rows]]),
    ]
    for curve in curves:
        points = [tuple(point) for point in curve * fine]
        pen.line(points, fill=ink, width=round(thickness), joint="curve")
        for px, py in (points[0], points[-1]):
            r = thickness / 2
            pen.ellipse([px - r, py - r, px + r, py + r], fill=ink)
    px, py, r = 0.55 * columns * fine, 0.1 * rows * fine, thickness
    pen.ellipse([px - r, py - r, px + r, py + r], fill=ink)
    return np.asarray(image.reduce(fine))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Share of two canvases' ink that is not common to both."""
    one, other = one.astype(float), other.astype(float)
    return np.abs(one - other).sum() / (one + other).sum()


def saved(gray: np.ndarray, mode: str, ending: str, **options) -> bytes:
    image, buffer = Image.fromarray(gray), BytesIO()
    if mode == "I;16":
        image = Image.fromarray(gray.astype(np.uint16) * 257)
    elif mode == "12 bit":
        image = Image.fromarray(gray.astype(np.uint16) * 16)
    elif mode == "clear paper":
        image = Image.merge("LA", (Image.new("L", image.size, 0), Image.fromarray(255 - gray)))
    else:
        image = image.convert("RGB").convert(mode)
    image.save(buffer, ending, **options)
    return buffer.getvalue()


# Reading


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("I;16", "PNG"),
        ("L", "TIFF"),
        ("LA", "TIFF"),
        ("P", "TIFF"),
        ("RGB", "TIFF"),
        ("RGBA", "TIFF"),
        ("CMYK", "TIFF"),
        ("I;16", "TIFF"),
        ("12 bit", "TIFF"),
        ("L", "BMP"),
        ("P", "BMP"),
        ("RGB", "BMP"),
        ("clear paper", "PNG"),
    ],
)
def test_every_file_mode_gives_the_same_canvas(mode, ending):
    gray = scribble()
    canvas = clean(load_grayscale(saved(gray, mode, ending)), ASPECT)
    assert difference(canvas, clean(gray, ASPECT)) < 0.01


@pytest.mark.parametrize("quality", [40, 95])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_gives_nearly_the_same_canvas(mode, quality):
    gray = scribble()
    canvas = clean(load_grayscale(saved(gray, mode, "JPEG", quality=quality)), ASPECT)
    assert difference(canvas, clean(gray, ASPECT)) < 0.03


def test_binarised_scan_gives_nearly_the_same_canvas():
    gray = scribble()
    binary = saved(np.where(gray < 140, 0, 255).astype(np.uint8), "1", "PNG")
    assert difference(clean(load_grayscale(binary), ASPECT), clean(gray, ASPECT)) < 0.06


def test_paper_under_transparency_is_white():
    image = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    image.putpixel((7, 5), (0, 0, 0, 255))
    gray = load_grayscale(image)
    assert gray.shape == (30, 40)
    assert gray.dtype == np.uint8
    assert gray[5, 7] == 0
    assert np.count_nonzero(gray != 255) == 1


def test_camera_orientation_is_obeyed(tmp_path):
    gray = scribble()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show the image a quarter clockwise
    Image.fromarray(np.rot90(gray)).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(load_grayscale(tmp_path / "turned.png"), gray)


@pytest.mark.parametrize(
    "array",
    [
        np.full((20, 30), True),
        np.full((20, 30), 255, np.uint8),
        np.full((20, 30), 65535, np.uint16),
        np.full((20, 30, 3), 255, np.uint8),
        np.full((20, 30, 4), 255, np.uint8),
    ],
)
def test_arrays_are_read_like_files(array):
    assert np.array_equal(load_grayscale(array), np.full((20, 30), 255, np.uint8))


@pytest.mark.parametrize(
    "array", [np.zeros((0, 5), np.uint8), np.zeros((5, 5)), np.zeros((5, 5, 2), np.uint8)]
)
def test_other_arrays_are_refused(array):
    with pytest.raises(DeepSignError, match="must be an array"):
        load_grayscale(array)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"II*\0\xff\xff\xff\xff"])
def test_what_is_no_image_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DeepSignError, match=r"bad\.png"):
        load_grayscale(tmp_path / "bad.png")


@pytest.mark.parametrize("ending", ["PNG", "TIFF", "JPEG", "BMP"])
def test_truncated_image_is_refused_by_name(tmp_path, ending):
    content = saved(scribble(), "L", ending)
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(DeepSignError, match=r"cut\.png"):
        load_grayscale(tmp_path / "cut.png")


@pytest.mark.parametrize("ending", ["GIF", "PPM", "ICO", "EPS"])
def test_other_formats_are_refused(ending):
    buffer = BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, ending)
    with pytest.raises(DeepSignError, match=f"not a readable {READABLE}"):
        load_grayscale(buffer.getvalue())


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DeepSignError, match=r"gone\.png cannot be read"):
        load_grayscale(tmp_path / "gone.png")


@pytest.mark.parametrize("side", [8_100, 16_200, 60_000])
def test_decompression_bomb_is_refused_from_its_header(side):
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    assert side**2 > MAX_PIXELS
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    # Without any pixels, so that decoding, if it were tried, would end in another error.
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"")
    with pytest.raises(ImageTooLargeError, match="65 million pixels"):
        open_image(bomb)


# Ink


def test_ink_is_found_where_it_was_drawn():
    gray = scribble()
    assert np.count_nonzero(ink_mask(gray) != (gray < 160)) < 0.05 * np.count_nonzero(gray < 160)


def test_ink_box_is_tight():
    mask = np.zeros((20, 30), bool)
    mask[4, 7] = mask[9, 12] = True
    assert ink_box(mask) == (4, 10, 7, 13)


@pytest.mark.parametrize("paper", [255, 245, 150, 60, 0])
@pytest.mark.parametrize("noise", [0, 1, 4])
def test_blank_page_has_no_ink(paper, noise):
    rng = np.random.default_rng(0)
    page = np.clip(paper + rng.normal(0, noise, (200, 480)), 0, 255).astype(np.uint8)
    assert not has_ink(page)
    with pytest.raises(BlankPageError, match="no ink"):
        clean(page, ASPECT)


def test_shading_alone_is_no_ink():
    shading = np.add.outer(np.linspace(120, 170, 200), np.linspace(0, 80, 480)).astype(np.uint8)
    assert not has_ink(shading)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (2, 2), (3, 3), (500, 2)])
def test_tiny_pages_are_blank(shape):
    with pytest.raises(BlankPageError):
        clean(np.full(shape, 255, np.uint8), ASPECT)


def framed(gray: np.ndarray, thickness: int = 3) -> np.ndarray:
    gray = gray.copy()
    gray[:thickness] = gray[-thickness:] = gray[:, :thickness] = gray[:, -thickness:] = 20
    return gray


def test_frame_alone_is_no_ink():
    assert not has_ink(framed(np.full((200, 480), PAPER, np.uint8)))


@pytest.mark.parametrize(
    "spoil",
    [
        framed,
        lambda gray: np.where(np.arange(480) < 6, 10, gray).astype(np.uint8),
        lambda gray: np.where(np.arange(200)[:, None] > 196, 30, gray).astype(np.uint8),
        lambda gray: np.where(  # a line along a part of the border
            (np.arange(200)[:, None] > 197) & (np.arange(480) < 200), 60, gray
        ).astype(np.uint8),
        lambda gray: np.where(  # pepper
            np.random.default_rng(0).random(gray.shape) < 0.0005, 0, gray
        ).astype(np.uint8),
        lambda gray: np.where(  # a crumb in the corner
            (np.arange(200)[:, None] // 5 == 37) & (np.arange(480) // 5 == 92), 30, gray
        ).astype(np.uint8),
    ],
    ids=["frame", "left strip", "bottom strip", "line", "pepper", "crumb"],
)
def test_specks_and_scanner_edges_do_not_change_the_canvas(spoil):
    gray = scribble()
    assert difference(clean(spoil(gray), ASPECT), clean(gray, ASPECT)) < 0.03


def test_strokes_that_touch_the_border_stay():
    gray = scribble()
    rows, columns = np.nonzero(gray < 160)
    inner = slice(rows.min() + 2, rows.max() - 2), slice(columns.min() + 2, columns.max() - 2)
    assert difference(ink_mask(gray[inner]), ink_mask(gray)[inner]) < 0.02


def test_dot_of_a_letter_stays():
    canvas = clean(scribble(), ASPECT)
    _, pieces = ndimage.label(canvas > 0, structure=np.ones((3, 3)))
    assert pieces == 3  # flourish, underline, dot


def test_faint_stroke_beside_dark_ones_stays():
    gray = scribble(paper=240, ink=30).copy()
    gray[180:185, 100:400] = 170
    assert ink_mask(gray)[182, 110:390].mean() > 0.9


# What the canvas must not tell


def scans() -> dict[str, np.ndarray]:
    gray = scribble().astype(float)
    rng = np.random.default_rng(0)
    shade = np.add.outer(np.linspace(0.6, 1, 200), np.linspace(0, -0.15, 480))
    return {
        "gray paper": gray * 0.7,
        "dark paper": gray * 0.4,
        "pale ink": PAPER - (PAPER - gray) * 0.3,
        "very pale ink": PAPER - (PAPER - gray) * 0.15,
        "uneven light": gray * shade,
        "noise": gray + rng.normal(0, 6, gray.shape),
        "blur": ndimage.gaussian_filter(gray, 1.2),
    }


@pytest.mark.parametrize("name", scans())
@pytest.mark.parametrize("preprocessing", [ASPECT, FILL], ids=["aspect", "fill"])
def test_scanning_does_not_change_the_canvas(name, preprocessing):
    scan = np.clip(np.rint(scans()[name]), 0, 255).astype(np.uint8)
    assert difference(clean(scan, preprocessing), clean(scribble(), preprocessing)) < 0.08


@pytest.mark.parametrize("size", [(240, 100), (960, 400), (1440, 600), (3600, 1500)])
def test_resolution_does_not_change_the_canvas(size):
    assert difference(clean(scribble(size), ASPECT), clean(scribble(), ASPECT)) < 0.08


@pytest.mark.parametrize("margin", [1, 40, 200])
def test_size_of_the_sheet_does_not_change_the_canvas(margin):
    wide = np.pad(scribble(), margin, constant_values=PAPER)
    assert difference(clean(wide, ASPECT), clean(scribble(), ASPECT)) < 0.02


def test_canvas_is_bright_ink_on_exact_zero():
    canvas = clean(scribble(paper=200), ASPECT)
    assert canvas.dtype == np.uint8
    assert canvas.shape == (128, 256)
    assert canvas.max() == 255
    far = ~ndimage.binary_dilation(canvas > 127, np.ones((7, 7)))
    assert far.sum() > 0.5 * canvas.size
    assert not canvas[far].any()


def test_input_is_left_as_it_was():
    gray = framed(scribble())
    before = gray.copy()
    clean(gray, ASPECT)
    assert np.array_equal(gray, before)


# Fitting


def box(canvas: np.ndarray) -> tuple[int, int]:
    top, bottom, left, right = ink_box(canvas > 127)
    return bottom - top, right - left


def test_aspect_is_kept_and_centred():
    gray = scribble()
    height, width = box(clean(gray, ASPECT))
    original = box((gray < 160).astype(np.uint8) * 255)
    assert width / height == pytest.approx(original[1] / original[0], rel=0.03)
    top, bottom, left, right = ink_box(clean(gray, ASPECT) > 0)
    assert abs(top - (128 - bottom)) <= 1
    assert abs(left - (256 - right)) <= 1


def test_fill_stretches_over_the_canvas():
    height, width = box(clean(scribble(), FILL))
    assert height > 115
    assert width > 243


@pytest.mark.parametrize("size", [(16, 16), (64, 128), (100, 37), (512, 1024)])
@pytest.mark.parametrize("stroke_width", ["as_is", "normalised"])
def test_any_canvas_size(size, stroke_width):
    canvas = clean(scribble(), Preprocessing(*size, "aspect", stroke_width))
    assert canvas.shape == size
    assert canvas.max() == 255


@pytest.mark.parametrize("preprocessing", [ASPECT, FILL, NORMALISED])
def test_extreme_shapes_of_ink_fit(preprocessing):
    for shape in ((40, 900), (900, 40)):
        page = np.full(shape, 250, np.uint8)
        page[shape[0] // 2 - 3 : shape[0] // 2 + 3, shape[1] // 2 - 3 : shape[1] // 2 + 3] = 20
        along = np.arange(100, 800)
        across = np.rint(20 + 6 * np.sin(along / 40)).astype(int)
        page[(across, along) if shape[0] == 40 else (along, across)] = 20
        assert clean(page, preprocessing).max() == 255


# One pen


def widths(canvas: np.ndarray) -> float:
    ink = canvas > 127
    return 2 * ndimage.distance_transform_edt(ink)[ink].mean()


def test_normalised_strokes_are_alike_whatever_the_pen():
    thin, thick = (clean(scribble(width=width), NORMALISED) for width in (4, 12))
    assert widths(thin) == pytest.approx(widths(thick), rel=0.05)
    as_is = [widths(clean(scribble(width=width), ASPECT)) for width in (4, 12)]
    assert as_is[1] > 1.5 * as_is[0]


def test_normalised_strokes_follow_the_centre_lines():
    line = clean(scribble(), NORMALISED) > 127
    ink = clean(scribble(), ASPECT) > 127
    near_line = ndimage.binary_dilation(line, iterations=3)
    assert (line & ~ndimage.binary_dilation(ink)).sum() < 0.02 * line.sum()
    assert (ink & ~near_line).sum() < 0.05 * ink.sum()


def test_normalised_straight_stroke_has_no_spurs():
    page = np.full((120, 400), 250, np.uint8)
    ragged = np.random.default_rng(0).integers(0, 4, 300)
    for column, step in enumerate(ragged, start=50):
        page[50 - step : 66 + step, column] = 20
    canvas = clean(page, NORMALISED)
    rows = np.flatnonzero((canvas > 127).any(axis=1))
    assert rows.max() - rows.min() <= 4  # a pen of two pixels, and a slight waver


# Parameters


def test_parameters_survive_json():
    parameters = Preprocessing(64, 128, "fill", "normalised")
    assert Preprocessing.from_dict(json.loads(json.dumps(parameters.to_dict()))) == parameters


@pytest.mark.parametrize(
    "wrong",
    [
        {"canvas_height": 0},
        {"canvas_height": 128.0},
        {"canvas_width": "256"},
        {"canvas_width": 100_000},
        {"canvas_width": True},
        {"fit": "stretch"},
        {"stroke_width": None},
    ],
)
def test_wrong_parameter_is_named(wrong):
    with pytest.raises(DeepSignError, match=next(iter(wrong))):
        Preprocessing(**FILL.to_dict() | wrong)


@pytest.mark.parametrize("change", [{"colour": 1}, {"fit": ...}])
def test_missing_and_unknown_names_are_refused(change):
    values = {**Preprocessing(128, 256, "aspect").to_dict(), **change}
    values = {name: value for name, value in values.items() if value is not ...}
    with pytest.raises(DeepSignError, match="needs exactly"):
        Preprocessing.from_dict(values)


# Many files


@pytest.mark.parametrize(("count", "processes"), [(6, None), (600, 2)])
def test_files_are_cleaned_in_order_with_their_problems(tmp_path, count, processes):
    (tmp_path / "a b").mkdir()
    Image.fromarray(scribble((120, 50))).save(tmp_path / "a b" / "good.png")
    Image.new("L", (120, 50), 250).save(tmp_path / "blank.png")
    (tmp_path / "bad.png").write_text("hello")
    names = ("a b/good.png", "blank.png", "bad.png", "gone.png")
    paths = list(itertools.islice(itertools.cycle(names), count))
    results = list(clean_files(tmp_path, paths, ASPECT, processes, progress=False))
    assert [result.path for result in results] == paths
    expected = clean(load_grayscale(tmp_path / "a b" / "good.png"), ASPECT)
    for result in results:
        if result.path.endswith("good.png"):
            assert np.array_equal(result.canvas, expected)
            assert result.problem is None
        else:
            assert result.canvas is None
            assert result.path in result.problem
    assert "no ink" in results[1].problem


def test_cleaning_no_files_gives_nothing(tmp_path):
    assert list(clean_files(tmp_path, [], ASPECT, progress=False)) == []


def test_parallel_results_may_be_left_early():
    results = ordered_map(str, range(1000), processes=2, progress=False)
    assert [next(results), next(results)] == ["0", "1"]
    results.close()


# Anything at all


@settings(max_examples=60, deadline=None)
@given(
    gray=hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements=st.integers(0, 255),
    ),
    preprocessing=st.sampled_from([ASPECT, FILL, NORMALISED]),
)
def test_any_image_gives_a_canvas_or_is_blank(gray, preprocessing):
    try:
        canvas = clean(gray, preprocessing)
    except BlankPageError:
        # There was none, or what there was is told to be no signature.
        assert plain(gray).removed or not ink_mask(gray).any()
        assert not has_ink(gray)
    else:
        assert canvas.shape == (128, 256)
        assert canvas.max() == 255


def test_a_bright_patch_is_no_sheet():
    gray = np.full((37, 25), 60, np.uint8)
    gray[:, 18:23] = 200

    assert [one.code for one in plain(gray).removed if one.code == "sheet_found"] == []


# Real data


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["bhsig260-bengali", "cedar-half", "icdar2011-dutch-half"])
def test_real_signatures_are_cleaned(real_data: Path, dataset):
    files = sorted(
        path.relative_to(real_data).as_posix()
        for path in (real_data / dataset).rglob("*")
        if path.suffix.lower() in (".png", ".tif")
    )
    for result in clean_files(real_data, files[::27], FILL, progress=False):
        assert result.problem is None
        density = (result.canvas > 127).mean()
        assert 0.01 < density < 0.4
