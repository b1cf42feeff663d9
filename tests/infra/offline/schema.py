"""Rebuild the azurerm provider's Terraform schema from the bindings published as a Python wheel.

The wheel holds a jsii assembly: one typed description of every resource, its arguments, nested blocks and exported
attributes. Run as a script it writes the schema of every resource type that ``infra/*.tf`` names.
"""

import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[3]
CACHE = REPO / ".cache" / "infra"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PACKAGE = "@cdktn/provider-azurerm"
PRIMITIVES = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
MAPS = {"cdktn.StringMap": "string", "cdktn.NumberMap": "number", "cdktn.BooleanMap": "bool"}
META_ARGUMENTS = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"}
HIDDEN_MEMBERS = {
    "cdktfStack",
    "complexObjectIndex",
    "constructNodeMetadata",
    "fqn",
    "friendlyUniqueId",
    "internalValue",
    "node",
    "rawOverrides",
    "terraformAttribute",
    "terraformGeneratorMetadata",
    "terraformMetaArguments",
    "terraformResourceType",
    "tfResourceType",
}

Json = dict[str, Any]


def fetch_wheel(cache: Path = CACHE) -> Path:
    """Give the pinned wheel, downloaded once into the cache with its hash checked."""
    cache.mkdir(parents=True, exist_ok=True)
    pinned = re.search(r"^([\w-]+)==([\w.]+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if pinned is None:
        raise ValueError(f"{REQUIREMENTS.name} pins nothing")
    wheel = cache / f"{pinned[1].replace('-', '_')}-{pinned[2]}-py3-none-any.whl"
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*command, "--dest", str(cache), "--requirement", str(REQUIREMENTS)], check=True)
    return wheel


def read_assembly(wheel: Path) -> dict[str, Json]:
    """Give the assembly's types by their full name."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(name)), mode="r:gz") as inner:
            member = inner.extractfile("package/.jsii")
            if member is None:
                raise ValueError(f"{wheel.name} has no jsii assembly")
            types: dict[str, Json] = json.load(member)["types"]
            return types


class SchemaReader:
    """Turns jsii types into Terraform schema blocks: ``{"attributes": {...}, "blocks": {...}}``."""

    def __init__(self, *, types: dict[str, Json]) -> None:
        self._types = types

    def resource(self, terraform_type: str) -> Json:
        """Give one resource's schema: the arguments of its config, plus what it only exports."""
        short = terraform_type.removeprefix("azurerm_")
        class_name = "".join(part.capitalize() for part in short.split("_"))
        module = class_name[0].lower() + class_name[1:]
        scope = f"{PACKAGE}.{module}"
        if f"{scope}.{class_name}" not in self._types:
            raise KeyError(f"the provider has no resource {terraform_type}")
        schema = self._block(f"{scope}.{class_name}Config")
        self._add_exported(schema, f"{scope}.{class_name}")
        return schema

    def provider(self) -> Json:
        """Give the provider's own configuration schema."""
        schema = self._block(f"{PACKAGE}.provider.AzurermProviderConfig")
        schema["attributes"].pop("alias", None)
        return schema

    def _block(self, struct: str) -> Json:
        attributes: Json = {}
        blocks: Json = {}
        for member in self._types[struct].get("properties", []):
            name = _snake(member)
            if name in META_ARGUMENTS:
                continue
            optional = member.get("optional", False)
            type_, nested, many = self._argument(member["type"])
            if nested and member.get("docs", {}).get("summary", "").endswith(" block."):
                single = name == "timeouts"
                limits = {"min": 0 if optional else 1, "max": 0 if many else 1}
                blocks[name] = {"block": self._block(nested), "nesting": "single" if single else "list", **limits}
            else:
                if nested:
                    type_ = ["list", self._object(nested)]
                attributes[name] = {"type": type_, "optional": optional, "required": not optional, "computed": optional}
        schema = {"attributes": attributes, "blocks": blocks}
        self._add_exported(schema, f"{struct}OutputReference")
        return schema

    def _add_exported(self, schema: Json, class_: str) -> None:
        """Add what the resource or block only exports: getters that are no argument's."""
        for member in self._types.get(class_, {}).get("properties", []):
            name = _snake(member)
            taken = name in schema["attributes"] or name in schema["blocks"] or name in META_ARGUMENTS
            hidden = member["name"] in HIDDEN_MEMBERS or member.get("static") or member["name"].endswith("Input")
            if not (taken or hidden):
                schema["attributes"][name] = {"type": self._exported(member["type"]), "computed": True}

    def _argument(self, type_: Json) -> tuple[Any, str | None, bool]:
        """Give (Terraform type, nested struct, may repeat); exactly one of the first two is set."""
        if "primitive" in type_:
            return PRIMITIVES[type_["primitive"]], None, False
        if "union" in type_:
            real = [t for t in type_["union"]["types"] if t.get("fqn") != "cdktn.IResolvable"]
            return self._argument(real[0])
        if "collection" in type_:
            element, nested, _ = self._argument(type_["collection"]["elementtype"])
            kind = "map" if type_["collection"]["kind"] == "map" else "list"
            return (None, nested, True) if nested else ([kind, element], None, True)
        if type_["fqn"] in MAPS:
            return ["map", MAPS[type_["fqn"]]], None, False
        if type_["fqn"] == "cdktn.BooleanList":
            return ["list", "bool"], None, False
        return None, type_["fqn"], False

    def _object(self, struct: str) -> Any:
        block = self._block(struct)
        fields = {name: attribute["type"] for name, attribute in block["attributes"].items()}
        return ["object", fields | dict.fromkeys(block["blocks"], "dynamic")]

    def _exported(self, type_: Json) -> Any:
        plain, nested, _ = self._argument(type_)
        if nested is None:
            return plain
        if not nested.endswith("List"):
            return "dynamic"
        element = self._types.get(nested.removesuffix("List") + "OutputReference", {})
        members = [m for m in element.get("properties", []) if m["name"] not in HIDDEN_MEMBERS]
        return ["list", ["object", {_snake(m): self._exported(m["type"]) for m in members}]]


def _snake(member: Json) -> str:
    """Give the Terraform name: the documentation link names it exactly, the camel case name nearly."""
    link = re.search(r"#([a-z0-9_]+) ", member.get("docs", {}).get("remarks", ""))
    return link[1] if link else re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", member["name"]).lower()


def used_types(root: Path) -> list[str]:
    """Give the resource types that the configuration in ``root`` declares."""
    text = "\n".join(path.read_text() for path in sorted(root.glob("*.tf")))
    return sorted(set(re.findall(r'^resource "(azurerm_\w+)"', text, re.MULTILINE)))


def write_schema(root: Path, target: Path) -> Path:
    """Write the schema of what ``root`` uses, unless the target already holds every type."""
    wanted = used_types(root)
    if target.exists() and set(wanted) <= set(json.loads(target.read_text())["resources"]):
        return target
    reader = SchemaReader(types=read_assembly(fetch_wheel()))
    schema = {"provider": reader.provider(), "resources": {name: reader.resource(name) for name in wanted}}
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(schema, separators=(",", ":")))
    partial.replace(target)
    return target


if __name__ == "__main__":
    path = write_schema(REPO / "infra", CACHE / "schema.json")
    sys.stdout.write(f"{path.relative_to(REPO)}: {len(json.loads(path.read_text())['resources'])} resource types\n")
