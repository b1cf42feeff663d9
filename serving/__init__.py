"""What predictor and transformer share: HTTP, limits, logs, traces and draining; no models, no caches."""
