"""Virtual writers: the same ones every time, of either kind, with no shortcut between the kinds."""

import csv
import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from deepsign_utils import DeepSignError
from deepsign_utils.synthetic import draw_writer, draw_writers, write_dataset
from deepsign_utils.synthetic.realism import describe

SMALL = {"writers": 3, "genuine": 3, "forgeries": 2, "seed": 7, "progress": False}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def same_images(some, others):
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def half(image):
    return image[::2, ::2]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "synthetic", processes=1, **SMALL)


@pytest.fixture(scope="module")
def world():
    return list(draw_writers(40, genuine=8, forgeries=8, seed=3))


class TestWriteDataset:
    def test_lays_out_a_folder_of_genuine_and_one_of_forged_images_per_writer(self, dataset):
        folders = {p.name: len(list(p.iterdir())) for p in dataset.iterdir() if p.is_dir()}
        assert len(folders) == 6
        assert all(n == (2 if name.endswith("_forg") else 3) for name, n in folders.items())

    def test_lists_every_image_in_the_manifest(self, dataset):
        with (dataset / "manifest.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["path", "writer", "kind", "forger"]
        assert {row["path"] for row in rows} == {
            path.relative_to(dataset).as_posix() for path in dataset.rglob("*.png")
        }
        for row in rows:
            forged = row["path"].split("/")[0] == f"{row['writer']}_forg"
            assert row["kind"] == ("forgery" if forged else "genuine")
            assert bool(row["forger"]) == forged

    def test_stores_8_bit_gray_images_of_a_modest_size(self, dataset):
        for path in dataset.rglob("*.png"):
            with Image.open(path) as image:
                assert image.mode == "L"
                assert 20 <= image.height <= 600
                assert 20 <= image.width <= 2000

    def test_writes_the_same_bytes_in_one_process_and_in_two(self, dataset, tmp_path):
        again = write_dataset(tmp_path / "again", processes=2, **SMALL)
        assert contents(again) == contents(dataset)

    def test_keeps_a_writer_when_there_are_more_writers(self, dataset, tmp_path):
        more = write_dataset(tmp_path / "more", processes=1, **{**SMALL, "writers": 4})
        fewer, more = contents(dataset), contents(more)
        images = [name for name in fewer if name.endswith(".png")]
        assert all(more[name] == fewer[name] for name in images)
        assert len(more) > len(fewer)

    def test_holds_what_is_drawn_as_arrays(self, dataset):
        drawn = draw_writer(7, 0, 3, 2)
        stored = [np.asarray(Image.open(p)) for p in sorted((dataset / "0001").iterdir())]
        forged = [np.asarray(Image.open(p)) for p in sorted((dataset / "0001_forg").iterdir())]
        assert same_images(drawn.genuine, stored)
        assert same_images(drawn.forgeries, forged)

    def test_returns_at_once_what_is_already_there(self, dataset):
        before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
        assert write_dataset(dataset, **SMALL) == dataset
        assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before

    @pytest.mark.parametrize("change", [{"seed": 8}, {"writers": 2}, {"skill": 0.5}])
    def test_refuses_a_folder_with_another_dataset(self, dataset, change):
        before = contents(dataset)
        with pytest.raises(DeepSignError, match="something else"):
            write_dataset(dataset, **{**SMALL, **change})
        assert contents(dataset) == before

    def test_refuses_a_dataset_of_another_version_of_the_generator(self, dataset, tmp_path):
        older = shutil.copytree(dataset, tmp_path / "older")
        record = json.loads((older / "synthetic.json").read_text())
        (older / "synthetic.json").write_text(json.dumps({**record, "generator": "other"}))
        with pytest.raises(DeepSignError, match="something else"):
            write_dataset(older, **SMALL)

    def test_refuses_a_dataset_with_an_image_missing(self, dataset, tmp_path):
        broken = shutil.copytree(dataset, tmp_path / "broken")
        next(broken.rglob("*.png")).unlink()
        with pytest.raises(DeepSignError, match="something else"):
            write_dataset(broken, **SMALL)

    def test_refuses_a_folder_with_other_files_and_a_file(self, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("years of work")
        (tmp_path / "file").write_text("")
        for taken in ("mine", "file"):
            with pytest.raises(DeepSignError, match="something else"):
                write_dataset(tmp_path / taken, **SMALL)
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"

    def test_fills_an_empty_folder_and_makes_its_parents(self, dataset, tmp_path):
        (tmp_path / "a" / "b").mkdir(parents=True)
        for folder in (tmp_path / "a" / "b", tmp_path / "c" / "d"):
            write_dataset(folder, processes=1, **SMALL)
            assert contents(folder) == contents(dataset)

    def test_leaves_nothing_behind_when_the_disk_is_full(self, tmp_path):
        resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(OSError, match="too large"):
                write_dataset(tmp_path / "half", processes=1, **SMALL)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []


class TestParameters:
    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"writers": 0}, "writers"),
            ({"writers": 2.5}, "writers"),
            ({"genuine": 0}, "genuine"),
            ({"forgeries": -1}, "forgeries"),
            ({"seed": -1}, "seed"),
            ({"seed": True}, "seed"),
            ({"skill": 1.1}, "skill"),
            ({"skill": float("nan")}, "skill"),
            ({"processes": 0}, "processes"),
        ],
    )
    def test_out_of_range_is_an_error_that_names_it_before_anything_is_made(
        self, tmp_path, change, named
    ):
        with pytest.raises(DeepSignError, match=named):
            write_dataset(tmp_path / "none", **{**SMALL, **change})
        assert list(tmp_path.iterdir()) == []

    def test_the_arrays_check_theirs_too(self):
        with pytest.raises(DeepSignError, match="index"):
            draw_writer(0, -1)
        with pytest.raises(DeepSignError, match="skill"):
            draw_writers(3, skill=-0.1)
        with pytest.raises(DeepSignError, match="processes"):
            draw_writers(3, processes=0)

    def test_no_forgeries_are_allowed(self):
        assert draw_writer(0, 0, genuine=1, forgeries=0).forgeries == []


