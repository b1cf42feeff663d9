"""The OpenAPI document: the SDK's own, without the refused routes, plus ours."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from serving.predictions import INFER, PREDICT_V1
from serving.schema import ErrorResponse, PredictResponse
from serving.service import Service

_REF = "#/components/schemas/"
_ERRORS = {
    400: "Violates the Open Inference Protocol or the limits.",
    404: "No such route or model.",
    413: "The body is too large.",
    415: "The body has a content encoding other than gzip.",
    422: "Not JSON, or not valid against the schema.",
    500: "The service failed.",
    502: "The predictor's answer could not be understood.",
    503: "Overloaded, unavailable or shutting down; see `Retry-After`.",
    504: "No answer in time; see `Retry-After`.",
}
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


class Described(NamedTuple):
    """One server's part of the document.

    Attributes:
        title: of the document.
        description: of the document.
        version: of what is served.
        headers: those of an answer, as OpenAPI has them.
        failures: statuses that an answer may have beside those of its request, such as 503.
        texts: paths of further routes that take ``{"text": [...]}``, each with its operation's id.
        paths: further paths with their operations.
    """

    title: str
    description: str
    version: str
    headers: Mapping[str, Any]
    failures: tuple[int, ...]
    texts: Mapping[str, str] = {}
    paths: Mapping[str, Any] = {}


def document(app: FastAPI, *, service: Service, described: Described) -> Callable[[], dict[str, Any]]:
    """Give FastAPI's document function; the document is built once, on first use."""

    def build() -> dict[str, Any]:
        if not app.openapi_schema:
            said = get_openapi(title=described.title, version=described.version, routes=app.routes)
            app.openapi_schema = _revise(said, service=service, described=described)
        return app.openapi_schema

    return build


def _revise(said: dict[str, Any], *, service: Service, described: Described) -> dict[str, Any]:
    said["info"]["description"] = described.description
    _, models = models_json_schema(
        [(PredictResponse, "serialization"), (ErrorResponse, "serialization")], ref_template=_REF + "{model}"
    )
    schemas = said.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= service.schema.openapi() | models["$defs"]
    _describe_tensor(schemas, service)
    paths = {path: item for path, item in said["paths"].items() if _is_served(path)}
    for path, item in paths.items():
        for operation in item.values():
            operation["responses"].pop("422", None)
            _name_the_model(operation, service.name)
            if path == "/metrics":
                operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
            operation["responses"] |= _errors(*((404, 500) if operation.get("parameters") else (500,)))
    infer = paths[INFER]["post"]
    infer["requestBody"] = _INFER_BODY
    infer["responses"] |= _errors(400, 404, 413, 415, *described.failures)
    for path, operation_id in described.texts.items():
        operation = _texts("PredictRequest", "Classify texts", described)
        paths.setdefault(path, {})["post"] = operation | {"operationId": operation_id}
    v1 = _texts("V1Request", "Classify texts (KServe V1)", described) | {"operationId": "predict_v1"}
    paths[PREDICT_V1.format(model_name=service.name)] = {"post": v1}
    said["paths"] = dict(sorted({**paths, **described.paths}.items()))
    return said


def _is_served(path: str) -> bool:
    refused = path.startswith("/v2/repository/") or path.endswith((":predict", ":explain"))
    return not refused and "{model_version}" not in path


def _name_the_model(operation: dict[str, Any], model_name: str) -> None:
    """Name the one model, and drop versions."""
    if "parameters" in operation:
        kept = [each for each in operation["parameters"] if each["name"] != "model_version"]
        for parameter in kept:
            if parameter["name"] == "model_name":
                parameter["schema"] = {"type": "string", "enum": [model_name]}
        operation["parameters"] = kept


def _describe_tensor(schemas: dict[str, Any], service: Service) -> None:
    """Narrow the protocol's tensor to the one accepted here: ``text``, BYTES, [N] or [N, 1]."""
    texts = service.schema.openapi()["PredictRequest"]["properties"]["text"]
    text = texts["items"]
    nested = {**texts, "items": {"type": "array", "items": text, "minItems": 1, "maxItems": 1}}
    shape = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2}
    schemas["RequestInput"]["properties"] |= {
        "name": {"type": "string", "enum": ["text"]},
        "datatype": {"type": "string", "enum": ["BYTES"]},
        "shape": shape | {"description": "[N] or [N, 1]."},
        "data": {"anyOf": [texts, nested], "description": "As many texts as the shape says."},
    }
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["What a film!"]}
    schemas["InferenceRequest"]["properties"]["inputs"] |= {"minItems": 1, "maxItems": 1}
    schemas["InferenceRequest"]["example"] = {"id": "42", "inputs": [tensor]}


def _texts(request: str, summary: str, described: Described) -> dict[str, Any]:
    answer = {
        "description": "One list per text, in request order.",
        "headers": dict(described.headers),
        "content": {"application/json": {"schema": {"$ref": _REF + "PredictResponse"}}},
    }
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": _REF + request}}}},
        "responses": {"200": answer} | _errors(400, 413, 415, 422, *described.failures),
    }


def _errors(*statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF + "ErrorResponse"}}}
    return {str(status): {"description": _ERRORS[status], "content": content} for status in statuses}
