"""Folder layouts -> signature table."""

import hashlib
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from deepsign_utils import DeepSignError
from deepsign_utils.__main__ import main
from deepsign_utils.datasets import check_usable, find_layout, read_dataset
from deepsign_utils.layouts import LAYOUTS


def draw(path: Path, seed: int = 0, size: tuple[int, int] = (120, 60), mode: str = "L") -> Path:
    """Write a scribble that differs from seed to seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    points = np.random.default_rng(seed).uniform(0.1, 0.9, (8, 2)) * (width, height)
    image = Image.new("L", size, 245)
    ImageDraw.Draw(image).line([tuple(point) for point in points], fill=30, width=3)
    image.convert(mode).save(path)
    return path


def idcar(root: Path, ending: str = "png", forged: str = "_forg") -> Path:
    for w, writer in enumerate(("2", "10", "anna")):
        for i in range(3):
            draw(root / writer / f"{writer}_{i}.{ending}", seed=100 * w + i)
        for i in range(2):
            draw(root / f"{writer}{forged}" / f"f{i}.{ending}", seed=100 * w + 50 + i)
    return root


def cedar(root: Path, per_writer: bool = False) -> Path:
    for w in (1, 2, 10):
        for n in (1, 2, 10):
            genuine, forged = (f"{w}",) * 2 if per_writer else ("full_org", "full_forg")
            draw(root / genuine / f"original_{w}_{n}.png", seed=100 * w + n)
            draw(root / forged / f"forgeries_{w}_{n}.png", seed=100 * w + 50 + n)
    return root


def bhsig260(root: Path, script: str = "B", ending: str = "tif") -> Path:
    for w in (1, 2, 10):
        for n in (1, 2):
            draw(root / f"{w}" / f"{script}-S-{w}-G-{n:02}.{ending}", seed=100 * w + n)
            draw(root / f"{w}" / f"{script}-S-{w}-F-{n:02}.{ending}", seed=100 * w + 50 + n)
    return root


def manifest(root: Path, text: str, encoding: str = "utf-8") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "manifest.csv").write_bytes(text.encode(encoding))
    return root


def read(root: Path, layout: str = "auto") -> tuple[pd.DataFrame, pd.DataFrame]:
    return read_dataset(root, layout, progress=False)


def reasons(left_out: pd.DataFrame) -> dict[str, str]:
    return {Path(row.path).name: row.reason for row in left_out.itertuples()}


# Layouts


def test_idcar_layout_gives_the_whole_signature_table(tmp_path):
    signatures, left_out = read(idcar(tmp_path))
    assert list(signatures.columns) == [
        "signature_id", "path", "writer", "kind", "forger",
        "width", "height", "mode", "sha256", "duplicate_of",
    ]  # fmt: skip
    assert left_out.empty
    assert list(left_out.columns) == ["path", "reason", "detail"]
    assert signatures["signature_id"].tolist() == list(range(15))
    assert [str(signatures[c].dtype) for c in ("signature_id", "width", "height")] == ["int32"] * 3
    assert str(signatures["duplicate_of"].dtype) == "Int32"
    first = signatures.iloc[0]
    assert (first["path"], first["writer"], first["kind"]) == ("2/2_0.png", "2", "genuine")
    assert (first["width"], first["height"], first["mode"]) == (120, 60, "L")
    content = (tmp_path / "2/2_0.png").read_bytes()
    assert first["sha256"] == hashlib.sha256(content).hexdigest()
    assert signatures["duplicate_of"].isna().all()


def test_rows_are_in_natural_order_of_writer_kind_and_path(tmp_path):
    signatures, _ = read(cedar(tmp_path))
    assert signatures["writer"].unique().tolist() == ["1", "2", "10"]
    assert signatures["path"].tolist()[:6] == [
        "full_org/original_1_1.png",
        "full_org/original_1_2.png",
        "full_org/original_1_10.png",
        "full_forg/forgeries_1_1.png",
        "full_forg/forgeries_1_2.png",
        "full_forg/forgeries_1_10.png",
    ]


@pytest.mark.parametrize(
    ("build", "name", "genuine", "forgeries"),
    [
        (idcar, "idcar", 9, 6),
        (lambda root: idcar(root, "PNG", "_FORG"), "idcar", 9, 6),
        (lambda root: idcar(root, "JPG"), "idcar", 9, 6),
        (lambda root: idcar(root, "bmp"), "idcar", 9, 6),
        (cedar, "cedar", 9, 9),
        (lambda root: cedar(root, per_writer=True), "cedar", 9, 9),
        (bhsig260, "bhsig260", 6, 6),
        (lambda root: bhsig260(root, "H", "TIF"), "bhsig260", 6, 6),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_each_layout_is_recognised_at_the_root_and_one_folder_deeper(
    tmp_path, build, name, genuine, forgeries, nested
):
    build(tmp_path / "unzipped" if nested else tmp_path)
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert find_layout(tmp_path).name == name
    assert find_layout(tmp_path, name).name == name
    signatures, left_out = read(tmp_path)
    assert left_out.empty
    assert signatures["kind"].value_counts().to_dict() == {
        "genuine": genuine,
        "forgery": forgeries,
    }
    assert signatures.groupby("writer")["kind"].nunique().eq(2).all()
    assert all((tmp_path / path).is_file() for path in signatures["path"])


def test_forger_is_read_from_icdar_names_and_else_unknown(tmp_path):
    draw(tmp_path / "004" / "004_01.png", 1)
    for seed, name in enumerate(("0124004_02.png", "04_0125004.png", "unknown.png"), start=2):
        draw(tmp_path / "004_forg" / name, seed)
    signatures, _ = read(tmp_path)
    forgers = dict(zip(signatures["path"].map(os.path.basename), signatures["forger"], strict=True))
    assert forgers["0124004_02.png"] == "0124"
    assert forgers["04_0125004.png"] == "0125"
    assert pd.isna(forgers["unknown.png"])
    assert pd.isna(forgers["004_01.png"])


def test_table_survives_parquet(tmp_path):
    signatures, _ = read(idcar(tmp_path / "data"))
    signatures.to_parquet(tmp_path / "signatures.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "signatures.parquet"), signatures)


def test_two_readings_are_equal(tmp_path):
    idcar(tmp_path)
    pd.testing.assert_frame_equal(read(tmp_path)[0], read(tmp_path)[0])


def test_duplicates_point_to_the_first_identical_file(tmp_path):
    root = idcar(tmp_path)
    (root / "10" / "copy.png").write_bytes((root / "2" / "2_1.png").read_bytes())
    (root / "anna" / "copy.png").write_bytes((root / "2" / "2_1.png").read_bytes())
    signatures, _ = read(root)
    original = signatures.loc[signatures["path"] == "2/2_1.png", "signature_id"].item()
    copies = signatures[signatures["path"].str.endswith("copy.png")]
    assert copies["duplicate_of"].tolist() == [original, original]
    assert signatures["duplicate_of"].notna().sum() == 2


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("a b", 'it\'s "quoted".png'),
        ("zwei\nZeilen", "new\nline.png"),
        ("<b>bold&amp;", "<script>.png"),
        ("শ্রীকান্ত", "подпись é.png"),
        ("NA", "null.png"),
    ],
)
def test_odd_names_are_kept_as_they_are(tmp_path, folder, name):
    draw(tmp_path / folder / name, 1)
    draw(tmp_path / f"{folder}_forg" / "f.png", 2)
    signatures, left_out = read(tmp_path)
    assert left_out.empty
    assert signatures["writer"].tolist() == [folder, folder]
    assert signatures["path"][0] == f"{folder}/{name}"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_file_modes_are_recorded(tmp_path, mode):
    draw(tmp_path / "a" / "1.png", 1, mode=mode)
    draw(tmp_path / "a_forg" / "1.png", 2, mode=mode)
    signatures, _ = read(tmp_path)
    assert signatures["mode"].tolist() == [mode, mode]


# Manifest


def test_manifest_wins_and_is_tolerant_of_case_and_synonyms(tmp_path):
    root = idcar(tmp_path)
    manifest(
        root,
        "\ufeffPath,Writer,KIND,forger\r\n"
        "2/2_0.png,Zoë,Genuine,\r\n"
        "2/2_1.png,Zoë,GENUINE,\r\n"
        '"2_forg/f0.png",Zoë,Forged,Max\r\n'
        "./2_forg/f1.png,Zoë,skilled,\r\n",
    )
    signatures, left_out = read(root)
    assert set(left_out["reason"]) == {"not in the manifest"}
    assert len(signatures) + len(left_out) == 15
    assert find_layout(root).name == "manifest"
    assert signatures["writer"].unique().tolist() == ["Zoë"]
    assert signatures["kind"].tolist() == ["genuine", "genuine", "forgery", "forgery"]
    assert signatures["path"].tolist()[2:] == ["2_forg/f0.png", "2_forg/f1.png"]
    assert signatures["forger"].tolist()[2] == "Max"
    assert pd.isna(signatures["forger"][3])


def test_manifest_is_read_as_a_spreadsheet_leaves_it(tmp_path):
    # Given empty columns at the end, and one name spelt with other spaces and accents
    rows = [
        "path,writer,kind,,",
        "2/2_0.png,Zoe\u0301 B,genuine,,",
        "2/2_1.png,Zo\u00e9\u00a0 B,genuine",
    ]
    manifest(idcar(tmp_path), "\n".join([*rows, "2_forg/f0.png, Zo\u00e9 B,forgery,,,"]))
    signatures, _ = read(tmp_path)
    assert signatures["writer"].tolist() == ["Zo\u00e9 B"] * 3


def test_manifest_from_windows_may_spell_names_in_another_case(tmp_path):
    draw(tmp_path / "Anna" / "1.png", 1)
    draw(tmp_path / "Anna" / "2.png", 2)
    draw(tmp_path / "Anna" / "2.PNG", 3)
    draw(tmp_path / "Anna" / "f.png", 4)
    manifest(
        tmp_path,
        "path,writer,kind\nANNA\\1.PNG,a,genuine\nAnna/2.png,a,genuine\nanna/F.Png,a,forgery\n"
        "anna/2.Png,a,genuine\n",
    )
    signatures, left_out = read(tmp_path)
    assert signatures["path"].tolist() == ["Anna/1.png", "Anna/2.png", "Anna/f.png"]
    # Of two that differ in case alone, none is guessed
    assert reasons(left_out) == {"2.Png": "missing", "2.PNG": "not in the manifest"}


def test_manifest_may_name_one_of_two_folders_that_differ_in_case(tmp_path):
    for number, folder in enumerate(("Anna", "anna")):
        (tmp_path / folder).mkdir()
        if len(list(tmp_path.iterdir())) == number:
            pytest.skip("this disk does not tell Anna from anna")
        draw(tmp_path / folder / "1.PNG", number)
    manifest(tmp_path, "path,writer,kind\nAnna/1.png,a,genuine\nanna/1.png,b,genuine\n")
    signatures, _ = read(tmp_path)
    assert signatures["path"].tolist() == ["Anna/1.PNG", "anna/1.PNG"]


def test_named_layout_overrides_the_manifest(tmp_path):
    root = manifest(idcar(tmp_path), "path,writer,kind\n2/2_0.png,x,genuine\n")
    assert find_layout(root, "idcar").name == "idcar"


def test_nested_manifest_is_relative_to_its_own_folder(tmp_path):
    draw(tmp_path / "inner" / "a.png")
    manifest(tmp_path / "inner", "path,writer,kind\na.png,x,genuine\n")
    signatures, _ = read(tmp_path)
    assert signatures["path"].tolist() == ["inner/a.png"]


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("file,writer,kind\na.png,x,genuine\n", "utf-8", "must have the columns"),
        ("path:writer:kind\na.png:x:genuine\n", "utf-8", "must have the columns"),
        ("path,path,writer,kind\n", "utf-8", "columns path, .* but has several called 'path'"),
        ("path;kind\na.png;genuine\n", "utf-8", "but has no writer: it has 'path', 'kind'$"),
        ("path,writer,kind\n ,x,genuine\n", "utf-8", "line 2: the path is missing"),
        ("", "utf-8", "must have the columns"),
        ("path,writer,kind\n", "utf-8", "lists no images"),
        ("path,writer,kind\na.png,x,perhaps\n", "utf-8", "line 2: kind must be genuine or forgery"),
        ("path,writer,kind\na.png,,genuine\n", "utf-8", "line 2: the writer is missing"),
        ("path,writer,kind\na.png,x\n", "utf-8", "line 2: 2 values for 3 columns"),
        ("path,writer,kind\na.png,x,genuine\n./a.png,y,genuine\n", "utf-8", "listed a second time"),
        ("path,writer,kind\na.png,x,0\n", "utf-8", "0 and 1 mean opposite things"),
        ("path,writer,kind,unsure\na.png,x,genuine,kind?\n", "utf-8", "1 rows as unsure"),
        ('path,writer,kind\n"a.png,x,genuine\n', "utf-8", "cannot be read as CSV from line 2 on"),
        ("path,writer,kind\na.png,x,genuine,why\n", "utf-8", "line 2: 4 values for 3 columns"),
        ("path,,writer,,kind\n", "utf-8", "several called ''"),
        ("path,writer,kind\n../secret.png,x,genuine\n", "utf-8", "outside"),
        ("path,writer,kind\n/etc/hostname,x,genuine\n", "utf-8", "outside"),
        ("path,writer,kind\na\0.png,x,genuine\n", "utf-8", "manifest.csv"),
        (f"path,writer,kind\n{'x' * 5000}.png,x,genuine\n", "utf-8", "names 1 files that do not"),
    ],
)
def test_wrong_manifest_is_refused_with_its_name(tmp_path, text, encoding, message):
    draw(tmp_path / "secret.png")
    draw(tmp_path / "data" / "a.png")
    with pytest.raises(DeepSignError, match=message) as caught:
        read(manifest(tmp_path / "data", text, encoding))
    assert "data" in str(caught.value)


def test_manifest_naming_missing_files_counts_them_and_lists_the_first(tmp_path):
    rows = "".join(f"missing_{i}.png,x,genuine\n" for i in range(12))
    with pytest.raises(DeepSignError, match=r"12 files .*'missing_0.png'.* and 7 more"):
        read(manifest(tmp_path, "path,writer,kind\n" + rows))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path;writer;kind\nim/Zoë 1.png;Zoë;genuine\n", "utf-8-sig"),
        ("sep=;\npath;writer;kind\nim/Zoë 1.png;Zoë;genuine\n", "cp1252"),
        ("path\twriter\tkind\r\nim\\Zoë 1.png\tZoë\treal\r\n", "utf-16"),
        ("path\twriter\tkind\nim/Zoë 1.png\tZoë\tgenuine\n", "utf-16-le"),
        ("path\twriter\tkind\nim/Zoë 1.png\tZoë\tgenuine\n", "utf-16-be"),
        ("path,writer,kind\nim/Zoe\u0308 1.png,Zoe\u0308,genuine\n", "utf-8"),
        ('"kind","path","writer"\n"Original","im/Zoë 1.png","Zoë"\n', "cp1252"),
        ("path,writer,kind\n{root}/im/Zoë 1.png,Zoë,genuine\n", "utf-8"),
        ("path,writer,kind\nD:\\scans\\data\\im\\Zoë 1.png,Zoë,G\n", "utf-8"),
    ],
)
def test_manifests_are_read_as_spreadsheets_save_them(tmp_path, text, encoding):
    root = tmp_path / "data"
    draw(root / "im" / "Zoë 1.png")
    signatures, left_out = read(manifest(root, text.replace("{root}", str(root)), encoding))
    assert left_out.empty
    assert signatures[["path", "writer", "kind"]].values.tolist() == [
        ["im/Zoë 1.png", "Zoë", "genuine"]
    ]


def test_numbers_as_kinds_mean_what_the_paths_say(tmp_path):
    for name in ("real_1.png", "real_2.png", "fake_1.png"):
        draw(tmp_path / name)
    manifest(tmp_path, "path,writer,kind\nreal_1.png,a,1\nfake_1.png,a,0\nreal_2.png,b,1\n")
    assert read(tmp_path)[0]["kind"].tolist() == ["genuine", "forgery", "genuine"]


# A first manifest


def drafted(root: Path, *options: str) -> pd.DataFrame:
    assert main(["manifest", str(root), *options]) == 0
    return pd.read_csv(root / "manifest.csv", dtype=str, keep_default_na=False)


def test_a_first_manifest_is_guessed_from_names_and_read_when_it_is_corrected(tmp_path, capsys):
    for name in ("anna good 1.png", "anna fake 1.png", "anna fake 2.png", "2023.png"):
        draw(tmp_path / "scans" / name)
    rows = drafted(tmp_path).set_index("path")
    assert "4 images" in capsys.readouterr().out
    assert rows.loc["scans/anna fake 1.png", ["writer", "kind"]].tolist() == ["anna", "forgery"]
    assert rows.loc["scans/anna good 1.png", "unsure"]
    assert rows.loc["scans/2023.png", "unsure"]
    with pytest.raises(DeepSignError, match="unsure"):
        read(tmp_path)
    rows.drop(index="scans/2023.png").assign(unsure="", writer="anna").to_csv(
        tmp_path / "manifest.csv", sep=";"
    )
    signatures, left_out = read(tmp_path)
    assert signatures["kind"].tolist() == ["genuine", "forgery", "forgery"]
    assert left_out["reason"].tolist() == ["not in the manifest"]
    assert main(["manifest", str(tmp_path)]) == 1  # nobody's corrections are overwritten


def test_a_folder_that_stands_in_several_places_is_no_sure_writer(tmp_path):
    # A year within the folders of two people is taken for a writer, and marked.
    for name in ("o2024/2024/scan 1.png", "ben/2024/scan 1.png", "ben/2023/scan 2.png"):
        draw(tmp_path / name)
    rows = drafted(tmp_path).set_index("path")
    assert "writer guessed" in rows.loc["ben/2024/scan 1.png", "unsure"]
    assert "writer guessed" in rows.loc["o2024/2024/scan 1.png", "unsure"]
    assert "writer guessed" not in rows.loc["ben/2023/scan 2.png", "unsure"]


def test_a_pattern_says_whose_each_image_is(tmp_path):
    for name in ("no7-real-1.png", "no7-copy by max-1.png", "odd.png"):
        draw(tmp_path / "2024" / name)
    rows = drafted(tmp_path, "--pattern", "*/no{writer}-{kind}-{n}.png").set_index("path")
    assert rows.loc["2024/no7-real-1.png"].tolist() == ["7", "genuine", "", ""]
    assert rows.loc["2024/no7-copy by max-1.png", "unsure"] == "kind?"
    assert rows.loc["2024/odd.png", "unsure"].startswith("does not fit the pattern")
    assert main(["manifest", str(tmp_path), "--pattern", "{kind}", "--output", "/none/x.csv"]) == 1


def test_a_known_layout_gives_a_manifest_that_reads_the_same(tmp_path):
    root = bhsig260(tmp_path)
    before = read(root)[0]
    rows = drafted(root)
    assert "unsure" not in rows
    pd.testing.assert_frame_equal(read(root)[0], before)


def test_a_few_files_that_a_manifest_lists_in_vain_are_left_out(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png", 2)
    text = "path,writer,kind\na.png,x,genuine\nb.png,x,forgery\ngone.png,x,genuine\n"
    signatures, left_out = read(manifest(tmp_path, text))
    assert signatures["path"].tolist() == ["a.png", "b.png"]
    assert left_out[["path", "reason"]].values.tolist() == [["gone.png", "missing"]]


# Folders that cannot be read


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DeepSignError, match="nowhere does not exist"):
        read(tmp_path / "nowhere")


def test_file_is_no_folder(tmp_path):
    with pytest.raises(DeepSignError, match="is not a folder"):
        read(draw(tmp_path / "a.png"))


def test_empty_folder_is_named(tmp_path):
    (tmp_path / ".DS_Store").touch()
    with pytest.raises(DeepSignError, match="is empty"):
        read(tmp_path)


def test_folder_that_fits_nothing_tells_what_is_there_and_what_is_known(tmp_path):
    draw(tmp_path / "holiday" / "beach.jpg")
    with pytest.raises(DeepSignError, match=r"'holiday/beach\.jpg'") as caught:
        read(tmp_path)
    assert all(name in str(caught.value) for name in LAYOUTS)


def test_named_layout_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(DeepSignError, match="does not fit the layout cedar"):
        read(idcar(tmp_path), "cedar")


def test_unknown_layout_name_is_refused(tmp_path):
    with pytest.raises(DeepSignError, match="unknown layout 'mnist'"):
        read(idcar(tmp_path), "mnist")


def test_two_datasets_side_by_side_are_ambiguous(tmp_path):
    bhsig260(tmp_path / "Bengali")
    bhsig260(tmp_path / "Hindi", "H")
    with pytest.raises(DeepSignError, match="several datasets"):
        read(tmp_path)


def test_dataset_without_one_usable_image_is_refused(tmp_path):
    for folder in ("a", "a_forg"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"no image")
    with pytest.raises(DeepSignError, match="2 left out"):
        read(tmp_path)


def test_dataset_of_empty_folders_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a_forg").mkdir()
    with pytest.raises(DeepSignError, match="no image that can be used"):
        read(tmp_path)


@pytest.mark.parametrize("link", ["2/link.png", "link", "2_forg/folder"])
def test_links_that_lead_outside_are_refused(tmp_path, link):
    outside = draw(tmp_path / "outside" / "secret.png")
    root = idcar(tmp_path / "data")
    (root / link).symlink_to(outside if link.endswith("png") else outside.parent)
    with pytest.raises(DeepSignError, match="outside"):
        read(root)


def test_manifest_path_through_an_outside_link_is_refused(tmp_path):
    draw(tmp_path / "outside" / "secret.png")
    root = manifest(tmp_path / "data", "path,writer,kind\nlink/secret.png,x,genuine\n")
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(DeepSignError, match="outside"):
        read(root)


def test_root_may_itself_be_a_link(tmp_path):
    idcar(tmp_path / "data")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(read(tmp_path / "link")[0]) == 15


# Files that cannot be used


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def test_unusable_files_are_listed_with_their_reasons_and_none_is_lost(tmp_path):
    root = idcar(tmp_path)
    folder = root / "2"
    whole = (folder / "2_0.png").read_bytes()
    (folder / "text.png").write_text("hello")
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "zero.png").touch()
    (folder / "bomb.png").write_bytes(png_header(20_000, 10_000))
    (folder / "large.png").write_bytes(png_header(9_000, 8_000))
    Image.new("L", (1, 1)).save(folder / "pixel.png")
    Image.new("L", (200, 80), 250).save(folder / "blank.png")
    (folder / "scan.pdf").write_bytes(b"%PDF")
    (folder / "folder.png").mkdir()
    (folder / "broken.png").symlink_to("gone.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "Thumbs.db").touch()
    (folder / "README.txt").touch()
    (folder / "._2_0.png").touch()
    signatures, left_out = read(root)
    assert len(signatures) == 15
    assert reasons(left_out) == {
        "text.png": "unreadable",
        "truncated.png": "unreadable",
        "zero.png": "empty file",
        "bomb.png": "too large",
        "large.png": "too large",
        "pixel.png": "too small",
        "blank.png": "blank",
        "scan.pdf": "not an image",
        "folder.png": "not a file",
        "broken.png": "not a file",
        "pipe.png": "not a file",
    }
    assert left_out["detail"].str.len().gt(0).all()
    assert len(find_layout(root).files) == len(signatures) + len(left_out)


def test_an_image_is_read_whatever_its_ending_claims(tmp_path):
    root = idcar(tmp_path)
    draw(root / "2" / "real.png", 7).rename(root / "2" / "claimed.tif")
    assert "2/claimed.tif" in read(root)[0]["path"].tolist()


def test_files_whose_names_do_not_tell_are_listed(tmp_path):
    root = bhsig260(tmp_path)
    draw(root / "1" / "scan0001.tif")
    draw(root / "1" / "B-S-2-G-09.tif")
    signatures, left_out = read(root)
    assert len(signatures) == 12
    assert reasons(left_out) == {
        "scan0001.tif": "unexpected name",
        "B-S-2-G-09.tif": "unexpected name",
    }


def test_names_that_are_not_utf8_are_left_out_escaped(tmp_path):
    root = idcar(tmp_path)
    content = (root / "2" / "2_0.png").read_bytes()
    try:
        Path(os.fsdecode(os.fsencode(root / "2") + b"/\xff.png")).write_bytes(content)
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    signatures, left_out = read(root)
    assert len(signatures) == 15
    assert left_out["reason"].tolist() == ["name not UTF-8"]
    assert left_out["path"].tolist() == ["2/\\udcff.png"]
    left_out.to_parquet(tmp_path / "left_out.parquet")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file_is_listed(tmp_path):
    root = idcar(tmp_path)
    (root / "2" / "2_0.png").chmod(0)
    assert reasons(read(root)[1]) == {"2_0.png": "unreadable"}


# Writers


def test_incomplete_writers_are_reported_by_name(tmp_path):
    root = idcar(tmp_path)
    draw(root / "lonely" / "1.png", 1)
    draw(root / "lonely_forg" / "1.png", 2)
    for seed in (3, 4):
        draw(root / "trusted" / f"{seed}.png", seed)
    few, bare = check_usable(read(root)[0])
    assert few.startswith("1 of 5 writers")
    assert "'lonely'" in few
    assert "'trusted'" in bare


def test_complete_writers_give_no_warning(tmp_path):
    assert check_usable(read(idcar(tmp_path))[0]) == []


def test_too_few_complete_writers_are_an_error(tmp_path):
    signatures, _ = read(idcar(tmp_path))
    with pytest.raises(DeepSignError, match=r"3 writers have .* but 4 are needed"):
        check_usable(signatures, writers_needed=4)


# Real data


def check_bengali(folder: Path, writers: int, copies: int) -> None:
    signatures, left_out = read(folder)
    assert left_out.empty
    counts = signatures.groupby(["writer", "kind"]).size().unstack()
    assert len(counts) == writers
    assert set(counts["genuine"]) == {24}
    assert set(counts["forgery"]) == {30}
    repeated = signatures[signatures["duplicate_of"].notna()]
    assert len(repeated) == copies
    originals = signatures["writer"].to_numpy()[repeated["duplicate_of"].to_numpy(int)]
    assert (originals == repeated["writer"]).all()


def test_bengali_writers_are_read_with_their_duplicates(real_data, tmp_path):
    for number in map(str, range(1, 11)):
        shutil.copytree(real_data / "bhsig260-bengali" / number, tmp_path / number)
    check_bengali(tmp_path, writers=10, copies=39)


@pytest.mark.torture
def test_bengali_is_read_whole_with_its_duplicates(real_data):
    check_bengali(real_data / "bhsig260-bengali", writers=100, copies=994)


def test_cedar_is_read_whole(real_data):
    signatures, left_out = read(real_data / "cedar-half")
    assert left_out.empty
    counts = signatures.groupby(["writer", "kind"]).size()
    assert len(counts) == 40
    assert set(counts) == {24}


def test_dutch_is_read_whole(real_data):
    signatures, left_out = read(real_data / "icdar2011-dutch-half")
    assert left_out.empty
    assert signatures["writer"].nunique() == 12
    assert len(signatures) == 410
    assert signatures.loc[signatures["kind"] == "forgery", "forger"].notna().all()
