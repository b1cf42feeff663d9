// Time series out of k6's end-of-test summary: samples carry the number of the time window they fall into,
// and a threshold that always holds makes k6 keep each window's statistics apart.

export const WINDOWS = 24;
export const OUTCOMES = ['hit', 'partial', 'miss'];
export const STATUSES = [0, 200, 400, 401, 403, 404, 405, 413, 422, 429, 500, 502, 503, 504];
const ALWAYS = ['max>=0'];
const ALWAYS_RATE = ['rate>=0'];
const ALWAYS_COUNT = ['count>=0'];

/** Length of one window in seconds for a run of total_s. */
export function windowSeconds(total_s) {
  return Math.max(1, Math.ceil(total_s / WINDOWS));
}

/** Number of the window that elapsed_s falls into; what runs over stays in the last. */
export function windowAt(elapsed_s, total_s) {
  return Math.min(WINDOWS - 1, Math.max(0, Math.floor(elapsed_s / windowSeconds(total_s))));
}

/** Thresholds that only ask k6 to keep sub-metrics: by outcome, window, step and status. */
export function keepSubmetrics(steps = []) {
  const kept = {};
  for (const outcome of OUTCOMES) kept[`predict_duration{cache:${outcome}}`] = ALWAYS;
  for (const status of STATUSES) kept[`predict_status{status:${status}}`] = ALWAYS_COUNT;
  for (let window = 0; window < WINDOWS; window += 1) {
    kept[`predict_duration{window:${window}}`] = ALWAYS;
    kept[`predict_failed{window:${window}}`] = ALWAYS_RATE;
    kept[`cache_hit{window:${window}}`] = ALWAYS_RATE;
  }
  for (const step of steps) {
    kept[`predict_duration{step:${step}}`] = ALWAYS;
    kept[`predict_failed{step:${step}}`] = ALWAYS_RATE;
    kept[`cache_hit{step:${step}}`] = ALWAYS_RATE;
  }
  return kept;
}

/** True for an expression that keepSubmetrics added and that says nothing about the service. */
export function isKeeper(expression) {
  return [...ALWAYS, ...ALWAYS_RATE, ...ALWAYS_COUNT].includes(expression);
}
