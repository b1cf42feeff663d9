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
