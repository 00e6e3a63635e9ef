"""Which addresses may be dialled. Pure.

Whatever is not plainly public is refused, and so is each form of IPv6 that carries an address of
IPv4 inside: the way round a rule is a second spelling.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = frozenset(
    ip_address(each)
    for each in (
        "169.254.169.254",  # nearly every cloud
        "169.254.169.253",  # AWS: names
        "169.254.170.2",  # AWS: credentials of containers
        "169.254.170.23",
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::253",
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
    )
)
"""Where clouds keep the machine's own credentials: no list of private networks opens these."""
METADATA_RULE = "the metadata of a cloud"

_ISATAP = 0x5EFE
_PUBLIC6 = IPv6Network("2000::/3")
_NEVER = tuple(
    (ip_network(network), rule)
    for network, rule in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by carriers (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.88.99.0/24", "reserved (6to4)"),
        ("192.168.0.0/16", "private"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4 spelled as IPv6"),
        ("::ffff:0:0:0/96", "IPv4 spelled as IPv6"),
        ("::/96", "IPv4 spelled as IPv6"),
        ("64:ff9b::/96", "IPv4 behind NAT64"),
        ("64:ff9b:1::/48", "IPv4 behind NAT64"),
        ("2001::/32", "IPv4 in a Teredo tunnel"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "reserved for examples"),
        ("2002::/16", "IPv4 in a 6to4 tunnel"),
        ("3fff::/20", "reserved for examples"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_IPV4_AT_THE_END = tuple(
    IPv6Network(each) for each in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)


def forbidden(address: Address, open_to: Sequence[Network] = ()) -> str | None:
    """Why an address may not be dialled; None when it may. A network of `open_to` opens what is in
    it, except the metadata of a cloud, in whatever spelling.
    """
    inner = _inside(address)
    if address in METADATA:
        return METADATA_RULE
    if isinstance(address, IPv6Address) and address.scope_id:
        return "an address with a zone"
    if any(address in network for network in open_to):
        return forbidden(inner, open_to) if inner is not None and int(address) > 1 else None
    for network, rule in _NEVER:
        if address in network:
            return rule
    if isinstance(address, IPv6Address) and address not in _PUBLIC6:
        return "not public"
    if inner is not None:
        return "IPv4 in an ISATAP tunnel"
    return None if address.is_global else "reserved"


def _inside(address: Address) -> IPv4Address | None:
    """The address of IPv4 that one of IPv6 stands for."""
    if isinstance(address, IPv4Address):
        return None
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    isatap = (int(address) >> 32) & 0xFDFFFFFF == _ISATAP
    return last if isatap or any(address in each for each in _IPV4_AT_THE_END) else None


def networks(private: Sequence[str]) -> tuple[Network, ...]:
    """Those of a list that also holds `host:port`s."""
    return tuple(ip_network(each, strict=False) for each in private if is_network(each))


def is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
