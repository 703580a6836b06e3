"""Writer splits, pairs and enrolment trials: who is compared with whom.

Writers are disjoint between training, validation and test. The left side of a pair is always a
genuine reference of the writer that the pair belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from deepsign_utils import DeepSignError
from deepsign_utils.layouts import writer_key

SPLITS = ("train", "validation", "test")
DRAWS = 10
COUNTS = (*range(1, 11), 12, 15, 20)
"""The numbers of references that thresholds are measured at, as far as the data go."""

LEAST_MEASURED = 2
"""Writers with two genuine signatures or more that an error rate and its interval need."""


def split_writers(
    signatures: pd.DataFrame,
    validation_writers: float | str | list[str],
    test_writers: float | str | list[str],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Assign every writer to training, validation or test.

    Parameters
    ----------
    signatures : DataFrame
        Signature table. Where it has the column ``sha256``, writers who share a file may not lie
        in different splits; where it has ``duplicate_of``, copies are no further signatures.
    validation_writers, test_writers : float or str or list of str
        A share of all writers (rounded, at least two; of those with two genuine signatures or
        more, as of others nothing can be measured), a list of writers, or a part as ``"2/5"``:
        the second of five parts of the writers that are free. With equal ``rng`` the five parts of
        ``test_writers`` are disjoint and leave nobody out: folds of a cross-validation. Listed
        writers may lack leading zeros that the data has, or have those that it lacks.
    rng : numpy.random.Generator
        Draws the writers where no list is given.

    Returns
    -------
    DataFrame
        ``writer`` and ``split``, in the signature table's order of writers.

    Raises
    ------
    DeepSignError
        If a listed writer is not in the data, is in both lists, or no writer is left to train on;
        if too few writers are left to measure errors on; if two writers of different splits share
        a file byte for byte.
    """
    writers = list(dict.fromkeys(signatures["writer"]))
    if len(writers) < 2 * LEAST_MEASURED + 1:
        raise DeepSignError(
            f"The data has {len(writers)} writer(s); a study needs at least five: two to validate "
            "on, two to test on, and one or more to train on."
        )
    once = without_duplicates(signatures) if "duplicate_of" in signatures else signatures
    genuine = once.loc[once["kind"] == "genuine", "writer"].value_counts()
    measurable = set(genuine.index[genuine > 1])
    assigned: dict[str, str] = {}
    listed = (("test", test_writers), ("validation", validation_writers))
    for split, wanted in listed:
        if isinstance(wanted, list):
            wanted = _as_in_data(wanted, writers, split)
            twice = [writer for writer in wanted if writer in assigned]
            if twice:
                raise DeepSignError(
                    f"These writers are in both test_writers and validation_writers: "
                    f"{', '.join(twice[:10])}."
                )
            assigned |= dict.fromkeys(wanted, split)
    for split, wanted in listed:
        if not isinstance(wanted, list):
            free = [writer for writer in writers if writer not in assigned]
            if isinstance(wanted, str):
                number, parts = map(int, wanted.split("/"))
                drawn = np.array_split(rng.permutation(len(free)), parts)[number - 1]
            else:
                free = [writer for writer in free if writer in measurable]
                count = min(max(LEAST_MEASURED, round(wanted * len(writers))), len(free))
                drawn = rng.choice(len(free), size=count, replace=False)
            assigned |= {free[index]: split for index in drawn}
    if measurable <= set(assigned):
        raise DeepSignError(
            "validation_writers and test_writers leave no writer with two genuine signatures to "
            "train on; lower their shares."
        )
    split = pd.DataFrame(
        {"writer": writers, "split": [assigned.get(writer, "train") for writer in writers]}
    )
    for name in ("validation", "test"):
        measured = split["writer"].isin(measurable) & (split["split"] == name)
        if (count := int(measured.sum())) < LEAST_MEASURED:
            raise DeepSignError(
                f"Of the {name} writers {count} {'has' if count == 1 else 'have'} two genuine "
                f"signatures or more, and no error can be measured on fewer than {LEAST_MEASURED}: "
                f"let {name}_writers be a larger share, fewer parts or other writers."
            )
    if "sha256" in signatures:
        _refuse_straddling(signatures, split)
    return split


def _as_in_data(wanted: list[str], writers: list[str], split: str) -> list[str]:
    """Listed writers as the data spells them: `1` and `001` are one writer where there is one."""
    spelt: dict[str, list[str]] = {}
    for writer in writers:
        spelt.setdefault(writer_key(writer), []).append(writer)
    known = set(writers)
    found = {name: [name] if name in known else spelt.get(writer_key(name), []) for name in wanted}
    missing = [name for name, names in found.items() if not names]
    if missing:
        raise DeepSignError(
            f"{split}_writers names {len(missing)} writer(s) that the data does not have: "
            f"{', '.join(missing[:10])}. The data has {', '.join(writers[:5])}"
            f"{' and others' if len(writers) > 5 else ''}."
        )
    for name, names in found.items():
        if len(names) > 1:
            raise DeepSignError(
                f"{split}_writers names {name}, but the data has {' and '.join(names)}: write "
                "which one is meant."
            )
    return [names[0] for names in found.values()]


