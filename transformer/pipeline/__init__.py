"""One request's path: look up, ask the predictor for the rest, assemble the answers."""
