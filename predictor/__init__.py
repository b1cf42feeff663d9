"""The predictor: one text classifier on the CPU, served by the KServe SDK."""
