"""A trained model on somebody's dataset: its error rates there, at its own thresholds.

Every writer of the dataset is a test writer: the model must not have been trained on any of them.
Nothing is chosen here; thresholds and calibration are those of the model folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepsign_utils import DeepSignError, metrics, pairing, scoring
from deepsign_utils.datasets import PROBLEMS, check_usable, find_layout, read_dataset
from deepsign_utils.preprocessing import Cleaned, Preprocessing, clean_files
from deepsign_utils.scoring import Scoring
from deepsign_utils.study import hash_of_images
from deepsign_utils.verifying.comparison import no_verdict
from deepsign_utils.verifying.embedded import Embedded, embed_dataset
from deepsign_utils.verifying.verifier import Verifier

HOG_CANVAS = Preprocessing(128, 256, "fill")


def evaluate(
    verifier: Verifier,
    folder: str | Path,
    rng: np.random.Generator,
    layout: str = "auto",
    baselines: bool = False,
    references: Sequence[int] = (1, 2, 3, 5, 10),
    resamples: int = 1000,
) -> dict[str, Any]:
    """Error rates of a model on all writers of a dataset, with 95 % intervals.

    Pairs and trials are those of a study's test writers: all genuine and skilled pairs, as many
    random as genuine ones, ten draws of k references for every k that is asked for.
    Left out are images that the verifier refuses to judge, and copies of an earlier one, byte for
    byte or scanned or saved again.

    Parameters
    ----------
    verifier : Verifier
        Not trained on any of these writers.
    folder : path
        The dataset.
    rng : numpy.random.Generator
        Draws random pairs, references and the bootstrap.
    layout : str
        As in `datasets.read_dataset`.
    baselines : bool
        Whether to measure, on the same pairs, what needs no training, and what remains when every
        stroke is redrawn by one pen: how much of an error the pen's width explains.
    references : sequence of int
        Numbers of references to measure with, as far as the writers' signatures go.
    resamples : int
        Of the bootstrap over writers.

    Returns
    -------
    dict
        ``writers``; ``failure_to_acquire``, the share of the images opened that the verifier
        refuses to judge (copies apart), and ``failure_to_enrol``, the share of the writers none of
        whose genuine images it judges (ISO/IEC 19795-1); ``referred``, the share of the images used
        with which every comparison goes to a person, and is counted here by its score all the same;
        ``fitted_here``, whether the model's thresholds come from these very images;
        ``threads`` that embedded; ``found``, how many files:
        ``images``, which were used, and ``left_out``, path -> reason; ``remarks`` on writers with
        few signatures or like names; ``threshold`` by number of references; ``references`` (as
        `metrics.evaluate`, by number of references as text); ``coverage`` (`scoring.coverage`) and,
        if asked for, ``baselines`` (EER: name -> {"skilled": rate, "random": rate}). Of too few
        images there are no rates: ``too_few`` says how many would do.

    Raises
    ------
    DeepSignError
        If the folder holds no dataset, or fewer than two writers with two genuine signatures and a
        forgery.
    """
    signatures, unread = read_dataset(folder, layout)
    check_usable(signatures, left_out=unread)
    acquired = embed_dataset(verifier, folder, signatures)
    files = find_layout(folder, layout).files
    presented = {file.writer for file in files if file.kind == "genuine"}
    results = _account(acquired, unread, presented)
    results["found"] = len(signatures) + len(unread)
    signatures, embeddings = acquired.signatures, acquired.embeddings
    results["fitted_here"] = hash_of_images(signatures)["sha256"] in [
        one.get("sha256") for one in verifier.scoring.measured_on
    ]
    results["threads"] = verifier.threads
    if few := metrics.too_few(signatures["kind"] == "forgery", signatures["writer"]):
        return results | {"too_few": few, "threshold": {}, "references": {}, "coverage": {}}
    pairs = pairing.draw_pairs(signatures, rng)
    trials = pairing.draw_trials(signatures, list(references), rng)
    ids = signatures["signature_id"].to_numpy()
    tables = scoring.score_tables(embeddings, ids, pairs, trials, verifier.scoring.population)
    results |= _rates(tables, verifier.scoring, rng, resamples)
    if baselines:
        rows = _baselines(verifier, folder, signatures["path"].tolist())
        results["baselines"] = {
            name: _equal_errors(embeddings, ids, pairs, rng, resamples)
            for name, embeddings in rows.items()
        }
    return results


def _account(acquired: Embedded, unread: pd.DataFrame, presented: set[str]) -> dict[str, Any]:
    """What became of the files: used, left out and why; failures to acquire and to enrol.

    `unread` are the files that no layout reads, `presented` the writers with genuine files.
    """
    signatures = acquired.signatures
    enrolled = signatures.loc[signatures["kind"] == "genuine", "writer"].nunique()
    not_acquired = len(acquired.refused) + int((~unread["reason"].isin(PROBLEMS)).sum())
    left_out = dict(zip(unread["path"], unread["reason"], strict=True))
    left_out |= acquired.copies | acquired.refused
    referred = [no_verdict(one.code for one in told) is not None for told in acquired.told]
    return {
        "writers": int(signatures["writer"].nunique()),
        "images": len(signatures),
        "left_out": left_out,
        "remarks": check_usable(signatures),
        "failure_to_acquire": not_acquired / (not_acquired + len(signatures)),
        "failure_to_enrol": 1 - enrolled / len(presented),
        "referred": sum(referred) / len(referred),
    }


def _rates(
    tables: dict[int, pd.DataFrame], fitted: Scoring, rng: np.random.Generator, resamples: int
) -> dict[str, Any]:
    """Thresholds, error rates and coverage, by number of references."""
    thresholds = {str(k): fitted.threshold("eer", k) for k in tables}
    rates = {}
    for k, table in tables.items():
        llr = fitted.llr(table["score"].to_numpy(), k)
        judged = table.assign(llr=llr)
        rates[str(k)] = metrics.evaluate(judged, thresholds[str(k)], rng, resamples)
    return {
        "threshold": thresholds,
        "references": rates,
        "coverage": scoring.coverage(tables, fitted),
    }


def _baselines(
    verifier: Verifier, folder: str | Path, paths: Sequence[str]
) -> dict[str, np.ndarray]:
    """Embeddings (n, d) by what needs no training, and by the model where one pen redrew all."""
    from deepsign_utils import models

    def canvases(preprocessing: Preprocessing) -> np.ndarray:
        return np.stack([_canvas(one) for one in clean_files(folder, paths, preprocessing)])

    cleaning = verifier.preprocessing
    height, width = cleaning.canvas_height, cleaning.canvas_width
    untrained = models.build_encoder(verifier.encoder_name, height, width, seed=0)
    rows = {
        "HOG, cosine": hog_descriptors(folder, paths),
        "untrained encoder": models.embed(untrained, canvases(cleaning)),
    }
    if cleaning.stroke_width == "as_is":
        redrawn = canvases(replace(cleaning, stroke_width="normalised"))
        rows["untrained encoder, one pen"] = models.embed(untrained, redrawn)
        rows["this model, one pen"] = verifier.embed(redrawn)
    return rows


def hog_descriptors(folder: str | Path, paths: Sequence[str]) -> np.ndarray:
    """Histograms of oriented gradients: what comparing without learning gives.

    9 orientations, cells of 16 x 16 pixels, blocks of 2 x 2 cells, on the filled canvas of
    128 x 256 (Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", 2005).

    Returns
    -------
    float32 (n, d), of unit length
    """
    from skimage.feature import hog

    rows = [
        hog(one.canvas, 9, (16, 16), (2, 2)).astype(np.float32)
        for one in clean_files(folder, paths, HOG_CANVAS)
    ]
    table = np.stack(rows)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def _equal_errors(
    embeddings: np.ndarray,
    ids: np.ndarray,
    pairs: pd.DataFrame,
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, dict[str, float]]:
    table = scoring.pair_scores(embeddings, ids, pairs)
    kinds = [kind for kind in metrics.FORGED_KINDS if (table["kind"] == kind).any()]
    return {kind: metrics.bootstrap_eer(table, kind, rng, resamples) for kind in kinds}


def _canvas(cleaned: Cleaned) -> np.ndarray:
    if cleaned.canvas is None:
        raise DeepSignError(str(cleaned.problem))
    return cleaned.canvas


def in_words(found: dict[str, Any]) -> str:
    """What `evaluate` found, as a table to print. Rates in %, 95 % intervals in brackets."""
    rows: list[tuple[str, ...]] = [
        ("references", "FMR skilled", "FMR random", "FNMR", "EER skilled", "EER random")
    ]
    for k, result in found["references"].items():
        fmr, eer = result["fmr"], result["eer"]
        rates = (fmr["skilled"], fmr["random"], result["fnmr"], eer["skilled"], eer["random"])
        rows.append((k, *map(metrics.bare_rate, rates)))
    for name, errors in found.get("baselines", {}).items():
        equal = (metrics.bare_rate(errors.get(kind)) for kind in metrics.FORGED_KINDS)
        rows.append((f"1, {name}", "", "", "", *equal))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    account = in_account(found["images"], found["writers"], found["left_out"].values())
    head = [account, *_mislabelled(found["left_out"])]
    head += [f"{remark[0].upper()}{remark[1:]}." for remark in found["remarks"]]
    if "too_few" in found:
        return "\n".join([*head, "", f"Error rates: {found['too_few']}"])
    head.append(
        f"Failure to acquire {100 * found['failure_to_acquire']:.1f} %, to enrol "
        f"{100 * found['failure_to_enrol']:.1f} %. FMR and FNMR at the model's own threshold; in %."
    )
    if found["fitted_here"]:
        head.append(
            "The model's thresholds were fitted to these very images: on other people's it errs "
            "more."
        )
    if found["referred"]:
        head.append(
            f"{100 * found['referred']:.1f} % of the images would send every comparison to a "
            "person (a stamp lies across the signature); they are counted here by their scores."
        )
    return "\n".join([*head, "", *lines, "", *_coverage_in_words(found["coverage"])])


def in_account(used: int, writers: int, reasons: Iterable[str]) -> str:
    """Found = used + left out, in words, by reason; what is missing was not found."""
    # Some are names of what the files are; some are sentences.
    counted = Counter(re.sub("^It ", "as it ", reason.partition(": ")[0]) for reason in reasons)
    missing = counted.pop("missing", 0)  # a manifest lists them
    found = f"{used + counted.total()} files found{f', {missing} missing' if missing else ''}"
    left_out = ", ".join(f"{count} {reason}" for reason, count in counted.most_common())
    return (
        f"{found}: {used} images of {writers} writers, "
        f"{counted.total()} left out{f' ({left_out})' if left_out else ''}."
    )


def _mislabelled(left_out: dict[str, str]) -> list[str]:
    """The first of those copies left out whose label differs from that of what they repeat."""
    found = [
        f"{path} is {reason}."
        for path, reason in left_out.items()
        if reason.endswith(pairing.MISLABELLED)
    ]
    more = [f"{len(found) - 5} more such copies: --output lists them."] if len(found) > 5 else []
    return [*found[:5], *more]


def _coverage_in_words(coverage: dict[str, dict[str, dict | None]]) -> list[str]:
    """How many comparisons three answers decide, a line for each number of references."""
    lines = ["Decided where both errors may be at most 1, 2 and 5 %, the rest going to a person:"]
    for k, by_tolerance in coverage.items():
        said = []
        for tolerance, found in by_tolerance.items():
            if found is None:
                said.append(f"{100 * float(tolerance):g} %: cannot be measured")
                continue
            shares = ", ".join(
                f"{100 * share:.0f} % of {kind}" for kind, share in found["decided"].items()
            )
            said.append(f"{100 * float(tolerance):g} %: {shares}")
        lines.append(f"  {k} reference{'s' * (k != '1')}: " + "; ".join(said))
    return lines
