"""Train on one dataset, test on another: every finished study's model on every study's test pairs.

A model is taken as it would be deployed: its own cleaning, its own threshold, fixed on validation
writers of its own data. The pairs are those that the other study tests on. Where two studies share
data but split it differently, the test writers whom the model met in training or validation, told
by the bytes of their files, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepsign_utils import DeepSignError, metrics, scoring
from deepsign_utils.preprocessing import clean_table
from deepsign_utils.study.artefacts import check_seal, read_artefact, write_artefact
from deepsign_utils.study.folders import ROOT, Study
from deepsign_utils.study.images import hash_of_images, images_are_newer
from deepsign_utils.study.steps import step
from deepsign_utils.verifying import verifier
from deepsign_utils.verifying.model_folder import MODEL_FILES

NAME = "matrix"
"""Name of the report's folder below ``reports``."""

_NEEDED = ("metrics", "signatures", "split")


def finished_studies() -> list[str]:
    """Names of the studies that have a model, test pairs and metrics, in order."""
    names = sorted(path.parent.name for path in (ROOT / "reports").glob("*/metrics.json"))
    return [name for name in names if not missing(name)]


def missing(name: str) -> list[str]:
    """What a study lacks to take part: paths, relative to the project; empty if it is finished."""
    study = Study(name)
    files = [getattr(study, attribute) for attribute in _NEEDED]
    files += [study.pairs("test"), study.used_parameters / "06_evaluation.json"]
    files += [study.model / part for part in MODEL_FILES]
    return [str(file.relative_to(ROOT)) for file in files if not file.exists()]


def measure(names: Sequence[str]) -> dict[str, Any]:
    """Apply every study's model to every study's test pairs, one reference each.

    What was measured before is not measured again, as long as the model, the pairs and the images
    are the same.

    Parameters
    ----------
    names : sequence of str
        Names of finished studies, at least two.

    Returns
    -------
    dict
        ``{"studies": {name: {"dataset", "writers", "canvas", "images"}},
        "cells": {trained on: {tested on:
        {"eer": I, "fmr": I, "fnmr": I, "threshold": float, "writers": int, "pairs": {...}}}}}``
        with ``I = {"value", "low", "high"}``, the cell None where fewer than two writers are left:
        EER and FMR of skilled forgeries (random ones where a test has no skilled), FMR and FNMR
        at the threshold of the study that was trained on.

    Raises
    ------
    DeepSignError
        If there are fewer than two studies, one is not finished, or its images have changed or
        are gone.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        if lacking := missing(name):
            raise DeepSignError(
                f"The study '{name}' is not finished: {', '.join(lacking)} missing. Finish it "
                f"first (make report), or leave it out. Finished: {_some(finished_studies())}."
            )
    if len(names) < 2:
        raise DeepSignError(
            'A matrix needs at least two finished studies: make matrix STUDIES="a b". Finished: '
            f"{_some(finished_studies())}."
        )
    about = {name: _about(name) for name in names}
    cells = {
        trained: {tested: _cell(trained, tested, about[tested]) for tested in names}
        for trained in names
    }
    shown = {
        name: {k: of[k] for k in ("dataset", "writers", "canvas", "images")}
        for name, of in about.items()
    }
    return {"studies": shown, "cells": cells}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _about(name: str) -> dict[str, Any]:
    """What the matrix needs to know of a study."""
    study = Study(name)
    used = read_artefact(study.used_parameters / "06_evaluation.json")
    check_seal(study.model, MODEL_FILES)
    cleaning = read_artefact(study.model / "preprocessing.json")
    split = read_artefact(study.split)
    at_home = Study(name, used["dataset"], used["data_root"], used["seed"])
    if images_are_newer(at_home):
        raise DeepSignError(
            f"The report of the study '{name}' was finished with other images than it has now: "
            f"those in {at_home.data_root} changed, or a report of others was begun. Make it "
            "again, or leave the study out."
        )
    return {
        "images": hash_of_images(read_artefact(study.signatures)),
        "dataset": used["dataset"],
        "writers": int((split["split"] == "test").sum()),
        "canvas": f"{cleaning['canvas_height']} x {cleaning['canvas_width']}, {cleaning['fit']}",
        "study": at_home,
        "bootstrap": used["bootstrap"],
    }


def writers_met(trained: Study, tested: Study) -> set[str]:
    """Writers of one study of whom another one trained or validated on the very same file."""
    learnt = read_artefact(trained.signatures).merge(read_artefact(trained.split), on="writer")
    files = set(learnt.loc[learnt["split"] != "test", "sha256"])
    asked = read_artefact(tested.signatures).merge(read_artefact(tested.split), on="writer")
    asked = asked[asked["split"] == "test"]
    return set(asked.loc[asked["sha256"].isin(files), "writer"])


def _cell(trained: str, tested: str, about: dict[str, Any]) -> dict[str, Any] | None:
    """Error rates of one model on one study's test pairs; None if no two writers are left."""
    model, study = Study(trained).model, about["study"]
    chosen = scoring.Scoring.from_dict(read_artefact(model / "scoring.json"))
    scores = _scores(model, study, study.built.parent / NAME / f"{trained}--{tested}.parquet")
    met = writers_met(Study(trained), study)
    scores = scores[~scores["writer"].isin(met)]
    if scores["writer"].nunique() < 2:
        return None
    rng, threshold = study.stream("bootstrap"), chosen.threshold("eer", 1)
    llr = chosen.llr(scores["score"].to_numpy(), 1)
    rates = metrics.evaluate(scores.assign(llr=llr), threshold, rng, about["bootstrap"])
    opponent = metrics.opponent(rates["eer"])
    counts = scores["kind"].value_counts()
    return {
        "eer": rates["eer"][opponent],
        "fmr": rates["fmr"][opponent],
        "fnmr": rates["fnmr"],
        "threshold": float(threshold),
        "writers": int(scores["writer"].nunique()),
        "pairs": {kind: int(counts.get(kind, 0)) for kind in metrics.KINDS},
    }


def _scores(model: Path, study: Study, file: Path) -> pd.DataFrame:
    """Score table of a model on a study's test pairs, kept in ``file``."""
    made_by = [model / part for part in ("encoder.keras", "preprocessing.json")]
    with step(
        [file],
        inputs=[*made_by, study.signatures, study.pairs("test")],
        code=[verifier],
    ) as needed:
        if needed:
            pairs = read_artefact(study.pairs("test"))
            path_of = read_artefact(study.signatures).set_index("signature_id")["path"]
            ids = np.union1d(pairs["left"], pairs["right"])
            if not study.data_root.is_dir():
                raise DeepSignError(
                    f"The images of the study '{study.name}' are no longer in {study.data_root}: "
                    "put them back, or leave the study out."
                )
            judge = verifier.Verifier.load(model)
            # As chapters 3 and 6 do: what `verify` would refuse to judge is scored too.
            signatures = pd.DataFrame({"path": path_of[ids]})
            _, canvases, problems = clean_table(study.data_root, signatures, judge.preprocessing)
            if problems:
                raise DeepSignError(
                    f"The study '{study.name}' used images that cannot be used any more: "
                    f"{next(iter(problems.values()))} Run the study again."
                )
            embeddings = judge.embed(np.stack(canvases))
            write_artefact(file, scoring.pair_scores(embeddings, ids, pairs))
    return read_artefact(file)
