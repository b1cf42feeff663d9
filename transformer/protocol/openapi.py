"""The OpenAPI document: what the SDK's own generator says of its routes, less what is refused, plus the hot path."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from transformer.protocol.schema import ErrorResponse, PredictResponse, RequestSchema

_REF = "#/components/schemas/"
_ERRORS = {
    404: "No such route or model.",
    405: "The route takes other methods.",
    413: "The body is too large.",
    422: "Not JSON, or against the schema.",
    500: "The service or the predictor failed.",
    502: "The predictor's answer could not be understood.",
    503: "The predictor is away or full; see `Retry-After`.",
    504: "The predictor did not answer in time; see `Retry-After`.",
}
_OK = {"200": {"description": "It does.", "content": {"application/json": {"schema": {"type": "object"}}}}}
_INFER_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": _REF + "InferenceRequest"}},
        "application/octet-stream": {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": "JSON, then tensors; the header Inference-Header-Content-Length says where JSON ends.",
            }
        },
    },
}
_ANSWER_HEADERS = {
    "x-cache": {"schema": {"type": "string", "enum": ["hit", "miss", "partial"]}},
    "x-model-version": {"schema": {"type": "string"}},
    "x-request-id": {"schema": {"type": "string"}},
    "x-truncated": {"description": "Texts cut at the model's limit, if any.", "schema": {"type": "integer"}},
    "server-timing": {"schema": {"type": "string"}},
}


def document(app: FastAPI, *, model_name: str, schema: RequestSchema, version: str) -> Callable[[], dict[str, Any]]:
    """Give the function that FastAPI asks for its document.

    Args:
        app: the SDK's application with its routes.
        model_name: the model's name in routes.
        schema: gives the request schemas with the limits in force.
        version: this service's version.
    """

    def build() -> dict[str, Any]:
        if not app.openapi_schema:
            said = get_openapi(title="Sentiment", version=version, routes=app.routes)
            app.openapi_schema = _revise(said, model_name=model_name, schema=schema)
        return app.openapi_schema

    return build


def _revise(said: dict[str, Any], *, model_name: str, schema: RequestSchema) -> dict[str, Any]:
    said["info"]["description"] = "Sentiment of texts, answered from a cache where it can be."
    _, models = models_json_schema(
        [(PredictResponse, "serialization"), (ErrorResponse, "serialization")], ref_template=_REF + "{model}"
    )
    schemas = said.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= schema.openapi() | models["$defs"]
    _describe_tensor(schemas, schema)
    paths: dict[str, Any] = {}
    for path, item in said["paths"].items():
        if path.startswith("/v2/repository/") or path.endswith((":predict", ":explain")) or "{model_version}" in path:
            continue
        for operation in item.values():
            operation["responses"].pop("422", None)
            _name_the_model(operation, model_name)
            if path.endswith("/infer"):
                operation["requestBody"] = _INFER_BODY
            if path == "/metrics":
                operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
            refused = (404, 500) if operation.get("parameters") else (500,)
            errors = (400, 404, 413, 500, 502, 503, 504) if path.endswith("/infer") else refused
            operation["responses"] |= _errors(*errors)
        paths[path] = item
    predict = _operation("PredictRequest", "Classify texts")
    paths.setdefault("/", {})["post"] = predict | {"operationId": "predict_at_root"}
    paths["/predict"] = {"post": predict | {"operationId": "predict"}}
    v1 = _operation("V1Request", "Classify texts (KServe V1)") | {"operationId": "predict_v1"}
    paths[f"/v1/models/{model_name}:predict"] = {"post": v1}
    paths["/health"] = {"get": {"operationId": "health", "summary": "Say that the process serves", "responses": _OK}}
    said["paths"] = dict(sorted(paths.items()))
    return said


def _name_the_model(operation: dict[str, Any], model_name: str) -> None:
    """Say which model there is; versions are the predictor's to name, not the client's to choose."""
    if "parameters" in operation:
        kept = [each for each in operation["parameters"] if each["name"] != "model_version"]
        for parameter in kept:
            if parameter["name"] == "model_name":
                parameter["schema"] = {"type": "string", "enum": [model_name]}
        operation["parameters"] = kept


def _describe_tensor(schemas: dict[str, Any], schema: RequestSchema) -> None:
    """Narrow the protocol's any tensor to the one that is taken: ``text``, BYTES, [N]."""
    if "InferenceRequest" not in schemas:
        return
    texts = schema.openapi()["PredictRequest"]["properties"]["text"]
    schemas["RequestInput"]["properties"] |= {
        "name": {"type": "string", "enum": ["text"]},
        "datatype": {"type": "string", "enum": ["BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 1},
        "data": texts | {"description": "As many texts as the shape says."},
    }
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["What a film!"]}
    schemas["InferenceRequest"]["properties"]["inputs"] |= {"minItems": 1, "maxItems": 1}
    schemas["InferenceRequest"]["example"] = {"id": "42", "inputs": [tensor]}


def _operation(request: str, summary: str) -> dict[str, Any]:
    answer = {
        "description": "One list per text, in request order.",
        "headers": _ANSWER_HEADERS,
        "content": {"application/json": {"schema": {"$ref": _REF + "PredictResponse"}}},
    }
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": _REF + request}}}},
        "responses": {"200": answer} | _errors(413, 422, 500, 502, 503, 504),
    }


def _errors(*statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF + "ErrorResponse"}}}
    sentences = _ERRORS | {400: "Against the Open Inference Protocol or the limits."}
    return {str(status): {"description": sentences[status], "content": content} for status in statuses}
