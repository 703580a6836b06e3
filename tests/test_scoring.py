"""Embeddings to scores, calibration, and what a model folder says of its scores."""

import json
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from deepsign_utils import DeepSignError, metrics, scoring
from deepsign_utils.scoring import Calibration, Population, Rule, Scoring

POPULATION = Population(mean=0.6, writer=0.01, signature=0.002, pair=0.003)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def signatures(writers: int = 12, genuine: int = 12, forged: int = 8, seed: int = 0):
    """Embeddings around a centre per writer, forgeries further from it; and their table."""
    rng = np.random.default_rng(seed)
    writer = np.repeat(np.arange(writers), genuine + forged)
    is_genuine = np.tile(np.repeat([True, False], [genuine, forged]), writers)
    centre = rng.normal(size=(writers, 16))
    spread = np.where(is_genuine, 0.8, 1.4)[:, None]
    embeddings = unit(centre[writer] + spread * rng.normal(size=(len(writer), 16)))
    ids = 1000 + rng.permutation(len(writer)).astype(np.int32)
    return embeddings, ids, pd.DataFrame({"id": ids, "writer": writer, "genuine": is_genuine})


def trial_table(table: pd.DataFrame, k: int, draws: int = 3, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for writer, mine in table.groupby("writer"):
        for draw in range(draws):
            genuine = rng.permutation(mine["id"][mine["genuine"]])
            others = rng.choice(table["id"][table["genuine"] & (table["writer"] != writer)], 5)
            questioned = {"genuine": genuine[k:], "skilled": mine["id"][~mine["genuine"]]}
            for kind, ids in {**questioned, "random": others}.items():
                rows += [(str(writer), draw, genuine[:k], one, kind) for one in ids]
    columns = ["writer", "draw", "references", "questioned", "kind"]
    return pd.DataFrame(rows, columns=columns).assign(count=k)


class TestDistances:
    def test_by_hand(self):
        embeddings = np.eye(3, dtype=np.float32)
        embeddings[2] = -embeddings[0]

        found = scoring.distances(embeddings, np.array([0, 0, 0]), np.array([0, 1, 2]))

        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [0, np.sqrt(2), 2], rtol=1e-7)

    def test_agrees_with_the_cosine(self):
        embeddings, _, _ = signatures()
        left, right = np.random.default_rng(0).integers(0, len(embeddings), (2, 500))

        cosine = (embeddings @ embeddings.T)[left, right].astype(np.float64)

        expected = np.sqrt(np.maximum(2 - 2 * cosine, 0))
        np.testing.assert_allclose(scoring.distances(embeddings, left, right), expected, atol=1e-3)

    def test_nearly_the_same_embeddings_keep_their_digits(self):
        angle = 1e-5
        embeddings = np.array([[1, 0], [np.cos(angle), np.sin(angle)]], dtype=np.float32)

        found = scoring.distances(embeddings, np.array([0]), np.array([1]))

        assert found[0] == pytest.approx(angle, rel=1e-4)

    def test_memory_does_not_grow_with_the_pairs(self):
        embeddings = unit(np.random.default_rng(0).normal(size=(50, 128)))
        left, right = np.random.default_rng(1).integers(0, 50, (2, 500_000))

        tracemalloc.start()
        scoring.distances(embeddings, left, right)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        # All the pairs' embeddings at once would be 3 x 256 MB.
        assert peak < 80e6

    def test_no_pairs(self):
        nothing = np.array([], dtype=int)

        assert scoring.distances(np.eye(2, dtype=np.float32), nothing, nothing).shape == (0,)


