"""Lets pages of other origins call the service, where a setting names these origins."""

from starlette.middleware.cors import CORSMiddleware

from serving.asgi import App

_READABLE = ("x-cache", "x-model-version", "x-request-id", "x-truncated", "server-timing", "retry-after")
_PREFLIGHT_AGE_S = 600


def allowing(app: App, *, origins: str) -> App:
    """Give the application with answers to preflight requests, and with the headers that browsers ask for.

    Args:
        app: what answers everything else.
        origins: such as ``https://example.org``, separated by commas; ``*`` for all of them.
    """
    return CORSMiddleware(
        app,
        allow_origins=[origin.strip() for origin in origins.split(",") if origin.strip()],
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=_READABLE,
        max_age=_PREFLIGHT_AGE_S,
    )
