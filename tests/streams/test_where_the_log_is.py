"""What is told of a server that is away names no password."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.streams import jetstream
from stepfold.streams.jetstream.connection import away
from stepfold.streams.log import LogUnavailable
from tests.servers import free_port, running

SECRET = "s3cretpw"
ACCOUNT = f'authorization {{ user: gw, password: "{SECRET}" }}'


async def test_a_server_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path,
) -> None:
    with running(tmp_path, extra=ACCOUNT) as server:
        url = server.url.replace("nats://", f"nats://gw:{SECRET}@")
        async with jetstream.connect(url) as client:
            told = away(client, TimeoutError())

    assert f"server 127.0.0.1:{server.port})" in told
    assert SECRET not in told


async def test_a_server_that_is_not_there_is_named_without_its_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    url = f"nats://gw:{SECRET}@127.0.0.1:{port}"

    with pytest.raises(LogUnavailable) as refused:
        async with jetstream.connect(url, within_s=0.3):
            pass

    assert f"nats://127.0.0.1:{port}" in str(refused.value)
    assert SECRET not in str(refused.value) + caplog.text
