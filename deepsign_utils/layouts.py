"""Folder layouts: whose signature an image is, genuine or forged, told from names alone.

A layout is one small class: its name, which datasets have it, an example tree, and `tell`, which
reads paths and opens nothing. `LAYOUTS` is the register: the choices of the `layout` parameter, the
help of the command line and the table in data/README.md come from it, and a test plants every
example and reads it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

CLUTTER = re.compile(r"thumbs\.db|desktop\.ini|readme.*|licen[sc]e.*", re.IGNORECASE)
"""Names of files that are no part of a dataset, beside hidden ones."""

PROBLEMS = {
    "contradiction": "its name says genuine and its folder forged, or the other way round",
    "questioned": "its name does not tell whether it is genuine; a manifest.csv can",
    "other hand": "the writer's own, in disguise or by the other hand: neither genuine nor forged",
}
"""Reasons of layouts to leave a file out, and what they mean."""


@dataclass(frozen=True)
class Tree:
    """What lies in a folder: paths relative to it with forward slashes, in a fixed order."""

    images: Sequence[str]
    folders: Sequence[str] = ()


@dataclass(frozen=True)
class Told:
    """What a layout knows of a file.

    Attributes
    ----------
    writer : str
    kind : str
        "genuine" or "forgery"; empty where `problem` says why the file is left out.
    forger : str or None
    dataset : tuple of str
        Equal for the files of one dataset: the folders that neither name a writer nor a kind nor
        a part of a dataset, such as train and test.
    problem : str
        A key of `PROBLEMS`, or empty.
    """

    writer: str = ""
    kind: str = ""
    forger: str | None = None
    dataset: tuple[str, ...] = ()
    problem: str = ""


_NEARLY_ALL = 0.9  # of the images: a layout that tells as many fits
_MOST = 0.5  # of the writers


class Layout:
    """A folder layout. `example` has a line a file: path, `->`, then what is read from it."""

    name: str
    datasets: str
    example: str

    def lines(self) -> list[tuple[str, str]]:
        """The example's files: path, and what is read from it."""
        pairs = (line.split(" -> ") for line in self.example.strip().splitlines())
        return [(path.strip(), read.strip()) for path, read in pairs]

    def tell(self, tree: Tree) -> dict[str, Told]:
        """What is known of each image; one that is missing does not fit the layout."""
        raise NotImplementedError

    def misfit(self, tree: Tree) -> str:
        """Why a folder is not laid out so, by the file or folder in the way; empty if unknown."""
        return ""


# Words in folder names

_WORDS = {
    "genuine": "genuine genuines original originals org orig real reals authentic echt echte "
    "reference references ref refs",
    "forgery": "forged forgery forgeries forgeds forg forge forges fake fakes simulated "
    "simulation simulations counterfeit skilled simple unskilled fraud frauds fraudulent "
    "fälschung fälschungen gefälscht faelschung faelschungen gefaelscht",
    "other hand": "opposite disguise disguised disguises",
    "questioned": "questioned suspect suspects suspected suspicious disputed",
    "part": "train training test testing val valid validation eval evaluation part fold "
    "session split trainset testset trainingset testingset traindata testdata",
    "": "full offline off line online signature signatures sign signs sig sigs image images img "
    "imgs set sets data dataset datasets sample samples all scan scans file files hand nfi of",
}
_KIND_OF_WORD = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_KINDS = ("genuine", "forgery")
LETTERS = {"g": "genuine", "f": "forgery"}
"""Kinds that a letter alone stands for, where it stands for one."""


@lru_cache(maxsize=65536)
def meaning(folder: str) -> str | None:
    """What the words of a folder's name say.

    Returns
    -------
    str or None
        "genuine", "forgery", "other hand", "questioned", "part" (train, test and the like) or ""
        (filler, such as images); None if it says anything else, as a writer's name does.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    words = [word for word in re.findall(r"[^\W\d_]+", spaced.lower()) if len(word) > 1]
    if not words:
        return None
    said = set()
    for word in words:
        kind = _KIND_OF_WORD.get(word)
        if kind is None:
            kind = next((k for k, part in _IN_A_WORD if part in word), None)
        if kind is None:
            return None
        said.add(kind)
    if "other hand" in said:
        return "other hand"
    said.discard("")
    kinds = said - {"part"}
    if len(kinds) > 1:
        return None
    return next(iter(kinds or said), "")


_IN_A_WORD = (("genuine", "genuine"), ("forgery", "forger"), ("forgery", "forged"))


def writer_key(name: str) -> str:
    """What two spellings of one writer share: `1` and `001`, composed and decomposed accents."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", unicodedata.normalize("NFC", name))


