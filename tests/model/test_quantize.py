"""model-artifacts/quantize.py: what it writes is served, and what costs accuracy is not written."""

import json
from pathlib import Path

import numpy as np
import pytest
from model.artifact_scripts import SAMPLE, SHIPPED, run_script, sample_rows
from model.checkpoints import write_checkpoint

from predictor.loading import LoadedModel, load
from predictor.settings import Settings

ARGUMENTS = ("--model", SHIPPED, "--calibrate", SAMPLE, "--data", SAMPLE, "--texts", "64")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "tiny-int8"
    # On 125 rows one changed label is 0.8 points.
    result = run_script("quantize.py", *ARGUMENTS, "--out", out, "--tolerance", "2.5")
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def int8(written: Path) -> LoadedModel:
    return load(Settings(model_dir=written), threads=1)


@pytest.fixture(scope="module")
def f32() -> LoadedModel:
    return load(Settings(model_dir=SHIPPED, precision="f32"), threads=1)


def positive_scores(model: LoadedModel) -> np.ndarray:
    logits = model.engine.forward([each.ids for each in model.tokenizer.encode([text for _, text in sample_rows()])])
    return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


def test_the_predictor_serves_it_as_int8(int8: LoadedModel, f32: LoadedModel) -> None:
    assert int8.engine.precision == "int8"
    assert int8.version != f32.version
    assert int8.checkpoint.config == f32.checkpoint.config


def test_its_scores_stay_near_those_of_f32_and_are_not_the_same(int8: LoadedModel, f32: LoadedModel) -> None:
    distance = np.abs(positive_scores(int8) - positive_scores(f32))
    assert 0 < distance.mean() < 0.02
    assert distance.max() < 0.15


def test_its_weights_take_a_quarter_of_the_room(written: Path) -> None:
    whole = (SHIPPED / "model.safetensors").stat().st_size
    assert (written / "openvino_model.bin").stat().st_size < 0.35 * whole


def test_it_says_where_it_comes_from_and_what_it_cost(written: Path, f32: LoadedModel) -> None:
    about = json.loads((written / "quantization.json").read_text())
    assert about["precision"] == "int8"
    assert about["source_version"] == f32.version
    assert about["calibration_texts"] == 64
    labels = np.array([label for label, _ in sample_rows()])
    exact = float(((positive_scores(f32) > 0.5) == labels).mean())
    assert about["accuracy"]["f32"] == pytest.approx(exact)
    assert about["accuracy"]["texts"] == len(labels)


def test_a_fall_beyond_the_tolerance_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "refused"
    # No fall at all is the bar: only a gain of more than 50 points would pass.
    result = run_script("quantize.py", *ARGUMENTS, "--out", out, "--tolerance", "-50")
    assert result.returncode == 1
    assert "nothing written" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_quantised_checkpoint_is_not_quantised_again(written: Path, tmp_path: Path) -> None:
    arguments = ("--model", written, "--calibrate", SAMPLE, "--data", SAMPLE)
    result = run_script("quantize.py", *arguments, "--out", tmp_path / "again")
    assert result.returncode == 1
    assert "quantised already" in result.stderr


@pytest.mark.timeout(200)
@pytest.mark.parametrize("family", ["roberta", "electra", "albert"])
def test_other_families_are_quantised_too(family: str, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "model", family, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    arguments = ("--calibrate", SAMPLE, "--data", SAMPLE, "--texts", "16", "--tolerance", "100")
    result = run_script("quantize.py", "--model", source, *arguments, "--out", tmp_path / "int8", timeout_s=180)
    assert result.returncode == 0, result.stderr
    exact, lower = (load(Settings(model_dir=each, precision="f32"), threads=1) for each in (source, tmp_path / "int8"))
    assert lower.engine.precision == "int8"
    # Random weights have no sure answers to keep: this says that it runs, the gate says what it costs a trained model.
    assert 0 < np.abs(positive_scores(lower) - positive_scores(exact)).mean() < 0.2
