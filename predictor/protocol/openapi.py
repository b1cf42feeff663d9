"""The OpenAPI document: the SDK's routes as they answer here, with our two hot routes described in full."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from predictor.protocol.requests import Limits
from predictor.protocol.service import ServedModel

_NOT_SERVED = ("/v2/repository/", ":explain")
_STATUS_SAYS = {
    "400": "Not an inference request, or beyond the limits.",
    "404": "No such model or version.",
    "413": "The body is too large.",
    "422": "Not JSON, or against the schema.",
    "500": "The model failed on a text of this request.",
    "503": "Overloaded or shutting down; Retry-After says when to come back.",
    "504": "The time of the request passed before its answer.",
}

# One character that Python does not strip. Spelt out, because \s is another set in every dialect of patterns.
_NOT_BLANK = "[^\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


def document(app: FastAPI, *, model: ServedModel) -> Callable[[], dict[str, Any]]:
    """Give the function that makes the document when it is first asked for."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title="Sentiment predictor", version=model.version, routes=app.routes)
            app.openapi_schema = _as_served(found, model)
        return app.openapi_schema

    return build


def _as_served(found: dict[str, Any], model: ServedModel) -> dict[str, Any]:
    paths: dict[str, Any] = {
        path: operations
        for path, operations in found["paths"].items()
        if not any(part in path for part in _NOT_SERVED) and "{model_version}" not in path
    }
    for operations in paths.values():
        for operation in operations.values():
            # The SDK's routes check nothing by schema: what they refuse is the model's name.
            operation["responses"].pop("422", None)
            if operation.get("parameters"):
                operation["responses"]["404"] = _error("404")
    for path in [path for path in paths if path.endswith((":predict", "/infer"))]:
        del paths[path]
    paths[f"/v1/models/{model.name}:predict"] = {"post": _v1(model)}
    paths[f"/v2/models/{model.name}/infer"] = {"post": _infer(model)}
    paths["/v2/models/{model_name}"]["get"]["responses"]["200"] = _answer(_METADATA)
    found["paths"] = dict(sorted(paths.items()))
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _ERROR
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return found


def _v1(model: ServedModel) -> dict[str, Any]:
    texts = {"instances": texts_schema(model.limits)}
    label = {"type": "string", "enum": list(model.labels)}
    score = {"type": "number", "minimum": 0, "maximum": 1}
    row = {"type": "array", "items": _object({"label": label, "score": score}), "description": "Best first."}
    return _operation(
        "Classify texts (V1)",
        body=_object(texts) | {"additionalProperties": False},
        answer=_object({"predictions": {"type": "array", "items": row}}),
        errors=("404", "413", "422", "500", "503", "504"),
    )


def _infer(model: ServedModel) -> dict[str, Any]:
    shape = {"type": "array", "items": {"type": "integer"}}
    tensor = _object(
        {
            "name": {"const": "text"},
            "datatype": {"const": "BYTES"},
            "shape": shape | {"minItems": 1, "maxItems": 2, "description": "[N] or [N, 1]."},
            "data": texts_schema(model.limits),
        }
    )
    output = _object({"name": {"type": "string"}, "datatype": {"type": "string"}, "shape": shape})
    outputs = {
        "type": "array",
        "items": output,
        "description": "label BYTES [N]; scores FP32 [N, labels], row by row in class order.",
    }
    strings = {name: {"type": "string"} for name in ("model_name", "model_version", "id")}
    return _operation(
        "Classify texts (Open Inference Protocol)",
        body=_object({"inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1}}),
        answer=_object(strings | {"parameters": {"type": "object"}, "outputs": outputs}),
        errors=("400", "404", "413", "500", "503", "504"),
    )


def _operation(
    summary: str, *, body: dict[str, Any], answer: dict[str, Any], errors: tuple[str, ...]
) -> dict[str, Any]:
    headers = {
        "x-model-version": {"schema": {"type": "string"}, "required": True},
        "x-truncated": {"schema": {"type": "integer"}, "description": "Texts cut at the maximum length, if any."},
    }
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": _answer(answer) | {"headers": headers}, **{status: _error(status) for status in errors}},
    }


def texts_schema(limits: Limits) -> dict[str, Any]:
    """Give the JSON schema of a request's texts."""
    text = {"type": "string", "minLength": 1, "maxLength": limits.max_text_chars, "pattern": _NOT_BLANK}
    return {"type": "array", "items": text, "minItems": 1, "maxItems": limits.max_texts}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Answered.", "content": {"application/json": {"schema": schema}}}


def _error(status: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": _STATUS_SAYS[status], "content": {"application/json": {"schema": schema}}}


_PLACE = {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}
_STRING = {"type": "string"}
_DETAIL = _object({"loc": _PLACE, "msg": _STRING, "type": _STRING})
_ERROR = {
    "type": "object",
    "properties": {"error": _STRING, "code": _STRING, "detail": {"type": "array", "items": _DETAIL}},
    "required": ["error", "code"],
    "additionalProperties": False,
}
_TENSORS = {"type": "array", "items": {"type": "object"}}
_METADATA = _object(
    {
        "name": _STRING,
        "versions": {"type": "array", "items": _STRING},
        "platform": _STRING,
        "inputs": _TENSORS,
        "outputs": _TENSORS,
        "properties": {"type": "object", "additionalProperties": _STRING},
    }
)
