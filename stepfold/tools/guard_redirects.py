"""Where a redirect leads, and what of a request may go there.

Only what changes nothing is followed elsewhere: a body goes to nobody but whom it was written for.
"""

from __future__ import annotations

import httpx2

from stepfold.tools.guard_reach import Reach, refused
from stepfold.tools.guard_urls import target

SAFE = frozenset({"GET", "HEAD"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
REPEATING = frozenset({307, 308})
"""Redirects that ask for the same request again, with its body."""
KEPT = frozenset({b"accept", b"accept-encoding", b"accept-language", b"user-agent"})
"""The headers that a stranger may see. Any other may be a credential."""


def onward(
    request: httpx2.Request, response: httpx2.Response, reach: Reach
) -> httpx2.Request | None:
    """The request that follows a redirect; None when it is not followed, and so is the answer."""
    place = response.headers.get("location")
    if response.status_code not in REDIRECTS or place is None or not reach.redirects_max:
        return None
    if request.method not in SAFE and response.status_code not in REPEATING:
        return None
    url = _joined(request.url, place, reach)
    same = url.origin == request.url.origin
    if request.url.scheme == "https" and url.scheme != "https":
        raise refused(url.host, "a redirect from https to plain http", "name the https URL")
    if request.method in SAFE:
        return httpx2.Request(request.method, url, headers=_headers(request, same))
    if same and isinstance(request.stream, httpx2.ByteStream):
        headers = _headers(request, same)
        return httpx2.Request(request.method, url, headers=headers, stream=request.stream)
    return None


def _joined(url: httpx2.URL, place: str, reach: Reach) -> httpx2.URL:
    """A place is held to the same rules as a URL in a file before it is joined, and after."""
    if not place.isascii() or not place.isprintable() or " " in place:
        raise refused(url.host, "a redirect to an odd place", "name the URL where it ends")
    try:
        joined = url.join(place).copy_with(fragment=None)
    except httpx2.InvalidURL:
        raise refused(url.host, "a redirect to no URL", "name the URL where it ends") from None
    target(str(joined), reach)
    return joined


def _headers(request: httpx2.Request, same: bool) -> list[tuple[bytes, bytes]]:
    told = [each for each in request.headers.raw if each[0].lower() != b"host"]
    return told if same else [each for each in told if each[0].lower() in KEPT]
