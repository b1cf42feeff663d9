"""A name server that can fall silent, and what it takes for a process to ask it and no other."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

_ADDRESS = "127.77.53.1"  # loopback has many; the port cannot be chosen


class NameServer:
    """Says that every name is 127.0.0.1, or nothing.

    Attributes:
        silent: whether it only listens.
        asked: questions that came.
    """

    def __init__(self) -> None:
        self.silent = False
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def command(self, folder: Path, *command: str) -> list[str]:
        """Give a command that runs another one with this name server and no host file."""
        resolver = folder / "resolv.conf"
        # As Kubernetes writes it, but given up after three seconds and not after forty.
        resolver.write_text(f"nameserver {_ADDRESS}\nsearch sentiment.svc.test\noptions ndots:1 timeout:3 attempts:1\n")
        switch = folder / "nsswitch.conf"
        switch.write_text("hosts: dns\n")
        enter = 'mount --bind "$0" /etc/resolv.conf && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"'
        return ["unshare", "--mount", "sh", "-euc", enter, str(resolver), str(switch), *command]

    def __enter__(self) -> Self:
        self._socket.bind((_ADDRESS, 53))
        self._socket.settimeout(0.1)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                try:
                    question, sender = self._socket.recvfrom(512)
                except TimeoutError:
                    continue
                self.asked += 1
                if not self.silent:
                    self._socket.sendto(_answer(question), sender)


def _answer(question: bytes) -> bytes:
    end = question.index(b"\0", 12) + 5
    wants_ipv4 = question[end - 4 : end - 2] == b"\0\x01"
    head = question[:2] + b"\x81\x80\0\x01" + (b"\0\x01" if wants_ipv4 else b"\0\0") + b"\0\0\0\0"
    # The name of the question, IPv4, Internet, no life, four bytes.
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01" if wants_ipv4 else b""
    return head + question[12:end] + record
