"""Around every request: limits, back pressure, headers, one line of log. Pure ASGI."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException

from deepsign_utils.verifying.service.metrics import Metrics
from deepsign_utils.verifying.service.origins import is_own
from deepsign_utils.verifying.service.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = logging.getLogger("deepsign.service")

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Wraps the application.

    Requests with a body are counted while they are in work, and refused with 503 above
    `max_requests`, before their body is kept. A body above `max_request_bytes` is refused with
    413, and what takes longer than `request_seconds` is given up with 503. HEAD is answered as GET
    is, without the content. The log names the route, never the path: a path may name a writer.

    A request is counted and logged before its answer's last byte is sent: whoever was answered
    finds it there.
    """

    def __init__(self, app: Callable, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._in_work: set[int] = set()
        metrics.in_work.set_function(lambda: len(self._in_work))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, told = time.perf_counter(), 0, False
        method = scope["method"]
        if method == "HEAD":  # the server knows that it was, and leaves the content out
            scope = {**scope, "method": "GET"}

        def tell() -> None:
            nonlocal told
            if told:
                return
            told = True
            self._in_work.discard(id(scope))
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - started
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            fields = {"method": method, "route": route, "status": status}
            fields["milliseconds"] = round(1000 * seconds, 1)
            _log.info(
                "%s %s %s %.0f ms", method, route, status, 1000 * seconds, extra={"fields": fields}
            )

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
                ]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                tell()
            await send(message)

        try:
            refusal = await self._handle(scope, receive, send_with_headers)
            if refusal and not status:
                await _refuse(send_with_headers, *refusal)
        finally:
            tell()

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> tuple[int, str] | None:
        """Answer, or tell the status and the reason of a refusal."""
        try:
            if not is_own(scope["headers"], self._settings.public_url):
                return 403, (
                    "Requests from the pages of another site are refused. If this is the "
                    "service's own page, set DEEPSIGN_PUBLIC_URL to the address in the browser."
                )
        except ValueError:
            return 400, "The request's Origin or Host header is malformed."
        if scope["method"] == "GET":
            await self._app(scope, receive, send)
            return None
        if len(self._in_work) >= self._settings.max_requests:
            await self._drain(receive)
            return 503, "The service has more to do than it can: try again later."
        self._in_work.add(id(scope))
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                await self._app(scope, self._limited(receive), send)
        except TimeoutError:
            return 503, "The request took too long: try again later, with fewer or smaller images."
        return None

    def _limited(self, receive: Receive) -> Receive:
        total = 0

        async def limited() -> MutableMapping[str, Any]:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self._settings.max_request_bytes:
                if message.get("more_body"):
                    await self._drain(receive)
                most = self._settings.max_request_bytes / 1e6
                raise HTTPException(413, f"The request is larger than {most:g} MB.")
            return message

        return limited

    async def _drain(self, receive: Receive) -> None:
        """Read a body to its end, keeping nothing: many clients only then look for the answer."""
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass


async def _refuse(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json")]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
