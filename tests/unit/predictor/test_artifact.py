import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predictor.checkpoint.artifact import content_digest, find_checkpoint, model_version
from predictor.errors import CheckpointError
from serving.scores import ScoresAre


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


def set_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def only(directory: Path, name: str, content: bytes = b"x") -> None:
    """Leave this file in place of the weights."""
    (directory / "model.safetensors").unlink()
    (directory / name).write_bytes(content)


def nest(directory: Path) -> None:
    inside = directory / "checkpoint-500"
    inside.mkdir()
    for path in directory.iterdir():
        if path != inside:
            path.rename(inside / path.name)


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 268435456\n"
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>classifier</title></head></html>"

SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda d: (d / "config.json").unlink(), "config.json is missing"),
    "broken config": (lambda d: (d / "config.json").write_text("{"), "config.json cannot be read as JSON"),
    "config is a list": (lambda d: (d / "config.json").write_text("[]"), "config.json holds no JSON object"),
    "foreign": (
        lambda d: edit_config(d, architectures=["DistilBertForMaskedLM"]),
        "describes DistilBertForMaskedLM, which is not served; served are DistilBertForSequenceClassification, Bert",
    ),
    "foreign without architectures": (
        lambda d: edit_config(d, architectures=None, model_type="gpt2"),
        "describes model_type gpt2",
    ),
    "activation": (lambda d: edit_config(d, activation="mish"), "asks for activation mish; served are gelu,"),
    "unknown problem": (lambda d: edit_config(d, problem_type="ranking"), "has problem_type ranking; served are"),
    "single label of one": (
        lambda d: edit_config(d, problem_type="single_label_classification", id2label={"0": "A"}),
        "and one label: one of the two is wrong",
    ),
    "sizes that disagree": (lambda d: edit_config(d, hidden_size=65), "contradicts itself: dim 64 and hidden_size 65"),
    "relative positions": (
        lambda d: edit_config(d, position_embedding_type="relative_key"),
        'position_embedding_type relative_key, only "absolute" is served',
    ),
    "decoder": (lambda d: edit_config(d, is_decoder=True), "has is_decoder True, only false is served"),
    "num_labels is a word": (
        lambda d: edit_config(d, id2label=None, num_labels="three"),
        'num_labels must be a positive whole number, it is "three"',
    ),
    "num_labels is null": (
        lambda d: set_config(d, id2label=None, num_labels=None),
        "num_labels must be a positive whole number, it is null",
    ),
    "label without a name": (lambda d: edit_config(d, id2label={"0": "A", "1": ""}), "gives class 1 no name"),
    "null label": (lambda d: edit_config(d, id2label={"0": None, "1": "B"}), "gives class 0 no name, it has null"),
    "no dim": (lambda d: edit_config(d, dim=None), "dim must be a positive whole number"),
    "zero heads": (lambda d: edit_config(d, n_heads=0), "n_heads must be a positive whole number"),
    "odd heads": (lambda d: edit_config(d, n_heads=5), "dim 64 is no multiple of n_heads 5"),
    "gap in labels": (lambda d: edit_config(d, id2label={"0": "A", "2": "B"}), "id2label must name every class"),
    "labels no map": (lambda d: edit_config(d, id2label=["A", "B"]), "id2label must map class indices"),
    "label twice": (lambda d: edit_config(d, id2label={"0": "A", "1": "A"}), "id2label names one label twice"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "model.safetensors is missing"),
    "empty weights": (lambda d: (d / "model.safetensors").write_bytes(b""), "model.safetensors is empty"),
    "no tokenizer": (lambda d: (d / "tokenizer.json").unlink(), "neither tokenizer.json nor vocab.txt"),
    "a pickle": (lambda d: only(d, "pytorch_model.bin"), "a pickle, which may carry code and is not read: make model"),
    "pickles in shards": (lambda d: only(d, "pytorch_model.bin.index.json"), "has only pickled weights in shards"),
    "another format": (lambda d: only(d, "tf_model.h5"), "model.safetensors is missing; tf_model.h5 is not read"),
    "an adapter": (lambda d: only(d, "adapter_config.json"), "without its model: merge them with"),
    "an adapter alone": (
        lambda d: [(d / "config.json").unlink(), (d / "adapter_config.json").write_text("{}")],
        "without its model: merge them with",
    ),
    "weights are a pointer": (
        lambda d: (d / "model.safetensors").write_bytes(LFS_POINTER),
        "model.safetensors is a Git LFS pointer, not the file: run `git lfs pull`",
    ),
    "weights are a web page": (
        lambda d: (d / "model.safetensors").write_bytes(WEB_PAGE),
        "model.safetensors is a web page, not the file",
    ),
    "config is a web page": (lambda d: (d / "config.json").write_bytes(WEB_PAGE), "config.json is a web page"),
    "tokenizer is a pointer": (
        lambda d: (d / "tokenizer.json").write_bytes(LFS_POINTER),
        "tokenizer.json is a Git LFS pointer",
    ),
    "one folder too high": (nest, "has no config.json, but checkpoint-500 in it has"),
    "another tool's export": (lambda d: only(d, "openvino_model.xml"), "another tool's export is not served"),
    "an index without a map": (
        lambda d: only(d, "model.safetensors.index.json", b"{}"),
        "index.json names no files",
    ),
    "an index that leaves the directory": (
        lambda d: only(d, "model.safetensors.index.json", b'{"weight_map": {"a": "../x.safetensors"}}'),
        "which is no safetensors file beside it",
    ),
    "a missing shard": (
        lambda d: only(d, "model.safetensors.index.json", b'{"weight_map": {"a": "x-1-of-2.safetensors"}}'),
        "x-1-of-2.safetensors is missing",
    ),
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
    with pytest.raises(CheckpointError, match="nowhere is not a directory: set PREDICTOR_MODEL_DIR"):
        find_checkpoint(tmp_path / "nowhere")


def version(
    directory: Path,
    *,
    max_length_tokens: int = 512,
    arithmetic: str = "openvino-f32",
    scores_are: ScoresAre = "softmax",
) -> str:
    digest = content_digest(find_checkpoint(directory))
    return model_version(digest, max_length_tokens=max_length_tokens, arithmetic=arithmetic, scores_are=scores_are)


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
        version(small_checkpoint, scores_are="sigmoid"),
    }
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        path = checkpoint_copy / name
        kept = path.read_bytes()
        path.write_bytes(kept[:-2] + bytes([kept[-2] ^ 1]) + kept[-1:] if name.endswith("tensors") else kept + b"\n")
        seen.add(version(checkpoint_copy))
        path.write_bytes(kept)
    assert len(seen) == 7
    assert version(checkpoint_copy) == before


def test_version_ignores_files_no_answer_depends_on(checkpoint_copy: Path) -> None:
    before = version(checkpoint_copy)
    (checkpoint_copy / "README.md").write_text("a card")
    assert version(checkpoint_copy) == before
