// Open model at set rates, one after the other: what latency does each rate meet?
import exec from 'k6/execution';
import { cacheMixHitRatio } from '../lib/expectation.js';
import { askMix, setupMix } from '../lib/mix.js';
import { optionsOf, commonThresholds, latencyThresholds, nothingDropped } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { numberList, readSettings } from '../lib/settings.js';
import { rateSteps } from '../lib/stages.js';

const PAUSE_S = 2;
const settings = readSettings(__ENV, { DURATION_S: 30, RATES: '25,50,100' });
const rates = numberList('RATES', settings.RATES);
const steps = rates.map((rate) => `${rate}rps`);
const total_s = rates.length * (settings.DURATION_S + PAUSE_S);
const scenarios = rateSteps({ rates, duration_s: settings.DURATION_S, max_vus: settings.MAX_VUS, pause_s: PAUSE_S });
const positions = Object.fromEntries(Object.keys(scenarios).map((name, position) => [name, position]));

export const options = optionsOf({
  settings,
  scenarios,
  steps,
  thresholds: { ...commonThresholds(settings), ...latencyThresholds(settings), ...nothingDropped() },
});

export const setup = () => setupMix(settings, total_s);

export default function (run) {
  const position = positions[exec.scenario.name];
  askMix(settings, run, { rate: rates[position], step: position, tags: { step: steps[position] } });
}

const mean_rate = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;

export const handleSummary = summaryOf(settings, {
  scenario: 'baseline',
  total_s,
  steps,
  step_s: settings.DURATION_S,
  expected_hit_share: cacheMixHitRatio({ share: settings.HIT_RATE ** settings.SIZE, hot: settings.HOT, texts_per_s: mean_rate * settings.SIZE, ttl_s: settings.CACHE_TTL_S, duration_s: total_s }),
});
