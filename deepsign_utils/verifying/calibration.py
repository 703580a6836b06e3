"""Thresholds and promises of a trained model, measured on people.

A model's weights know what makes two signatures alike; how alike the genuine signatures of a given
group of people are, through their scanner, they do not. `calibrate` measures it on a few genuine
signatures of one's own people. `promise` measures a model on several datasets at once, each with
skilled forgeries, to say what people may expect who were never measured.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from deepsign_utils import DeepSignError, metrics, pairing, scoring
from deepsign_utils.datasets import UnknownLayoutError, read_dataset, walk
from deepsign_utils.layouts import GenuineOnly
from deepsign_utils.scoring import Population, Scoring, Style
from deepsign_utils.study import hash_of_images, seal, write_atomically, write_json
from deepsign_utils.verifying import enrolment
from deepsign_utils.verifying.embedded import embed_dataset
from deepsign_utils.verifying.verifier import Verifier

LEAST_WRITERS = 5  # below, an interval over writers means nothing
USEFUL_WRITERS = 20
FORGED_WRITERS = 10  # from so many on, skilled forgeries are measured rather than inferred
STYLED = 2  # references that a style is fitted with: between one, and many
_MIXED = 0.2  # EER of genuine signatures against strangers' that no people, so sorted, have
_MANY_REFUSED = 0.5  # of genuine signatures, at the old threshold
SHOWN = (1, 2, 3, 5, 10)  # numbers of references in tables for people
OF_THE_STUDY = (
    "**From here on this card is of the study that trained the network**, on its own writers, and "
    "with thresholds that those above have replaced."
)
PROMISED = "## What is promised, and on whose signatures it was measured"  # a card's heading


class People(NamedTuple):
    """A dataset, embedded.

    Attributes
    ----------
    name : str
    signatures : DataFrame
        Signature table of the usable images, no copies among them.
    embeddings : float32 (n, d)
        In the table's order.
    density : float (n,)
        How dense the writing is, from `preprocessing.density`.
    left_out : dict
        Path -> reason.
    """

    name: str
    signatures: pd.DataFrame
    embeddings: np.ndarray
    density: np.ndarray
    left_out: dict[str, str]

    @property
    def writers(self) -> int:
        """How many writers there are."""
        return int(self.signatures["writer"].nunique())

    def population(self) -> Population:
        """How alike these people's genuine signatures are."""
        genuine = (self.signatures["kind"] == "genuine").to_numpy()
        return Population.of(
            self.embeddings[genuine], self.signatures["writer"].to_numpy()[genuine]
        )

    def tables(self, population: Population, rng: np.random.Generator) -> dict[int, pd.DataFrame]:
        """Score tables by number of references, for all of `pairing.COUNTS` that can be drawn."""
        pairs = pairing.draw_pairs(self.signatures, rng)
        trials = pairing.draw_trials(self.signatures, pairing.COUNTS, rng)
        ids = self.signatures["signature_id"].to_numpy()
        return scoring.score_tables(self.embeddings, ids, pairs, trials, population)


def read_people(verifier: Verifier, name: str, folder: str | Path, layout: str = "auto") -> People:
    """Read, clean and embed a dataset, without copies of its images.

    Where no layout is named and none fits, folders of genuine signatures alone are, a person each.

    Raises
    ------
    DeepSignError
        If the folder holds no dataset.
    """
    try:
        signatures, unread = read_dataset(folder, layout)
    except UnknownLayoutError:
        if layout != "auto":
            raise
        if path := GenuineOnly().may_be_forged(walk(folder).tree):
            raise DeepSignError(
                f"{folder} fits no layout with forgeries, and {path!r} has a word for them. Where "
                "that is a name, and all of it is genuine, name the layout: --layout "
                f"{GenuineOnly.name}. Where it is forged, write a manifest: `deepsign manifest "
                f"{shlex.quote(str(folder))}`."
            ) from None
        signatures, unread = read_dataset(folder, GenuineOnly.name)
    found = embed_dataset(verifier, folder, signatures)
    left_out = dict(zip(unread["path"], unread["reason"], strict=True))
    left_out |= found.copies | found.refused
    return People(name, found.signatures, found.embeddings, found.density, left_out)


