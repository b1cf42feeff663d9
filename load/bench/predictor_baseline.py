"""What most people would write first: FastAPI in front of a Hugging Face pipeline. For comparison only."""

import os

from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

app = FastAPI()
classify = pipeline("text-classification", model=os.environ["BASELINE_MODEL"], top_k=None)


class Request(BaseModel):
    """Texts to classify."""

    text: list[str]


@app.get("/health")
def health() -> dict[str, str]:
    """Say that the model is loaded."""
    return {"status": "healthy"}


@app.post("/predict")
def predict(request: Request) -> dict[str, list[object]]:
    """Classify in one of the framework's worker threads."""
    return {"predictions": classify(request.text)}
