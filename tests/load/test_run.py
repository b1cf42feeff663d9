"""What is asked of a target before k6 is let loose on it."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.certificates import certificate

from load.machine import tls
from load.run import answers


class Target(BaseHTTPRequestHandler):
    """Is in good health."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A target whose certificate nobody has signed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(tmp_path_factory.mktemp("tls")))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_certificate_that_nobody_has_signed_is_refused(target: str) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in answers(target, {}, context=tls({}))


@pytest.mark.parametrize("word", ["1", "true", "yes"])
def test_any_certificate_will_do_where_k6_is_told_so_too(target: str, word: str) -> None:
    assert answers(target, {}, context=tls({"INSECURE": word})) == ""
