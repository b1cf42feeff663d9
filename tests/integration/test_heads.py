"""Heads beside the distribution, through the real stack: every route, gRPC too, and a hit that is its miss."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from integration.test_stack import stack
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from model.checkpoints import write_checkpoint
from support.real_stack import both
from transformers import pipeline

TEXTS = ["I love you.", "I hate you, and I will find you."]


def own(directory: Path) -> list[dict[str, float]]:
    classify = pipeline("text-classification", model=str(directory), tokenizer=str(directory), top_k=None, device="cpu")
    return [{each["label"]: each["score"] for each in row} for row in classify(TEXTS, truncation=True)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("labels", "problem_type"), [(5, "multi_label_classification"), (1, None), (2, "regression")])
def test_every_route_answers_as_transformers_does(labels: int, problem_type: str | None, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", "bert", labels=labels, problem_type=problem_type)
    expected = own(directory)
    with stack(tmp_path, PREDICTOR_MODEL_DIR=str(directory), PREDICTOR_PRECISION="f32") as running:
        running.wait_for("serving on http://localhost:")
        headers, answer = running.post({"text": TEXTS})
        again, hit = running.post({"text": TEXTS})
        _, v1 = running.post({"instances": TEXTS}, "/v1/models/sentiment:predict")
        tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS}
        _, said = running.post({"inputs": [tensor]}, "/v2/models/sentiment/infer")
        document = json.load(urllib.request.urlopen(f"http://127.0.0.1:{running.predictor_port}/openapi.json"))
    assert (headers["x-cache"], again["x-cache"]) == ("miss", "hit")
    assert answer == hit == v1
    rows: list[list[dict[str, Any]]] = answer["predictions"]  # type: ignore[index]
    for row, truth in zip(rows, expected, strict=True):
        assert {each["label"]: pytest.approx(each["score"], abs=1e-4) for each in row} == truth
        assert [each["score"] for each in row] == sorted((each["score"] for each in row), reverse=True)
    in_class_order = [row[f"LABEL_{index}"] for row in expected for index in range(labels)]
    outputs = {each["name"]: each for each in said["outputs"]}  # type: ignore[index]
    assert outputs["scores"]["data"] == pytest.approx(in_class_order, abs=1e-4)
    assert outputs["label"]["data"] == [row[0]["label"] for row in rows]
    score = document["components"]["schemas"]["LabelScore"]["properties"]["score"]
    assert "maximum" not in score  # what a score may be depends on the model's head, which the metadata names


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("labels", "problem_type", "scores_are"), [(5, "multi_label_classification", "sigmoid"), (1, "regression", "raw")]
)
def test_grpc_answers_as_transformers_does(labels: int, problem_type: str, scores_are: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", "bert", labels=labels, problem_type=problem_type)
    expected = own(directory)
    contents = pb.InferTensorContents(bytes_contents=[text.encode() for text in TEXTS])
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[2], contents=contents)
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
    answers = {}
    settings = {"PREDICTOR_MODEL_DIR": str(directory), "PREDICTOR_PRECISION": "f32"}
    with both(tmp_path, of_predictor=settings) as servers:
        # The transformer twice: a miss, then a hit.
        for who, server in (*servers.items(), ("hit", servers["transformer"])):
            with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
                answers[who] = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=20)
    for who, answer in answers.items():
        outputs = {each.name: each.contents for each in answer.outputs}
        rows = [list(outputs["scores"].fp32_contents[n * labels : (n + 1) * labels]) for n in range(len(TEXTS))]
        for row, truth, best in zip(rows, expected, outputs["label"].bytes_contents, strict=True):
            assert {f"LABEL_{n}": pytest.approx(score, abs=1e-4) for n, score in enumerate(row)} == truth, who
            assert best.decode() == max(truth, key=truth.__getitem__)
        assert answer.parameters["scores_are"].string_param == scores_are
    assert answers["transformer"].outputs == answers["hit"].outputs
    if scores_are == "sigmoid":
        assert all(abs(sum(truth.values()) - 1) > 0.01 for truth in expected)  # otherwise this would say little