def unlike_their_writers(people: People, chosen: Scoring) -> list[str]:
    """Paths of genuine signatures that do not look like their writer's others (`enrolment`)."""
    genuine = people.signatures[people.signatures["kind"] == "genuine"]
    return [
        genuine.loc[rows[odd.row], "path"]
        for _, rows in genuine.groupby("writer", sort=False).groups.items()
        for odd in enrolment.odd_ones(people.embeddings[rows], chosen)
    ]


def promise(
    sets: Sequence[People], rng: np.random.Generator, resamples: int = 1000
) -> tuple[Scoring, pd.DataFrame]:
    """Thresholds, calibration and promises for people who are in none of the sets.

    Parameters
    ----------
    sets : sequence of People
        At least two, each with skilled forgeries.
    rng, resamples
        Of random pairs and of the bootstrap over writers.

    Returns
    -------
    scoring : Scoring
    left_out : DataFrame
        Each set judged by what the others promise: `set`, `references`, `fmr_skilled`,
        `fmr_random`, `fnmr`, `eer_skilled`, `cllr`, `cllr_min`.

    Raises
    ------
    DeepSignError
        If there are fewer than two sets, two have a name or an image in common, or one has no
        skilled forgeries or too few signatures to tell.
    """
    check_sets([one.name for one in sets])
    held: dict[str, str] = {}
    for one in sets:
        forged = (one.signatures["kind"] == "forgery").to_numpy()
        if not forged.any():
            raise DeepSignError(f"{one.name} holds no skilled forgeries: leave it out.")
        if few := metrics.too_few(forged, one.signatures["writer"].to_numpy()):
            raise DeepSignError(f"{one.name} has {few}")
        files = dict.fromkeys(one.signatures["sha256"], one.name)
        if both := held.keys() & files.keys():
            raise DeepSignError(
                f"{one.name} and {held[both.pop()]} hold the same images, and would promise the "
                "same twice: leave one of them out."
            )
        held |= files
    rows = []
    for one in sets:
        others = [other for other in sets if other is not one]
        chosen = _fit(others, rng, resamples)
        rows += _judged(one, chosen, rng)
    return _fit(sets, rng, resamples), pd.DataFrame(rows)


