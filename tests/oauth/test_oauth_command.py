"""`stepfold connection`: authorize, status, revoke, reseal, as an operator uses them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stepfold.app import opened
from stepfold.settings import Settings
from stepfold.tools.vault import VARIABLE
from tests.oauth.flows import NAME, browse, environ, written
from tests.oauth.provider import Provider
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "stepfold", "connection")
LIMIT_S = 60.0


@pytest.fixture
async def data(provider: Provider, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    async with opened(Settings(folder=folder)):
        pass
    (folder / "connections").mkdir()
    (folder / "connections" / f"{NAME}.toml").write_text(written(provider))
    return folder


def start(data: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *words],
        cwd=ROOT,
        env=environ(STEPFOLD_DATA_DIR=str(data), PYTHONUNBUFFERED="1", COLUMNS="100", **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def authorizing(
    data: Path, provider: Provider, *words: str, **more: str
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`authorize --json`, and what it printed first."""
    port = free_port()
    provider.redirects.add(f"http://127.0.0.1:{port}/callback")
    options = ("--customer", "acme", "--port", str(port), "--json", *words)
    process = start(data, "authorize", NAME, *options, **more)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate(timeout=LIMIT_S)[1])
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], said: str | None = None) -> tuple[int, str, str]:
    out, err = process.communicate(said, timeout=LIMIT_S)
    return process.returncode, out, err


def run(data: Path, *words: str, **more: str) -> tuple[int, str, str]:
    return ended(start(data, *words, **more))


def visit(url: str) -> tuple[int, str]:
    """A browser that is sent to `url`."""
    parts = urlsplit(url)
    web = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    web.request("GET", f"{parts.path}?{parts.query}")
    answer = web.getresponse()
    said = answer.read().decode()
    web.close()
    return answer.status, said


async def authorized(data: Path, provider: Provider, **more: str) -> dict[str, Any]:
    with authorizing(data, provider, **more) as (process, ask):
        status, said = visit(await browse(ask["url"]))
        assert (status, said) == (200, "Authorized. This window can be closed.\n")
        code, out, err = ended(process)
    assert code == 0, err
    standing: dict[str, Any] = json.loads(out)
    return standing


async def test_a_person_authorizes_in_a_browser(data: Path, provider: Provider) -> None:
    standing = await authorized(data, provider)

    assert standing["state"] == "authorized"
    assert standing["customer"] == "acme"
    assert standing["renewable"]
    code, out, err = run(data, "status", NAME)
    assert (code, err) == (0, "")
    assert out.startswith("desk for acme: authorized until 20")
    assert out.endswith(", renewed by itself\n")


async def test_who_knocks_without_the_state_is_shown_out_and_the_wait_goes_on(
    data: Path, provider: Provider
) -> None:
    with authorizing(data, provider) as (process, ask):
        assert visit(f"{ask['back']}?code=x&state=guessed")[0] == 400
        assert visit(ask["back"].replace("/callback", "/favicon.ico"))[0] == 404
        assert visit(await browse(ask["url"]))[0] == 200
        assert ended(process)[0] == 0

    assert provider.asked["authorization_code"] == 1


async def test_a_person_who_says_no_ends_it(data: Path, provider: Provider) -> None:
    provider.denies = True

    with authorizing(data, provider) as (process, ask):
        status, said = visit(await browse(ask["url"]))
        code, _, err = ended(process)

    assert (status, said) == (400, "Not authorized: see the terminal.\n")
    assert code == 1
    assert err == (
        "stepfold: connection 'desk': not authorized: access_denied (The person said no.)\n"
    )


async def test_the_address_can_be_pasted(data: Path, provider: Provider) -> None:
    with authorizing(data, provider, "--paste") as (process, ask):
        back = await browse(ask["url"])
        code, out, err = ended(process, f"{back}\n")

    assert code == 0, err
    assert json.loads(out)["state"] == "authorized"


async def test_nobody_who_comes_is_told(data: Path, provider: Provider) -> None:
    with authorizing(data, provider, "--within", "0.5") as (process, _):
        code, _, err = ended(process)

    assert code == 1
    assert err == "stepfold: nobody came back within 0.5 s: authorize again\n"


