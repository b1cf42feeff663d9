"""The engines against transformers' own DistilBERT on torch, in f32."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.processes import TINY_MODEL
from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

from load.bench.random_checkpoint import sample_texts
from predictor.checkpoint.artifact import find_checkpoint
from predictor.checkpoint.tokenizer import TextTokenizer
from predictor.engine.base import Engine
from predictor.engine.openvino_engine import OpenVinoEngine
from predictor.engine.torch_engine import TorchEngine

BOUND = 1e-4

BATCHES = {
    "empty-ish": [" ", ".", "\u200b", "!!!", "?"],
    "one short": ["good"],
    "short": ["good", "bad", "a lovely film", "not good", "so so"],
    "long": [" ".join(sample_texts()[:12]), " ".join(sample_texts()[12:22])],
    "truncated": ["a masterpiece " * 600],
    "non-ascii": ["ein schöner Film", "素晴らしい映画", "très émouvant 🎬🎉", "превосходно", "İstanbul ﬁlm"],
    "mixed": ["bad", " ".join(sample_texts()[:9]), ".", "très mauvais", *sample_texts()[40:50]],
    "sentences": sample_texts()[:24],
}


class Reference:
    """Transformers, as its own documentation uses it."""

    def __init__(self, directory: Path) -> None:
        self._model = DistilBertForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()

    def logits(self, ids: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        with torch.inference_mode():
            rows = [self._model(input_ids=torch.from_numpy(text[None].astype(np.int64))).logits for text in ids]
        return torch.cat(rows).numpy()


def encode(directory: Path, texts: list[str]) -> list[NDArray[np.int32]]:
    tokenizer = TextTokenizer(find_checkpoint(directory), max_length_tokens=512)
    return [text.ids for text in tokenizer.encode(texts)]


Pair = tuple[Path, Reference, Engine]


# The torch engine runs the reference's own code: one model shows that it is fed rightly.
@pytest.fixture(scope="module", params=["openvino shipped", "openvino base", "torch shipped"])
def pair(request: pytest.FixtureRequest) -> Pair:
    kind, model = request.param.split()
    directory = TINY_MODEL if model == "shipped" else request.getfixturevalue("base_checkpoint")
    engine = OpenVinoEngine if kind == "openvino" else TorchEngine
    checkpoint = find_checkpoint(directory)
    return directory, Reference(directory), engine(checkpoint=checkpoint, precision="f32", threads=2)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", BATCHES)
def test_f32_logits_are_those_of_transformers(pair: Pair, batch: str) -> None:
    directory, reference, engine = pair
    ids = encode(directory, BATCHES[batch])
    assert np.abs(engine.forward(ids) - reference.logits(ids)).max() < BOUND


def test_the_random_model_gives_different_texts_different_logits(base_checkpoint: Path) -> None:
    # Otherwise parity on it would say little.
    logits = Reference(base_checkpoint).logits(encode(base_checkpoint, sample_texts()[:8]))
    assert np.ptp(logits, axis=0).min() > 100 * BOUND


@pytest.mark.parametrize("engine_kind", [OpenVinoEngine, TorchEngine])
def test_a_checkpoint_saved_by_transformers_is_served_untouched(engine_kind: type, tmp_path: Path) -> None:
    config = DistilBertConfig(
        dim=48, n_layers=3, n_heads=3, hidden_dim=96, vocab_size=100, max_position_embeddings=64,
        sinusoidal_pos_embds=True, num_labels=3,
    )  # fmt: skip
    torch.manual_seed(1)
    DistilBertForSequenceClassification(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfilm\n")
    checkpoint = find_checkpoint(tmp_path)
    assert checkpoint.config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    ids = [np.array([2, 5, 3], np.int32), np.arange(5, 69, dtype=np.int32)]
    logits = engine_kind(checkpoint=checkpoint, precision="f32", threads=2).forward(ids)
    assert logits.shape == (2, 3)
    assert np.abs(logits - Reference(tmp_path).logits(ids)).max() < BOUND


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_read_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    config = DistilBertConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=64, vocab_size=60, max_position_embeddings=32)
    torch.manual_seed(2)
    DistilBertForSequenceClassification(config).to(dtype).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    ids = [np.arange(2, 12, dtype=np.int32)]
    engine = OpenVinoEngine(checkpoint=find_checkpoint(tmp_path), precision="f32", threads=2)
    assert np.abs(engine.forward(ids) - Reference(tmp_path).logits(ids)).max() < BOUND


def test_token_ids_are_those_of_transformers() -> None:
    texts = [text for batch in BATCHES.values() for text in batch]
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL)
    expected = tokenizer(texts, truncation=True, max_length=512)["input_ids"]
    ours = TextTokenizer(find_checkpoint(TINY_MODEL), max_length_tokens=512).encode(texts)
    assert [list(text.ids) for text in ours] == expected
    assert [text.truncated for text in ours] == [len(tokenizer(text)["input_ids"]) > 512 for text in texts]
