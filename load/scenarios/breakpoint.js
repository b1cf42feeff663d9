// Finds the capacity: the rate climbs to PEAK_FACTOR x RATE and the run ends when p99 or failures leave the SLO.
import { askMix, setupMix } from '../lib/mix.js';
import { optionsOf } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { goodWindows } from '../lib/result.js';
import { readSettings } from '../lib/settings.js';
import { movingRate } from '../lib/stages.js';

const settings = readSettings(__ENV, { RATE: 10, PEAK_FACTOR: 20, DURATION_S: 120, P99_MISS_MS: 500, MAX_FAILED: 0.01 });
const slo = { p99_ms: settings.P99_MISS_MS, failed_share: settings.MAX_FAILED };
const stages = [{ rate: settings.RATE * settings.PEAK_FACTOR, duration_s: settings.DURATION_S }];

export const options = optionsOf({
  settings,
  scenarios: { breakpoint: movingRate({ start_rate: settings.RATE, stages, max_vus: settings.MAX_VUS }) },
  // An overload is the expected end of this run: thresholds that end it, and none that call it a failure.
  thresholds: {},
});
options.thresholds.dropped_iterations = [{ threshold: 'count<1', abortOnFail: true, delayAbortEval: '10s' }];
options.thresholds.predict_duration = [{ threshold: `p(90)<${4 * slo.p99_ms}`, abortOnFail: true, delayAbortEval: '10s' }];
options.thresholds.predict_failed = [{ threshold: 'rate<0.2', abortOnFail: true, delayAbortEval: '10s' }];

export const setup = () => setupMix(settings, settings.DURATION_S);

export default function (run) {
  askMix(settings, run, { rate: settings.RATE * settings.PEAK_FACTOR });
}

function capacity(result) {
  const good = goodWindows(result, slo);
  if (good.length === 0) return [`even the first window broke p99 ${slo.p99_ms} ms or ${slo.failed_share * 100} % failures: start lower than ${settings.RATE}/s`];
  const rate = Math.max(...good.map(({ requests, length_s }) => requests / length_s));
  return [
    good.length === result.windows.length && result.dropped === 0
      ? `the SLO held to the end: capacity is above ${rate.toFixed(0)} requests/s, raise RATE or PEAK_FACTOR`
      : `capacity at p99 ${slo.p99_ms} ms: about ${rate.toFixed(0)} requests/s`,
  ];
}

export const handleSummary = summaryOf(settings, { scenario: 'breakpoint', total_s: settings.DURATION_S, conclude: capacity });
