"""Rendered manifests for the tests beside this file."""

import copy
from functools import cache

import pytest
import yaml
from manifests.objects import Document, Render
from support.programs import require

from manifests.render import choices, render

KNATIVE = ("local", "dev", "prod")


@cache
def _rendered_once(overlay: str, components: tuple[str, ...]) -> list[Document]:
    text = render(overlay, list(components), {})
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


@pytest.fixture(scope="session")
def rendered() -> Render:
    """`rendered(overlay, *components)`: the documents, the test's own to change."""
    require("kubectl")

    def documents(overlay: str, *components: str) -> list[Document]:
        return copy.deepcopy(_rendered_once(overlay, components))

    return documents


@pytest.fixture(params=KNATIVE)
def overlay(request: pytest.FixtureRequest, rendered: Render) -> list[Document]:
    """The documents of each overlay in Knative mode."""
    return rendered(request.param)


@pytest.fixture(params=choices("overlays"))
def every_overlay(request: pytest.FixtureRequest, rendered: Render) -> list[Document]:
    """The documents of each overlay, in whatever mode."""
    return rendered(request.param)
