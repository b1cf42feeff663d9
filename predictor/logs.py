"""One JSON line per event on standard error. No text that is classified is ever logged."""

import json
import logging
import logging.config
import traceback
import warnings
from datetime import UTC, datetime
from typing import Any

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
# Each tells of every request, or of steps of its own start.
_QUIET = ("kserve", "kserve.trace", "uvicorn", "uvicorn.access", "uvicorn.error", "asyncio")


class JsonLine(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, event, and what ``extra`` added."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({key: value for key, value in record.__dict__.items() if key not in _STANDARD})
        if record.exc_info:
            kind, _, place = record.exc_info
            # Without the exception's own words, which may quote a text.
            line["exception"] = kind.__name__ if kind else "none"
            line["traceback"] = traceback.format_tb(place)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str) -> None:
    """Send every logger's lines to standard error, ours from ``level``, the servers' from warning."""
    logging.captureWarnings(capture=True)
    # The SDK answers with a response class that FastAPI has deprecated; nobody here can change that.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonLine}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        # The SDK configures its logger unless that has a handler of its own.
        "loggers": {name: {"level": "WARNING", "handlers": ["stderr"], "propagate": False} for name in _QUIET},
    })  # fmt: skip
