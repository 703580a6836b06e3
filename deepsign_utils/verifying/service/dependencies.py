"""What routes ask for: the engine, a valid key, a form without surprises, the images sent."""

import contextlib
import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import Depends, HTTPException, Request, UploadFile
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from deepsign_utils.verifying.service.engine import Engine
from deepsign_utils.verifying.verifier import QUESTIONED

_BEARER = HTTPBearer(auto_error=False, description="needed where the service has keys")


async def _engine(request: Request) -> Engine:
    return request.app.state.engine


InService = Annotated[Engine, Depends(_engine)]


class KeyCheck:
    """Lets a request pass that has one of the keys."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [
            hashlib.sha256(written).digest() for key in keys for written in _as_bytes(key)
        ]

    async def __call__(
        self, request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
    ) -> None:
        """Refuse a request without a valid key."""
        # From the header's bytes: as text, a key's last letter may look like white space.
        header = request.headers.get("Authorization", "").encode("latin-1")
        scheme, _space, given = header.partition(b" ")
        given = given.strip(b" \t") if scheme.lower() == b"bearer" else b""
        digest = hashlib.sha256(given).digest()
        # All keys are compared, in constant time, so that the time tells nothing.
        if not sum(hmac.compare_digest(digest, key) for key in self._digests):
            raise HTTPException(
                401, "A valid API key is needed.", headers={"WWW-Authenticate": "Bearer"}
            )


def _as_bytes(key: str) -> set[bytes]:
    """A key as clients may send it: most send UTF-8, some what HTTP's headers were once made of."""
    written = {key.encode()}
    with contextlib.suppress(UnicodeEncodeError):
        written.add(key.encode("latin-1"))
    return written


async def each_known_and_once(request: Request) -> None:
    """Refuse a parameter or a field of an upload that nobody reads, or of which one is read."""
    route = request.scope["route"].dependant
    form = await request.form()
    for kind, given, known, several in (
        ("parameter", request.query_params, route.query_params, set()),
        ("field", form, route.body_params, {"references"}),
    ):
        names = {field.alias for field in known}
        counts = Counter(name for name, _ in given.multi_items())
        if not set(counts) <= names:  # a misspelt threshold would be another one's verdict
            detail = f"There is an unknown {kind}; known: {', '.join(sorted(names)) or 'none'}."
            raise HTTPException(422, detail)
        for name, count in counts.items():
            if count > 1 and name not in several:
                raise HTTPException(422, f"{name}: given {count} times, and one is needed.")


async def contents(
    engine: Engine, files: Sequence[UploadFile], name: str
) -> tuple[list[bytes], list[str]]:
    """The bytes of uploaded images, and what each is called in what is said of it.

    Raises
    ------
    HTTPException
        If they are too many, or one is too large.
    """
    settings = engine.settings
    if len(files) > settings.max_images:
        raise HTTPException(413, f"At most {settings.max_images} images at a time.")
    images = [await file.read(settings.max_image_bytes + 1) for file in files]
    if max(map(len, images)) > settings.max_image_bytes:
        most = settings.max_image_bytes / 1e6
        raise HTTPException(413, f"An image is larger than {most:g} MB.")
    names = [f"{name} {number}" for number in range(1, len(files) + 1)]
    return images, [name] if name == QUESTIONED else names