async def test_a_port_that_is_taken_is_told(data: Path, provider: Provider) -> None:
    words = ("authorize", NAME, "--customer", "acme", "--port", str(provider.port))

    code, out, err = run(data, *words)

    assert (code, out) == (1, "")
    assert f"the browser cannot come back to http://127.0.0.1:{provider.port}/callback" in err
    assert "use --paste" in err


async def test_revoking_says_whether_the_provider_was_told(data: Path, provider: Provider) -> None:
    await authorized(data, provider)

    assert run(data, "revoke", NAME, "--customer", "acme") == (
        0,
        "desk: the provider has taken the tokens back, and they are forgotten here\n",
        "",
    )
    assert "nobody has authorized desk" in run(data, "status", NAME)[1]

    await authorized(data, provider)
    provider.away = True
    code, out, err = run(data, "revoke", NAME, "--customer", "acme")
    assert (code, out) == (0, "desk: forgotten here\n")
    assert "the provider was not told" in err
    assert "HTTP 503" in err
    assert "nobody has authorized desk" in run(data, "status", NAME)[1]


async def test_keys_are_changed_without_anybody_authorizing_again(
    data: Path, provider: Provider
) -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    await authorized(data, provider, **{VARIABLE: old})

    code, _, err = run(data, "status", NAME, **{VARIABLE: new})
    assert code == 1
    assert f"add that key to {VARIABLE}" in err

    code, out, _ = run(data, "reseal", "--json", **{VARIABLE: f"{new},{old}"})
    assert (code, json.loads(out)) == (0, {"resealed": 1})
    assert run(data, "status", NAME, **{VARIABLE: new})[0] == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("authorize", NAME), "each customer authorizes: name one with --customer"),
        (("status", "none"), "none.toml: No such file or directory"),
        (("status", "../x"), "would be misread"),
    ],
)
async def test_what_cannot_be_done_is_told(data: Path, words: tuple[str, ...], why: str) -> None:
    code, out, err = run(data, *words)

    assert (code, out) == (1, "")
    assert why in err
    assert "Traceback" not in err


async def test_a_client_of_its_own_needs_no_browser(data: Path, provider: Provider) -> None:
    (data / "connections" / f"{NAME}.toml").write_text(written(provider, "oauth2_client"))

    code, out, err = run(data, "authorize", NAME)

    assert code == 0, err
    assert out.startswith("desk: authorized until ")
    assert run(data, "status", NAME)[1] == out


async def test_a_connection_without_oauth_needs_no_authorization(data: Path) -> None:
    text = '[auth]\nkind = "basic"\nuser = "${env:U}"\npassword = "${env:P}"\n'
    (data / "connections" / f"{NAME}.toml").write_text(text)

    assert run(data, "status", NAME) == (0, "desk: needs no authorization (basic)\n", "")
    code, out, _ = run(data, "status", NAME, "--json")
    assert (code, json.loads(out)["state"]) == (0, "needs no authorization")
    for words in (("revoke", NAME), ("authorize", NAME)):
        code, out, err = run(data, *words, "--customer", "acme")
        assert (code, out) == (1, "")
        assert err.startswith("stepfold: desk: needs no authorization (basic)")


async def test_revoking_where_there_is_nothing_says_so(data: Path) -> None:
    assert run(data, "revoke", NAME, "--customer", "nobody") == (
        0,
        "desk: there was nothing to take back for nobody\n",
        "",
    )
    code, out, _ = run(data, "revoke", NAME, "--customer", "nobody", "--json")
    assert (code, json.loads(out)["found"]) == (0, False)


async def test_what_is_pasted_and_no_such_address_is_told(data: Path, provider: Provider) -> None:
    with authorizing(data, provider, "--paste") as (process, ask):
        back = await browse(ask["url"])
        code, out, err = ended(process, f"hello\n{ask['back']}\n{back}\n")

    assert code == 0, err
    told = f"stepfold: that is no such address: it begins with {ask['back']}? and has a code; "
    assert err.splitlines() == [told + "paste it whole"] * 2
    assert json.loads(out)["state"] == "authorized"


def test_the_help_tells_of_all_connections(tmp_path: Path) -> None:
    said = " ".join(run(tmp_path, "--help")[1].split())

    assert "List connections and their tools. Of one by OAuth: authorize it" in said
