"""What a DeBERTa-v3's config.json says of distances between tokens, and what is refused."""

from typing import Any

import pytest

from predictor.checkpoint.config import ModelConfig, read_config
from predictor.checkpoint.variant import Distances
from predictor.errors import CheckpointError

# As the small one on the hub has it.
SMALL: dict[str, Any] = {
    "architectures": ["DebertaV2ForSequenceClassification"],
    "model_type": "deberta-v2",
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_size": 768,
    "id2label": {"0": "A", "1": "B"},
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-07,
    "max_position_embeddings": 512,
    "max_relative_positions": -1,
    "norm_rel_ebd": "layer_norm",
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "pad_token_id": 0,
    "pooler_hidden_act": "gelu",
    "pooler_hidden_size": 768,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "position_buckets": 256,
    "relative_attention": True,
    "share_att_key": True,
    "type_vocab_size": 0,
    "vocab_size": 128100,
}


def read(**changes: Any) -> ModelConfig:
    return read_config({key: value for key, value in (SMALL | changes).items() if value is not ...}, "config.json")


def test_the_small_one_is_read() -> None:
    config = read()
    assert config.variant.distances == Distances(
        rows=256, near=128, far=512, of_queries=True, of_keys=True, shared=True, normed=True
    )
    assert not config.variant.positions_added
    assert config.token_types == 0
    assert config.embedding_dim == config.dim == 768
    assert config.norm_eps == 1e-7
    assert config.longest_tokens == 512
    assert config.tokenizer is None
    assert config.family.tokenizer == "DebertaV2Tokenizer"


def test_what_is_left_out_is_transformers_own() -> None:
    same = ("layer_norm_eps", "max_relative_positions", "pad_token_id", "pooler_hidden_act", "pooler_hidden_size")
    assert read(**dict.fromkeys((*same, "type_vocab_size", "hidden_act"), ...)) == read()
    left_out = read(
        **dict.fromkeys(("position_buckets", "share_att_key", "norm_rel_ebd", "position_biased_input"), ...)
    )
    assert left_out.variant.distances == Distances(
        rows=512, near=None, far=512, of_queries=True, of_keys=True, shared=False, normed=False
    )
    assert left_out.variant.positions_added


def test_other_words_are_read() -> None:
    assert read(pos_att_type="c2p|P2C") == read()
    assert read(position_embedding_type="relative_key", conv_kernel_size=0, attention_head_size=64) == read()
    only = read(pos_att_type=["p2c"]).variant.distances
    assert only is not None
    assert (only.of_queries, only.of_keys) == (False, True)
    most = read(max_relative_positions=300, position_buckets=-1).variant.distances
    assert most is not None
    assert (most.rows, most.near, most.far) == (300, None, 300)
    assert read(embedding_size=128).embedding_dim == 128
    assert read(type_vocab_size=2).token_types == 2
    # No two tokens are far enough apart to share a row.
    assert read(max_position_embeddings=100).variant.distances is not None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a convolution": ({"conv_kernel_size": 3}, "has conv_kernel_size 3, only 0 is served"),
    "no distances": ({"relative_attention": False}, "has relative_attention false, only true is served"),
    "no word of distances": ({"relative_attention": ...}, "has relative_attention false, only true is served"),
    "a narrower pooler": ({"pooler_hidden_size": 384}, "has pooler_hidden_size 384, only 768 is served"),
    "a pooler's activation": ({"pooler_hidden_act": "mish"}, "asks for pooler_hidden_act mish; served are gelu,"),
    "heads of another width": ({"attention_head_size": 32}, "has attention_head_size 32, only 64 is served"),
    "no terms": ({"pos_att_type": []}, "pos_att_type must name c2p, p2c or both"),
    "no word of terms": ({"pos_att_type": None}, "pos_att_type must name c2p, p2c or both"),
    "a term of the first DeBERTa": (
        {"pos_att_type": "c2p|p2p"},
        'has pos_att_type "c2p|p2p"; served are c2p, p2c',
    ),
    "terms that are no words": ({"pos_att_type": 3}, "has pos_att_type 3; served are c2p, p2c"),
    "another norm of distances": ({"norm_rel_ebd": "batch"}, 'has norm_rel_ebd "batch"; served are none, layer_norm'),
    "one bucket": ({"position_buckets": 1}, "512 relative positions cannot be put into 1 buckets to each side"),
    "buckets beyond all positions": (
        {"max_relative_positions": 100},
        "100 relative positions cannot be put into 256 buckets to each side",
    ),
    "buckets that are no number": ({"position_buckets": "all"}, "position_buckets must be a whole number from -1 on"),
    "a switch that is none": ({"share_att_key": "yes"}, 'share_att_key must be true or false, it is "yes"'),
    "the first DeBERTa": (
        {"model_type": "deberta", "architectures": ["DebertaForSequenceClassification"]},
        "describes DebertaForSequenceClassification, which is not served",
    ),
    "another head": (
        {"architectures": ["DebertaV2ForTokenClassification"]},
        "describes DebertaV2ForTokenClassification, which is not served",
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
