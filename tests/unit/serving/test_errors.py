from collections.abc import Iterator

import orjson
import pytest

from predictor import errors as predictor_errors
from serving.errors import MethodNotAllowedError, PayloadTooLargeError, ServiceError, UnsupportedEncodingError
from transformer import errors as transformer_errors

OWN_ARGUMENTS = {PayloadTooLargeError: {"limit_bytes": 7}, MethodNotAllowedError: {"allow": "GET, POST"}}


def kinds(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield error
    for kind in error.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", sorted(set(kinds(ServiceError)), key=lambda kind: kind.__name__))
def test_every_error_of_both_servers_has_a_status_a_slug_and_a_sentence(kind: type[ServiceError]) -> None:
    assert predictor_errors, transformer_errors
    error = kind(**OWN_ARGUMENTS.get(kind, {}))
    assert 400 <= error.status < 600
    assert error.code.replace("_", "").isalpha()
    assert error.retryable == (error.status in {503, 504})
    said = orjson.loads(error.body())
    assert said == {"error": str(error), "code": error.code}
    assert said["error"].endswith(".")
    assert said["error"][0].isupper()
    assert (b"content-type", b"application/json") in error.headers()


def test_who_raises_may_know_better() -> None:
    error = ServiceError("Other words.", status=503, retry_after_s=7, detail=[{"loc": ["a"], "msg": "m", "type": "t"}])
    assert error.status == 503
    assert (b"retry-after", b"7") in error.headers()
    assert orjson.loads(error.body())["detail"] == [{"loc": ["a"], "msg": "m", "type": "t"}]
    assert ServiceError.retry_after_s is None


def test_refusals_say_what_would_be_taken() -> None:
    assert (b"allow", b"POST") in MethodNotAllowedError(allow="POST").headers()
    assert (b"accept-encoding", b"gzip, identity") in UnsupportedEncodingError().headers()
