"""The command line. Imports nothing heavy: a command's own file is imported when it is called."""

from stepfold.cli.commands import main

__all__ = ["main"]
