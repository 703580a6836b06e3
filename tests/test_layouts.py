"""Every known layout is read as its example says, wherever it lies and whatever lies beside it.

Names alone decide, so the files here are empty: `tests/test_datasets.py` opens images.
"""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepsign_utils import DeepSignError, datasets, layouts, study
from deepsign_utils.__main__ import main
from deepsign_utils.datasets import PROBLEMS, find_layout

ROOT = Path(__file__).parent.parent
NAMED = [name for name in layouts.RECOGNISED if name != "manifest"]


def plant(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root: Path, layout: str = "auto") -> dict[str, str]:
    """What is read from each file, as the examples write it."""
    return {
        file.path: file.problem
        or f"{file.writer} {file.kind}" + (f" by {file.forger}" if file.forger else "")
        for file in find_layout(root, layout).files
    }


def plant_example(root: Path, name: str, below: str = "", spelt=str) -> dict[str, str]:
    """Plant a layout's example; return what is to be read from it."""
    lines = [(f"{below}{spelt(path)}", meant) for path, meant in layouts.LAYOUTS[name].lines()]
    plant(root, *(path for path, _ in lines))
    return dict(lines)


# The register


@pytest.mark.parametrize("below", ["", "unzipped/", "a/b/", "some/where/deeper/"])
@pytest.mark.parametrize("name", NAMED)
def test_an_example_is_read_as_it_says_at_any_depth(tmp_path, name, below):
    meant = plant_example(tmp_path, name, below)
    assert find_layout(tmp_path).name == name
    assert read(tmp_path) == meant
    assert read(tmp_path, name) == meant


@pytest.mark.parametrize("name", NAMED)
def test_an_example_is_read_in_upper_case(tmp_path, name):
    meant = plant_example(tmp_path, name, spelt=str.upper)
    found = read(tmp_path)
    assert set(found) == set(meant)
    assert {path: text.lower() for path, text in found.items()} == {
        path: text.lower() for path, text in meant.items()
    }


def test_the_manifests_example_is_read_as_it_says(tmp_path):
    plant_example(tmp_path, "manifest")
    (tmp_path / "manifest.csv").write_text(
        "path,writer,kind,forger\nscans/anna-01.png,anna,genuine,\n"
        "scans/anna-by-ben-01.png,anna,forgery,ben\n"
    )
    assert read(tmp_path) == dict(layouts.LAYOUTS["manifest"].lines())


def test_genuine_signatures_alone_are_read_where_that_is_said(tmp_path):
    meant = plant_example(tmp_path, "genuine_only")
    assert read(tmp_path, "genuine_only") == meant
    with pytest.raises(DeepSignError, match="does not fit any known layout"):
        datasets.read_dataset(tmp_path)


def test_a_word_for_forgeries_is_not_taken_for_genuine(tmp_path):
    plant_example(tmp_path, "genuine_only")
    (tmp_path / "anna" / "1.png").rename(tmp_path / "anna" / "forged 1.png")
    with pytest.raises(DeepSignError, match="does not fit the layout genuine_only"):
        datasets.read_dataset(tmp_path, "genuine_only")


@pytest.mark.parametrize(
    "name", ["Forge Smith", "Forgács", "Fake", "Simula", "Skilled", "Real", "Anna F", "Images"]
)
def test_a_person_is_a_person_whatever_the_name_where_the_layout_is_named(tmp_path, name):
    plant(tmp_path, f"{name}/1.tif", f"{name}/{name}_2.tif", "Anna/1.tif", "Anna/2.tif")
    found = find_layout(tmp_path, "genuine_only").files
    assert {(file.path.split("/")[0], file.writer, file.kind) for file in found} == {
        (name, name, "genuine"),
        ("Anna", "Anna", "genuine"),
    }


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("stray.png", "'stray.png' lies in no person's folder"),
        ("stray_1.png", "'stray_1.png' lies in no person's folder"),
        ("p 2/old/3.tif", "the folder 'p 2/old' does not lie beside those of other people, such"),
        ("p 9/old/3.tif", "the folder 'p 9/old' does not lie beside"),
        ("p 1/forged 3.tif", "'p 1/forged 3.tif' is forged, as its name says"),
        ("p 1/forged/3.tif", "'p 1/forged/3.tif' is forged"),
        ("p 1_forg/3.tif", "'p 1_forg/3.tif' is forged"),
        ("P 1/3.tif", "'p 1' and 'P 1' differ in capitals|'P 1' and 'p 1' differ in capitals"),
        ("p 01/3.tif", "'p 01' and 'p 1' differ in capitals or leading zeros"),
        ("forgeries/p 1/3.tif", "'forgeries/p 1/3.tif' is forged|'forgeries/p 1' does not lie"),
    ],
)
def test_what_is_in_the_way_of_genuine_signatures_alone_is_named(tmp_path, path, said):
    plant(tmp_path, *(f"p {person}/{n}.tif" for person in range(1, 7) for n in (1, 2)), path)
    with pytest.raises(DeepSignError, match=f"does not fit the layout genuine_only: .*({said})"):
        find_layout(tmp_path, "genuine_only")


