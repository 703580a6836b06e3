"""Enrolment on people's own signatures: their own, a stranger's and a forger's among them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepsign_utils.scoring import Scoring, score_against
from deepsign_utils.verifying import calibration, enrolment
from deepsign_utils.verifying.calibration import People
from deepsign_utils.verifying.verifier import Verifier

DRAWS = 10  # of each writer's references
COUNTS = (2, 5, 10)


def remarked(people: People, rows: np.ndarray, scoring: Scoring) -> bool:
    names = [str(row) for row in rows]
    return bool(enrolment.unlike(names, people.embeddings[rows], scoring))


def passed(people: People, rows: np.ndarray, forged: np.ndarray, scoring: Scoring) -> int:
    """How many of the forgeries are accepted at the threshold 'eer'."""
    against = np.tile(rows, (len(forged), 1))
    score = score_against(people.embeddings, against, forged, scoring.population)[1]
    return int((score >= scoring.threshold("eer", len(rows))).sum())


def enrol(people: People, scoring: Scoring, rng: np.random.Generator) -> pd.DataFrame:
    """What is remarked on, a row an enrolment, and what of it lets forgeries pass."""
    kind = people.signatures.groupby(["writer", "kind"], sort=False).indices
    writers = [writer for writer, of in kind if of == "genuine"]
    rows = []
    for writer in writers:
        own, forged = kind[writer, "genuine"], kind.get((writer, "forgery"), np.array([], int))
        for k in (count for count in COUNTS if count < len(own)):
            for _ in range(DRAWS):
                right = rng.choice(own, k, replace=False)
                other = writers[rng.choice([n for n, one in enumerate(writers) if one != writer])]
                stranger = np.append(right[1:], rng.choice(kind[other, "genuine"]))
                told = {"right": remarked(people, right, scoring)}
                told["stranger"] = remarked(people, stranger, scoring)
                if len(forged):
                    forgery = np.append(right[1:], rng.choice(forged))
                    told["forgery"] = remarked(people, forgery, scoring)
                row = {"k": k, "writer": writer, **told, "forged": len(forged)}
                if k == 2:
                    row["passed_alone"] = passed(people, right[1:], forged, scoring)
                    row["passed_mixed"] = passed(people, stranger, forged, scoring)
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_strangers_among_references_are_told(real_data: Path) -> None:
    verifier, rng = Verifier.load(), np.random.default_rng(0)
    for root in sorted(path for path in real_data.iterdir() if path.is_dir()):
        people = calibration.read_people(verifier, root.name, root)
        table = enrol(people, verifier.scoring, rng)
        for k, of in table.groupby("k"):
            share = of[["right", "stranger", "forgery"]].mean()
            print(f"{root.name}, {k} references: told of", share.round(3).to_dict())
            assert share["right"] < 0.05
            assert share["stranger"] > 0.9
        two = table[table["k"] == 2]
        unsaid = two[~two["stranger"].astype(bool)]
        alone, passed_unsaid = two["passed_alone"].sum(), unsaid["passed_mixed"].sum()
        print(
            f"    of forgeries {alone / two['forged'].sum():.3f} pass the one right reference, "
            f"{passed_unsaid / two['forged'].sum():.3f} the two of which nothing is said"
        )
        assert passed_unsaid < 0.25 * alone
