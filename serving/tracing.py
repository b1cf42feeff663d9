"""Whether OpenTelemetry's own variables ask for traces, and where these go. Off by default, and then it costs nothing.

On with ``OTEL_TRACES_EXPORTER=otlp`` or ``console``, or, where that is not set, with an OTLP endpoint
(``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``..._TRACES_ENDPOINT``); never with ``OTEL_SDK_DISABLED=true``. The other
``OTEL_*`` variables mean what OpenTelemetry says: headers, protocol, sampler, propagators, service name, resource.
"""

import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

from serving.http.reply import Headers

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# Spans that a collector does not take by then are lost: a pod that leaves must not wait for it.
_FLUSH_S = 2.0
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")


class Tracing(NamedTuple):
    """Where spans come from, and what sends those that wait and ends the exporter."""

    tracer: "Tracer"
    close: Callable[[], None]


def exporter_named(environ: Mapping[str, str]) -> str | None:
    """Give the exporter that the environment asks for by its entry point's name, None for no traces."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    implied = "otlp" if any(environ.get(name) for name in _ENDPOINTS) else "none"
    asked = environ.get("OTEL_TRACES_EXPORTER") or implied
    if asked != "otlp":
        return None if asked == "none" else asked
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), "http/protobuf")
    return "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"


def trace_id(headers: Headers) -> str | None:
    """Give the trace a request belongs to, if it says so (W3C Trace Context)."""
    for name, value in headers:
        if name == b"traceparent" and (parts := _TRACEPARENT.fullmatch(value)):
            return parts[1].decode()
    return None


def start(environ: Mapping[str, str], *, service: str) -> Tracing | None:
    """Start tracing; None where no traces are asked for or OpenTelemetry cannot give them.

    Args:
        environ: the process's environment.
        service: the service's name, unless the environment has one.
    """
    exporter = exporter_named(environ)
    if exporter is None:
        return None
    try:
        provider = _provider(environ, exporter, service)
    except (ImportError, LookupError) as error:
        log.error("no traces: is the extra `otel` installed?", extra={"reason": str(error)})  # noqa: TRY400
        return None
    log.info("tracing", extra={"exporter": exporter})
    return Tracing(provider.get_tracer("sentiment"), lambda: _close(provider))


def _provider(environ: Mapping[str, str], exporter: str, service: str) -> "TracerProvider":
    from importlib.metadata import entry_points  # noqa: PLC0415 - of no use without traces

    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    (found,) = entry_points(group="opentelemetry_traces_exporter", name=exporter) or [None]
    if found is None:
        raise LookupError(f"no exporter called {exporter}")
    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": service})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(found.load()()))
    return provider


def _close(provider: "TracerProvider") -> None:
    flushing = threading.Thread(target=provider.shutdown, name="trace-flush", daemon=True)
    flushing.start()
    flushing.join(_FLUSH_S)
