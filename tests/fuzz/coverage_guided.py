"""Coverage-guided fuzzing with atheris: ``coverage_guided.py TARGET CASES``; ends with status 0 when nothing broke."""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
with atheris.instrument_imports(include=["transformer", "predictor", "serving", "fuzz"]):
    from fuzz.targets import SEEDS, TARGETS


def main() -> None:
    """Run one target."""
    name, cases = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as corpus:
        for n, seed in enumerate(SEEDS[name]):
            Path(corpus, str(n)).write_bytes(seed)
        arguments = [sys.argv[0], corpus, f"-runs={cases}", "-max_len=512", "-print_final_stats=1", "-timeout=10"]
        atheris.Setup([*arguments, f"-artifact_prefix={tempfile.gettempdir()}/"], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
