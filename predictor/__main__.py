"""``python -m predictor --model_name=sentiment --http_port=8081``: serve one DistilBERT until told to stop."""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from predictor import logs
from predictor.errors import CheckpointError, EngineUnavailableError
from predictor.settings import Settings
from serving.cpu import available_cpus, limit_library_threads

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
    try:
        _serve(settings, settings.threads or available_cpus())
    except (CheckpointError, EngineUnavailableError) as error:
        log.error("cannot serve", extra={"reason": str(error)})  # noqa: TRY400 - the sentence says it all
        return 1
    return 0


def _serve(settings: Settings, threads: int) -> None:
    limit_library_threads(threads)
    # Imported only now: numpy and tokenizers size their thread pools when they load.
    from predictor.loading import load  # noqa: PLC0415

    # Half of loading runs outside the interpreter's lock, beside the SDK's imports.
    with ThreadPoolExecutor(max_workers=1) as pool:
        loading = pool.submit(load, settings, threads=threads)
        from predictor.lean_imports import import_sdk_leanly  # noqa: PLC0415

        import_sdk_leanly()
        from predictor.server import serve  # noqa: PLC0415

        loaded = loading.result()
    serve(settings, loaded)


if __name__ == "__main__":
    sys.exit(main())
