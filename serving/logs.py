"""Logs: one JSON object per line on standard error. Never a text, a URL with credentials or a secret."""

import json
import logging
import logging.config
import traceback
import warnings
from datetime import UTC, datetime
from typing import Any

import orjson

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
# Each reports every request, or the steps of its own start.
_QUIET = ("kserve", "kserve.trace", "uvicorn", "uvicorn.access", "uvicorn.error", "asyncio")


class JsonLine(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, then whatever ``extra`` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        extra = record.__dict__.items()
        line.update({key: value for key, value in extra if key not in _STANDARD and value is not None})
        if record.exc_info:
            # An exception's own words may quote a text. So may the lines that asyncio adds to a message.
            line["message"] = line["message"].partition("\n")[0]
            kind, _, place = record.exc_info
            line["exception"] = kind.__name__ if kind else "none"
            line["traceback"] = traceback.format_tb(place)
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a path that is not UTF-8
            return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send every logger's lines to standard error: ours from ``level`` up, the libraries' from warning up."""
    logging.captureWarnings(capture=True)
    # The SDK answers with a response class that FastAPI has deprecated; nothing an operator can act on.
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
