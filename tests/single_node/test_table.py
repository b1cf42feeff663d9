"""The table says of an object whose it is, what is on it and what is in it."""

from table import lines, retired

REVISION = {
    "metadata": {
        "name": "sentiment-00001",
        "ownerReferences": [{"kind": "Configuration", "name": "sentiment"}],
        "managedFields": [{"manager": "controller"}, {"manager": "controller"}],
        "labels": {"component": "predictor"},
        "annotations": {"serving.knative.dev/creator": "somebody", "autoscaling.knative.dev/metric": "rps"},
    },
    "spec": {"containers": [{"name": "user", "args": ["--a", "--b"]}], "timeoutSeconds": 60},
    "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Deploying"}]},
}


def test_an_object_is_told_line_by_line() -> None:
    assert list(lines(REVISION, ("spec.containers", "spec.timeoutSeconds"))) == [
        "- **sentiment-00001**, of Configuration sentiment, written by controller",
        "  - label `component: predictor`",
        "  - annotation `autoscaling.knative.dev/metric: rps`",
        "  - `spec.containers[user].name` user",
        "  - `spec.containers[user].args` ['--a', '--b']",
        "  - `spec.timeoutSeconds` 60",
        "  - condition Ready: False Deploying",
    ]


def test_a_field_that_is_not_there_has_no_line() -> None:
    assert list(lines({"metadata": {"name": "x"}}, ("spec.replicas",))) == ["- **x**, of nobody, written by nobody"]


def test_a_revision_without_requests_is_left_out() -> None:
    states = {"old": "reserve", "new": "active", "starting": "pending"}
    revisions = [
        {"metadata": {"name": name, "labels": {"serving.knative.dev/routingState": state}}}
        for name, state in states.items()
    ]
    assert retired([*revisions, {"metadata": {"name": "no labels"}}]) == {"old"}
