"""Settings of the predictor, read once from the environment (``PREDICTOR_*``)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from serving.settings import ServingSettings

_MOUNTED_MODEL = Path("/mnt/models")
_SHIPPED_MODEL = Path("model-artifacts") / "distilbert-tiny-sst2"

Positive = Annotated[int, Field(gt=0)]
EngineName = Literal["openvino", "torch"]
PrecisionName = Literal["auto", "f32", "bf16"]


def default_model_dir(*, mounted: Path = _MOUNTED_MODEL) -> Path:
    """Give KServe's mount if it holds a checkpoint, else the shipped model beside the package or in the work dir."""
    if (mounted / "config.json").is_file():
        return mounted
    beside = Path(__file__).resolve().parent.parent / _SHIPPED_MODEL
    return beside if beside.is_dir() else Path.cwd() / _SHIPPED_MODEL


class Settings(ServingSettings):
    """Everything that can be set, with unit and default."""

    model_config = SettingsConfigDict(env_prefix="PREDICTOR_")

    model_dir: Path = Field(
        default_factory=default_model_dir,
        description="The checkpoint's directory; unset: `/mnt/models` if it holds one, else the shipped model.",
    )
    engine: EngineName = Field("openvino", description="`torch` is the reference, and can use a GPU.")
    precision: PrecisionName = Field(
        "auto",
        description="`auto`: bf16 where the CPU multiplies it natively, else f32; a quantised checkpoint is int8.",
    )
    threads: Positive | None = Field(None, description="CPU threads of a forward; unset: the container's CPU quota.")
    max_length_tokens: Annotated[int, Field(ge=8)] = Field(512, description="Where texts are cut, in tokens.")
    # Room for the envelope around the texts of a one-MiB transformer body.
    max_body_bytes: int = Field(1_114_112, ge=1, description="Most bytes in a request, over REST and gRPC.")
    max_batch_tokens: Positive = Field(1024, description="Most tokens in a batch; a single longer text goes alone.")
    max_queue_tokens: Positive = Field(65_536, description="Most tokens that wait; more get 503.")
    max_wait_s: Annotated[float, Field(gt=0)] = Field(
        1.5, description="Longest expected wait for a request's turn, in s; beyond it 503 at once."
    )
    deadline_s: Annotated[float, Field(gt=0)] = Field(10.0, description="Longest a request may take, in s.")
    compile_cache_dir: Path | None = Field(
        None, description="Where compiled graphs are kept between starts; unset: nowhere."
    )
