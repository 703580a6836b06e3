"""Signatures on whole pages: found, cut out, judged; and documents made to do harm."""

import csv
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from conftest import ROOT
from PIL import Image
from serving import signature

from deepsign_utils import DeepSignError, synthetic
from deepsign_utils.__main__ import main
from deepsign_utils.runs import finding
from deepsign_utils.synthetic.pages import KINDS, Page, compose, synthetic_signature
from deepsign_utils.verifying import many
from deepsign_utils.verifying.find_signatures import find_signatures, look, overlap
from deepsign_utils.verifying.pages import (
    COLUMNS,
    MOST_PAGES,
    Questioned,
    WhichSignatureError,
    from_page,
    read_pages,
)
from deepsign_utils.verifying.verifier import Verifier

RECALL, PRECISION = 0.4, 0.5  # of few pages; docs/extract.md has what was measured on many
KINDS_IN_TURN = [kind for kind in KINDS if kind != "register"]


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    """Two pages of each kind, one of them not signed."""
    return [
        compose(77, number, kind=kind, signed=number % 2 == 0, dpi=150)
        for number, kind in enumerate(kind for kind in KINDS_IN_TURN for _ in range(2))
    ]


@pytest.fixture(scope="module")
def letter() -> Page:
    """A signed page on which the signature is found."""
    return next(page for page in _letters(True) if _is_found(page))


@pytest.fixture(scope="module")
def unsigned() -> Page:
    return next(page for page in _letters(False) if not find_signatures(page.image))


def _letters(signed: bool):
    return (
        compose(5, number, kind="letter", signed=signed, script="latin", dpi=150)
        for number in range(4)
    )


def _is_found(page: Page) -> bool:
    found = find_signatures(page.image)
    return len(found) == 1 and overlap(found[0].box, page.signatures[0]) > 0.5


# --------------------------------------------------------------------------------------- composing


def test_a_page_is_drawn_the_same_again_and_knows_where_it_is_signed(letter: Page) -> None:
    again, other = (compose(9, number, kind="cheque", signed=True, dpi=150) for number in (1, 1))
    assert (again.image == other.image).all()
    assert again.signatures == other.signatures
    ((left, top, right, bottom),) = letter.signatures
    inside = np.atleast_3d(letter.image)[top:bottom, left:right].min(axis=2)
    paper = np.median(letter.image)
    for edge in (inside[:3], inside[-3:], inside[:, :3], inside[:, -3:]):
        assert edge.min() < 0.85 * paper  # the ink reaches every side of its box


def test_an_unknown_kind_of_page_is_refused() -> None:
    with pytest.raises(DeepSignError, match="no page of kind 'poem'"):
        compose(0, 0, kind="poem")


# ----------------------------------------------------------------------------------------- finding


def test_signatures_are_found_and_little_else(pages: list[Page]) -> None:
    right = there = found = empty = 0
    for page in pages:
        boxes = [one.box for one in find_signatures(page.image)]
        right += finding.matched(boxes, page.signatures)
        there, found = there + len(page.signatures), found + len(boxes)
        empty += not page.signatures and not boxes
    assert right / there > RECALL
    assert right / found > PRECISION
    assert empty >= 4  # of six pages


def test_pages_without_ink_or_with_print_alone_are_empty(unsigned: Page) -> None:
    assert find_signatures(np.full((1754, 1240), 250, np.uint8)) == []
    assert find_signatures(np.zeros((300, 200, 3), np.uint8)) == []
    assert find_signatures(np.full((5, 900), 255, np.uint8)) == []
    assert look(unsigned.image).is_page


@pytest.mark.parametrize("quarters", [2, 3])
def test_a_page_is_read_however_it_lies(pages: list[Page], quarters: int) -> None:
    found = there = 0
    for page in (one for one in pages if one.signatures):
        image, boxes = finding.turned(page, quarters)
        found += finding.matched([one.box for one in find_signatures(image)], boxes)
        there += len(boxes)
    assert found / there > RECALL


def test_a_signature_alone_is_no_page() -> None:
    for seed in range(6):
        ink = synthetic_signature(np.random.default_rng(seed), 12.0)
        image = np.pad(255 - (230 * ink).astype(np.uint8), 30, constant_values=255)
        assert not look(image).is_page


def test_trees_as_numbers_say_what_the_trained_ones_say() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 5)).astype(np.float32)
    labels = features[:, 0] * features[:, 1] + features[:, 2] > 0
    trained = finding._boosted(features, labels, seed=0)
    trees = finding._plain(trained)
    kept = type(trees).from_dict(json.loads(json.dumps(trees.to_dict())))
    expected = trained.predict_proba(features)[:, 1]
    assert np.allclose(kept.probability(features), expected, atol=1e-3)


