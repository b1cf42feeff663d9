// A realistic trace: Zipf popularity, one to sixteen texts a request, a rate that rises and falls. Seeded: the same
// SEED asks the same texts in the same order.
import exec from 'k6/execution';
import { ask, startRun } from '../lib/client.js';
import { scatter } from '../lib/mix.js';
import { optionsOf, commonThresholds, nothingDropped } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { sentences } from '../lib/sentences.js';
import { readSettings } from '../lib/settings.js';
import { movingRate, totalSeconds, waveStages } from '../lib/stages.js';
import { zipfRequest } from '../lib/workload.js';
import { zipfCdf } from '../lib/zipf.js';

const settings = readSettings(__ENV, { DURATION_S: 120 });
const stages = waveStages({ rate: settings.RATE, duration_s: settings.DURATION_S });
const cdf = zipfCdf(settings.ZIPF_TEXTS, settings.ZIPF_EXPONENT);
const total_s = totalSeconds(stages);

export const options = optionsOf({
  settings,
  scenarios: { zipf: movingRate({ start_rate: settings.RATE, stages, max_vus: settings.MAX_VUS }) },
  thresholds: { ...commonThresholds(settings), ...nothingDropped(), predict_duration: [`p(99)<${settings.P99_MISS_MS}`] },
});

export function setup() {
  return startRun(settings, total_s);
}

export default function (run) {
  scatter(settings, settings.RATE);
  ask(settings, run, zipfRequest({ sentences, seed: settings.SEED, cdf, mark: settings.COLD ? run.mark : '', index: exec.scenario.iterationInTest }));
}

export const handleSummary = summaryOf(settings, {
  scenario: 'zipf',
  total_s,
  conclude: () => [
    `${settings.ZIPF_TEXTS} texts, exponent ${settings.ZIPF_EXPONENT}, ${settings.COLD ? 'cold cache at the start' : 'texts may be cached from earlier runs'}`,
  ],
});
