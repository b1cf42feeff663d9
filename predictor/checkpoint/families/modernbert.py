"""ModernBERT: rotary positions, norms before each part of a layer, layers that look near, a gated feed-forward part."""

from predictor.checkpoint.families.family import Family, HeadNames, PreNormNames

MODERNBERT = Family(
    model_type="modernbert",
    architecture="ModernBertForSequenceClassification",
    prefix="model.",
    defaults={"pad_token_id": 50283, "norm_eps": 1e-5},
    norm_eps_key="norm_eps",
    activation_key="hidden_activation",
    token_types=False,
    layer="layers.{layer}",
    layer_names=PreNormNames(
        words="embeddings.tok_embeddings",
        embedded_norm="embeddings.norm",
        attention_norm="attn_norm",
        projections="attn.Wqkv",
        attended="attn.Wo",
        wide_norm="mlp_norm",
        wide="mlp.Wi",
        narrow="mlp.Wo",
        final_norm="final_norm",
    ),
    head=HeadNames(
        dense="head.dense",
        activation="gelu",
        activation_key="classifier_activation",
        norm="head.norm",
        out="classifier",
    ),
    tokenizer="TokenizersBackend",
    always_tokenizer=True,
)
