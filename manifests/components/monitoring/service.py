"""The Service board: is it up, is it fast, does it meet its objectives, what does it cost."""

from manifests.components.monitoring.alerts import UNSURE
from manifests.components.monitoring.boards import (
    NAMESPACE,
    Board,
    Panel,
    Query,
    Row,
    TextVariable,
    or_none,
    quantile,
    rate,
    throttled,
)
from manifests.components.monitoring.objectives import BURNS, OBJECTIVES, PREDICT_ROUTES

_PREDICT = f"{NAMESPACE},{PREDICT_ROUTES}"
_FAILED = rate("transformer_requests_total", where=f'{_PREDICT},status=~"5.."')
_TEXTS = rate("transformer_texts_total")
_CACHED = rate("transformer_texts_total", where=f'{NAMESPACE},outcome=~"hit_l1|hit_l2|duplicate|coalesced"')
_CORES = f'sum(kube_pod_container_resource_requests{{{NAMESPACE},resource="cpu",container="kserve-container"}})'
_CPU = rate("process_cpu_seconds_total")

_NOW = Row(
    "Now",
    [
        Panel(
            title="Requests",
            says="Requests to the prediction routes.",
            unit="reqps",
            queries=[Query(rate("transformer_requests_total", where=_PREDICT), "requests")],
            kind="number",
            width=4,
        ),
        Panel(
            title="Failed",
            says="Share answered with a 5xx.",
            unit="percentunit",
            queries=[
                Query(
                    f"({_FAILED} or vector(0)) / {rate('transformer_requests_total', where=_PREDICT)}",
                    "5xx",
                )
            ],
            kind="number",
            limits=(0.001, 0.01),
            width=4,
        ),
        Panel(
            title="Hit, 99 % within",
            says="Requests answered from the cache alone.",
            unit="s",
            queries=[Query(quantile(0.99, "transformer_request_seconds", where=f'{NAMESPACE},outcome="hit"'), "p99")],
            kind="number",
            limits=(0.005, 0.025),
            width=4,
        ),
        Panel(
            title="Miss, 99 % within",
            says="Requests of which no text was cached.",
            unit="s",
            queries=[Query(quantile(0.99, "transformer_request_seconds", where=f'{NAMESPACE},outcome="miss"'), "p99")],
            kind="number",
            limits=(0.25, 1.0),
            width=4,
        ),
        Panel(
            title="Not computed",
            says="Share of texts that cost no forward pass: cached, repeated in a request, or being computed already.",
            unit="percentunit",
            queries=[Query(f"{_CACHED} / {_TEXTS}", "not computed")],
            kind="number",
            width=4,
        ),
        Panel(
            title="In flight",
            says="Requests being answered.",
            unit="short",
            queries=[Query(f"sum(transformer_in_flight{{{NAMESPACE}}})", "in flight")],
            kind="number",
            width=4,
        ),
    ],
)

