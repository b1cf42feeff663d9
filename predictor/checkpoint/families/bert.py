"""BERT, and MiniLM, which has its shape: a pooler with tanh before the classifier."""

from predictor.checkpoint.families.family import Family, HeadNames, LayerNames

BERT_LAYER = LayerNames(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attended="attention.output.dense",
    attended_norm="attention.output.LayerNorm",
    wide="intermediate.dense",
    narrow="output.dense",
    norm="output.LayerNorm",
)

BERT = Family(
    model_type="bert",
    architecture="BertForSequenceClassification",
    prefix="bert.",
    defaults={"pad_token_id": 0},
    layer_names=BERT_LAYER,
    head=HeadNames(dense=".pooler.dense", activation="tanh", out="classifier"),
)
