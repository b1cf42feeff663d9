// A jump to PEAK_FACTOR x RATE within a second, held, and back: what a scale-out, cold pods included, does to users.
import { askMix, setupMix } from '../lib/mix.js';
import { optionsOf } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { readSettings } from '../lib/settings.js';
import { movingRate, spikeStages, totalSeconds } from '../lib/stages.js';
import { ms, percent } from '../lib/text.js';

const settings = readSettings(__ENV, { RATE: 10, DURATION_S: 240, HIT_RATE: 0.5, MAX_FAILED: 0.01 });
const stages = spikeStages({ rate: settings.RATE, peak: settings.RATE * settings.PEAK_FACTOR, duration_s: settings.DURATION_S });
const total_s = totalSeconds(stages);

export const options = optionsOf({
  settings,
  scenarios: { spike: movingRate({ start_rate: settings.RATE, stages, max_vus: settings.MAX_VUS }) },
  thresholds: { predict_failed: [`rate<=${settings.MAX_FAILED}`], checks: ['rate>=0.999'] },
});

export const setup = () => setupMix(settings, total_s);

export default function (run) {
  askMix(settings, run, { rate: settings.RATE * settings.PEAK_FACTOR });
}

/** The worst window, and how long after the jump p99 came back to twice its value before. */
function recovery({ windows }) {
  const jump_s = stages[0].duration_s;
  const before = windows.filter(({ start_s, length_s, latency }) => latency && start_s + length_s <= jump_s);
  const after = windows.filter(({ start_s, latency }) => latency && start_s >= jump_s - 1);
  if (before.length === 0 || after.length === 0) return ['too short to compare before and after the jump'];
  const calm_ms = Math.max(...before.map(({ latency }) => latency.p99_ms));
  const worst = after.reduce((most, window) => (window.latency.p99_ms > most.latency.p99_ms ? window : most));
  const settled = after.find(({ start_s, latency }) => start_s >= worst.start_s && latency.p99_ms <= 2 * calm_ms);
  return [
    `p99 before the jump ${ms(calm_ms)} ms, worst after it ${ms(worst.latency.p99_ms)} ms in the window at ${worst.start_s} s (failed ${percent(worst.failed_share)})`,
    settled ? `p99 back within twice the calm value ${settled.start_s - jump_s} s after the jump` : 'p99 did not come back within the run',
  ];
}

export const handleSummary = summaryOf(settings, { scenario: 'spike', total_s, conclude: recovery });
