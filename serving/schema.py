"""What a client may send, checked by pydantic, and the schemas that the OpenAPI documents show."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from serving.errors import Detail, InvalidRequestError

_CLOSED = ConfigDict(extra="forbid", strict=True)
# One character that is neither Unicode white space nor an ASCII separator. Spelt out because \s differs between
# dialects, and the published schema has to mean what is checked here.
_NOT_BLANK = "[^\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_SCORE = (
    "float32. Usually probabilities that sum to 1 per text; for multi-label or single-score models an independent"
    " probability each; for regression any number."
)
_MOST_FINDINGS = 16  # 128 wrong texts need not give 128 sentences
_SENTENCES = {
    "json_invalid": "The request body is not valid JSON in UTF-8.",
    "string_pattern_mismatch": "Text should not be blank",
}


class LabelScore(BaseModel):
    """One label and its score."""

    label: str = Field(examples=["POSITIVE"])
    score: float = Field(description=_SCORE)


class PredictResponse(BaseModel):
    """One list per text, in request order; all labels, best first."""

    predictions: list[list[LabelScore]]


class ErrorDetail(BaseModel):
    """One finding: where, what, which kind."""

    loc: list[str | int]
    msg: str
    type: str


class ErrorResponse(BaseModel):
    """Every error's body."""

    model_config = ConfigDict(title="Error")

    error: str = Field(description="A sentence for people.")
    code: str = Field(description="A slug for programs.")
    detail: list[ErrorDetail] | None = None


class RequestSchema:
    """Parses and checks request bodies against the limits.

    Args:
        max_texts: most texts a request may carry.
        max_text_chars: most characters (code points) of a text.
    """

    def __init__(self, *, max_texts: int, max_text_chars: int) -> None:
        self.max_texts = max_texts
        self.max_text_chars = max_text_chars
        text = Annotated[str, StringConstraints(min_length=1, max_length=max_text_chars, pattern=_NOT_BLANK)]
        texts = Annotated[list[text], Field(min_length=1, max_length=max_texts)]

        class PredictRequest(TypedDict):
            __pydantic_config__ = _CLOSED  # type: ignore[misc]
            text: texts

        class InstancesRequest(TypedDict):
            __pydantic_config__ = _CLOSED  # type: ignore[misc]
            instances: texts

        class InputsRequest(TypedDict):
            __pydantic_config__ = _CLOSED  # type: ignore[misc]
            inputs: texts

        self._texts: TypeAdapter[list[str]] = TypeAdapter(texts, config=ConfigDict(strict=True))
        self._bodies: dict[str, TypeAdapter[Any]] = {
            "text": TypeAdapter(PredictRequest),
            "instances": TypeAdapter(InstancesRequest),
            "inputs": TypeAdapter(InputsRequest),
        }
        self._predict = self._bodies["text"]
        self._instances = self._bodies["instances"]

    def predict(self, body: bytes) -> list[str]:
        """Give the texts of ``{"text": [...]}``.

        Raises:
            InvalidRequestError: not JSON, not UTF-8, or against the schema; status 422.
        """
        try:
            texts: list[str] = self._predict.validate_json(body)["text"]
        except ValidationError as error:
            raise _invalid(error) from None
        return texts

    def v1(self, body: bytes) -> list[str]:
        """Give the texts of KServe's ``{"instances": [...]}``, or of the same under ``inputs`` or ``text``.

        Raises:
            InvalidRequestError: as for ``predict``.
        """
        try:
            texts: list[str] = self._instances.validate_json(body)["instances"]
        except ValidationError as error:
            key = _other_key(error)
            if key is None:
                raise _invalid(error) from None
        else:
            return texts
        try:
            return list(self._bodies[key].validate_json(body)[key])
        except ValidationError as error:
            raise _invalid(error) from None

    def texts(self, texts: object, *, field: str, status: Literal[400, 422] = 400) -> list[str]:
        """Return ``texts`` if it is a list of strings within the limits.

        Raises:
            InvalidRequestError: it is not; with ``status``, and the field named in the finding.
        """
        try:
            return self._texts.validate_python(texts)
        except ValidationError as error:
            raise _invalid(error, within=field, status=status) from None

    def openapi(self) -> dict[str, dict[str, Any]]:
        """Give the JSON schemas of the request bodies by name."""
        forms = [self._bodies[key].json_schema() for key in ("instances", "inputs", "text")]
        return {"PredictRequest": self._predict.json_schema(), "V1Request": {"oneOf": forms, "title": "V1Request"}}


def _other_key(error: ValidationError) -> str | None:
    """Give the key under which a V1 body without ``instances`` has its texts."""
    found = {(finding["type"], finding["loc"]) for finding in error.errors(include_input=False)}
    if ("missing", ("instances",)) not in found:
        return None
    return next((key for key in ("inputs", "text") if ("extra_forbidden", (key,)) in found), None)


def _invalid(error: ValidationError, *, within: str | None = None, status: int = 422) -> InvalidRequestError:
    detail: list[Detail] = []
    for finding in error.errors(include_url=False, include_input=False, include_context=False)[:_MOST_FINDINGS]:
        # The name of an unknown key is the client's own text: say where it is, not what it says.
        loc = () if finding["type"] == "extra_forbidden" else finding["loc"]
        where = ["body", *([within] if within else []), *loc]
        message = _SENTENCES.get(finding["type"], finding["msg"])
        detail.append({"loc": where, "msg": message, "type": finding["type"]})
    if detail[0]["type"] == "json_invalid":
        return InvalidRequestError(_SENTENCES["json_invalid"], detail=detail[:1], status=status)
    place = ".".join(str(part) for part in detail[0]["loc"])
    return InvalidRequestError(f"{place}: {detail[0]['msg']}.", detail=detail, status=status)