class TestPopulation:
    def test_recovers_the_parts_that_cosines_were_made_of(self):
        # Given unit vectors whose inner products scatter by writer and by signature.
        rng = np.random.default_rng(0)
        rows, writers = [], []
        for writer in range(300):
            own = rng.uniform(0.6, 0.9)
            centre = unit(rng.normal(size=(1, 400)))[0]
            for _ in range(8):
                near = np.clip(own + rng.normal(0, 0.05), 0, 0.99)
                away = rng.normal(size=400)
                away -= (away @ centre) * centre
                rows.append(near * centre + np.sqrt(1 - near**2) * away / np.linalg.norm(away))
                writers.append(writer)

        found = Population.of(np.array(rows), np.array(writers))

        assert found.mean == pytest.approx(0.57, abs=0.02)  # the mean of a uniform square
        assert found.writer == pytest.approx(np.var(rng.uniform(0.6, 0.9, 10**5) ** 2), rel=0.1)
        assert found.signature == pytest.approx(0.75**2 * 0.05**2, rel=0.25)
        assert found.pair == pytest.approx(1 / 400 * (1 - 0.57) ** 2, rel=0.35)

    def test_the_share_is_nothing_with_one_reference_and_grows_from_there(self):
        shares = [POPULATION.share(k) for k in range(1, 51)]

        assert shares[0] == 0
        assert (np.diff(shares) > 0).all()
        assert shares[-1] < scoring.SHARE

    def test_references_that_differ_more_than_a_writer_varies_excuse_no_more(self):
        # Given a deviation of the mean cosine of two references of sqrt(0.01 + 0.004 + 0.003)
        two = POPULATION.deviation(np.array([0.9, 0.6, 0.5, 0.0]), 2)
        many = POPULATION.deviation(np.array([0.4, 0.0]), 1000)

        np.testing.assert_allclose(two, [0.3, 0, -0.1, -2 * np.sqrt(0.017)])
        np.testing.assert_allclose(many, [-0.2, -3 * 0.1], atol=1e-3)

    def test_writers_who_all_vary_alike_have_no_deviation_to_leave_out(self):
        alike = Population(mean=0.6, writer=0.0, signature=0.0, pair=0.01)

        assert alike.share(10) == 0

    def test_needs_two_writers_with_two_signatures(self):
        with pytest.raises(DeepSignError, match="at least two writers with two"):
            Population.of(np.eye(3), np.array(["a", "a", "b"]))


class TestScoreAgainst:
    @given(k=st.integers(1, 12), seed=st.integers(0, 1000))
    @settings(max_examples=20, deadline=None)
    def test_is_the_mean_cosine_less_a_share_of_the_references_deviation(self, k, seed):
        rng = np.random.default_rng(seed)
        embeddings = unit(rng.normal(size=(k + 1, 8)) + 1)
        cosines = (embeddings @ embeddings.T).astype(np.float64)
        among = cosines[:k, :k][np.triu_indices(k, 1)]
        expected = cosines[k, :k].mean()
        if k > 1:
            expected -= POPULATION.share(k) * POPULATION.deviation(among.mean(), k)

        order = rng.permutation(k)[None]
        distance, score = scoring.score_against(embeddings, order, np.array([k]), POPULATION)

        assert (distance.dtype, score.dtype) == (np.float32, np.float32)
        assert distance[0] == pytest.approx(np.sqrt(2 - 2 * cosines[k, order[0]]), abs=1e-3)
        assert score[0] == pytest.approx(expected, abs=1e-5)

    def test_a_copy_of_each_reference_scores_best(self):
        embeddings = unit(np.vstack([np.ones((3, 4)), np.ones(4), np.arange(4)]))

        _, score = scoring.score_against(
            embeddings, np.array([[0, 1, 2], [0, 1, 2]]), np.array([3, 4]), POPULATION
        )

        assert score[1] < score[0]


