"""The pages of the dashboard, in one table, and how each is answered: signed in or not, right or
refused, whole or a part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from stepfold.gateway.dashboard import (
    agents,
    approvals,
    conversation,
    conversations,
    cost,
    live,
    overview,
    performance,
    sql,
    tools,
    unanswered,
)
from stepfold.gateway.dashboard.assets import asset
from stepfold.gateway.dashboard.page import HEADERS, Visit, link, render
from stepfold.gateway.dashboard.queries import Questions
from stepfold.gateway.dashboard.session import (
    COOKIE,
    ENTRY,
    Session,
    Sessions,
    check_form,
    form_of,
)
from stepfold.gateway.front import Front
from stepfold.gateway.guarding import address_of
from stepfold.gateway.keys import Keys
from stepfold.gateway.limits import Limiting
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.streaming import STILL
from stepfold.tools import vault

PREFIX = "/dashboard"
Look = Callable[[Visit], Awaitable[Response]]
Change = Callable[[Visit, dict[str, str]], Awaitable[Response]]


class Page(Struct, frozen=True):
    """`operators`: only for who runs the installation."""

    path: str
    look: Look
    operators: bool = False


class Form(Struct, frozen=True):
    """What changes something. The form's token has been checked when `change` runs."""

    path: str
    change: Change
    operators: bool = False


PAGES: tuple[Page | Form, ...] = (
    Page("/", overview.look),
    Page("/changes", live.changes),
    Page("/conversations", conversations.look),
    Page("/conversations/{customer}/{conversation}", conversation.look),
    Page("/conversations/{customer}/{conversation}/live", live.conversation),
    Page("/conversations/{customer}/{conversation}/export", conversation.export),
    Page("/conversations/{customer}/{conversation}/steps/{position}", conversation.step),
    Page("/approvals", approvals.look),
    Form("/approvals/{customer}/{conversation}/{call}", approvals.decide),
    Page("/tools", tools.look),
    Page("/unanswered", unanswered.look),
    Page("/cost", cost.look),
    Page("/performance", performance.look),
    Page("/agents", agents.look),
    Page("/agents/{digest}", agents.version),
    Page("/sql", sql.look, operators=True),
    Form("/sql/views", sql.save, operators=True),
)


def routes(front: Front, keys: Keys, seal: vault.Keys, limits: Limiting) -> list[BaseRoute]:
    """All of the dashboard under PREFIX. `seal` is what every gateway of the log has: with it the
    cookies are sealed. `limits` slow down who shows wrong keys.
    """
    desk = Desk(front, Sessions(keys, seal, front.clock), limits)
    return [
        Mount(
            PREFIX,
            routes=[
                Route("/assets/{name}", asset, methods=["GET"]),
                Route("/sign-in", desk.sign_in_page, methods=["GET"]),
                Route("/sign-in", desk.sign_in, methods=["POST"]),
                Route("/sign-out", desk.sign_out, methods=["POST"]),
                *(
                    Route(each.path, desk.answering(each), methods=[_method(each)])
                    for each in PAGES
                ),
                Route("/{rest:path}", desk.nothing, methods=["GET"]),
            ],
        )
    ]


def _method(page: Page | Form) -> str:
    return "GET" if isinstance(page, Page) else "POST"


