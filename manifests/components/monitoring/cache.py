"""The Cache board: what hits, what Redis takes, what Redis itself says."""

from manifests.components.monitoring.boards import NAMESPACE, Board, Panel, Query, Row, or_none, quantile, rate

_ASKED = rate("transformer_texts_total", where=f'{NAMESPACE},outcome!="duplicate"')


def _share(outcomes: str) -> str:
    return rate("transformer_texts_total", where=f'{NAMESPACE},outcome=~"{outcomes}"') + " / " + _ASKED


_HITS = Row(
    "Hits",
    [
        Panel(
            title="Hit ratio",
            says="Of different texts: found in the process (L1), in Redis (L2), in either.",
            unit="percentunit",
            queries=[
                Query(_share("hit_l1"), "L1"),
                Query(_share("hit_l2"), "L2"),
                Query(_share("hit_l1|hit_l2"), "both"),
            ],
        ),
        Panel(
            title="Texts by outcome",
            says="coalesced waited for another request's forward; duplicate occurred twice in one request.",
            unit="cps",
            queries=[Query(rate("transformer_texts_total", by="outcome"), "{{outcome}}")],
            stacked=True,
        ),
        Panel(
            title="Degraded",
            says="Pods that cannot fully use their Redis, and pods whose breaker stops them asking it, or a shard.",
            unit="short",
            queries=[
                Query(f"sum(transformer_degraded{{{NAMESPACE}}})", "degraded"),
                Query(f"sum(transformer_redis_breaker_open{{{NAMESPACE}}})", "breaker open"),
            ],
        ),
    ],
)

_FROM_HERE = Row(
    "Redis as the transformer sees it",
    [
        Panel(
            title="Round trips",
            says="Reads hold requests up and are cut off at their budget; writes follow the answer.",
            unit="s",
            queries=[
                Query(
                    quantile(share, "transformer_redis_seconds", by="operation"), f"{{{{operation}}}} p{100 * share:g}"
                )
                for share in (0.5, 0.99)
            ],
        ),
        Panel(
            title="Commands",
            says="Look-ups of many requests leave as one.",
            unit="ops",
            queries=[Query(rate("transformer_redis_seconds_count", by="operation"), "{{operation}}")],
        ),
        Panel(
            title="Shards by state",
            says="As each pod sees them; a Redis alone is one shard. What each state means: the runbook's table.",
            unit="short",
            queries=[Query(f"sum by (state) (transformer_redis_shards{{{NAMESPACE}}})", "{{state}}")],
            stacked=True,
        ),
        Panel(
            title="Errors",
            says="By operation and reason: a state, queue_full (a write dropped) or forged (a value not believed).",
            unit="ops",
            queries=[
                Query(
                    or_none(rate("transformer_redis_errors_total", by="operation, reason"), "reason"),
                    "{{operation}} {{reason}}",
                )
            ],
            stacked=True,
        ),
    ],
)

_FROM_REDIS = Row(
    "Redis itself (exporter beside the cluster's own Redis)",
    [
        Panel(
            title="Memory",
            says="At the limit, Redis evicts the keys used least.",
            unit="bytes",
            queries=[
                Query(f"sum(redis_memory_used_bytes{{{NAMESPACE}}})", "used"),
                Query(f"sum(redis_memory_max_bytes{{{NAMESPACE}}})", "limit"),
            ],
        ),
        Panel(
            title="Keys removed",
            says="Expiry is normal; eviction means that the memory is too small for the time to live.",
            unit="cps",
            queries=[
                Query(rate("redis_expired_keys_total"), "expired"),
                Query(rate("redis_evicted_keys_total"), "evicted"),
            ],
        ),
        Panel(
            title="Keys kept",
            says="Answers that another pod could find.",
            unit="short",
            queries=[Query(f"sum(redis_db_keys{{{NAMESPACE}}})", "keys")],
        ),
        Panel(
            title="Key hit ratio",
            says="Of single keys asked for in Redis; L1 hits never get here.",
            unit="percentunit",
            queries=[
                Query(
                    f"{rate('redis_keyspace_hits_total')} / "
                    f"({rate('redis_keyspace_hits_total')} + {rate('redis_keyspace_misses_total')})",
                    "hits",
                )
            ],
        ),
        Panel(
            title="Time in Redis by command",
            says="Seconds per second of Redis's single thread.",
            unit="percentunit",
            queries=[Query(rate("redis_commands_duration_seconds_total", by="cmd"), "{{cmd}}")],
            stacked=True,
        ),
        Panel(
            title="Clients",
            says="Connections; refused ones mean that maxclients is reached.",
            unit="short",
            queries=[
                Query(f"sum(redis_connected_clients{{{NAMESPACE}}})", "connected"),
                Query(f"sum(increase(redis_rejected_connections_total{{{NAMESPACE}}}[$__rate_interval]))", "refused"),
            ],
        ),
    ],
)

CACHE = Board(
    uid="sentiment-cache",
    title="Sentiment / Cache",
    says="Hit ratio, Redis seen from the transformer, and Redis's own figures.",
    rows=[_HITS, _FROM_HERE, _FROM_REDIS],
    namespace_of="transformer_in_flight",
)
