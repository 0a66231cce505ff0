"""A client for HTTP that gives up on replies that are too slow or too large, however they come.

The client below OpenAI's limits each read, so that a byte a second is waited for without end, and neither the size of a
reply nor what its compression hides: of 3 MB come 3 GB.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import openai

if TYPE_CHECKING:
    import httpx2  # OpenAI's client may use httpx, whose classes are alike

MOST_BYTES = 2**23
"""Of a reply, unpacked: a model's longest answer of some 100,000 tokens fits, every letter of it escaped."""


class UnreadableReply(openai.APIError):
    """A reply that is too large, damaged, or packed in a way that nobody asked for."""


class LimitedClient(openai.DefaultAsyncHttpxClient):
    """Waits for a whole reply, redirections included, as long as for one read, and for ``MOST_BYTES`` of it at most.

    Raises
    ------
    TimeoutException
        Of the HTTP library: the reply is not whole in time.
    UnreadableReply
        It is too large, damaged, or packed in a way that nobody asked for.
    """

    def __init__(self, trust_env: bool) -> None:
        super().__init__(trust_env=trust_env, headers={"Accept-Encoding": "gzip"}, event_hooks={"response": [_read]})

    async def send(self, request: httpx2.Request, **settings: Any) -> httpx2.Response:
        """Send a request and return the response, read."""
        seconds = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(seconds):
                return await super().send(request, **settings)
        except TimeoutError as error:
            import httpx  # whose exceptions OpenAI's client knows, whichever library it uses itself

            raise httpx.ReadTimeout(f"no whole reply in {seconds:g} s") from error


async def _read(response: httpx2.Response) -> None:
    """Read a response's body, and leave it unpacked in the response's place for it."""
    unpacked = _unpacking(response)
    body = bytearray()
    stream = cast("httpx2.AsyncByteStream", response.stream)
    async for part in stream:
        try:
            body += unpacked(part, MOST_BYTES + 1 - len(body))
        except zlib.error as error:
            raise UnreadableReply(f"reply is damaged: {error}", response.request, body=None) from None
        if len(body) > MOST_BYTES:
            raise UnreadableReply(f"reply has more than {MOST_BYTES:,} bytes", response.request, body=None)
    await stream.aclose()
    response.headers.pop("Content-Encoding", None)
    response.stream = type(response)(200, content=bytes(body)).stream


def _unpacking(response: httpx2.Response) -> Callable[[bytes, int], bytes]:
    """A function of a part of a body and how much may come of it."""
    packing = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packing == "identity":
        return lambda part, most: part
    if packing in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress  # either, by its header
    raise UnreadableReply(f"reply is packed as {packing!r}, which was not asked for", response.request, body=None)
