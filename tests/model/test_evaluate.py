"""model-artifacts/evaluate.py and the arithmetic behind it."""

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from model.artifact_scripts import ARTIFACTS, SAMPLE, SHIPPED, run_script, sample_rows
from model.checkpoints import SHAPES, write_checkpoint


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ARTIFACTS))
    return importlib.import_module("quality.scores")


def pairs(*positive: float) -> np.ndarray:
    return np.array([[1 - each, each] for each in positive], dtype=np.float32)


def test_accuracy_and_confusion_count_true_rows_and_predicted_columns(scores: ModuleType) -> None:
    quality = scores.assess(pairs(0.9, 0.2, 0.7, 0.6), np.array([1, 1, 0, 1]))
    assert quality.accuracy == 0.5
    assert quality.confusion == [[0, 1], [1, 2]]


def test_nll_and_brier_are_those_of_the_textbook(scores: ModuleType) -> None:
    quality = scores.assess(pairs(0.8, 0.4), np.array([1, 1]))
    assert quality.nll == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2, abs=1e-6)
    assert quality.brier == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2, abs=1e-6)


def test_calibration_error_weighs_each_bin_by_its_texts(scores: ModuleType) -> None:
    # Three texts of 0.95, one of them wrong; one of 0.55, right.
    quality = scores.assess(pairs(0.95, 0.95, 0.95, 0.55), np.array([1, 1, 0, 1]))
    assert quality.ece == pytest.approx(0.75 * abs(2 / 3 - 0.95) + 0.25 * abs(1 - 0.55), abs=1e-6)
    full = {round(each.low, 1): each.texts for each in quality.reliability if each.texts}
    assert full == {0.5: 1, 0.9: 3}


def test_a_score_of_one_falls_into_the_last_bin_and_costs_nothing(scores: ModuleType) -> None:
    quality = scores.assess(pairs(1.0), np.array([1]))
    assert (quality.nll, quality.brier, quality.ece) == (0, 0, 0)
    assert quality.reliability[-1].texts == 1


def test_a_sure_mistake_has_a_finite_price(scores: ModuleType) -> None:
    assert scores.assess(pairs(1.0), np.array([0])).nll < 100


def test_nothing_to_judge_is_an_error(scores: ModuleType) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        scores.assess(pairs(0.5), np.array([1, 0]))


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_any_engine_evaluates_the_shipped_model(engine: str) -> None:
    result = run_script("evaluate.py", "--data", SAMPLE, "--engine", engine, "--precision", "f32", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["arithmetic"] == f"{engine}-f32"
    assert told["texts"] == len(sample_rows())
    assert sum(map(sum, told["confusion"])) == told["texts"]
    assert sum(each["texts"] for each in told["reliability"]) == told["texts"]
    right = told["confusion"][0][0] + told["confusion"][1][1]
    assert told["accuracy"] == pytest.approx(right / told["texts"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("family", SHAPES)
def test_a_checkpoint_of_any_family_is_evaluated(family: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", family, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    result = run_script("evaluate.py", "--model", directory, "--data", SAMPLE, "--precision", "f32", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["texts"] == len(sample_rows())


def test_a_head_that_gives_no_distribution_is_refused(tmp_path: Path) -> None:
    labels = {0: "NEGATIVE", 1: "POSITIVE"}
    directory = write_checkpoint(tmp_path / "model", "bert", id2label=labels, problem_type="multi_label_classification")
    result = run_script("evaluate.py", "--model", directory, "--data", SAMPLE)
    assert result.returncode == 1
    assert "gives sigmoid scores, the data has one label for each text" in result.stderr


def test_the_table_shows_what_the_object_holds() -> None:
    told = json.loads(run_script("evaluate.py", "--data", SAMPLE, "--precision", "f32", "--json").stdout)
    shown = run_script("evaluate.py", "--data", SAMPLE, "--precision", "f32").stdout
    assert f"accuracy  {told['accuracy']:.2%} of {told['texts']} texts" in shown
    assert f"ECE {told['ece']:.4f}" in shown
    assert told["version"] in shown


def test_other_labels_than_the_data_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(SHIPPED, other)
    config = json.loads((other / "config.json").read_text())
    config["id2label"] = {"0": "POSITIVE", "1": "NEGATIVE"}
    (other / "config.json").write_text(json.dumps(config))
    result = run_script("evaluate.py", "--model", other, "--data", SAMPLE)
    assert result.returncode == 1
    assert "has labels ('POSITIVE', 'NEGATIVE')" in result.stderr


def test_what_is_no_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    result = run_script("evaluate.py", "--model", tmp_path, "--data", SAMPLE)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "config.json is missing" in result.stderr
