from pathlib import Path

import pytest

from load.bench.random_checkpoint import BASE, SMALL, sample_texts, write_checkpoint


@pytest.fixture(scope="session")
def base_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the production model's shape: 6 layers of 768."""
    return write_checkpoint(tmp_path_factory.mktemp("base"), size=BASE, texts=sample_texts())


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("small"), size=SMALL, texts=sample_texts())
