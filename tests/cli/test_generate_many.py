"""`stepfold generate --many`: a line each, resumed without buying twice, a bar beside it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stepfold import settings
from stepfold.app import opened
from stepfold.cli import exits
from stepfold.cli.generate import LANE
from tests.cli.commands import LIMIT_S, PROGRAM, environ, first_line, records, run, running, spawn
from tests.waiting import eventually

HOOKS = """
import asyncio
import json
from decimal import Decimal
from pathlib import Path

from stepfold.providers.model import ModelFailed, Reply

HERE = Path(__file__).parent

class Echo:
    async def reply(self, prompt, /):
        said = prompt.question
        with (HERE / "asked").open("a") as file:
            file.write(said + "\\n")
        while (HERE / f"hold-{said}").exists():
            await asyncio.sleep(0.01)
        if said == "bad":
            raise ModelFailed("it cannot")
        return Reply(json.dumps({"said": said}), cost_usd=Decimal("0.001"))

MODELS = {"echo": Echo()}
"""
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
COLUMNS = 60


class Shop:
    """A folder with a log, a model that notes what it is asked, and a file of inputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "inputs.jsonl"
        (folder / "many_hooks.py").write_text(HOOKS)
        (folder / "schema.json").write_text(json.dumps(SCHEMA))
        (folder / "asked").touch()

    def give(self, *inputs: Any) -> None:
        self.file.write_text("".join(json.dumps(each) + "\n" for each in inputs))

    def words(self, *more: str) -> Sequence[str]:
        task = ("generate", "--task", "echo", "--schema", str(self.folder / "schema.json"))
        return (*task, "--model", "echo", "--hooks", "many_hooks", "--many", str(self.file), *more)

    @property
    def environ(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")])
        return {"STEPFOLD_DATA_DIR": str(self.folder / "data"), "PYTHONPATH": path}

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return spawn(*self.words(*more), **self.environ)

    @property
    def asked(self) -> Counter[str]:
        return Counter((self.folder / "asked").read_text().splitlines())

    def hold(self, *inputs: str) -> list[Path]:
        files = [self.folder / f"hold-{each}" for each in inputs]
        for file in files:
            file.touch()
        return files

    async def until(self, condition: Callable[[], bool]) -> None:
        await eventually(condition)

    async def until_nobody_serves(self) -> None:
        """The worker that runs takes nothing more."""
        async with opened(settings.read(folder=self.folder / "data")) as found:

            async def is_left() -> bool:
                return LANE not in await found.served()

            await eventually(is_left)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def lines(ended: subprocess.CompletedProcess[str]) -> list[Any]:
    """In the order of the inputs."""
    return sorted((json.loads(line) for line in ended.stdout.splitlines()), key=by_line)


def by_line(line: Any) -> int:
    return int(line["line"])


# -- a line each --------------------------------------------------------------------------------


def test_each_input_is_a_line_with_its_number(shop: Shop) -> None:
    shop.file.write_text('"a"\n\n"b"\n')

    ended = shop.run()

    assert ended.returncode == 0
    assert [(each["line"], each["output"]) for each in lines(ended)] == [
        (1, {"said": "a"}),
        (3, {"said": "b"}),
    ]
    assert ended.stderr == "stepfold: 2 of 2 inputs made, 0 of them before\n"


def test_with_json_nothing_else_is_said(shop: Shop) -> None:
    shop.give("a")

    ended = shop.run("--json")

    assert ended.stderr == ""
    assert lines(ended)[0]["cost_usd"] == "0.001"


def test_each_input_is_a_request_and_an_outcome_in_the_log(shop: Shop) -> None:
    shop.give("a", "b")
    names = [each["conversation"] for each in lines(shop.run())]

    for name in names:
        data = shop.folder / "data"
        entries = records(run("tail", "--conversation", name, "--json", data=data))
        assert [entry["event"]["type"] for entry in entries] == [
            "generation.requested/1",
            "generation.finished/1",
        ]


def test_an_input_that_fails_is_a_line_with_the_reason_and_the_rest_is_made(shop: Shop) -> None:
    shop.give("a", "bad", "c")

    ended = shop.run()

    assert ended.returncode == exits.REFUSED
    one, bad, three = lines(ended)
    assert (one["output"], three["output"]) == ({"said": "a"}, {"said": "c"})
    assert (bad["line"], bad["reason"]) == (2, "model")
    assert "it cannot" in bad["detail"]
    assert ended.stderr.splitlines()[-1] == "stepfold: 2 of 3 inputs made, 0 of them before"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('"a"\n{"b": \n"c"\n', "inputs.jsonl:2: "),
        ('"a"\n\n"b" "c"\n', "inputs.jsonl:3: "),
        ('"a"\n\xff\n', "inputs.jsonl:2: "),
    ],
)
def test_a_line_that_is_no_json_is_refused_before_anything_is_asked(
    shop: Shop, text: str, why: str
) -> None:
    shop.file.write_bytes(text.encode("latin-1"))

    ended = shop.run()

    assert (ended.returncode, ended.stdout) == (exits.REFUSED, "")
    (line,) = ended.stderr.splitlines()
    assert why in line
    assert line.endswith("; nothing was asked")
    assert not shop.asked


