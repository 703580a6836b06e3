"""Splits, pairs and trials: counts by hand, and no writer on two sides."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsign_utils import DeepSignError, datasets, pairing


def table(writers: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """A signature table of writers with so many genuine and forged images."""
    rows = [
        (writer, kind)
        for writer, counts in writers.items()
        for kind, count in zip(("genuine", "forgery"), counts, strict=True)
        for _ in range(count)
    ]
    frame = pd.DataFrame(rows, columns=["writer", "kind"])
    frame.insert(0, "signature_id", np.arange(len(frame), dtype=np.int32))
    frame["path"] = [f"{row.writer}/{row.signature_id}.png" for row in frame.itertuples()]
    return frame.assign(duplicate_of=pd.array([None] * len(frame), "Int32"))


def rng():
    return np.random.default_rng(0)


TEN = table({f"w{i}": (6, 4) for i in range(10)})


def test_shares_are_of_all_writers():
    split = pairing.split_writers(TEN, 0.2, 0.3, rng())
    assert split["split"].value_counts().to_dict() == {"train": 5, "test": 3, "validation": 2}
    assert split["writer"].tolist() == [f"w{i}" for i in range(10)]


def test_the_same_seed_splits_alike_and_another_one_differently():
    first, again = (pairing.split_writers(TEN, 0.2, 0.3, rng()) for _ in range(2))
    other = pairing.split_writers(TEN, 0.2, 0.3, np.random.default_rng(1))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("listed", [["7", "10"], ["007", "010"]])
@pytest.mark.parametrize("spelt", ["{}", "{:03}"])
def test_a_published_list_fits_however_the_folders_are_padded(listed, spelt):
    data = table({spelt.format(number): (2, 2) for number in range(1, 13)})
    split = pairing.split_writers(data, 0.2, listed, rng())
    tested = split.loc[split["split"] == "test", "writer"]
    assert tested.tolist() == [spelt.format(7), spelt.format(10)]


def test_two_writers_who_differ_in_zeros_are_told_apart_or_asked_about():
    data = table(dict.fromkeys(("1", "01", "2", "3", "4", "5"), (2, 2)))
    split = pairing.split_writers(data, 0.2, ["01", "2"], rng())
    assert split.loc[split["split"] == "test", "writer"].tolist() == ["01", "2"]
    with pytest.raises(DeepSignError, match="names 001, but the data has 1 and 01"):
        pairing.split_writers(data, 0.2, ["001", "2"], rng())
    assert "differ only in leading zeros" in " ".join(datasets.check_usable(data))


def test_two_writers_who_differ_in_capitals_are_remarked_on():
    remarks = datasets.check_usable(table(dict.fromkeys(("anna", "Anna", "berta"), (2, 2))))
    assert len(remarks) == 1
    assert "the writers 'Anna', 'anna' differ only in" in remarks[0]


def test_listed_writers_test_and_the_others_are_drawn_from():
    split = pairing.split_writers(TEN, 0.2, ["w3", "w7"], rng()).set_index("writer")["split"]
    assert split[split == "test"].index.tolist() == ["w3", "w7"]
    assert (split == "validation").sum() == 2


def test_each_writer_tests_in_one_of_the_parts():
    # given the five folds of one seed
    splits = [pairing.split_writers(TEN, 0.2, f"{part}/5", rng()) for part in range(1, 6)]
    testing = [split.loc[split["split"] == "test", "writer"].tolist() for split in splits]
    # then
    assert sorted(w for writers in testing for w in writers) == sorted(TEN["writer"].unique())
    assert [len(writers) for writers in testing] == [2] * 5
    assert all((split["split"] == "validation").sum() == 2 for split in splits)
    for part in ("10/10", "11/11"):
        with pytest.raises(DeepSignError, match="fewer parts"):
            pairing.split_writers(TEN, 0.2, part, rng())


def test_writers_of_two_splits_may_not_share_a_file():
    # Given a file of w3 that lies, byte for byte, under w7 too
    files = TEN.assign(
        path=[f"{i}.png" for i in range(100)], sha256=[f"{i:02d}" for i in range(100)]
    )
    files.loc[files["path"] == "72.png", "sha256"] = "31"
    # Then they may lie in one split, and a study that parts them is refused by name
    pairing.split_writers(files, 0.2, ["w3", "w7"], rng())
    with pytest.raises(DeepSignError, match=r"31.png \(writer w3, test\) and 72.png \(writer w7, "):
        pairing.split_writers(files, 0.2, ["w3", "w5"], rng())


@pytest.mark.parametrize(
    ("validation", "test", "said"),
    [
        (0.2, ["w3", "nobody"], "nobody"),
        (["w3"], ["w3"], "both test_writers and validation_writers: w3"),
        (0.6, 0.6, "no writer with two genuine signatures to train on"),
        (0.2, ["w3"], "Of the test writers 1 has two genuine signatures or more"),
        (["w3"], 0.2, "Of the validation writers 1 has two genuine signatures or more"),
    ],
)
def test_an_impossible_split_is_refused(validation, test, said):
    with pytest.raises(DeepSignError, match=said):
        pairing.split_writers(TEN, validation, test, rng())


def test_five_writers_make_a_study_and_four_do_not():
    writers = dict.fromkeys("abcde", (2, 2))
    split = pairing.split_writers(table(writers), 0.2, 0.3, rng())
    assert split["split"].value_counts().to_dict() == {"validation": 2, "test": 2, "train": 1}
    with pytest.raises(DeepSignError, match="at least five"):
        pairing.split_writers(table(dict.fromkeys("abcd", (2, 2))), 0.2, 0.3, rng())


def test_writers_of_whom_nothing_can_be_measured_train_or_are_refused():
    single = dict.fromkeys("fgh", (1, 2))
    data = table(dict.fromkeys("abcde", (2, 2)) | single)
    split = pairing.split_writers(data, 0.25, 0.25, rng()).set_index("writer")["split"]
    assert set(split[[*single]]) == {"train"}
    copied = data.assign(duplicate_of=pd.array([pd.NA] * len(data), dtype="Int32"))
    copied.loc[1, "duplicate_of"] = 0  # the second of a's two
    with pytest.raises(DeepSignError, match="Of the test writers 1 has two genuine"):
        pairing.split_writers(copied, 0.25, ["a", "b"], rng())
    with pytest.raises(DeepSignError, match="Of the test writers 1 has two genuine"):
        pairing.split_writers(data, 0.2, ["a", *single], rng())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), min_size=2, max_size=5),
    st.integers(0, 2**32),
)
def test_pairs_are_those_of_the_protocol(counts, seed):
    signatures = table({f"w{i}": pair for i, pair in enumerate(counts)})
    pairs = pairing.draw_pairs(signatures, np.random.default_rng(seed))
    of = signatures.set_index("signature_id")
    left, right = of.loc[pairs["left"]], of.loc[pairs["right"]]

    # then: by hand
    genuine = sum(g * (g - 1) // 2 for g, _ in counts)
    skilled = sum(g * f for g, f in counts)
    found = pairs["kind"].value_counts()
    assert found.get("genuine", 0) == genuine
    assert found.get("skilled", 0) == skilled
    # and those that the matrix of all signatures with all shows, twice where both are genuine
    kinds = pairing.pair_kinds(signatures).to_numpy()
    assert [np.count_nonzero(kinds == kind) for kind in ("genuine", "skilled")] == [
        2 * genuine,
        skilled,
    ]
    # the left is always a genuine reference of the pair's writer
    assert (left["kind"] == "genuine").all()
    assert (left["writer"].to_numpy() == pairs["writer"].to_numpy()).all()
    same = left["writer"].to_numpy() == right["writer"].to_numpy()
    kind = pairs["kind"].to_numpy()
    assert same[kind != "random"].all()
    assert not same[kind == "random"].any()
    assert (right["kind"].to_numpy()[kind == "skilled"] == "forgery").all()
    assert (right["kind"].to_numpy()[kind != "skilled"] == "genuine").all()
    # no image with itself, no genuine or skilled pair twice
    assert (pairs["left"] != pairs["right"]).all()
    assert not pairs[kind != "random"].duplicated(["left", "right"]).any()


def test_the_published_counts_of_a_bengali_writer():
    pairs = pairing.draw_pairs(table({"a": (24, 30), "b": (24, 30)}), rng())
    assert pairs.groupby(["writer", "kind"]).size()["a"].to_dict() == {
        "genuine": 276,
        "random": 276,
        "skilled": 720,
    }


def test_random_pairs_use_every_reference_about_equally():
    pairs = pairing.draw_pairs(TEN, rng())
    used = pairs[pairs["kind"] == "random"]["left"].value_counts()
    assert used.max() - used.min() <= 1
    assert not pairs[pairs["kind"] == "random"].duplicated(["left", "right"]).any()


@pytest.mark.parametrize("genuine", [5, 8])
def test_a_reference_meets_every_stranger_before_one_twice(genuine):
    # Given two writers only, so that the other's signatures are all the strangers there are
    pairs = pairing.draw_pairs(table({"a": (genuine, 0), "b": (2, 0)}), rng())
    # When one of them is the reference more often than there are strangers
    met = pairs[(pairs["kind"] == "random") & (pairs["writer"] == "a")].groupby("left")["right"]
    # Then it has met each of them about equally often
    times = met.value_counts().unstack(fill_value=0)
    assert times.shape == (genuine, 2)
    assert (times.max(axis=1) - times.min(axis=1) <= 1).all()


def test_every_stranger_is_drawn_about_equally_often():
    pairs = [pairing.draw_pairs(TEN, np.random.default_rng(seed)) for seed in range(40)]
    drawn = pd.concat(pairs).query("kind == 'random'")["right"].value_counts()
    # Given 6,000 draws among 60 signatures: 100 each, and 10 or so more or less
    assert len(drawn) == 60
    assert drawn.between(60, 140).all()


class CountingGenerator(np.random.Generator):
    """Counts the items that it is handed to draw from, and those that it is asked for."""

    handled = 0

    def permutation(self, items):
        self.handled += len(items)
        return super().permutation(items)

    def choice(self, items, size, replace):
        self.handled += np.size(items) + size
        return super().choice(items, size, replace)


@pytest.mark.parametrize(
    "draw", [pairing.draw_pairs, lambda signatures, rng: pairing.draw_trials(signatures, [2], rng)]
)
def test_the_draws_grow_with_the_writers_and_no_faster(draw):
    # Given eight times as many writers
    few, many = (CountingGenerator(np.random.PCG64(0)) for _ in range(2))
    draw(table({f"w{i}": (4, 2) for i in range(50)}), few)
    draw(table({f"w{i}": (4, 2) for i in range(400)}), many)
    # Then eight times as much is drawn from; all strangers listed for each would be 64 times
    assert many.handled == 8 * few.handled


def test_trials_draw_references_ten_times_and_question_the_rest():
    trials = pairing.draw_trials(TEN, [1, 4], rng())
    assert set(trials["count"]) == {4}
    per_writer = trials.groupby(["writer", "draw", "kind"]).size().unstack()
    assert per_writer.index.get_level_values("draw").nunique() == pairing.DRAWS
    assert (per_writer["genuine"] == 2).all()
    assert (per_writer["skilled"] == 4).all()
    assert (per_writer["random"] == 2).all()
    assert all(row.questioned not in row.references for row in trials.itertuples())


def test_a_writer_with_too_few_genuine_signatures_has_no_trial():
    writers = {"few": (3, 2), "more": (6, 2), "many": (8, 2)}
    trials = pairing.draw_trials(table(writers), [2, 3, 5], rng())
    asked = trials.groupby("writer")["count"].unique().map(list).to_dict()
    assert asked == {"few": [2], "more": [2, 3, 5], "many": [2, 3, 5]}


def test_what_one_writer_alone_could_be_asked_is_not_asked():
    trials = pairing.draw_trials(table({"few": (4, 2), "many": (8, 2)}), [3, 4, 7], rng())
    assert set(trials["count"]) == {3}


def test_a_single_writer_meets_no_stranger():
    alone = table({"a": (4, 2)})
    assert set(pairing.draw_pairs(alone, rng())["kind"]) == {"genuine", "skilled"}


def test_duplicates_are_left_out():
    signatures = TEN.copy()
    signatures.loc[1, "duplicate_of"] = 0
    assert len(pairing.without_duplicates(signatures)) == len(TEN) - 1


@pytest.mark.parametrize("other", [6, 10])  # a forgery of the same writer, another's signature
def test_files_that_bear_two_labels_are_left_out(other):
    signatures = TEN.copy()
    signatures.loc[other, "duplicate_of"] = 0
    once = pairing.without_duplicates(signatures)
    assert len(once) == len(TEN) - 2
    assert set(pairing.duplicates(signatures)) == set(signatures["path"]) - set(once["path"])
    assert all(pairing.MISLABELLED in why for why in pairing.duplicates(signatures).values())