class TestDrawWriter:
    def test_gives_as_many_gray_images_as_asked_for(self):
        drawn = draw_writer(1, 5, genuine=4, forgeries=7)
        assert (drawn.index, len(drawn.genuine), len(drawn.forgeries)) == (5, 4, 7)
        assert all(image.ndim == 2 for image in drawn.genuine + drawn.forgeries)
        assert all(image.dtype == np.uint8 for image in drawn.genuine + drawn.forgeries)

    def test_repeats_itself_and_continues_the_same_series(self):
        few, many = draw_writer(1, 5, 2, 3), draw_writer(1, 5, 4, 7)
        assert same_images(few.genuine, many.genuine[:2])
        assert same_images(few.forgeries, many.forgeries[:3])

    def test_no_two_images_are_alike(self):
        drawn = draw_writer(1, 5, 12, 12)
        images = drawn.genuine + drawn.forgeries
        assert len({image.tobytes() for image in images}) == 24

    def test_other_seeds_and_other_indices_are_other_writers(self):
        first = draw_writer(1, 5, 1, 0).genuine
        assert not same_images(first, draw_writer(2, 5, 1, 0).genuine)
        assert not same_images(first, draw_writer(1, 6, 1, 0).genuine)

    def test_every_forger_makes_six_forgeries(self):
        forgers = draw_writer(1, 5, 1, 13).forgers
        assert [forgers.count(name) for name in sorted(set(forgers))] == [6, 6, 1]

    def test_ink_is_dark_on_bright_paper_and_never_missing(self, world):
        for drawn in world:
            for image in drawn.genuine + drawn.forgeries:
                assert np.median(image) > 180
                assert image.min() < np.median(image) - 40

    def test_more_skill_makes_forgeries_more_like_the_genuine(self):
        def distance(skill):
            apart = []
            for drawn in draw_writers(12, genuine=4, forgeries=4, seed=5, skill=skill, processes=1):
                genuine, forged = (
                    np.stack([blurred_ink(image) for image in images])
                    for images in (drawn.genuine, drawn.forgeries)
                )
                apart.append(np.abs(genuine[:, None] - forged[None]).mean())
            return np.mean(apart)

        clumsy, usual, nearly_perfect = distance(0.0), distance(0.5), distance(1.0)
        assert nearly_perfect < usual < clumsy

    def test_a_forger_lifts_the_pen_more_often_than_the_writer(self):
        more = []
        for drawn in draw_writers(40, genuine=3, forgeries=6, seed=5, skill=0.2):
            genuine, forged = (
                np.mean([describe(image)["pieces"] for image in images])
                for images in (drawn.genuine, drawn.forgeries)
            )
            more.append(np.log(forged / genuine))
        assert np.mean(more) > 0.03