def _split(path: str) -> tuple[list[str], str]:
    """A path's folders, and its file's name without ending."""
    *folders, name = path.split("/")
    stem, dot, _ = name.rpartition(".")
    return folders, stem if dot else name


def words(path: str) -> list[str]:
    """The words and numbers of a file's name without its ending, and of the folders before it."""
    return [word for word in re.split(r"[\s_./()-]+", path) if word]


def _kind_said(stem: str) -> str | None:
    """The kind that the words of a file's name say, unless they say both or neither."""
    said = {meaning(word) for word in words(stem)} & set(_KINDS)
    return said.pop() if len(said) == 1 else None


# Layouts whose files' own names tell


class NamedFiles(Layout):
    """Every file's own name tells writer and kind, whatever folders it lies in.

    `patterns` match a name without ending. Their groups: `writer`, `forged` (there if it is
    forged), and if they have them `forger`, `signer` (forged unless he is the writer) and `set`.
    """

    patterns: tuple[str, ...]
    unpadded = False  # whether writers lose leading zeros: published lists of them have none

    def tell(self, tree: Tree) -> dict[str, Told]:
        """Tell of each image what its path says."""
        patterns = [re.compile(text, re.IGNORECASE | re.ASCII) for text in self.patterns]
        told = {}
        for path in tree.images:
            folders, stem = _split(path)
            for pattern in patterns:
                if (match := pattern.fullmatch(stem)) and (one := self._one(folders, match)):
                    told[path] = one
        return _in_one_form(told) if self.unpadded else told

    def _one(self, folders: list[str], match: re.Match[str]) -> Told | None:
        groups = match.groupdict()
        writer, signer = groups["writer"], groups.get("signer")
        parent = folders[-1] if folders else ""
        if parent.isdecimal():
            if writer_key(parent) != writer_key(writer):
                return None
            writer = parent if self.unpadded else writer
        forged = signer != writer if signer else groups.get("forged") is not None
        dataset = self._dataset(folders, writer, (groups.get("set") or "").upper())
        if {_KINDS[forged], *map(meaning, folders)} >= set(_KINDS):
            return Told(dataset=dataset, problem="contradiction")
        forger = groups.get("forger") or signer
        return Told(writer, _KINDS[forged], forger if forged else None, dataset)

    def _dataset(self, folders: list[str], writer: str, name: str) -> tuple[str, ...]:
        return (*_foreign(folders, writer), name)


def _foreign(folders: Iterable[str], writer: str) -> tuple[str, ...]:
    """Folders that name neither the writer nor a kind nor a part of a dataset."""
    return tuple(
        folder
        for folder in folders
        if meaning(folder) is None
        and writer_key(_FORGED_FOLDER.sub(r"\1", folder)) != writer_key(writer)
    )


def _in_one_form(told: dict[str, Told]) -> dict[str, Told]:
    """Writers without leading zeros, but for those who would then fall together."""
    spelt = defaultdict(set)
    for one in told.values():
        spelt[one.dataset, writer_key(one.writer)].add(one.writer)
    return {
        path: replace(one, writer=writer_key(one.writer))
        if len(spelt[one.dataset, writer_key(one.writer)]) == 1
        else one
        for path, one in told.items()
    }


def _under_one_name(told: dict[str, Told]) -> dict[str, Told]:
    """Forgeries under the name that the genuine signatures have, where the two differ by leading
    zeros or case alone."""
    spelt: dict = defaultdict(lambda: defaultdict(set))
    for one in told.values():
        spelt[one.dataset, writer_key(one.writer.casefold())][one.kind].add(one.writer)
    named = {
        (dataset, *kinds["forgery"]): next(iter(kinds["genuine"]))
        for (dataset, _), kinds in spelt.items()
        if len(kinds["genuine"]) == len(kinds["forgery"]) == 1
    }
    return {
        path: replace(one, writer=named.get((one.dataset, one.writer), one.writer))
        if one.kind == "forgery"
        else one
        for path, one in told.items()
    }


class Bhsig260(NamedFiles):
    """BHSig260: a letter for the script, then G or F in each name."""

    name = "bhsig260"
    datasets = "BHSig260, Bengali (`B-`) or Hindi (`H-`)"
    patterns = (r"(?P<set>[BH])-S-(?P<writer>[0-9]+)-(?:G|(?P<forged>F))-[0-9]+",)
    unpadded = True
    example = """
        1/B-S-1-G-01.tif -> 1 genuine
        1/B-S-1-F-01.tif -> 1 forgery
        002/B-S-002-G-24.tif -> 2 genuine
        002/B-S-002-F-30.tif -> 2 forgery
        list.genuine -> not an image
        """


