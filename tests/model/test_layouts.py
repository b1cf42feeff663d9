"""Layouts of checkpoints that people have, each against what transformers makes of the same directory."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model.checkpoints import BRACKETS, LONGEST, word_pieces, write_checkpoint, write_model
from model.odd_texts import ODD_TEXTS
from model.test_families import BOUND, loaded, own_ids, own_scores, served_scores
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from predictor.checkpoint.families import FAMILIES
from predictor.errors import CheckpointError
from predictor.loading import load
from predictor.settings import Settings

ENGLISH = ODD_TEXTS[-8:]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = write_checkpoint(tmp_path_factory.mktemp(family) / "model", family)
        return made[family]

    return get


@pytest.fixture
def copy(checkpoints: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda family: Path(shutil.copytree(checkpoints(family), tmp_path / "copy"))


def edit(directory: Path, name: str, **changes: Any) -> None:
    path = directory / name
    said = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({key: value for key, value in (said | changes).items() if value is not None}))


def bare(directory: Path, **settings: Any) -> None:
    """Leave vocab.txt alone of the tokenizer, and these settings."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (directory / name).unlink(missing_ok=True)
    (directory / "vocab.txt").write_text("".join(f"{piece}\n" for piece in word_pieces()), encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps({"model_max_length": LONGEST, **settings}))


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def rename(directory: Path, new_name: Callable[[str], str]) -> None:
    path = directory / "model.safetensors"
    save_file({new_name(name): each for name, each in load_file(path).items()}, path, metadata={"format": "pt"})


