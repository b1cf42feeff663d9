"""What predictor and transformer share: how a server listens, limits, logs, traces and leaves; no models, no caches."""
