// The common course of the scenarios that mix a warmed hot set with texts nobody asked before.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { ask, startRun, warm } from './client.js';
import { hotTexts, sentences } from './sentences.js';
import { cacheMix, shiftSeconds } from './workload.js';

/** setup(): warms the hot set, then lets the clock of the run start. */
export function setupMix(settings, total_s) {
  const run = startRun(settings, total_s);
  if (settings.HIT_RATE > 0) warm(settings, hotTexts(settings.HOT));
  return { ...run, started_ms: Date.now() };
}

/** Waits this iteration's share of randomness before it asks; `rate` is requests a second, 0 for closed loops. */
export function scatter(settings, rate) {
  if (rate > 0 && settings.JITTER > 0) {
    sleep(shiftSeconds({ seed: settings.SEED, index: exec.scenario.iterationInTest, jitter: settings.JITTER, rate }));
  }
}

/** One iteration: `rate` scatters it, `step` numbers the scenarios of a run so that their misses differ, `size` is texts per request. */
export function askMix(settings, run, { rate = 0, step = 0, size = settings.SIZE, share = settings.HIT_RATE, tags = {} } = {}) {
  scatter(settings, rate);
  const request = cacheMix({
    sentences,
    seed: settings.SEED + step,
    share,
    hot: settings.HOT,
    size,
    mark: step === 0 ? run.mark : `${run.mark}${step}`,
    index: exec.scenario.iterationInTest,
  });
  return ask(settings, run, request, tags);
}
