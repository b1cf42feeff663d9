"""model-artifacts/quantize.py: what it writes is served, and what costs accuracy is not written."""

import json
from pathlib import Path

import numpy as np
import pytest
from model.artifact_scripts import SAMPLE, SHIPPED, run_script, sample_rows
from model.checkpoints import fit, write_checkpoint

from predictor.loading import LoadedModel, load
from predictor.settings import Settings

ARGUMENTS = ("--model", SHIPPED, "--calibrate", SAMPLE, "--data", SAMPLE, "--count", "64")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8") / "tiny-int8"
    # On 125 rows one changed label is 0.8 points.
    result = run_script("quantize.py", *ARGUMENTS, "--out", out, "--points", "2.5", "--flips", "0.05")
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


def test_its_answers_are_bit_for_bit_those_of_a_text_alone(int8: LoadedModel) -> None:
    ids = [each.ids for each in int8.tokenizer.encode([text for _, text in sample_rows()[:40]])]
    alone = np.concatenate([int8.engine.forward([text]) for text in ids])
    np.testing.assert_array_equal(int8.engine.forward(ids), alone)
    np.testing.assert_array_equal(int8.engine.forward(ids[::-1]), alone[::-1])
    np.testing.assert_array_equal(int8.engine.forward(ids[7:19]), alone[7:19])


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


def test_it_comes_with_a_page_on_cost_speed_and_kernels(written: Path) -> None:
    page = (written / "quantization.md").read_text()
    assert "distilbert-tiny-sst2 in int8" in page
    assert "## sst2_dev_sample.tsv: 125 texts" in page
    assert "| int8 |" in page
    assert "Products of int8 take" in page


def test_a_users_unlabelled_texts_calibrate_and_decide(tmp_path: Path) -> None:
    texts, out = tmp_path / "mine.txt", tmp_path / "int8"
    texts.write_text("\n".join(text for _, text in sample_rows()), encoding="utf-8")
    arguments = ("--model", SHIPPED, "--texts", texts, "--out", out, "--recipes", "1", "--flips", "0.1")
    result = run_script("quantize.py", *arguments)
    assert result.returncode == 0, result.stderr
    about = json.loads((out / "quantization.json").read_text())
    assert about["calibration_texts"] == len(sample_rows()) // 2
    assert about["recipe"] == "all"
    assert about["cost"]["texts"] == len(sample_rows()) - len(sample_rows()) // 2
    assert "f32" not in about["accuracy"]


def test_changed_labels_beyond_the_tolerance_write_nothing(tmp_path: Path) -> None:
    arguments = (*ARGUMENTS, "--points", "50", "--flips", "-1", "--recipes", "1")
    result = run_script("quantize.py", *arguments, "--out", tmp_path / "refused")
    assert result.returncode == 1
    assert "of sst2_dev_sample.tsv changes" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_fall_beyond_the_tolerance_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "refused"
    # No fall at all is the bar: only a gain of more than 50 points would pass.
    result = run_script("quantize.py", *ARGUMENTS, "--out", out, "--points", "-50", "--recipes", "1")
    assert result.returncode == 1
    assert "accuracy on sst2_dev_sample.tsv falls by" in result.stderr
    assert "nothing written" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_quantised_checkpoint_is_not_quantised_again(written: Path, tmp_path: Path) -> None:
    arguments = ("--model", written, "--calibrate", SAMPLE, "--data", SAMPLE)
    result = run_script("quantize.py", *arguments, "--out", tmp_path / "again")
    assert result.returncode == 1
    assert "quantised already" in result.stderr


@pytest.mark.timeout(200)
@pytest.mark.parametrize("family", ["roberta", "electra", "albert", "modernbert", "deberta-v2"])
def test_other_families_are_quantised_too(family: str, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "model", family, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    arguments = ("--calibrate", SAMPLE, "--data", SAMPLE, "--count", "16")
    free = ("--points", "100", "--flips", "1", "--change", "1", "--recipes", "1")
    result = run_script("quantize.py", "--model", source, *arguments, *free, "--out", tmp_path / "int8", timeout_s=180)
    assert result.returncode == 0, result.stderr
    exact, lower = (load(Settings(model_dir=each, precision="f32"), threads=1) for each in (source, tmp_path / "int8"))
    assert lower.engine.precision == "int8"
    # Random weights have no sure answers to keep: this says that it runs, the gate says what it costs a trained model.
    assert 0 < np.abs(positive_scores(lower) - positive_scores(exact)).mean() < 0.2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", ["electra", "albert", "modernbert", "deberta-v2"])
def test_families_of_other_shapes_pass_the_gate_when_they_know_their_texts(family: str, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "model", family, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    assert fit(source, sample_rows()) > 0.95
    arguments = ("--calibrate", SAMPLE, "--data", SAMPLE, "--count", "64", "--points", "1", "--flips", "0.01")
    result = run_script("quantize.py", "--model", source, *arguments, "--out", tmp_path / "int8", timeout_s=280)
    assert result.returncode == 0, result.stderr
    about = json.loads((tmp_path / "int8" / "quantization.json").read_text())
    assert about["accuracy"]["int8"] > 0.94
    int8 = load(Settings(model_dir=tmp_path / "int8"), threads=1)
    labels = np.array([label for label, _ in sample_rows()])
    assert ((positive_scores(int8) > 0.5) == labels).mean() == pytest.approx(about["accuracy"]["int8"])