def check_sets(names: Sequence[str]) -> None:
    """Refuse names of sets that no promise can be made of.

    Raises
    ------
    DeepSignError
        If there are fewer than two, or one stands twice.
    """
    if len(names) < 2:
        raise DeepSignError(
            "A promise for people who were not measured needs at least two sets of people; for "
            "one's own people alone, use calibrate."
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DeepSignError(f"Two sets are called {twice[0]!r}: give each a name of its own.")


def _fit(sets: Sequence[People], rng: np.random.Generator, resamples: int) -> Scoring:
    population = _mean([one.population() for one in sets])
    population = replace(population, style=_style(sets, population, rng))
    tables = {one.name: one.tables(population, rng) for one in sets}
    measured_on = [_described(one, "all") for one in sets]
    return scoring.fit_scoring(tables, population, measured_on, rng, resamples)


def _mean(populations: Sequence[Population]) -> Population:
    """The mean of several, each weighing the same."""
    values = [(one.mean, one.writer, one.signature, one.pair) for one in populations]
    mean, writer, signature, pair = np.mean(values, axis=0).tolist()
    return Population(mean, writer, signature, pair)


def _style(sets: Sequence[People], population: Population, rng: np.random.Generator) -> Style:
    """What density says of scores against `STYLED` references."""
    scored = []
    for one in sets:
        trials = pairing.draw_trials(one.signatures, (STYLED,), rng)
        trials = trials[trials["kind"] != "random"]
        ids = one.signatures["signature_id"].to_numpy()
        table = scoring.trial_scores(one.embeddings, ids, trials, population)
        rows = np.column_stack([np.stack(trials["references"]), trials["questioned"]])
        rows = pd.Index(ids).get_indexer(rows.ravel()).reshape(rows.shape)
        genuine = (trials["kind"] == "genuine").to_numpy()
        scored.append((table["score"].to_numpy(np.float64), rows, genuine))
    return scoring.fit_style(
        [one.embeddings for one in sets], [one.density for one in sets], scored, population
    )


def _described(people: People, split: str) -> dict[str, Any]:
    return {
        "dataset": people.name,
        "split": split,
        "writers": people.writers,
        "images": len(people.signatures),
        "left_out": len(people.left_out),
        "sha256": hash_of_images(people.signatures)["sha256"],
    }


def _judged(people: People, chosen: Scoring, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The errors that a scoring makes on people whom it does not know."""
    rows = []
    for k, table in people.tables(chosen.population, rng).items():
        if k not in SHOWN:
            continue
        score = table["score"].to_numpy(np.float64)
        of = {kind: score[(table["kind"] == kind).to_numpy()] for kind in metrics.KINDS}
        threshold = chosen.threshold("eer", k)
        llr = {kind: chosen.llr(values, k) for kind, values in of.items()}
        rows.append(
            {
                "set": people.name,
                "references": k,
                "fmr_skilled": metrics.fmr(of["skilled"], threshold),
                "fmr_random": metrics.fmr(of["random"], threshold),
                "fnmr": metrics.fnmr(of["genuine"], threshold),
                "eer_skilled": metrics.eer(of["genuine"], of["skilled"]),
                "cllr": metrics.cllr(llr["genuine"], llr["skilled"]),
                "cllr_min": metrics.cllr_min(llr["genuine"], llr["skilled"]),
            }
        )
    return rows


def calibrate(
    model: Scoring, people: People, rng: np.random.Generator, resamples: int = 1000
) -> Scoring:
    """Thresholds and calibration for one's own people.

    The variances behind `Population.share` stay the model's, and so does how low a genuine
    signature scores once in a hundred times, as a few signatures tell them badly; the mean becomes
    these people's. Skilled forgeries are measured where at least
    `FORGED_WRITERS` writers have some, and otherwise inferred (`scoring.fit_to_people`).

    Parameters
    ----------
    model : Scoring
    people : People
        Genuine signatures of each writer, and forgeries where there are some.
    rng, resamples
        Of random pairs and of the bootstrap over writers.

    Raises
    ------
    DeepSignError
        If there are fewer than `LEAST_WRITERS` writers with two genuine signatures.
    """
    genuine = people.signatures[people.signatures["kind"] == "genuine"]
    usable = int((genuine["writer"].value_counts() > 1).sum())
    if usable < LEAST_WRITERS:
        reasons = Counter(why.partition(": ")[0] for why in people.left_out.values()).most_common(3)
        raise DeepSignError(
            f"{people.name} has {usable} {'writer' if usable == 1 else 'writers'} with two "
            f"different genuine signatures or more; calibrating needs at least {LEAST_WRITERS}, "
            f"and {USEFUL_WRITERS} with three each to be useful. "
            f"{len(people.signatures)} images of {people.writers} "
            f"{'writer' if people.writers == 1 else 'writers'} could be used"
            + "".join(f"; {count} left out: {reason}" for reason, count in reasons)
            + "."
        )
    population = replace(model.population, mean=people.population().mean)
    # A number of references that fewer people reach tells of them alone.
    tables = {
        k: table
        for k, table in people.tables(population, rng).items()
        if table["writer"].nunique() >= LEAST_WRITERS
    }
    _refuse_mixed(tables, people.name)
    relatives = model.relatives_about(population.mean)
    forged = people.signatures[people.signatures["kind"] == "forgery"]
    described = _described(people, "calibration")
    if forged["writer"].nunique() >= FORGED_WRITERS:
        chosen = scoring.fit_scoring({people.name: tables}, population, [described], rng, resamples)
        return replace(chosen, relatives=relatives)
    known = {k: table[table["kind"] != "skilled"] for k, table in tables.items()}
    known = {k: table for k, table in known.items() if (table["kind"] == "random").any()}
    # A model that was calibrated itself has not measured any forgery since.
    sets = [one.get("skilled_inferred_from", [one["dataset"]]) for one in model.measured_on]
    described["skilled_inferred_from"] = list(dict.fromkeys(chain.from_iterable(sets)))
    chosen = scoring.fit_to_people(model, known, population, described, rng, resamples)
    return replace(chosen, relatives=relatives)


def _refuse_mixed(tables: Mapping[int, pd.DataFrame], name: str) -> None:
    """DeepSignError where what stands for one writer's signatures is no more alike than others'."""
    table = tables[min(tables)]
    genuine, random = (table.loc[table["kind"] == kind, "score"] for kind in ("genuine", "random"))
    if len(random) and (error := metrics.eer(genuine.to_numpy(), random.to_numpy())) > _MIXED:
        raise DeepSignError(
            f"In {name}, signatures of one writer are no more alike than those of several: told "
            f"apart by their scores, {100 * error:.0f} % would be mistaken. The folders, or the "
            "names, seem to stand for days, branches or the like. Give each person a folder with "
            "that person's genuine signatures alone; nothing was written."
        )


def in_words(before: Scoring, after: Scoring) -> str:
    """What calibrating changed: thresholds and expected errors, by number of references."""
    (one,) = after.measured_on
    inferred = one.get("skilled_inferred_from")
    rows, refused = [], 0.0
    for k in [k for k in SHOWN if k in after.operations]:
        rule = after.rule("eer", k)
        errors = after.expected_errors(rule, k)
        # The old threshold, as these people would have met it.
        shift = after.population.mean - before.population.mean
        old = before.rule("eer", k)
        share = after.population.share(k)
        moved = scoring.Rule(*[old.accept_from + share * shift] * 2)
        at_old = after.expected_errors(moved, k)["fnmr"]
        refused = max(refused, at_old["value"])
        rows.append(
            {
                "references": k,
                "threshold": f"{rule.accept_from:.3f} (was {old.accept_from:.3f})",
                "genuine refused": metrics.bare_rate(errors["fnmr"]),
                "refused at the old one": metrics.bare_rate(at_old),
                "strangers accepted": metrics.bare_rate(errors["fmr"]["random"]),
                "skilled accepted": metrics.bare_rate(errors["fmr"]["skilled"]),
                "least fnmr=": metrics.typed_rate(after.least_rate("fnmr", k)),
            }
        )
    table = pd.DataFrame(rows)
    lines = [
        f"{one['images']} images of {one['writers']} writers, {one['left_out']} left out. Rates in "
        "%, with 95 % intervals, at the threshold 'eer'.",
        "",
        table.to_string(index=False, col_space={name: len(name) + 2 for name in table}),
        "",
    ]
    if refused > _MANY_REFUSED:
        lines.append(
            f"At the old threshold {100 * refused:.0f} % would be refused: look whether forgeries, "
            "or other people's signatures, are among the genuine ones."
        )
    if one["writers"] < USEFUL_WRITERS:
        lines.append(
            f"{one['writers']} writers are few: {USEFUL_WRITERS} with three signatures each would "
            "tell more."
        )
    if inferred:
        lines.append(
            "Genuine signatures and strangers are measured on these people. Skilled forgeries are "
            f"inferred from {', '.join(inferred)}."
        )
    return "\n".join(lines)


def card(given: str, chosen: Scoring, left_out: pd.DataFrame | None = None) -> str:
    """A model card with the section on what is promised, before what the study of it measured.

    Parameters
    ----------
    given : str
        The card of the model that was measured.
    chosen : Scoring
    left_out : DataFrame, optional
        From `promise`.
    """
    sets = "\n".join(
        f"- {one['dataset']}: {one['writers']} writers, {one['images']} images, "
        f"{one['left_out']} left out"
        + (f"; SHA-256 of the images {one['sha256']}" if "sha256" in one else "")
        + (
            f"; skilled forgeries inferred from {', '.join(one['skilled_inferred_from'])}"
            if "skilled_inferred_from" in one
            else ""
        )
        for one in chosen.measured_on
    )
    several = len(chosen.measured_on) > 1
    rows = []
    for k in [k for k in SHOWN if k in chosen.operations]:
        rule = chosen.rule("eer", k)
        errors = chosen.expected_errors(rule, k)
        row = {
            "references": k,
            "threshold": f"{rule.accept_from:.3f}",
            "FMR, skilled": metrics.bare_rate(errors["fmr"]["skilled"]),
            "FMR, random": metrics.bare_rate(errors["fmr"]["random"]),
            "FNMR": metrics.bare_rate(errors["fnmr"]),
        }
        rows.append(
            row
            if several
            else row | {"least fnmr=": metrics.typed_rate(chosen.least_rate("fnmr", k))}
        )
    if several:
        how = (
            ", for a further set of people who were not measured (prediction intervals over the "
            "sets, which count alike)."
        )
    else:
        how = ", by bootstrap over writers."
        if "skilled_inferred_from" in chosen.measured_on[0]:
            how += " Those of skilled forgeries are inferred, and their intervals with them."
        how += (
            " The last column is the lowest share of genuine signatures that a threshold `fnmr=` "
            "may ask for: so few comparisons tell no lower one."
        )
    parts = [
        PROMISED,
        "The thresholds and the likelihood ratios of this model, and the errors that it promises, "
        "come from the signatures of:",
        sets,
        f"In %. Intervals are 95 %{how}",
        _grid(pd.DataFrame(rows)),
    ]
    if left_out is not None:
        parts += [
            "Each set judged by what the other sets promise, as people not among them are; rates "
            "in %:",
            _grid(judged_table(left_out)),
        ]
    older = rf"^{re.escape(PROMISED)}$.*?(?=^## |\Z)"
    given = re.sub(older, "", given, flags=re.MULTILINE | re.DOTALL)
    above, measured, below = given.partition("## How well it does\n")
    if measured:
        parts.append(OF_THE_STUDY)
    promised = "\n\n".join([above.rstrip(), *parts])
    return f"{promised}\n\n{measured}{below}".rstrip() + "\n"


def judged_table(left_out: pd.DataFrame) -> pd.DataFrame:
    """The table `left_out` of `promise` for people to read: as text, error rates in %."""
    shown = left_out.copy()
    for column in shown.columns[2:6]:
        shown[column] = (100 * shown[column]).map("{:.1f}".format)
    for column in shown.columns[6:]:
        shown[column] = shown[column].map("{:.3f}".format)
    shown.columns = [
        "set",
        "references",
        "FMR, skilled",
        "FMR, random",
        "FNMR",
        "EER, skilled",
        "Cllr",
        "Cllr, minimum",
    ]
    return shown


def write_model(
    source: Path, output: Path, chosen: Scoring, left_out: pd.DataFrame | None = None
) -> None:
    """Write a sealed model folder: the source's network with another scoring and card.

    Parameters
    ----------
    source, output : Path
        Model folders; they may be one.
    chosen, left_out
        As in `card`.
    """
    output.mkdir(parents=True, exist_ok=True)
    if output.resolve() != source.resolve():
        for file in source.glob("[!.]*"):
            if file.is_file():
                write_atomically(output / file.name, file.read_bytes())
    given = source / "card.md"
    text = given.read_text(encoding="utf-8") if given.is_file() else "# Model card\n"
    write_json(output / "scoring.json", chosen.to_dict())
    write_atomically(output / "card.md", card(text, chosen, left_out))
    seal(output)


def _grid(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    rows = [table.columns, ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
