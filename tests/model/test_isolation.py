"""One text's numbers, whatever they are, reach no other text's answer; and its own failure shows."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
import pytest
from model.checkpoints import write_checkpoint
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from load.bench.random_checkpoint import SMALL, random_ids
from predictor.checkpoint import weights
from predictor.checkpoint.artifact import find_checkpoint
from predictor.engine import openvino_engine
from predictor.engine.base import Engine
from predictor.engine.feed import packed_feed
from predictor.engine.graph import build_graph
from predictor.engine.openvino_engine import OpenVinoEngine
from predictor.engine.torch_engine import TorchEngine
from predictor.errors import CheckpointError
from predictor.loading import load
from predictor.settings import Settings

HAS_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
KINDS = ["openvino f32", *(["openvino bf16"] if HAS_BF16 else []), "openvino int8", "torch f32"]
POISONED_WORD = 1999
EMBEDDINGS = "distilbert.embeddings.word_embeddings.weight"
# How each is written, what its embeddings are called, and a layer after which numbers may be too large.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "modernbert": ("modernbert", {}),
    "modernbert, the last layer looks near": ("modernbert", {"num_hidden_layers": 3}),
    "modernbert, the mean of all rows": ("modernbert", {"classifier_pooling": "mean"}),
    "deberta-v2": ("deberta-v2", {}),
    "deberta-v2, distances of keys alone": ("deberta-v2", {"pos_att_type": ["p2c"], "position_buckets": -1}),
}
NAMES = {
    "distilbert": (EMBEDDINGS, "distilbert.transformer.layer.1.ffn.lin1.weight"),
    "modernbert": ("model.embeddings.tok_embeddings.weight", "model.layers.1.mlp.Wi.weight"),
    "deberta-v2": (
        "deberta.embeddings.word_embeddings.weight",
        "deberta.encoder.layer.1.attention.self.query_proj.weight",
    ),
}
LENGTHS = [5, 16, 9, 33, 7, 64, 3, 12]
NUMBERS = {"NaN": np.nan, "infinity": np.inf, "overflowing": 3e38}


def spoil(directory: Path, tensor: str, number: float, row: int | None = None) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors[tensor][... if row is None else row] = number
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="module", params=["distilbert", *OTHERS])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "distilbert":
        return Path(request.getfixturevalue("small_checkpoint"))
    family, changes = OTHERS[request.param]
    return write_checkpoint(tmp_path_factory.mktemp(family) / "model", family, vocab_size=SMALL.vocab_size, **changes)


def names(directory: Path) -> tuple[str, str]:
    return NAMES[find_checkpoint(directory).config.family.model_type]


@pytest.fixture(params=NUMBERS)
def poisoned(request: pytest.FixtureRequest, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that loads although one word's embedding is no number: the check at load is another test's."""
    monkeypatch.setattr(weights, "largest", lambda _: 3e38)
    monkeypatch.setattr(openvino_engine, "largest", lambda _: 0.0)
    directory = Path(shutil.copytree(sound, tmp_path / "poisoned"))
    spoil(directory, names(sound)[0], NUMBERS[request.param], row=POISONED_WORD)
    return directory


def quantised(directory: Path, sound: Path) -> Path:
    """Quantise the poisoned graph with the ranges of the sound one."""
    feeds: list[Any] = [packed_feed(texts(seed)) for seed in range(3)]
    checkpoint = find_checkpoint(directory)
    graph = build_graph(find_checkpoint(sound))
    int8 = nncf.quantize(graph, nncf.Dataset(feeds), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(feeds))
    out = directory.with_name("int8")
    shutil.copytree(directory, out)
    (out / "model.safetensors").unlink()
    (out / "quantization.json").write_text('{"precision": "int8"}')
    size = (SMALL.vocab_size, checkpoint.config.dim)
    rows = weights.Weights(checkpoint.weight_files).tensor(names(sound)[0], shape=size)
    (words,) = int8.input("input_ids").get_target_inputs()
    words.get_node().input(0).replace_source_output(ov.opset15.constant(rows).output(0))
    ov.save_model(int8, out / "openvino_model.xml", compress_to_fp16=False)
    return out


def texts(seed: int) -> list[NDArray[np.int32]]:
    return [ids % (POISONED_WORD - 1) for ids in random_ids(SMALL, LENGTHS, seed=seed)]


def engine_of(kind: str, directory: Path, sound: Path) -> Engine:
    name, precision = kind.split()
    if name == "torch":
        return TorchEngine(checkpoint=find_checkpoint(directory), precision="f32", threads=2)
    if precision == "int8":
        return OpenVinoEngine(checkpoint=find_checkpoint(quantised(directory, sound)), precision="auto", threads=2)
    asked = "bf16" if precision == "bf16" else "f32"
    return OpenVinoEngine(checkpoint=find_checkpoint(directory), precision=asked, threads=2)


