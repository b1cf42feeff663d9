"""The encoder families that are served: a file for each, and this table of all."""

from predictor.checkpoint.families.albert import ALBERT
from predictor.checkpoint.families.bert import BERT
from predictor.checkpoint.families.deberta import DEBERTA_V2
from predictor.checkpoint.families.distilbert import DISTILBERT
from predictor.checkpoint.families.electra import ELECTRA
from predictor.checkpoint.families.family import (
    Activation,
    DisentangledNames,
    Family,
    HeadNames,
    LayerNames,
    PreNormNames,
)
from predictor.checkpoint.families.modernbert import MODERNBERT
from predictor.checkpoint.families.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA

FAMILIES = {
    family.model_type: family
    for family in (DISTILBERT, BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, ELECTRA, ALBERT, MODERNBERT, DEBERTA_V2)
}

__all__ = ["FAMILIES", "Activation", "DisentangledNames", "Family", "HeadNames", "LayerNames", "PreNormNames"]
