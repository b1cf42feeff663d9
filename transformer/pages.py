"""What is served beside predictions: ``/health`` and the web pages. Every byte comes from this process."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import orjson
from starlette import datastructures

from serving.asgi import Scope
from serving.errors import MethodNotAllowedError
from serving.http.reply import JSON, Reply
from serving.predictions import refusal
from transformer.metrics import Metrics
from transformer.service import TransformerService

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)
_STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI sets style attributes and draws its icons from data URLs; scripts stay as strict.
_SWAGGER = _STRICT.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self'", "img-src 'self' data:"
)
_DOCS_HTML = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sentiment API</title>
<link rel="icon" href="/docs/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_DOCS_START = b"""SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true });
"""


class Page:
    """One file served as it is; read on first use.

    Args:
        name: file name; its extension decides the content type.
        read: gives the content.
        policy: its Content-Security-Policy.
    """

    def __init__(self, *, name: str, read: Callable[[], bytes], policy: str) -> None:
        self._read = read
        self._fixed = (
            (b"content-type", _TYPES[name.rsplit(".", 1)[1]].encode()),
            (b"content-security-policy", policy.encode()),
            *_SECURITY,
        )

    @cached_property
    def content(self) -> bytes:
        """The file's bytes."""
        return self._read()

    @cached_property
    def _etag(self) -> bytes:
        return b'"%s"' % hashlib.blake2b(self.content, digest_size=8).hexdigest().encode()

    def answer(self, scope: Scope) -> Reply:
        """Answer GET and HEAD with the page, or with 304 if the client has it already."""
        if scope["method"] not in ("GET", "HEAD"):
            return refusal(MethodNotAllowedError(allow="GET, HEAD"))
        headers = [*self._fixed, (b"etag", self._etag)]
        if datastructures.Headers(scope=scope).get("if-none-match", "").encode("latin-1") == self._etag:
            return Reply(304, headers, b"")
        return Reply(200, headers, self.content)


class Pages:
    """Answers ``/health``, the API's page, and the playground if it is enabled.

    Args:
        service: what is served.
        metrics: knows the state of Redis.
        playground: whether to serve the playground.
    """

    def __init__(self, *, service: TransformerService, metrics: Metrics, playground: bool) -> None:
        self._service = service
        self._metrics = metrics
        self._pages = pages(playground=playground)

    def answer(self, scope: Scope) -> Reply | None:
        """Answer a request for one of them; None for any other path."""
        path = scope["path"]
        if path == "/health":
            return self._health(scope["method"])
        if path == "/" and "text/html" in datastructures.Headers(scope=scope).get("accept", ""):
            path = "/playground"  # what a browser that opens the root wants
        page = self._pages.get(path)
        return page.answer(scope) if page else None

    def _health(self, method: str) -> Reply:
        if method not in ("GET", "HEAD"):
            return refusal(MethodNotAllowedError(allow="GET, HEAD"))
        said = {
            "status": "healthy",
            "model": self._service.name,
            "model_version": self._service.version,
            "scores_are": self._service.scores_are,
            "degraded": self._metrics.redis.degraded,
        }
        return Reply(200, [JSON], orjson.dumps(said))


def pages(*, playground: bool) -> Mapping[str, Page]:
    """Give the pages by path: ``/docs`` if Swagger UI is installed, ``/playground`` if enabled."""
    found: dict[str, Page] = {}
    own = Path(__file__).parent / "playground"
    swagger = _swagger_files()
    if swagger is not None:
        found["/docs"] = Page(name="docs.html", read=lambda: _DOCS_HTML, policy=_SWAGGER)
        found["/docs/start.js"] = Page(name="start.js", read=lambda: _DOCS_START, policy=_SWAGGER)
        found["/docs/icon.svg"] = Page(name="icon.svg", read=(own / "icon.svg").read_bytes, policy=_SWAGGER)
        for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
            found[f"/docs/{name}"] = Page(name=name, read=(swagger / name).read_bytes, policy=_SWAGGER)
    if playground:
        found["/playground"] = Page(name="page.html", read=(own / "page.html").read_bytes, policy=_STRICT)
        for name in ("page.css", "page.js", "code.js", "file.js", "icon.svg"):
            found[f"/playground/{name}"] = Page(name=name, read=(own / name).read_bytes, policy=_STRICT)
    return found


def _swagger_files() -> Path | None:
    """Find Swagger UI in the wheel that carries it, without running that wheel's code."""
    spec = find_spec("fastapi_swagger")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "resources"
