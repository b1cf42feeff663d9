"""RoBERTa and those built like it, XLM-RoBERTa and CamemBERT: positions counted from the padding token's id."""

from dataclasses import replace

from predictor.checkpoint.families.bert import BERT_LAYER
from predictor.checkpoint.families.family import Family, HeadNames

ROBERTA = Family(
    model_type="roberta",
    architecture="RobertaForSequenceClassification",
    prefix="roberta.",
    defaults={"pad_token_id": 1},
    layer_names=BERT_LAYER,
    head=HeadNames(dense="classifier.dense", activation="tanh", out="classifier.out_proj"),
    counts_from_padding=True,
    tokenizer="RobertaTokenizer",
)

XLM_ROBERTA = replace(
    ROBERTA,
    model_type="xlm-roberta",
    architecture="XLMRobertaForSequenceClassification",
    tokenizer="XLMRobertaTokenizer",
)

CAMEMBERT = replace(
    ROBERTA,
    model_type="camembert",
    architecture="CamembertForSequenceClassification",
    tokenizer="CamembertTokenizer",
)