class Cedar(NamedFiles):
    """CEDAR: original or forgeries in each name."""

    name = "cedar"
    datasets = "CEDAR"
    patterns = (r"(?:original|(?P<forged>forger(?:y|ies)))_(?P<writer>[0-9]+)_[0-9]+",)
    unpadded = True
    example = """
        signatures/full_org/original_1_1.png -> 1 genuine
        signatures/full_org/original_2_24.png -> 2 genuine
        signatures/full_forg/forgeries_1_1.png -> 1 forgery
        signatures/full_forg/forgeries_2_24.png -> 2 forgery
        """


class Gpds(NamedFiles):
    """GPDS: c or cf in each name."""

    name = "gpds"
    datasets = "GPDS-960, its parts, and GPDS Synthetic"
    patterns = (r"c(?P<forged>f)?-(?P<writer>[0-9]+)-[0-9]+",)
    example = """
        001/c-001-01.jpg -> 001 genuine
        001/cf-001-01.jpg -> 001 forgery
        002/c-002-24.jpg -> 002 genuine
        002/cf-002-30.jpg -> 002 forgery
        """


class Mcyt(NamedFiles):
    """MCYT-75: v or f in each name."""

    name = "mcyt"
    datasets = "MCYT-75"
    patterns = (r"(?:(?P<forger>[0-9]{4})_)?(?P<writer>[0-9]{4})(?:v|(?P<forged>f))[0-9]{2}",)
    example = """
        0000/0000v00.bmp -> 0000 genuine
        0000/0000f00.bmp -> 0000 forgery
        0002/0002v14.bmp -> 0002 genuine
        0002/0003_0002f00.bmp -> 0002 forgery by 0003
        """


class SigComp2009(NamedFiles):
    """SigComp 2009: who signed stands before in whose name."""

    name = "sigcomp2009"
    datasets = (
        "SigComp 2009, training (`NISDCC-`) or evaluation (`NFI-`); copies without the prefix"
    )
    patterns = (
        r"(?P<set>NISDCC)-(?P<signer>[0-9]{3})_(?P<writer>[0-9]{3})_[0-9]{3}(?:_.*)?",
        r"(?:(?P<set>NFI)-)?(?P<signer>[0-9]{3})[0-9]{2}(?P<writer>[0-9]{3})",
    )
    _PREFIX = re.compile(r"(^|/)(NISDCC|NFI)-[^/]*$", re.IGNORECASE)
    example = """
        genuines/NFI-00101001.png -> 001 genuine
        genuines/NFI-02103021.png -> 021 genuine
        forgeries/NFI-00602001.png -> 001 forgery by 006
        forgeries/NFI-00604021.png -> 021 forgery by 006
        """

    def tell(self, tree: Tree) -> dict[str, Told]:
        """Tell of each image what its path says."""
        told = super().tell(tree)
        # Eight digits may as well be a date.
        return told if any(map(self._PREFIX.search, told)) or _borne_out(told) else {}


class SigComp2011(NamedFiles):
    """SigComp 2011: a forger's number stands before the writer's."""

    name = "sigcomp2011"
    datasets = "SigComp 2011 as issued, Dutch or Chinese, training and test set"
    patterns = (
        r"(?P<writer>[0-9]{3}) ?_ ?[0-9]{1,2}",
        r"[0-9]{1,2} ?_ ?(?P<writer>[0-9]{3})",
        r"(?P<forged>(?P<forger>[0-9]{2,4})(?P<writer>[0-9]{3})) ?_ ?[0-9]{1,2}",
        r"[0-9]{1,2} ?_ ?(?P<forged>(?P<forger>[0-9]{2,4})(?P<writer>[0-9]{3}))",
    )
    example = """
        Dutch/TrainingSet/Offline Genuine/001_01.PNG -> 001 genuine
        Dutch/TrainingSet/Offline Forgeries/0201001_01.png -> 001 forgery by 0201
        Dutch/TestSet/Reference(646)/013/01_013.PNG -> 013 genuine
        Dutch/TestSet/Questioned(1287)/013/02_013.PNG -> 013 genuine
        Dutch/TestSet/Questioned(1287)/013/01_0113013.PNG -> 013 forgery by 0113
        """
    _SCRIPTS = re.compile("dutch|chinese", re.IGNORECASE)
    _ISSUED = re.compile(r"(offline (genuine|forger)|ref(erence)?\(|questioned\()", re.IGNORECASE)

    def tell(self, tree: Tree) -> dict[str, Told]:
        """Tell of each image what its path says."""
        # Names of digits alone are common: the folders or the writers have to bear them out.
        told = super().tell(tree)
        return told if any(map(self._ISSUED.search, told)) or _borne_out(told) else {}

    def _dataset(self, folders: list[str], writer: str, name: str) -> tuple[str, ...]:
        scripts = self._SCRIPTS.findall("/".join(folders))
        return (scripts[0].capitalize(),) if scripts else ()


