"""Puts a service behind HTTP and gRPC: predictions, the SDK's routes, tracing, CORS, draining."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kserve.model_server import app, args

from serving.asgi import App, Scope
from serving.cloudevents import CloudEvents
from serving.cors import allowing
from serving.draining import Draining, readiness_routes
from serving.front import Counts, Front
from serving.grpc_server import GrpcServer
from serving.http.limits import HttpLimits
from serving.http.reply import Reply
from serving.openapi import Described, document
from serving.predictions import Predictions, TextsOf
from serving.server import GRACE_S, Server
from serving.service import Service
from serving.settings import ServingSettings


class TracedFront(Protocol):
    """Adds spans to requests and calls."""

    def app(self, front: Front) -> App:
        """Wrap the application in server spans."""

    def interceptors(self) -> Sequence[Any]:
        """Give the interceptors that add server spans to gRPC calls."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What one server adds to what both serve.

    Attributes:
        described: its part of the OpenAPI document.
        texts: routes that take texts, beside V1: by path, the route's name and what reads its body.
        pages: answers paths that are neither predictions nor the SDK's.
        readiness: paths that fail while the process drains, beside KServe's own.
    """

    described: Described
    texts: Mapping[str, tuple[str, TextsOf]] = field(default_factory=dict)
    pages: Callable[[Scope], Reply | None] = lambda _scope: None
    readiness: Collection[str] = ()


def serve(
    service: Service, site: Site, settings: ServingSettings, *, counts: Counts, traced: TracedFront | None
) -> None:
    """Serve until a signal stops it; requests in progress are finished."""
    app.openapi = document(app, service=service, described=site.described)
    hot_path = Front(
        app=app,
        predictions=Predictions(
            service=service,
            max_body_bytes=settings.max_body_bytes,
            events=CloudEvents(model_name=service.name, environ=os.environ),
            texts=site.texts,
        ),
        counts=counts,
        pages=site.pages,
        access_log=settings.access_log,
    )
    in_front: App = traced.app(hot_path) if traced else hot_path
    if settings.cors_origins:
        in_front = allowing(in_front, origins=settings.cors_origins)
    if in_front is not hot_path:
        hot_path.only_asgi()
    grpc: GrpcServer | None = None

    def leave() -> None:
        hot_path.only_asgi()
        if grpc is not None:
            grpc.leave()

    front = Draining(
        app=in_front,
        readiness=readiness_routes(service.name) | set(site.readiness),
        pause_s=settings.drain_s,
        on_begin=leave,
    )
    limits = HttpLimits(
        receive_s=settings.receive_timeout_s, keep_alive_s=settings.keep_alive_s, connections=settings.max_connections
    )
    server = Server(front=front, service=service, direct=hot_path, limits=limits)
    if args.enable_grpc:
        grpc = GrpcServer(
            port=args.grpc_port,
            service=service,
            counts=counts,
            server_metadata=server.dataplane.metadata(),
            ready=lambda: front.ready,
            max_message_bytes=settings.max_body_bytes,
            grace_s=GRACE_S,
            interceptors=traced.interceptors() if traced else (),
        )
    server.run(grpc)
