"""DeBERTa-v3: scores that distances between tokens add to, norms as BERT's, no positions in the embeddings."""

from predictor.checkpoint.families.family import DisentangledNames, Family, HeadNames

DEBERTA_V2 = Family(
    model_type="deberta-v2",
    architecture="DebertaV2ForSequenceClassification",
    prefix="deberta.",
    defaults={"pad_token_id": 0, "type_vocab_size": 0, "layer_norm_eps": 1e-7},
    projection="embeddings.embed_proj",
    projected_first=True,
    layer_names=DisentangledNames(
        query="attention.self.query_proj",
        key="attention.self.key_proj",
        value="attention.self.value_proj",
        attended="attention.output.dense",
        attended_norm="attention.output.LayerNorm",
        wide="intermediate.dense",
        narrow="output.dense",
        norm="output.LayerNorm",
        distances="encoder.rel_embeddings",
        distances_norm="encoder.LayerNorm",
        distance_query="attention.self.pos_query_proj",
        distance_key="attention.self.pos_key_proj",
    ),
    head=HeadNames(dense="pooler.dense", activation="gelu", activation_key="pooler_hidden_act", out="classifier"),
    tokenizer="DebertaV2Tokenizer",
)
