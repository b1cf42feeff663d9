"""Turns the services' JSON log lines into readable ones."""

import json
from typing import Any

from honcho.printer import Message, Printer

_LEVELS = {"warning": "WARNING ", "error": "ERROR "}
_KNOWN = {"time", "level", "logger", "message", "exception", "traceback"}


class Console(Printer):  # type: ignore[misc] # honcho has no types
    """Prints what processes say: requests in a column, other events as a sentence, the rest as it came."""

    def write(self, message: Message) -> None:
        """Print one or more lines of one process."""
        text = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        lines = [readable(line) for line in text.splitlines()]
        if lines:
            super().write(message._replace(data="\n".join(lines)))


def readable(line: str) -> str:
    """Give a JSON log line in words, any other line as it is."""
    try:
        said = json.loads(line)
    except ValueError:
        return line
    if not isinstance(said, dict) or "level" not in said:
        return line
    if said.get("message") == "request":
        return f"{said['status']} {said['ms']:>9.2f} ms  {said['outcome']:<8} {said['method']} {said['route']}"
    return _sentence(said)


def _sentence(said: dict[str, Any]) -> str:
    words = said.get("message", "")
    more = ", ".join(f"{name}: {value}" for name, value in said.items() if name not in _KNOWN)
    trace = said.get("exception") or said.get("traceback")
    return _LEVELS.get(said["level"], "") + words + (f" ({more})" if more else "") + (f"\n{trace}" if trace else "")
