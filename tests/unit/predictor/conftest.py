import shutil
from pathlib import Path

import pytest

from load.bench.random_checkpoint import SMALL, write_checkpoint


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model; read-only."""
    words = ["a lovely film", "a dreadful mess of a film", "so so"]
    return write_checkpoint(tmp_path_factory.mktemp("small"), size=SMALL, texts=words)


@pytest.fixture
def checkpoint_copy(small_checkpoint: Path, tmp_path: Path) -> Path:
    """The same, to be spoiled."""
    copy = tmp_path / "model"
    shutil.copytree(small_checkpoint, copy)
    return copy
