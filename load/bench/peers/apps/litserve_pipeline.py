"""LitServe with its own batching: up to 32 requests that come within 5 ms go through the pipeline together."""

import os
import sys
from typing import Any

import litserve
from transformers import pipeline

MAX_BATCH_REQUESTS = 32
BATCH_TIMEOUT_S = 0.005
PIPELINE_BATCH_TEXTS = 32


class Classifier(litserve.LitAPI):
    """One text classifier."""

    def setup(self, _device: str) -> None:
        """Read the checkpoint."""
        self.scores = pipeline("text-classification", model=os.environ["PEER_MODEL"], top_k=None)

    def decode_request(self, request: dict[str, Any]) -> list[str]:
        """Take the texts out of the body."""
        texts: list[str] = request["text"]
        return texts

    def batch(self, inputs: list[list[str]]) -> list[list[str]]:
        """Leave requests of different sizes as they are."""
        return inputs

    def predict(self, inputs: list[list[str]]) -> list[list[object]]:
        """Classify the texts of all requests in one go."""
        found = iter(self.scores([text for texts in inputs for text in texts], batch_size=PIPELINE_BATCH_TEXTS))
        return [[next(found) for _ in texts] for texts in inputs]

    def unbatch(self, output: list[list[object]]) -> list[list[object]]:
        """Give each request its own."""
        return output

    def encode_response(self, output: list[object]) -> dict[str, object]:
        """Make the body."""
        return {"predictions": output}


if __name__ == "__main__":
    api = Classifier(max_batch_size=MAX_BATCH_REQUESTS, batch_timeout=BATCH_TIMEOUT_S)
    litserve.LitServer(api, accelerator="cpu", timeout=False).run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False
    )
