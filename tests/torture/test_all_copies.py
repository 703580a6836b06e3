"""Copies on people's own signatures: every genuine pair, and every change."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from copying import CHANGES

from deepsign_utils.datasets import read_dataset
from deepsign_utils.preprocessing import finely, load_grayscale, plain
from deepsign_utils.study.processes import usable_processors, worker_pool
from deepsign_utils.verifying.copies import alike, trace


def compare(paths: list[Path]) -> tuple[list[tuple[str, str]], int, list[str], int]:
    """Of one writer's images: pairs alarmed at, pairs compared, changes missed, copies made."""
    images = [load_grayscale(path) for path in paths]
    traces = [trace(*finely(plain(image))) for image in images]
    pairs = list(combinations(range(len(paths)), 2))
    alarms = [
        (paths[one].name, paths[other].name)
        for one, other in pairs
        # Some files hold the same pixels in other bytes.
        if alike(traces[one], traces[other]) and not np.array_equal(images[one], images[other])
    ]
    rng, missed = np.random.default_rng(0), []
    for at in (0, len(paths) // 2):
        for name, change in CHANGES.items():
            if not alike(traces[at], trace(*finely(plain(change(images[at], rng))))):
                missed.append(f"{paths[at].name} {name}")
    return alarms, len(pairs), missed, 2 * len(CHANGES)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_copies_are_found_and_genuine_pairs_are_none(real_data: Path) -> None:
    writers = []
    for root in sorted(path for path in real_data.iterdir() if path.is_dir()):
        table, _ = read_dataset(root, progress=False)
        table = table[(table["kind"] == "genuine") & table["duplicate_of"].isna()]
        writers += [[root / path for path in own["path"]] for _, own in table.groupby("writer")]
    with worker_pool(usable_processors()) as pool:
        found = pd.DataFrame(
            pool.map(compare, writers), columns=["alarms", "pairs", "missed", "made"]
        )
    alarms, missed = found["alarms"].sum(), found["missed"].sum()
    print(f"{len(alarms)} alarms in {found['pairs'].sum()} genuine pairs: {alarms}")
    print(f"{len(missed)} of {found['made'].sum()} copies missed: {missed}")
    assert len(alarms) < 0.001 * found["pairs"].sum()
    assert len(missed) < 0.01 * found["made"].sum()
