"""The guard lets an honest request through: pinned to its address, under its own name."""

from __future__ import annotations

import asyncio
import datetime
import logging
import ssl
import threading
import zlib
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stepfold import __version__
from stepfold.tools.guard import PUBLIC, Reach, ReachRefused, client, target, transport
from stepfold.tools.guard_addresses import forbidden
from tests.tools.wild_server import WildServer, json, redirect, told, wild

PUBLIC_ADDRESSES = (
    *("1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.1", "172.32.0.1"),
    *("192.167.255.255", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::200e"),
)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_may_be_dialled(address: str) -> None:
    assert forbidden(ip_address(address)) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.0.0/16"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("::1", "::1/128"),
        ("fd12::7", "fd12::/32"),
        ("100.64.0.7", "100.64.0.0/10"),
    ],
)
def test_what_is_listed_is_open_and_its_neighbour_is_not(address: str, network: str) -> None:
    listed = ip_network(network)

    assert forbidden(ip_address(address), (listed,)) is None
    assert forbidden(ip_address("192.168.0.1"), (listed,)) == "private"


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("::ffff:10.0.0.1", ("::ffff:0:0/96",)),
        ("64:ff9b::a00:1", ("64:ff9b::/96",)),
        ("2002:a00:1::", ("2002::/16",)),
        ("::ffff:169.254.169.254", ("::/0", "0.0.0.0/0")),
        ("64:ff9b::a9fe:a9fe", ("64:ff9b::/96", "169.254.0.0/16")),
    ],
)
def test_a_listed_tunnel_opens_nothing_that_is_not_listed_itself(
    address: str, networks: tuple[str, ...]
) -> None:
    listed = tuple(ip_network(each) for each in networks)

    assert forbidden(ip_address(address), listed) is not None


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://api.example.com/a?b=c", "api.example.com", 443),
        ("https://API.Example.COM/", "api.example.com", 443),
        ("https://api.example.com:443/", "api.example.com", 443),
        ("https://xn--bcher-kva.example/straße", "xn--bcher-kva.example", 443),
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111", 443),
        ("https://a_b.example.com/", "a_b.example.com", 443),
        ("https://1.example.com/", "1.example.com", 443),
    ],
)
def test_a_plain_url_leads_where_it_says(url: str, host: str, port: int) -> None:
    found = target(url, PUBLIC)

    assert (found.scheme, found.host, found.port) == ("https", host, port)


def test_a_listed_host_and_port_may_be_plain_http_on_that_port_alone() -> None:
    reach = Reach(private=("erp.local:8080",))

    assert target("http://erp.local:8080/", reach).port == 8080
    with pytest.raises(ReachRefused, match="scheme"):
        target("http://erp.local/", reach)
    with pytest.raises(ReachRefused, match="port 8081"):
        target("https://erp.local:8081/", reach)


def test_a_refusal_names_the_host_the_rule_and_the_way_out() -> None:
    with pytest.raises(ReachRefused) as refused:
        target("https://10.0.0.7/secret?key=1", PUBLIC)

    assert str(refused.value) == (
        "10.0.0.7: it is an address that is not public: private: if it is meant, list its network"
        " or 10.0.0.7:443 under `private`"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254:8080/",
        "ftp://metadata.google.internal/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
    ],
)
def test_nobody_is_advised_to_list_the_metadata_of_a_cloud(url: str) -> None:
    with pytest.raises(ReachRefused) as refused:
        target(url, PUBLIC)

    assert str(refused.value).endswith(": the metadata of a cloud: no setting opens it")


async def test_requests_say_who_asks() -> None:
    async with wild({"/": told(b"hello")}) as server:
        async with client(Reach(private=(f"127.0.0.1:{server.port}",))) as http:
            await http.get(f"{server.url}/")

        assert server.heard[0].headers["user-agent"] == f"stepfold/{__version__}"


def test_a_trailing_dot_is_called_so() -> None:
    with pytest.raises(
        ReachRefused, match="a host that ends in a dot: spell the host as its plain"
    ):
        target("https://api.example.com./", PUBLIC)


# -- through a server -----------------------------------------------------------------------------


def reach_of(server: WildServer, **more: float) -> Reach:
    return Reach(("http",), (server.port,), ("127.0.0.0/8",), **more)  # type: ignore[arg-type]


async def orders(host: str, port: int) -> Sequence[str]:
    assert host == "orders.example"
    return ["127.0.0.1"]


async def test_the_name_stays_the_name_and_the_address_is_the_one_resolved() -> None:
    async with wild({"/a": json([1])}) as server:
        async with client(reach_of(server), resolve=orders) as http:
            response = await http.get(f"http://orders.example:{server.port}/a?b=c%20d")

        assert response.json() == [1]
        assert server.heard[0].target == "/a?b=c%20d"
        assert server.heard[0].headers["host"] == f"orders.example:{server.port}"


async def test_the_second_address_is_tried_when_the_first_does_not_answer() -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.77", "127.0.0.1"]

    async with wild({"/a": json([1])}) as server, client(reach_of(server), resolve=two) as http:
        assert (await http.get(f"http://orders.example:{server.port}/a")).json() == [1]


async def test_names_are_resolved_while_all_other_threads_are_taken() -> None:
    free = threading.Event()
    loop = asyncio.get_running_loop()
    taken = [loop.run_in_executor(None, free.wait) for _ in range(100)]

    async with wild({"/a": json([1])}) as server, client(reach_of(server, timeout_s=5)) as http:
        try:
            assert (await http.get(f"http://localhost:{server.port}/a")).json() == [1]
        finally:
            free.set()
            await asyncio.gather(*taken)