class TestDrawWriters:
    def test_yields_the_same_writers_in_any_number_of_processes(self):
        one = list(draw_writers(5, 2, 1, seed=4, processes=1))
        two = list(draw_writers(5, 2, 1, seed=4, processes=2))
        assert [drawn.index for drawn in two] == [0, 1, 2, 3, 4]
        for some, others in zip(one, two, strict=True):
            assert same_images(some.genuine, others.genuine)
            assert same_images(some.forgeries, others.forgeries)

    def test_takes_any_indices(self):
        drawn = list(draw_writers([9, 2], 1, 1, seed=4, processes=1))
        assert [writer.index for writer in drawn] == [9, 2]
        assert same_images(drawn[1].genuine, draw_writer(4, 2, 1, 1).genuine)

    def test_prepares_each_image_where_it_is_drawn(self):
        (plain,) = draw_writers(1, 2, 1, seed=4, processes=1)
        (prepared,) = draw_writers(1, 2, 1, seed=4, processes=2, prepare=half)
        assert same_images(prepared.genuine, list(map(half, plain.genuine)))
        assert same_images(prepared.forgeries, list(map(half, plain.forgeries)))


def ink_mask(image):
    return image <= threshold_otsu(image)


def blurred_ink(image):
    """The ink's box on 16 x 32 cells: where there is how much ink."""
    mask = ink_mask(image)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box = Image.fromarray(box.astype(np.uint8) * 255).resize((32, 16), Image.Resampling.BOX)
    return np.asarray(box) / 255.0


def size(image):
    return image.shape


def background(image):
    paper = image[~ndimage.binary_dilation(ink_mask(image), iterations=3)]
    return np.median(paper), paper.mean(), paper.std(), paper.min(), image[0].mean()


def stroke_width(image):
    mask = ink_mask(image)
    width = 2 * ndimage.distance_transform_edt(mask)[mask]
    return width.mean(), width.std()


@pytest.mark.parametrize("probe", [size, background, stroke_width])
def test_ink_paper_and_size_do_not_tell_forged_from_genuine(world, probe):
    """A probe of one image, writers kept apart, stands at chance. With 640 images its AUC has a
    standard error of 0.023."""
    images = [(image, 0) for drawn in world for image in drawn.genuine]
    images += [(image, 1) for drawn in world for image in drawn.forgeries]
    writer = np.array([drawn.index for drawn in world for _ in range(8)] * 2)
    features = np.array([probe(image) for image, _ in images])
    forged = np.array([kind for _, kind in images])
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0)
    folds = GroupKFold(5)
    said = cross_val_predict(
        forest, features, forged, groups=writer, cv=folds, method="predict_proba"
    )[:, 1]
    assert 0.42 < roc_auc_score(forged, said) < 0.58


def test_genuine_specimens_are_nearer_to_each_other_than_forgeries_and_these_than_strangers(world):
    genuine, skilled, strangers = [], [], []
    cells = [[blurred_ink(image) for image in drawn.genuine] for drawn in world]
    for drawn, own, other in zip(world, cells, cells[1:] + cells[:1], strict=True):
        genuine += [np.abs(a - b).mean() for a, b in pairwise(own)]
        skilled += [np.abs(own[0] - blurred_ink(image)).mean() for image in drawn.forgeries]
        strangers += [np.abs(own[0] - image).mean() for image in other]
    assert np.mean(genuine) < np.mean(skilled) < np.mean(strangers)


class TestDescribe:
    def test_measures_a_cross_of_known_shape(self):
        image = np.full((100, 150), 255, np.uint8)
        image[48:53, 30:121] = 0
        image[20:81, 73:78] = 0
        found = describe(image)
        assert found["aspect"] == pytest.approx(91 / 61)
        assert found["density"] == pytest.approx((91 * 5 + 61 * 5 - 25) / (91 * 61))
        assert found["stroke_width"] == pytest.approx(5, abs=0.5)
        assert (found["ends"], found["branches"]) == (4, 1)
        assert (found["pieces"], found["holes"]) == (1, 0)

    def test_finds_two_rings_alike_but_for_their_size(self):
        def ring(radius):
            y, x = np.mgrid[-100:101, -100:101]
            return np.where(np.abs(np.hypot(x, y) - radius) < 2.5, 255, 0).astype(np.uint8)

        small, large = describe(ring(30)), describe(ring(80))
        assert small["holes"] == large["holes"] == 1
        assert small["ends"] == large["ends"] == 0
        assert small["curvature"] == pytest.approx(large["curvature"], rel=0.35)

    def test_does_not_mind_which_of_ink_and_paper_is_bright(self, world):
        image = world[0].genuine[0]
        assert describe(255 - image)["aspect"] == pytest.approx(describe(image)["aspect"], rel=0.1)

    def test_says_that_a_page_is_blank(self):
        with pytest.raises(DeepSignError, match="blank"):
            describe(np.full((20, 20), 250, np.uint8))