def _refuse_straddling(signatures: pd.DataFrame, split: pd.DataFrame) -> None:
    """A file under two writers would let the test ask about what training has seen."""
    files = signatures[["path", "writer", "sha256"]].merge(split, on="writer")
    shared = files[files.groupby("sha256")["split"].transform("nunique") > 1]
    if shared.empty:
        return
    first = shared[shared["sha256"] == shared["sha256"].iloc[0]].drop_duplicates("split")
    places = " and ".join(
        f"{row.path} (writer {row.writer}, {row.split})" for row in first.itertuples()
    )
    raise DeepSignError(
        f"{shared['sha256'].nunique()} file(s) lie under writers of different splits, byte for "
        f"byte the same: {places}. Remove the wrong copy, or list these writers together in "
        "test_writers or validation_writers."
    )


def of_split(signatures: pd.DataFrame, split: pd.DataFrame, name: str) -> pd.DataFrame:
    """The signatures of one split's writers."""
    writers = split.loc[split["split"] == name, "writer"]
    return signatures[signatures["writer"].isin(writers)]


def without_duplicates(signatures: pd.DataFrame) -> pd.DataFrame:
    """The signatures that repeat no earlier file byte for byte, nor bear two labels that way."""
    return signatures[~signatures["path"].isin(list(duplicates(signatures)))]


COPY, MISLABELLED = "a copy of another file, byte for byte", "one of the two labels is wrong"
NEAR_COPY = "a copy of another file, scanned or saved again"


def duplicates(signatures: pd.DataFrame) -> dict[str, str]:
    """The others, and why each is left out; see `copies_in_words`."""
    path_of = signatures.set_index("signature_id")["path"]
    copies = signatures[signatures["duplicate_of"].notna()]
    originals = zip(copies["path"], path_of[copies["duplicate_of"]], strict=True)
    return copies_in_words(signatures, dict(originals), COPY)


def copies_in_words(
    signatures: pd.DataFrame, originals: Mapping[str, str], said: str
) -> dict[str, str]:
    """Why copies are left out, and with them originals of which nobody knows whose they are.

    Parameters
    ----------
    signatures : DataFrame
        Signature table that holds the copies and their originals.
    originals : mapping
        Path of a copy -> path of its original.
    said : str
        `COPY` or `NEAR_COPY`.

    Returns
    -------
    dict
        Path -> ``said`` and the other file; of another writer or kind, `MISLABELLED` too. A forgery
        that is a near copy of a genuine signature may be traced: that one is not left out.
    """
    label = {row.path: (row.writer, row.kind) for row in signatures.itertuples()}
    reasons = {}
    for copy, original in originals.items():
        (writer, kind), (first_writer, first_kind) = label[copy], label[original]
        if writer != first_writer:
            other = f", which is another person's: {MISLABELLED}"
        elif kind != first_kind:
            traced = "it was traced, or " if said == NEAR_COPY else ""
            other = f", of which one is genuine and one forged: {traced}{MISLABELLED}"
        else:
            other = ""
        reasons[copy] = f"{said}: {original}{other}"
        if other and (said == COPY or writer != first_writer):
            reasons[original] = f"{said}: {copy}{other}"
    return reasons


def pair_kinds(signatures: pd.DataFrame) -> pd.DataFrame:
    """Of which kind each pair of some signatures is, every one of them with every one.

    Parameters
    ----------
    signatures : DataFrame
        Signature table.

    Returns
    -------
    DataFrame
        str (n, n), row: reference, column: questioned; empty where the two make no pair.
    """
    writer, kind = signatures["writer"].to_numpy(), signatures["kind"].to_numpy()
    from_genuine = (kind == "genuine")[:, None]
    to_genuine, same = from_genuine.T, writer[:, None] == writer
    names = [f"{one} {what}" for one, what in zip(writer, kind, strict=True)]
    kinds = np.select(
        [
            from_genuine & to_genuine & same & ~np.eye(len(writer), dtype=bool),
            from_genuine & ~to_genuine & same,
            from_genuine & to_genuine & ~same,
        ],
        ["genuine", "skilled", "random"],
        "",
    )
    return pd.DataFrame(kinds, index=names, columns=names)


