"""Everything builds, alone and combined, and what it builds fits Kubernetes' schemas."""

import itertools
import json
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from manifests.objects import Document, Render, container, of_kind
from support.programs import require

from manifests.render import choices, parse_settings, render

MANIFESTS = Path(__file__).parents[2] / "manifests"
KUBERNETES = ("1.34", "1.35", "1.36")

# These change the base's objects, and one another's; of the models at most one. The others only add.
CHANGING = ("inference-pool", "managed-redis", "mtls", "spread")
# These make another service of the base: a smaller one, or one in Standard mode (test_standard.py).
WHOLE = ("keda", "payload-logging-standard", "small", "standard")
ROUTES = ("httproute", "virtual-service")  # ways in to Standard mode
MODELS = ((), ("model-azure",), ("model-hf",))
INNER = ("model-download",)  # never named by an overlay
LOGGING = ("payload-logging",)  # changes both components, and nothing that others change
ADDING = tuple(
    name
    for name in choices("components")
    if name not in {*CHANGING, *WHOLE, *ROUTES, *INNER, *LOGGING, *(one for model in MODELS for one in model)}
)
# Two forms of one thing.
MONITORING = tuple(name for name in ADDING if name.startswith("monitoring"))


def combinations() -> list[tuple[str, ...]]:
    together = tuple(name for name in ADDING if name not in MONITORING[1:])
    made = [model + chosen + together for model in MODELS for chosen in _subsets(CHANGING)]
    return made + [CHANGING + LOGGING + together] + [(name,) for name in (*ADDING, *LOGGING)] + [()]


def _subsets(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [chosen for size in range(len(names) + 1) for chosen in itertools.combinations(names, size)]


def test_every_component_takes_part_in_the_combinations() -> None:
    named = {name for combination in combinations() for name in combination}
    assert named | {*INNER, *WHOLE, *ROUTES} == set(choices("components"))
    assert {"istio", "gateway-limits", "jwt", "api-key"} <= set(ADDING)


@pytest.mark.parametrize("name", ADDING)
def test_components_that_only_add_change_nothing_else(rendered: Render, name: str) -> None:
    without, with_it = rendered("base"), rendered("base", name)
    assert [document for document in with_it if document in without] == without
    assert len(with_it) > len(without)


@pytest.mark.parametrize("components", combinations(), ids="+".join)
def test_combination_builds_and_fits_the_schemas(rendered: Render, components: tuple[str, ...]) -> None:
    documents = rendered("base", *components)
    assert len(of_kind(documents, "InferenceService")) == 1
    for document in core(documents):
        validate_once(json.dumps(document))


@pytest.mark.parametrize("name", [*WHOLE, *ROUTES])
def test_what_is_for_standard_mode_builds_alone_as_well(rendered: Render, name: str) -> None:
    # As the cluster's admission is offered it.
    assert len(of_kind(rendered("base", name), "InferenceService")) == 1


@cache
def validate_once(document: str) -> None:
    """Most combinations share most documents."""
    kubernetes_validate.validate(json.loads(document), KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_overlay_fits_every_supported_kubernetes(overlay: list[Document], version: str) -> None:
    for document in core(overlay):
        kubernetes_validate.validate(document, version, strict=True)


def core(documents: list[Document]) -> list[Document]:
    """Documents whose schema Kubernetes ships."""
    groups = ("v1", "apps/", "policy/", "networking.k8s.io/")
    return [document for document in documents if document["apiVersion"].startswith(groups)]


def test_schema_check_catches_an_unknown_field(rendered: Render) -> None:
    policy = of_kind(rendered("base"), "NetworkPolicy")[0]
    policy["spec"]["podSelectors"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(policy, KUBERNETES[-1], strict=True)


def test_install_yaml_is_what_kustomize_makes_of_the_folder() -> None:
    command = [require("kubectl"), "kustomize", str(MANIFESTS)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (MANIFESTS / "install.yaml").read_text() == built, "run `make render`"


def test_apply_f_meets_install_yaml_alone() -> None:
    endings = {".yaml", ".yml", ".json"}
    assert [path.name for path in MANIFESTS.iterdir() if path.suffix in endings] == ["install.yaml"]


def test_namespace_is_created_before_what_lives_in_it() -> None:
    first = next(yaml.safe_load_all((MANIFESTS / "install.yaml").read_text()))
    assert first["kind"] == "Namespace"


@pytest.mark.parametrize("registry", ["example.azurecr.io", "localhost:5000", "ghcr.io/acme/models"])
def test_registry_and_tag_have_one_place(registry: str) -> None:
    require("kubectl")
    text = render("prod", [], {"registry": registry, "tag": "1.2.3"})
    documents = list(yaml.safe_load_all(text))
    for name in ("transformer", "predictor"):
        assert container(documents, name)["image"] == f"{registry}/sentiment-{name}:1.2.3"


def test_settings_stay_out_of_the_cluster(overlay: list[Document]) -> None:
    assert not [document for document in overlay if document["metadata"]["name"] == "settings"]


def test_default_registry_is_one_that_knative_does_not_ask() -> None:
    settings = parse_settings((MANIFESTS / "settings" / "settings.env").read_text())
    # config-deployment's registries-skipping-tag-resolving holds kind.local, ko.local and dev.local by default.
    assert settings["registry"] == "dev.local"


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="no such setting: registri"):
        render("local", [], {"registri": "x"})


def test_no_secret_is_rendered(overlay: list[Document]) -> None:
    assert of_kind(overlay, "Secret") == []
