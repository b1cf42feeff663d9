// The load of every contestant: a closed loop of VUS clients. A request is the one that everybody sends, with
// probability SHARE, or SIZE texts that nobody sent before.
import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Trend } from 'k6/metrics';
import { uniform } from '../../lib/hash.js';
import { hotTexts, sentences } from '../../lib/sentences.js';
import { uniqueText } from '../../lib/workload.js';

const { URL, KEY, MARK, OUT } = __ENV;
const SIZE = Number(__ENV.SIZE);
const SHARE = Number(__ENV.SHARE);
const SEED = 1;
const HIT_DRAW = 1;

export const options = {
  scenarios: {
    load: { executor: 'constant-vus', vus: Number(__ENV.VUS), duration: `${__ENV.SECONDS}s`, gracefulStop: '30s' },
  },
  discardResponseBodies: true,
  summaryTrendStats: ['count', 'avg', 'med', 'p(90)', 'p(95)', 'p(99)', 'max'],
};

const known = new Trend('known_ms');
const fresh = new Trend('fresh_ms');
const common = JSON.stringify({ [KEY]: hotTexts(SIZE) });

function unseen(number) {
  return JSON.stringify({ [KEY]: Array.from({ length: SIZE }, (_, n) => uniqueText(sentences, SEED, MARK, number * SIZE + n)) });
}

export default function () {
  const number = exec.scenario.iterationInTest;
  const hit = uniform(SEED, number, HIT_DRAW) < SHARE;
  const answer = http.post(URL, hit ? common : unseen(number), { headers: { 'content-type': 'application/json' } });
  (hit ? known : fresh).add(answer.timings.duration);
  check(answer, { answered: (got) => got.status === 200 });
}

export function handleSummary(data) {
  return { [OUT]: JSON.stringify({ measured_s: data.state.testRunDurationMs / 1000, metrics: data.metrics }) };
}
