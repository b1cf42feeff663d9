"""Logs: one JSON object a line on standard error. Never a text, a URL with credentials or a secret."""

import logging
import time
import warnings

import orjson

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: time, level, logger, message, then whatever ``extra`` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line without its end."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({k: v for k, v in record.__dict__.items() if k not in _PLAIN and v is not None})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str) -> None:
    """Send everything from ``level`` up to standard error; keep the SDK to warnings, for it logs every request."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The SDK builds its responses with a class that FastAPI deprecated; nothing an operator can act on.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    for chatty in ("kserve", "kserve.trace", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logger = logging.getLogger(chatty)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        # A handler of its own tells the SDK that logging is configured.
        logger.handlers = [handler] if "." not in chatty else []
        logger.propagate = "." in chatty
