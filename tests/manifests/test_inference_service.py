"""The InferenceService against KServe's and Knative's rules and traps."""

import copy
import re
from typing import Any

import pytest
from manifests.knative import flags_needed, refusals
from manifests.objects import (
    COMPONENTS,
    Document,
    Render,
    component,
    container,
    environment,
    pod_fields,
    pod_templates,
    the,
)
from manifests.sdk_schema import problems

from predictor.settings import Settings as PredictorSettings
from transformer.settings import Settings as TransformerSettings

SETTINGS = {"transformer": TransformerSettings, "predictor": PredictorSettings}

# Found by KServe's own prefix match: a user's argument hides the one that the webhook would append.
INJECTED = ("--model_name", "--http_port", "--workers")

# Metadata of the InferenceService lands in both revision templates: whatever is not here makes a needless revision.
HARMLESS = {"serving.kserve.io/deploymentMode", "serving.knative.dev/rollout-duration"}

both = pytest.mark.parametrize("name", COMPONENTS)


def arguments(documents: list[Document], name: str) -> dict[str, str]:
    return dict(argument.split("=", 1) for argument in container(documents, name)["args"])


def mebibytes(quantity: str) -> int:
    match = re.fullmatch(r"(\d+)(Mi|Gi)", quantity)
    assert match, quantity
    return int(match[1]) * {"Mi": 1, "Gi": 1024}[match[2]]


def millicores(quantity: str) -> int:
    return int(quantity[:-1]) if quantity.endswith("m") else 1000 * int(quantity)


def test_fits_the_sdk_models_strictly(overlay: list[Document]) -> None:
    assert problems(the(overlay, "InferenceService", "sentiment"), "V1beta1InferenceService") == []


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (("transformer", "minReplica"), 1, "unknown field"),
        (("predictor", "containers", 0, "livenesProbe"), {}, "unknown field"),
        (("predictor", "timeout"), "90s", "is no int"),
        (("transformer", "containers", 0, "resources", "limits"), {"cpu": 1}, "is no str"),
        (("predictor", "labels"), {"networking.knative.dev/visibility": True}, "is no str"),
    ],
)
def test_sdk_check_catches_seeded_mistakes(rendered: Render, path: tuple[Any, ...], value: object, found: str) -> None:
    service = copy.deepcopy(the(rendered("base"), "InferenceService", "sentiment"))
    node = service["spec"]
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    (problem,) = problems(service, "V1beta1InferenceService")
    assert found in problem


@both
def test_knative_admits_the_revision(overlay: list[Document], name: str) -> None:
    pod = dict(pod_templates(overlay))[f"sentiment-{name}"]["spec"]
    assert refusals(pod, component(overlay, name).get("annotations", {})) == []


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("hostNetwork", True, "hostNetwork is not allowed"),
        ("automountServiceAccountToken", True, "may only be false"),
        ("terminationGracePeriodSeconds", 30, "terminationGracePeriodSeconds is not allowed"),
    ],
)
def test_knative_check_catches_seeded_mistakes(rendered: Render, field: str, value: object, found: str) -> None:
    pod = dict(pod_templates(rendered("base")))["sentiment-predictor"]["spec"] | {field: value}
    assert found in " ".join(refusals(pod, {}))


@pytest.mark.parametrize(
    ("overlay_name", "flags"),
    [
        ("base", set()),
        ("local", set()),
        ("dev", {"nodeselector", "tolerations"}),
        ("prod", {"nodeselector", "tolerations", "topologyspreadconstraints"}),
    ],
)
def test_feature_flags_are_those_the_readme_names(rendered: Render, overlay_name: str, flags: set[str]) -> None:
    templates = dict(pod_templates(rendered(overlay_name)))
    needed = set().union(*(flags_needed(templates[f"sentiment-{name}"]["spec"]) for name in COMPONENTS))
    assert needed == {f"kubernetes.podspec-{flag}" for flag in flags}


@both
def test_arguments_that_kserve_would_inject_are_explicit(overlay: list[Document], name: str) -> None:
    given = arguments(overlay, name)
    assert set(INJECTED) <= given.keys()
    assert given["--workers"] == "1"
    assert given["--enable_grpc"] == "false"
    assert int(given["--http_port"]) == container(overlay, name)["ports"][0]["containerPort"]


def test_both_components_have_the_same_model_name(overlay: list[Document]) -> None:
    names = {arguments(overlay, name)["--model_name"] for name in COMPONENTS}
    assert names == {the(overlay, "InferenceService", "sentiment")["metadata"]["name"]}


@both
def test_entrypoint_is_the_images_own(overlay: list[Document], name: str) -> None:
    # A `command` of the shell would swallow the arguments that KServe appends.
    assert "command" not in container(overlay, name)


@both
def test_timeout_outlasts_the_drain(overlay: list[Document], name: str) -> None:
    assert component(overlay, name)["timeout"] >= 60
    assert component(overlay, name)["timeout"] > TransformerSettings().predictor_timeout_s + 30


