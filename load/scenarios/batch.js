// Texts per request: the same rate of texts in requests of several sizes, one size after the other.
import exec from 'k6/execution';
import { askMix, setupMix } from '../lib/mix.js';
import { optionsOf, commonThresholds, nothingDropped } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { numberList, readSettings } from '../lib/settings.js';
import { constantRate } from '../lib/stages.js';

const PAUSE_S = 2;
const settings = readSettings(__ENV, { DURATION_S: 20, HIT_RATE: 0.5, RATE: 32 }); // RATE counts texts here
const sizes = numberList('SIZES', settings.SIZES).map(Math.round);
const steps = sizes.map((size) => `${size}texts`);
const total_s = sizes.length * (settings.DURATION_S + PAUSE_S);
const scenarios = {};
const positions = {};
sizes.forEach((size, position) => {
  scenarios[`size_${size}`] = constantRate({
    rate: settings.RATE / size,
    duration_s: settings.DURATION_S,
    max_vus: settings.MAX_VUS,
    start_s: position * (settings.DURATION_S + PAUSE_S),
  });
  positions[`size_${size}`] = position;
});

export const options = optionsOf({ settings, scenarios, steps, thresholds: { ...commonThresholds(settings), ...nothingDropped() } });

export const setup = () => setupMix(settings, total_s);

export default function (run) {
  const position = positions[exec.scenario.name];
  askMix(settings, run, { rate: settings.RATE / sizes[position], step: position, size: sizes[position], tags: { step: steps[position] } });
}

export const handleSummary = summaryOf(settings, { scenario: 'batch', total_s, steps, step_s: settings.DURATION_S });