# Layouts whose folders tell


class Idcar(Layout):
    """A folder of genuine signatures for each writer, and one of forged ones beside it."""

    name = "idcar"
    datasets = "IDCAR, the synthetic set; SigComp 2011 Dutch as Kaggle has it (`train`, `test`)"
    example = """
        train/049/01_049.png -> 049 genuine
        train/049_forg/01_0114049.PNG -> 049 forgery by 0114
        test/anna/1.png -> anna genuine
        test/anna_forg/1.png -> anna forgery
        train.csv -> not an image
        """

    def tell(self, tree: Tree) -> dict[str, Told]:
        """Tell of each image what its path says."""
        beside = defaultdict(list)
        for folder in tree.folders:
            above, _, name = folder.rpartition("/")
            beside[above].append(name)
        means = {
            f"{above}/{name}".lstrip("/"): role
            for above, names in beside.items()
            for name, role in _roles(names).items()
        }
        return {
            path: self._one(path, folder, *means[folder])
            for path in tree.images
            for folder in _folders_of(path)
            if folder in means
        }

    def _one(self, path: str, folder: str, writer: str, kind: str) -> Told:
        stem, dataset = _split(path)[1], _foreign(folder.split("/")[:-1], writer)
        if {kind, _kind_said(stem)} >= set(_KINDS):
            return Told(dataset=dataset, problem="contradiction")
        return Told(writer, kind, _forger(stem, writer) if kind == "forgery" else None, dataset)


_SUFFIX = re.compile(r"(.+)[ _.-]([a-z]+)", re.IGNORECASE | re.DOTALL)
_BRACKETS = re.compile(r"(.+?)[ _.-]*\(([a-z]+)\)", re.IGNORECASE | re.DOTALL)
_PREFIX = re.compile(r"([a-z]+)[ _.-]+(.+)", re.IGNORECASE | re.DOTALL)
_FORGED_FOLDER = re.compile(r"(.+)[ _.-](?:forg\w*|fake|f)", re.IGNORECASE | re.DOTALL)


def _marked(name: str) -> tuple[str, str] | None:
    """Writer and kind that a folder's name says: `anna_forg`, `anna-f`, `anna (forged)`,
    `forged_anna`."""
    if match := _SUFFIX.fullmatch(name) or _BRACKETS.fullmatch(name):
        kind = LETTERS.get(match[2].lower()) or meaning(match[2])
        if kind in _KINDS:
            return match[1], kind
    if (match := _PREFIX.fullmatch(name)) and (kind := meaning(match[1])) in _KINDS:
        return match[2], kind
    return None


def _roles(names: list[str]) -> dict[str, tuple[str, str]]:
    """Writer and kind of each of some folders side by side; empty if no two of them are a pair."""
    marked = {name: of for name in names if (of := _marked(name))}  # name -> writer, kind
    unmarked = [name for name in reversed(names) if name not in marked]
    keys = [writer_key(name.casefold()) for name in unmarked]
    plain = {key: n for key, n in zip(keys, unmarked, strict=True) if keys.count(key) == 1}
    plain |= {name.casefold(): name for name in unmarked} | {name: name for name in names}

    def genuine_of(writer: str) -> str | None:
        folded = writer.casefold()
        return plain.get(writer) or plain.get(folded) or plain.get(writer_key(folded))

    forged = {writer.casefold() for writer, kind in marked.values() if kind == "forgery"}
    pairs, roles = 0, {}
    for name in names:
        if name.casefold() in forged:  # Anna F, beside Anna F_forg
            roles[name] = (name, "genuine")
            continue
        writer, kind = marked.get(name, (name, "genuine"))
        if kind == "forgery":
            twin = genuine_of(writer)
            suffixed = (
                (w.casefold(), k) == (writer.casefold(), "genuine") for w, k in marked.values()
            )
            paired = twin is not None or (meaning(writer) is None and any(suffixed))
            pairs += paired
            if paired or len(name) - len(writer) > 2:
                roles[name] = (twin or writer, "forgery")
                continue
        elif name in marked and writer.casefold() in forged and not genuine_of(writer):
            roles[name] = (writer, "genuine")
            continue
        roles[name] = (name, "genuine")
    return roles if pairs else {}


