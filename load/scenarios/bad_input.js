// Bad requests at a steady rate among good ones: each must get its own status and error body, and the good ones
// must not suffer.
import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { badInputs, bodyOf, errorProblems } from '../lib/bad_inputs.js';
import { startRun } from '../lib/client.js';
import { askMix } from '../lib/mix.js';
import { optionsOf, commonThresholds, nothingDropped } from '../lib/options.js';
import { summaryOf } from '../lib/output.js';
import { headersOf, readSettings } from '../lib/settings.js';
import { constantRate } from '../lib/stages.js';

const settings = readSettings(__ENV, { RATE: 20, DURATION_S: 10, HIT_RATE: 0, VERIFY: 1, MAX_FAILED: 0 });
const cases = badInputs(settings.PREDICT_PATH);

export const options = optionsOf({
  settings,
  scenarios: {
    good: { ...constantRate({ rate: settings.RATE, duration_s: settings.DURATION_S, max_vus: settings.MAX_VUS }), exec: 'good' },
    bad: { ...constantRate({ rate: settings.RATE, duration_s: settings.DURATION_S, max_vus: settings.MAX_VUS }), exec: 'bad' },
  },
  thresholds: { ...commonThresholds(settings), ...nothingDropped(), checks: ['rate==1'] },
});

export function setup() {
  return startRun(settings, settings.DURATION_S);
}

export function good(run) {
  askMix(settings, run);
}

export function bad() {
  const chosen = cases[exec.scenario.iterationInTest % cases.length];
  const { name, method, path, status } = chosen;
  const body = bodyOf(chosen);
  const response = http.request(method, `${settings.URL}${path}`, body, {
    headers: headersOf(settings),
    timeout: `${settings.TIMEOUT_S}s`,
    tags: { name: 'bad', phase: 'measure' },
    responseCallback: http.expectedStatuses(status),
  });
  const problems = status === 200 ? [] : errorProblems(response.body, typeof body === 'string' ? body : '');
  check(response, {
    [`${name} gets ${status}`]: () => response.status === status,
    [`${name} gets the error body`]: () => problems.length === 0,
  });
}

export const handleSummary = summaryOf(settings, { scenario: 'bad_input', total_s: settings.DURATION_S });
