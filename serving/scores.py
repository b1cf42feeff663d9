"""The kinds of scores: named in every answer of the predictor, and what these answers are checked against."""

from typing import Literal

ScoresAre = Literal["softmax", "sigmoid", "raw"]
"""One probability distribution over the labels, a probability for each label, or any finite numbers."""