def _folders_of(path: str) -> list[str]:
    """The folders that hold a file, outermost first."""
    return [path[: match.start()] for match in re.finditer("/", path)]


def _forger(stem: str, writer: str) -> str | None:
    """Forger's number in an ICDAR-2011 name, `<forger><writer>_<n>` with digits run together."""
    match = re.search(rf"(?<![0-9])([0-9]+){re.escape(writer)}(?![0-9])", stem)
    return match[1] if match else None


class FourNSigComp(Layout):
    """Forensic competitions: a kind and a number are all that a name tells."""

    name = "4nsigcomp"
    datasets = (
        "4NSigComp 2010 (writer A: training set, B: test set) and 2012. Which of the questioned "
        "are genuine stands in a file beside: write a manifest"
    )
    example = """
        TrainingSet/Reference/R001.png -> A genuine
        TrainingSet/Genuine/G001.png -> A genuine
        TrainingSet/Simulated/S001.png -> A forgery
        TrainingSet/Disguise/D001.png -> other hand
        TestSet/Reference/R001.png -> B genuine
        TestSet/Questioned/Q001.png -> questioned
        """
    _NAME = re.compile("[a-z]+[0-9]{1,3}[a-z]*", re.IGNORECASE)

    def tell(self, tree: Tree) -> dict[str, Told]:
        """Tell of each image what its path says."""
        told = {}
        for path in tree.images:
            folders, stem = _split(path)
            kinds = [meaning(folder) for folder in folders]
            places = [i for i, kind in enumerate(kinds) if kind not in (None, "", "part")]
            if not places or not self._NAME.fullmatch(stem):
                continue
            kind, below = kinds[places[-1]], folders[places[-1] + 1 :]
            # The innermost: the whole may lie in somebody's folder `train`.
            part = next(
                (f for f, k in zip(folders[::-1], kinds[::-1], strict=True) if k == "part"), ""
            )
            writer = below[0] if below else {"tr": "A", "te": "B"}.get(part[:2].lower())
            if writer and kind in _KINDS:
                told[path] = Told(writer, kind, None, _foreign(folders[: places[0]], writer))
            elif writer and kind:
                told[path] = Told(problem=kind)
        return told if any(one.problem for one in told.values()) else {}


class GenuineForged(Layout):
    """A folder says genuine or forged; the writer is the folder below it, above it, or the name."""

    name = "genuine_forged"
    datasets = (
        "UTSig; any folders that say genuine (real, original, reference) and forged (forge, fake, "
        "simulated, skilled), or a pair `G` and `F`, below or above each writer's, or with names "
        "as `anna_01.png` in them"
    )
    example = """
        Genuine/1/1.tif -> 1 genuine
        Genuine/2/27.tif -> 2 genuine
        Forgery/Skilled/1/6.tif -> 1 forgery
        Forgery/Simple/2/36.tif -> 2 forgery
        Forgery/Opposite Hand/1/3.tif -> other hand
        """

    def tell(self, tree: Tree) -> dict[str, Told]:
        """Tell of each image what its path says."""
        marked = []
        lettered = _lettered(tree.folders)
        for path in tree.images:
            folders, stem = _split(path)
            kinds = [meaning(folder) for folder in folders]
            if not set(kinds) & set(_KINDS):
                pairs = zip(_folders_of(path), kinds, strict=True)
                kinds = [lettered.get(folder, kind) for folder, kind in pairs]
            places = [i for i, kind in enumerate(kinds) if kind in (*_KINDS, "other hand")]
            if places:
                marked.append((path, folders, stem, kinds, places))
        # The writers who have both kinds tell where their names stand.
        readings = [
            _under_one_name({row[0]: one for row in marked if (one := self._one(*row[1:], where))})
            for where in (self._below, self._above, self._in_name)
        ]
        if _may_be_sessions(readings[2]):
            readings.pop()
        best = max(readings, key=_complete)
        return best if _complete(best) else {}

    def _one(self, folders: list, stem: str, kinds: list, places: list, where) -> Told | None:
        writer, end = where(folders, stem, kinds, places)
        if writer is None:
            return None
        said = {kinds[place] for place in places}
        if named := _kind_said(stem):
            said.add(named)
        dataset = _foreign(folders[:end], writer)
        if problem := "other hand" if "other hand" in said else "contradiction" * (len(said) - 1):
            return Told(dataset=dataset, problem=problem)
        return Told(writer, said.pop(), None, dataset)

    @staticmethod
    def _below(folders: list, stem: str, kinds: list, places: list) -> tuple[str | None, int]:
        after = range(places[-1] + 1, len(folders))
        return next((folders[i] for i in after if kinds[i] is None), None), places[0]

    @staticmethod
    def _above(folders: list, stem: str, kinds: list, places: list) -> tuple[str | None, int]:
        before = range(places[0] - 1, -1, -1)
        place = next((i for i in before if kinds[i] is None), 0)
        return (folders[place] if kinds[place] is None else None), place

    @staticmethod
    def _in_name(folders: list, stem: str, kinds: list, places: list) -> tuple[str | None, int]:
        match = None if _kind_said(stem) else _NUMBERED.fullmatch(stem)
        return (match[1] if match else None), places[0]


