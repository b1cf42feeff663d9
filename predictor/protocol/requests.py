"""What a request may hold: the limits, and the V1 body."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from predictor.errors import Detail, InvalidRequestError

_MOST_FINDINGS = 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes a request has to keep."""

    max_texts: int
    max_text_chars: int
    max_body_bytes: int


def check_texts(
    texts: Sequence[Any], *, limits: Limits, field: str, error: type[InvalidRequestError] = InvalidRequestError
) -> list[str]:
    """Give ``texts`` back when they are texts within the limits and none is blank.

    Args:
        texts: what the request holds at ``field``.
        limits: the sizes to keep.
        field: the name the findings use.
        error: what to raise, so that each protocol keeps its status.

    Raises:
        InvalidRequestError: or ``error``; with up to 16 findings, none of which repeats a text.
    """
    if not 1 <= len(texts) <= limits.max_texts:
        raise error(f"{field} must hold 1 to {limits.max_texts} texts, not {len(texts)}")
    findings: list[Detail] = []
    for index, text in enumerate(texts):
        says, kind = _finding(text, limits)
        if says:
            findings.append({"loc": [field, index], "msg": says, "type": kind})
            if len(findings) == _MOST_FINDINGS:
                break
    if findings:
        raise error(f"{field} holds something that cannot be classified", detail=findings)
    return list(texts)


def parse_json(body: bytes, *, error: type[InvalidRequestError] = InvalidRequestError) -> dict[str, Any]:
    """Read a JSON object, whatever the content type said.

    Raises:
        InvalidRequestError: or ``error``.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise error("the body is not JSON") from None
    if not isinstance(value, dict):
        raise error("the body must be a JSON object")
    return value


def parse_v1(body: bytes, *, limits: Limits) -> list[str]:
    """Give the texts of a V1 body, ``{"instances": ["...", ...]}`` or the same under ``inputs``.

    Raises:
        InvalidRequestError: not JSON, another shape, or beyond the limits.
    """
    value = parse_json(body)
    if len(value) != 1 or not value.keys() & {"instances", "inputs"}:
        raise InvalidRequestError("the body must have one key, instances, with a list of texts")
    ((field, instances),) = value.items()
    if not isinstance(instances, list):
        raise InvalidRequestError(f"{field} must be a list of texts")
    return check_texts(instances, limits=limits, field=field)


def _finding(text: Any, limits: Limits) -> tuple[str, str]:
    if not isinstance(text, str):
        return "must be a string", "string_type"
    if len(text) > limits.max_text_chars:
        return f"must have at most {limits.max_text_chars} characters", "string_too_long"
    if not text.strip():
        return "must not be blank", "string_blank"
    return "", ""
