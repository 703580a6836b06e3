"""A study: its parameters, random streams, places on disk, and the steps it need not repeat.

The parameters live in one table, ``PARAMETERS``. A notebook's cell tagged ``parameters`` repeats
the lines it needs (a test holds the two together), so that papermill can inject values, and
``open_study`` checks what was injected before anything runs.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import json
import multiprocessing
import os
import platform
import re
import shutil
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from deepsign_utils import DeepSignError, __version__

try:
    import fcntl
except ImportError:  # Windows, where there is no make either: one process at a time is up to you
    fcntl = None

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PRETRAINED = Path(__file__).resolve().parent / "pretrained"  # the shipped model folder
CHAPTERS = (
    "01_eda",
    "02_pairing",
    "03_tfrecord",
    "04_model",
    "05_training",
    "06_evaluation",
)
LOCKS = ROOT / "data" / "built" / ".locks"
DEMONSTRATION = "shortcut_demo"  # a study that is one notebook of this name
STREAMS = ("split", "pairs", "weights", "batches", "augment", "bootstrap", "probes")


@dataclass(frozen=True)
class Parameter:
    """One line of the parameter table.

    ``type`` is the annotation in the notebooks: one word, as papermill reads no more than that.
    ``minimum`` and ``maximum`` bound numbers (and the numbers of a list) inclusively; ``choices``
    lists what a string may be.
    """

    name: str
    type: str
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Return the value in its own type.

        Raises
        ------
        DeepSignError
            If the value has another type, or lies outside what is allowed.
        """
        match self.type:
            case "int":
                valid = isinstance(value, int) and not isinstance(value, bool)
            case "float":
                valid = isinstance(value, int | float) and not isinstance(value, bool)
                value = float(value) if valid else value
            case "str":
                valid = isinstance(value, str)
            case "list":
                valid = isinstance(value, list | tuple) and bool(value)
                valid = valid and all(type(item) is int for item in value)
                value = list(value) if valid else value
            case "object":
                value, valid = _share_part_or_writers(value)
        if not valid:
            raise DeepSignError(
                f"The parameter '{self.name}' is {value!r}; it must be {_IN_WORDS[self.type]}. "
                f"It means: {self.help}."
            )
        if self.choices and value not in self.choices:
            raise DeepSignError(
                f"The parameter '{self.name}' is {value!r}; it must be one of "
                f"{', '.join(self.choices)}."
            )
        numbers = value if self.type == "list" else [value]
        # Asked so that what is no number at all (nan) is refused as well.
        if self.minimum is not None and not all(number >= self.minimum for number in numbers):
            raise DeepSignError(
                f"The parameter '{self.name}' is {value!r}; it must be {self.minimum:g} or more."
            )
        if self.maximum is not None and not all(number <= self.maximum for number in numbers):
            raise DeepSignError(
                f"The parameter '{self.name}' is {value!r}; it must be {self.maximum:g} or less."
            )
        return value


_IN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "list": "a list of whole numbers, such as [1, 5, 10]",
    "object": "a share between 0 and 1, a part such as '2/5', or a list of writers",
}


def _share_part_or_writers(value: Any) -> tuple[Any, bool]:
    if isinstance(value, list | tuple):
        # YAML reads the writer '7' as a number; the signature table holds text.
        return [str(item) for item in value], bool(value)
    if isinstance(value, str):
        part = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", value, re.ASCII)
        return value, bool(part) and int(part[1]) <= int(part[2]) > 1
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
    return (float(value), True) if is_share else (value, False)


