"""The transformer's decoding of an infer request as its server wires it, without the server."""

import sys
from unittest.mock import patch

from transformer.protocol.schema import RequestSchema

with patch.object(sys, "argv", ["fuzz"]):
    from transformer.errors import InvalidRequestError
    from transformer.protocol.model import _texts
    from transformer.server import _DataPlane

from kserve.errors import InvalidInput


def decode(data: bytes, json_length: int, schema: RequestSchema) -> list[str]:
    """Give the texts of a binary infer request.

    Raises:
        InvalidRequestError: what the client is told.
    """
    plane = _DataPlane.__new__(_DataPlane)
    headers = {"inference-header-content-length": str(json_length)}
    try:
        request = plane.decode_inference_request(data, headers, "sentiment")
    except InvalidInput:
        raise InvalidRequestError("The request could not be decoded.", status=400) from None
    return schema.texts(_texts(request), field="text")
