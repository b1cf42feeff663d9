"""Settings of the transformer, read once from the environment (``TRANSFORMER_*``)."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from serving.settings import ServingSettings


class Settings(ServingSettings):
    """Everything that can be set, with unit and default."""

    model_config = SettingsConfigDict(env_prefix="TRANSFORMER_")

    redis_url: SecretStr | None = Field(
        None, description="`redis://`, `rediss://` or `unix://` URL; unset: the in-process cache alone."
    )
    redis_username: str | None = Field(None, description="ACL user, if the URL names none.")
    redis_password: SecretStr | None = Field(None, description="Password, if the URL names none.")
    redis_auth: Literal["password", "entra"] = Field(
        "password", description="`entra`: tokens of Microsoft Entra ID (needs the extra `entra`)."
    )
    redis_ca_file: Path | None = Field(None, description="Certificate authority for `rediss://`, PEM file.")
    redis_topology: Literal["auto", "single", "cluster"] = Field(
        "auto", description="What the URL leads to; `auto` detects it, also when it changes."
    )
    redis_budget_ms: float = Field(50.0, gt=0, le=5_000, description="Longest a request waits for Redis, in ms.")
    cache_ttl_s: int = Field(180, ge=1, description="Life of a cached answer in Redis, in s, ± 10 % per text.")
    cache_secret: SecretStr | None = Field(
        None, description="Key of the hashes in cache keys and of the values' tags; set it if others can reach Redis."
    )
    l1_entries: int = Field(10_000, ge=0, description="Answers kept in the process; 0: none.")
    l1_ttl_s: float = Field(60.0, gt=0, description="Life of an answer kept in the process, in s.")

    predictor_timeout_s: float = Field(15.0, gt=0, description="Longest a request waits for the predictor, in s.")
    predictor_max_texts: int = Field(128, ge=1, description="Most texts in one predictor call; larger calls are split.")
    predictor_connections: int = Field(
        100, ge=1, description="Most concurrent calls to the predictor; further misses get 503 at once."
    )

    playground: bool = Field(default=False, description="Serve the playground.")
