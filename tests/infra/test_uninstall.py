"""uninstall.sh against a helm and a kubectl that record their calls."""

from collections.abc import Callable
from pathlib import Path

from infra.stubs import Stubs

PLATFORM = Path(__file__).resolve().parents[2] / "infra" / "platform"


def test_uninstall_goes_backwards(cluster: Stubs, make_settings: Callable[..., Path]) -> None:
    cluster.run(PLATFORM / "install.sh", "--settings", make_settings(PROMETHEUS="stack"))
    installed = [call.split()[3] for call in cluster.calls("helm upgrade")]
    done = cluster.run(PLATFORM / "uninstall.sh")
    assert done.returncode == 0, done.stderr
    assert [call.split()[2] for call in cluster.calls("helm uninstall")] == installed[::-1]
    assert cluster.calls("kubectl delete namespace")[0] == cluster.calls()[-1]


def test_uninstall_refuses_while_anything_is_served(cluster: Stubs) -> None:
    cluster.answer("kubectl get inferenceservices*", "inferenceservice/sentiment\n")
    done = cluster.run(PLATFORM / "uninstall.sh")
    assert done.returncode != 0
    assert "still in use: inferenceservice/sentiment" in done.stderr
    assert cluster.calls("helm", "kubectl delete") == []


def test_uninstall_passes_over_kinds_the_cluster_never_had(cluster: Stubs) -> None:
    cluster.answer("kubectl delete nodepools*", "", status=1)
    done = cluster.run(PLATFORM / "uninstall.sh")
    assert done.returncode != 0
    assert "could not delete nodepools" in done.stderr
    cluster.answer("kubectl delete nodepools*", 'error: the server doesn\'t have a resource type "nodepools"', status=1)
    assert cluster.run(PLATFORM / "uninstall.sh").returncode == 0