def test_a_line_that_a_ready_task_cannot_be_given_is_refused_with_its_number(shop: Shop) -> None:
    shop.give({"text": "a", "labels": ["b"]}, {"text": "a"})

    ended = run("generate", "--task", "classify", "--many", shop.file, data=shop.folder)

    assert ended.exit_code == exits.REFUSED
    assert "inputs.jsonl:2: task classify: its input: " in ended.stderr


def test_a_file_without_inputs_is_done_at_once(shop: Shop) -> None:
    shop.give()

    ended = shop.run()

    assert (ended.returncode, ended.stdout) == (0, "")


# -- going on -----------------------------------------------------------------------------------


def test_run_again_it_asks_only_for_what_is_missing(shop: Shop) -> None:
    shop.give("a", "b")
    shop.run()
    shop.give("b", "a", "c", "c")

    again = shop.run()

    assert [each["before"] for each in lines(again)][:2] == [True, True]
    assert shop.asked == {"a": 1, "b": 1, "c": 1}


def test_stopped_with_ctrl_c_it_finishes_what_it_has_in_hand_and_no_more(shop: Shop) -> None:
    shop.give(*"abcdef")
    held = shop.hold("c", "d")
    with running(*shop.words("--at-once", "2"), **shop.environ) as process:
        for _ in range(2):
            first_line(process)
        asyncio.run(shop.until(lambda: shop.asked.keys() >= {"c", "d"}))
        process.send_signal(signal.SIGINT)
        asyncio.run(shop.until_nobody_serves())
        for file in held:
            file.unlink()
        _, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, shop.asked) == (exits.STOPPED, Counter("abcd"))
    assert errors.splitlines() == [
        "stepfold: finishing what is in hand; once more stops at once",
        "stepfold: stopped: 2 of 6 inputs made; run it again to go on",
    ]

    again = shop.run()

    assert [each["before"] for each in lines(again)] == [True] * 4 + [False] * 2
    assert shop.asked == Counter("abcdef")


def test_killed_it_goes_on_and_what_was_made_is_not_bought_again(shop: Shop) -> None:
    shop.give(*"abcdef")
    (held,) = shop.hold("c")
    with running(*shop.words("--at-once", "1"), **shop.environ) as process:
        for _ in range(2):
            first_line(process)
        asyncio.run(shop.until(lambda: "c" in shop.asked))
        process.kill()
        process.wait(LIMIT_S)
    held.unlink()

    again = shop.run("--timeout", "3")

    a, b, c, *others = lines(again)
    assert [a["before"], b["before"]] == [True, True]
    assert c["reason"] == "late", "the dead worker has it in hand, for ACK_WAIT_S"
    assert [each["output"]["said"] for each in others] == list("def")
    assert shop.asked == Counter("abcdef")


# -- the bar ------------------------------------------------------------------------------------


def on_a_terminal(shop: Shop, *, both: bool) -> tuple[str, str]:
    """What a run says on stdout and on its terminal, which has 60 columns and is stderr or both."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [*PROGRAM, *shop.words()],
        env=environ(TERM="xterm", **shop.environ),
        stdin=subprocess.DEVNULL,
        stdout=theirs if both else subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b"".join(iter(lambda: read(ours), b""))
    os.close(ours)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    return (out or b"").decode(), seen.decode()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody holds its other end any more
        return b""


def test_a_bar_stands_on_the_terminal_and_the_lines_go_to_the_file(shop: Shop) -> None:
    long = [f"{n} {'x' * 2 * COLUMNS}" for n in range(3)]
    shop.give(*long)

    said, seen = on_a_terminal(shop, both=False)

    assert sorted(json.loads(line)["output"]["said"] for line in said.splitlines()) == long
    assert "3/3" in seen
    assert "xxx" not in seen
    assert "3 of 3 inputs made" in seen


def test_on_one_terminal_each_line_is_whole_between_the_bars(shop: Shop) -> None:
    long = [f"{n} {'x' * 2 * COLUMNS}" for n in range(3)]
    shop.give(*long)

    _, seen = on_a_terminal(shop, both=True)

    whole = [line[line.find('{"line"') :] for line in seen.splitlines() if '{"line"' in line]
    assert sorted(json.loads(line)["output"]["said"] for line in whole) == long
    assert "2/3" in seen
