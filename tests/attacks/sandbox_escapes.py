"""Attacks on a sandbox's walls: the machine, others, the network, the kernel, files, the reply."""

from __future__ import annotations

import errno
import platform

from stepfold.sandbox.sandbox import Outcome
from stepfold.sandbox.seccomp import ARCHITECTURES, DENIED
from tests.attacks.sandbox_attacks import SLEEPERS, Attack, attack

_COLUMN = ARCHITECTURES.get(platform.machine(), (0, 0))[1]
_CLONE3, _SETNS = 435, DENIED["setns"][_COLUMN]
_CLONE = (56, 220)[_COLUMN]


def _system_call(name: str, number: int, *arguments: int, refusal: int = errno.EPERM) -> Attack:
    """The number of the error is all that it may win."""
    given = ", ".join(map(str, (number, *arguments)))
    code = f"""
        import ctypes
        ctypes.CDLL(None, use_errno=True).syscall({given})
        ctypes.get_errno()
    """
    return attack(f"system call {name}", code, monty="error", process="ok", result=refusal)


def _denied(name: str, *arguments: int) -> Attack:
    return _system_call(name, DENIED[name][_COLUMN], *arguments)


def _fails(name: str, code: str, *, process: Outcome = "error") -> Attack:
    return attack(name, code, monty="error", process=process)


def _wins_nothing(name: str, code: str, *, monty: Outcome = "error") -> Attack:
    return attack(name, code, monty=monty, process="ok")


MACHINE = (
    _fails("the users of the machine", "open('/etc/passwd').read()"),
    _fails("the way up", "open('../../../../../etc/passwd').read()"),
    _fails("the environment of a process", "open('/proc/self/environ').read()"),
    _fails("the other processes", "import os\nos.listdir('/proc')"),
    _fails("the worker's first process", "open('/proc/1/root/etc/shadow').read()"),
    _fails("the disk", "open('/dev/vda', 'rb').read(512)"),
    _fails("the memory of the machine", "open('/dev/mem', 'rb').read(512)"),
    _fails("a device of its own", "import os\nos.mknod('disk', 0o60600, os.makedev(254, 0))"),
    _fails("the program of its interpreter", "open('/python/bin/python3', 'r+b').write(b'x')"),
    _fails("a file beside the root", "open('/left', 'w').write('x')"),
    _fails("a shell", "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'id'])"),
    _wins_nothing("a shell by C", "import ctypes\nctypes.CDLL(None).system(b'id') == 0 or None"),
    _fails("becomes root", "import os\nos.setuid(0)"),
    _fails("another root folder", "import os\nos.chroot('/work')"),
    _fails("another name of the machine", "import socket\nsocket.sethostname('owned')"),
    _fails("another time", "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)"),
    _wins_nothing(
        "the environment",
        "import os\n[name for name in os.environ if 'SECRET' in name] or None",
    ),
    _wins_nothing(
        "what its interpreter holds",
        """
        import gc
        word = "SEC" + "RET"
        [each for each in gc.get_objects() if isinstance(each, dict) and word in each] or None
        """,
    ),
    _wins_nothing(
        "the frames above",
        """
        import sys
        frame, seen = sys._getframe(), []
        while frame:
            seen += [each for each in frame.f_globals if "SEC" + "RET" in each]
            frame = frame.f_back
        seen or None
        """,
    ),
    _wins_nothing(
        "classes that start programs",
        """
        found = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "Popen"]
        import subprocess
        try:
            subprocess.Popen(["id"])
        except FileNotFoundError:
            started = None
        else:
            started = "started"
        started
        """,
    ),
    _fails("the same by a format", "'{0.__class__.__mro__[1].nothing}'.format(1)"),
    _fails("the same by eval", "eval(\"__import__('os').execv('/bin/sh', ['sh'])\")"),
    _wins_nothing(
        "a pickle that runs a program",
        """
        import pickle
        pickle.loads(b"cos\\nsystem\\n(S'touch /left'\\ntR.") == 0 or None
        """,
    ),
    _fails("memory that is not its own", "import ctypes\nctypes.string_at(0)", process="crashed"),
    _fails("types into the terminal", "import fcntl\nfcntl.ioctl(2, 0x5412, b'x')"),
)

OTHERS = (
    _fails("kills all that it can", "import os\nos.kill(-1, 9)"),
    _fails("kills its group", "import os\nos.killpg(0, 9)", process="crashed"),
    _wins_nothing(
        "kills its parent",
        "import os\nfor _ in range(100): os.kill(os.getppid(), 9)",
    ),
    attack(
        "stops its parent",
        """
        import os, signal, time
        os.kill(os.getppid(), signal.SIGSTOP)
        time.sleep(1e6)
        """,
        monty="error",
        process="time",
        limits=SLEEPERS,
    ),
    _wins_nothing(
        "kills by every number",
        """
        import os
        own = {0, 1, os.getpid(), os.getppid()}
        killed = []
        for number in range(2, 40_000):
            if number not in own:
                try:
                    os.kill(number, 9)
                    killed.append(number)
                except ProcessLookupError:
                    pass
        killed or None
        """,
    ),
)