class TestStyle:
    """Scores of dense writing are drawn apart, those of sparse writing together."""

    STYLE = scoring.Style((1.0, 0.0), centre=0.0, spread=0.5, depth=0.1)

    def test_by_hand(self):
        # Given a fixed point of 0.5, and writing by one denser and by two sparser than the centre
        score = np.array([0.7, 0.5, 0.3, 0.7])
        dense = np.array([1.0, 1.0, 1.0, -2.0])

        found = self.STYLE.drawn_apart(score, dense, mean=0.6)

        np.testing.assert_allclose(found, [0.8, 0.5, 0.2, 0.6])  # at least half is left

    def test_is_that_of_references_and_questioned_alike(self):
        embeddings = unit(np.array([[1.0, 1.0], [1.0, 0.2], [1.0, -0.5]]))
        styled = replace(POPULATION, style=self.STYLE)
        rows = np.array([[0, 1]]), np.array([2])

        _, plain = scoring.score_against(embeddings, *rows, POPULATION)
        _, found = scoring.score_against(embeddings, *rows, styled)

        dense = (embeddings[:2, 0].mean() + embeddings[2, 0]) / 2
        assert found[0] == pytest.approx(0.5 + (plain[0] - 0.5) * (1 + 0.5 * dense), abs=1e-6)

    def test_is_learnt_where_dense_writing_tells_more(self):
        # Given sets whose scores lie apart in the measure of how dense the writing is
        rng = np.random.default_rng(0)
        embeddings, densities, scored = [], [], []
        for _ in range(2):
            of = unit(rng.normal(size=(600, 8)))
            dense = of[:, 0].astype(np.float64)
            rows = rng.integers(0, 600, (4000, 3))
            genuine = rng.random(4000) < 0.5
            both = (dense[rows[:, :2]].mean(axis=1) + dense[rows[:, 2]]) / 2
            apart = np.where(genuine, 0.05, -0.15) + rng.normal(0, 0.05, 4000)
            scored.append((0.55 + (apart + 0.05) / (1 + 0.6 * both), rows, genuine))
            embeddings.append(of)
            densities.append(np.exp(dense))

        found = scoring.fit_style(embeddings, densities, scored, POPULATION)

        assert np.argmax(found.direction) == 0
        assert found.denseness(np.eye(8))[0] == pytest.approx(1 - found.centre, abs=0.05)
        assert found.spread == pytest.approx(0.6, abs=0.15)
        assert found.depth == pytest.approx(0.05, abs=0.03)

    def test_is_none_where_density_tells_nothing(self):
        rng = np.random.default_rng(0)
        of, rows = unit(rng.normal(size=(300, 8))), rng.integers(0, 300, (3000, 2))
        genuine = rng.random(3000) < 0.5
        score = np.where(genuine, 0.6, 0.5) + rng.normal(0, 0.05, 3000)
        density = np.exp(of[:, 0].astype(np.float64))

        found = scoring.fit_style([of], [density], [(score, rows, genuine)], POPULATION)

        assert found.spread < 0.1

    def test_is_kept_with_the_model(self, fitted):
        styled = replace(fitted, population=replace(POPULATION, style=self.STYLE))

        again = Scoring.from_dict(json.loads(json.dumps(styled.to_dict())))

        assert again.population == styled.population


