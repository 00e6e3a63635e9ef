"""`python -m stepfold`."""

from stepfold.cli import main

if __name__ == "__main__":
    main()
