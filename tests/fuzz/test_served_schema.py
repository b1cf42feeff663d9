"""Schemathesis against the running transformer: what ``/openapi.json`` says is what is served, whatever is sent."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest
from fuzz.budget import EXAMPLES, PHASES
from support.predictor_double import PredictorDouble
from support.processes import REPO
from support.transformer_process import transformer

# A schema cannot say that a shape counts its data, nor where binary data begins.
_INEXPRESSIBLE = "positive_data_acceptance,negative_data_rejection"
_INFER = "/v2/models/{model_name}/infer"
_MARKER = "s3cr3t-in-the-environment"


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize(
    "selection",
    [("--exclude-path", _INFER), ("--include-path", _INFER, "--exclude-checks", _INEXPRESSIBLE)],
    ids=["all but infer", "infer"],
)
async def test_every_answer_is_as_documented(
    selection: tuple[str, ...], predictor: PredictorDouble, tmp_path: Path
) -> None:
    schemathesis = Path(sys.executable).with_name("schemathesis")
    predictor.versions = ("abc123",)
    async with transformer(
        tmp_path, predictor_host=predictor.host, TRANSFORMER_CACHE_SECRET=_MARKER, TRANSFORMER_ACCESS_LOG="true"
    ) as process:
        run = await asyncio.create_subprocess_exec(
            schemathesis, "run", f"{process.url}/openapi.json", "--checks", "all", "--max-examples", str(EXAMPLES),
            "--no-color",
            "--phases", PHASES, "--request-timeout", "20", "--report", "ndjson", "--report-dir", tmp_path, *selection,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPO)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await run.communicate())[0].decode()
        assert run.returncode == 0, said[said.find("FAILURES") :][:6_000]
        assert int(re.findall(r"(\d+) generated", said)[-1]) >= EXAMPLES
        log = process.output()
    # One line a request, each of a fixed form: nothing of what was sent, no bug, no secret.
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["message"] for line in lines} <= {"request", "serving"}, log[-3_000:]
    assert not [line for line in lines if line["level"] == "error" or "exception" in line]
    assert _MARKER not in log
    known = {"/predict", "/", "/health", "/v1", "/v2", "/metrics", "/openapi.json", "/docs", "other"}
    routes = {line["route"] for line in lines if line["message"] == "request"}
    assert {route for route in routes if "{model_name}" not in route} <= known