async def test_a_read_follows_a_redirect_and_keeps_its_headers_on_its_origin() -> None:
    async with wild({"/a": redirect("/b"), "/b": json("b")}) as server:
        async with client(reach_of(server)) as http:
            response = await http.get(f"{server.url}/a", headers={"X-Key": "k"})

        assert response.json() == "b"
        assert [heard.headers["x-key"] for heard in server.heard] == ["k", "k"]


async def test_a_body_is_sent_again_to_its_own_origin_when_that_asks_for_it() -> None:
    async with wild({"/mcp": redirect("/mcp/", status=307), "/mcp/": json("ok")}) as server:
        async with client(reach_of(server)) as http:
            response = await http.post(f"{server.url}/mcp", json={"a": 1})

        assert response.json() == "ok"
        assert [heard.json for heard in server.heard] == [{"a": 1}, {"a": 1}]


async def test_an_answer_comes_unpacked_and_in_pieces() -> None:
    packed = told(zlib.compress(b"x" * 300_000), content_encoding="deflate")

    async with (
        wild({"/a": packed}) as server,
        client(reach_of(server)) as http,
        http.stream("GET", f"{server.url}/a") as response,
    ):
        sizes = [len(part) async for part in response.aiter_bytes()]

    assert sum(sizes) == 300_000
    assert "content-encoding" not in response.headers


async def test_an_answer_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    answers = {"/a": told(b"x" * 1_000), "/b": told(b"x" * 1_001)}

    async with wild(answers) as server, client(reach_of(server, bytes_max=1_000)) as http:
        assert len((await http.get(f"{server.url}/a")).content) == 1_000
        with pytest.raises(httpx2.ReadError, match="more than 1,000 bytes"):
            await http.get(f"{server.url}/b")


async def test_without_redirects_a_redirect_is_an_answer() -> None:
    astray = redirect("http://169.254.169.254/")

    async with wild({"/a": astray}) as server, client(reach_of(server, redirects_max=0)) as http:
        assert (await http.get(f"{server.url}/a")).status_code == 302


async def test_the_transport_serves_a_client_of_another_library() -> None:
    async with wild({"/a": json([1])}) as server:
        under = transport(reach_of(server))
        async with httpx2.AsyncClient(transport=under, trust_env=False) as http:
            assert (await http.get(f"{server.url}/a")).json() == [1]
            with pytest.raises(ReachRefused):
                await http.get("http://169.254.169.254/")


async def test_what_a_tool_sends_is_in_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with wild({"/a": json([1])}) as server, client(reach_of(server)) as http:
        url = f"{server.url}/a?key=s3cret"
        await http.post(url, headers={"X-Key": "s3cret"}, json=["s3cret"])

    assert "HTTP Request: POST" in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_change_of_protocols_is_no_answer() -> None:
    switching = b"HTTP/1.1 101 Switching\r\nupgrade: raw\r\nconnection: upgrade\r\n\r\n"

    async with wild({"/a": switching}) as server, client(reach_of(server)) as http:
        with pytest.raises(httpx2.RemoteProtocolError, match="without a pending proposal"):
            await http.get(f"{server.url}/a")


# -- TLS ------------------------------------------------------------------------------------------


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side with a certificate of `name`, and a client's side that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    written = certificate.public_bytes(serialization.Encoding.PEM)
    written += key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / f"{name}.pem"
    file.write_bytes(written)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(file)
    return served, ssl.create_default_context(cafile=file)


async def test_tls_is_spoken_with_the_name_on_the_pinned_address(tmp_path: Path) -> None:
    served, trust = certified(tmp_path, "orders.example")
    asked_for: list[str | None] = []
    served.sni_callback = lambda _, name, __: asked_for.append(name)

    async with wild({"/a": json([1])}, tls=served) as server:
        reach = Reach(ports=(server.port,), private=("127.0.0.1/32",))
        async with client(reach, resolve=orders, trust=trust) as http:
            response = await http.get(f"https://orders.example:{server.port}/a")

        assert response.json() == [1]
        assert asked_for == ["orders.example"]
        assert server.heard[0].headers["host"] == f"orders.example:{server.port}"


async def test_a_certificate_of_another_name_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    served, trust = certified(tmp_path, "evil.example")

    async with wild({"/a": json([1])}, tls=served) as server:
        reach = Reach(ports=(server.port,), private=("127.0.0.1/32",))
        async with client(reach, resolve=orders, trust=trust) as http:
            with pytest.raises(httpx2.ConnectError, match="certificate"):
                await http.get(f"https://orders.example:{server.port}/a")

        assert server.heard == []


async def test_https_does_not_lead_to_plain_http(tmp_path: Path) -> None:
    served, trust = certified(tmp_path, "orders.example")

    async with wild({"/b": json("plain")}) as plain:
        place = redirect(f"http://orders.example:{plain.port}/b")
        async with wild({"/a": place}, tls=served) as server:
            ports = (server.port, plain.port)
            reach = Reach(("https", "http"), ports, private=("127.0.0.1/32",))
            async with client(reach, resolve=orders, trust=trust) as http:
                with pytest.raises(ReachRefused, match="from https to plain http"):
                    await http.get(f"https://orders.example:{server.port}/a")

        assert plain.heard == []