class Desk:
    """What the pages of one process share."""

    def __init__(self, front: Front, sessions: Sessions, limits: Limiting) -> None:
        self._front = front
        self._sessions = sessions
        self._limits = limits
        self._questions = Questions(front)

    def answering(self, page: Page | Form) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            session: Session | None = None
            try:
                self._limits.arrived(address_of(request))
                session = await self._sessions.of(request)
                if session is None:
                    return _to_sign_in(request)
                self._limits.admitted(session.who)
                request.scope[STILL] = partial(self._still, request)
                return await self._run(page, session, request)
            except FrontRefused as error:
                return _refused(error, request, session)

        return answer

    async def _still(self, request: Request) -> bool:
        """Is the session still good? A log that is away turns nobody out."""
        try:
            return await self._sessions.of(request) is not None
        except FrontRefused:
            return True

    async def _run(self, page: Page | Form, session: Session, request: Request) -> Response:
        if page.operators and not session.operator:
            why = "this page shows all customers: it is for who runs the installation"
            raise FrontRefused(403, "Not permitted", why)
        visit = Visit(self._front, self._questions, session, request, self._limits)
        if isinstance(page, Page):
            return await page.look(visit)
        form = await form_of(request)
        check_form(request, session.token, form.get("token", ""))
        return await page.change(visit, form)

    async def nothing(self, request: Request) -> Response:
        if request.url.path.rstrip("/") == _base(request):
            return RedirectResponse(f"{_base(request)}/", 308, HEADERS)
        try:
            session = await self._sessions.of(request)
        except FrontRefused as error:
            return _refused(error, request, None)
        if session is None:
            return _to_sign_in(request)
        why = "there is no such page, or it is not yours to see"
        return _refused(FrontRefused(404, "Nothing here", why), request, session)

    # -- signing in and out -------------------------------------------------------------------

    async def sign_in_page(self, request: Request) -> Response:
        return self._sign_in_page(request, "")

    def _sign_in_page(self, request: Request, wrong: str) -> Response:
        entry = self._sessions.entry()
        text = render(
            "sign_in.html",
            _base(request),
            request,
            token=entry.token,
            next=_own_path(request, request.query_params.get("next", "")),
            wrong=wrong,
        )
        response = HTMLResponse(text, 401 if wrong else 200, HEADERS)
        self._sessions.put(response, request, entry)
        return response

    async def sign_in(self, request: Request) -> Response:
        try:
            self._limits.arrived(address_of(request))
            form = await form_of(request)
            entry = self._sessions.entered(request)
            if entry is None:
                return self._sign_in_page(request, "that took too long: once more, please")
            check_form(request, entry.token, form.get("token", ""))
            claims = await self._sessions.open(form.get("key", "").strip())
            if claims is None:
                self._limits.refused(address_of(request))
        except FrontRefused as error:
            return _refused(error, request, None)
        if claims is None:
            why = "this key is unknown, expired or revoked, or it may not read"
            return self._sign_in_page(request, why)
        response = RedirectResponse(_own_path(request, form.get("next", "")), 303, HEADERS)
        self._sessions.put(response, request, claims)
        self._sessions.forget(response, request, ENTRY)
        return response

    async def sign_out(self, request: Request) -> Response:
        try:
            session = await self._sessions.of(request)
            if session is not None:
                form = await form_of(request)
                check_form(request, session.token, form.get("token", ""))
        except FrontRefused as error:
            return _refused(error, request, None)
        response = RedirectResponse(link(_base(request), "sign-in"), 303, HEADERS)
        self._sessions.forget(response, request, COOKIE)
        return response


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _own_path(request: Request, path: str) -> str:
    """Only a page of the dashboard is gone on to."""
    base = _base(request)
    ours = path.startswith(f"{base}/") and not path.startswith("//")
    plain = all(" " < letter < "\x7f" and letter != "\\" for letter in path)
    return path if ours and plain and ".." not in path else f"{base}/"


def _is_part(request: Request) -> bool:
    """Is it asked for by a page that is open, and not to be a page of its own?"""
    return "hx-request" in request.headers


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
        # A link on another site brings no Strict cookie; a page of ours that asks again does.
        return HTMLResponse(render("again.html", _base(request), request), 200, HEADERS)
    here = str(request.scope["path"])
    query = request.url.query
    where = link(_base(request), "sign-in", next=f"{here}?{query}" if query else here)
    if _is_part(request):
        headers = {**HEADERS, "HX-Redirect": where}
        return PlainTextResponse("signed out\n", 401, headers)
    return RedirectResponse(where, 303, HEADERS)


def _refused(error: FrontRefused, request: Request, session: Session | None) -> Response:
    template = "trouble.html" if _is_part(request) else "error.html"
    text = render(template, _base(request), request, error=error, session=session)
    return HTMLResponse(text, error.status, HEADERS)
