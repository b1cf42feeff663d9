"""Commands and replies on one of the library's connections, without the library's way around each of them.

One read of the socket brings many replies; to take them one by one as the library does costs more than all else.
"""

from typing import Any

from hiredis import PushNotification, pack_command
from redis._parsers.hiredis import NOT_ENOUGH_DATA  # what its reader is told to say for it
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError


def words(*each: bytes) -> bytes:
    """Write a command as Redis reads it."""
    command: bytes = pack_command(each)  # type: ignore[arg-type]  # its stub knows tuples of one
    return command


async def exchange(link: AbstractConnection, sent: bytes, count: int) -> list[Any]:
    """Send commands in one piece; give a reply or an error for each.

    Args:
        link: a connection that nobody else uses meanwhile; it opens, and opens again, by itself.
        sent: the commands.
        count: how many they are.

    Raises:
        RedisError: the connection broke; errors that Redis itself says are among the replies.
    """
    if link.is_connected:
        await link.re_auth()  # a new Entra ID token, if one has come
    await link.send_packed_command([sent])
    parser = link._parser  # noqa: SLF001
    gets = parser._reader.gets  # noqa: SLF001
    replies: list[Any] = []
    try:
        while len(replies) < count:
            reply = gets(False)  # noqa: FBT003  # the reader's own signature
            if reply is NOT_ENOUGH_DATA:
                await parser.read_from_socket()
            elif type(reply) is PushNotification:
                await parser.handle_push_response(reply)
            elif isinstance(reply, RedisConnectionError):
                raise reply  # noqa: TRY301  # as the library does
            else:
                replies.append(reply)
    except BaseException as error:
        # What it had yet to say would be taken for the answer to another question.
        await link.disconnect(nowait=True)
        if isinstance(error, OSError):
            raise RedisConnectionError("the connection broke") from error
        raise
    return replies