class TestScoreTables:
    embeddings, ids, table = signatures()

    def test_pair_scores_find_embeddings_by_id(self):
        pairs = pd.DataFrame(
            {"left": self.ids[[3, 5]], "right": self.ids[[7, 5]], "kind": "genuine", "writer": "0"},
            index=[10, 11],
        )

        found = scoring.pair_scores(self.embeddings, self.ids, pairs)

        assert found.columns.tolist() == [*pairs.columns, "distance", "score"]
        assert found.index.tolist() == [10, 11]
        assert (found["distance"].dtype, found["score"].dtype) == ("float32", "float32")
        expected = np.linalg.norm(self.embeddings[3] - self.embeddings[7])
        assert found["distance"].tolist() == pytest.approx([expected, 0])
        assert found["score"].to_numpy() == pytest.approx(1 - found["distance"] ** 2 / 2)

    def test_one_reference_scores_as_a_pair_does(self):
        trials = trial_table(self.table, k=1)
        pairs = trials.assign(left=trials["references"].str[0], right=trials["questioned"])

        one = scoring.trial_scores(self.embeddings, self.ids, trials, POPULATION)
        other = scoring.pair_scores(self.embeddings, self.ids, pairs)

        pd.testing.assert_series_equal(one["score"], other["score"])
        pd.testing.assert_series_equal(one["distance"], other["distance"])

    def test_trials_read_from_a_file_score_the_same(self, tmp_path):
        trials = trial_table(self.table, k=5)
        trials.to_parquet(tmp_path / "trials.parquet")

        one = scoring.trial_scores(self.embeddings, self.ids, trials, POPULATION)
        read = pd.read_parquet(tmp_path / "trials.parquet")
        other = scoring.trial_scores(self.embeddings, self.ids, read, POPULATION)

        np.testing.assert_array_equal(one["score"], other["score"])
        assert one["score"].dtype == np.float32

    def test_pairs_and_trials_are_scored_together(self):
        trials = {k: trial_table(self.table, k) for k in (5, 3)}
        pairs = pd.DataFrame({"left": self.ids[:4], "right": self.ids[4:8]})

        both = pd.concat(trials.values(), ignore_index=True)
        found = scoring.score_tables(self.embeddings, self.ids, pairs, both, POPULATION)

        assert list(found) == [1, 3, 5]
        expected = scoring.pair_scores(self.embeddings, self.ids, pairs)
        pd.testing.assert_frame_equal(found[1], expected)
        expected = scoring.trial_scores(self.embeddings, self.ids, trials[5], POPULATION)
        pd.testing.assert_frame_equal(found[5].reset_index(drop=True), expected)

    def test_a_signature_without_an_embedding_is_named(self):
        pairs = pd.DataFrame({"left": [self.ids[0]], "right": [5]})

        with pytest.raises(DeepSignError, match=r"1 signatures have no embedding \(first: 5\)"):
            scoring.pair_scores(self.embeddings, self.ids, pairs)

    def test_trials_with_different_numbers_of_references_are_refused(self):
        trials = pd.concat([trial_table(self.table, k=1), trial_table(self.table, k=5)])

        with pytest.raises(DeepSignError, match="same number of references"):
            scoring.trial_scores(self.embeddings, self.ids, trials, POPULATION)


class TestCalibrate:
    def test_recovers_a_known_likelihood_ratio(self):
        # Given normal scores of equal variance, the LLR is a line: here 4 (score - 1) / 1.
        rng = np.random.default_rng(0)
        genuine, forged = rng.normal(3, 1, 200_000), rng.normal(-1, 1, 50_000)

        found = scoring.calibrate([genuine], [forged], (len(genuine), len(forged)))

        assert found.scale == pytest.approx(4, rel=0.03)
        assert -found.offset / found.scale == pytest.approx(1, abs=0.03)

    def test_minimises_cllr(self):
        rng = np.random.default_rng(1)
        genuine, forged = rng.normal(1, 2, 300), rng.normal(0, 1, 900)
        best = scoring.calibrate([genuine], [forged], (len(genuine), len(forged)))

        def cost(scale: float, offset: float) -> float:
            line = Calibration(scale, offset)
            return metrics.cllr(line.llr(genuine), line.llr(forged))

        lowest = cost(best.scale, best.offset)  # uncut
        for scale, offset in ((1.05, 0), (0.95, 0), (1, 0.05), (1, -0.05)):
            assert cost(best.scale * scale, best.offset + offset) > lowest

    def test_the_ridge_does_not_matter_where_the_classes_overlap(self):
        rng = np.random.default_rng(2)
        genuine, forged = rng.normal(1.5, 1, 50), rng.normal(0, 1, 50)
        free = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
        free.fit(np.concatenate([genuine, forged])[:, None], np.repeat([1, 0], 50))

        found = scoring.calibrate([genuine], [forged], (len(genuine), len(forged)))

        assert found.scale == pytest.approx(free.coef_[0, 0], rel=2e-3)

    @pytest.mark.parametrize("gap", [1e-6, 0.1, 10])
    def test_perfect_separation_stays_finite(self, gap):
        genuine, forged = 1 + gap + np.linspace(0, 1, 500), np.linspace(0, 1, 500)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = scoring.calibrate([genuine], [forged], (len(genuine), len(forged)))

        assert 0 < found.scale < 1e5
        llr = found.llr(np.concatenate([genuine, forged]))
        assert np.isfinite(llr).all()
        assert np.abs(llr).max() < 1e3

    @pytest.mark.parametrize(
        ("genuine", "forged"), [([0.0, 1.0], [2.0, 3.0]), ([1.0, 1.0], [1.0]), ([0, 2.0], [1.0])]
    )
    def test_scores_that_say_nothing_give_no_evidence(self, genuine, forged):
        assert scoring.calibrate([genuine], [forged], (len(genuine), len(forged))) == Calibration(
            0, 0, 0, 0
        )

    def test_scaling_the_scores_changes_nothing(self):
        rng = np.random.default_rng(3)
        genuine, forged = rng.normal(1, 1, 100), rng.normal(0, 1, 100)

        one = scoring.calibrate([genuine], [forged], (len(genuine), len(forged))).llr(genuine)
        other = scoring.calibrate([1e-4 * genuine - 7], [1e-4 * forged - 7], (100, 100)).llr(
            1e-4 * genuine - 7
        )

        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)

    def test_scores_that_are_not_finite_are_refused(self):
        with pytest.raises(DeepSignError, match="not finite"):
            scoring.calibrate([[np.nan]], [[1.0]], (1, 1))

    def test_sets_weigh_alike_whatever_their_size(self):
        rng = np.random.default_rng(4)
        small = rng.normal(2, 1, 300), rng.normal(0, 1, 300)
        large = rng.normal(4, 1, 30_000), rng.normal(2, 1, 30_000)

        found = scoring.calibrate(*zip(small, large, strict=True), (600, 600))

        assert -found.offset / found.scale == pytest.approx(2, abs=0.1)  # between 1 and 3

    def test_evidence_is_bounded_by_the_number_of_comparisons(self):
        rng = np.random.default_rng(5)
        few, many = (
            scoring.calibrate([rng.normal(4, 1, n)], [rng.normal(0, 1, n)], (n, n))
            for n in (50, 5000)
        )

        assert few.llr(100.0) == few.highest < np.log(50)
        assert few.llr(-100.0) == few.lowest > -np.log(50)
        assert few.highest < many.highest


