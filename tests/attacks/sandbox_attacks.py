"""Attacks on a sandbox's limits: what each is, and how each backend must end it.

The value of the last line is what the attack has won; a run that is `ok` must have won nothing, or
what `result` says.
"""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from msgspec import Struct

from stepfold.sandbox.sandbox import Limits, Outcome

LIMITS = Limits(
    cpu_s=0.3,
    wall_s=3.0,
    memory_bytes=100_000_000,
    output_bytes=20_000,
    files_max=10,
    files_bytes=200_000,
    processes_max=8,
    calls_max=200,
)
SLEEPERS = Limits(cpu_s=0.5, wall_s=0.5, memory_bytes=100_000_000)


class Attack(Struct, frozen=True):
    name: str
    code: str
    monty: Outcome
    process: Outcome
    result: Any = None
    limits: Limits = LIMITS


def attack(
    name: str,
    code: str,
    *,
    monty: Outcome,
    process: Outcome,
    result: Any = None,
    limits: Limits = LIMITS,
) -> Attack:
    return Attack(name, dedent(code).strip("\n"), monty, process, result, limits)


TIME = (
    attack("endless loop", "while True: pass", monty="cpu", process="cpu"),
    attack(
        "endless loop that catches everything",
        """
        while True:
            try:
                while True: pass
            except BaseException:
                pass
        """,
        monty="cpu",
        process="cpu",
    ),
    attack(
        "endless loop deaf to signals",
        """
        import signal
        for each in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(each, signal.SIG_IGN)
        while True: pass
        """,
        monty="error",
        process="cpu",
    ),
    attack(
        "endless sleep",
        "import time\ntime.sleep(1e6)",
        monty="time",
        process="time",
        limits=SLEEPERS,
    ),
    attack(
        "stops itself",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        monty="error",
        process="time",
        limits=SLEEPERS,
    ),
    attack(
        "endless awaiting",
        """
        import asyncio
        async def spin():
            while True:
                await asyncio.sleep(0)
        asyncio.run(spin())
        """,
        monty="cpu",
        process="cpu",
    ),
    attack(
        "regex that backtracks for ever",
        "import re\nre.match('(a|aa)+$', 'a' * 60 + 'b')",
        monty="ok",
        process="cpu",
    ),
    attack(
        "work spread over children",
        """
        import os
        for _ in range(5):
            if os.fork() == 0:
                while True: pass
        while True: pass
        """,
        monty="error",
        process="cpu",
    ),
    attack(
        "a result that never tells its text",
        """
        class Slow:
            def __repr__(self):
                while True: pass
        Slow()
        """,
        monty="ok",
        process="cpu",
        result={"monty": "<MontyClassProxy>"},
    ),
    attack(
        "an exit handler that never ends",
        """
        import atexit
        def spin():
            while True: pass
        atexit.register(spin)
        None
        """,
        monty="error",
        process="ok",
    ),
    attack(
        "a thread that never ends",
        """
        import threading, time
        threading.Thread(target=time.sleep, args=(1e6,)).start()
        """,
        monty="error",
        process="ok",
    ),
    attack(
        "a child that outlives its parent",
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1e6)
            os._exit(0)
        os.wait()
        None
        """,
        monty="error",
        process="ok",
    ),
    attack("endless recursion", "def f(): return f()\nf()", monty="error", process="error"),
    attack(
        "recursion without a limit",
        """
        import sys
        sys.setrecursionlimit(10**9)
        class Deep:
            def __getattr__(self, name): return getattr(self, name + "x"[:0])
        Deep().x
        """,
        monty="error",
        process="crashed",
    ),
)

MEMORY = (
    attack("a huge string", "len('x' * 10**11)", monty="memory", process="memory"),
    attack("a huge integer", "(1 << 10**12) and 0", monty="memory", process="memory"),
    attack("a tower of powers", "(9**9**9) and 0", monty="memory", process="cpu"),
    attack(
        "a list that grows",
        "a = []\nwhile True: a.append('x' * 10_000)",
        monty="memory",
        process="memory",
    ),
    attack("a text that doubles", "a = 'x'\nwhile True: a += a", monty="memory", process="memory"),
    attack("a padded number", "len(f'{1:{10**10}}')", monty="memory", process="memory"),
    attack(
        "a list that is its own billion",
        "a = [0] * 10\nfor i in range(9): a = [a] * 10\na",
        monty="output",
        process="cpu",
    ),
    attack(
        "a deep result",
        "a = []\nfor i in range(50_000): a = [a]\na",
        monty="output",
        process="error",
    ),
    attack(
        "a result that holds itself",
        "a = []\na.append(a)\na",
        monty="ok",
        process="ok",
        result={"monty": ["[...]"], "process": "[[...]]"},
    ),
    attack(
        "memory in many children",
        """
        import os, time
        for _ in range(5):
            if os.fork() == 0:
                held = bytearray(os.urandom(1)) * 40_000_000
                time.sleep(1e6)
        time.sleep(1e6)
        """,
        monty="error",
        process="memory",
    ),
    attack(
        "a packed bomb in memory",
        """
        import zlib
        bomb = zlib.compress(b"0" * 30_000_000)
        held = [zlib.decompress(bomb) for _ in range(100)]
        """,
        monty="error",
        process="memory",
    ),
    attack(
        "raises its own limits",
        """
        import resource
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC):
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        "raised"
        """,
        monty="error",
        process="error",
    ),
)

PROCESSES = (
    attack("fork bomb", "import os\nwhile True: os.fork()", monty="error", process="processes"),
    attack(
        "fork bomb that hears no refusal",
        """
        import os
        while True:
            try: os.fork()
            except Exception: pass
        """,
        monty="cpu",
        process="cpu",
    ),
    attack(
        "thread bomb",
        """
        import threading, time
        while True: threading.Thread(target=time.sleep, args=(1e6,)).start()
        """,
        monty="error",
        process="processes",
    ),
    attack(
        "every descriptor",
        "import os\nheld = []\nwhile True: held.append(os.dup(1))",
        monty="error",
        process="error",
    ),
)

FLOODS = (
    attack("a flood on stdout", "while True: print('x' * 1000)", monty="output", process="output"),
    attack(
        "a flood on stderr",
        "import sys\nwhile True: print('x' * 1000, file=sys.stderr)",
        monty="output",
        process="output",
    ),
    attack(
        "a flood in one line",
        "while True: print('x', end='')",
        monty="output",
        process="output",
    ),
    attack("a flood in the result", "'x' * 1_000_000", monty="output", process="output"),
    attack(
        "a flood in an error",
        "raise ValueError('x' * 1_000_000)",
        monty="error",
        process="error",
    ),
    attack(
        "a huge file",
        "open('big', 'w').write('x' * 1_000_000)",
        monty="files",
        process="files",
    ),
    attack(
        "many files",
        "for i in range(50): open(f'f{i}', 'w').close()",
        monty="files",
        process="files",
    ),
    attack(
        "more files than there are calls",
        "for i in range(20_000): open(f'f{i}', 'w').close()",
        monty="calls",
        process="files",
    ),
    attack(
        "many folders",
        "import os\nfor i in range(50): os.mkdir(f'd{i}')",
        monty="files",
        process="files",
    ),
    attack(
        "folders in folders",
        "import os\nos.makedirs('/'.join(['d'] * 30))\nNone",
        monty="files",
        process="files",
    ),
    attack(
        "a file of holes",
        "with open('holes', 'wb') as file: file.truncate(10**12)",
        monty="error",
        process="files",
    ),
    attack(
        "a file under a hundred names",
        """
        import os
        open("one", "w").write("x")
        for i in range(100): os.link("one", f"n{i}")
        """,
        monty="error",
        process="files",
    ),
    attack(
        "a packed bomb as a file",
        """
        import io, zipfile
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bomb:
            bomb.writestr("zeros", "0" * 5_000_000)
        zipfile.ZipFile(packed).extractall()
        """,
        monty="error",
        process="files",
    ),
    attack(
        "the other places that can be written to",
        """
        for place in ("/dev/shm/x", "/tmp/x"):
            with open(place, "wb") as file:
                for _ in range(1_000): file.write(b"x" * 100_000)
        """,
        monty="error",
        process="files",
    ),
)

SOURCE = (
    attack("brackets", "(" * 100_000 + ")" * 100_000, monty="error", process="error"),
    attack("a long sum", "+".join(["1"] * 100_000), monty="error", process="error"),
    attack("no source at all", "x = 1\0", monty="error", process="error"),
    attack("half a source", "x = (", monty="error", process="error"),
)

LIMIT_ATTACKS = (*TIME, *MEMORY, *PROCESSES, *FLOODS, *SOURCE)
