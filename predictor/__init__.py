"""The predictor: one DistilBERT sequence classifier on the CPU, served by the KServe SDK."""
