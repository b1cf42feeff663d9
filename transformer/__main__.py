"""``python -m transformer --model_name=sentiment --predictor_host=HOST[:PORT] --http_port=8080``."""

from serving.lean_imports import import_sdk_leanly
from serving.settings import read
from transformer.settings import Settings


def main() -> None:
    """Load the server without what it never runs, then run it."""
    settings = read(Settings)
    import_sdk_leanly()
    # After the line above, which decides what this import loads.
    from transformer.server import serve  # noqa: PLC0415

    serve(settings)


if __name__ == "__main__":
    main()
