"""A process whose many callers want a token at once: python -m tests.oauth.caller FOLDER URL.

For each line on stdin (how many seconds its clock is ahead) it says "asking", asks, and says how
many different tokens they got, and the hash of one.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

from stepfold.cli.stdin import lines
from stepfold.tools.oauth import OAuthCredentials
from stepfold.tools.oauth_table import Auth, read_auth
from tests.oauth.flows import CUSTOMER, ENVIRONMENT, NAME, Watch, bearer, jetstream, vault

CALLERS = 25


async def main(auth: Auth, url: str) -> None:
    async with jetstream(url) as store:
        async for line in lines():
            found = OAuthCredentials(auth, vault(store), clock=Watch(float(line)))
            print("asking", flush=True)
            got = await asyncio.gather(*(found.headers(CUSTOMER) for _ in range(CALLERS)))
            tokens = {bearer(each) for each in got}
            print(len(tokens), hashed(tokens.pop()), flush=True)


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


if __name__ == "__main__":
    made = read_auth(Path(sys.argv[1]) / f"{NAME}.toml", ENVIRONMENT)
    assert made is not None
    asyncio.run(main(made, sys.argv[2]))
