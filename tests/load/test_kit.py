"""The k6 kit as text and as logic: `node --test`, what k6 makes of each scenario, and what k6 2.x would refuse."""

import json
import re
import subprocess

import pytest
from support.processes import REPO

from load.run import SCENARIOS

LOAD = REPO / "load"
SCRIPTS = sorted([*(LOAD / "lib").glob("*.js"), *(LOAD / "scenarios").glob("*.js")])
# Removed or off by default in k6 2.0 (its release notes).
GONE_IN_K6_2 = ("externally-controlled", "k6/experimental/redis", "--no-summary", "summary-mode=legacy", "loadimpact")


def test_the_logic_of_the_kit(node: str) -> None:
    done = subprocess.run(
        [node, "--test", "tests/load/kit"], cwd=REPO, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed.group(1)) >= 60


def test_every_promised_scenario_is_there() -> None:
    promised = {"smoke", "seed", "baseline", "cache_mix", "zipf", "batch", "spike", "breakpoint", "soak", "bad_input"}
    assert promised <= set(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_k6_accepts_the_scenario_and_it_bounds_its_load(k6: str, scenario: str) -> None:
    done = subprocess.run(
        [k6, "inspect", str(LOAD / "scenarios" / f"{scenario}.js")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    options = json.loads(done.stdout)
    for load in options["scenarios"].values():
        assert load["executor"] in {"constant-arrival-rate", "ramping-arrival-rate", "constant-vus", "ramping-vus"}
        if load["executor"].endswith("arrival-rate"):
            assert load["maxVUs"] >= load["preAllocatedVUs"] >= 10


def test_the_seed_is_the_seed(k6: str) -> None:
    done = subprocess.run([k6, "inspect", str(LOAD / "scenarios" / "seed.js")], capture_output=True, check=True)
    options = json.loads(done.stdout)
    load = options["scenarios"]["seed"]
    assert load["startVUs"] == 1
    assert [(stage["duration"], stage["target"]) for stage in load["stages"]] == [
        ("30s", 10),
        ("7m0s", 10),
        ("3m0s", 0),
    ]
    assert options["thresholds"]["http_req_duration"] == ["p(99)<2000"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_nothing_remote_and_nothing_that_k6_2_dropped(script: object) -> None:
    text = script.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    imports = re.findall(r"from '([^']+)'", text)
    assert all(name.startswith(("./", "../", "k6")) for name in imports)
    assert not [word for word in GONE_IN_K6_2 if word in text]
    # Draws from the clock or from Math.random would make runs differ; only the seed's scenario is random, as it was.
    assert "Math.random" not in text or script.name == "seed.js"  # type: ignore[attr-defined]
    assert len(text.splitlines()) <= 250


@pytest.mark.parametrize("library", sorted((LOAD / "lib").glob("*.js")), ids=lambda path: path.name)
def test_only_the_modules_that_must_depend_on_k6(library: object) -> None:
    text = library.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    uses_k6 = re.search(r"from 'k6", text) is not None
    assert uses_k6 == (library.name in {"client.js", "mix.js", "sentences.js"})  # type: ignore[attr-defined]


def test_the_sentences_name_their_source_and_differ() -> None:
    data = json.loads((LOAD / "data" / "sst2_sentences.json").read_text(encoding="utf-8"))
    assert "Socher" in data["source"]
    assert len(set(data["sentences"])) == len(data["sentences"]) == 1000
