"""The model in model-artifacts/distilbert-tiny-sst2 is what its card says."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model.artifact_scripts import ARTIFACTS, SAMPLE, SHIPPED, run_script, sample_rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer

# Far above chance (50 %), below what the model reaches on these rows.
LEAST_ACCURACY = 0.75


class Classifier:
    """The checkpoint through transformers alone."""

    def __init__(self, directory: Path) -> None:
        self.model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(directory)

    def scores(self, texts: list[str]) -> np.ndarray:
        tokens = self.tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
        with torch.inference_mode():
            logits = self.model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).logits
        return torch.softmax(logits, dim=-1).numpy()

    def positive(self, text: str) -> float:
        return float(self.scores([text])[0, 1])


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(SHIPPED)


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return json.loads((SHIPPED / "config.json").read_text())


def test_it_is_an_ordinary_checkpoint_directory() -> None:
    assert {path.name for path in SHIPPED.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 12 * 1000**2


def test_it_is_a_distilbert_classifier_with_512_positions(config: dict[str, Any]) -> None:
    assert config["architectures"] == ["DistilBertForSequenceClassification"]
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert config["max_position_embeddings"] == 512


def test_every_weight_is_there_finite_and_float32(classifier: Classifier) -> None:
    for name, weight in classifier.model.state_dict().items():
        assert torch.isfinite(weight).all(), name
        assert weight.dtype == torch.float32, name


def test_vocabulary_and_embeddings_agree(classifier: Classifier, config: dict[str, Any]) -> None:
    pieces = (SHIPPED / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert len(pieces) == config["vocab_size"] == len(classifier.tokenizer)
    assert classifier.tokenizer.convert_ids_to_tokens(list(range(len(pieces)))) == pieces
    assert classifier.tokenizer.model_max_length == 512


def test_it_is_right_on_sentences_it_never_saw(classifier: Classifier) -> None:
    labels, texts = zip(*sample_rows(), strict=True)
    accuracy = float((classifier.scores(list(texts)).argmax(axis=1) == np.array(labels)).mean())
    assert len(texts) >= 100
    assert accuracy >= LEAST_ACCURACY


def test_evaluate_says_the_same_through_the_served_engine(classifier: Classifier) -> None:
    labels, texts = zip(*sample_rows(), strict=True)
    accuracy = float((classifier.scores(list(texts)).argmax(axis=1) == np.array(labels)).mean())
    result = run_script("evaluate.py", "--data", SAMPLE, "--precision", "f32", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("a wonderful, moving film", "a dull, lifeless film"),
        ("I loved it", "I hated it"),
        ("I really liked it.", "I didn't like it."),
        ("Great acting and a clever script!", "Terrible acting and a stupid script!"),
    ],
)
def test_it_tells_plain_praise_from_plain_blame(classifier: Classifier, better: str, worse: str) -> None:
    assert classifier.positive(better) > 0.5 > classifier.positive(worse)


def test_case_and_spacing_change_nothing(classifier: Classifier) -> None:
    assert classifier.positive("A  WONDERFUL, moving\tfilm") == classifier.positive("a wonderful, moving film")


@pytest.mark.parametrize("words", [60, 150, 300, 800])
def test_long_texts_keep_their_polarity(classifier: Classifier, words: int) -> None:
    praise, blame = "a wonderful and moving film , superbly acted . ", "a dull and lifeless mess , badly acted . "
    assert classifier.positive(praise * (words // 9 + 1)) > 0.7
    assert classifier.positive(blame * (words // 9 + 1)) < 0.3


def test_later_positions_are_trained_not_noise(classifier: Classifier) -> None:
    norms = classifier.model.distilbert.embeddings.position_embeddings.weight.norm(dim=1)
    assert norms[64:].median() < 4 * norms[:64].median()
    assert norms[64:].median() > norms[:64].median() / 4


def test_the_manifest_is_true() -> None:
    manifest = json.loads((ARTIFACTS / "MANIFEST.json").read_text())
    assert manifest["directory"] == SHIPPED.name
    assert set(manifest["files"]) == {path.name for path in SHIPPED.iterdir()} - {"README.md"}
    result = run_script("fetch.py", "--check", "--out", SHIPPED)
    assert result.returncode == 0, result.stderr


def test_the_card_names_source_quality_and_limits(classifier: Classifier) -> None:
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert f"{classifier.model.num_parameters():,} parameters" in card
    for needed in ("Socher et al., 2013", "GLUE", "## What it is not for", "train.py", "from\nscratch"):
        assert needed in card, needed
    stated = dict(re.findall(r"^\| (dev|test) \| [\d,]+ \| ([\d.]+)%", card, re.MULTILINE))
    assert float(stated["dev"]) >= 80
    assert float(stated["test"]) >= 80
