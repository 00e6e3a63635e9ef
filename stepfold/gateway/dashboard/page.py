"""One look at the dashboard: who looks, at what, and the page that is made of it."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from stepfold.events.names import NameRefused, token
from stepfold.gateway.asking import Row
from stepfold.gateway.dashboard.assets import VERSION
from stepfold.gateway.dashboard.queries import Questions, steps_sql
from stepfold.gateway.dashboard.session import Session
from stepfold.gateway.dashboard.words import FILTERS
from stepfold.gateway.front import Front
from stepfold.gateway.limits import Limiting
from stepfold.gateway.principal import APPROVE, CHAT, READ, Principal
from stepfold.gateway.refusals import FrontRefused

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
ROWS = 100
"""What a table shows; its files hold more."""

NAV: tuple[tuple[str, str, bool], ...] = (
    ("", "Overview", False),
    ("conversations", "Conversations", False),
    ("approvals", "Approvals", False),
    ("tools", "Tools", False),
    ("unanswered", "Unanswered", False),
    ("cost", "Cost", False),
    ("performance", "Performance", False),
    ("agents", "Agents", False),
    ("sql", "SQL", True),
)
"""Path, title, and whether only an operator has it."""

_PAGES = Environment(
    loader=PackageLoader("stepfold.gateway.dashboard", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters.update(FILTERS, steps_sql=steps_sql)


class Visit(Struct, frozen=True):
    """One request of somebody who is signed in."""

    front: Front
    questions: Questions
    session: Session
    request: Request
    limits: Limiting

    @property
    def base(self) -> str:
        """Where the dashboard is."""
        return str(self.request.scope.get("root_path", ""))

    @property
    def now(self) -> datetime:
        return self.front.clock()

    @property
    def customer(self) -> str | None:
        """To whom the look is kept: the key's customer, or what an operator narrows it to. None
        is all, which only an operator sees.
        """
        if self.session.operator:
            return self.asked("customer") or None
        return self.session.who.customer

    @property
    def part(self) -> str:
        """Which part of the page is wanted alone; empty = all of it."""
        return self.asked("part")

    @property
    def may_approve(self) -> bool:
        return self.session.operator or self.session.who.may(APPROVE)

    def asked(self, name: str) -> str:
        return str(self.request.query_params.get(name, "")).strip()

    def asked_any(self, *names: str) -> bool:
        return any(map(self.asked, names))

    def named(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def acting(self, customer: str) -> Principal:
        """Who reads a conversation of `customer`; FrontRefused (404) for whom it is none."""
        who = self.session.who
        if self.session.operator:
            try:
                token("customer", customer)
            except NameRefused:
                raise nothing_here() from None
            return replace(who, customer=customer, scopes=frozenset((CHAT, READ, APPROVE)))
        if customer != who.customer:
            raise nothing_here()
        return who

    async def rows(self, name: str, **parameters: object) -> list[Row]:
        """What the views answer, kept to the customer."""
        return await self.questions.rows(name, self.parameters(**parameters))

    async def seen(self) -> int:
        """Where the views are in the log, or were a moment ago."""
        return await self.questions.position()

    def parameters(self, **more: object) -> dict[str, object]:
        told = {"customer": self.customer, "names": None, "now": self._now_s, "rows": ROWS}
        return told | more

    @property
    def _now_s(self) -> datetime:
        """To the second, so that who asks the same at the same time is answered once."""
        return self.now.replace(microsecond=0)

    def page(self, template: str, status: int = 200, /, **values: object) -> Response:
        text = render(template, self.base, self.request, visit=self, now=self.now, **values)
        return HTMLResponse(text, status, HEADERS)

    def link(self, *parts: str, **query: str | int | None) -> str:
        return link(self.base, *parts, **query)

    def here(self, **changed: str | int | None) -> str:
        """This page, with other conditions; None takes one away."""
        told: dict[str, str | int | None] = dict(self.request.query_params.items())
        told.pop("part", None)
        told.pop("before", None)
        told |= changed
        path = str(self.request.scope["path"])
        query = urlencode({name: value for name, value in told.items() if value not in (None, "")})
        return f"{path}?{query}" if query else path

    def to(self, *parts: str, **query: str | None) -> Response:
        return RedirectResponse(self.link(*parts, **query), 303, HEADERS)

    @property
    def nav(self) -> list[tuple[str, str, bool]]:
        """Link, title, whether it is this page."""
        rest = str(self.request.scope["path"]).removeprefix(self.base).strip("/")
        first = rest.partition("/")[0]
        kept = self.asked("customer") if self.session.operator else None
        return [
            (self.link(path, customer=kept), title, path == first)
            for path, title, operators in NAV
            if self.session.operator or not operators
        ]


def link(base: str, *parts: str, **query: str | int | None) -> str:
    path = "/".join((base, *(quote(part, safe="") for part in parts)))
    asked = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return f"{path}?{asked}" if asked else path


def render(template: str, base: str, request: Request, /, **values: object) -> str:
    told = {"base": base, "version": VERSION, "request": request, **values}
    return _PAGES.get_template(template).render(told)


def nothing_here() -> FrontRefused:
    return FrontRefused(404, "Nothing here", "there is no such page, or it is not yours to see")