@pytest.fixture(scope="module")
def validation() -> dict[int, pd.DataFrame]:
    embeddings, ids, table = signatures()
    return {
        k: scoring.trial_scores(embeddings, ids, trial_table(table, k), POPULATION) for k in (1, 5)
    }


@pytest.fixture(scope="module")
def fitted(validation) -> Scoring:
    measured_on = [{"dataset": "made up", "writers": 12}]
    return scoring.fit_scoring(
        {"made up": validation}, POPULATION, measured_on, np.random.default_rng(0), 100
    )


def classes(table: pd.DataFrame, kind: str = "skilled") -> tuple[np.ndarray, np.ndarray]:
    scores = table.set_index("kind")["score"]
    return scores["genuine"].to_numpy(), scores[kind].to_numpy()


class TestScoring:
    def test_thresholds_hold_on_the_scores_they_were_fixed_on(self, validation, fitted):
        for k, table in validation.items():
            genuine, forged = classes(table)
            assert fitted.threshold("eer", k) == metrics.eer_threshold(genuine, forged)
            for rate in (0.01, 0.05, 0.1, 0.3):
                threshold = fitted.threshold(f"fmr={rate}", k)
                assert metrics.fmr(forged, threshold) <= rate
                # The rates at which the curve is kept are met as nearly as the scores allow.
                curve = metrics.error_curve(genuine, forged)
                if rate < 0.3:
                    best = curve.threshold[curve.fmr <= rate][0]
                    assert threshold == pytest.approx(best, abs=1e-5)

    def test_expected_errors_are_those_measured(self, validation, fitted):
        genuine, forged = classes(validation[5])
        for name in ("eer", "fmr=0.05"):
            threshold = fitted.threshold(name, 5)
            expected = fitted.expected_errors(fitted.rule(name, 5), 5)

            assert expected["fnmr"]["value"] == pytest.approx(
                metrics.fnmr(genuine, threshold), abs=1e-6
            )
            assert expected["fmr"]["skilled"]["value"] == pytest.approx(
                metrics.fmr(forged, threshold), abs=1e-6
            )
            _, random = classes(validation[5], "random")
            assert expected["fmr"]["random"]["value"] == pytest.approx(
                metrics.fmr(random, threshold), abs=1e-6
            )
            for interval in (expected["fnmr"], *expected["fmr"].values()):
                assert interval["low"] <= interval["value"] <= interval["high"]

    def test_beyond_all_scores_everything_is_rejected_or_accepted(self, fitted):
        assert fitted.expected_errors(Rule(10.0, 10.0), 1)["fnmr"]["value"] == 1
        assert fitted.expected_errors(Rule(10.0, 10.0), 1)["fmr"]["skilled"]["value"] == 0
        assert fitted.expected_errors(Rule(-10.0, -10.0), 1)["fnmr"]["value"] == 0
        assert fitted.expected_errors(Rule(-10.0, -10.0), 1)["fmr"]["skilled"]["value"] == 1

    def test_the_curve_is_short_and_monotone(self, fitted):
        for operation in fitted.operations.values():
            assert 20 < len(operation.curve["threshold"]) <= 201
            assert (np.diff(operation.curve["threshold"]) > 0).all()
            assert (np.diff(operation.curve["fnmr"]) >= 0).all()
            assert (np.diff(operation.curve["fmr_skilled"]) <= 0).all()

    def test_a_long_curve_is_thinned_and_still_precise(self):
        rng = np.random.default_rng(0)
        writer = np.arange(20_000) % 10
        genuine = pd.DataFrame(
            {"writer": writer, "kind": "genuine", "score": rng.normal(2, 1, 20_000)}
        )
        skilled = pd.DataFrame(
            {"writer": writer, "kind": "skilled", "score": rng.normal(0, 1, 20_000)}
        )
        table = pd.concat([genuine, skilled])

        found = scoring.fit_scoring(
            {"one": {1: table}}, POPULATION, [{"writers": 10}], np.random.default_rng(0), 5
        )

        assert len(found.operations[1].curve["threshold"]) <= 201
        for threshold in np.linspace(-1, 3, 50):
            errors = found.expected_errors(Rule(threshold, threshold), 1)
            assert errors["fnmr"]["value"] == pytest.approx(
                metrics.fnmr(genuine["score"], threshold), rel=0.05, abs=1e-3
            )
            assert errors["fmr"]["skilled"]["value"] == pytest.approx(
                metrics.fmr(skilled["score"], threshold), rel=0.05, abs=1e-3
            )

    def test_llr_is_the_calibration_of_that_number_of_references(self, validation, fitted):
        genuine, forged = classes(validation[5])
        writers = validation[5].set_index("kind")["writer"]
        worth = metrics.worth(writers["genuine"]), metrics.worth(writers["skilled"])
        expected = scoring.calibrate([genuine], [forged], worth)

        assert fitted.llr(-0.5, 5) == pytest.approx(expected.llr(-0.5))
        np.testing.assert_allclose(fitted.llr(np.array([-0.5, 0]), 5)[0], fitted.llr(-0.5, 5))

    def test_an_unmeasured_number_of_references_counts_as_the_nearest_below(self, fitted):
        assert fitted.threshold("eer", 4) == fitted.threshold("eer", 1)
        assert fitted.threshold("eer", 8) == fitted.threshold("eer", 5)
        assert fitted.llr(0.5, 99) == fitted.llr(0.5, 5)
        with pytest.raises(DeepSignError, match="at least 1"):
            fitted.threshold("eer", 0)

    @pytest.mark.parametrize(
        "name",
        [
            "best",
            "fmr=",
            "fmr=low",
            "fmr=0",
            "fmr=2",
            "fmr=nan",
            "fmr=0.1,best=2",
            "fmr=0.1,fmr=0.2",
            0.5,
        ],
    )
    def test_an_unknown_threshold_is_refused(self, fitted, name):
        with pytest.raises(DeepSignError, match=f"no threshold '{name}'"):
            fitted.threshold(name, 1)

    def test_a_rate_finer_than_the_forgeries_can_tell_is_refused(self, fitted):
        # 12 writers x 3 draws x 8 forgeries = 288 forged trials.
        with pytest.raises(DeepSignError, match=r"with 1 reference: ask for fmr=0\.0035 or"):
            fitted.threshold("fmr=0.001", 1)

    def test_survives_a_json_file(self, fitted, tmp_path):
        path = tmp_path / "scoring.json"
        path.write_text(json.dumps(fitted.to_dict(), allow_nan=False))

        read = Scoring.from_dict(json.loads(path.read_text()))

        assert read.to_dict() == fitted.to_dict()
        assert read.measured_on == [{"dataset": "made up", "writers": 12}]
        assert read.operations[5].pairs == {"genuine": 252, "skilled": 288, "random": 180}
        for name in ("eer", "fmr=0.05"):
            assert read.threshold(name, 5) == fitted.threshold(name, 5)
        assert read.expected_errors(Rule(0.5, 0.6), 1) == fitted.expected_errors(Rule(0.5, 0.6), 1)

    def test_repeats_with_its_seed(self, validation, fitted):
        again = scoring.fit_scoring(
            {"made up": validation}, POPULATION, fitted.measured_on, np.random.default_rng(0), 100
        )

        assert again.to_dict() == fitted.to_dict()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda values: values.pop("population"),
            lambda values: values.update(references=None),
            lambda values: values["references"].update(many={}),
            lambda values: values["references"]["1"]["calibrations"]["skilled"].update(bend=1),
            lambda values: values["references"]["1"]["curve"].pop("fmr_skilled"),
            lambda values: values["references"]["1"]["curve"]["fnmr"].pop(),
        ],
    )
    def test_damaged_content_is_refused(self, fitted, damage):
        values = json.loads(json.dumps(fitted.to_dict()))
        damage(values)

        with pytest.raises(DeepSignError, match="damaged or of another version"):
            Scoring.from_dict(values)

    def test_one_rule_accepts_rejects_and_refers(self, validation, fitted):
        rule = fitted.rule("fmr=0.02,fnmr=0.02", 1)

        assert rule.reject_below < rule.accept_from
        for (genuine, forged), table in [(classes(validation[1]), validation[1])]:
            assert (rule.decide(genuine) == "rejected").mean() <= 0.02
            assert (rule.decide(forged) == "accepted").mean() <= 0.02
            assert set(rule.decide(table["score"])) == {"accepted", "referred", "rejected"}
            covered = scoring.coverage({1: table}, fitted)["1"]["0.02"]
            assert covered["decided"]["genuine"] == (rule.decide(genuine) != "referred").mean()
            assert covered["fnmr"] <= 0.02
            referred = fitted.expected_referrals(rule, 1)
            for kind, scores in (("genuine", genuine), ("skilled", forged)):
                share = (rule.decide(scores) == "referred").mean()
                assert referred[kind] == pytest.approx(share, abs=0.02)
                assert referred[kind] > 0.02

    def test_where_one_threshold_keeps_both_promises_nothing_is_referred(self, fitted):
        rule = fitted.rule("fmr=0.5,fnmr=0.5", 5)

        assert rule.reject_below == rule.accept_from
        assert fitted.expected_referrals(rule, 5) == {}

    def test_fnmr_names_the_highest_threshold_that_refuses_so_few(self, validation, fitted):
        genuine, _ = classes(validation[5])
        threshold = fitted.threshold("fnmr=0.1", 5)

        assert metrics.fnmr(genuine, threshold) <= 0.1
        assert metrics.fnmr(genuine, threshold + 0.05) > 0.1

    def test_a_rate_too_low_is_answered_by_the_least_as_one_types_it(self, fitted):
        least = metrics.typed_rate(fitted.least_rate("fnmr", 1))
        answer = rf"fnmr=0\.000001 can't be told .* ask for fnmr={least} or more"

        with pytest.raises(DeepSignError, match=answer):
            fitted.rule("fnmr=0.000001", 1)
        fitted.rule(f"fnmr={least}", 1)

    def test_more_references_accept_no_more_forgeries_at_the_same_name(self, validation):
        # Given references that only confuse: with five the forgeries score higher than with one.
        worse = validation[1].copy()
        forged = worse["kind"] == "skilled"
        worse.loc[forged, "score"] += 0.2
        tables = {"made up": {1: validation[1], 2: worse}}

        found = scoring.fit_scoring(
            tables, POPULATION, [{"writers": 12}], np.random.default_rng(0), 20
        )

        accepted = [
            metrics.fmr(classes(table)[1], found.threshold("eer", k))
            for k, table in tables["made up"].items()
        ]
        assert accepted[1] <= accepted[0]

    def test_of_several_sets_each_weighs_alike_and_is_told(self, validation):
        shifted = {k: t.assign(score=t["score"] + 0.1) for k, t in validation.items()}
        many = {k: pd.concat([t, t, t]) for k, t in shifted.items()}
        described = [{"dataset": name, "writers": 12} for name in ("one", "two")]
        one, two, both = (
            scoring.fit_scoring(sets, POPULATION, described, np.random.default_rng(0), 20)
            for sets in ({"a": validation}, {"b": many}, {"a": validation, "b": many})
        )
        between = both.threshold("eer", 1)
        assert one.threshold("eer", 1) < between < two.threshold("eer", 1)
        rule = both.rule("eer", 1)
        by_set, together = both.errors_by_set(rule, 1), both.expected_errors(rule, 1)
        values = [by_set[name]["fnmr"] for name in "ab"]
        assert together["fnmr"]["value"] == pytest.approx(np.mean(values), abs=1e-5)
        assert together["fnmr"]["low"] <= min(values) < max(values) <= together["fnmr"]["high"]
        assert by_set["a"]["fnmr"] == pytest.approx(
            metrics.fnmr(classes(validation[1])[0], between), abs=1e-5
        )

    def test_people_without_forgeries_get_their_own_threshold(self, validation, fitted):
        # Given people whose every score is higher by 0.1, and of whom there are no forgeries.
        known = {
            k: t[t["kind"] != "skilled"].assign(score=lambda t: t["score"] + 0.1)
            for k, t in validation.items()
        }

        found = scoring.fit_to_people(
            fitted, known, POPULATION, {"writers": 12}, np.random.default_rng(0), 50
        )

        for k in known:
            moved = found.threshold("eer", k) - fitted.threshold("eer", k)
            assert moved == pytest.approx(0.1, abs=0.02)
            errors = found.expected_errors(found.rule("eer", k), k)
            genuine, strangers = classes(known[k], "random")
            assert errors["fnmr"]["value"] == pytest.approx(
                metrics.fnmr(genuine, found.threshold("eer", k)), abs=0.01
            )
            assert errors["fmr"]["random"]["value"] == pytest.approx(
                metrics.fmr(strangers, found.threshold("eer", k)), abs=0.01
            )
            was = fitted.expected_errors(fitted.rule("eer", k), k)["fmr"]["skilled"]["value"]
            assert errors["fmr"]["skilled"]["value"] == pytest.approx(was, abs=0.03)

    def test_without_skilled_forgeries_random_ones_stand_in(self, validation):
        scores = {k: table[table["kind"] != "skilled"] for k, table in validation.items()}

        found = scoring.fit_scoring(
            {"one": scores}, POPULATION, [{"writers": 12}], np.random.default_rng(0), 20
        )

        assert found.opponent == "random"
        expected = metrics.eer_threshold(*classes(validation[1], "random"))
        assert found.threshold("eer", 1) == expected
        assert found.expected_errors(found.rule("eer", 1), 1)["fmr"]["skilled"] is None
        assert json.dumps(found.to_dict(), allow_nan=False)

    def test_without_any_forgeries_nothing_can_be_fixed(self, validation):
        scores = {1: validation[1][validation[1]["kind"] == "genuine"]}

        with pytest.raises(DeepSignError, match="no forged pairs"):
            scoring.fit_scoring(
                {"one": scores}, POPULATION, [{"writers": 12}], np.random.default_rng(0), 20
            )
