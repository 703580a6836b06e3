"""The table of docs/reliability.md, from reliability.toml: this script writes it."""

import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "reliability.md"
HEAD = "| fault | how often tried | survived | repeat it |\n|---|---|---|---|\n"


def promises() -> list[dict[str, str]]:
    """What can be relied on: `fault`, `tried`, `survived`, and `tests` or `make` that show it."""
    return tomllib.loads((HERE / "reliability.toml").read_text(encoding="utf-8"))["promise"]


def table() -> str:
    """The promises in Markdown."""
    rows = [
        f"| {one['fault']} | {one['tried']} | {one['survived']} | `{command(one)}` |\n"
        for one in promises()
    ]
    return HEAD + "".join(rows)


def command(promise: dict[str, str]) -> str:
    """What to type to see a promise kept."""
    return f"pytest {promise['tests']}" if "tests" in promise else f"make {promise['make']}"


def with_table(page: str) -> str:
    """A page with the table in place of the one that it has."""
    before, after = page.split(HEAD)
    rest = after.partition("\n\n")[2]
    return f"{before}{table()}\n{rest}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