PARAMETERS: dict[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter("study", "str", "synthetic", "names the study and its output folders"),
        Parameter("dataset", "str", "synthetic", "names the data in tables and reports"),
        Parameter("data_root", "str", "", "folder of the images; empty: data/raw/<dataset>"),
        Parameter(
            "layout",
            "str",
            "auto",
            "how the folder is laid out",
            choices=("auto", "idcar", "cedar", "bhsig260", "manifest"),
        ),
        Parameter("seed", "int", 0, "every random stream is derived from it", minimum=0),
        Parameter("canvas_height", "int", 128, "pixels", minimum=16),
        Parameter("canvas_width", "int", 256, "pixels", minimum=16),
        Parameter(
            "fit",
            "str",
            "aspect",
            "aspect keeps the signature's proportions, fill stretches it",
            choices=("aspect", "fill"),
        ),
        Parameter(
            "stroke_width",
            "str",
            "as_is",
            "normalised redraws every stroke with one pen",
            choices=("as_is", "normalised"),
        ),
        Parameter("validation_writers", "object", 0.2, "share of the writers, or a list"),
        Parameter("test_writers", "object", 0.3, "share of the writers, a part as 2/5, or a list"),
        Parameter(
            "encoder",
            "str",
            "lightweight_encoder",
            "the network that embeds one image",
            choices=("lightweight_encoder", "regional_encoder"),
        ),
        Parameter(
            "loss",
            "str",
            "sigmoid",
            "pair loss: sigmoid or contrastive",
            choices=("sigmoid", "contrastive"),
        ),
        Parameter("epochs", "int", 30, "upper bound; early stopping ends sooner", minimum=1),
        Parameter("patience", "int", 8, "epochs without progress before stopping", minimum=1),
        Parameter("writers_per_batch", "int", 12, "writers that meet in a batch", minimum=2),
        Parameter("genuine_per_writer", "int", 3, "genuine images of each in a batch", minimum=2),
        Parameter("forgeries_per_writer", "int", 3, "forged images of each in a batch", minimum=0),
        Parameter("learning_rate", "float", 0.002, "at its peak, after the warm-up", minimum=1e-8),
        Parameter(
            "start_from",
            "str",
            "",
            "encoder file to start from, or pretrained; empty: random weights",
        ),
        Parameter(
            "cohort_share",
            "float",
            0.0,
            "of what is shared with other writers, the part taken out",
            minimum=0,
            maximum=1,
        ),
        Parameter("references", "list", [1, 5, 10], "references of an enrolled writer", minimum=1),
        Parameter("bootstrap", "int", 1000, "resamples behind an interval", minimum=50),
    )
}


def check_names(names: Sequence[str], where: str) -> None:
    """Refuse names that are no parameters, with the nearest name that is.

    Raises
    ------
    DeepSignError
        For the first unknown name.
    """
    for name in names:
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise DeepSignError(
                f"{where} sets '{name}', which is no parameter.{hint} "
                f"Known: {', '.join(PARAMETERS)}."
            )


