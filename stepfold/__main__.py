"""`python -m stepfold`."""

from stepfold.cli import main

main()
