"""The settings that both servers have, and how either reads its own: frozen, from the environment."""

import logging
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving import logs

log = logging.getLogger(__name__)


class ServingSettings(BaseSettings):
    """Settings that every server has; each adds its own and a prefix."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True)

    max_texts: int = Field(128, ge=1, le=4096, description="Most texts in a request.")
    max_text_chars: int = Field(10_000, ge=1, description="Most characters (code points) in a text.")
    max_body_bytes: int = Field(1 << 20, ge=1, description="Most bytes in a request, over REST and gRPC.")
    max_connections: int = Field(
        10_000,
        ge=1,
        description="Most client connections; a further one replaces an idle one, or is closed.",
    )
    receive_timeout_s: float = Field(30.0, gt=0, description="Longest a request may take to arrive, in s.")
    keep_alive_s: float = Field(
        3_900.0, gt=0, description="Longest a connection may be idle, in s; longer than the proxies in front keep one."
    )
    drain_s: float = Field(
        2.0,
        ge=0,
        description="How long the port stays open after SIGTERM, not ready, in s; 0 closes it at once.",
    )
    cors_origins: str = Field(
        "", description="Origins whose pages may call the service, separated by commas; `*`: all; unset: none."
    )
    access_log: bool = Field(default=False, description="Log a line for every request.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")


S = TypeVar("S", bound=ServingSettings)


def read(kind: type[S]) -> S:
    """Read a server's settings and configure its logs by them.

    Raises:
        SystemExit: a setting is wrong, which a log line names; status 2.
    """
    logs.configure("info")
    try:
        settings = kind()
    except ValidationError as error:
        prefix = kind.model_config["env_prefix"]
        wrong = {f"{prefix}{'_'.join(map(str, e['loc'])).upper()}": e["msg"] for e in error.errors()}
        log.error("wrong settings", extra=wrong)  # noqa: TRY400 - the sentence says it all
        raise SystemExit(2) from None
    logs.configure(settings.log_level)
    return settings