def _lettered(folders: Iterable[str]) -> dict[str, str]:
    """Kinds of the folders `G` and `F` that lie alone side by side."""
    beside = defaultdict(set)
    for folder in folders:
        beside[folder.rpartition("/")[0]].add(folder)
    return {
        folder: LETTERS[folder[-1].lower()]
        for above, both in beside.items()
        if sorted(folder[len(above) :].strip("/").lower() for folder in both) == ["f", "g"]
        for folder in both
    }


_NUMBERED = re.compile(r"(.*[^ _-])[ _-]+[0-9]+", re.DOTALL)  # a writer's name, a number
_BRACKETED = re.compile(r"(.*[^ _-])[ _-]*\([0-9]+\)", re.DOTALL)  # as Windows numbers files


class KindInName(Layout):
    """A word in each file's name says genuine or forged; the writer is its folder, or the rest."""

    name = "kind_in_name"
    datasets = (
        "any files whose names say genuine (real, original, reference) or forged (forge, fake, "
        "simulated, skilled), or all of them `G` or `F`, in each writer's folder or with the "
        "writer's name in theirs"
    )
    example = """
        anna/genuine_1.png -> anna genuine
        anna/forged_1.png -> anna forgery
        ben/ben-02-real.png -> ben genuine
        ben/ben-02-fake.png -> ben forgery
        """

    def tell(self, tree: Tree) -> dict[str, Told]:
        """Tell of each image what its path says."""
        rows: list[tuple[str, list[str], list[str], str]] = []
        for path in tree.images:
            folders, stem = _split(path)
            if kind := _kind_said(stem):
                rest = [word for word in words(stem) if meaning(word) is None]
                rows.append((path, folders, rest, kind))
        if lettered := not rows:
            rows = self._lettered(tree)
        by_folder, by_name = (
            {path: one for path, *row in rows if (one := read(*row))}  # type: ignore[arg-type]
            for read in (self._by_folder, self._by_name)
        )
        for path, _, rest, _ in rows:
            if path in by_folder and len(rest) == 1 and rest[0].isdecimal():
                by_name.pop(path)  # a number in somebody's folder counts that person's signatures
        if lettered and not _borne_out(max(by_folder, by_name, key=_complete)):
            return {}
        people, names = _complete(by_folder), _complete(by_name)
        if (people > 1 and names > people) or (people < 2 and _may_be_sessions(by_name)):
            return {}  # sessions of people, or numbered people of several datasets: who can tell
        told = by_folder if people > 1 or not names else by_name
        return told if _complete(told) else {}

    @staticmethod
    def _lettered(tree: Tree) -> list[tuple[str, list[str], list[str], str]]:
        """The rows where `G` or `F` stands at the same place of nearly every name."""
        rows = defaultdict(list)
        for path in tree.images:
            folders, stem = _split(path)
            said = words(stem)
            at = [place for place, word in enumerate(said) if word.lower() in LETTERS]
            if len(at) == 1:
                rest = [w for w in said[: at[0]] + said[at[0] + 1 :] if meaning(w) is None]
                rows[at[0]].append((path, folders, rest, LETTERS[said[at[0]].lower()]))
        most = max(rows.values(), key=len, default=[])
        return most if len(most) >= _NEARLY_ALL * len(tree.images) else []

    @classmethod
    def _by_folder(cls, folders: list[str], rest: list[str], kind: str) -> Told | None:
        place = next((i for i in reversed(range(len(folders))) if meaning(folders[i]) is None), -1)
        if place < 0:
            return None
        writer = folders[place]
        spelt = {writer_key(word.casefold()) for word in words(writer)}
        if all(word.isdecimal() or writer_key(word.casefold()) in spelt for word in rest):
            return cls._one(writer, kind, folders, folders[:place])
        return None

    @classmethod
    def _by_name(cls, folders: list[str], rest: list[str], kind: str) -> Told | None:
        named = rest[:-1] if len(rest) > 1 and rest[-1].isdecimal() else rest
        return cls._one("_".join(named), kind, folders, folders) if named else None

    @staticmethod
    def _one(writer: str, kind: str, folders: list[str], around: list[str]) -> Told:
        dataset = _foreign(around, writer)
        if {kind, *map(meaning, folders)} >= set(_KINDS):
            return Told(dataset=dataset, problem="contradiction")
        return Told(writer, kind, None, dataset)


