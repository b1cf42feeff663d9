// Turns k6's end-of-test data into the result that the text, the JSON file, the page and the report share.
import { OUTCOMES, STATUSES, WINDOWS, isKeeper, windowSeconds } from './windows.js';

export const RESULT_SCHEMA = 1;

function latencyOf(metric) {
  const values = metric?.values;
  if (!values || !values.count) return null;
  return {
    count: values.count,
    mean_ms: values.avg,
    min_ms: values.min,
    p50_ms: values.med,
    p90_ms: values['p(90)'],
    p95_ms: values['p(95)'],
    p99_ms: values['p(99)'],
    p999_ms: values['p(99.9)'],
    max_ms: values.max,
  };
}

function rateOf(metric) {
  const values = metric?.values;
  if (!values || values.passes + values.fails === 0) return null;
  return values.rate;
}

function samplesOf(metric) {
  return (metric?.values.passes ?? 0) + (metric?.values.fails ?? 0);
}

function windowsOf(metrics, total_s) {
  const length_s = windowSeconds(total_s);
  const windows = [];
  for (let number = 0; number < WINDOWS; number += 1) {
    const asked = samplesOf(metrics[`predict_failed{window:${number}}`]);
    if (asked === 0) continue;
    windows.push({
      start_s: number * length_s,
      length_s: number === WINDOWS - 1 ? Math.max(1, total_s - number * length_s) : Math.min(length_s, Math.max(1, total_s - number * length_s)),
      requests: asked,
      failed_share: rateOf(metrics[`predict_failed{window:${number}}`]),
      hit_share: rateOf(metrics[`cache_hit{window:${number}}`]),
      latency: latencyOf(metrics[`predict_duration{window:${number}}`]),
    });
  }
  return windows;
}

function stepsOf(metrics, steps, step_s) {
  return steps
    .map((step) => ({
      step,
      requests: samplesOf(metrics[`predict_failed{step:${step}}`]),
      per_s: step_s ? samplesOf(metrics[`predict_failed{step:${step}}`]) / step_s : null,
      failed_share: rateOf(metrics[`predict_failed{step:${step}}`]),
      hit_share: rateOf(metrics[`cache_hit{step:${step}}`]),
      latency: latencyOf(metrics[`predict_duration{step:${step}}`]),
    }))
    .filter(({ requests }) => requests > 0);
}

function thresholdsOf(metrics) {
  const rows = [];
  for (const [metric, { thresholds }] of Object.entries(metrics)) {
    for (const [expression, { ok }] of Object.entries(thresholds ?? {})) {
      if (!isKeeper(expression)) rows.push({ metric, expression, ok });
    }
  }
  return rows;
}

function checksOf(group) {
  const own = (group?.checks ?? []).map(({ name, passes, fails }) => ({ name, passes, fails }));
  return own.concat(...(group?.groups ?? []).map(checksOf));
}

/**
 * The result of a run from k6's `data`; `run` gives scenario, planned total_s, steps, step_s, settings, machine,
 * expected_hit_share and finished_at. Shares lie in 0..1; a latency is null where nothing was measured.
 */
export function resultOf(data, run) {
  const { metrics } = data;
  const total_s = Math.min(run.total_s, data.state.testRunDurationMs / 1000);
  const asked = samplesOf(metrics.predict_failed);
  const statuses = {};
  for (const status of STATUSES) {
    const count = metrics[`predict_status{status:${status}}`]?.values.count ?? 0;
    if (count > 0) statuses[status] = count;
  }
  const outcomes = {};
  for (const outcome of OUTCOMES) outcomes[outcome] = latencyOf(metrics[`predict_duration{cache:${outcome}}`]);
  return {
    schema: RESULT_SCHEMA,
    scenario: run.scenario,
    finished_at: run.finished_at,
    planned_s: run.total_s,
    measured_s: total_s,
    settings: run.settings,
    notes: [],
    machine: run.machine ?? null,
    requests: { count: asked, per_s: asked / total_s, failed_share: rateOf(metrics.predict_failed) ?? 0, statuses },
    texts: { count: metrics.predict_texts?.values.count ?? 0, per_s: (metrics.predict_texts?.values.count ?? 0) / total_s },
    dropped: metrics.dropped_iterations?.values.count ?? 0,
    latency: { all: latencyOf(metrics.predict_duration), ...outcomes, refused: latencyOf(metrics.refused_duration) },
    cache: {
      hit_share: rateOf(metrics.cache_hit),
      as_expected_share: rateOf(metrics.cache_as_expected),
      expected_hit_share: run.expected_hit_share ?? null,
    },
    windows: windowsOf(metrics, run.total_s),
    steps: stepsOf(metrics, run.steps ?? [], run.step_s),
    checks: checksOf(data.root_group),
    thresholds: thresholdsOf(metrics),
  };
}

/** True when every threshold that says something about the service held. */
export function passed(result) {
  return result.thresholds.every(({ ok }) => ok);
}

/** The windows from the start on that met the bounds, up to the first that did not. */
export function goodWindows(result, { p99_ms, failed_share }) {
  const broken = result.windows.findIndex(
    ({ latency, failed_share: failed }) => latency === null || latency.p99_ms > p99_ms || failed > failed_share,
  );
  return broken === -1 ? result.windows : result.windows.slice(0, broken);
}
