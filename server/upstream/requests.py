"""What of a caller's request goes to an upstream."""

from __future__ import annotations

from typing import Final

from server.ports import JsonObject
from server.runner.protocol import STATEMENT_FIELD

#: Ours to decide: how to deliver, our own steering object, and the salt of provider-side prefix caches.
_OURS: Final = frozenset({"stream", "stream_options", "hitproof", "cache_salt", STATEMENT_FIELD})


def outgoing(request: JsonObject, *, cache_salt: str | None, stream: bool, to_runner: bool = False) -> JsonObject:
    """Return the body to send: *request* without the fields that are ours, *cache_salt* only where it is given.

    A caller's own cache_salt never travels: with it one tenant could share another's prefix cache and time it. What is
    to be signed travels only *to_runner*.
    """
    body = {key: value for key, value in request.items() if key not in _OURS}
    if to_runner and STATEMENT_FIELD in request:
        body[STATEMENT_FIELD] = request[STATEMENT_FIELD]
    if cache_salt is not None:
        body["cache_salt"] = cache_salt
    if stream:
        # Usage is always asked for, so that a streamed answer is as complete as the same answer unstreamed.
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body
