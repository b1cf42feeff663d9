"""The predictor's metrics. Labels are few and never come from a request's content."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serving.predictions import INFER, INFER_CALL, PREDICT_V1

_PREDICTIONS = frozenset({PREDICT_V1, INFER, INFER_CALL})
SHED_REASONS = ("client_gone", "deadline", "queue_full", "shutting_down", "would_be_late")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TOKENISE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)


class Metrics:
    """The predictor's metrics in one registry.

    Attributes:
        in_flight: requests being answered now.
    """

    def __init__(self, *, registry: CollectorRegistry) -> None:
        self.in_flight = 0
        in_flight = Gauge("predictor_in_flight", "Requests being answered now.", registry=registry)
        in_flight.set_function(lambda: self.in_flight)
        self.requests = Counter(
            "predictor_requests", "Requests answered, by route and status.", ("route", "status"), registry=registry
        )
        self.texts = Counter("predictor_texts", "Texts classified.", registry=registry)
        self.truncated_texts = Counter(
            "predictor_truncated_texts", "Texts cut at the model's maximum length.", registry=registry
        )
        self.shed = Counter(
            "predictor_shed", "Requests refused or dropped before inference, by reason.", ("reason",), registry=registry
        )
        for reason in SHED_REASONS:
            # A series that starts with its first event hides that event from every rate.
            self.shed.labels(reason)
        self.queue_tokens = Gauge("predictor_queue_tokens", "Tokens waiting for the engine.", registry=registry)
        self.queue_age_seconds = Gauge(
            "predictor_queue_age_seconds", "Age of the text that waits longest for the engine.", registry=registry
        )
        self.queue_seconds = _histogram("queue_seconds", "From tokenised to the first forward.", _SECONDS, registry)
        self.tokenise_seconds = _histogram(
            "tokenise_seconds", "From arrival to tokenised.", _TOKENISE_SECONDS, registry
        )
        self.inference_seconds = _histogram("inference_seconds", "One forward of the engine.", _SECONDS, registry)
        self.batch_texts = _histogram("batch_texts", "Texts in one forward.", _TEXTS, registry)
        self.batch_tokens = _histogram("batch_tokens", "Real tokens in one forward.", _TOKENS, registry)
        self.grid_tokens = Counter(
            "predictor_grid_tokens", "Texts times the longest text's tokens, summed over forwards.", registry=registry
        )
        self.threads = Gauge("predictor_threads", "CPU threads one forward uses.", registry=registry)
        self.model_info = Gauge(
            "predictor_model_info",
            "Always 1; says what is served.",
            ("version", "engine", "precision"),
            registry=registry,
        )

    def request(self, *, route: str, status: int, outcome: str, seconds: float) -> None:  # noqa: ARG002
        """Count an answered prediction; probes and pages are not counted."""
        if route in _PREDICTIONS:
            self.requests.labels(route, str(status)).inc()


def _histogram(name: str, says: str, buckets: tuple[float, ...], registry: CollectorRegistry) -> Histogram:
    return Histogram(f"predictor_{name}", says, buckets=buckets, registry=registry)
