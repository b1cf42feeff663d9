"""The yardstick: a KServe custom transformer as the SDK's documentation writes one, answering a constant at once."""

from typing import Any

from kserve import Model, ModelServer, model_server


class Stock(Model):  # type: ignore[misc]
    """Leaves out the predictor, so that what is measured is the server alone."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    async def predict(self, payload: Any, _headers: Any = None) -> dict[str, Any]:
        """Answer a constant for every text."""
        answer = [{"label": "POSITIVE", "score": 0.75}, {"label": "NEGATIVE", "score": 0.25}]
        return {"predictions": [answer for _ in payload["text"]]}


if __name__ == "__main__":
    ModelServer(http_port=model_server.args.http_port).start([Stock("sentiment")])
