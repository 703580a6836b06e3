"""Bad datasets, one by one and mixed: no traceback, no hang, and every file accounted for."""

import tempfile
from contextlib import suppress
from pathlib import Path

import baddata
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from deepsign_utils import DeepSignError
from deepsign_utils.datasets import check_usable, read_dataset

# Twenty seconds for a tree of a few files: more would be a hang.
CALM = {
    "deadline": 20_000,
    "derandomize": True,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def read(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return read_dataset(root, progress=False)


def check(tree: dict) -> None:
    """Plant a tree and read it: either every file is accounted for, or one sentence says why."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        root.mkdir()
        reasons = baddata.plant(root, tree)
        try:
            signatures, left_out = read(root)
        except DeepSignError as stopped:
            # It gives up only where there is no pair of folders, or nothing in them to use.
            names = {path.name for path in root.iterdir() if not path.name.startswith(".")}
            paired = any(f"{name}_forg" in names for name in names)
            assert not (paired and "" in reasons.values())
            message = str(stopped)
            assert str(root) in message
            return
        found = dict.fromkeys(signatures["path"], "") | dict(
            zip(left_out["path"], left_out["reason"], strict=True)
        )
        assert found == reasons
        assert len(signatures) + len(left_out) == len(reasons)
        assert left_out["detail"].str.len().gt(0).all()
        # what was found goes into a file and comes back
        left_out.to_parquet(root / "left_out.parquet")
        signatures.to_parquet(root / "signatures.parquet")
        with suppress(DeepSignError):  # too few writers
            check_usable(signatures, 3)


@pytest.mark.parametrize("kind", sorted(baddata.FILES))
def test_each_kind_of_file_is_used_or_left_out_for_its_reason(kind):
    good = {"1": "good", "2": "good"}
    check({("1", False): good, ("1", True): good, ("2", False): {"x": kind}})


@settings(max_examples=30, **CALM)
@given(baddata.TREES)
def test_thirty_random_trees(tree):
    check(tree)


@pytest.mark.torture
@settings(max_examples=300, **CALM)
@given(baddata.TREES)
def test_three_hundred_random_trees(tree):
    check(tree)


ROWS = st.lists(
    st.sampled_from(
        [
            *("a.png,x,genuine", "b.png,x,forgery", "b.png,x,forged,max", "a.png,,genuine"),
            *("a.png,x", "./a.png,y,genuine", "../secret.png,x,genuine", "gone.png,x,genuine"),
            *('"a.png,x,genuine', "", ",,", "a.png;x;genuine", "a\0.png,x,genuine"),
            *("folder,x,genuine", "text.png,x,forgery", "a.png,x,wrong", "\ufeff"),
            *("/etc/hostname,x,genuine", "link/secret.png,x,genuine"),
            *(f"a.png,{'9' * 6000},genuine", f"{'x' * 5000},x,genuine"),
            f"a.png,{'w' * 200_000},genuine",
        ]
    ),
    max_size=6,
)
HEADERS = st.sampled_from(["path,writer,kind", "PATH,Writer,kind,forger", "path,kind", "", "path"])


def check_manifest(header: str, rows: list[str], encoding: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        (root / "folder").mkdir(parents=True)
        for name in ("a.png", "b.png", "../secret.png"):
            (root / name).write_bytes(baddata.WHOLE)
        (root / "text.png").write_text("hello")
        (root / "link").symlink_to(root.parent)
        text = "\n".join([header, *rows])
        (root / "manifest.csv").write_bytes(text.encode(encoding, "ignore"))
        try:
            signatures, left_out = read(root)
        except DeepSignError as stopped:
            message = str(stopped)
            assert str(root) in message
            assert len(message) < 20_000
            return
        assert "secret.png" not in "".join([*signatures["path"], *left_out["path"]])
        assert set(signatures["path"]) <= {"a.png", "b.png"}
        listed = left_out[left_out["reason"] == "missing"]
        assert set(left_out.drop(listed.index)["path"]) <= {"a.png", "b.png", "text.png"}


@settings(max_examples=30, **CALM)
@given(HEADERS, ROWS, st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_random_manifests(header, rows, encoding):
    check_manifest(header, rows, encoding)


@pytest.mark.torture
@settings(max_examples=300, **CALM)
@given(HEADERS, ROWS, st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_three_hundred_random_manifests(header, rows, encoding):
    check_manifest(header, rows, encoding)


def test_the_largest_image_that_is_read_does_not_hang(tmp_path):
    good = {"1": "good", "2": "good"}
    baddata.plant(tmp_path, {("1", False): good, ("1", True): good})
    (tmp_path / "1" / "wide.png").write_bytes(baddata.wide_blank())
    assert read(tmp_path)[1]["reason"].tolist() == ["blank"]