_REQUESTS = Row(
    "Requests",
    [
        Panel(
            title="Requests by status",
            says="Prediction routes only; 499 is a client that hung up.",
            unit="reqps",
            queries=[Query(rate("transformer_requests_total", by="status", where=_PREDICT), "{{status}}")],
            stacked=True,
        ),
        Panel(
            title="Requests by cache outcome",
            says="hit: every text cached; miss: none; partial: some.",
            unit="reqps",
            queries=[
                Query(
                    rate("transformer_request_seconds_count", by="outcome", where=f'{NAMESPACE},outcome!="other"'),
                    "{{outcome}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            title="Predictor calls that failed",
            says="By error code, as seen from the transformer.",
            unit="reqps",
            queries=[
                Query(or_none(rate("transformer_predictor_errors_total", by="code"), "code"), "{{code}}"),
            ],
            stacked=True,
        ),
        Panel(
            title="Latency of hits",
            says="From body to answer, inside the transformer.",
            unit="s",
            queries=[
                Query(
                    quantile(share, "transformer_request_seconds", where=f'{NAMESPACE},outcome="hit"'),
                    f"p{100 * share:g}",
                )
                for share in (0.5, 0.95, 0.99)
            ],
        ),
        Panel(
            title="Latency of misses and partial hits",
            says="From body to answer, forward pass and all.",
            unit="s",
            queries=[
                Query(
                    quantile(
                        share, "transformer_request_seconds", by="outcome", where=f'{NAMESPACE},outcome=~"miss|partial"'
                    ),
                    f"{{{{outcome}}}} p{100 * share:g}",
                )
                for share in (0.5, 0.99)
            ],
        ),
        Panel(
            title="Predictor calls",
            says="From the transformer's side: network, queue, inference and a retry, if any.",
            unit="s",
            queries=[
                Query(quantile(share, "transformer_predictor_seconds"), f"p{100 * share:g}")
                for share in (0.5, 0.95, 0.99)
            ],
        ),
    ],
)

_OBJECTIVES = Row(
    "Objectives",
    [
        Panel(
            title=f"Budget left: {objective.name.replace('_', ' ')}",
            says=f"Share of 30 days' error budget; the objective: {objective.target:.1%} {objective.good_means}.",
            unit="percentunit",
            queries=[
                Query(
                    f"1 - ({objective.ratio('30d')}) / {objective.budget} and on (namespace) "
                    f'label_replace(vector(1), "namespace", "$namespace", "", "")',
                    objective.name,
                )
            ],
            kind="number",
            limits=(0.25, 0.0),
        )
        for objective in OBJECTIVES
    ]
    + [
        Panel(
            title=f"Burn rate: {objective.name.replace('_', ' ')}",
            says=f"At 1 the budget lasts 30 days; pages at {BURNS[0][2]} over 1 h and at {BURNS[1][2]:g} over 6 h.",
            unit="short",
            queries=[
                Query(f"{objective.recorded(window)}{{{NAMESPACE}}} / {objective.budget}", window)
                for window in ("5m", "1h", "6h")
            ],
        )
        for objective in OBJECTIVES
    ],
)

_SCORES = "transformer_answer_score_bucket"


def _unsure(window: str) -> str:
    unsure, every = (f'sum(rate({_SCORES}{{{NAMESPACE},le="{bound}"}}[{window}]))' for bound in (UNSURE, "+Inf"))
    return f"{unsure} / {every}"


_ANSWERS = Row(
    "Answers",
    [
        Panel(
            title="Answers by label",
            says="Share of each label in the texts answered. A shift without a new model means different texts.",
            unit="percentunit",
            queries=[
                Query(
                    f"{rate('transformer_answers_total', by='label')} / ignoring (label) group_left () "
                    f"{rate('transformer_answers_total')}",
                    "{{label}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            title="How sure the model is",
            says="Best label's score of the texts answered: half score above p50, a tenth below p10.",
            unit="percentunit",
            queries=[
                Query(quantile(share, "transformer_answer_score"), f"p{100 * share:g}") for share in (0.05, 0.1, 0.5)
            ],
        ),
        Panel(
            title="Low confidence",
            says=f"Share of texts whose best label has a score of {UNSURE} or less, now and over a day.",
            unit="percentunit",
            queries=[Query(_unsure("$__rate_interval"), "now"), Query(_unsure("1d"), "a day")],
        ),
    ],
)

_COST = Row(
    "Cost",
    [
        Panel(
            title="Texts by outcome",
            says="Only misses cost a forward pass.",
            unit="cps",
            queries=[Query(rate("transformer_texts_total", by="outcome"), "{{outcome}}")],
            stacked=True,
        ),
        Panel(
            title="CPU per thousand texts",
            says="CPU time of both services, idle overhead included.",
            unit="s",
            queries=[Query(f"1000 * {_CPU} / {_TEXTS}", "CPU seconds")],
        ),
        Panel(
            title="USD per million texts",
            says="Requested CPUs at the price above, spread over the texts answered now.",
            unit="currencyUSD",
            queries=[Query(f"{_CORES} * $usd_per_cpu_hour / 3600 / {_TEXTS} * 1e6", "USD")],
        ),
        Panel(
            title="Model versions in force",
            says="Transformers by the version they look answers up under; two lines are a rollout.",
            unit="short",
            queries=[Query(f"count by (version) (transformer_model_info{{{NAMESPACE}}})", "{{version}}")],
            stacked=True,
        ),
        Panel(
            title="CPU in use",
            says="Cores, by pod.",
            unit="short",
            queries=[Query(rate("process_cpu_seconds_total", by="pod"), "{{pod}}")],
            stacked=True,
        ),
        Panel(
            title="Throttled",
            says="Share of the kernel's periods in which a pod's CPU quota ran out; above a tenth, CPU is too scarce.",
            unit="percentunit",
            queries=[Query(throttled(component), "{{pod}}") for component in ("transformer", "predictor")],
        ),
    ],
)

SERVICE = Board(
    uid="sentiment-service",
    title="Sentiment / Service",
    says="Requests, latency by cache outcome, what the answers say, objectives and cost.",
    rows=[_NOW, _REQUESTS, _ANSWERS, _OBJECTIVES, _COST],
    namespace_of="transformer_in_flight",
    variables=[TextVariable(name="usd_per_cpu_hour", label="USD per CPU and hour", value="0.05")],
)
