"""The predictor's settings: frozen, from the environment, with the limits of the contract as defaults."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_MOUNTED_MODEL = Path("/mnt/models")
_SHIPPED_MODEL = Path("model-artifacts") / "distilbert-tiny-sst2"

Positive = Annotated[int, Field(gt=0)]
EngineName = Literal["openvino", "torch"]
PrecisionName = Literal["auto", "f32", "bf16"]


def default_model_dir(*, mounted: Path = _MOUNTED_MODEL) -> Path:
    """Give KServe's mount when it holds a checkpoint, else the shipped model beside the package or in the work dir."""
    if (mounted / "config.json").is_file():
        return mounted
    beside = Path(__file__).resolve().parent.parent / _SHIPPED_MODEL
    return beside if beside.is_dir() else Path.cwd() / _SHIPPED_MODEL


class Settings(BaseSettings):
    """Every setting, read from PREDICTOR_<NAME in capitals>."""

    model_config = SettingsConfigDict(env_prefix="PREDICTOR_", frozen=True, extra="ignore")

    model_dir: Path = Field(default_factory=default_model_dir)
    engine: EngineName = "openvino"
    precision: PrecisionName = "auto"
    threads: Positive | None = None
    max_length_tokens: Annotated[int, Field(ge=8)] = 512
    max_texts: Positive = 128
    max_text_chars: Positive = 10_000
    max_body_bytes: Positive = 1_048_576
    max_batch_tokens: Positive = 1024
    max_queue_tokens: Positive = 65_536
    deadline_s: Annotated[float, Field(gt=0)] = 10.0
    compile_cache_dir: Path | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
