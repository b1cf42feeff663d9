import json
import logging
import sys
import warnings

import pytest

from serving.logs import JsonLine, configure


def test_a_record_is_one_json_line_with_its_extras() -> None:
    record = logging.makeLogRecord({"msg": "loaded %s", "args": ("x",), "levelname": "INFO", "name": "p", "threads": 2})
    line = JsonLine().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert (said["message"], said["level"], said["logger"], said["threads"]) == ("loaded x", "info", "p", 2)


def test_a_traceback_stays_on_the_line_without_the_exceptions_words() -> None:
    try:
        int("a text that somebody sent")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    line = JsonLine().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said["exception"] == "ValueError"
    assert __file__ in said["traceback"][0]
    assert "somebody sent'" not in line


def test_the_servers_say_nothing_below_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    kept = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        with warnings.catch_warnings():
            configure("info")
        logging.getLogger("uvicorn.access").info("GET /")
        logging.getLogger("kserve.trace").info("took")
        logging.getLogger("predictor").info("mine")
        logging.getLogger("uvicorn.error").error("broken")
    finally:
        logging.getLogger().handlers[:] = kept[0]
        logging.getLogger().setLevel(kept[1])
        logging.captureWarnings(capture=False)
    events = [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()]
    assert events == ["mine", "broken"]
