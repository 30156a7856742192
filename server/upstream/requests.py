"""What of a caller's request goes to an upstream."""

from __future__ import annotations

from typing import Final

from server.ports import JsonObject

#: Ours to decide: how to deliver, our own steering object, and the salt of provider-side prefix caches.
_OURS: Final = frozenset({"stream", "stream_options", "hitproof", "cache_salt"})


def outgoing(request: JsonObject, *, cache_salt: str | None, stream: bool) -> JsonObject:
    """Return the body to send: *request* without the fields that are ours, *cache_salt* only where it is given.

    A caller's own cache_salt never travels: with it one tenant could share another's prefix cache and time it.
    """
    body = {key: value for key, value in request.items() if key not in _OURS}
    if cache_salt is not None:
        body["cache_salt"] = cache_salt
    if stream:
        # Usage is always asked for, so that a streamed answer is as complete as the same answer unstreamed.
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body