def read_study(file: Path) -> dict[str, Any]:
    """Read and check the YAML file of a study.

    Raises
    ------
    DeepSignError
        If the file is missing, is not a YAML mapping, or holds an unknown name or a wrong value.
    """
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml"))) or "none"
        raise DeepSignError(f"There is no study file {file}. Studies there: {known}.")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DeepSignError(f"The study file {file} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise DeepSignError(f"The study file {file} must hold lines of the form 'name: value'.")
    return check_values(values, str(file))


def check_values(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check names and values; see ``check_names`` and ``Parameter.check``."""
    check_names([str(name) for name in values], where)
    try:
        return {name: PARAMETERS[name].check(value) for name, value in values.items()}
    except DeepSignError as error:
        raise DeepSignError(f"{where}: {error}") from None


def resolve(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the values that a study leaves out with the defaults of the parameter table."""
    return {name: values.get(name, parameter.default) for name, parameter in PARAMETERS.items()}


def notebook_parameters(notebook: Path) -> list[str]:
    """Names in the notebook's cell tagged ``parameters``, in order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    source = "".join(tagged[0]["source"]) if tagged else ""
    return [line.split(":")[0] for line in source.splitlines() if ": " in line.split("=")[0]]


def write_chapter_parameters(
    values: Mapping[str, Any], folder: Path, chapters: Sequence[str] = CHAPTERS
) -> None:
    """Write each chapter's resolved parameters to ``<folder>/<chapter>.yaml``.

    A file is rewritten only when its content changes, so that Make reruns just the chapters whose
    parameters did.
    """
    resolved = resolve(values)
    folder.mkdir(parents=True, exist_ok=True)
    for chapter in chapters:
        names = notebook_parameters(ROOT / "notebooks" / f"{chapter}.ipynb")
        chosen = {name: resolved[name] for name in names}
        text = yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True)
        write_atomically(folder / f"{chapter}.yaml", text)


class Study:
    """Where a study's artefacts lie, and its random streams.

    Parameters
    ----------
    name
        The study's name: its folder below ``data/built`` and ``reports``.
    dataset, data_root
        The dataset's name, and the folder of its images (empty: ``data/raw/<dataset>``); a
        relative folder starts at the project's root.
    seed
        The seed from which every stream is derived.
    """

    def __init__(self, name: str, dataset: str = "", data_root: str = "", seed: int = 0) -> None:
        if not name or name != Path(name).name or name.startswith("."):
            raise DeepSignError(f"The study's name is {name!r}; it must be a plain folder name.")
        self.name = name
        self.dataset = dataset
        self.seed = seed
        self.data_root = ROOT / (data_root or f"data/raw/{dataset}")
        self.built = ROOT / "data" / "built" / name
        self.reports = ROOT / "reports" / name
        self.used_parameters = self.built / "used_parameters"
        self.signatures = self.built / "signatures.parquet"
        self.left_out = self.built / "left_out.parquet"
        self.near_copies = self.built / "near_copies.parquet"
        self.quality = self.built / "quality.json"
        self.split = self.built / "split.parquet"
        self.audit_raw = self.built / "audit_raw"
        self.audit_canvas = self.built / "audit_canvas"
        self.records = self.built / "records.json"
        self.layouts = self.built / "layouts.json"
        self.training = self.built / "training"
        self.notebooks = self.reports / "notebooks"
        self.model = self.reports / "model"
        self.history = self.reports / "history.csv"
        self.whitening = self.reports / "whitening.csv"
        self.figures = self.reports / "figures"
        self.scores = self.reports / "scores.parquet"
        self.metrics = self.reports / "metrics.json"

    def pairs(self, split: str) -> Path:
        """Pair table of ``validation``, ``test`` or ``published`` (test writers, all files)."""
        return self.built / f"pairs_{split}.parquet"

    def trials(self, split: str) -> Path:
        """Trial table (several references against one questioned image) of a split."""
        return self.built / f"trials_{split}.parquet"

    def stream(self, name: str) -> np.random.Generator:
        """The named random stream of this study, always from its start."""
        return stream(self.seed, name)


def stream(seed: int, name: str) -> np.random.Generator:
    """A random generator that depends on the seed and the stream's name alone."""
    import numpy as np

    if name not in STREAMS:
        raise ValueError(f"unknown random stream {name!r}; known: {', '.join(STREAMS)}")
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def open_study(namespace: Mapping[str, Any], chapter: str) -> Study:
    """Check the parameters in a notebook's namespace, record them, and open its study.

    Parameters
    ----------
    namespace
        The notebook's ``globals()``, after its parameters cell.
    chapter
        The notebook's name without ending. What it was run with is kept under this name, so that
        the study can say at its end which parameters made it.

    Raises
    ------
    DeepSignError
        For a value of the wrong type and, when run headless, for an injected name that is no
        parameter: papermill itself only warns of those.
    """
    values = {name: value for name, value in namespace.items() if name in PARAMETERS}
    if "JPY_SESSION_NAME" not in os.environ:  # JupyterLab sets it; a person has variables there
        scalars = (bool, int, float, str, list)
        unknown = [
            name
            for name, value in namespace.items()
            if type(value) in scalars and not name.startswith("_") and name not in (*values, "In")
        ]
        check_names(unknown, "The parameters passed to this notebook")
    values = check_values(values, "This notebook")
    study = Study(
        values["study"],
        values.get("dataset", ""),
        values.get("data_root", ""),
        values.get("seed", 0),
    )
    write_artefact(study.used_parameters / f"{chapter}.json", values)
    return study


def provenance(
    study: Study,
    threads: Mapping[str, int],
    inputs: Mapping[str, Path],
    seconds: Mapping[str, float],
    chapters: Sequence[str] = CHAPTERS,
) -> dict[str, Any]:
    """What made a study's numbers: parameters, versions, threads, processor and hashes.

    Parameters
    ----------
    study
        The study, all of whose chapters have run.
    threads
        Thread counts and settings of the arithmetic.
    inputs
        Files by name; their SHA-256 is recorded.
    seconds
        Durations by step.
    chapters
        The notebooks that the study is made of.
    """
    used: dict[str, Any] = {}
    for chapter in chapters:
        used |= read_artefact(study.used_parameters / f"{chapter}.json")
    # Where the images lie is this machine's business; what they are is in the hashes.
    used["data_root"] = Path(used["data_root"]).name
    packages = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "scikit-image", "pillow")
    versions = {"deepsign": __version__, "python": platform.python_version()}
    return {
        "seed": study.seed,
        "parameters": {name: used[name] for name in PARAMETERS if name in used},
        "versions": versions | {name: metadata.version(name) for name in packages},
        "threads": dict(threads),
        "processor": processor(),
        "inputs": {name: digest(file) for name, file in inputs.items()},
        "seconds": dict(seconds),
    }


def write_atomically(file: Path, content: str | bytes) -> None:
    """Write a file beside its place, then rename it into place: it is never half there.

    A file that already holds this content is left alone, so that Make sees no change.

    Raises
    ------
    DeepSignError
        If it cannot be written (disk full, no permission); what was there stays as it was.
    """
    content = content.encode() if isinstance(content, str) else content
    beside = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        if file.is_file() and file.read_bytes() == content:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise DeepSignError(f"{file} cannot be written: {error.strerror}.") from error


def write_json(file: Path, content: Any) -> None:
    """Write JSON atomically; floats keep every digit, NaN is refused."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(file, text + "\n")


def write_artefact(file: Path, content: Any) -> None:
    """Write what a chapter hands on and, hidden beside it, the hash that vouches for it.

    Parameters
    ----------
    file
        Its ending says how: ``.parquet`` or ``.csv`` for a data frame, ``.json`` for the rest.
    content
        What `read_artefact` gives back.
    """
    if file.suffix == ".parquet":
        write_atomically(file, content.to_parquet(index=False))
    elif file.suffix == ".csv":
        write_atomically(file, content.to_csv(index=False))
    else:
        write_json(file, content)
    write_atomically(_voucher(file), f"{digest(file)}  {file.name}\n")


def read_artefact(file: Path) -> Any:
    """Read what `write_artefact` wrote.

    Raises
    ------
    DeepSignError
        If it is missing, damaged, or not the one that was written there.
    """
    import pandas as pd

    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".json": json.loads}
    again = "Delete it and run `make report` again: it is made anew."
    try:
        content = file.read_bytes()
        known = _is_as_written(file)
    except FileNotFoundError as error:
        raise DeepSignError(f"{file} is missing. `make report` makes it.") from error
    except OSError as error:
        raise DeepSignError(f"{file} cannot be read: {error.strerror}.") from error
    if not known:
        raise DeepSignError(
            f"{file} is not the file that the study wrote: it was damaged or changed, or is of "
            f"another study. {again}"
        )
    try:
        return readers[file.suffix](content if file.suffix == ".json" else io.BytesIO(content))
    except Exception as error:  # a damaged file can raise nearly anything
        raise DeepSignError(f"{file} is damaged and cannot be read. {again}") from error


def _voucher(file: Path) -> Path:
    return file.with_name(f".{file.name}.sha256")


def _is_as_written(file: Path) -> bool:
    """Whether a file is there and, where its hash was written down, still has it."""
    voucher = _voucher(file)
    if not (file.exists() and voucher.exists()):
        return file.exists()
    return voucher.read_bytes() == f"{digest(file)}  {file.name}\n".encode()


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes or, for a folder, of its files' names, sizes and times."""
    if path.is_file():
        with path.open("rb") as stream_:
            return hashlib.file_digest(stream_, "sha256").hexdigest()
    listing = sorted(
        (str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in path.rglob("*")
        if file.is_file()
    )
    return hashlib.sha256(ascii(listing).encode()).hexdigest()


SEAL = "SHA256SUMS"


def seal(folder: Path) -> None:
    """Write down the hashes of a folder's files, as ``sha256sum`` does, so that they stay together.

    Hidden files do not count.
    """
    files = sorted(file for file in folder.glob("[!.]*") if file.is_file() and file.name != SEAL)
    write_atomically(folder / SEAL, "".join(f"{digest(file)}  {file.name}\n" for file in files))


def check_seal(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder whose files are not those that were sealed.

    It finds damage and files of another model. Whoever wants to deceive can seal anew: take a model
    only from where you trust it.

    Parameters
    ----------
    folder
        Sealed with ``seal``.
    names
        Files that must be among the sealed ones.

    Raises
    ------
    DeepSignError
        Naming the first file that is missing or changed.
    """
    again = "take the model folder from its source again, or delete it and run `make report`."
    try:
        lines = (folder / SEAL).read_text(encoding="utf-8").splitlines()
        sealed = {name: sum_ for sum_, name in (line.split("  ", 1) for line in lines)}
    except FileNotFoundError as error:
        raise DeepSignError(
            f"{folder / SEAL} is missing, so that nothing tells whether the model's files belong "
            f"together: {again}"
        ) from error
    except (OSError, ValueError) as error:
        raise DeepSignError(f"{folder / SEAL} is damaged: {again}") from error
    for name in dict.fromkeys([*names, *sealed]):
        file = folder / name
        if name not in sealed or Path(name).name != name:
            raise DeepSignError(f"{folder / SEAL} does not vouch for {name}: {again}")
        if not file.is_file():
            raise DeepSignError(f"{file} is missing: {again}")
        if digest(file) != sealed[name]:
            raise DeepSignError(
                f"{file} is not the file that was written with this model: it was changed or "
                f"damaged, or is of another model. Please {again}"
            )


def processor() -> str:
    """Kind and vector instructions of the processor: they decide arithmetic's last bits."""
    kind, flags = platform.processor() or "unknown processor", set()
    with contextlib.suppress(OSError):  # only Linux has it
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            kind = value if name == "model name" else kind
            flags |= set(value.split()) if name in ("flags", "Features") else set()
    vectors = sorted(flags & {"avx", "avx2", "fma", "avx512f", "amx_tile", "asimd", "sve"})
    return ", ".join([kind, platform.machine(), *vectors])


def fingerprint(
    inputs: Sequence[Path] = (),
    parameters: Mapping[str, Any] | None = None,
    code: Sequence[ModuleType] = (),
) -> str:
    """What a heavy step's result depends on, as JSON text: equal text, equal result.

    Parameters
    ----------
    inputs
        Files (their bytes count) and folders (their files' names, sizes and times count).
    parameters
        The step's own parameters, ready for JSON.
    code
        The modules that compute the result.
    """
    made_of = {
        "inputs": [[path.name, digest(path)] for path in inputs],
        "parameters": dict(parameters or {}),
        "code": {module.__name__: digest(Path(module.__file__ or "")) for module in code},
    }
    return json.dumps(made_of, indent=1, sort_keys=True)


@contextlib.contextmanager
def alone(what: Path, inherited: bool = False) -> Iterator[None]:
    """Hold a lock on a file or folder of the project; whoever comes second says so and waits.

    The system lets the lock go when the process that holds it ends, in whatever way: there is
    nothing to clear up after a crash.

    Parameters
    ----------
    what
        What is worked on; it need not exist.
    inherited
        Whether programs that this process becomes or starts hold the lock too, until the last of
        them has ended.
    """
    if fcntl is None:
        yield
        return
    name = os.path.relpath(what, ROOT)
    file = LOCKS / f"{what.name}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        held = file.open("a")
    except OSError as error:
        raise DeepSignError(f"{file} cannot be written: {error.strerror}.") from error
    with held:
        os.set_inheritable(held.fileno(), inherited)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process works on {name}; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def clear_partial(folder: Path) -> None:
    """Remove what processes that were killed left half written below a folder."""
    for partial in folder.rglob(".*.partial*"):
        number = re.search(r"\.(\d+)\.partial", partial.name)
        if number and not _is_running(int(number[1])):
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def step(outputs: Sequence[Path], **made_of: Any) -> Iterator[bool]:
    """Tell whether a heavy step must run, and remember that it has.

    Its fingerprint is kept beside the first output. Where it matches, and every output is there as
    it was written, the step yields False. Two processes that come to the same step do it one after
    the other, so that the second one finds it done.

    Parameters
    ----------
    outputs
        The files that the step writes.
    **made_of
        What it depends on; see ``fingerprint``.

    Examples
    --------
    >>> with step([table], inputs=[folder], code=[datasets]) as needed:  # doctest: +SKIP
    ...     if needed:
    ...         write_artefact(table, datasets.read_dataset(folder)[0])
    """
    with alone(outputs[0]):
        text = fingerprint(**made_of)
        stamp = outputs[0].with_name(f".{outputs[0].name}.fingerprint.json")
        same = stamp.is_file() and stamp.read_bytes() == text.encode()
        needed = not (same and all(map(_is_as_written, outputs)))
        if needed:
            stamp.unlink(missing_ok=True)
        yield needed
        if needed:
            write_atomically(stamp, text)


def shards_folder(dataset: str, content: Any, preprocessing: Mapping[str, Any]) -> Path:
    """Where the shards of some content, cleaned in some way, lie: shared by studies and sweeps.

    Parameters
    ----------
    dataset
        Begins the folder's name, for people.
    content
        Data frame that names the images and their split.
    preprocessing
        How they are cleaned.
    """
    key = hashlib.sha256(content.to_json().encode() + json.dumps(preprocessing).encode())
    return ROOT / "data" / "built" / "shards" / f"{dataset}-{key.hexdigest()[:12]}"


def worker_pool(processes: int) -> ProcessPoolExecutor:
    """So many worker processes, which end when the one that started them does.

    They are not forked from the caller, which may run TensorFlow's threads: those do not survive a
    fork. On Linux they are forked from a process that has imported what cleaning and drawing need,
    once for all pools of the caller; elsewhere each starts, and imports, for itself.
    """
    if sys.platform == "linux":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["deepsign_utils.preprocessing"])
    else:
        context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, _start_worker)


def _start_worker() -> None:
    """Let a worker process do its matrix products by itself, and end when its parent was killed.

    As many threads in each worker as there are processors would wait for one another; and a worker
    whose parent is gone would wait for ever.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def usable_processors() -> int:
    """Processors that this process may run on; no more than ``DEEPSIGN_THREADS``, if that is set.

    So one of several runs on a machine starts no more processes than threads.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    wanted = os.environ.get("DEEPSIGN_THREADS", "")
    return min(count, int(wanted)) if wanted.isdecimal() and int(wanted) > 0 else count
