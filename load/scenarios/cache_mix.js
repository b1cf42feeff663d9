// Open model with a set hit ratio: which iteration hits follows from its number alone, and a miss is a text that
// nobody asked for before. The service's x-cache is held against it.
import { cacheMixHitRatio } from '../lib/expectation.js';
import { askMix, setupMix } from '../lib/mix.js';
import { optionsOf, commonThresholds, latencyThresholds, nothingDropped } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { readSettings } from '../lib/settings.js';
import { constantRate } from '../lib/stages.js';

const settings = readSettings(__ENV);
const expected = cacheMixHitRatio({
  share: settings.HIT_RATE ** settings.SIZE,
  hot: settings.HOT,
  texts_per_s: settings.RATE * settings.SIZE,
  ttl_s: settings.CACHE_TTL_S,
  duration_s: settings.DURATION_S,
});

export const options = optionsOf({
  settings,
  scenarios: { cache_mix: constantRate({ rate: settings.RATE, duration_s: settings.DURATION_S, max_vus: settings.MAX_VUS }) },
  thresholds: {
    ...commonThresholds(settings),
    ...latencyThresholds(settings),
    ...nothingDropped(),
    cache_hit: [`rate>=${(expected - settings.HIT_TOLERANCE).toFixed(4)}`, `rate<=${(expected + settings.HIT_TOLERANCE).toFixed(4)}`],
  },
});

export const setup = () => setupMix(settings, settings.DURATION_S);

export default function (run) {
  askMix(settings, run, { rate: settings.RATE });
}

export const handleSummary = summaryOf(settings, { scenario: 'cache_mix', total_s: settings.DURATION_S, expected_hit_share: expected });
