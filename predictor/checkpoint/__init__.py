"""A checkpoint directory: finding, verifying and reading it; its tokenizer; its model version."""