# --------------------------------------------------------------------------- documents and extract


def test_extract_writes_images_overlays_and_a_manifest(
    letter: Page, unsigned: Page, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    tiff, pdf = tmp_path / "two.tif", tmp_path / "turned.pdf"
    images = [Image.fromarray(page.image).convert("RGB") for page in (letter, unsigned)]
    images[0].save(tiff, save_all=True, append_images=images[1:])
    images[0].save(tmp_path / "level.pdf", resolution=150)
    document = pypdfium2.PdfDocument(tmp_path / "level.pdf")
    document[0].set_rotation(180)
    document.save(pdf)

    status = main(["extract", str(tiff), str(pdf), "--output", str(tmp_path / "out")])

    assert status == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == [f"{tiff}, page 1: one signature.", f"{tiff}, page 2: no signature."]
    with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["page_file"], rows[0]["page"]) == (str(tiff), "1")
    box = [int(rows[0][side]) for side in ("left", "top", "right", "bottom")]
    assert overlap(box, letter.signatures[0]) > 0.5
    with Image.open(tmp_path / "out" / rows[0]["file"]) as image:
        assert image.width >= box[2] - box[0]
        assert image.height >= box[3] - box[1]
    for name in ("two_page1_overlay.png", "two_page2_overlay.png", "turned_page1_overlay.png"):
        assert (tmp_path / "out" / name).is_file()


def test_a_turned_pdf_is_rendered_as_it_is_shown(letter: Page, tmp_path: Path) -> None:
    file = tmp_path / "level.pdf"
    Image.fromarray(letter.image).convert("L").save(file, resolution=150)
    level = next(read_pages(file)).image
    document = pypdfium2.PdfDocument(file)
    document[0].set_rotation(90)
    document.save(tmp_path / "turned.pdf")
    turned = next(read_pages(tmp_path / "turned.pdf")).image
    assert turned.shape[:2] == level.shape[1::-1]
    difference = np.abs(np.rot90(turned).astype(int) - level)
    assert np.median(difference) <= 2


