"""Which metrics there are: those of the two services, as their code registers them, and the cluster's recorded ones."""

import re
from pathlib import Path

import promql_parser
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from manifests.components.monitoring.objectives import OBJECTIVES, WINDOWS
from predictor.metrics import Metrics as PredictorMetrics
from serving.throttling import Throttling
from transformer.metrics import Metrics as TransformerMetrics

SAMPLES = Path(__file__).parent / "samples"
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
# What Grafana puts in before it asks: a window of a few scrapes, the chosen namespace, the typed price.
_VARIABLES = {"$__rate_interval": "10s", "$namespace": "sentiment", "$usd_per_cpu_hour": "0.05"}


def substituted(expr: str) -> str:
    """Give an expression with dashboard variables filled in."""
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


def service_families(registry: CollectorRegistry) -> list[Metric]:
    """Give every family the two services export."""
    PredictorMetrics(registry=registry)
    throttling = [*Throttling(service="predictor").collect(), *Throttling(service="transformer").collect()]
    return [*registry.collect(), *TransformerMetrics().collect(), *throttling]


def known_metrics(registry: CollectorRegistry) -> set[str]:
    """Give every series name that an expression may use."""
    own = {f.name + suffix for f in service_families(registry) for suffix in _SUFFIXES[f.type]}
    sampled = {
        name
        for path in SAMPLES.glob("*.prom")
        for name in re.findall(r"^([a-z]\w*)[{ ]", path.read_text(), re.MULTILINE)
    }
    recorded = {objective.recorded(window) for objective in OBJECTIVES for window in WINDOWS}
    return own | sampled | recorded | _PROCESS


def metrics_in(expr: str) -> set[str]:
    """Give the names of the series an expression selects."""
    return _names(promql_parser.parse(expr))


def _names(node: object) -> set[str]:
    if isinstance(node, promql_parser.VectorSelector):
        return {str(node.name)}
    if isinstance(node, promql_parser.MatrixSelector):
        return _names(node.vector_selector)
    if isinstance(node, promql_parser.BinaryExpr):
        return _names(node.lhs) | _names(node.rhs)
    if isinstance(node, promql_parser.Call):
        return {name for each in node.args for name in _names(each)}
    if isinstance(node, (promql_parser.AggregateExpr, promql_parser.ParenExpr, promql_parser.UnaryExpr)):
        return _names(node.expr)
    return set()
