"""The pages for people: the playground, and Swagger UI for the API. Every byte comes from this process."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from starlette.datastructures import Headers

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
    """One file that is served as it is; read when it is first asked for.

    Args:
        name: file name, whose ending says the content type.
        read: gives the content.
        policy: the Content-Security-Policy it is served under.
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

    def answer(self, headers: Headers) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Give status, headers and body for a GET: 304 without a body where the client has the page already."""
        said = [*self._fixed, (b"etag", self._etag)]
        if headers.get("if-none-match", "").encode() == self._etag:
            return 304, said, b""
        return 200, [*said, (b"content-length", b"%d" % len(self.content))], self.content


def pages(*, playground: bool) -> Mapping[str, Page]:
    """Give the pages by path: ``/docs`` where Swagger UI is installed, ``/playground`` when it is wanted."""
    found: dict[str, Page] = {}
    own = Path(__file__).parents[1] / "playground"
    swagger = _swagger_files()
    if swagger is not None:
        found["/docs"] = Page(name="docs.html", read=lambda: _DOCS_HTML, policy=_SWAGGER)
        found["/docs/start.js"] = Page(name="start.js", read=lambda: _DOCS_START, policy=_SWAGGER)
        found["/docs/icon.svg"] = Page(name="icon.svg", read=(own / "icon.svg").read_bytes, policy=_SWAGGER)
        for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
            found[f"/docs/{name}"] = Page(name=name, read=(swagger / name).read_bytes, policy=_SWAGGER)
    if playground:
        found["/playground"] = Page(name="page.html", read=(own / "page.html").read_bytes, policy=_STRICT)
        for name in ("page.css", "page.js", "icon.svg"):
            found[f"/playground/{name}"] = Page(name=name, read=(own / name).read_bytes, policy=_STRICT)
    return found


def _swagger_files() -> Path | None:
    """Find Swagger UI in the wheel that carries it, without running that wheel's code."""
    spec = find_spec("fastapi_swagger")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "resources"
