"""Whose page made a request: the service's own, or another site's."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port, in the form in which they are compared."""

    scheme: str
    host: str
    port: int | None


def parse_origin(text: str) -> Origin:
    """Read an origin, ``https://Example.org`` or ``http://[::1]:8000``.

    Raises
    ------
    ValueError
        If it is none: no scheme, a malformed host or port, or more than an origin.
    """
    parts = urlsplit(text)
    more = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if not parts.scheme or more or any(not 32 < ord(letter) < 127 for letter in text):
        raise ValueError(f"{text!r} is no origin")
    port = parts.port  # ValueError if it is no number
    if not parts.hostname and (parts.netloc or parts.scheme in _PORTS):
        raise ValueError(f"{text!r} names no host")
    return Origin(parts.scheme, parts.hostname or "", port or _PORTS.get(parts.scheme))


def origin_of(url: str) -> Origin:
    """The origin of an address; ValueError as `parse_origin`."""
    parts = urlsplit(url)
    return parse_origin(f"{parts.scheme}://{parts.netloc}")


def is_own(headers: Sequence[tuple[bytes, bytes]], public_url: str = "") -> bool:
    """Whether a request comes from no browser's page, or from a page of the service itself.

    A page is its own if its origin is that of `public_url`, or if host and port are those of the
    Host header. That header tells no scheme: behind a proxy that ends TLS it is the page's.

    Parameters
    ----------
    headers : sequence of (bytes, bytes)
        Names in lower case, and values, of a request.
    public_url : str
        Where browsers find the service; empty where it is not known.

    Raises
    ------
    ValueError
        If the Origin or the Host header is malformed.
    """
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if not origins:
        return True
    if len(origins) > 1 or len(hosts) > 1:
        raise ValueError("a header is repeated")
    if origins[0] == "null":  # of a page that has none, such as a file
        return False
    origin = parse_origin(origins[0])
    if public_url and origin == origin_of(public_url):
        return True
    return bool(hosts) and origin == parse_origin(f"{origin.scheme}://{hosts[0]}")
