"""Error rates: hand-computed cases, scikit-learn and SciPy as referees, properties, intervals."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import det_curve, log_loss, roc_auc_score, roc_curve

from deepsign_utils import DeepSignError, metrics

# Few distinct values make ties frequent.
few_values = st.integers(-5, 5).map(float)
any_values = st.floats(-1e6, 1e6, allow_subnormal=False)
score_lists = st.one_of(
    st.lists(few_values, min_size=1, max_size=30), st.lists(any_values, min_size=1, max_size=30)
).map(np.array)


def random_classes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Genuine and forged scores of random size and overlap, every third set rounded to ties."""
    rng = np.random.default_rng(seed)
    genuine = rng.normal(rng.uniform(0, 3), 1, rng.integers(1, 400))
    forged = rng.normal(0, 1, rng.integers(1, 400))
    if seed % 3 == 0:
        genuine, forged = genuine.round(1), forged.round(1)
    return genuine, forged


def score_table(
    writers: int = 20, genuine: int = 15, skilled: int = 20, random: int = 15, seed: int = 0
) -> pd.DataFrame:
    """Scores of writers who each have a level of their own, so that their pairs are dependent."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 0.7, writers)
    parts = []
    for kind, mean, size in (
        ("genuine", 2, genuine),
        ("skilled", 0, skilled),
        ("random", -1, random),
    ):
        writer = np.repeat(np.arange(writers), size)
        score = mean + level[writer] + rng.normal(0, 1, len(writer))
        parts.append(pd.DataFrame({"writer": writer.astype(str), "kind": kind, "score": score}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(llr=2 * (table["score"] - 1))


def of_kind(table: pd.DataFrame, kind: str, column: str = "score") -> np.ndarray:
    return table.loc[table["kind"] == kind, column].to_numpy()


class TestErrorCurve:
    def test_by_hand(self):
        curve = metrics.error_curve([2.0, 3.0, 3.0, 5.0], [1.0, 3.0])

        # A pair is accepted if its score is at least the threshold.
        assert curve.threshold[:-1].tolist() == [1, 2, 3, 5]
        assert curve.fmr.tolist() == [1, 0.5, 0.5, 0, 0]
        assert curve.fnmr.tolist() == [0, 0, 0.25, 0.75, 1]

    def test_runs_from_accept_all_to_reject_all(self):
        genuine, forged = random_classes(1)
        curve = metrics.error_curve(genuine, forged)

        assert (curve.fmr[0], curve.fnmr[0]) == (1, 0)
        assert (curve.fmr[-1], curve.fnmr[-1]) == (0, 1)
        assert (np.diff(curve.threshold) > 0).all()
        assert np.isfinite(curve.threshold).all()
        assert {array.dtype for array in curve} == {np.dtype("float64")}

    @given(score_lists, score_lists)
    @settings(max_examples=50, deadline=None)
    def test_each_point_is_what_counting_gives(self, genuine, forged):
        curve = metrics.error_curve(genuine, forged)

        for threshold, fmr, fnmr in zip(*curve, strict=True):
            assert fmr == np.mean(forged >= threshold) == metrics.fmr(forged, threshold)
            assert fnmr == np.mean(genuine < threshold) == metrics.fnmr(genuine, threshold)

    @pytest.mark.parametrize("seed", range(6))
    def test_agrees_with_scikit_learn(self, seed):
        genuine, forged = random_classes(seed)
        labels = np.repeat([1, 0], [len(genuine), len(forged)])
        scores = np.concatenate([genuine, forged])
        curve = metrics.error_curve(genuine, forged)

        fpr, tpr, threshold = roc_curve(labels, scores, drop_intermediate=False)
        np.testing.assert_allclose(curve.fmr, fpr[::-1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(1 - curve.fnmr, tpr[::-1], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(curve.threshold[:-1], threshold[:0:-1])

        # det_curve leaves out the ends of the curve, where one of the rates stays at 0 or 1.
        fpr, fnr, threshold = det_curve(labels, scores)
        mine = np.isin(curve.threshold, threshold)
        finite = np.isfinite(threshold)
        np.testing.assert_allclose(curve.fmr[mine], fpr[finite], rtol=0, atol=1e-12)
        np.testing.assert_allclose(curve.fnmr[mine], fnr[finite], rtol=0, atol=1e-12)

    def test_of_a_score_table(self):
        table = score_table()

        for kind in ("skilled", "random"):
            expected = metrics.error_curve(of_kind(table, "genuine"), of_kind(table, kind))
            np.testing.assert_array_equal(metrics.curve_of(table, kind), expected)
        with pytest.raises(DeepSignError, match="no forged pairs"):
            metrics.curve_of(score_table(random=0), "random")


class TestEer:
    @pytest.mark.parametrize(
        ("genuine", "forged", "expected"),
        [
            ([3, 4], [1, 2], 0),  # perfect separation
            ([1, 2], [3, 4], 1),  # perfectly wrong
            ([1, 1, 1], [1, 1], 0.5),  # nothing told apart
            ([1], [1], 0.5),
            ([2], [1], 0),
            ([1], [2], 1),
            ([1, 3], [0, 2], 0.5),  # (FMR, FNMR) passes (1/2, 1/2) at threshold 2
            ([2, 3], [1, 2], 0.25),  # the tie at 2 leads from (1/2, 0) straight to (0, 1/2)
            ([2, 2, 3], [1, 2], 2 / 7),  # and here from (1/2, 0) to (0, 2/3)
        ],
    )
    def test_by_hand(self, genuine, forged, expected):
        assert metrics.eer(genuine, forged) == pytest.approx(expected, abs=1e-15)

    @pytest.mark.parametrize("seed", range(100))
    def test_agrees_with_a_root_search_on_scikit_learns_curve(self, seed):
        genuine, forged = random_classes(seed)
        labels = np.repeat([1, 0], [len(genuine), len(forged)])
        fpr, tpr, _ = roc_curve(labels, np.concatenate([genuine, forged]))

        expected = brentq(lambda x: 1 - x - interp1d(fpr, tpr)(x), 0, 1, xtol=1e-13)

        assert metrics.eer(genuine, forged) == pytest.approx(expected, abs=1e-9)

    @given(score_lists, score_lists)
    @settings(max_examples=100, deadline=None)
    def test_is_a_rate(self, genuine, forged):
        assert 0 <= metrics.eer(genuine, forged) <= 1

    @given(score_lists, score_lists)
    @settings(max_examples=100, deadline=None)
    def test_a_monotone_transform_changes_nothing(self, genuine, forged):
        # Ranks are a strictly increasing function of the scores that no rounding can collapse.
        distinct = np.unique(np.concatenate([genuine, forged]))
        ranks = [np.searchsorted(distinct, scores) ** 3.0 for scores in (genuine, forged)]

        assert metrics.eer(*ranks) == metrics.eer(genuine, forged)
        assert metrics.auc(*ranks) == metrics.auc(genuine, forged)

    @given(score_lists, score_lists)
    @settings(max_examples=100, deadline=None)
    def test_negating_scores_and_swapping_classes_mirrors(self, genuine, forged):
        assert metrics.eer(-forged, -genuine) == pytest.approx(metrics.eer(genuine, forged))
        assert metrics.auc(-forged, -genuine) == pytest.approx(metrics.auc(genuine, forged))


class TestEerThreshold:
    def test_stands_in_the_middle_of_a_gap(self):
        assert metrics.eer_threshold([3, 4], [1, 2]) == 2.5

    def test_takes_the_operating_point_nearest_to_equal_rates(self):
        # (FMR, FNMR) at thresholds 1, 2, 3, 4: (1, 0), (1, 1/4), (1/2, 1/4), (0, 1/4).
        # 3 and 4 are as near: the one that accepts less is taken.
        assert metrics.eer_threshold([1, 4, 4, 4], [2, 3]) == 3.5

    def test_all_scores_equal_rejects_all(self):
        threshold = metrics.eer_threshold([1.0, 1.0], [1.0])

        assert np.isfinite(threshold)
        assert metrics.fmr([1.0], threshold) == 0

    def test_works_between_neighbouring_floats(self):
        low, high = 1.0, np.nextafter(1.0, 2)

        threshold = metrics.eer_threshold([high], [low])

        assert metrics.fmr([low], threshold) == metrics.fnmr([high], threshold) == 0

    @given(score_lists, score_lists)
    @settings(max_examples=100, deadline=None)
    def test_no_other_threshold_brings_the_rates_nearer(self, genuine, forged):
        threshold = metrics.eer_threshold(genuine, forged)
        difference = abs(metrics.fmr(forged, threshold) - metrics.fnmr(genuine, threshold))

        curve = metrics.error_curve(genuine, forged)
        assert difference == pytest.approx(np.abs(curve.fmr - curve.fnmr).min())

    @given(score_lists, score_lists)
    @settings(max_examples=100, deadline=None)
    def test_the_two_rates_there_enclose_the_eer(self, genuine, forged):
        threshold = metrics.eer_threshold(genuine, forged)
        rates = metrics.fmr(forged, threshold), metrics.fnmr(genuine, threshold)

        assert min(rates) - 1e-12 <= metrics.eer(genuine, forged) <= max(rates) + 1e-12


class TestAuc:
    def test_by_hand(self):
        # Of the four pairs of scores three are in order and one is a tie.
        assert metrics.auc([2, 3], [1, 2]) == 3.5 / 4

    @pytest.mark.parametrize("seed", range(6))
    def test_agrees_with_scikit_learn(self, seed):
        genuine, forged = random_classes(seed)
        labels = np.repeat([1, 0], [len(genuine), len(forged)])
        expected = roc_auc_score(labels, np.concatenate([genuine, forged]))

        assert metrics.auc(genuine, forged) == pytest.approx(expected, abs=1e-12)


class TestCllr:
    def test_saying_nothing_costs_one_bit(self):
        assert metrics.cllr([0.0, 0.0], [0.0]) == pytest.approx(1)

    def test_by_hand(self):
        # log2(1 + 1/3) for the genuine pair, log2(1 + 1/7) for the forged one.
        expected = (np.log2(4 / 3) + np.log2(8 / 7)) / 2
        assert metrics.cllr([np.log(3)], [-np.log(7)]) == pytest.approx(expected)

    def test_is_the_balanced_log_loss_in_bits(self):
        genuine, forged = random_classes(2)
        labels = np.repeat([1, 0], [len(genuine), len(forged)])
        weights = np.where(labels == 1, 1 / len(genuine), 1 / len(forged))
        odds = 1 / (1 + np.exp(-np.concatenate([genuine, forged])))

        expected = log_loss(labels, odds, sample_weight=weights) / np.log(2)

        assert metrics.cllr(genuine, forged) == pytest.approx(expected)

    def test_huge_evidence_stays_finite(self):
        assert metrics.cllr([1e4], [-1e4]) == 0
        assert metrics.cllr([-1e4], [1e4]) == pytest.approx(1e4 / np.log(2))


@pytest.mark.parametrize(
    "function", [metrics.error_curve, metrics.eer, metrics.eer_threshold, metrics.auc, metrics.cllr]
)
@pytest.mark.parametrize(
    ("genuine", "forged", "message"),
    [
        ([], [1.0], "no genuine pairs"),
        ([1.0], [], "no forged pairs"),
        ([1.0, np.nan], [1.0], "1 of the 2 scores of genuine pairs are not finite"),
        ([1.0], [np.inf, -np.inf, 0], "2 of the 3 scores of forged pairs are not finite"),
    ],
)
def test_unusable_scores_are_refused(function, genuine, forged, message):
    with pytest.raises(DeepSignError, match=message):
        function(genuine, forged)


class TestEvaluate:
    table = score_table()

    def test_values_are_those_of_the_plain_functions(self):
        table = self.table
        result = metrics.evaluate(table, 1.0, np.random.default_rng(0), resamples=20)

        genuine = of_kind(table, "genuine")
        for kind in ("skilled", "random"):
            forged = of_kind(table, kind)
            assert result["eer"][kind]["value"] == pytest.approx(metrics.eer(genuine, forged))
            assert result["auc"][kind]["value"] == pytest.approx(metrics.auc(genuine, forged))
            assert result["fmr"][kind]["value"] == pytest.approx(metrics.fmr(forged, 1.0))
        assert result["fnmr"]["value"] == pytest.approx(metrics.fnmr(genuine, 1.0))
        expected = metrics.cllr(of_kind(table, "genuine", "llr"), of_kind(table, "skilled", "llr"))
        assert result["cllr"]["value"] == pytest.approx(expected)
        own = [
            metrics.eer(of_kind(part, "genuine"), of_kind(part, "skilled"))
            for _, part in table.groupby("writer")
        ]
        assert result["eer_per_writer"]["value"] == pytest.approx(np.mean(own))

    def test_intervals_are_those_of_tables_drawn_writer_by_writer(self, monkeypatch):
        # Given the same draws of writers, each table is put together pair by pair and evaluated.
        monkeypatch.setattr(metrics, "_at_least", lambda rate, tails, independent: tails)
        table, resamples = self.table, 40
        writers = table["writer"].sort_values().unique()
        counts = np.random.default_rng(7).multinomial(
            len(writers), np.full(len(writers), 1 / len(writers)), size=resamples
        )
        drawn = {name: [] for name in ("eer", "eer_per_writer", "fmr", "fnmr", "auc", "cllr")}
        for row in counts:
            copies = table.loc[
                table.index.repeat(table["writer"].map(dict(zip(writers, row, strict=True))))
            ]
            genuine, skilled = of_kind(copies, "genuine"), of_kind(copies, "skilled")
            drawn["eer"].append(metrics.eer(genuine, skilled))
            drawn["auc"].append(metrics.auc(genuine, skilled))
            drawn["fmr"].append(metrics.fmr(skilled, 1.0))
            drawn["fnmr"].append(metrics.fnmr(genuine, 1.0))
            llr = of_kind(copies, "genuine", "llr"), of_kind(copies, "skilled", "llr")
            drawn["cllr"].append(metrics.cllr(*llr))
            own = metrics.per_writer(table).set_index("writer")["eer"]
            drawn["eer_per_writer"].append(np.average(own[writers], weights=row))

        result = metrics.evaluate(table, 1.0, np.random.default_rng(7), resamples)

        for name, values in drawn.items():
            interval = result[name].get("skilled", result[name])
            expected = np.quantile(values, [0.025, 0.975])
            assert [interval["low"], interval["high"]] == pytest.approx(expected), name

    def test_small_blocks_give_the_same_intervals(self, monkeypatch):
        whole = metrics.evaluate(self.table, 1.0, np.random.default_rng(0), resamples=30)
        monkeypatch.setattr(metrics, "_BLOCK_ELEMENTS", 1)

        blocks = metrics.evaluate(self.table, 1.0, np.random.default_rng(0), resamples=30)

        pd.testing.assert_frame_equal(pd.json_normalize(blocks), pd.json_normalize(whole))

    @pytest.mark.parametrize("decimals", [0, 9])
    def test_memory_does_not_grow_with_the_resamples(self, decimals):
        # Given many pairs, with many ties and with none.
        table = score_table(10, genuine=1000, skilled=1000, random=1000).round({"score": decimals})

        tracemalloc.start()
        metrics.evaluate(table, 1.0, np.random.default_rng(0), resamples=300)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        # The rates of all resamples at once would be several arrays of 300 x 10,000 x 8 = 24 MB.
        assert peak < 30e6

    def test_intervals_hold_their_values_and_repeat_with_their_seed(self):
        first, again, other = (
            metrics.evaluate(self.table, 1.0, np.random.default_rng(seed), resamples=200)
            for seed in (3, 3, 4)
        )

        assert first == again
        assert first != other
        for name in ("eer_per_writer", "fnmr", "cllr"):
            assert first[name]["low"] < first[name]["value"] < first[name]["high"]
        for name in ("eer", "fmr", "auc"):
            for interval in first[name].values():
                assert interval["low"] < interval["value"] < interval["high"]

    def test_fewer_writers_widen_the_interval(self):
        def width(writers: int) -> float:
            interval = metrics.evaluate(score_table(writers), 1.0, np.random.default_rng(0), 200)
            return interval["eer"]["skilled"]["high"] - interval["eer"]["skilled"]["low"]

        assert width(5) > 1.5 * width(80)

    def test_intervals_cover_the_truth(self):
        # Given studies of 40 writers each, drawn from one population whose FNMR at 1 is known,
        # as its genuine scores have mean 2 and variance 1 + 0.7 ** 2 ...
        truth = norm.cdf(1, loc=2, scale=np.hypot(1, 0.7))
        covered = 0
        for seed in range(100):
            table = score_table(40, genuine=5, skilled=1, random=1, seed=seed)
            rates = metrics.rates_at(table, [1.0], np.random.default_rng(seed), 200).iloc[0]
            covered += rates["fnmr_low"] <= truth <= rates["fnmr_high"]

        # ... then about 95 of 100 intervals hold it.
        assert covered >= 88

    @pytest.mark.parametrize("writers", [3, 10])
    def test_intervals_cover_a_rare_error(self, writers):
        # Given studies of a few writers, most of which hold no error at a threshold with an FNMR
        # of half a per cent ...
        threshold = norm.ppf(0.005, loc=2, scale=np.hypot(1, 0.7))
        covered, errorless = 0, 0
        for seed in range(100):
            table = score_table(writers, genuine=5, skilled=1, random=1, seed=seed)
            rates = metrics.rates_at(table, [threshold], np.random.default_rng(seed), 50).iloc[0]
            covered += rates["fnmr_low"] <= 0.005 <= rates["fnmr_high"]
            errorless += rates["fnmr"] == 0

        # ... then the intervals hold it all the same.
        assert errorless > 50
        assert covered >= 93

    def test_where_no_error_was_seen_the_interval_is_that_of_independent_pairs(self):
        # Given two writers, of whom ten of twelve pairs and three of three count, all told apart.
        writers = ["a"] * 12 + ["b"] * 3
        table = pd.concat(
            pd.DataFrame({"writer": writers, "kind": kind, "score": score, "llr": score})
            for kind, score in (("genuine", 1.0), ("skilled", 0.0))
        )

        result = metrics.evaluate(table, 0.5, np.random.default_rng(0), 50)

        most = 1 - 0.025 ** (1 / 13)
        none = {"value": 0, "low": 0, "high": pytest.approx(most)}
        assert result["fnmr"] == result["fmr"]["skilled"] == result["eer"]["skilled"] == none
        assert result["eer_per_writer"] == none
        assert result["auc"]["skilled"] == {"value": 1, "low": pytest.approx(1 - most), "high": 1}

    def test_a_kind_that_is_absent_is_none(self):
        no_skilled = self.table[self.table["kind"] != "skilled"]
        result = metrics.evaluate(no_skilled, 1.0, np.random.default_rng(0), resamples=20)

        assert result["eer"]["skilled"] is result["fmr"]["skilled"] is None
        assert result["auc"]["skilled"] is result["eer_per_writer"] is result["cllr"] is None
        assert result["eer"]["random"]["value"] > 0

        only_genuine = self.table[self.table["kind"] == "genuine"]
        result = metrics.evaluate(only_genuine, 1.0, np.random.default_rng(0), resamples=20)
        assert result["eer"] == result["fmr"] == {"skilled": None, "random": None}
        assert result["fnmr"]["value"] > 0

    def test_writers_without_a_class_are_left_out_of_the_per_writer_mean_alone(self):
        table = self.table
        lacking = (table["writer"] == "3") & (table["kind"] == "genuine")
        lacking |= (table["writer"] == "5") & (table["kind"] == "skilled")
        table = table[~lacking]

        result = metrics.evaluate(table, 1.0, np.random.default_rng(0), resamples=50)

        own = metrics.per_writer(table).set_index("writer")["eer"]
        assert own[own.isna()].index.tolist() == ["3", "5"]
        assert result["eer_per_writer"]["value"] == pytest.approx(own.mean())
        expected = metrics.eer(of_kind(table, "genuine"), of_kind(table, "skilled"))
        assert result["eer"]["skilled"]["value"] == pytest.approx(expected)

    def test_resamples_without_genuine_pairs_are_left_out(self):
        # Given genuine pairs of one writer of two, a quarter of the resamples has none.
        table = score_table(2)
        table = table[(table["writer"] == "0") | (table["kind"] != "genuine")]

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = metrics.evaluate(table, 1.0, np.random.default_rng(0), resamples=50)

        for interval in (result["eer"]["skilled"], result["fnmr"], result["cllr"]):
            assert np.isfinite([interval["low"], interval["high"]]).all()

    def test_the_order_of_the_rows_does_not_matter(self):
        shuffled = self.table.sample(frac=1, random_state=0)

        result = metrics.evaluate(shuffled, 1.0, np.random.default_rng(0), resamples=30)

        expected = metrics.evaluate(self.table, 1.0, np.random.default_rng(0), resamples=30)
        pd.testing.assert_frame_equal(pd.json_normalize(result), pd.json_normalize(expected))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda table: table[table["kind"] != "genuine"], "no genuine pairs"),
            (lambda table: table[table["writer"] == "0"], "at least two writers"),
            (lambda table: table.replace("random", "traced"), "unknown kind .traced."),
            (lambda table: table.assign(score=np.nan), "not finite"),
            (lambda table: table.assign(llr=np.inf), "not finite"),
        ],
    )
    def test_unusable_tables_are_refused(self, change, message):
        with pytest.raises(DeepSignError, match=message):
            metrics.evaluate(change(self.table), 1.0, np.random.default_rng(0), resamples=5)


class TestBootstrapEer:
    def test_is_the_number_that_evaluate_reports(self):
        table = score_table()
        whole = metrics.evaluate(table, 1.0, np.random.default_rng(0), resamples=50)

        for kind in ("skilled", "random"):
            alone = metrics.bootstrap_eer(table, kind, np.random.default_rng(0), resamples=50)
            assert alone == whole["eer"][kind]

    def test_an_absent_kind_is_refused(self):
        table = score_table(random=0)

        with pytest.raises(DeepSignError, match="no random pairs"):
            metrics.bootstrap_eer(table, "random", np.random.default_rng(0), resamples=5)


class TestCurveBand:
    def test_the_curve_is_inside_its_band_and_falls(self):
        grid = np.geomspace(0.01, 1, 30)
        band = metrics.curve_band(score_table(), "skilled", grid, np.random.default_rng(0), 200)

        assert band.columns.tolist() == ["fmr", "fnmr", "low", "high"]
        assert (band["low"] <= band["fnmr"]).all()
        assert (band["fnmr"] <= band["high"]).all()
        assert (band[["fnmr", "low", "high"]].diff().dropna() <= 0).all(axis=None)

    def test_the_curve_passes_the_operating_points(self):
        table = score_table()
        curve = metrics.error_curve(of_kind(table, "genuine"), of_kind(table, "skilled"))
        best = pd.Series(curve.fnmr).groupby(curve.fmr).min()

        band = metrics.curve_band(table, "skilled", best.index, np.random.default_rng(0), 5)

        np.testing.assert_allclose(band["fnmr"], best, atol=1e-12)

    def test_an_absent_kind_is_refused(self):
        table = score_table(skilled=0)

        with pytest.raises(DeepSignError, match="no skilled pairs"):
            metrics.curve_band(table, "skilled", [0.1], np.random.default_rng(0), 5)


class TestRatesAt:
    def test_agrees_with_evaluate_at_each_threshold(self):
        table = score_table()
        rates = metrics.rates_at(table, [-1.0, 0.5, 2.0], np.random.default_rng(0), resamples=50)

        for row in rates.itertuples():
            whole = metrics.evaluate(table, row.threshold, np.random.default_rng(0), resamples=50)
            expected = whole["fnmr"], whole["fmr"]["skilled"], whole["fmr"]["random"]
            found = [
                (getattr(row, name), getattr(row, f"{name}_low"), getattr(row, f"{name}_high"))
                for name in ("fnmr", "fmr_skilled", "fmr_random")
            ]
            for one, other in zip(found, expected, strict=True):
                assert one == pytest.approx(tuple(other.values()))

    def test_a_kind_that_is_absent_has_no_columns(self):
        rates = metrics.rates_at(score_table(random=0), [0.0], np.random.default_rng(0), 5)

        assert not rates.columns.str.contains("random").any()


def test_per_writer_counts_and_rates():
    table = score_table(3, genuine=4, skilled=5, random=6)
    table = table[(table["writer"] != "1") | (table["kind"] != "skilled")]

    found = metrics.per_writer(table)

    assert found["writer"].tolist() == ["0", "1", "2"]
    assert found["genuine"].tolist() == [4, 4, 4]
    assert found["skilled"].tolist() == [5, 0, 5]
    assert found["random"].tolist() == [6, 6, 6]
    mine = table[table["writer"] == "2"]
    expected = metrics.eer(of_kind(mine, "genuine"), of_kind(mine, "skilled"))
    assert found["eer"][2] == expected
    assert np.isnan(found["eer"][1])