def with_poison(batch: Sequence[NDArray[np.int32]], text: int, token: int) -> list[NDArray[np.int32]]:
    changed = [ids.copy() for ids in batch]
    changed[text][token] = POISONED_WORD
    return changed


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_a_poisoned_text_fails_and_changes_no_bit_of_the_others(kind: str, poisoned: Path, sound: Path) -> None:
    engine = engine_of(kind, poisoned, sound)
    batch = texts(7)
    healthy = engine.forward(batch)
    assert np.isfinite(healthy).all()
    for text, length in enumerate(LENGTHS):
        # Its first token, which everything after the last layer is computed of, and another.
        for token in (0, length - 1):
            answers = engine.forward(with_poison(batch, text, token))
            others = [index for index in range(len(batch)) if index != text]
            np.testing.assert_array_equal(answers[others], healthy[others])
            assert not np.isfinite(answers[text]).all()
    np.testing.assert_array_equal(engine.forward(batch), healthy)


def outputs(directory: Path) -> set[str]:
    return {name for output in build_graph(find_checkpoint(directory)).outputs for name in output.names}


def test_only_a_model_that_may_overflow_pays_for_looking(sound: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(sound, tmp_path / "model"))
    assert outputs(directory) == {"logits"}
    spoil(directory, names(sound)[1], 1e13)
    assert outputs(directory) == {"logits", "token_sums", "first_sums"}
    # What keeps texts apart does not change an answer.
    batch = texts(7)
    plain = OpenVinoEngine(checkpoint=find_checkpoint(sound), precision="f32", threads=2).forward(batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "largest", lambda _: 3e38)
        looking = OpenVinoEngine(checkpoint=find_checkpoint(sound), precision="f32", threads=2)
    np.testing.assert_array_equal(looking.forward(batch), plain)


def test_a_deep_model_with_large_weights_cannot_overflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Rows are added up over all layers, and each feed-forward part multiplies two.
    directory = write_checkpoint(tmp_path / "model", "modernbert", num_hidden_layers=28)
    monkeypatch.setattr(weights, "largest", lambda _: 30.0)
    assert outputs(directory) == {"logits"}
    monkeypatch.setattr(weights, "largest", lambda _: 100.0)
    assert outputs(directory) == {"logits", "token_sums", "first_sums"}


TENSORS = [
    EMBEDDINGS,
    "distilbert.transformer.layer.0.attention.k_lin.weight",
    "distilbert.transformer.layer.1.ffn.lin1.bias",
    "distilbert.transformer.layer.1.output_layer_norm.weight",
    "pre_classifier.weight",
    "classifier.bias",
]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("number", [np.nan, -np.inf])
def test_a_tensor_that_is_not_finite_is_refused_by_name(
    engine: str, tensor: str, number: float, small_checkpoint: Path, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(small_checkpoint, tmp_path / "model"))
    spoil(directory, tensor, number, row=-1)
    kind = OpenVinoEngine if engine == "openvino" else TorchEngine
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: {tensor} holds NaN or infinity"):
        kind(checkpoint=find_checkpoint(directory), precision="f32", threads=2)


@pytest.mark.parametrize(("number", "says"), [(np.nan, "NaN or infinity"), (1e10, "numbers too large for a model")])
def test_a_quantised_graph_of_which_nothing_is_certain_is_refused(
    number: float, says: str, small_checkpoint: Path, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(small_checkpoint, tmp_path / "model"))
    graph = build_graph(find_checkpoint(directory))
    (bias,) = [node for node in graph.get_ops() if node.get_friendly_name() == "classifier.bias"]
    bad = ov.opset15.constant(np.full(bias.shape, number, np.float32), name="spoiled")
    for target in bias.output(0).get_target_inputs():
        target.replace_source_output(bad.output(0))
    ov.save_model(graph, directory / "openvino_model.xml", compress_to_fp16=False)
    (directory / "quantization.json").write_text('{"precision": "int8"}')
    with pytest.raises(CheckpointError, match=f"spoiled holds {says}"):
        OpenVinoEngine(checkpoint=find_checkpoint(directory), precision="f32", threads=2)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_a_model_whose_own_numbers_overflow_does_not_start(engine: Any, small_checkpoint: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(small_checkpoint, tmp_path / "model"))
    spoil(directory, "pre_classifier.weight", 3e38)
    with pytest.raises(CheckpointError, match="gives no finite scores"):
        load(Settings(model_dir=directory, engine=engine, precision="f32"), threads=2)
