"""Lets pages of other origins call the service, for the origins that a setting names."""

from starlette.middleware.cors import CORSMiddleware

from serving.asgi import App
from serving.cloudevents import ANSWER_HEADERS

_READABLE = (
    "x-cache", "x-model-version", "x-request-id", "x-truncated", "server-timing", "retry-after", *ANSWER_HEADERS,
)  # fmt: skip
_PREFLIGHT_AGE_S = 600


def allowing(app: App, *, origins: str) -> App:
    """Wrap the application: answer preflight requests, and add the headers that browsers need.

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
