"""A real authorization server on loopback, with a resource behind it, as strict as RFCs let it be.

It checks client, redirect address and PKCE; codes count once; refresh tokens rotate, and one that
is used twice ends its whole family (RFC 9700). It counts what it was asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

CLIENT, CLIENT_SECRET = "stepfold-tests", "s3cret-of-the-client-0123456789"
REDIRECT = "http://127.0.0.1:8976/callback"
WAIT_S = 20.0

Answer = tuple[int, dict[str, str], bytes]


class Refused(Exception):
    def __init__(self, code: str, status: int = 400, said: str = "") -> None:
        super().__init__(code)
        self.code, self.status, self.said = code, status, said


class Provider:
    def __init__(self) -> None:
        self.redirects = {REDIRECT}
        self.expires_in: int | None = 3600
        self.rotates = True
        self.gives_refresh = True
        self.metadata: dict[str, Any] = {}
        self.well_known = "/.well-known/oauth-authorization-server"
        self.away = False
        self.denies = False
        self.echoes = False
        self.redirects_to = ""
        self.gate = threading.Event()
        self.gate.set()
        self.asked: Counter[str] = Counter()
        self.changed = threading.Condition()
        self.scopes: list[str] = []
        self.secrets: set[str] = {CLIENT_SECRET}
        self._codes: dict[str, dict[str, str]] = {}
        self._refreshes: dict[str, str] = {}
        self._used: dict[str, str] = {}
        self._live: dict[str, str] = {}
        self._dead: set[str] = set()
        self._lock = threading.Lock()
        self._url = ""

    @property
    def url(self) -> str:
        return self._url

    @property
    def port(self) -> int:
        return urlsplit(self._url).port or 0

    def expire(self, access: str) -> None:
        """The resource takes this token no longer."""
        with self._lock:
            self._live.pop(access)

    def withdraw(self) -> None:
        """A person took back all that was ever granted."""
        with self._lock:
            self._dead.update(self._live.values(), self._refreshes.values(), self._used.values())

    def good(self, access: str) -> bool:
        family = self._live.get(access)
        return family is not None and family not in self._dead

    def refreshable(self, refresh: str) -> bool:
        family = self._refreshes.get(refresh)
        return family is not None and family not in self._dead

    # -- endpoints ------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        parts = urlsplit(target)
        self.asked[f"{method} {parts.path}"] += 1
        try:
            if self.away:
                return 503, {}, b"<h1>later</h1>"
            if self.redirects_to and method == "POST":
                return 307, {"Location": self.redirects_to}, b""
            return self._route(method, parts.path, dict(parse_qsl(parts.query)), headers, body)
        except Refused as refused:
            told = {"error": refused.code, "error_description": refused.said}
            return self._json(told, refused.status)

    def _route(
        self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes
    ) -> Answer:
        form = dict(parse_qsl(body.decode()))
        match method, path:
            case "GET", self.well_known:
                return self._json(self._described())
            case "GET", "/authorize":
                return self._authorize(query)
            case "POST", "/token":
                self._check_client(headers, form)
                return self._json(self._token(form))
            case "POST", "/revoke":
                self._check_client(headers, form)
                with self._lock:
                    token = form["token"]
                    family = self._live.get(token) or self._refreshes.get(token)
                    self._dead.add(family or "")
                return 200, {}, b""
            case "GET", "/api":
                access = headers.get("Authorization", "").removeprefix("Bearer ")
                return self._json({"hello": True}, 200 if self.good(access) else 401)
            case _:
                return 404, {}, b"nothing is here"

    def _described(self) -> dict[str, Any]:
        told = {
            "issuer": self._url,
            "authorization_endpoint": f"{self._url}/authorize",
            "token_endpoint": f"{self._url}/token",
            "revocation_endpoint": f"{self._url}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return told | self.metadata

    def _authorize(self, query: dict[str, str]) -> Answer:
        """What a person sees and says yes to, without the person."""
        if query.get("client_id") != CLIENT or query.get("redirect_uri") not in self.redirects:
            return 400, {}, b"unknown client, or a redirect_uri that is not registered"
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            return 400, {}, b"only a code, and only with PKCE by S256"
        self.secrets.add(query["state"])
        told = {"state": query["state"], "iss": self._url}
        if self.denies:
            told |= {"error": "access_denied", "error_description": "The person said no."}
        else:
            told["code"] = self._new("code")
            self._codes[told["code"]] = query
        return 302, {"Location": f"{query['redirect_uri']}?{urlencode(told)}"}, b""

    def _check_client(self, headers: Any, form: dict[str, str]) -> None:
        kind, _, rest = headers.get("Authorization", "").partition(" ")
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        if kind == "Basic":
            name, _, secret = map(unquote, base64.b64decode(rest).decode().partition(":"))
        if (name, secret) != (CLIENT, CLIENT_SECRET):
            raise Refused("invalid_client", 401, f"no such client or secret: {secret}")

    def _token(self, form: dict[str, str]) -> dict[str, Any]:
        with self.changed:
            self.asked[form["grant_type"]] += 1
            self.changed.notify_all()
        assert self.gate.wait(WAIT_S)
        with self._lock:
            match form["grant_type"]:
                case "authorization_code":
                    return self._issue(self._redeemed(form))
                case "refresh_token":
                    return self._issue(self._refreshed(form["refresh_token"]), form)
                case "client_credentials":
                    self.scopes.append(form.get("scope", ""))
                    return self._issue(self._new("family"), refresh=False)
                case _:
                    raise Refused("unsupported_grant_type")

    def _redeemed(self, form: dict[str, str]) -> str:
        code = form["code"]
        if code in self._used:
            self._dead.add(self._used[code])
            raise Refused("invalid_grant", said="a code counts once")
        asked = self._codes.get(code)
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            raise Refused("invalid_grant")
        hashed = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(hashed).rstrip(b"=").decode() != asked["code_challenge"]:
            raise Refused("invalid_grant", said="PKCE")
        self.scopes.append(asked.get("scope", ""))
        self.secrets.add(form["code_verifier"])
        self._used[code] = self._new("family")
        return self._used[code]

    def _refreshed(self, refresh: str) -> str:
        family = self._refreshes.get(refresh, "")
        if refresh in self._used:
            self._dead.add(self._used[refresh])
        if refresh in self._used or not family or family in self._dead:
            said = f"no good: {refresh}" if self.echoes else "withdrawn"
            raise Refused("invalid_grant", said=said)
        if self.rotates:
            self._used[refresh] = self._refreshes.pop(refresh)
        return family

    def _issue(
        self, family: str, form: dict[str, str] | None = None, *, refresh: bool = True
    ) -> dict[str, Any]:
        access = self._new("access")
        self._live[access] = family
        told: dict[str, Any] = {"access_token": access, "token_type": "Bearer"}
        if self.expires_in is not None:
            told["expires_in"] = self.expires_in
        if refresh and self.gives_refresh and (self.rotates or form is None):
            told["refresh_token"] = self._new("refresh")
            self._refreshes[told["refresh_token"]] = family
        return told

    def _new(self, what: str) -> str:
        made = f"{what}-{secrets.token_urlsafe(24)}"
        self.secrets.add(made)
        return made

    @staticmethod
    def _json(told: object, status: int = 200) -> Answer:
        return status, {"Content-Type": "application/json"}, json.dumps(told).encode()


@contextmanager
def serving() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, told = provider.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(told))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider._url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        provider.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
