"""CloudEvents on the routes that take texts, answered as KServe's own server answers them on V1.

A binary event, with its attributes in ``ce-*`` headers, is answered by a binary event. A structured one, with them
beside ``data`` in the body, is answered by a structured event when its content type says that it is one, else plainly.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from serving.errors import InvalidRequestError
from serving.http.reply import JSON, Headers, Reply

# Those of every answer that is a binary event. What CE_MERGE adds is the caller's own.
ANSWER_HEADERS = ("ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time")
_REQUIRED = frozenset({"specversion", "id", "source", "type"})
_PREFIX = b"ce-"
_STRUCTURED = b"application/cloudevents+json"
# The answer is a new event.
_NOT_MERGED = frozenset({"id", "time", "datacontenttype", "dataschema"})


class Event(NamedTuple):
    """A CloudEvent that asks for an answer.

    Attributes:
        data: what it carries, as JSON.
        attributes: of its context.
        answered_as: ``binary``, ``structured`` or ``plain``.
    """

    data: bytes
    attributes: Mapping[str, str]
    answered_as: str


class CloudEvents:
    """Reads events and writes the answers to them.

    Args:
        model_name: names the source of answers, unless the environment does.
        environ: the process's; ``CE_TYPE``, ``CE_SOURCE`` and ``CE_MERGE`` mean the same as to KServe's server.
    """

    def __init__(self, *, model_name: str, environ: Mapping[str, str]) -> None:
        self._type = environ.get("CE_TYPE", "io.kserve.inference.response")
        self._source = environ.get("CE_SOURCE", f"io.kserve.inference.{model_name}")
        self._merge = environ.get("CE_MERGE", "false").lower() == "true"

    def binary(self, body: bytes, headers: Headers) -> Event | None:
        """Give the event that the headers describe, None if they describe none."""
        attributes = {
            name[len(_PREFIX) :].decode("latin-1"): value.decode("latin-1")
            for name, value in headers
            if name.startswith(_PREFIX)
        }
        return Event(body, attributes, "binary") if attributes.keys() >= _REQUIRED else None

    def structured(self, body: bytes, headers: Headers) -> Event | None:
        """Give the structured event in a body; None if it neither is one nor claims to be.

        Raises:
            InvalidRequestError: the content type says that it is an event, and it is not; status 400.
        """
        claimed = any(name == b"content-type" and value.startswith(_STRUCTURED) for name, value in headers)
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            said = None
        if isinstance(said, dict) and "data" in said and all(isinstance(said.get(key), str) for key in _REQUIRED):
            attributes = {key: value for key, value in said.items() if key != "data" and isinstance(value, str)}
            return Event(orjson.dumps(said["data"]), attributes, "structured" if claimed else "plain")
        if claimed:
            raise InvalidRequestError("The body is not a structured CloudEvent.", status=400)
        return None

    def reply(self, event: Event, reply: Reply) -> Reply:
        """Turn a plain answer into an event's; errors stay as they are."""
        if reply.status != 200 or event.answered_as == "plain":
            return reply
        merged = event.attributes if self._merge else {}
        attributes = {
            **{key: value for key, value in merged.items() if key not in _NOT_MERGED},
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": self._source,
            "type": self._type,
            "time": datetime.now(UTC).isoformat(),
        }
        rest = [header for header in reply.headers if header[0] != b"content-type"]
        if event.answered_as == "binary":
            described = [(f"ce-{key}".encode("latin-1"), value.encode("latin-1")) for key, value in attributes.items()]
            return reply._replace(headers=[JSON, *described, *rest])
        content = orjson.dumps({**attributes, "data": orjson.Fragment(reply.content)})
        return reply._replace(headers=[(b"content-type", _STRUCTURED), *rest], content=content)
