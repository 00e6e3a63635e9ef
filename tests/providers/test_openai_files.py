"""Images and documents, as OpenAI is shown them."""

from __future__ import annotations

import base64

import pytest

from stepfold.events.transcript import Heard
from stepfold.events.values import (
    FileRef,
)
from stepfold.providers.model import ModelFailed
from stepfold.providers.wire import Json
from tests.providers.openai_asked import (
    BLOBS,
    PDF,
    PNG,
    body,
    said,
)
from tests.providers.openai_served import both


def data_url(media: str, data: bytes) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("dialect", "ref", "told"),
    [
        ("responses", FileRef("image/png", blob="sha256:png"),
         {"type": "input_image", "detail": "auto", "image_url": data_url("image/png", PNG)}),
        ("responses", FileRef("image/png", url="file-7"),
         {"type": "input_image", "detail": "auto", "file_id": "file-7"}),
        ("responses", FileRef("application/pdf", blob="sha256:pdf", name="a.pdf"),
         {"type": "input_file", "filename": "a.pdf",
          "file_data": data_url("application/pdf", PDF)}),
        ("responses", FileRef("application/pdf", url="https://example.com/a.pdf"),
         {"type": "input_file", "file_url": "https://example.com/a.pdf"}),
        ("responses", FileRef("text/csv", blob="sha256:csv", name="a.csv"),
         {"type": "input_text", "text": "a.csv:\na,b\n"}),
        ("chat", FileRef("image/png", blob="sha256:png"),
         {"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}}),
        ("chat", FileRef("image/png", url="https://example.com/a.png"),
         {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
        ("chat", FileRef("application/pdf", blob="sha256:pdf"),
         {"type": "file", "file": {"filename": "file.pdf",
          "file_data": data_url("application/pdf", PDF)}}),
        ("chat", FileRef("application/pdf", url=data_url("application/pdf", PDF), name="b.pdf"),
         {"type": "file", "file": {"filename": "b.pdf",
          "file_data": data_url("application/pdf", PDF)}}),
        ("chat", FileRef("application/pdf", url="file-7"),
         {"type": "file", "file": {"file_id": "file-7"}}),
    ],
)  # fmt: skip
def test_a_file_is_shown_after_the_words_that_came_with_it(
    dialect: str, ref: FileRef, told: Json
) -> None:
    (message,) = said(body(dialect, Heard("Look.", (ref,)), blobs=BLOBS))

    assert message["content"][0]["text"] == "Look."
    assert message["content"][1:] == [told]


@both
@pytest.mark.parametrize(
    ("ref", "why"),
    [
        (
            FileRef("image/png", blob="sha256:gone", name="a.png"),
            "not in this worker's object store",
        ),
        (FileRef("image/png", url="ftp://example.com/a.png"), "no address it reads"),
    ],
)
def test_a_file_that_cannot_be_shown_is_a_failure_with_a_way_out(
    dialect: str, ref: FileRef, why: str
) -> None:
    with pytest.raises(ModelFailed, match=why) as raised:
        body(dialect, Heard("Look.", (ref,)))

    assert raised.value.reason == "invalid_request"