def test_only_the_predictor_is_limited_and_cluster_local(overlay: list[Document]) -> None:
    visibility = "networking.knative.dev/visibility"
    transformer, predictor = component(overlay, "transformer"), component(overlay, "predictor")
    assert predictor["labels"][visibility] == "cluster-local"
    assert visibility not in transformer.get("labels", {})
    assert visibility not in the(overlay, "InferenceService", "sentiment")["metadata"].get("labels", {})
    assert predictor["containerConcurrency"] > 0
    assert "containerConcurrency" not in transformer


@both
def test_scaling_fields_are_set_and_consistent(overlay: list[Document], name: str) -> None:
    spec = component(overlay, name)
    assert 0 <= spec["minReplicas"] <= spec["maxReplicas"]
    assert spec["maxReplicas"] >= 1
    assert spec["scaleMetric"] in {"rps", "concurrency"}
    if "containerConcurrency" in spec:
        assert spec["scaleTarget"] <= spec["containerConcurrency"]
    dropped = {"autoscaling.knative.dev/min-scale", "autoscaling.knative.dev/max-scale"}
    everywhere = the(overlay, "InferenceService", "sentiment")["metadata"]["annotations"] | spec["annotations"]
    assert not dropped & everywhere.keys(), "KServe drops these silently: minReplicas and maxReplicas are the fields"
    assert {"autoscaling.knative.dev/target-burst-capacity", "autoscaling.knative.dev/scale-down-delay"} <= spec[
        "annotations"
    ].keys()


def test_only_dev_scales_to_zero(rendered: Render) -> None:
    least = {
        name: {component(rendered(name), part)["minReplicas"] for part in COMPONENTS}
        for name in ("local", "dev", "prod")
    }
    assert least == {"local": {1}, "dev": {0}, "prod": {2}}


@both
def test_limits_cover_requests(overlay: list[Document], name: str) -> None:
    resources = container(overlay, name)["resources"]
    # KServe fills a missing key from its defaults, which may put a limit below a request.
    assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}
    assert millicores(resources["limits"]["cpu"]) >= millicores(resources["requests"]["cpu"])
    assert mebibytes(resources["limits"]["memory"]) >= mebibytes(resources["requests"]["memory"])


def test_predictor_threads_follow_a_whole_cpu_limit(overlay: list[Document]) -> None:
    assert container(overlay, "predictor")["resources"]["limits"]["cpu"].isdigit()
    assert "PREDICTOR_THREADS" not in environment(overlay, "predictor")
    assert PredictorSettings.model_fields["threads"].default is None, "unset must mean the CPU quota"


def test_metadata_brings_no_needless_revision(overlay: list[Document]) -> None:
    metadata = the(overlay, "InferenceService", "sentiment")["metadata"]
    assert metadata["annotations"].keys() <= HARMLESS
    assert "labels" not in metadata
    assert metadata["annotations"]["serving.kserve.io/deploymentMode"] == "Knative"


def test_no_host_gets_the_default_suffix(overlay: list[Document]) -> None:
    # KServe takes `-default` inside a host for its old naming and cuts it out.
    metadata = the(overlay, "InferenceService", "sentiment")["metadata"]
    assert "-default" not in f"{metadata['name']}.{metadata['namespace']}"


@both
def test_container_keeps_kserves_name(overlay: list[Document], name: str) -> None:
    assert container(overlay, name)["name"] == "kserve-container"


@pytest.mark.parametrize(
    "components", [(), ("model-hf", "managed-redis"), ("model-azure", "managed-redis")], ids="+".join
)
@both
def test_environment_is_made_of_real_settings(rendered: Render, name: str, components: tuple[str, ...]) -> None:
    known = {f"{name.upper()}_{field.upper()}" for field in SETTINGS[name].model_fields} | {"STORAGE_URI"}
    assert environment(rendered("base", *components), name).keys() <= known


def test_model_from_outside_is_read_where_kserve_puts_it(rendered: Render) -> None:
    got = environment(rendered("base", "model-hf"), "predictor")
    assert got["STORAGE_URI"].startswith("hf://winegarj/distilbert-base-uncased-finetuned-sst2:")
    assert got["PREDICTOR_MODEL_DIR"] == "/mnt/models"
    azure = environment(rendered("base", "model-azure"), "predictor")["STORAGE_URI"]
    # The form that KServe's ClusterStorageContainer matches.
    assert re.fullmatch(r"https://(.+?)\.blob\.core\.windows\.net/(.+)", azure)


def test_managed_redis_needs_no_password(rendered: Render) -> None:
    got = environment(rendered("base", "managed-redis"), "transformer")
    assert got["TRANSFORMER_REDIS_URL"].startswith("rediss://")
    assert got["TRANSFORMER_REDIS_AUTH"] == "entra"
    assert "TRANSFORMER_REDIS_PASSWORD" not in got


def test_patches_change_only_what_they_name(rendered: Render) -> None:
    # A strategic merge would replace a component's container list and lose image, probes and limits.
    base, prod = rendered("base"), rendered("prod")
    for name in COMPONENTS:
        before, after = copy.deepcopy(container(base, name)), copy.deepcopy(container(prod, name))
        del before["env"], after["env"]
        assert before == after


def test_pod_fields_tell_kserves_from_kubernetes() -> None:
    assert "containers" in pod_fields()
    assert not {"minReplicas", "scaleTarget", "timeout", "labels", "annotations", "containerConcurrency"} & pod_fields()
