"""The charts of the platform, out of Go modules, and the values in which the node differs."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from parts import go_modules

VALUES = Path(__file__).resolve().parents[1] / "values"
ISTIO = ("istio", "istio.io/istio", "manifests/charts/")
KSERVE = ("serving", "github.com/kserve/kserve", "charts/")
# Release to the group of components, the module and the folder in it. No chart, no release: istio-cni is left out.
CHARTS = {
    "cert-manager": ("cert-manager", "github.com/cert-manager/cert-manager", "deploy/charts/cert-manager"),
    "istio-base": (*ISTIO[:2], ISTIO[2] + "base"),
    "istiod": (*ISTIO[:2], ISTIO[2] + "istio-control/istio-discovery"),
    "istio-ingressgateway": (*ISTIO[:2], ISTIO[2] + "gateway"),
    "knative-operator": ("serving", "knative.dev/operator", "config/charts/knative-operator"),
    "kserve-crd": (*KSERVE[:2], KSERVE[2] + "kserve-crd"),
    "kserve-resources": (*KSERVE[:2], KSERVE[2] + "kserve-resources"),
}
# What a release's own build would fill in.
PLACEHOLDERS = {"{{ version }}": "0.0.0", "{{ tag }}": "none"}


@dataclass(frozen=True, kw_only=True)
class Charts:
    """Charts and values on disk.

    Args:
        charts: one folder for each release.
        values: RELEASE.yaml for each release that differs.
        digest: of all values; a change of it must make Helm look again.
    """

    charts: Path
    values: Path
    digest: str


def prepare(output: Path, *, versions: Mapping[str, str]) -> Charts:
    """Write them below a folder; raises ModuleError."""
    made = Charts(charts=output / "charts", values=output / "values", digest=_write_values(output / "values", versions))
    shutil.rmtree(made.charts, ignore_errors=True)
    for release, (group, module, inside) in CHARTS.items():
        target = made.charts / release
        shutil.copytree(go_modules.directory(group, module) / inside, target, copy_function=shutil.copyfile)
        for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        for name in ("Chart.yaml", "values.yaml"):
            _fill(target / name)
    return made


def _write_values(folder: Path, versions: Mapping[str, str]) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    digest = hashlib.sha256()
    for path in sorted(VALUES.glob("*.yaml")):
        text = Template(path.read_text()).substitute(versions)
        (folder / path.name).write_text(text)
        digest.update(text.encode())
    return digest.hexdigest()[:8]


def _fill(path: Path) -> None:
    if path.exists():
        text = path.read_text()
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        path.write_text(text)
