"""``python -m transformer --model_name=sentiment --predictor_host=HOST[:PORT] --http_port=8080 --workers=1``."""

from transformer.lean_imports import skip_unused_sdk_imports


def main() -> None:
    """Load the server without what it never runs, then run it."""
    skip_unused_sdk_imports()
    # After the line above, which decides what this import loads.
    from transformer.server import serve  # noqa: PLC0415

    serve()


if __name__ == "__main__":
    main()
