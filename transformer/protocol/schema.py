"""What a client may send, checked by pydantic, and the schemas that the OpenAPI document shows."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from transformer.errors import InvalidRequestError

_CLOSED = ConfigDict(extra="forbid", strict=True)
# One character that is no white space: neither Unicode's nor a separator of ASCII's. Spelt out, because \s is another
# set in every dialect, and the schema that clients read has to mean what is checked here.
_NOT_BLANK = "[^\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_MOST_FINDINGS = 16  # a body of 128 wrong texts needs no 128 sentences


class LabelScore(BaseModel):
    """One label and its probability."""

    label: str = Field(examples=["POSITIVE"])
    score: float = Field(ge=0, le=1, description="Softmax probability, float32.")


class PredictResponse(BaseModel):
    """One list per text, in request order; all labels, best first."""

    predictions: list[list[LabelScore]]


class ErrorDetail(BaseModel):
    """One finding: where, what, which kind."""

    loc: list[str | int]
    msg: str
    type: str


class ErrorResponse(BaseModel):
    """The one body of every error."""

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
        text = Annotated[str, StringConstraints(min_length=1, max_length=max_text_chars, pattern=_NOT_BLANK)]
        texts = Annotated[list[text], Field(min_length=1, max_length=max_texts)]

        class PredictRequest(TypedDict):
            __pydantic_config__ = _CLOSED  # type: ignore[misc]
            text: texts

        class V1Request(TypedDict):
            __pydantic_config__ = _CLOSED  # type: ignore[misc]
            instances: texts

        self._texts: TypeAdapter[list[str]] = TypeAdapter(texts, config=ConfigDict(strict=True))
        self._predict: TypeAdapter[Any] = TypeAdapter(PredictRequest)
        self._instances: TypeAdapter[Any] = TypeAdapter(V1Request)

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
        """Give the texts of KServe's ``{"instances": [...]}``, or of ``{"text": [...]}``.

        Raises:
            InvalidRequestError: as for ``predict``.
        """
        try:
            texts: list[str] = self._instances.validate_json(body)["instances"]
        except ValidationError as error:
            # A body that does not speak of instances is judged, and answered, as the plain form.
            if any(finding["type"] == "missing" and finding["loc"] == ("instances",) for finding in error.errors()):
                return self.predict(body)
            raise _invalid(error) from None
        return texts

    def texts(self, texts: object, *, field: str, status: Literal[400, 422] = 400) -> list[str]:
        """Give ``texts`` back when it is a list of strings within the limits.

        Raises:
            InvalidRequestError: it is not; ``status`` as given, the field named in the finding.
        """
        try:
            return self._texts.validate_python(texts)
        except ValidationError as error:
            raise _invalid(error, within=field, status=status) from None

    def openapi(self) -> dict[str, dict[str, Any]]:
        """Give the JSON schemas of both request bodies by name."""
        return {
            "PredictRequest": self._predict.json_schema(),
            "V1Request": {"oneOf": [self._instances.json_schema(), self._predict.json_schema()], "title": "V1Request"},
        }


def model_labels(labels: object) -> list[str]:
    """Give ``labels`` back when they are the names of classes.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise ValueError("labels are not names")
    return labels


def model_version(version: object) -> str:
    """Give ``version`` back when it is a token fit for cache keys and a header.

    Raises:
        ValueError: it is not 1 to 64 letters and digits.
    """
    if not isinstance(version, str) or not version.isascii() or not version.isalnum() or len(version) > 64:
        raise ValueError("the version is not a token")
    return version


_SENTENCES = {
    "json_invalid": "The request body is not valid JSON in UTF-8.",
    "string_pattern_mismatch": "Text should not be blank",
}


def _invalid(error: ValidationError, *, within: str | None = None, status: int = 422) -> InvalidRequestError:
    detail = []
    for finding in error.errors(include_url=False, include_input=False, include_context=False)[:_MOST_FINDINGS]:
        # The name of an unknown key is the client's own text: say where it is, not what it says.
        loc = () if finding["type"] == "extra_forbidden" else finding["loc"]
        where = [*([within] if within else []), *loc]
        message = _SENTENCES.get(finding["type"], finding["msg"])
        detail.append({"loc": ["body", *where], "msg": message, "type": finding["type"]})
    if detail[0]["type"] == "json_invalid":
        return InvalidRequestError(_SENTENCES["json_invalid"], detail=detail[:1], status=status)
    place = ".".join(str(part) for part in detail[0]["loc"])
    return InvalidRequestError(f"{place}: {detail[0]['msg']}.", detail=detail, status=status)
