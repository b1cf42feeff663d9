// Is the service there, and does it keep its contract? A few seconds, fit for CI.
import http from 'k6/http';
import { fail, sleep } from 'k6';
import { askQuietly, startRun, warm } from '../lib/client.js';
import { askMix } from '../lib/mix.js';
import { optionsOf, commonThresholds, nothingDropped } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { hotTexts, sentences } from '../lib/sentences.js';
import { headersOf, readSettings } from '../lib/settings.js';
import { constantRate } from '../lib/stages.js';
import { uniqueText } from '../lib/workload.js';

const settings = readSettings(__ENV, { RATE: 20, DURATION_S: 5, HIT_RATE: 0.8, HOT: 20, VERIFY: 1, MAX_FAILED: 0 });
const SETUP_NUMBER = 0x7fffff;

export const options = optionsOf({
  settings,
  scenarios: { smoke: constantRate({ rate: settings.RATE, duration_s: settings.DURATION_S, max_vus: settings.MAX_VUS }) },
  thresholds: {
    ...commonThresholds(settings),
    ...nothingDropped(),
    cache_as_expected: [`rate>=${1 - settings.HIT_TOLERANCE}`],
  },
});

function must(condition, sentence) {
  if (!condition) fail(sentence);
}

/** Replicas share answers through a cache that is written after the answer left: give it a moment. */
function askUntilHit(text, tries = 10) {
  let response = askQuietly(settings, [text]);
  for (let attempt = 1; attempt < tries && response.headers['X-Cache'] !== 'hit'; attempt += 1) {
    sleep(0.05);
    response = askQuietly(settings, [text]);
  }
  return response;
}

function proveCache(run) {
  const fresh = uniqueText(sentences, settings.SEED, run.mark, SETUP_NUMBER);
  const other = uniqueText(sentences, settings.SEED, run.mark, SETUP_NUMBER - 1);
  const first = askQuietly(settings, [fresh]);
  must(first.headers['X-Cache'] === 'miss', `a text asked for the first time is ${first.headers['X-Cache']}, not a miss`);
  const again = askUntilHit(fresh);
  must(again.headers['X-Cache'] === 'hit', `a text asked for again is ${again.headers['X-Cache']}, not a hit`);
  must(again.body === first.body, 'a hit and a miss of one text give different bodies');
  const mixed = askQuietly(settings, [fresh, other]);
  must(mixed.headers['X-Cache'] === 'partial', `one known and one new text are ${mixed.headers['X-Cache']}, not partial`);
}

export function setup() {
  const health = http.get(`${settings.URL}/health`, { headers: headersOf(settings), tags: { name: 'health', phase: 'warmup' } });
  must(health.status === 200, `/health answered ${health.status} ${health.error}`);
  const run = startRun(settings, settings.DURATION_S);
  proveCache(run);
  warm(settings, hotTexts(settings.HOT));
  return { ...run, started_ms: Date.now() };
}

export default function (run) {
  askMix(settings, run);
}

export const handleSummary = summaryOf(settings, {
  scenario: 'smoke',
  total_s: settings.DURATION_S,
  expected_hit_share: settings.HIT_RATE,
});
