"""A checkpoint directory: where its files come from, how they are kept true, how older ones are brought up to date."""
