"""Writes a DistilBERT checkpoint of any size with random weights: real compute, meaningless answers.

python load/bench/random_checkpoint.py build/base --size=base
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SAMPLE = Path(__file__).with_name("sst2_sample.tsv")
_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, kw_only=True)
class Size:
    """The numbers of a DistilBERT config."""

    dim: int
    layers: int
    heads: int
    hidden_dim: int
    vocab_size: int
    positions: int = 512


BASE = Size(dim=768, layers=6, heads=12, hidden_dim=3072, vocab_size=30522)
SMALL = Size(dim=64, layers=2, heads=4, hidden_dim=128, vocab_size=2000)


def write_checkpoint(
    directory: Path,
    *,
    size: Size,
    texts: Iterable[str] = (),
    labels: Sequence[str] = ("NEGATIVE", "POSITIVE"),
    seed: int = 0,
) -> Path:
    """Write config.json, model.safetensors and tokenizer.json.

    Args:
        directory: made when missing.
        size: of the model.
        texts: their words enter the vocabulary, so that they tokenise to about as many tokens as real ones do.
        labels: class names in index order.
        seed: of the weights.

    Returns:
        The directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["DistilBertForSequenceClassification"],
        "model_type": "distilbert",
        "activation": "gelu",
        "dim": size.dim,
        "n_layers": size.layers,
        "n_heads": size.heads,
        "hidden_dim": size.hidden_dim,
        "vocab_size": size.vocab_size,
        "max_position_embeddings": size.positions,
        "sinusoidal_pos_embds": False,
        "pad_token_id": 0,
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    rng = np.random.default_rng(seed)
    # Biases and scales are random too: a graph that forgets one of them must not come out right.
    weights = {
        name: (rng.normal(0, 0.02, shape) + name.endswith("orm.weight")).astype(np.float32)
        for name, shape in _shapes(size, len(labels))
    }
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(texts, size.vocab_size).save(str(directory / "tokenizer.json"))
    return directory


def sample_texts(path: Path = SAMPLE) -> list[str]:
    """Read the sentences of a tab-separated file of labels and sentences."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t", 1)[1] for line in lines if "\t" in line and not line.startswith(("#", "label\t"))]


def _shapes(size: Size, labels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    def linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", (outputs, inputs)
        yield f"{name}.bias", (outputs,)

    dim = size.dim
    yield "distilbert.embeddings.word_embeddings.weight", (size.vocab_size, dim)
    yield "distilbert.embeddings.position_embeddings.weight", (size.positions, dim)
    for norm in ["distilbert.embeddings.LayerNorm"] + [
        f"distilbert.transformer.layer.{layer}.{name}"
        for layer in range(size.layers)
        for name in ("sa_layer_norm", "output_layer_norm")
    ]:
        yield f"{norm}.weight", (dim,)
        yield f"{norm}.bias", (dim,)
    for layer in range(size.layers):
        name = f"distilbert.transformer.layer.{layer}"
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            yield from linear(f"{name}.attention.{part}", dim, dim)
        yield from linear(f"{name}.ffn.lin1", dim, size.hidden_dim)
        yield from linear(f"{name}.ffn.lin2", size.hidden_dim, dim)
    yield from linear("pre_classifier", dim, dim)
    yield from linear("classifier", dim, labels)


def _tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Build an uncased WordPiece tokenizer from the commonest words and every letter on its own."""
    words = Counter(word for text in texts for word in text.lower().split())
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"-()&;:"
    pieces = [*_SPECIALS, *letters, *(f"##{letter}" for letter in letters), *(word for word, _ in words.most_common())]
    vocabulary = dict.fromkeys(pieces)
    kept = list(vocabulary)[:vocab_size]
    kept += [f"[unused{index}]" for index in range(vocab_size - len(kept))]
    ids = {piece: index for index, piece in enumerate(kept)}
    tokenizer = Tokenizer(models.WordPiece(vocab=ids, unk_token="[UNK]"))  # noqa: S106 - not that kind of token
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = [(name, ids[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special
    )
    return tokenizer


def random_ids(size: Size, lengths: Iterable[int], *, seed: int = 0) -> list[NDArray[np.int32]]:
    """Give token ids of the given lengths, shapes [tokens]."""
    rng = np.random.default_rng(seed)
    return [rng.integers(len(_SPECIALS), size.vocab_size, length, dtype=np.int32) for length in lengths]


def main() -> None:
    """Write one checkpoint from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--size", choices=("base", "small"), default="base")
    parser.add_argument("--texts", type=Path, default=SAMPLE, help="sentences whose words enter the vocabulary")
    options = parser.parse_args()
    size = BASE if options.size == "base" else SMALL
    write_checkpoint(options.directory, size=size, texts=sample_texts(options.texts))


if __name__ == "__main__":
    main()