def test_what_cannot_be_read_is_told_and_the_rest_is_kept(
    unsigned: Page, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    Image.fromarray(unsigned.image).save(tmp_path / "page.png")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    files = [str(tmp_path / name) for name in ("broken.pdf", "page.png")]
    assert main(["extract", *files, "--output", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "broken.pdf is damaged" in err
    assert "page.png, page 1: no signature." in out
    assert (tmp_path / "out" / "manifest.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_extract_tells_where_an_image_of_one_signature_goes(tmp_path: Path, capsys) -> None:
    signature(1, 1).save(tmp_path / "lone.png")
    assert main(["extract", str(tmp_path / "lone.png"), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "page 1: no signature; if it shows one alone, verify takes it as it is." in said


def _pdf(*objects: str | bytes, trailer: str = "") -> bytes:
    content, starts = b"%PDF-1.7\n", []
    for number, text in enumerate(objects, 1):
        starts.append(len(content))
        text = text if isinstance(text, bytes) else text.encode()
        content += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    end = b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n"
    size = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n" % size
    return content + head + table + end % (size, trailer.encode(), len(content))


def _stream(data: bytes, head: str = "") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), head.encode(), data)


CATALOG = "<< /Type /Catalog /Pages 2 0 R >>"
ONE = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"


def _sheet(box: str, more: str = "") -> str:
    return f"<< /Type /Page /Parent 2 0 R /MediaBox {box} {more} >>"


def _bomb() -> bytes:
    pixels = zlib.compress(zlib.compress(bytes(400_000_000), 9), 9)
    image = (
        "/Type /XObject /Subtype /Image /Width 400000 /Height 8000 /ColorSpace /DeviceGray "
        "/BitsPerComponent 1 /Filter [/FlateDecode /FlateDecode]"
    )
    page = _sheet("[0 0 595 842]", "/Contents 4 0 R /Resources << /XObject << /I 5 0 R >> >>")
    drawn = _stream(b"595 0 0 842 0 0 cm /I Do")
    return _pdf(CATALOG, ONE, page, drawn, _stream(pixels, image))


KEY = "00" * 32
ENCRYPTED = (
    f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -44 /O <{KEY}> /U <{KEY}> >> /ID [<00><00>]"
)
HOSTILE = {
    "a page of kilometres": (_pdf(CATALOG, ONE, _sheet("[0 0 1000000000 1000000000]")), "damaged"),
    "a page like a thread": (_pdf(CATALOG, ONE, _sheet("[0 0 100000 1]")), "damaged"),
    "thousands of pages": (
        _pdf(
            CATALOG,
            f"<< /Type /Pages /Kids [{'3 0 R ' * 5000}] /Count 5000 >>",
            _sheet("[0 0 9 9]"),
        ),
        f"more than {MOST_PAGES} pages",
    ),
    "pages inside themselves": (
        _pdf(CATALOG, "<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
        "damaged",
    ),
    "no page": (_pdf(CATALOG, "<< /Type /Pages /Kids [] /Count 0 >>"), "damaged"),
    "encrypted": (_pdf(CATALOG, ONE, _sheet("[0 0 595 842]"), trailer=ENCRYPTED), "encrypted"),
    "truncated": (_pdf(CATALOG, ONE, _sheet("[0 0 595 842]"))[:80], "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pdf_is_refused_in_words(name: str) -> None:
    content, words = HOSTILE[name]
    with pytest.raises(DeepSignError, match=words):
        list(read_pages(content, "letter.pdf"))


MEASURED = """
import contextlib, resource, sys
from deepsign_utils import DeepSignError
from deepsign_utils.verifying.pages import read_pages

with contextlib.suppress(DeepSignError):
    for page in read_pages(sys.stdin.buffer.read(), "letter.pdf"):
        assert max(page.image.shape) <= 5000
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_a_pdf_that_unpacks_to_gigabytes_does_no_harm() -> None:
    # In a process of its own: a child begins as large as the one that starts it.
    measured = subprocess.run(
        [sys.executable, "-c", MEASURED], input=_bomb(), cwd=ROOT, capture_output=True, check=True
    )
    assert 0 < int(measured.stdout) <= 400_000  # kilobytes


# ------------------------------------------------------------------------------- a page is judged


def test_the_one_signature_of_a_page_is_taken(letter: Page, tmp_path: Path) -> None:
    file = tmp_path / "letter.png"
    Image.fromarray(letter.image).save(file)
    taken = from_page(file)
    found = find_signatures(letter.image)[0].box
    assert f"page 1, box {','.join(map(str, found))}" in taken.where
    assert taken.image.shape[1] >= found[2] - found[0]
    # The box that was told gives the same again; any other one is taken as it is.
    assert np.array_equal(from_page(file, box=found).image, taken.image)
    left, top, right, bottom = found
    wider = from_page(file, box=(left - 9, top - 9, right, bottom)).image
    assert wider.shape[:2] == (bottom - top + 9, right - left + 9)


@pytest.mark.parametrize("quarters", [1, 3])
def test_the_signature_of_a_page_that_lies_is_judged_upright(
    letter: Page, quarters: int, tmp_path: Path
) -> None:
    # given a letter, and the same on its side
    upright = from_page(Image.fromarray(letter.image))
    lying = np.ascontiguousarray(np.rot90(letter.image, quarters))
    taken = from_page(Image.fromarray(lying))
    # then what is cut out stands upright, and that it was turned is said
    assert ", turned upright by " in taken.where
    assert "turned" not in upright.where
    as_it_stands, found = (
        Image.fromarray(one.image).convert("L").resize((80, 40)) for one in (upright, taken)
    )
    apart, mirrored = (
        np.abs(np.asarray(one, int) - as_it_stands).mean()
        for one in (found, found.transpose(Image.Transpose.ROTATE_180))
    )
    assert apart < mirrored / 2
    # also where its box is given, and where it is extracted
    (box,) = [one.box for one in find_signatures(lying)]
    assert np.array_equal(from_page(Image.fromarray(lying), box=box).image, taken.image)
    Image.fromarray(lying).save(tmp_path / "lying.png")
    assert main(["extract", str(tmp_path / "lying.png"), "--output", str(tmp_path / "out")]) == 0
    (file,) = (tmp_path / "out").glob("*_signature1.png")
    assert np.array_equal(np.asarray(Image.open(file)), taken.image)


def test_a_page_and_its_box_may_be_given_in_every_form(letter: Page, tmp_path: Path) -> None:
    file = tmp_path / "letter.png"
    Image.fromarray(letter.image).save(file)
    left, top, right, bottom = find_signatures(letter.image)[0].box
    verifier, box = Verifier.load(), (left - 9, top - 9, right, bottom)
    with file.open("rb") as opened:
        given = (file, str(file), file.read_bytes(), opened, Image.open(file), letter.image)
        for source in given:
            whole = verifier.read_questioned(source)
            opened.seek(0)
            part = verifier.read_questioned(source, box=box)
            opened.seek(0)
            for one, expected in ((whole, from_page(file)), (part, from_page(file, box=box))):
                assert np.array_equal(one.cutting, expected.image)
                assert expected.where in one.warnings[0].message


def test_a_page_without_a_signature_or_with_several_is_refused(
    letter: Page, unsigned: Page, tmp_path: Path
) -> None:
    both = tmp_path / "both.tif"
    first = Image.fromarray(letter.image).convert("RGB")
    first.save(both, save_all=True, append_images=[first])
    with pytest.raises(
        WhichSignatureError, match=r"2 signatures.*page 1, box .*page 2, box"
    ) as told:
        from_page(both)
    assert "with the parameters page and box" in str(told.value)
    assert from_page(both, page=2).where.startswith("page 2")
    with pytest.raises(DeepSignError, match="no page 3"):
        from_page(both, page=3)
    with pytest.raises(DeepSignError, match="several pages"):
        from_page(both, box=(1, 1, 50, 50))
    Image.fromarray(unsigned.image).save(tmp_path / "unsigned.png")
    with pytest.raises(DeepSignError, match=r"No signature was found on .*unsigned\.png"):
        from_page(tmp_path / "unsigned.png")
    with pytest.raises(DeepSignError, match="does not lie on page 1"):
        from_page(tmp_path / "unsigned.png", box=(10, 10, 99999, 20))
    with pytest.raises(DeepSignError, match="200,10,100,20 is empty"):
        from_page(tmp_path / "unsigned.png", box=(200, 10, 100, 20))


@pytest.fixture(scope="module")
def sheets() -> list[Image.Image]:
    """A signature, another one, and a sheet without ink, each alone on its page."""
    drawn = synthetic.draw_writer(0, 3, 2, 0).genuine
    sheets = [Image.fromarray(np.pad(one, 40, constant_values=255)) for one in drawn]
    return [*sheets, Image.new("L", (300, 200), 255)]


def test_of_pages_with_a_signature_alone_the_one_asked_for_is_taken(sheets, tmp_path: Path) -> None:
    file, (first, second, blank) = tmp_path / "sheets.tif", sheets
    first.save(file, save_all=True, append_images=[second])
    for number, sheet in enumerate((first, second), 1):
        taken = from_page(file, page=number)
        assert np.array_equal(taken.image, np.asarray(sheet))
        assert taken.where == f"page {number}, the whole of it"
    with pytest.raises(
        WhichSignatureError, match=r"2 signatures.*page 1, box .*page 2, box"
    ) as told:
        from_page(file)
    page, box, _ = told.value.found[1]
    assert np.array_equal(from_page(file, page=page, box=box).image, np.asarray(second))
    blank.save(file, save_all=True, append_images=[second])
    assert np.array_equal(from_page(file).image, np.asarray(second))
    with pytest.raises(WhichSignatureError, match=r"No signature was found on page 1 of .*sheets"):
        from_page(file, page=1)


def test_a_pdf_of_a_signature_alone_is_judged_as_its_image(sheets, tmp_path: Path) -> None:
    for resolution in (100, 150, 300):
        sheets[0].save(tmp_path / "alone.pdf", resolution=resolution)
        (page,) = read_pages(tmp_path / "alone.pdf")
        assert np.array_equal(from_page(tmp_path / "alone.pdf").image, page.image)


@pytest.fixture(scope="module")
def documents(letter: Page, unsigned: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PDF with one signature, two and none; the signature alone; and what is no document."""
    folder = tmp_path_factory.mktemp("documents")
    page, bare = (Image.fromarray(one.image).convert("RGB") for one in (letter, unsigned))
    page.save(folder / "one.pdf", resolution=150)
    page.save(folder / "two.pdf", resolution=150, save_all=True, append_images=[page])
    bare.save(folder / "none.pdf", resolution=150)
    left, top, right, bottom = letter.signatures[0]
    Image.fromarray(letter.image[top:bottom, left:right]).save(folder / "alone.png")
    (folder / "text.png").write_text("no image")
    return folder


@pytest.mark.parametrize(
    ("questioned", "told"),
    [
        ("two.pdf", ("2 signatures", "with --page and --box, or", "They are: page 1, box")),
        ("none.pdf", ("No signature", "with --page and --box, or")),
        ("text.png", ("PNG, TIFF, JPEG, BMP, WebP, AVIF or HEIC image, nor a PDF",)),
    ],
)
def test_verify_says_what_its_options_can_do(
    documents: Path, questioned: str, told: tuple, capsys: pytest.CaptureFixture
) -> None:
    files = [str(documents / name) for name in ("alone.png", questioned)]
    assert main(["verify", files[0], "--questioned", files[1]]) == 2
    said = capsys.readouterr().err
    for words in told:
        assert words in said


def test_compare_asks_for_nothing_that_a_table_cannot_say(documents: Path, tmp_path: Path) -> None:
    names = [("alone.png", f"{name}.pdf") for name in ("one", "two", "none")]
    names += [("one.pdf", "alone.png"), ("alone.png", "text.png")]
    table = "".join(f"{left},{right}\n" for left, right in [("left", "right"), *names])
    (documents / "pairs.csv").write_text(table)

    main(["-q", "compare", str(documents / "pairs.csv"), "--output", str(tmp_path / "out.csv")])

    with (tmp_path / "out.csv").open() as file:
        one, two, none, reference, text = csv.DictReader(file)
    # That the PDF cannot be a reference of another pair is nothing against this one.
    assert one["decision"]
    assert one["where"].startswith("page 1, box")
    assert "is a PDF, and an image of one signature is needed here" in reference["reason"]
    assert "2 signatures" in two["reason"]
    assert "page 2, box" in two["reason"]
    assert "nor a PDF" in text["reason"]
    for row in (two, none):
        assert "give an image of the signature alone" in row["reason"]
        assert "--" not in row["reason"]
        assert "parameter" not in row["reason"]


def test_that_only_the_first_page_of_a_reference_was_read_is_told_by_every_command(
    documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    drawn = Image.open(documents / "alone.png").convert("L")
    first, second = documents / "two_pages.tif", documents / "other.png"
    drawn.save(first, save_all=True, append_images=[drawn])
    drawn.rotate(7, expand=True, fillcolor=255).save(second)
    (documents / "pairs.csv").write_text("left,right\ntwo_pages.tif,other.png\n")

    main(["compare", str(documents / "pairs.csv"), "--output", str(tmp_path / "out.csv")])
    main(["verify", str(first), "--questioned", str(second)])

    told = "The file holds several pages or frames: only the first one was read."
    assert f"left: {told}" in (tmp_path / "out.csv").read_text()
    assert told in capsys.readouterr().out


def test_what_was_cut_from_a_page_and_cannot_be_judged_is_named_after_the_page(
    documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = Questioned(np.full((60, 200), 255, np.uint8), "page 1, box 1,1,200,60, as given")
    monkeypatch.setattr(many, "from_page", lambda file: empty)
    (documents / "pairs.csv").write_text("left,right\nalone.png,one.pdf\n")
    assert main(["compare", str(documents / "pairs.csv"), "--output", str(tmp_path / "o.csv")]) == 1
    assert f"{documents / 'one.pdf'}: " in (tmp_path / "o.csv").read_text()


def test_verify_judges_a_page_and_says_which_box(
    letter: Page, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    page, reference = tmp_path / "letter.png", tmp_path / "reference.png"
    Image.fromarray(letter.image).save(page)
    left, top, right, bottom = letter.signatures[0]
    Image.fromarray(letter.image[top:bottom, left:right]).save(reference)
    main(["verify", str(reference), "--questioned", str(page)])
    assert "The signature judged stands on page 1, box" in capsys.readouterr().out
    box = ",".join(map(str, letter.signatures[0]))
    main(["verify", str(reference), "--questioned", str(page), "--box", box])
    assert f"page 1, box {box}, as given" in capsys.readouterr().out
    report = tmp_path / "case.html"
    asked = ["verify", str(reference), "--questioned", str(page), "--page", "1", "--box", box]
    main([*asked, "--report", str(report)])
    assert f"page 1, box {box}, as given" in capsys.readouterr().out
    assert f"--page 1 --box {box}" in report.read_text()
    pdf = tmp_path / "letter.pdf"
    Image.fromarray(letter.image).convert("RGB").save(pdf, resolution=150)
    main(["verify", str(reference), "--questioned", str(pdf), "--report", str(report)])
    assert "page 1, box" in report.read_text()
    assert main(["verify", str(reference), "--questioned", str(page), "--box", "1,2"]) == 2
    assert "four whole numbers" in capsys.readouterr().err
