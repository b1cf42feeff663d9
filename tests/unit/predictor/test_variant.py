"""What a ModernBERT's config.json says, in older words and in newer ones, and what is refused."""

from typing import Any

import pytest

from predictor.checkpoint.config import ModelConfig, read_config
from predictor.errors import CheckpointError

# As the first ones on the hub have it.
OLD: dict[str, Any] = {
    "architectures": ["ModernBertForSequenceClassification"],
    "model_type": "modernbert",
    "attention_bias": False,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_pooling": "mean",
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "hidden_activation": "gelu",
    "hidden_size": 768,
    "id2label": {"0": "A", "1": "B"},
    "intermediate_size": 1152,
    "layer_norm_eps": 1e-12,
    "local_attention": 128,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 12,
    "num_hidden_layers": 22,
    "pad_token_id": 50283,
    "position_embedding_type": "absolute",
    "vocab_size": 50368,
}
SLIDING, FULL = "sliding_attention", "full_attention"
WORDS = ("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta")
NEW = {key: value for key, value in OLD.items() if key not in WORDS} | {
    "layer_types": [SLIDING if layer % 3 else FULL for layer in range(22)],
    "rope_parameters": {
        FULL: {"rope_theta": 160000.0, "rope_type": "default"},
        SLIDING: {"rope_theta": 10000.0, "rope_type": "default"},
    },
}


def read(**changes: Any) -> ModelConfig:
    return read_config({key: value for key, value in (OLD | changes).items() if value is not ...}, "config.json")


def test_older_and_newer_words_say_the_same() -> None:
    config = read()
    assert config == read_config(NEW, "config.json")
    assert [window for _, window in config.variant.layers] == [64 if layer % 3 else None for layer in range(22)]
    assert {theta for theta, _ in config.variant.layers} == {160_000.0, 10_000.0}
    assert config.norm_eps == 1e-5
    assert config.longest_tokens == 8192
    assert config.variant.mean
    assert not config.variant.norm_bias


def test_what_is_left_out_is_transformers_own() -> None:
    left_out = dict.fromkeys(("norm_eps", "local_attention", "pad_token_id", "hidden_activation", *WORDS), ...)
    assert read(**left_out) == read()
    assert not read(classifier_pooling=...).variant.mean


def test_what_a_layer_looks_at_is_read() -> None:
    variant = read(num_hidden_layers=3, global_attn_every_n_layers=2, local_attention=7, local_rope_theta=50).variant
    assert variant.layers == ((160_000.0, None), (50.0, 3), (160_000.0, None))
    assert {window for _, window in read(sliding_window=5).variant.layers} == {None, 5}
    of_kind = {FULL: {"rope_theta": 7}, SLIDING: None}
    # The newer words count where both are there; what they leave out is read in the older ones.
    variant = read(num_hidden_layers=2, rope_parameters=of_kind, global_rope_theta=9, local_rope_theta=8).variant
    assert [theta for theta, _ in variant.layers] == [7.0, 8.0]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "pooling": ({"classifier_pooling": "max"}, "asks for classifier_pooling max; served are cls, mean"),
    "no pooling": ({"classifier_pooling": None}, "asks for classifier_pooling None; served are cls, mean"),
    "scaled positions": (
        {"rope_parameters": {FULL: {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}}},
        "asks for rotary positions of type yarn, only default is served",
    ),
    "scaled positions, older words": (
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        "asks for rotary positions of type linear, only default is served",
    ),
    "positions of one kind for all": (
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        "rope_parameters must be given for each of full_attention, sliding_attention",
    ),
    "positions that are no object": (
        {"rope_parameters": {FULL: 1e4}},
        "rope_parameters and rope_scaling must hold objects",
    ),
    "no base": (
        {"local_rope_theta": None},
        "the rotary base of sliding_attention (local_rope_theta) must be a positive",
    ),
    "a base of 0": (
        {"global_rope_theta": 0},
        "the rotary base of full_attention (global_rope_theta) must be a positive",
    ),
    "a kind of layer": (
        {"layer_types": [FULL] * 21 + ["chunked_attention"]},
        "has a layer of type chunked_attention; served are full_attention, sliding_attention",
    ),
    "too few layers": ({"layer_types": [FULL]}, "layer_types must name the kind of each of the 22 layers"),
    "a window of 0": ({"local_attention": 0}, "local_attention must be a positive whole number"),
    "a switch that is none": ({"mlp_bias": "no"}, 'mlp_bias must be true or false, it is "no"'),
    "an activation": ({"classifier_activation": "mish"}, "asks for classifier_activation mish; served are gelu,"),
    "an epsilon of 0": ({"norm_eps": 0}, "norm_eps must be a number between 0 and 1"),
    "heads of odd width": ({"hidden_size": 180}, "heads of 15 numbers cannot be rotated in pairs"),
    "a decoder": ({"is_decoder": True}, "has is_decoder True, only false is served"),
    "another head": (
        {"architectures": ["ModernBertForTokenClassification"]},
        "describes ModernBertForTokenClassification, which is not served",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name_in_one_sentence(case: str) -> None:
    changes, says = REFUSED[case]
    with pytest.raises(CheckpointError) as caught:
        read(**changes)
    assert says in str(caught.value)
    assert str(caught.value).startswith("config.json")
    assert "\n" not in str(caught.value)
