"""A short subset runs with every test run, the whole with ``CHAOS=full``."""

import pytest
from chaos.table import FULL, Keep, Pace

KEEP = pytest.StashKey[Keep]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: runs with CHAOS=full only")
    config.stash[KEEP] = Keep()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long faults to ``make chaos``."""
    long = [] if FULL else [item for item in items if item.get_closest_marker("long")]
    if long:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    config.stash[KEEP].show(terminalreporter)


@pytest.fixture
def pace() -> Pace:
    return Pace()


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Keep:
    return request.config.stash[KEEP]