def split(directory: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(directory)
    (directory / "model.safetensors").unlink()
    model.save_pretrained(directory, max_shard_size="100KB")
    assert (directory / "model.safetensors.index.json").exists()


def to_double(directory: Path) -> None:
    path = directory / "model.safetensors"
    save_file({name: each.double() for name, each in load_file(path).items()}, path, metadata={"format": "pt"})


def old_norms(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def without_file(directory: Path, name: str) -> None:
    (directory / name).unlink()


def usual_names(directory: Path) -> None:
    said = json.loads((directory / "config.json").read_text())
    for own, usual in (("dim", "hidden_size"), ("n_layers", "num_hidden_layers"), ("n_heads", "num_attention_heads")):
        said[usual] = said.pop(own)
    (directory / "config.json").write_text(json.dumps(said))


def older(directory: Path) -> None:
    """Say what layers look at in the words of the first ModernBERTs' config.json."""
    said = {"global_attn_every_n_layers": 2, "global_rope_theta": 500.0, "local_rope_theta": 50.0, "local_attention": 6}
    edit(directory, "config.json", layer_types=None, rope_parameters=None, position_embedding_type="sans_pos", **said)


def newer(directory: Path) -> None:
    kinds = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
    bases = {"full_attention": {"rope_theta": 500}, "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}
    edit(directory, "config.json", layer_types=kinds, rope_parameters=bases)


def modern(**changes: Any) -> tuple[str, Callable[[Path], object]]:
    """Give another ModernBERT."""
    return "modernbert", lambda d: write_model(d, "modernbert", **changes)


def deberta(**changes: Any) -> tuple[str, Callable[[Path], object]]:
    """Give another DeBERTa-v3."""
    return "deberta-v2", lambda d: write_model(d, "deberta-v2", **changes)


def pieces_of_letters(directory: Path) -> None:
    """Give the unknown token a score, so that its place is told elsewhere, and split off punctuation."""
    path = directory / "tokenizer.json"
    whole = json.loads(path.read_text())
    whole["model"]["vocab"][1][1] = -1.0
    path.write_text(json.dumps(whole))
    edit(directory, "tokenizer_config.json", unk_id=4, split_by_punct=True, do_lower_case=True)


def older_settings(directory: Path) -> None:
    """Describe the tokenizer as version 4 did, its unknown token matched in what is normalised."""
    brackets = {index: NEW | {"content": each, "special": True} for index, each in enumerate(BRACKETS)}
    brackets[1] |= {"normalized": True}
    edit(
        directory,
        "tokenizer_config.json",
        tokenizer_class="DebertaV2TokenizerFast",
        added_tokens_decoder={str(index): each for index, each in brackets.items()},
        sp_model_kwargs={},
        vocab_type="spm",
        do_lower_case=False,
    )


BIASES = ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias")
NEW = {
    "content": "[NEW]",
    "special": False,
    "lstrip": False,
    "rstrip": False,
    "single_word": False,
    "normalized": False,
}
SERVED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "one score, no problem type": ("bert", lambda d: write_checkpoint(d, "bert", labels=1)),
    "regression": ("bert", lambda d: write_checkpoint(d, "bert", labels=1, problem_type="regression")),
    "cut at model_max_length": ("bert", lambda d: edit(d, "tokenizer_config.json", model_max_length=17)),
    "cut on the left": ("bert", lambda d: edit(d, "tokenizer_config.json", truncation_side="left")),
    "vocabulary alone": ("bert", lambda d: [bare(d), edit(d, "config.json", tokenizer_class=None)]),
    "vocabulary, cased": ("distilbert", lambda d: bare(d, do_lower_case=False)),
    "vocabulary, accents kept": ("bert", lambda d: bare(d, strip_accents=False)),
    "vocabulary, cased, accents stripped": ("bert", lambda d: bare(d, do_lower_case=False, strip_accents=True)),
    "vocabulary, ideographs together": ("electra", lambda d: bare(d, tokenize_chinese_chars=False)),
    "vocabulary with blank lines": (
        "bert",
        lambda d: [bare(d), append(d / "vocab.txt", "\n\n")],
    ),
    "settings say cased, tokenizer.json does not": (
        "bert",
        lambda d: edit(d, "tokenizer_config.json", do_lower_case=False),
    ),
    "tokenizer.json without settings": ("bert", lambda d: without_file(d, "tokenizer_config.json")),
    "tokenizer.json of no class": (
        "bert",
        lambda d: edit(d, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False),
    ),
    "added_tokens.json": (
        "bert",
        lambda d: [bare(d), (d / "added_tokens.json").write_text('{"[NEW]": 1100, "<extra>": 1101}')],
    ),
    "added_tokens_decoder": ("distilbert", lambda d: bare(d, added_tokens_decoder={"1100": NEW})),
    "additional special tokens": ("bert", lambda d: bare(d, additional_special_tokens=["[NEW]", "<extra>"])),
    "special tokens split": ("bert", lambda d: edit(d, "tokenizer_config.json", split_special_tokens=True)),
    "prefix space": ("roberta", lambda d: edit(d, "tokenizer_config.json", add_prefix_space=True)),
    "no prefix space": ("xlm-roberta", lambda d: edit(d, "tokenizer_config.json", add_prefix_space=False)),
    "accents kept": ("albert", lambda d: edit(d, "tokenizer_config.json", keep_accents=True, do_lower_case=False)),
    "shards": ("roberta", split),
    "no architectures": ("camembert", lambda d: edit(d, "config.json", architectures=None)),
    "another tool's export beside the weights": ("bert", lambda d: (d / "openvino_model.xml").write_text("<net/>")),
    "old names of layer norms": ("bert", lambda d: rename(d, old_norms)),
    "usual names in the config": ("distilbert", usual_names),
    "double precision": ("electra", to_double),
    "the mean of all rows": modern(classifier_pooling="mean"),
    "the last layer looks near": modern(num_hidden_layers=3),
    "the last layer looks near, the mean of all rows": modern(num_hidden_layers=3, classifier_pooling="mean"),
    "one layer": modern(num_hidden_layers=1),
    "each token looks at itself": modern(local_attention=1),
    "an odd window": modern(local_attention=7),
    "every bias": modern(**dict.fromkeys(BIASES, True)),
    **{bias: modern(**{bias: True}) for bias in BIASES},
    "activations of both parts": modern(hidden_activation="silu", classifier_activation="gelu_new"),
    "another epsilon": modern(norm_eps=0.05),
    "older words for layers": ("modernbert", older),
    "newer words for layers": ("modernbert", newer),
    "double precision, several in one matrix": ("modernbert", to_double),
    "a tokenizer of a class that does not count": (
        "modernbert",
        lambda d: edit(d, "tokenizer_config.json", tokenizer_class="RobertaTokenizer"),
    ),
    "distances of queries alone": deberta(pos_att_type=["c2p"]),
    "distances of keys alone": deberta(pos_att_type=["p2c"]),
    "distances by an older word": ("deberta-v2", lambda d: edit(d, "config.json", pos_att_type="P2C | c2p")),
    "a row for each distance": deberta(position_buckets=-1),
    "a row for each near distance": deberta(position_buckets=-1, max_relative_positions=12),
    "rows for fewer distances than positions": deberta(max_relative_positions=20),
    "more rows than positions": deberta(position_buckets=256),
    "two rows to each side": deberta(position_buckets=2),
    "projections of distances of their own": deberta(share_att_key=False),
    "projections of distances of queries of their own": deberta(share_att_key=False, pos_att_type=["c2p"]),
    "distances without a norm": deberta(norm_rel_ebd="none"),
    "distances, and positions in the embeddings": deberta(position_biased_input=True),
    "distances, positions and token types": deberta(position_biased_input=True, type_vocab_size=2),
    "distances and token types": deberta(type_vocab_size=2),
    "distances, narrower embeddings": deberta(embedding_size=24, type_vocab_size=1),
    "distances, one layer": deberta(num_hidden_layers=1),
    "distances, other activations": deberta(hidden_act="relu", pooler_hidden_act="gelu_new"),
    "distances, double precision": ("deberta-v2", to_double),
    "distances, old names of layer norms": ("deberta-v2", lambda d: rename(d, old_norms)),
    "no prefix space, the first of a text alone": (
        "deberta-v2",
        lambda d: edit(d, "tokenizer_config.json", add_prefix_space=False),
    ),
    "settings of older versions": ("deberta-v2", older_settings),
    "a mask that the vocabulary lacks": ("deberta-v2", lambda d: edit(d, "tokenizer_config.json", mask_token="<mask>")),
    "punctuation by itself, an unknown token with a score": ("deberta-v2", pieces_of_letters),
    "a tokenizer of no class, as tokenizer.json says": (
        "deberta-v2",
        lambda d: edit(d, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast"),
    ),
    "a tokenizer of the class by default": (
        "deberta-v2",
        lambda d: edit(d, "tokenizer_config.json", tokenizer_class=None),
    ),
    **{
        f"activation {name}": (family, lambda d, k=key, n=name: edit(d, "config.json", **{k: n}))  # type: ignore[misc]
        for family, key, names in (
            ("distilbert", "activation", ("relu", "gelu_new", "silu")),
            ("bert", "hidden_act", ("gelu_new", "gelu_pytorch_tanh", "relu", "swish", "gelu_fast")),
        )
        for name in names
    },
}


@pytest.mark.timeout(200)
@pytest.mark.parametrize("layout", SERVED)
def test_served_as_transformers_serves_it(
    layout: str, copy: Callable[[str], Path], record_property: Callable[[str, object], None]
) -> None:
    family, change = SERVED[layout]
    directory = copy(family)
    change(directory)
    model = loaded(directory)
    # Without model_max_length transformers would go beyond the last position.
    fits = ODD_TEXTS if model.checkpoint.tokenizer.max_length_tokens else ODD_TEXTS[:60]
    ids = [list(each.ids) for each in model.tokenizer.encode(fits)]
    assert ids == own_ids(directory, fits)
    texts = fits[::7]
    own = own_scores(directory, texts, model.checkpoint.config.labels)
    largest = float(np.abs(served_scores(model, texts) - own).max())
    record_property("largest difference", largest)
    assert largest < BOUND


def test_every_option_of_a_vocabulary_shows_in_these_texts(copy: Callable[[str], Path]) -> None:
    # Otherwise agreement on them would say little.
    directory = copy("bert")
    seen = []
    for settings in ({}, {"do_lower_case": False}, {"strip_accents": False}, {"tokenize_chinese_chars": False}):
        bare(directory, **settings)
        seen.append(str(own_ids(directory, ODD_TEXTS)))
    assert len(set(seen)) == 4


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "DataParallel": ("bert", lambda d: rename(d, "module.{}".format), "begin with module., as torch.nn.DataParallel"),
    "torch.compile": ("bert", lambda d: rename(d, "_orig_mod.{}".format), "begin with _orig_mod., as torch.compile"),
    "a wrapper": ("roberta", lambda d: rename(d, "model.{}".format), "begin with model., as a module around"),
    "a wrapper around a model": (
        "modernbert",
        lambda d: rename(d, "model.{}".format),
        "begin with model., as a module",
    ),
    "a bias that is missing": (
        "modernbert",
        lambda d: edit(d, "config.json", attention_bias=True),
        "has no tensor model.layers.0.attn.Wqkv.bias",
    ),
    "projections of two": (
        "modernbert",
        lambda d: edit(d, "config.json", intermediate_size=40),
        "mlp.Wi.weight has shape [160, 48], config.json implies [80, 48]",
    ),
    "an adapter among the weights": (
        "bert",
        lambda d: rename(d, lambda n: n.replace("query.weight", "query.lora_A.weight")),
        "holds an adapter (LoRA): merge it",
    ),
    "an unknown tokenizer": (
        "roberta",
        lambda d: edit(d, "tokenizer_config.json", tokenizer_class="BertweetTokenizer"),
        "asks for the tokenizer BertweetTokenizer, which is not served",
    ),
    "SentencePiece alone": (
        "xlm-roberta",
        lambda d: (d / "tokenizer.json").rename(d / "sentencepiece.bpe.model"),
        "only sentencepiece.bpe.model: make one with `AutoTokenizer",
    ),
    "a SentencePiece model alone": (
        "deberta-v2",
        lambda d: (d / "tokenizer.json").rename(d / "spm.model"),
        "only spm.model: make one with `AutoTokenizer",
    ),
    "a table of fewer distances": (
        "deberta-v2",
        lambda d: edit(d, "config.json", position_buckets=16),
        "rel_embeddings.weight has shape [16, 48], config.json implies [32, 48]",
    ),
    "projections of distances that are missing": (
        "deberta-v2",
        lambda d: edit(d, "config.json", share_att_key=False),
        "has no tensor deberta.encoder.layer.0.attention.self.pos_key_proj.weight",
    ),
    "a vocabulary of words": (
        "bert",
        lambda d: edit(d, "tokenizer_config.json", tokenizer_class="DebertaV2Tokenizer"),
        "has no vocabulary of the kind",
    ),
    "no room for a text": (
        "bert",
        lambda d: edit(d, "tokenizer_config.json", model_max_length=2),
        "a maximum of 2 tokens leaves no room",
    ),
    "a side that is none": (
        "bert",
        lambda d: edit(d, "tokenizer_config.json", truncation_side="middle"),
        'truncation_side must be left or right, it is "middle"',
    ),
    "more tokens than embeddings": (
        "bert",
        lambda d: [bare(d), append(d / "vocab.txt", "\n".join(f"w{n}" for n in range(1200)))],
        "more than the 1200 embeddings",
    ),
    "a vocabulary of another kind": (
        "bert",
        lambda d: edit(d, "tokenizer_config.json", tokenizer_class="XLMRobertaTokenizer"),
        "has no vocabulary of the kind",
    ),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_refused_in_one_sentence(layout: str, copy: Callable[[str], Path]) -> None:
    family, change, says = REFUSED[layout]
    directory = copy(family)
    change(directory)
    with pytest.raises(CheckpointError) as caught:
        load(Settings(model_dir=directory, precision="f32"), threads=1)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(directory) in str(caught.value)


@pytest.mark.parametrize("family", ["bert", "modernbert", "deberta-v2"])
def test_weights_saved_from_the_bare_encoder_are_served(family: str, copy: Callable[[str], Path]) -> None:
    directory = copy(family)
    whole = served_scores(loaded(directory), ENGLISH)
    prefix = FAMILIES[family].prefix
    rename(directory, lambda name: name.removeprefix(prefix))
    assert torch.equal(torch.from_numpy(served_scores(loaded(directory), ENGLISH)), torch.from_numpy(whole))
