"""A Terraform provider that only knows its schema: enough for ``validate``, ``console`` and ``test`` with mocks.

Speaks plugin protocol 5 (https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol) over a Unix
socket; the few protobuf messages it sends are encoded here, so that no generated code is needed. Terraform does not
start it: it runs for as long as its standard input is open and prints what ``TF_REATTACH_PROVIDERS`` wants, so that
one process serves many commands.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

NESTING = {"single": 1, "list": 2, "set": 3}


def varint(number: int) -> bytes:
    """Encode a protobuf base-128 integer."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded) + bytes([number])


def message(field: int, content: bytes) -> bytes:
    """Encode a length-delimited field."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def integer(field: int, number: int) -> bytes:
    """Encode an integer or boolean field; the default is left out, as protobuf does."""
    return varint(field << 3) + varint(number) if number else b""


def attribute(name: str, spec: dict[str, Any]) -> bytes:
    """Encode ``Schema.Attribute``."""
    flags = (
        integer(4, spec.get("required", 0)) + integer(5, spec.get("optional", 0)) + integer(6, spec.get("computed", 0))
    )
    return message(1, name.encode()) + message(2, json.dumps(spec["type"]).encode()) + flags


def nested_block(name: str, spec: dict[str, Any]) -> bytes:
    """Encode ``Schema.NestedBlock``; a single block carries no item limits."""
    nesting = NESTING[spec["nesting"]]
    limits = b"" if nesting == 1 else integer(4, spec["min"]) + integer(5, spec["max"])
    return message(1, name.encode()) + message(2, block(spec["block"])) + integer(3, nesting) + limits


def block(spec: dict[str, Any]) -> bytes:
    """Encode ``Schema.Block``."""
    attributes = (message(2, attribute(name, inner)) for name, inner in sorted(spec["attributes"].items()))
    blocks = (message(3, nested_block(name, inner)) for name, inner in sorted(spec["blocks"].items()))
    return b"".join([*attributes, *blocks])


def provider_schema(schema: dict[str, Any]) -> bytes:
    """Encode ``GetProviderSchema.Response``."""
    resources = (
        message(2, message(1, name.encode()) + message(2, message(2, block(spec))))
        for name, spec in sorted(schema["resources"].items())
    )
    # Capability 2, "schema once is enough": Terraform then keeps the first answer for the whole command.
    return message(1, message(2, block(schema["provider"]))) + b"".join(resources) + message(6, integer(2, 1))


def start(schema: dict[str, Any], address: str) -> grpc.Server:
    """Listen on a socket; every call but the schema's is answered with consent."""
    answer = provider_schema(schema)

    def accept(_request: bytes, _context: object) -> bytes:
        return b""

    calls: dict[str, Callable[[bytes, object], bytes]] = {
        "GetSchema": lambda _request, _context: answer,
        "PrepareProviderConfig": lambda request, _context: request,
        **dict.fromkeys(("ValidateResourceTypeConfig", "ValidateDataSourceConfig", "Configure", "Stop"), accept),
    }
    methods = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in calls.items()}
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", methods),))
    server.add_insecure_port(f"unix://{address}")
    server.start()
    return server


def main() -> None:
    """Serve the schema file named on the command line."""
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:
        address = f"{folder}/plugin.sock"
        server = start(json.loads(Path(sys.argv[1]).read_text()), address)
        attach = {
            "Protocol": "grpc",
            "ProtocolVersion": 5,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "unix", "String": address},
        }
        sys.stdout.write(json.dumps({"registry.terraform.io/hashicorp/azurerm": attach}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.stop(0)


if __name__ == "__main__":
    main()
