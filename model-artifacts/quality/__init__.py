"""How good the scores of a checkpoint are, as the predictor serves it."""
