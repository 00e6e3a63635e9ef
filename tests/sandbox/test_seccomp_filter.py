"""The filter, run as the kernel runs it: in a process that has it on and asks for one call."""

from __future__ import annotations

import errno
import platform
import struct
import subprocess
import sys

import pytest

from stepfold.sandbox.seccomp import ARCHITECTURES, DENIED, program

COLUMN = ARCHITECTURES.get(platform.machine(), (0, 0))[1]
SETS = """
import ctypes, sys
text = sys.stdin.buffer.read()
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]
held = Program(len(text) // 8, text)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(held), 0, 0) == 0
got = libc.syscall(*map(int, sys.argv[1:]))
print(ctypes.get_errno() if got < 0 else 0)
"""


def asks(*numbers: int) -> int:
    """The error of a system call under the filter; 0 for none."""
    done = subprocess.run(
        [sys.executable, "-c", SETS, *map(str, numbers)],
        input=program(platform.machine()),
        capture_output=True,
        check=True,
        timeout=20,
    )
    return int(done.stdout)


here = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in ARCHITECTURES,
    reason="no filter is written for this machine",
)


@here
@pytest.mark.parametrize("name", ["ptrace", "bpf", "unshare", "keyctl", "vhangup"])
def test_a_denied_call_is_refused(name: str) -> None:
    assert asks(DENIED[name][COLUMN], 0, 0, 0, 0) == errno.EPERM


@here
def test_only_sockets_of_this_machine_are_made() -> None:
    unix, internet, machine = 1, 2, 40

    assert asks((41, 198)[COLUMN], unix, 1, 0) == 0
    assert asks((41, 198)[COLUMN], internet, 1, 0) == errno.EAFNOSUPPORT
    assert asks((41, 198)[COLUMN], machine, 1, 0) == errno.EAFNOSUPPORT
    assert asks((53, 199)[COLUMN], internet, 1, 0, 0) == errno.EAFNOSUPPORT


@here
def test_what_is_not_named_is_allowed() -> None:
    assert asks((39, 172)[COLUMN]) == 0


@here
def test_what_is_newer_does_not_exist() -> None:
    assert asks(463) == errno.ENOSYS
    assert asks(435, 0, 0) == errno.ENOSYS


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_a_filter_begins_with_its_architecture_and_ends_by_allowing(machine: str) -> None:
    steps = [struct.unpack("=HBBI", each) for each in _eights(program(machine))]

    assert steps[0] == (0x20, 0, 0, 4)
    assert steps[1] == (0x15, 1, 0, ARCHITECTURES[machine][0])
    assert steps[2] == (0x06, 0, 0, 0x80000000)
    assert steps[-1] == (0x06, 0, 0, 0x7FFF0000)
    assert len(steps) < 4_096


def test_another_machine_has_none() -> None:
    with pytest.raises(KeyError):
        program("mips")


def _eights(text: bytes) -> list[bytes]:
    return [text[place : place + 8] for place in range(0, len(text), 8)]
