"""KServe's SDK as its guide shows it: a custom predictor with a Hugging Face pipeline in `predict`."""

import argparse
import os
from typing import Any

import kserve
from transformers import pipeline


class Classifier(kserve.Model):
    """One text classifier."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load()

    def load(self) -> bool:
        """Read the checkpoint."""
        self.scores = pipeline("text-classification", model=os.environ["PEER_MODEL"], top_k=None)
        self.ready = True
        return self.ready

    def predict(self, payload: Any, *_: Any, **__: Any) -> dict[str, object]:
        """Classify the instances of one request."""
        return {"predictions": self.scores(payload["instances"])}


if __name__ == "__main__":
    options = argparse.ArgumentParser(parents=[kserve.model_server.parser]).parse_args()
    kserve.ModelServer(enable_grpc=False).start([Classifier(options.model_name)])
