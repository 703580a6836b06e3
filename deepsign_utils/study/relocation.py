"""An environment that was moved with its checkout: what in it names the old place is rewritten.

``python relocation.py .venv`` does it, by itself: of such an environment nothing else may be found.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def relocate(environment: Path) -> int:
    """Let an environment's scripts and links to the checkout name the place where it is now.

    Parameters
    ----------
    environment : Path
        A virtual environment inside its checkout.

    Returns
    -------
    int
        How many files were rewritten.
    """
    here = environment.resolve()
    activate = (here / "bin" / "activate").read_text(encoding="utf-8")
    known = re.search(r"""^\s*(?:export )?VIRTUAL_ENV=["']?(/[^"'\n]+)""", activate, re.MULTILINE)
    if known is None or known[1] == str(here):
        return 0
    old, new = str(Path(known[1]).parent).encode(), str(here.parent).encode()
    # A folder that merely begins alike is another one.
    name = re.compile(re.escape(old) + rb"(?=[/'\"\s]|$)")
    rewritten = 0
    packages = next(here.glob("lib/python*/site-packages"))
    files = [here / "pyvenv.cfg", *(here / "bin").iterdir()]
    files += [*packages.glob("*.pth"), *packages.glob("__editable__*")]
    for file in files:
        if file.is_symlink() or not file.is_file():
            continue
        content = file.read_bytes()
        if b"\0" not in content and name.search(content):
            beside = file.with_name(f".{file.name}.partial")
            beside.write_bytes(_runnable(name.sub(new.replace(b"\\", rb"\\"), content), new))
            beside.chmod(file.stat().st_mode)
            beside.replace(file)
            rewritten += 1
    return rewritten


def _runnable(script: bytes, place: bytes) -> bytes:
    """A script whose first line may name an interpreter with a space, which no kernel takes: a
    shell starts it then, in lines that Python reads as a text, as pip writes them."""
    first, _, rest = script.partition(b"\n")
    if not first.startswith(b"#!" + place) or b" " not in place:
        return script
    return b"#!/bin/sh\n'''exec' \"" + first[2:] + b'" "$0" "$@"\n\' \'\'\'\n' + rest


if __name__ == "__main__":
    if relocate(Path(sys.argv[1])):
        print(f"The checkout was moved: {sys.argv[1]} names its new place now.", file=sys.stderr)