NETWORK = (
    _fails("an address", "import socket\nsocket.create_connection(('127.0.0.1', 80), 1)"),
    _fails("an address of IPv6", "import socket\nsocket.socket(socket.AF_INET6)"),
    _fails("a name", "import socket\nsocket.getaddrinfo('example.com', 80)"),
    _fails("a page", "import urllib.request\nurllib.request.urlopen('http://169.254.169.254/')"),
    _fails("raw packets", "import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    _fails("the kernel's own socket", "import socket\nsocket.socket(socket.AF_NETLINK, 3)"),
    _fails("the machine below this one", "import socket\nsocket.socket(socket.AF_VSOCK)"),
    _fails("the kernel's ciphers", "import socket\nsocket.socket(socket.AF_ALG)"),
    _fails(
        "an abstract socket of the machine",
        "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0stepfold-attacked')",
    ),
    _fails(
        "the socket of an engine",
        "import socket\nsocket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
    ),
)

KERNEL = (
    _denied("ptrace", 0, 0, 0, 0),
    _denied("process_vm_readv", 1, 0, 0, 0, 0, 0),
    _denied("pidfd_getfd", 0, 0, 0),
    _denied("mount", 0, 0, 0, 0, 0),
    _denied("umount2", 0, 0),
    _denied("pivot_root", 0, 0),
    _denied("fsopen", 0, 0),
    _denied("open_by_handle_at", 0, 0, 0),
    _denied("unshare", 0x10000000),
    _system_call("setns", _SETNS, 0, 0),
    _system_call("clone with a namespace", _CLONE, 0x10000000 | 17, 0, 0, 0, 0),
    _system_call("clone3", _CLONE3, 0, 0, refusal=errno.ENOSYS),
    _denied("keyctl", 0, 0, 0, 0, 0),
    _denied("add_key", 0, 0, 0, 0, 0),
    _denied("bpf", 0, 0, 0),
    _denied("perf_event_open", 0, 0, 0, 0, 0),
    _denied("userfaultfd", 0),
    _denied("io_uring_setup", 8, 0),
    _denied("memfd_create", 0, 0),
    _denied("shmget", 0, 4096, 0o1600),
    _denied("personality", 0xFFFFFFFF),
    _denied("syslog", 3, 0, 0),
    _denied("kexec_load", 0, 0, 0, 0),
    _denied("init_module", 0, 0, 0),
    _denied("reboot", 0, 0, 0, 0),
    _system_call("newer than any that is known", 500, refusal=errno.ENOSYS),
    _system_call("of the x32 numbering", 0x40000000 + 101, refusal=errno.ENOSYS),
)

FILES_OUT = (
    _wins_nothing("a link to a file", "import os\nos.symlink('/etc/passwd', 'out.txt')"),
    _wins_nothing("a link to the root", "import os\nos.symlink('/', 'root')"),
    _wins_nothing("a pipe as a file", "import os\nos.mkfifo('pipe')"),
    attack(
        "a name with a new line",
        "open('a\\nb', 'w').write('x')",
        monty="error",
        process="error",
    ),
    attack(
        "a name that turns the line round",
        "open('a\\u202etxt.exe', 'w').write('x')",
        monty="error",
        process="error",
    ),
    _fails("a name that leads up", "open('../out.txt', 'w').write('x')"),
)

_EVERY_DESCRIPTOR = """
import os
def forge(reply):
    for descriptor in range(3, 64):
        try: os.write(descriptor, reply)
        except OSError: pass
"""


def _forged(name: str, reply: str, *, then: str = "os._exit(0)", process: Outcome) -> Attack:
    return _fails(name, f"{_EVERY_DESCRIPTOR}\nforge({reply})\n{then}", process=process)


REPLY = (
    attack(
        "a forged reply",
        _EVERY_DESCRIPTOR
        + 'forge(b\'{"outcome": "ok", "result": "its own word"}\\n\')\nos._exit(0)',
        monty="error",
        process="ok",
        result="its own word",
    ),
    _forged(
        "a forged reply before the true one",
        'b\'{"outcome": "ok", "result": "forged"}\\n\'',
        then="'true'",
        process="error",
    ),
    _forged(
        "a reply that says that it was refused", 'b\'{"outcome": "refused"}\\n\'', process="error"
    ),
    _forged(
        "a reply with a file above",
        'b\'{"outcome": "ok", "files": [["../../left", 1]]}\\nx\'',
        process="error",
    ),
    _forged(
        "a reply with a file of another size",
        'b\'{"outcome": "ok", "files": [["a", 1000000000000]]}\\nx\'',
        process="error",
    ),
    _forged(
        "a reply with a file of less than nothing",
        'b\'{"outcome": "ok", "files": [["a", -1], ["b", 2]]}\\nx\'',
        process="error",
    ),
    _forged(
        "a deep reply",
        'b\'{"outcome": "ok", "result": \' + b\'[\' * 40_000',
        process="error",
    ),
    _forged("a reply in another language", "b'\\x80\\x04\\x95pickle\\n'", process="error"),
    _forged(
        "a reply without an end",
        "b'x' * 60_000",
        then="while True: forge(b'x' * 60_000)",
        process="output",
    ),
    _fails("leaves without a word", "import os\nos._exit(0)"),
    _fails(
        "closes every descriptor",
        "import os\nos.closerange(0, 64)\n'closed'",
    ),
    attack(
        "another way to write JSON",
        """
        import json
        json.dumps = lambda *a, **k: '{"outcome": "cpu"}'
        "own"
        """,
        monty="error",
        process="error",
    ),
    attack(
        "another way to import",
        """
        import sys
        sys.meta_path[:] = []
        sys.modules.clear()
        import json
        """,
        monty="error",
        process="error",
    ),
    attack(
        "a module left for the next one",
        """
        for name in ("sitecustomize", "usercustomize", "json", "ast"):
            with open(name + ".py", "w") as file:
                count = file.write("raise SystemExit(7)")
        None
        """,
        monty="ok",
        process="ok",
    ),
)

ESCAPES = (*MACHINE, *OTHERS, *NETWORK, *KERNEL, *FILES_OUT, *REPLY)
