"""A checkpoint directory: found, verified, read; its tokenizer; the version that names it."""
