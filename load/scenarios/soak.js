// A constant rate for long: does latency or the failure share drift?
import { cacheMixHitRatio } from '../lib/expectation.js';
import { askMix, setupMix } from '../lib/mix.js';
import { optionsOf, commonThresholds, latencyThresholds, nothingDropped } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { readSettings } from '../lib/settings.js';
import { constantRate } from '../lib/stages.js';
import { ms } from '../lib/text.js';

const settings = readSettings(__ENV, { DURATION_S: 3600, VERIFY: 0.02 });

export const options = optionsOf({
  settings,
  scenarios: { soak: constantRate({ rate: settings.RATE, duration_s: settings.DURATION_S, max_vus: settings.MAX_VUS }) },
  thresholds: { ...commonThresholds(settings), ...latencyThresholds(settings), ...nothingDropped() },
});

export const setup = () => setupMix(settings, settings.DURATION_S);

export default function (run) {
  askMix(settings, run, { rate: settings.RATE });
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function drift({ windows }) {
  const p95 = windows.filter(({ latency }) => latency).map(({ latency }) => latency.p95_ms);
  const third = Math.floor(p95.length / 3);
  if (third === 0) return ['too short to speak of drift'];
  const first = median(p95.slice(0, third));
  const last = median(p95.slice(-third));
  return [`median p95 of the first third ${ms(first)} ms, of the last ${ms(last)} ms (${((last / first - 1) * 100).toFixed(0)} %)`];
}

export const handleSummary = summaryOf(settings, {
  scenario: 'soak',
  total_s: settings.DURATION_S,
  expected_hit_share: cacheMixHitRatio({ share: settings.HIT_RATE ** settings.SIZE, hot: settings.HOT, texts_per_s: settings.RATE * settings.SIZE, ttl_s: settings.CACHE_TTL_S, duration_s: settings.DURATION_S }),
  conclude: drift,
});
