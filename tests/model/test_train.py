"""model-artifacts/train.py on a few dozen rows: the result is a checkpoint, and the same one every time."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model.artifact_scripts import ARTIFACTS, run_script, sample_rows
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from predictor.loading import load
from predictor.settings import Settings


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sst2")
    rows = [f"{label}\t{text}\n" for label, text in sample_rows()]
    (directory / "train.tsv").write_text("".join(rows[:80]))
    (directory / "dev.tsv").write_text("label\tsentence\n" + "".join(rows[80:100]))
    (directory / "test.tsv").write_text("label\tsentence\n" + "".join(rows[100:]))
    return directory


def trained(data: Path, out: Path, seed: int) -> Path:
    result = run_script("train.py", "--data", data, "--out", out, "--quick", "--seed", seed, "--threads", 1)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="session")
def first(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(data, tmp_path_factory.mktemp("first") / "tiny", 3)


def test_training_writes_a_checkpoint_that_transformers_loads(first: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(first)
    tokens = AutoTokenizer.from_pretrained(first)(["good film", "bad film"], return_tensors="pt", padding=True)
    with torch.inference_mode():
        logits = model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).logits
    assert logits.shape == (2, 2)
    assert torch.isfinite(logits).all()
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}


def test_training_writes_a_checkpoint_that_the_predictor_loads(first: Path) -> None:
    loaded = load(Settings(model_dir=first), threads=1)
    assert loaded.checkpoint.config.labels == ("NEGATIVE", "POSITIVE")
    assert loaded.engine.forward([loaded.tokenizer.encode(["good film"])[0].ids]).shape == (1, 2)


def test_training_learns(first: Path) -> None:
    trained_weights = load_file(first / "model.safetensors")
    # A fresh layer norm is exactly one and a fresh bias exactly zero.
    assert not np.array_equal(trained_weights["distilbert.embeddings.LayerNorm.weight"], np.ones(32, np.float32))
    assert np.count_nonzero(trained_weights["classifier.bias"]) == 2


def test_the_same_seed_gives_the_same_files(first: Path, data: Path, tmp_path: Path) -> None:
    again = trained(data, tmp_path / "tiny", 3)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "vocab.txt"):
        assert (again / name).read_bytes() == (first / name).read_bytes(), name


def test_another_seed_gives_other_weights_and_the_same_vocabulary(first: Path, data: Path, tmp_path: Path) -> None:
    other = trained(data, tmp_path / "tiny", 4)
    assert (other / "vocab.txt").read_bytes() == (first / "vocab.txt").read_bytes()
    assert (other / "model.safetensors").read_bytes() != (first / "model.safetensors").read_bytes()


def test_the_card_reports_this_training(first: Path) -> None:
    card = (first / "README.md").read_text()
    model = AutoModelForSequenceClassification.from_pretrained(first)
    assert f"{model.num_parameters():,} parameters" in card
    assert "80 labelled phrases" in card
    assert "--seed 3" in card


def test_the_manifest_lists_what_was_written(first: Path) -> None:
    manifest = json.loads(first.with_name("MANIFEST.json").read_text())
    assert manifest["seed"] == 3
    assert set(manifest["files"]) == {path.name for path in first.iterdir()} - {"README.md"}


@pytest.mark.parametrize("line", ["2\ttoo many", "no tab", "1\t   ", "\ttext"])
def test_a_bad_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.syspath_prepend(str(ARTIFACTS))
    read_rows = importlib.import_module("training.rows").read_rows
    path = tmp_path / "train.tsv"
    path.write_text(f"# a comment\nlabel\tsentence\n1\tfine\n{line}\n")
    with pytest.raises(ValueError, match=r"train\.tsv, line 4"):
        read_rows(path)


def test_data_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    result = run_script("train.py", "--data", tmp_path, "--out", tmp_path / "out", "--quick")
    assert result.returncode == 1
    assert "train.tsv" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_pieces_are_merged_by_frequency_and_ties_by_the_alphabet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ARTIFACTS))
    learn_pieces = importlib.import_module("training.pieces").learn_pieces
    letters = ["##b", "##c", "##d", "a", "x"]
    # "ab" occurs 5 + 3 times, then "ab" + "c" 3 times; "x" + "d" twice, and nothing else twice.
    assert learn_pieces({"abc": 3, "ab": 5, "xd": 2}, 100) == [*letters, "ab", "abc", "xd"]
    assert learn_pieces({"xd": 2, "ab": 5, "abc": 3}, 6) == [*letters, "ab"]


def test_repeated_letters_are_merged_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ARTIFACTS))
    learn_pieces = importlib.import_module("training.pieces").learn_pieces
    # After the first letter, "##a##a" stands once in aaa and twice in aaaaa.
    assert learn_pieces({"aaa": 1, "aaaaa": 1}, 100)[:4] == ["##a", "a", "##aa", "aaa"]
