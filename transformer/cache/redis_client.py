"""Connects to Redis: plain, TLS, unix socket; password or Microsoft Entra ID."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from transformer.settings import Settings

_CONNECT_TIMEOUT_S = 1.0
_READING = 4
_CONNECTIONS = _READING + 4  # a write and a probe beside the reads, and those who are patient
_PROBE_KEY = b"sentiment:1:probe"
_ENTRA_SCOPE = "https://redis.azure.com/.default"


class RedisClient:
    """The few commands this service needs, over redis-py.

    Args:
        redis: a client whose pool raises rather than waits long.
    """

    def __init__(self, redis: "Redis[bytes]") -> None:
        self._redis = redis
        self._pool = redis.connection_pool
        # Reads keep their connections: to lend one and take it back costs the library as much as the look-up itself.
        self._links: list[AbstractConnection] = []

    async def mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give the value of every key."""
        link = self._links.pop() if self._links else await self._pool.get_connection()
        try:
            command = link.pack_command("MGET", *keys)
            try:
                return await _ask(link, command)
            except RedisConnectionError:
                # Once more, at once: the server may have closed it while it was idle.
                return await _ask(link, command)
        finally:
            # One that failed or was given up in the middle is closed by now, and opens again when it is used.
            if len(self._links) < _READING:
                self._links.append(link)
            else:
                await self._pool.release(link)

    async def set_all(self, items: Sequence[tuple[bytes, bytes, int]]) -> None:
        """Write (key, value, life in ms) in one round trip; raises on the first refusal."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key, value, life_ms in items:
                pipe.set(key, value, px=life_ms)
            await pipe.execute()

    async def probe(self) -> None:
        """Write a key that lives a second: shows that Redis is there and takes writes."""
        await self._redis.set(_PROBE_KEY, b"1", px=1_000)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose(close_connection_pool=True)


async def _ask(link: AbstractConnection, command: list[bytes]) -> list[bytes | None]:
    if link.is_connected:
        await link.re_auth()  # a new Entra ID token, if one has come
    await link.send_packed_command(command)
    values: list[bytes | None] = await link.read_response(disable_decoding=True)
    return values


def connect(settings: Settings) -> RedisClient:
    """Make a client for the settings' URL; opens no connection yet.

    Raises:
        ValueError: the URL's scheme is unknown, or Entra ID is asked for without TLS.
        ModuleNotFoundError: Entra ID is asked for without the extra ``entra``.
    """
    if settings.redis_url is None:
        raise ValueError("there is no Redis URL")
    url = settings.redis_url.get_secret_value()
    options: dict[str, Any] = {
        "max_connections": _CONNECTIONS,
        "timeout": _CONNECT_TIMEOUT_S,
        "socket_connect_timeout": _CONNECT_TIMEOUT_S,
        "socket_timeout": None,  # every command runs under its caller's budget
        # Once, at once: for a connection that the server closed while it was idle.
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        "client_name": "sentiment-transformer",
    }
    if url.startswith("rediss://") and settings.redis_ca_file is not None:
        options["ssl_ca_certs"] = str(settings.redis_ca_file)
    if settings.redis_auth == "entra":
        options["credential_provider"] = _entra(url)
    else:
        if settings.redis_username is not None:
            options["username"] = settings.redis_username
        if settings.redis_password is not None:
            options["password"] = settings.redis_password.get_secret_value()
    return RedisClient(Redis(connection_pool=BlockingConnectionPool.from_url(url, **options)))


def _entra(url: str) -> Any:
    if not url.startswith("rediss://"):
        raise ValueError("Entra ID tokens travel over TLS only: use a rediss:// URL")
    # An optional extra, large and needed on Azure alone.
    from redis_entraid.cred_provider import create_from_default_azure_credential  # noqa: PLC0415

    return create_from_default_azure_credential((_ENTRA_SCOPE,))
