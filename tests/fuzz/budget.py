"""How much is tried: little with every test run, much with ``FUZZ=full``."""

import os

FULL = os.environ.get("FUZZ") == "full"
EXAMPLES = 400 if FULL else 8
PHASES = "examples,coverage,fuzzing,stateful" if FULL else "examples,fuzzing"
HYPOTHESIS_EXAMPLES = 20_000 if FULL else 200