def _kinds_of_writers(told: dict[str, Told]) -> dict[tuple, set[str]]:
    kinds = defaultdict(set)
    for one in told.values():
        if one.kind:
            kinds[one.dataset, one.writer].add(one.kind)
    return kinds


def _complete(told: dict[str, Told]) -> int:
    """How many writers have genuine and forged signatures."""
    return sum(found >= set(_KINDS) for found in _kinds_of_writers(told).values())


def _borne_out(told: dict[str, Told]) -> bool:
    """Whether names of digits alone are read right: most writers have both kinds, and folders that
    say genuine or forged hardly ever speak against it."""
    against = sum(one.problem == "contradiction" for one in told.values())
    most = _complete(told) >= _MOST * len(_kinds_of_writers(told))
    return bool(told) and most and against <= (1 - _NEARLY_ALL) * len(told)


def _may_be_sessions(told: dict[str, Told]) -> bool:
    """Whether what is taken for writers may be people's sessions, such as p1_day1 and p1_day2.

    Their names' last parts are then the same ones after most of what stands before.
    """
    parts = [re.fullmatch(r"(.+?)[\s_.-]+([^\s_.-]+)", one.writer) for one in told.values()]
    pairs = {match.groups() for match in parts if match}
    firsts, lasts = ({pair[side] for pair in pairs} for side in (0, 1))
    return min(len(firsts), len(lasts)) > 1 and len(pairs) > len(firsts) * len(lasts) / 2


class Manifest(Layout):
    """A table says whose each image is; `manifests.read` reads it."""

    name = "manifest"
    datasets = "anything: a `manifest.csv` lists its images"
    example = """
        scans/anna-01.png -> anna genuine
        scans/anna-by-ben-01.png -> anna forgery by ben
        scans/blotter.png -> not in the manifest
        """


class GenuineOnly(Layout):
    """A folder of genuine signatures for each person, and nothing else: what `calibrate` takes."""

    name = "genuine_only"
    datasets = "one's own people, for `calibrate` (never recognised elsewhere: name it)"
    example = """
        anna/1.png -> anna genuine
        ben/scan 7.tif -> ben genuine
        """

    def tell(self, tree: Tree) -> dict[str, Told]:
        """Tell of each image what its path says."""
        return {} if self.misfit(tree) else self._told(tree)

    @staticmethod
    def may_be_forged(tree: Tree) -> str:
        """The first image whose path has a word for forgeries, though it may be a person's name."""
        return next(filter(_SAYS_FORGED.search, tree.images), "")

    def misfit(self, tree: Tree) -> str:
        """Why a folder is not laid out so, by the file or folder in the way."""
        told = self._told(tree)
        by_folder = any(one.writer in path.split("/") for path, one in told.items())
        if untold := [path for path in tree.images if path not in told]:
            mend = "lies in no person's folder: move it into one, or away"
            if not by_folder:
                mend = "does not tell whose it is: put each person's images into a folder"
            return f"{untold[0]!r} {mend}"
        people = list(dict.fromkeys((*one.dataset, one.writer) for one in told.values()))
        places = Counter(person[:-1] for person in people)
        usual = min(places, key=lambda place: (-places[place], place), default=())
        for person in people:
            outer, inner = sorted((person[:-1], usual), key=len)
            if by_folder and inner != outer and inner[: len(outer)] == outer:
                beside = next(one for one in people if one[:-1] == usual)
                return (
                    f"the folder {'/'.join(person)!r} does not lie beside those of other people, "
                    f"such as {'/'.join(beside)!r}: put each person's images into one folder"
                )
        spelt: dict = {}
        for person in people:
            other = spelt.setdefault((*person[:-1], writer_key(person[-1].casefold())), person[-1])
            if other != person[-1]:
                return (
                    f"{other!r} and {person[-1]!r} differ in capitals or leading zeros alone: give "
                    "one person's images one name, and two people's names that differ"
                )
        names = {person[-1].casefold() for person in people}
        for path, one in told.items():
            twin = _FORGED_TWIN.fullmatch(one.writer)
            if self._says_forged(path, one.writer) or (twin and twin[1].casefold() in names):
                return f"{path!r} is forged, as its name says: move it away"
        return ""

    @staticmethod
    def _says_forged(path: str, writer: str) -> bool:
        """Whether anything but the person's own name says that an image is forged."""
        folders, stem = _split(path)
        around = [folder for folder in folders if folder != writer]
        named_so = writer in folders and _SAYS_FORGED.search(writer)
        return any(meaning(folder) in ("forgery", "other hand") for folder in around) or bool(
            _SAYS_FORGED.search(stem) and not named_so
        )

    def _told(self, tree: Tree) -> dict[str, Told]:
        rows = [(path, *_split(path)) for path in tree.images]
        by_folder = {path: self._by_folder(folders) for path, folders, _ in rows if folders}
        stems = {(*folders, stem) for _, folders, stem in rows}
        by_name = {}
        for path, folders, stem in rows:
            match = _NUMBERED.fullmatch(stem)
            if match is None and (match := _BRACKETED.fullmatch(stem)):
                # Beside `anna_1`, `anna_1 (1)` is its copy.
                match = None if (*folders, match[1]) in stems else match
            if match and all(meaning(folder) is not None for folder in folders[-1:]):
                by_name[path] = Told(match[1], "genuine", None, tuple(folders))
        return max((by_folder, by_name), key=_repeated)

    @staticmethod
    def _by_folder(folders: list[str]) -> Told:
        """The innermost folder that is no word for genuine and the like is a person."""
        place = next((i for i in reversed(range(len(folders))) if meaning(folders[i]) is None), 0)
        return Told(folders[place], "genuine", None, tuple(folders[:place]))


