// A closed loop of VUS clients without pauses: the most the stack carries at a set hit ratio. Its latency says little,
// because a slow answer holds back the next request; use cache_mix for that.
import { askMix, setupMix } from '../lib/mix.js';
import { commonThresholds, optionsOf } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { readSettings } from '../lib/settings.js';

const settings = readSettings(__ENV, { DURATION_S: 20, VERIFY: 0.01 });

export const options = optionsOf({
  settings,
  scenarios: { saturate: { executor: 'constant-vus', vus: settings.VUS, duration: `${settings.DURATION_S}s`, gracefulStop: '30s' } },
  thresholds: commonThresholds(settings),
});

export const setup = () => setupMix(settings, settings.DURATION_S);

export default function (run) {
  askMix(settings, run);
}

export const handleSummary = summaryOf(settings, {
  scenario: 'saturate',
  total_s: settings.DURATION_S,
  expected_hit_share: settings.HIT_RATE ** settings.SIZE,
  conclude: () => [`closed loop of ${settings.VUS} clients: the rate is the most the stack carries, the latency is what that costs`],
});
