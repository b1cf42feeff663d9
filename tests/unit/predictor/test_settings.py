from pathlib import Path

import pytest
from pydantic import ValidationError

from predictor.settings import Settings, default_model_dir


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PREDICTOR_{name.upper()}", raising=False)


def test_defaults_are_the_contract() -> None:
    settings = Settings()
    assert (settings.engine, settings.precision, settings.threads) == ("openvino", "auto", None)
    assert (settings.max_texts, settings.max_text_chars, settings.max_body_bytes) == (128, 10_000, 1_114_112)
    assert (settings.max_length_tokens, settings.deadline_s) == (512, 10.0)
    assert settings.compile_cache_dir is None


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTOR_MODEL_DIR", "/models/x")
    monkeypatch.setenv("PREDICTOR_THREADS", "3")
    assert Settings().model_dir == Path("/models/x")
    assert Settings().threads == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("THREADS", "0"), ("ENGINE", "onnx"), ("PRECISION", "int8"), ("DEADLINE_S", "0"), ("MAX_LENGTH_TOKENS", "2")],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PREDICTOR_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().threads = 2  # type: ignore[misc]


def test_a_mounted_checkpoint_wins_over_the_shipped_one(tmp_path: Path) -> None:
    assert default_model_dir(mounted=tmp_path).name == "distilbert-tiny-sst2"
    (tmp_path / "config.json").write_text("{}")
    assert default_model_dir(mounted=tmp_path) == tmp_path
