"""The Edge board: what the Istio gateway sees, and what it adds."""

from manifests.components.monitoring.boards import NAMESPACE, Board, Panel, Query, Row, quantile, rate

_GATEWAY = 'reporter="source",source_workload="istio-ingressgateway",destination_service_namespace="$namespace"'

_LEFT_S = "min by (name) (certmanager_certificate_expiration_timestamp_seconds - time())"
_ANSWERED = f'{NAMESPACE},outcome!="other"'


def _mean(histogram: str, where: str) -> str:
    return f"{rate(f'{histogram}_sum', where=where)} / {rate(f'{histogram}_count', where=where)}"


_REQUESTS = Row(
    "Requests at the gateway",
    [
        Panel(
            title="Requests by status",
            says="What clients received.",
            unit="reqps",
            queries=[Query(rate("istio_requests_total", by="response_code", where=_GATEWAY), "{{response_code}}")],
            stacked=True,
        ),
        Panel(
            title="Failures by Envoy's reason",
            says="UF and UH: no pod could be reached; UT: timeout; DC: the client left; RL: rate limited.",
            unit="reqps",
            queries=[
                Query(
                    rate("istio_requests_total", by="response_flags", where=_GATEWAY + ',response_code=~"5..|0|429"'),
                    "{{response_flags}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            title="Latency",
            says="Gateway to pod and back.",
            unit="ms",
            queries=[
                Query(quantile(share, "istio_request_duration_milliseconds", where=_GATEWAY), f"p{100 * share:g}")
                for share in (0.5, 0.95, 0.99)
            ],
        ),
        Panel(
            title="Added by the path",
            says="Mean at the gateway minus mean in the transformer: Envoy, network, queue-proxy, activator.",
            unit="ms",
            queries=[
                Query(
                    f"{_mean('istio_request_duration_milliseconds', _GATEWAY)}"
                    f" - 1000 * {_mean('transformer_request_seconds', _ANSWERED)}",
                    "added",
                )
            ],
        ),
        Panel(
            title="Bytes",
            says="Of bodies, per second.",
            unit="Bps",
            queries=[
                Query(rate("istio_request_bytes_sum", where=_GATEWAY), "in"),
                Query(rate("istio_response_bytes_sum", where=_GATEWAY), "out"),
            ],
        ),
        Panel(
            title="Rate limited",
            says="Requests that the gateway's own limit refused, on all its hosts.",
            unit="reqps",
            queries=[Query("sum(rate(envoy_http_local_rate_limit_rate_limited[$__rate_interval]))", "refused")],
        ),
    ],
)

_GATEWAY_ITSELF = Row(
    "Gateway",
    [
        Panel(
            title="Certificates",
            says="Time until the first one expires.",
            unit="s",
            queries=[Query(_LEFT_S, "{{name}}")],
            kind="number",
            limits=(1_814_400, 604_800),
            width=12,
        ),
        Panel(
            title="Gateway pods",
            says="Live Envoys.",
            unit="short",
            queries=[Query("sum(envoy_server_live)", "live")],
            kind="number",
            width=12,
        ),
    ],
)

EDGE = Board(
    uid="sentiment-edge",
    title="Sentiment / Edge",
    says="The Istio gateway: statuses, latency, limits, certificates.",
    rows=[_REQUESTS, _GATEWAY_ITSELF],
    namespace_of="transformer_in_flight",
)
