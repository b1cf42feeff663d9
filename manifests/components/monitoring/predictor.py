"""The Predictor board: where a forward's time goes, how full the queue is, what is refused."""

from manifests.components.monitoring.boards import (
    NAMESPACE,
    Board,
    Panel,
    Query,
    Row,
    or_none,
    quantile,
    rate,
    throttled,
)

_PADDING = f"1 - {rate('predictor_batch_tokens_sum')} / {rate('predictor_grid_tokens_total')}"

_LOAD = Row(
    "Load",
    [
        Panel(
            title="Requests by status",
            says="503 is an early refusal, with Retry-After.",
            unit="reqps",
            queries=[Query(rate("predictor_requests_total", by="status"), "{{status}}")],
            stacked=True,
        ),
        Panel(
            title="Texts and tokens",
            says="What the engine has processed.",
            unit="cps",
            queries=[
                Query(rate("predictor_texts_total"), "texts"),
                Query(rate("predictor_batch_tokens_sum"), "tokens"),
            ],
        ),
        Panel(
            title="Refused or dropped",
            says="By reason; client_gone is not the predictor's fault.",
            unit="reqps",
            queries=[Query(or_none(rate("predictor_shed_total", by="reason"), "reason"), "{{reason}}")],
            stacked=True,
        ),
    ],
)

_TIME = Row(
    "Where the time goes",
    [
        Panel(
            title=f"{name}, p50 and p99",
            says=says,
            unit="s",
            queries=[
                Query(quantile(share, f"predictor_{metric}_seconds"), f"p{100 * share:g}") for share in (0.5, 0.99)
            ],
        )
        for name, metric, says in (
            ("Tokenise", "tokenise", "From arrival to tokenised, waiting for the tokeniser included."),
            ("Queue", "queue", "From tokenised to the first forward; grows first when CPUs are short."),
            ("Inference", "inference", "One forward pass of one batch."),
        )
    ],
)

_QUEUE = Row(
    "Queue and batches",
    [
        Panel(
            title="Queue",
            says="Tokens that wait, by pod.",
            unit="short",
            queries=[Query(f"sum by (pod) (predictor_queue_tokens{{{NAMESPACE}}})", "{{pod}}")],
        ),
        Panel(
            title="Oldest in the queue",
            says="Age of the text that waits longest, by pod.",
            unit="s",
            queries=[Query(f"max by (pod) (predictor_queue_age_seconds{{{NAMESPACE}}})", "{{pod}}")],
        ),
        Panel(
            title="Batch size",
            says="On average; batches grow by themselves while the engine is busy.",
            unit="short",
            queries=[
                Query(f"{rate('predictor_batch_texts_sum')} / {rate('predictor_batch_texts_count')}", "texts"),
                Query(f"{rate('predictor_batch_tokens_sum')} / {rate('predictor_batch_tokens_count')}", "tokens"),
            ],
        ),
        Panel(
            title="Padding",
            says="Share of the batches that is padding, not tokens.",
            unit="percentunit",
            queries=[Query(_PADDING, "padding")],
        ),
        Panel(
            title="Truncated texts",
            says="Share of texts longer than the model can read.",
            unit="percentunit",
            queries=[
                Query(f"{rate('predictor_truncated_texts_total')} / {rate('predictor_texts_total')}", "truncated")
            ],
        ),
        Panel(
            title="Served",
            says="Pods by model version, engine and precision.",
            unit="short",
            queries=[
                Query(
                    f"count by (version, engine, precision) (predictor_model_info{{{NAMESPACE}}})",
                    "{{version}} {{engine}} {{precision}}",
                )
            ],
            stacked=True,
        ),
    ],
)

_CPU = Row(
    "CPU",
    [
        Panel(
            title="Throttled",
            says="Share of the kernel's periods in which the quota ran out; above a tenth, threads and quota differ.",
            unit="percentunit",
            queries=[Query(throttled("predictor"), "{{pod}}")],
        ),
        Panel(
            title="CPU in use",
            says="Cores, by pod, with the threads that one forward uses.",
            unit="short",
            queries=[
                Query(
                    f"sum by (pod) (rate(process_cpu_seconds_total{{{NAMESPACE}}}[$__rate_interval]) "
                    f"and on (pod) predictor_threads{{{NAMESPACE}}})",
                    "{{pod}}",
                ),
                Query(f"max(predictor_threads{{{NAMESPACE}}})", "threads of a forward"),
            ],
        ),
        Panel(
            title="Memory",
            says="Resident, by pod.",
            unit="bytes",
            queries=[
                Query(
                    f"process_resident_memory_bytes{{{NAMESPACE}}} and on (pod) predictor_threads{{{NAMESPACE}}}",
                    "{{pod}}",
                )
            ],
        ),
    ],
)

PREDICTOR = Board(
    uid="sentiment-predictor",
    title="Sentiment / Predictor",
    says="Load, time, queue, batches and CPU of the model server.",
    rows=[_LOAD, _TIME, _QUEUE, _CPU],
    namespace_of="predictor_threads",
)