_SAYS_FORGED = re.compile("forg|fake|simul|skilled|fraud|suspect|f(ä|ae)lsch", re.IGNORECASE)
_FORGED_TWIN = re.compile(rf"(.+)[ _.-](?:{_SAYS_FORGED.pattern})\w*", re.IGNORECASE | re.DOTALL)


def _repeated(told: dict[str, Told]) -> int:
    """How many writers have several signatures."""
    return sum(n > 1 for n in Counter((o.dataset, o.writer) for o in told.values()).values())


# The register

_ALL: tuple[Layout, ...] = (
    Manifest(),
    Bhsig260(),
    Cedar(),
    Gpds(),
    Mcyt(),
    SigComp2009(),
    Idcar(),
    SigComp2011(),
    FourNSigComp(),
    GenuineForged(),
    KindInName(),
    GenuineOnly(),
)
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _ALL}
"""Every known layout by name, in the order in which they are tried."""

RECOGNISED = tuple(name for name in LAYOUTS if name != GenuineOnly.name)
"""Those that are looked for where none is named."""

CHOICES = ("auto", *LAYOUTS)
"""What the parameter `layout` may be."""


def recognise(tree: Tree, names: Iterable[str] = RECOGNISED) -> tuple[str, dict[str, Told]]:
    """The layout that a folder has, and what it tells of each file.

    The first one that tells nearly as many files as the one that tells most of them: the first ones
    know forgers' names, the last ones fit nearly anything.

    Returns
    -------
    name : str
        Empty if none fits. A manifest is not looked for.
    told : dict
        Path -> `Told`; files that are missing do not fit.
    """
    read = {name: LAYOUTS[name].tell(tree) for name in names if name != Manifest.name}
    fits = {
        name: sum(one.problem != "contradiction" for one in told.values())
        for name, told in read.items()
    }
    most = max(fits.values(), default=0)
    near = [name for name in read if fits[name] and fits[name] >= _NEARLY_ALL * most]
    if not near:
        return "", {}
    # A dataset's names may be borrowed for files in people's folders: each then looks like a
    # dataset of its own, to all but the layout that reads the folders.
    people = _complete(read[near[0]])
    one = [n for n in near if len(_datasets(read[n])) == 1 and _complete(read[n]) >= people]
    name = one[0] if one and people else near[0]
    return name, read[name]


def _datasets(told: dict[str, Told]) -> set[tuple[str, ...]]:
    return {one.dataset for one in told.values()}


def described() -> str:
    """Every layout with its example tree, in Markdown: the list in data/README.md."""
    blocks = []
    for layout in _ALL:
        lines = layout.lines()
        width = max(len(path) for path, _ in lines)
        tree = "\n".join(f"{path:{width}}  {read}" for path, read in lines)
        blocks.append(f"**`{layout.name}`** {layout.datasets}.\n\n```\n{tree}\n```\n")
    return "\n".join(blocks)
