"""Scripts and styles, from the package: nothing is loaded from another host."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

SERVED: Mapping[str, str] = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "hx-sse.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "plots.js": "text/javascript; charset=utf-8",
    "uplot.min.css": "text/css; charset=utf-8",
    "uplot.min.js": "text/javascript; charset=utf-8",
}
FOR_EVER = "public, max-age=31536000, immutable"
"""Their addresses name their content."""

_FOLDER = files("stepfold.gateway") / "assets"
_BYTES = {name: (_FOLDER / name).read_bytes() for name in SERVED}
VERSION = hashlib.sha256(b"".join(_BYTES.values())).hexdigest()[:12]


async def asset(request: Request) -> Response:
    name = str(request.path_params["name"])
    if name not in SERVED:
        return Response("there is no such asset\n", 404, media_type="text/plain")
    headers = {
        "Cache-Control": FOR_EVER if request.query_params.get("v") == VERSION else "no-cache",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(_BYTES[name], headers=headers, media_type=SERVED[name])
