"""DistilBERT: no token types, a fixed epsilon, config keys of its own."""

from predictor.checkpoint.families.family import Family, HeadNames, LayerNames

DISTILBERT = Family(
    model_type="distilbert",
    architecture="DistilBertForSequenceClassification",
    prefix="distilbert.",
    keys={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    },
    defaults={"pad_token_id": 0},
    norm_eps=1e-12,
    activation_key="activation",
    token_types=False,
    layer="transformer.layer.{layer}",
    layer_names=LayerNames(
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attended="attention.out_lin",
        attended_norm="sa_layer_norm",
        wide="ffn.lin1",
        narrow="ffn.lin2",
        norm="output_layer_norm",
    ),
    head=HeadNames(dense="pre_classifier", activation="relu", out="classifier"),
)
