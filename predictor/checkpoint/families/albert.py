"""ALBERT: all layers share the weights of a few, and narrow embeddings are always projected."""

from predictor.checkpoint.families.family import Family, HeadNames, LayerNames

ALBERT = Family(
    model_type="albert",
    architecture="AlbertForSequenceClassification",
    prefix="albert.",
    defaults={
        "pad_token_id": 0,
        "embedding_size": 128,
        "hidden_act": "gelu_new",
        "num_hidden_groups": 1,
        "inner_group_num": 1,
    },
    projection="encoder.embedding_hidden_mapping_in",
    always_projected=True,
    layer="encoder.albert_layer_groups.{group}.albert_layers.{inner}",
    layer_names=LayerNames(
        query="attention.query",
        key="attention.key",
        value="attention.value",
        attended="attention.dense",
        attended_norm="attention.LayerNorm",
        wide="ffn",
        narrow="ffn_output",
        norm="full_layer_layer_norm",
    ),
    head=HeadNames(dense=".pooler", activation="tanh", out="classifier"),
    tokenizer="AlbertTokenizer",
)
