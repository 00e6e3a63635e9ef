"""The filter of system calls that code runs under: what reaches deep into the kernel is refused.

A classic BPF program, as seccomp(2) takes it. It fails closed: another architecture is killed, and
what is newer than this list, or of the x32 numbering, does not exist.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator, Mapping

ARCHITECTURES: Mapping[str, tuple[int, int]] = {
    "x86_64": (0xC000003E, 0),
    "aarch64": (0xC00000B7, 1),
}
"""By `platform.machine()`: AUDIT_ARCH and the column of the table below."""

ABSENT = -1
DENIED: Mapping[str, tuple[int, int]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # where kernels have been broken
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "fanotify_init": (300, 262),
    "modify_ldt": (154, ABSENT),
    "personality": (135, 92),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "uselib": (134, ABSENT),
    "_sysctl": (156, ABSENT),
    # memory that is counted for nobody
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mlock": (149, 228),
    "mlockall": (151, 230),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "ioperm": (173, ABSENT),
    "iopl": (172, ABSENT),
    "vhangup": (153, 58),
}
"""Refused with EPERM: the numbers on x86_64 and on aarch64."""

NEWEST = 462
"""The last number (mseal, Linux 6.10) that was looked at; from 424 on all architectures agree."""

_CLONE, _CLONE3, _SOCKET, _SOCKETPAIR, _IOCTL = (
    (56, 220), (435, 435), (41, 198), (53, 199), (16, 29),
)  # fmt: skip
_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}."""
_AF_UNIX = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
"""They type into the terminal of whoever started the sandbox."""

_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000

Step = tuple[int, int, int, int]


def program(machine: str) -> bytes:
    """The filter for `machine` (`platform.machine()`); KeyError for one that is not known."""
    architecture, column = ARCHITECTURES[machine]
    return b"".join(struct.pack("=HBBI", *step) for step in _steps(architecture, column))


def _steps(architecture: int, column: int) -> Iterator[Step]:
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, architecture
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    yield _GREATER, 0, 1, NEWEST
    yield _refuse(errno.ENOSYS)
    # glibc falls back to clone, whose flags can be read; those of clone3 are behind a pointer
    yield _EQUAL, 0, 1, _CLONE3[column]
    yield _refuse(errno.ENOSYS)
    for numbers in DENIED.values():
        if numbers[column] != ABSENT:
            yield _EQUAL, 0, 1, numbers[column]
            yield _refuse(errno.EPERM)
    for numbers in (_SOCKET, _SOCKETPAIR):
        yield from _when(numbers[column], 0, (_EQUAL, 1, 0, _AF_UNIX), errno.EAFNOSUPPORT)
    yield from _when(_CLONE[column], 0, (_ANY_BIT, 0, 1, _NEW_NAMESPACES), errno.EPERM)
    for request in (_TIOCSTI, _TIOCLINUX):
        yield from _when(_IOCTL[column], 1, (_EQUAL, 0, 1, request), errno.EPERM)
    yield _RETURN, 0, 0, _ALLOW


def _when(number: int, argument: int, test: Step, error: int) -> Iterator[Step]:
    """Of the call `number`: refused when `test` of its argument falls through to the refusal."""
    yield _EQUAL, 0, 4, number
    yield _LOAD, 0, 0, 16 + 8 * argument
    yield test
    yield _refuse(error)
    yield _LOAD, 0, 0, _NUMBER


def _refuse(error: int) -> Step:
    return _RETURN, 0, 0, _ERRNO | error
