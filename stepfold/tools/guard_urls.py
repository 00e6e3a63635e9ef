"""Where a URL leads, read as strictly as can be: one spelling for each host, or none.

The library that connects is the one that reads, so that the two cannot disagree; what it would
accept in a second spelling is refused before.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import httpx2
from msgspec import Struct

from stepfold.tools.guard_addresses import (
    METADATA_RULE,
    Address,
    forbidden,
    is_network,
    networks,
)
from stepfold.tools.guard_reach import Reach, refused

URL_CHARS_MAX = 8_000
PORTS = {"http": 80, "https": 443}
CLOSED = "no setting opens it"
METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
    | {"instance-data.ec2.internal", "metadata.azure.internal", "metadata.tencentyun.com"}
)

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff]")
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)
_SHORTEST = "spell the host as its plain name or address"


class Target(Struct, frozen=True):
    """Where a request goes. `address` where the URL names one instead of a host."""

    scheme: str
    host: str
    port: int
    address: Address | None = None


def target(url: str, reach: Reach) -> Target:
    """Where a URL leads if the rules that need no network allow it, else ReachRefused."""
    _check_text(url)
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise refused(_host_in(url), f"not a URL ({error})", _SHORTEST) from None
    host = parsed.raw_host.decode("ascii")
    scheme = parsed.scheme
    if parsed.userinfo:
        raise refused(host, "a URL with a user in it", "send credentials in a header")
    if not host:
        raise refused(host, "it names none", "begin it with https://host/")
    port = parsed.port or PORTS.get(scheme, 0)
    address = _literal(host)
    found = Target(scheme, host, port, address)
    _check_rules(found, reach)
    return found


def named_private(host: str, port: int, reach: Reach) -> bool:
    """Is it a `host:port` that the list of private ones holds?"""
    spelled = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return any(spelled == each.lower() for each in reach.private if not is_network(each))


def _check_text(url: str) -> None:
    host = _host_in(url)
    if len(url) > URL_CHARS_MAX:
        raise refused(host, f"a URL of more than {URL_CHARS_MAX} characters", "shorten it")
    if _UNPRINTABLE.search(url):
        raise refused(host, "a URL with a blank or a control character", "percent-encode it")
    if "\\" in url:
        raise refused(host, "a URL with a backslash", "percent-encode it as %5C")
    found = _AUTHORITY.match(url)
    if found and not found[1].isascii():
        raise refused(host, "a host beyond ASCII", "spell it in punycode (xn--…)")
    if found and "%" in found[1]:
        raise refused(host, "a host with a zone or a percent sign", _SHORTEST)


def _check_rules(found: Target, reach: Reach) -> None:
    _refuse_metadata(found)
    host, listed = found.host, named_private(found.host, found.port, reach)
    or_private = f"or list {host}:{found.port} under `private`"
    if found.scheme not in (reach.schemes if not listed else {*reach.schemes, *PORTS}):
        rule = f"the scheme {found.scheme or '(none)'!r} is not allowed"
        raise refused(host, rule, f"use {' or '.join(reach.schemes)}, {or_private}")
    if found.port not in reach.ports and not listed:
        allowed = ", ".join(str(port) for port in reach.ports)
        raise refused(host, f"port {found.port} is not allowed", f"use {allowed}, {or_private}")
    if found.address is not None:
        check_address(host, found.port, found.address, reach)


def _refuse_metadata(found: Target) -> None:
    """First of all rules: no other's way out leads there."""
    rule = METADATA_RULE if found.host in METADATA_NAMES else None
    if found.address is not None:
        rule = forbidden(found.address, networks((str(found.address),)))
    if rule == METADATA_RULE:
        raise refused(found.host, rule, CLOSED)


def check_address(host: str, port: int, address: Address, reach: Reach) -> None:
    """ReachRefused when what `host` is, or resolves to, may not be dialled."""
    open_to = networks(reach.private)
    if named_private(host, port, reach):
        open_to = (*open_to, *networks((str(address),)))
    rule = forbidden(address, open_to)
    if rule is None:
        return
    verb = "is" if host == str(address) or ":" in host else "resolves to"
    way_out = CLOSED
    if rule != METADATA_RULE:
        way_out = f"if it is meant, list its network or {host}:{port} under `private`"
    raise refused(host, f"it {verb} an address that is not public: {rule}", way_out)


def _literal(host: str) -> Address | None:
    """The address that a host is; None for a name. A number in any other spelling is refused."""
    if ":" in host:
        try:
            return IPv6Address(host)
        except AddressValueError:
            raise refused(host, "not an address of IPv6", _SHORTEST) from None
    if host.endswith("."):
        raise refused(host, "a host that ends in a dot", _SHORTEST)
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return IPv4Address(host)
        except AddressValueError:
            raise refused(host, "an odd spelling of an address", _SHORTEST) from None
    if not _NAME.fullmatch(host):
        raise refused(host, "not the name of a host", _SHORTEST)
    return None


def _host_in(url: str) -> str:
    """What stands where the host should, for an error: no user, no path, no control character."""
    found = _AUTHORITY.match(url)
    text = found[1].rpartition("@")[2] if found else ""
    return _UNPRINTABLE.sub("?", text)[:100]