def draw_pairs(signatures: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """All genuine and skilled pairs of the writers, and as many random as genuine ones.

    Parameters
    ----------
    signatures : DataFrame
        Signature table of the writers of one split.
    rng : numpy.random.Generator
        Draws the random pairs: per writer, each genuine signature is the reference about equally
        often, and the questioned one is drawn among the other writers' genuine signatures.

    Returns
    -------
    DataFrame
        Pair table: ``left``, ``right`` (int32), ``kind`` genuine | skilled | random, ``writer``
        (the reference's).
    """
    genuine = _ids_by_writer(signatures, "genuine")
    forged = _ids_by_writer(signatures, "forgery")
    none = np.empty(0, np.int32)
    everyone = np.concatenate([none, *genuine.values()])
    parts: list[tuple] = []
    start = 0
    for writer, ids in genuine.items():
        first, second = np.triu_indices(len(ids), k=1)
        forgeries = forged.get(writer, none)
        count = len(first) if len(ids) < len(everyone) else 0
        references = np.resize(rng.permutation(ids), count)
        strangers = np.empty(count, np.int32)
        for place in range(min(len(ids), count)):
            # A reference comes back every len(ids) places.
            of_one = strangers[place :: len(ids)]
            drawn = _draw_strangers(everyone, start, len(ids), len(of_one), rng)
            of_one[:] = np.resize(drawn, len(of_one))
        parts += [
            (ids[first], ids[second], "genuine", writer),
            (np.repeat(ids, len(forgeries)), np.tile(forgeries, len(ids)), "skilled", writer),
            (references, strangers, "random", writer),
        ]
        start += len(ids)
    left, right, kinds, writers = zip(*parts, strict=True) if parts else ((), (), (), ())
    lengths = [len(ids) for ids in left]
    return pd.DataFrame(
        {
            "left": np.concatenate([none, *left], dtype=np.int32),
            "right": np.concatenate([none, *right], dtype=np.int32),
            "kind": pd.Series(kinds, dtype=str).repeat(lengths).array,
            "writer": pd.Series(writers, dtype=str).repeat(lengths).array,
        }
    )


def count_by_kind(pairs: pd.DataFrame, kinds: Sequence[str]) -> dict[str, int]:
    """How many pairs of each of some kinds a pair table holds."""
    counts = pairs["kind"].value_counts()
    return {kind: int(counts.get(kind, 0)) for kind in kinds}


def _ids_by_writer(signatures: pd.DataFrame, kind: str) -> dict[str, np.ndarray]:
    """The ids of each writer's signatures of a kind, in the table's order of writers."""
    wanted = signatures[signatures["kind"] == kind]
    codes, writers = pd.factorize(wanted["writer"])
    ids = wanted["signature_id"].to_numpy()[np.argsort(codes, kind="stable")]
    blocks = np.split(ids, np.cumsum(np.bincount(codes, minlength=len(writers)))[:-1])
    return dict(zip(writers, blocks, strict=False))  # of no writers, one empty block


def _draw_strangers(
    everyone: np.ndarray, start: int, own: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """As many of the others as asked for or as there are, none twice.

    ``everyone`` holds the writer's own in one block. Skipping it, rather than listing the others,
    keeps the work of a draw the same for any number of writers.
    """
    others = len(everyone) - own
    drawn = rng.choice(others, min(count, others), replace=False)
    return everyone[drawn + own * (drawn >= start)]


def draw_trials(
    signatures: pd.DataFrame, references: Sequence[int], rng: np.random.Generator
) -> pd.DataFrame:
    """Trials of enrolled writers: k references against each of the remaining images.

    For every k above 1, ten times: k references are drawn from the writer's genuine signatures;
    the rest of them are the genuine trials, all the forgeries the skilled ones, and as many other
    writers' genuine signatures as there are genuine trials the random ones.

    Parameters
    ----------
    signatures : DataFrame
        Signature table of the writers of one split.
    references : sequence of int
        Numbers of references; 1 is covered by the pair table and ignored here.
    rng : numpy.random.Generator
        Draws the references and the random trials.

    Returns
    -------
    DataFrame
        Trial table: ``writer``, ``draw``, ``references`` (list of ids), ``questioned``, ``kind``,
        ``count`` (how many references). A writer with k genuine signatures or fewer has no trial
        with k references; where that leaves one writer, nobody has: no error rate of one person
        tells of others.
    """
    genuine = _ids_by_writer(signatures, "genuine")
    forged = _ids_by_writer(signatures, "forgery")
    everyone = np.concatenate([np.empty(0, np.int32), *genuine.values()])
    sizes = sorted(map(len, genuine.values()))
    most = sizes[-2] - 1 if len(sizes) > 1 else 0  # references, of two writers or more
    rows: list[tuple] = []
    start = 0
    for writer, ids in genuine.items():
        forgeries = forged.get(writer, ())
        for count in references:
            if count == 1 or count > most or len(ids) <= count:
                continue
            for draw in range(DRAWS):
                mixed = rng.permutation(ids)
                chosen, rest = np.sort(mixed[:count]).tolist(), np.sort(mixed[count:])
                strangers = _draw_strangers(everyone, start, len(ids), len(rest), rng)
                for kind, questioned in (
                    ("genuine", rest),
                    ("skilled", forgeries),
                    ("random", strangers),
                ):
                    rows += [(writer, draw, chosen, int(item), kind, count) for item in questioned]
        start += len(ids)
    columns = ["writer", "draw", "references", "questioned", "kind", "count"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"draw": "int32", "questioned": "int32", "count": "int32"})
