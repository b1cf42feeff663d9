"""The campaign behind load/reports names scenarios, settings and options that exist."""

import pytest

from load.campaign import ADVICE, RUNS, SIMULATIONS
from load.capacity.__main__ import parser
from load.capacity.cli import scenario_of
from load.run import SCENARIOS
from load.testrun import setting_names


@pytest.mark.parametrize(("scenario", "settings"), RUNS, ids=[scenario for scenario, _ in RUNS])
def test_runs_use_known_scenarios_and_settings(scenario: str, settings: dict[str, str]) -> None:
    assert scenario in SCENARIOS
    assert set(settings) <= setting_names()


@pytest.mark.parametrize("words", [*(words for _, _, words in SIMULATIONS), ADVICE])
def test_simulations_describe_a_scenario(words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    times = tmp_path_factory.mktemp("times") / "times.json"
    names = ("hit_request_s", "forward_request_s", "text_s", "batch_s", "predict_request_s", "char_s")
    fields = ", ".join(f'"{name}": 0.001' for name in names)
    times.write_text(f'{{"service_times": {{{fields}}}}}')
    options = parser().parse_args(["simulate", "--times", str(times), *words])
    scenario = scenario_of(options)
    assert scenario.duration_s > 0
    assert (scenario.rate is None) != (scenario.clients is None)


def test_the_seed_is_part_of_the_campaign_at_full_length() -> None:
    assert dict(RUNS)["seed"] == {}
