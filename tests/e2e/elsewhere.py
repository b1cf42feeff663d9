"""Moves rendered objects to another namespace, so that a run can be beside an installation that is there."""

import json
import re
from collections.abc import Iterable

from e2e.cluster import Document

HOME = "sentiment"
# Where a namespace is named inside a text: hosts, names of Services, patterns of them; queries.
_INSIDE = re.compile(r"(\bsentiment[-a-z()?]*\\*\.|\bnamespace=\\*\")sentiment\b")


def moved(documents: Iterable[Document], namespace: str) -> list[Document]:
    """Give the objects as they would be in a namespace of that name.

    Objects that live elsewhere, such as the gateway's, stay there under a name of their own.
    """
    if namespace == HOME:
        return list(documents)
    found = []
    for document in documents:
        copy = json.loads(_INSIDE.sub(rf"\g<1>{namespace}", json.dumps(document)))
        metadata = copy["metadata"]
        if copy["kind"] == "Namespace":
            metadata["name"] = namespace
        elif metadata.get("namespace") == HOME:
            metadata["namespace"] = namespace
        else:
            metadata["name"] += f"-{namespace}"
        found.append(copy)
    return found
