"""Names of people and files, whatever script they are written in, among other words."""

import re
from typing import Any

# Hebrew, Arabic, Syriac, Thaana, N'Ko and their presentation forms; marks that turn text round.
_FROM_THE_RIGHT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u200f\u202a-\u202e"
_ALONE = "\u2068[^\u2069]*\u2069"  # what is isolated already
_RUN = re.compile(
    f"{_ALONE}|[{_FROM_THE_RIGHT}](?:[{_FROM_THE_RIGHT}\\d_ .-]*[{_FROM_THE_RIGHT}\\d])?"
)


def isolated(text: str) -> str:
    """Keep what is written from right to left from reordering the words around it.

    Each such run stands between U+2068 and U+2069 (first strong isolate, Unicode Standard Annex 9),
    as in HTML's ``bdi``: two Arabic names in a list keep their order, and a number beside one stays
    where it is.
    """
    return _RUN.sub(lambda run: run[0] if run[0][0] == "\u2068" else f"\u2068{run[0]}\u2069", text)


def isolated_value(value: Any) -> Any:
    """Do the same to what a template prints, but for what is HTML already (Jinja's `finalize`)."""
    return isolated(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
