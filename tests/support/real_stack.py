"""Predictor and transformer as real processes, the one behind the other, and how to ask either."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from support.processes import Server, server
from support.transformer_process import command

from local.ports import free_port

SERVERS = ("predictor", "transformer")
LIMIT_BYTES = 20_000


class Reply(NamedTuple):
    """Status, headers (lower case) and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running(NamedTuple):
    """One of the two."""

    process: Server
    grpc_port: int

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.process.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            got = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, got, answer.read())
        finally:
            connection.close()


@contextlib.contextmanager
def both(folder: Path, *, of_predictor: Mapping[str, str] | None = None, **env: str) -> Iterator[dict[str, Running]]:
    """Run both; a setting is given to either under its own prefix, those of the predictor alone as they are."""
    ports = [free_port() for _ in range(4)]
    model = ["-m", "predictor", "--model_name=sentiment", f"--http_port={ports[0]}", f"--grpc_port={ports[1]}"]
    front = command(predictor_host=f"127.0.0.1:{ports[0]}", port=ports[2], grpc_port=ports[3])
    settings = {"DRAIN_S": "0", "MAX_BODY_BYTES": str(LIMIT_BYTES), "MAX_TEXT_CHARS": "5000", **env}
    given = {f"{name.upper()}_{key}": value for name in SERVERS for key, value in settings.items()}
    given |= of_predictor or {}
    ready = "/v2/health/ready"
    with (
        server(model, port=ports[0], log=folder / "predictor.log", ready=ready, env=given) as predictor,
        server(front, port=ports[2], log=folder / "transformer.log", ready=ready, env=given) as transformer,
    ):
        yield {"predictor": Running(predictor, ports[1]), "transformer": Running(transformer, ports[3])}
