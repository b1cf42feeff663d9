import json
from typing import Any

import pytest

from serving.cloudevents import CloudEvents
from serving.errors import InvalidRequestError
from serving.http.reply import JSON, Headers, Reply

STRUCTURED = (b"content-type", b"application/cloudevents+json; charset=utf-8")
HEADERS: Headers = [
    (b"ce-specversion", b"1.0"), (b"ce-id", b"7"), (b"ce-source", b"/films"), (b"ce-type", b"film"),
    (b"ce-topic", b"x"),
]  # fmt: skip
PLAIN = Reply(200, [JSON, (b"x-cache", b"hit")], b'{"predictions":[]}', "hit")


def events(**environ: str) -> CloudEvents:
    return CloudEvents(model_name="sentiment", environ=environ)


def body(**change: Any) -> bytes:
    return json.dumps(
        {"specversion": "1.0", "id": "7", "source": "/films", "type": "film", "data": {"a": 1}} | change
    ).encode()


def answered(by: CloudEvents) -> dict[bytes, bytes]:
    event = by.binary(b"{}", HEADERS)
    assert event is not None
    return dict(by.reply(event, PLAIN).headers)


def test_binary_answers_have_attributes_of_their_own_and_the_plain_body() -> None:
    by = events()
    event = by.binary(b'{"instances": []}', HEADERS)
    assert event is not None
    assert event.data == b'{"instances": []}'
    reply = by.reply(event, PLAIN)
    said = dict(reply.headers)
    assert (reply.content, reply.outcome) == (PLAIN.content, "hit")
    assert (said[b"ce-type"], said[b"ce-source"]) == (b"io.kserve.inference.response", b"io.kserve.inference.sentiment")
    assert said[b"ce-id"] != b"7"
    assert said[b"x-cache"] == b"hit"
    assert b"ce-topic" not in said


def test_the_environment_names_answers_as_it_does_for_kserves_own_server() -> None:
    said = answered(events(CE_TYPE="t", CE_SOURCE="s", CE_MERGE="TRUE"))
    assert (said[b"ce-type"], said[b"ce-source"], said[b"ce-topic"]) == (b"t", b"s", b"x")
    assert said[b"ce-id"] != b"7"


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_required_attribute_missing_makes_no_event(missing: int) -> None:
    assert events().binary(b"", [*HEADERS[:missing], *HEADERS[missing + 1 :]]) is None


def test_structured_answers_are_whole_events() -> None:
    by = events()
    event = by.structured(body(), [STRUCTURED])
    assert event is not None
    assert json.loads(event.data) == {"a": 1}
    reply = by.reply(event, PLAIN)
    assert (b"content-type", b"application/cloudevents+json") in reply.headers
    said = json.loads(reply.content)
    assert said["data"] == {"predictions": []}
    assert said.keys() == {"specversion", "id", "source", "type", "time", "data"}


def test_an_event_that_does_not_say_so_is_answered_plainly() -> None:
    by = events()
    event = by.structured(body(), [JSON])
    assert event is not None
    assert by.reply(event, PLAIN) == PLAIN


@pytest.mark.parametrize("sent", [b"{", b"[]", b"null", body(id=7), body(source=None), b'{"data": 1}', b"\xff"])
def test_what_claims_to_be_an_event_and_is_none_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        events().structured(sent, [STRUCTURED])
    assert caught.value.status == 400
    assert events().structured(sent, [JSON]) is None


def test_errors_stay_as_they_are() -> None:
    by = events()
    event = by.binary(b"{}", HEADERS)
    assert event is not None
    refused = Reply(422, [JSON], b"{}", "error")
    assert by.reply(event, refused) is refused
