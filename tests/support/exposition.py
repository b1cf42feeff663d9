"""Serves recorded samples of metrics that only a cluster has, as ``/metrics`` of a live process would look."""

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

_SAMPLE = re.compile(r"^(?P<series>(?P<name>[a-zA-Z_:]\w*)(\{.*\})?) (?P<value>\S+)$")
_TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)


class Exposition:
    """A file's samples over HTTP; counters and histograms grow by their recorded value every second.

    Args:
        samples: a file in Prometheus's text format.
    """

    def __init__(self, samples: Path) -> None:
        text = samples.read_text()
        types = dict(_TYPE.findall(text))
        self._growing = {name for name, kind in types.items() if kind in ("counter", "histogram")}
        self._lines = text.splitlines()
        self._started_s = time.monotonic()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = outer.page().encode()
                self.send_response(200)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.port: int = self._server.server_address[1]

    def page(self) -> str:
        """Give the samples as of now."""
        elapsed_s = time.monotonic() - self._started_s
        lines = []
        for line in self._lines:
            sample = _SAMPLE.match(line)
            if sample and self._grows(sample["name"]):
                lines.append(f"{sample['series']} {float(sample['value']) * (1 + elapsed_s)}")
            else:
                lines.append(line)
        return "\n".join(lines) + "\n"

    def _grows(self, name: str) -> bool:
        return name in self._growing or re.sub(r"_(bucket|sum|count)$", "", name) in self._growing

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
