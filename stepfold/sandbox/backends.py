"""The table of the sandboxes, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stepfold.sandbox.container import ContainerSandbox
from stepfold.sandbox.monty import MontySandbox
from stepfold.sandbox.process import ProcessSandbox
from stepfold.sandbox.sandbox import Sandbox, SandboxError

BACKENDS: Mapping[str, Callable[[], Sandbox]] = {
    "monty": MontySandbox,
    "process": ProcessSandbox,
    "container": ContainerSandbox,
}


def sandbox(name: str) -> Sandbox:
    """SandboxError for a name that is none of them."""
    if name not in BACKENDS:
        raise SandboxError(f"unknown sandbox {name!r} (known: {', '.join(BACKENDS)})")
    return BACKENDS[name]()
