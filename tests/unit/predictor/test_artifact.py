import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predictor.checkpoint.artifact import content_digest, find_checkpoint, model_version
from predictor.errors import CheckpointError


def edit_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def test_reads_sizes_and_labels_in_index_order(checkpoint_copy: Path) -> None:
    edit_config(checkpoint_copy, id2label={"1": "POSITIVE", "0": "NEGATIVE"})
    checkpoint = find_checkpoint(checkpoint_copy)
    assert checkpoint.config.labels == ("NEGATIVE", "POSITIVE")
    assert (checkpoint.config.dim, checkpoint.config.layers, checkpoint.config.heads) == (64, 2, 4)
    assert not checkpoint.quantised
    assert checkpoint.graph_file.name == "model.safetensors"


def test_without_id2label_the_labels_are_transformers_own(checkpoint_copy: Path) -> None:
    edit_config(checkpoint_copy, id2label=None, num_labels=3)
    assert find_checkpoint(checkpoint_copy).config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda d: (d / "config.json").unlink(), "config.json is missing"),
    "broken config": (lambda d: (d / "config.json").write_text("{"), "config.json cannot be read as JSON"),
    "config is a list": (lambda d: (d / "config.json").write_text("[]"), "config.json holds no JSON object"),
    "foreign": (
        lambda d: edit_config(d, architectures=["BertForSequenceClassification"]),
        "describes BertForSequenceClassification, only DistilBertForSequenceClassification is served",
    ),
    "foreign without architectures": (
        lambda d: edit_config(d, architectures=None, model_type="gpt2"),
        "describes model_type gpt2",
    ),
    "activation": (lambda d: edit_config(d, activation="relu"), "asks for activation relu, only gelu"),
    "multi-label": (
        lambda d: edit_config(d, problem_type="multi_label_classification"),
        "only single-label classification is served",
    ),
    "no dim": (lambda d: edit_config(d, dim=None), "dim must be a positive whole number"),
    "zero heads": (lambda d: edit_config(d, n_heads=0), "n_heads must be a positive whole number"),
    "odd heads": (lambda d: edit_config(d, n_heads=5), "dim 64 is no multiple of n_heads 5"),
    "gap in labels": (lambda d: edit_config(d, id2label={"0": "A", "2": "B"}), "id2label must name every class"),
    "labels no map": (lambda d: edit_config(d, id2label=["A", "B"]), "id2label must map class indices"),
    "label twice": (lambda d: edit_config(d, id2label={"0": "A", "1": "A"}), "id2label names one label twice"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "model.safetensors is missing"),
    "empty weights": (lambda d: (d / "model.safetensors").write_bytes(b""), "model.safetensors is empty"),
    "no tokenizer": (lambda d: (d / "tokenizer.json").unlink(), "neither tokenizer.json nor vocab.txt"),
    "half quantised": (
        lambda d: (d / "quantization.json").write_text('{"precision": "int8"}'),
        "openvino_model.xml is missing",
    ),
    "quantised otherwise": (
        lambda d: (d / "quantization.json").write_text('{"precision": "int4"}'),
        "says precision int4, only int8 is served",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_directory_is_refused_in_one_sentence(checkpoint_copy: Path, case: str) -> None:
    spoil, says = SPOILED[case]
    spoil(checkpoint_copy)
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(checkpoint_copy)
    assert says in str(caught.value)
    assert str(checkpoint_copy) in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere is no directory: set PREDICTOR_MODEL_DIR"):
        find_checkpoint(tmp_path / "nowhere")


def version(directory: Path, *, max_length_tokens: int = 512, arithmetic: str = "openvino-f32") -> str:
    digest = content_digest(find_checkpoint(directory))
    return model_version(digest, max_length_tokens=max_length_tokens, arithmetic=arithmetic)


def test_version_is_16_hex_digits_and_the_same_for_a_copy(small_checkpoint: Path, checkpoint_copy: Path) -> None:
    assert version(small_checkpoint) == version(checkpoint_copy)
    assert len(version(small_checkpoint)) == 16
    int(version(small_checkpoint), 16)


def test_version_follows_everything_an_answer_depends_on(small_checkpoint: Path, checkpoint_copy: Path) -> None:
    before = version(small_checkpoint)
    seen = {
        before,
        version(small_checkpoint, max_length_tokens=128),
        version(small_checkpoint, arithmetic="openvino-bf16"),
    }
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        path = checkpoint_copy / name
        kept = path.read_bytes()
        path.write_bytes(kept[:-2] + bytes([kept[-2] ^ 1]) + kept[-1:] if name.endswith("tensors") else kept + b"\n")
        seen.add(version(checkpoint_copy))
        path.write_bytes(kept)
    assert len(seen) == 6
    assert version(checkpoint_copy) == before


def test_version_ignores_files_no_answer_depends_on(checkpoint_copy: Path) -> None:
    before = version(checkpoint_copy)
    (checkpoint_copy / "README.md").write_text("a card")
    assert version(checkpoint_copy) == before
