"""A collector of traces: takes OTLP over HTTP and keeps the spans."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span, as a reader of traces sees it."""

    service: str
    name: str
    server: bool
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    error: bool
    attributes: dict[str, Any]


def spans_of(export: bytes) -> list[Span]:
    """Read the spans of one export."""
    spans = []
    for resource in ExportTraceServiceRequest.FromString(export).resource_spans:
        named = {each.key: each.value.string_value for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            spans += [_span(named["service.name"], span) for span in scope.spans]
    return spans


class Collector:
    """Listens on loopback; use it as a context manager."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.spans += spans_of(body)
                content = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait_for(self, names: Sequence[str], *, timeout_s: float = 20) -> dict[str, Span]:
        """Give the first span of each name, once all are there."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = {span.name: span for span in reversed(self.spans) if span.name in names}
            if len(found) == len(set(names)):
                return found
            time.sleep(0.05)
        raise AssertionError(f"only these spans came: {sorted(span.name for span in self.spans)}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _span(service: str, span: Any) -> Span:
    values = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
    return Span(
        service=service,
        name=span.name,
        server=span.kind == OtlpSpan.SPAN_KIND_SERVER,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        error=span.status.code == 2,
        attributes=values,
    )
