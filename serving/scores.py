"""What the scores of a model are: what the predictor says with every answer, and what its answers are held to."""

from typing import Literal

ScoresAre = Literal["softmax", "sigmoid", "raw"]
"""One probability distribution over the labels, a probability for each label, or any finite numbers."""
