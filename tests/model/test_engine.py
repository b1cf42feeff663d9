"""What every answer may rely on: no influence of batch neighbours, explicit precision, nothing served by halves."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from model.checkpoints import write_checkpoint
from numpy.typing import NDArray
from support.processes import TINY_MODEL

from load.bench.random_checkpoint import BASE, SMALL, random_ids
from predictor.checkpoint.artifact import find_checkpoint
from predictor.engine.base import Engine
from predictor.engine.openvino_engine import OpenVinoEngine
from predictor.engine.torch_engine import TorchEngine
from predictor.errors import CheckpointError, EngineUnavailableError
from predictor.settings import PrecisionName

HAS_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
# The library's AVX2 kernels sum in another order for another number of rows: 5e-7 apart at the most.
SUMS_IN_ONE_ORDER = " avx512f " in Path("/proc/cpuinfo").read_text()
LENGTHS_BASE = [2, 7, 16, 17, 33, 64, 65, 130]
LENGTHS = [2, 3, 5, 7, 8, 15, 16, 17, 24, 31, 33, 48, 63, 64, 65, 100, 128, 255, 300, 512]


def openvino(directory: Path, precision: PrecisionName = "f32") -> OpenVinoEngine:
    return OpenVinoEngine(checkpoint=find_checkpoint(directory), precision=precision, threads=2)


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "modernbert": ("modernbert", {}),
    "modernbert, the last layer looks near": ("modernbert", {"num_hidden_layers": 3}),
    "modernbert, the mean of all rows": ("modernbert", {"num_hidden_layers": 3, "classifier_pooling": "mean"}),
    "deberta-v2": ("deberta-v2", {}),
    "deberta-v2, wide": ("deberta-v2", {"hidden_size": 128, "num_attention_heads": 2, "position_buckets": 256}),
    "deberta-v2, a row for each distance": ("deberta-v2", {"position_buckets": -1, "pos_att_type": ["c2p"]}),
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            family, changes = OTHERS[name]
            directory = tmp_path_factory.mktemp(family) / "model"
            made[name] = write_checkpoint(directory, family, max_position_embeddings=2048, **changes)
        return made[name]

    return get


def some_ids(lengths: Sequence[int], vocabulary: int) -> list[NDArray[np.int32]]:
    rng = np.random.default_rng(0)
    return [rng.integers(5, vocabulary, length, dtype=np.int32) for length in lengths]


@pytest.fixture(scope="module", params=["shipped", "base", *OTHERS])
def case(request: pytest.FixtureRequest, other: Callable[[str], Path]) -> tuple[Path, list[NDArray[np.int32]]]:
    if request.param == "base":
        return request.getfixturevalue("base_checkpoint"), random_ids(BASE, LENGTHS_BASE)
    directory = TINY_MODEL if request.param == "shipped" else other(request.param)
    return directory, some_ids(LENGTHS, find_checkpoint(directory).config.vocab_size)


def precisions() -> list[PrecisionName]:
    return ["f32", "bf16"] if HAS_BF16 else ["f32"]


def assert_same(logits: NDArray[np.float32], others: NDArray[np.float32]) -> None:
    """Bit for bit, where the CPU lets it be so."""
    if SUMS_IN_ONE_ORDER:
        np.testing.assert_array_equal(logits, others)
    else:
        np.testing.assert_allclose(logits, others, rtol=0, atol=2e-6)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("precision", precisions())
def test_a_text_alone_gets_the_answer_it_gets_in_any_batch(
    case: tuple[Path, list[NDArray[np.int32]]], precision: PrecisionName
) -> None:
    directory, texts = case
    engine = openvino(directory, precision)
    alone = np.concatenate([engine.forward([text]) for text in texts])
    assert_same(engine.forward(texts), alone)
    assert_same(engine.forward(texts[::-1]), alone[::-1])
    for first in range(0, len(texts), 5):
        group = [texts[first], texts[-1 - first % 3], texts[0]]
        assert_same(engine.forward(group)[0], alone[first])
    # At every place in the widest rows that are shared.
    longest = max(range(len(texts)), key=lambda index: len(texts[index]))
    for index in range(0, longest, 3):
        beside = engine.forward([texts[longest], *[texts[index]] * 40])
        assert_same(beside, alone[[longest] + [index] * 40])
    repeated = engine.forward([texts[4]] * 37)
    assert_same(repeated, np.repeat(alone[4:5], 37, axis=0))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("precision", precisions())
def test_where_a_text_stands_in_a_row_changes_no_bit(
    case: tuple[Path, list[NDArray[np.int32]]], precision: PrecisionName
) -> None:
    directory, _ = case
    engine = openvino(directory, precision)
    rng = np.random.default_rng(1)
    # Beside each of these a text would begin at 48 columns or 80 if multiples of 16 were enough.
    neighbours = [rng.integers(5, 900, length, dtype=np.int32) for length in (40, 70)]
    for length in (16, 20, 32, 33, 47, 49, 64) * 3:
        text = rng.integers(5, 900, length, dtype=np.int32)
        alone = engine.forward([text])
        for neighbour in neighbours:
            assert_same(engine.forward([text, neighbour])[:1], alone)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("precision", precisions())
def test_texts_too_long_to_share_a_row_are_answered_as_alone_and_as_by_torch(
    name: str, precision: PrecisionName, other: Callable[[str], Path]
) -> None:
    directory = other(name)
    engine = openvino(directory, precision)
    texts = some_ids([1025, 520, 544, 20, 700, 2048, 3], find_checkpoint(directory).config.vocab_size)
    alone = np.concatenate([engine.forward([text]) for text in texts])
    assert_same(engine.forward(texts), alone)
    assert_same(engine.forward(texts[1::2]), alone[1::2])
    torch = TorchEngine(checkpoint=find_checkpoint(directory), precision="f32", threads=2)
    own = np.concatenate([torch.forward([text]) for text in texts])
    # Logits of random weights, several units apart.
    assert np.abs(alone - own).max() < (1e-4 if precision == "f32" else 0.1)


@pytest.mark.parametrize(("precision", "bound"), [("f32", 1e-5), ("bf16", 2e-2)])
def test_torch_is_independent_of_neighbours_within_rounding(
    small_checkpoint: Path, precision: PrecisionName, bound: float
) -> None:
    if precision == "bf16" and not HAS_BF16:
        precision = "f32"
    engine = TorchEngine(checkpoint=find_checkpoint(small_checkpoint), precision=precision, threads=2)
    texts = random_ids(SMALL, LENGTHS)
    alone = np.concatenate([engine.forward([text]) for text in texts])
    assert np.abs(engine.forward(texts) - alone).max() < bound


def test_answers_do_not_depend_on_what_ran_before(small_checkpoint: Path) -> None:
    engine = openvino(small_checkpoint)
    texts = random_ids(SMALL, [5, 40, 9])
    first = engine.forward(texts)
    kept = first.copy()
    for length in (1, 100, 512, 17):
        engine.forward(random_ids(SMALL, [length] * 3, seed=length))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(engine.forward(texts), kept)


def test_precision_is_explicit_and_auto_takes_what_the_cpu_has(small_checkpoint: Path) -> None:
    best = "bf16" if HAS_BF16 else "f32"
    assert openvino(small_checkpoint, "auto").arithmetic == f"openvino-{best}"
    assert openvino(small_checkpoint, "f32").arithmetic == "openvino-f32"
    torch_engine = TorchEngine(checkpoint=find_checkpoint(small_checkpoint), precision="f32", threads=2)
    assert torch_engine.arithmetic == "torch-f32"
    assert torch_engine.precision == "f32"


def test_bf16_is_close_to_f32(base_checkpoint: Path) -> None:
    texts = random_ids(BASE, [12, 40, 70])
    f32, other = (openvino(base_checkpoint, precision).forward(texts) for precision in ("f32", "auto"))
    assert np.abs(f32 - other).max() < 0.02
    assert bool((f32 != other).any()) is HAS_BF16


class NoBf16Core:
    def get_property(self, _device: str, _name: str) -> list[str]:
        return ["FP32", "INT8"]


def test_bf16_on_a_cpu_without_it_is_refused(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov, "Core", NoBf16Core)
    with pytest.raises(EngineUnavailableError, match="PREDICTOR_PRECISION=bf16 needs a CPU with AVX512-BF16 or AMX"):
        openvino(small_checkpoint, "bf16")


@pytest.mark.parametrize("kind", [OpenVinoEngine, TorchEngine])
def test_divide_keeps_every_text_and_separates_the_long_from_the_short(kind: type, small_checkpoint: Path) -> None:
    engine: Engine = kind(checkpoint=find_checkpoint(small_checkpoint), precision="f32", threads=2)
    lengths = [10, 512, 12, 9, 500, 14] * 5
    groups = engine.divide(lengths)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    assert all(len({lengths[index] > 100 for index in group}) == 1 for group in groups)


@pytest.mark.parametrize("kind", [OpenVinoEngine, TorchEngine])
def test_a_missing_tensor_is_refused_by_name(kind: type, small_checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file  # noqa: PLC0415

    directory = Path(shutil.copytree(small_checkpoint, tmp_path / "model"))
    weights = load_file(directory / "model.safetensors")
    del weights["distilbert.transformer.layer.1.ffn.lin2.bias"]
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model.safetensors has no tensor .*layer\.1\.ffn\.lin2\.bias"):
        kind(checkpoint=find_checkpoint(directory), precision="f32", threads=2)


@pytest.mark.parametrize("kind", [OpenVinoEngine, TorchEngine])
def test_weights_of_another_shape_are_refused(kind: type, small_checkpoint: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(small_checkpoint, tmp_path / "model"))
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_dim": 96}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        kind(checkpoint=find_checkpoint(directory), precision="f32", threads=2)


def test_compiled_graphs_are_cached_where_a_directory_is_given(small_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = find_checkpoint(small_checkpoint)
    cache = tmp_path / "cache"
    texts = random_ids(SMALL, [5, 20])
    answers = [
        OpenVinoEngine(checkpoint=checkpoint, precision="f32", threads=2, cache_dir=cache).forward(texts)
        for _ in range(2)
    ]
    assert list(cache.iterdir())
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], openvino(small_checkpoint).forward(texts))


def test_an_unwritable_cache_directory_does_no_harm(small_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    OpenVinoEngine(
        checkpoint=find_checkpoint(small_checkpoint), precision="f32", threads=2, cache_dir=tmp_path / "file" / "cache"
    )