def test_files_numbered_as_windows_does_tell_whose_they_are(tmp_path):
    plant(tmp_path, *(f"{person} ({n}).png" for person in (10023, 10024, 10025) for n in (1, 2)))
    found = find_layout(tmp_path, "genuine_only").files
    assert {file.writer for file in found} == {"10023", "10024", "10025"}


def test_a_copy_that_windows_numbered_is_no_person(tmp_path):
    plant(tmp_path, *(f"{person}_{n}.png" for person in ("anna", "ben") for n in (1, 2)))
    plant(tmp_path, "anna_1 (1).png")
    with pytest.raises(DeepSignError, match=r"'anna_1 \(1\)\.png' does not tell whose it is"):
        find_layout(tmp_path, "genuine_only")


@pytest.mark.parametrize("path", ["stray.png", "p 2/old/3.tif"])
def test_calibrate_is_not_said_to_take_what_it_refuses(tmp_path, path):
    plant(tmp_path, *(f"p {person}/{n}.tif" for person in range(1, 7) for n in (1, 2)), path)
    with pytest.raises(DeepSignError) as refused:
        find_layout(tmp_path)
    assert "calibrate, verify and serve work" not in str(refused.value)


def test_choices_help_and_documents_come_from_the_register(capsys):
    assert study.PARAMETERS["layout"].choices == ("auto", *layouts.LAYOUTS)
    assert layouts.described() in (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert main(["layouts"]) == 0
    assert capsys.readouterr().out == layouts.described()
    with pytest.raises(SystemExit):
        main(["audit", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in layouts.LAYOUTS)


# What people have


def pairs(*paths: str) -> list[str]:
    """Paths for two writers and both kinds, `{w}` and `{k}` filled in."""
    return list(dict.fromkeys(path.format(w=w) for path in paths for w in ("001", "002")))


@pytest.mark.parametrize(
    ("paths", "layout", "writers"),
    [
        (pairs("{w}/genuine/1.png", "{w}/forged/1.png"), "genuine_forged", "001 002"),
        (pairs("set/{w}/Real/1.png", "set/{w}/FORGE/1.png"), "genuine_forged", "001 002"),
        (pairs("genuine/{w}/1.png", "forged/{w}/1.png"), "genuine_forged", "001 002"),
        (pairs("original/{w}/1.png", "fake/{w}/1.png"), "genuine_forged", "001 002"),
        (pairs("real/{w}_01.png", "forge/{w}_01.png"), "genuine_forged", "001 002"),
        (pairs("real/12{w}_1.png", "forge/12{w}_1.png"), "genuine_forged", "12001 12002"),
        (pairs("{w}/real/20230101.png", "{w}/forge/20230201.png"), "genuine_forged", "001 002"),
        (pairs("p{w}/real/c-001-01.png", "p{w}/forge/c-001-01.png"), "genuine_forged", "p001 p002"),
        (pairs("p{w}/original_1_1.png", "p{w}/forged_1_1.png"), "kind_in_name", "p001 p002"),
        (pairs("{w}/20230101.png", "{w}_forg/20230201.png"), "idcar", "001 002"),
        (pairs("{w}/genuine/001_01.png", "{w}/forged/001_01.png"), "genuine_forged", "001 002"),
        (pairs("{w}/G/1.png", "{w}/F/1.png"), "genuine_forged", "001 002"),
        (pairs("g/{w}/1.png", "f/{w}/1.png"), "genuine_forged", "001 002"),
        (pairs("{w}/genuine_1.png", "{w}/forged_1.png"), "kind_in_name", "001 002"),
        (pairs("{w}/{w}_real (1).png", "{w}/{w}_fake (1).png"), "kind_in_name", "001 002"),
        (pairs("{w}_genuine_1.png", "{w}_forgery_1.png"), "kind_in_name", "001 002"),
        (pairs("set/genuine-{w}-1.png", "set/forged-{w}-1.png"), "kind_in_name", "001 002"),
        (pairs("real/{w}_real_1.png", "fake/{w}_fake_1.png"), "kind_in_name", "001 002"),
        (pairs("{w}-G-1.png", "{w}-F-1.png"), "kind_in_name", "001 002"),
        (pairs("{w}/echt_1.png", "{w}/gefälscht_1.png"), "kind_in_name", "001 002"),
        (pairs("{w}/original 1.png", "{w}/fraud 1.png"), "kind_in_name", "001 002"),
        (pairs("{w}/g_1.png", "{w}/f_1.png"), "kind_in_name", "001 002"),
        (pairs("G-{w}-01.png", "F-{w}-01.png"), "kind_in_name", "001 002"),
        (pairs("{w}/1.png", "{w}_forged/1.png"), "idcar", "001 002"),
        (pairs("{w}/1.png", "{w}-f/1.png"), "idcar", "001 002"),
        (pairs("{w}/1.png", "{w} (forged)/1.png"), "idcar", "001 002"),
        (pairs("{w}/1.png", "forged_{w}/1.png"), "idcar", "001 002"),
        (pairs("genuine-{w}/1.png", "forged-{w}/1.png"), "idcar", "001 002"),
        (pairs("{w}/1.png", "{w}_FORGE/1.png"), "idcar", "001 002"),
        (pairs("{w}_genuine/1.png", "{w}_forged/1.png"), "idcar", "001 002"),
        (pairs("{w}/week 1/1.png", "{w}_forg/week 2/1.png"), "idcar", "001 002"),
        (pairs("c-{w}-01.jpg", "cf-{w}-01.jpg"), "gpds", "001 002"),
        (pairs("train/genuine/c-{w}-01.jpg", "train/forge/cf-{w}-01.jpg"), "gpds", "001 002"),
        (pairs("B-S-{w}-G-01.tif", "B-S-{w}-F-01.tif"), "bhsig260", "1 2"),
        (pairs("Genuine/{w}/H-S-{w}-G-1.tif", "Forged/{w}/H-S-{w}-F-1.tif"), "bhsig260", "1 2"),
        (pairs("{w}/original_{w}_1.png", "{w}/forgeries_{w}_1.png"), "cedar", "1 2"),
        (pairs("NISDCC-{w}_{w}_001_6g.PNG", "NISDCC-031_{w}_005_6g.PNG"), "sigcomp2009", "001 002"),
        (pairs("set1/real/{w}00{w}.png", "set1/forge/02100{w}.png"), "sigcomp2009", "001 002"),
        (pairs("Ref/{w}/01_{w}.PNG", "Questioned/{w}/1_0204{w}.png"), "sigcomp2011", "001 002"),
        (pairs("0{w}/0{w}v00.bmp", "0{w}/0009_0{w}f00.bmp"), "mcyt", "0001 0002"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_real_layout_gives_both_kinds_of_both_writers(tmp_path, paths, layout, writers):
    found = find_layout(plant(tmp_path, *paths))
    assert found.name == layout
    assert sorted((file.writer, file.kind) for file in found.files) == [
        (writer, kind) for writer in writers.split() for kind in ("forgery", "genuine")
    ]


def test_training_and_test_parts_are_read_together_or_one_by_its_folder(tmp_path):
    numbers = [f"{number:03}" for number in range(1, 65)]
    plant(tmp_path, "sign_data/train_data.csv", "sign_data/test_data.csv")
    for part, writers in (("train", numbers), ("test", numbers[48:])):
        for writer in writers:
            plant(tmp_path / "sign_data" / part, f"{writer}/01_{writer}.png")
            plant(tmp_path / "sign_data" / part, f"{writer}_forg/01_0114{writer}.png")
    both = find_layout(tmp_path).files
    assert {file.writer for file in both if file.kind} == set(numbers)
    assert [file.problem for file in both if file.problem] == ["not an image"] * 2
    assert {file.writer for file in find_layout(tmp_path / "sign_data/test").files} == set(
        numbers[48:]
    )


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (
            pairs("BHSig260/Bengali/{w}/B-S-{w}-G-1.tif", "BHSig260/Hindi/{w}/H-S-{w}-G-1.tif"),
            ("BHSig260/Bengali", "BHSig260/Hindi"),
        ),
        (pairs("{w}/B-S-{w}-G-1.tif", "{w}/H-S-{w}-G-1.tif"), ("same folders", "'B'", "'H'")),
        (
            ["Dutch/Offline Genuine/001_01.PNG", "Chinese/Offline Genuine/001_1.PNG"],
            ("Dutch", "Chinese"),
        ),
        (pairs("mine/{w}/1.png", "mine/{w}_forg/1.png", "yours/{w}_f/1.png", "yours/{w}/1.png"),
         ("mine", "yours")),
        (  # in layouts of their own
            pairs("bengali/{w}/B-S-{w}-G-1.tif", "bengali/{w}/B-S-{w}-F-1.tif",
                  "cedar/full_org/original_{w}_1.png", "cedar/full_forg/forgeries_{w}_1.png"),
            ("bengali", "cedar"),
        ),
    ],
)  # fmt: skip
def test_of_several_datasets_one_asks_which_naming_them(tmp_path, paths, named):
    with pytest.raises(DeepSignError, match="several datasets") as caught:
        find_layout(plant(tmp_path, *paths))
    assert all(name in str(caught.value) for name in named)


def test_writers_who_differ_in_zeros_only_are_not_merged(tmp_path):
    plant(tmp_path, "1/B-S-1-G-1.tif", "001/B-S-001-G-1.tif", "02/B-S-02-G-1.tif")
    assert {file.writer for file in find_layout(tmp_path).files} == {"1", "001", "2"}


@pytest.mark.parametrize(
    ("paths", "denied"),
    [
        (pairs("genuine/c-{w}-01.jpg", "forged/cf-{w}-01.jpg"), "genuine/cf-001-02.jpg"),
        (pairs("real/{w}_real_1.png", "fake/{w}_fake_1.png"), "real/001_fake_2.png"),
    ],
)
def test_a_name_that_its_folder_denies_is_left_out(tmp_path, paths, denied):
    found = read(plant(tmp_path, *paths, denied))
    assert found.pop(denied) == "contradiction"
    assert set(found) == set(paths)


def test_people_called_by_the_letters_of_kinds_are_people(tmp_path):
    found = find_layout(
        plant(tmp_path, *(f"{k}/{w}/1.png" for k in ("real", "forged") for w in "FG"))
    )
    assert {(file.writer, file.kind) for file in found.files} == {
        (writer, kind) for writer in "FG" for kind in ("forgery", "genuine")
    }


@pytest.mark.parametrize("name", ["{}_{n}.png", "{n}-{}.png", "scan {n} ({}).png"])
def test_a_lone_number_in_a_person_s_folder_counts_signatures(tmp_path, name):
    for genuine, forged in (("genuine", "forged"), ("G", "F")):
        names = [name.format(kind, n=n) for kind in (genuine, forged) for n in (1, 2, 3)]
        paths = [f"{who}/{one}" for who in ("anna", "ben") for one in names]
        found = find_layout(plant(tmp_path / genuine, *paths))
        assert Counter((file.writer, file.kind) for file in found.files) == {
            (who, kind): 3 for who in ("anna", "ben") for kind in ("genuine", "forgery")
        }


def test_numbers_that_may_be_people_or_sessions_are_not_guessed(tmp_path):
    names = [f"{kind}_{n}_1.png" for kind in ("genuine", "forged") for n in (1, 2, 3)]
    with pytest.raises(DeepSignError, match="does not fit any known layout"):
        find_layout(
            plant(tmp_path, *(f"{who}/{name}" for who in ("anna", "ben") for name in names))
        )


@pytest.mark.parametrize(
    "path",
    ["{kind}/{who}_day{n}_1.png", "{kind}/00{who}-{n}-1.png", "00{who}_{n}_{kind}_1.png"],
)
def test_names_that_may_be_sessions_of_people_are_not_taken_for_people(tmp_path, path):
    kinds, whose = ("genuine", "forged"), (1, 2, 3)
    names = [path.format(kind=k, who=w, n=n) for k in kinds for w in whose for n in (1, 2)]
    with pytest.raises(DeepSignError, match="does not fit any known layout"):
        find_layout(plant(tmp_path, *names))


@pytest.mark.parametrize(
    ("genuine", "forged"),
    [("genuine/{}/1.png", "forged/00{}/1.png"), ("{}/1.png", "00{}_forg/1.png")],
)
def test_leading_zeros_of_one_kind_alone_make_no_other_writers(tmp_path, genuine, forged):
    paths = [path.format(writer) for path in (genuine, forged) for writer in (1, 2, 3)]
    found = {(file.writer, file.kind) for file in find_layout(plant(tmp_path, *paths)).files}
    assert found == {(w, kind) for w in "123" for kind in ("genuine", "forgery")}


def test_a_name_that_ends_like_a_forgery_s_is_a_person_whose_forgeries_stand_beside(tmp_path):
    folders = ("Anna", "Anna F", "Ben")
    paths = [f"{folder}{of}/1.png" for folder in folders for of in ("", "_forg")]
    found = find_layout(plant(tmp_path, *paths)).files
    assert {(file.writer, file.kind) for file in found} == {
        (folder, kind) for folder in folders for kind in ("genuine", "forgery")
    }


def test_links_in_a_circle_are_walked_once(tmp_path):
    plant_example(tmp_path, "idcar")
    (tmp_path / "train" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert read(tmp_path)["train/again"] == "not a file"


def lying_in(root: Path) -> list[str]:
    """Every file below a folder; a folder called like an image counts as one that is none."""
    found = []
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.suffix != ".png":
            found += [f"{path.name}/{below}" for below in lying_in(path)]
        else:
            found.append(path.name)
    return found


CALM = {"deadline": None, "suppress_health_check": list(HealthCheck)}
JUNK = st.lists(
    st.sampled_from(
        ["notes.txt", "x/scan.png", "a/b/c.TIF", "blank.png", "list.csv", "x.png/y.png", "ж/é.bmp"]
    ),
    unique=True,
    max_size=4,
)
FOLDERS = st.sampled_from(
    [*("1", "001", "anna", "anna_forg", "anna-f"), *("real", "forge", "Forgery", "train", "Dutch")]
)
NAMES = st.sampled_from(
    [
        *("1.png", "001_01.png", "0201001_01.PNG", "c-001-01.jpg", "cf-1-01.jpg", "real_1.png"),
        *("B-S-1-F-01.tif", "H-S-2-G-01.tif", "original_1_1.png", "0001f00.bmp", "Q001.png"),
        *("NFI-00602001.png", "notes.txt"),
    ]
)
TREES = st.lists(
    st.tuples(st.lists(FOLDERS, max_size=3), NAMES).map(lambda tree: "/".join([*tree[0], tree[1]])),
    min_size=1,
    max_size=12,
    unique=True,
)


def check_accounts(root: Path) -> None:
    files = find_layout(root).files
    assert sorted(file.path for file in files) == sorted(lying_in(root))
    assert all(file.problem in PROBLEMS or (file.writer and file.kind) for file in files)


@settings(max_examples=40, **CALM)
@given(st.sampled_from(NAMED), st.sampled_from(["", "a/", "train/x/"]), JUNK)
def test_a_dataset_among_other_files_is_read_and_every_file_accounted_for(
    tmp_path_factory, name, below, junk
):
    root = tmp_path_factory.mktemp("tree")
    meant = plant_example(root, name, below)
    plant(root, *junk)
    check_accounts(root)
    assert {path: text for path, text in read(root).items() if path in meant} == meant


@settings(max_examples=80, **CALM)
@given(TREES)
def test_in_a_random_tree_found_is_used_plus_left_out_or_a_sentence_says_why(
    tmp_path_factory, tree
):
    root = plant(tmp_path_factory.mktemp("tree"), *tree)
    try:
        check_accounts(root)
    except DeepSignError as stopped:
        message = str(stopped)
        assert str(root) in message
