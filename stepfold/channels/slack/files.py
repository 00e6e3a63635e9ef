"""Files that contacts send: fetched with the workspace's token, kept in the object store.

They leave through the guard, and only to Slack itself: the token must go nowhere else.
"""

from __future__ import annotations

import httpx2
from msgspec.structs import replace

from stepfold.channels.slack.api import SlackApi, SlackAway, SlackRefused
from stepfold.channels.slack.config import Secret, SlackConfig
from stepfold.channels.slack.happened import File
from stepfold.channels.slack.parse import file_of
from stepfold.events.values import FileRef
from stepfold.handlers.asking import Files
from stepfold.streams.log import FileRefused
from stepfold.tools.guard import Reach, ReachRefused, client

OK, SERVER_ERROR, TOO_MANY = 200, 500, 429
TIMEOUT_S = 60.0
ROOM_BYTES = 1_000_000
"""More than arrives at a time, so that our own limit comes before the guard's, and says more."""
SIGN_IN = "text/html"
"""What Slack sends in the place of a file that the token may not read: a page to sign in."""


class FileLost(Exception):
    """The file is not to be had; says why, for the contact and the model."""


async def fetch(
    file: File, config: SlackConfig, token: Secret, api: SlackApi, files: Files
) -> FileRef:
    """The file, kept. FileLost; SlackAway when it may be had later."""
    if not file.url:
        file = await _looked_up(file, api)
    if file.size > config.file_bytes_max:
        raise FileLost(_too_large(config))
    url = httpx2.URL(file.url)
    _refuse_stranger(url, httpx2.URL(config.api))
    data = await _got(file, url, config, token)
    try:
        blob = await files.put(data)
    except FileRefused as error:
        raise FileLost(str(error)) from None
    return FileRef(file.media, blob=blob, name=file.name)


async def _looked_up(file: File, api: SlackApi) -> File:
    try:
        answer = await api.call("files_info", file=file.id)
    except SlackRefused as refused:
        raise FileLost(f"Slack does not give it: {refused.error}") from None
    found = file_of(answer.get("file") or {})
    if not found.url:
        raise FileLost("Slack says nowhere where it lies")
    return replace(found, id=file.id)


def _refuse_stranger(url: httpx2.URL, api: httpx2.URL) -> None:
    """Slack's files lie on `files.` of its own domain."""
    own = url.netloc == api.netloc or url.host == f"files.{api.host}"
    if not own or url.scheme != api.scheme or url.userinfo:
        raise FileLost("it does not lie on Slack itself")


async def _got(file: File, url: httpx2.URL, config: SlackConfig, token: Secret) -> bytes:
    headers = {"Authorization": f"Bearer {token.reveal()}"}
    try:
        async with (
            client(reach_of(config)) as http,
            http.stream("GET", url, headers=headers) as answer,
        ):
            _refuse_answer(file, answer)
            data = b""
            async for piece in answer.aiter_bytes():
                data += piece
                if len(data) > config.file_bytes_max:
                    raise FileLost(_too_large(config))
            return data
    except httpx2.RequestError as error:
        raise SlackAway("the file's URL", type(error).__name__) from None
    except ReachRefused as refused:
        raise FileLost(str(refused)) from None


def _refuse_answer(file: File, answer: httpx2.Response) -> None:
    if answer.status_code >= SERVER_ERROR or answer.status_code == TOO_MANY:
        raise SlackAway("the file's URL", f"status {answer.status_code}")
    if answer.status_code != OK:
        raise FileLost(f"Slack does not give it: status {answer.status_code}")
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == SIGN_IN and file.media != SIGN_IN:
        raise FileLost("the app lacks the scope files:read")


def reach_of(config: SlackConfig) -> Reach:
    """Slack's own hosts are public; a look-alike on this machine is named in the configuration."""
    api = httpx2.URL(config.api)
    private = () if api.scheme == "https" else (f"{api.host}:{api.port}",)
    return Reach(
        private=private,
        bytes_max=config.file_bytes_max + ROOM_BYTES,
        timeout_s=TIMEOUT_S,
        redirects_max=0,
    )


def _too_large(config: SlackConfig) -> str:
    return f"it is larger than {config.file_bytes_max:,} bytes"
