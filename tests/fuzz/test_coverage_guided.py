"""atheris follows the code's branches: a few thousand cases with every run, fifty thousand and more at night."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.budget import FULL
from fuzz.targets import TARGETS

_SCRIPT = Path(__file__).with_name("coverage_guided.py")
_CASES = 20_000 if FULL else 500


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize(
    "name", TARGETS if FULL else ["predict_body", "stored_value", "oip_rest", "http_requests", "http_bytes"]
)
def test_no_path_breaks_a_promise(name: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(_SCRIPT), name, str(_CASES)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-5_000:]
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", run.stderr)
    assert executed is not None, run.stderr[-2_000:]
    assert int(executed[1]) >= _CASES
