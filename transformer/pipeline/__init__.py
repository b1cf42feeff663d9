"""One request's way: what is known, what is asked of the predictor, and the answers put together."""
