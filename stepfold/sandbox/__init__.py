"""Where a stranger's code runs: one contract, three walls of different height."""

from stepfold.sandbox.sandbox import (
    Code,
    Function,
    Limits,
    Outcome,
    Ran,
    Sandbox,
    SandboxError,
    Usage,
)

__all__ = ["Code", "Function", "Limits", "Outcome", "Ran", "Sandbox", "SandboxError", "Usage"]
