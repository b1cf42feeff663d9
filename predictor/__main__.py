"""``python -m predictor --model_name=sentiment --http_port=8081``: serve one DistilBERT until told to stop."""

import logging
import sys

from pydantic import ValidationError

from predictor import logs
from predictor.cpu import available_cpus, limit_library_threads
from predictor.errors import CheckpointError, EngineUnavailableError
from predictor.lean_imports import import_sdk_leanly
from predictor.settings import Settings

log = logging.getLogger("predictor")


def main() -> int:
    """Give the exit status: 0 after a clean shutdown, 1 when the model cannot be served, 2 for wrong settings."""
    logs.configure("info")
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = {f"PREDICTOR_{'_'.join(map(str, e['loc'])).upper()}": e["msg"] for e in error.errors()}
        log.error("wrong settings", extra=wrong)  # noqa: TRY400 - the sentence says it all
        return 2
    logs.configure(settings.log_level)
    threads = settings.threads or available_cpus()
    limit_library_threads(threads)
    import_sdk_leanly()
    # Only now: numpy and tokenizers size their thread pools when they load, and the SDK is lean from its first import.
    from predictor.server import serve  # noqa: PLC0415

    try:
        serve(settings, threads=threads)
    except (CheckpointError, EngineUnavailableError) as error:
        log.error("cannot serve", extra={"reason": str(error)})  # noqa: TRY400 - the sentence says it all
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
