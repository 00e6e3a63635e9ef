"""How far outgoing requests may reach, and the refusal of one that would reach further.

ReachRefused    it did not leave: the host, the rule, and the way out
"""

from __future__ import annotations

from msgspec import Struct

from stepfold import __version__
from stepfold.tools.tool import ToolError

USER_AGENT = f"stepfold/{__version__}"
"""As which every request of a tool goes out, unless its file says otherwise."""


class Reach(Struct, frozen=True):
    """Public addresses by the `schemes` on the `ports`; beyond them what `private` lists. A network
    there (`10.1.0.0/16`) is held to be public. A `host:port` may be private and plain http, on that
    port alone. An answer has at most `bytes_max` bytes, unpacked, and arrives whole in `timeout_s`
    seconds, redirects included. With `redirects_max` 0 a redirect is an answer like any other.
    """

    schemes: tuple[str, ...] = ("https",)
    ports: tuple[int, ...] = (443,)
    private: tuple[str, ...] = ()
    bytes_max: int = 5_000_000
    timeout_s: float = 30.0
    redirects_max: int = 3


PUBLIC = Reach()
"""What nobody has said more of."""


class ReachRefused(ToolError):
    """A request that may not leave."""


def refused(host: str, rule: str, way_out: str) -> ReachRefused:
    return ReachRefused(f"{host or 'a URL without a host'}: {rule}: {way_out}")
