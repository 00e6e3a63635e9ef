from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepfold.knowledge.documents import SAMPLE
from tests.cli.commands import first_line, run, running


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a log that another process serves, with the sample as its knowledge."""
    folder = tmp_path_factory.mktemp("served")
    assert run("knowledge", "add", SAMPLE, data=folder).exit_code == 0
    with running("serve", "--json", STEPFOLD_DATA_DIR=str(folder)) as process:
        assert '"serves"' in first_line(process)
        yield folder
