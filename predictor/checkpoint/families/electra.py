"""ELECTRA: embeddings may be narrower than the layers, and the head has gelu."""

from predictor.checkpoint.families.bert import BERT_LAYER
from predictor.checkpoint.families.family import Family, HeadNames

ELECTRA = Family(
    model_type="electra",
    architecture="ElectraForSequenceClassification",
    prefix="electra.",
    defaults={"pad_token_id": 0, "embedding_size": 128},
    projection="embeddings_project",
    layer_names=BERT_LAYER,
    head=HeadNames(dense="classifier.dense", activation="gelu", out="classifier.out_proj"),
)
