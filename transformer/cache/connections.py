"""Connects to Redis: plain, TLS, unix socket; password or Microsoft Entra ID; to the URL's address or a node's own."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.auth.token import TokenInterface
from redis.backoff import NoBackoff
from redis.credentials import StreamingCredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError

from transformer.cache.redis_client import CONNECTIONS, Address
from transformer.names import Names, is_address
from transformer.settings import Settings

_CONNECT_TIMEOUT_S = 1.0
_ENTRA_SCOPE = "https://redis.azure.com/.default"


class _Connection(Connection):  # type: ignore[misc]  # the library's class carries no types
    """Connects to the first of a host's addresses that answers."""

    def __init__(self, *, names: Names, **options: Any) -> None:
        super().__init__(**options)
        self._names = names
        self._at = self.host

    async def _connect(self) -> None:
        failure: OSError | None = None
        for address in await self._names.addresses(self.host):
            self._at = address
            try:
                return await super()._connect()  # type: ignore[no-any-return]
            except TimeoutError:
                raise
            except OSError as error:
                failure = error
        raise failure or OSError(f"{self.host} has no address")

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "host": self._at}


class _SSLConnection(_Connection, SSLConnection):  # type: ignore[misc]  # as above
    """Checks the certificate for the host's name, or for another one."""

    def __init__(self, *, server_name: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._server_name = server_name or self.host

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "server_hostname": self._server_name}


class Connections:
    """Makes connection pools for the settings' URL; opens no connection yet.

    Args:
        settings: those of Redis are used.
        names: knows hosts' addresses.

    Raises:
        ValueError: the URL's scheme is unknown or not served, or Entra ID is asked for without TLS.
        ModuleNotFoundError: Entra ID is asked for without the extra ``entra``.
    """

    def __init__(self, settings: Settings, *, names: Names | None = None) -> None:
        if settings.redis_url is None:
            raise ValueError("there is no Redis URL")
        url = settings.redis_url.get_secret_value()
        if "sentinel" in url.split("://", 1)[0]:
            raise ValueError("Redis Sentinel is not served: give the address of a Redis, a proxy or a cluster")
        self._options: dict[str, Any] = {
            "max_connections": CONNECTIONS,
            "timeout": _CONNECT_TIMEOUT_S,
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            "socket_timeout": None,  # every command runs under its caller's budget
            # One immediate retry, for a connection that the server closed while it was idle.
            "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            "client_name": "sentiment-transformer",
        }
        if url.startswith("rediss://") and settings.redis_ca_file is not None:
            self._options["ssl_ca_certs"] = str(settings.redis_ca_file)
        self._pools: list[BlockingConnectionPool] = []
        if settings.redis_auth == "entra":
            provider = _entra(url)
            # Each pool would replace the last one as the provider's listener: here all of them get new tokens.
            provider.on_next(self.re_auth)
            self._options["credential_provider"] = provider
        else:
            if settings.redis_username is not None:
                self._options["username"] = settings.redis_username
            if settings.redis_password is not None:
                self._options["password"] = settings.redis_password.get_secret_value()
        # The URL wins.
        self._options.update(parse_url(url))
        host, port = self._options.get("host", "localhost"), self._options.get("port", 6379)
        self._tls = self._options.get("connection_class") is SSLConnection
        if "path" not in self._options:
            self._options |= {
                "connection_class": _SSLConnection if self._tls else _Connection,
                "names": names or Names(),
            }
        self.address: Address | None = None if "path" in self._options else Address(host, port)

    def pool(self, address: Address | None = None) -> BlockingConnectionPool:
        """Make a pool for the URL's own address, or for a cluster node's."""
        options = dict(self._options)
        if address is not None:
            options |= {"host": address.host, "port": address.port}
            options.pop("db", None)  # a cluster has only one
            if self._tls and self.address is not None and is_address(address.host):
                # Nodes announce addresses that no certificate names: the name in the URL is checked instead.
                options["server_name"] = self.address.host
        pool = BlockingConnectionPool(**options)
        self._pools.append(pool)
        return pool

    def forget(self, pool: BlockingConnectionPool) -> None:
        """Send a pool no more tokens."""
        if pool in self._pools:
            self._pools.remove(pool)

    async def re_auth(self, token: TokenInterface) -> None:
        """Authenticate every connection with a new token."""
        for pool in list(self._pools):
            await pool.re_auth_callback(token)


def _entra(url: str) -> StreamingCredentialProvider:
    if not url.startswith("rediss://"):
        raise ValueError("Entra ID tokens travel over TLS only: use a rediss:// URL")
    # An optional extra, large and needed on Azure alone.
    from redis_entraid.cred_provider import create_from_default_azure_credential  # noqa: PLC0415

    provider: StreamingCredentialProvider = create_from_default_azure_credential((_ENTRA_SCOPE,))
    return provider
