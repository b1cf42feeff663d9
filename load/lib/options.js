// k6 options that every scenario shares.
import { keepSubmetrics } from './windows.js';

/** Options of a run: `scenarios`, its own `thresholds`, and the sub-metrics that the summary reads. */
export function optionsOf({ settings, scenarios, thresholds = {}, steps = [] }) {
  const merged = keepSubmetrics(steps);
  for (const [metric, expressions] of Object.entries(thresholds)) {
    merged[metric] = [...(merged[metric] ?? []), ...expressions];
  }
  return {
    scenarios,
    thresholds: merged,
    summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)', 'max', 'count'],
    insecureSkipTLSVerify: settings.INSECURE,
    noVUConnectionReuse: false,
    setupTimeout: '120s',
    userAgent: 'sentiment-load',
  };
}

/** What every measured run must keep: few failures, checked answers true, nothing left unsent. */
export function commonThresholds(settings) {
  return {
    predict_failed: [`rate<=${settings.MAX_FAILED}`],
    checks: ['rate>=0.999'],
  };
}

/** Bounds on the 99th percentile by cache outcome. */
export function latencyThresholds(settings) {
  return {
    'predict_duration{cache:hit}': [`p(99)<${settings.P99_HIT_MS}`],
    'predict_duration{cache:miss}': [`p(99)<${settings.P99_MISS_MS}`],
  };
}

/** An open-model run is only honest when every planned request was sent. */
export function nothingDropped() {
  return { dropped_iterations: ['count==0'] };
}
