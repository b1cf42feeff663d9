// Sends one request, reads the cache's word about it, and records both.
import http from 'k6/http';
import exec from 'k6/execution';
import { check, fail } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';
import { headersOf } from './settings.js';
import { problemsOf } from './answer.js';
import { uniform } from './hash.js';
import { windowAt } from './windows.js';
import { shortMark } from './workload.js';

const duration = new Trend('predict_duration', true);
const refused = new Trend('refused_duration', true);
const failed = new Rate('predict_failed');
const hit = new Rate('cache_hit');
const asExpected = new Rate('cache_as_expected');
const texts = new Counter('predict_texts');
const statuses = new Counter('predict_status');

const VERIFY_DRAW = 9;
const WARM_BATCH = 50;

/** Sends {"text": [...]}; k6's own metrics carry tags phase, expect and name. */
function post(settings, body, tags) {
  return http.post(`${settings.URL}${settings.PREDICT_PATH}`, body, {
    headers: headersOf(settings),
    timeout: `${settings.TIMEOUT_S}s`,
    tags: { name: 'predict', ...tags },
  });
}

/** What the server said about its cache: hit, partial, miss, or none when the header is missing. */
function outcomeIn(response) {
  return response.headers['X-Cache'] ?? 'none';
}

function verify(settings, response, request) {
  const index = exec.scenario.iterationInTest;
  if (uniform(settings.SEED, index, VERIFY_DRAW) >= settings.VERIFY) return;
  const problems = problemsOf(response.body, request.texts.length);
  check(response, {
    'answer has one sound prediction per text': () => problems.length === 0,
    'answer names its cache outcome': () => ['hit', 'partial', 'miss'].includes(outcomeIn(response)),
    'answer names its model version': () => (response.headers['X-Model-Version'] ?? '') !== '',
  });
}

/** Sends a request of {texts, expect} and records it under the run's time window and `tags`. */
export function ask(settings, run, request, tags = {}) {
  const response = post(settings, JSON.stringify({ text: request.texts }), { phase: 'measure', expect: request.expect });
  const window = String(windowAt((Date.now() - run.started_ms) / 1000, run.total_s));
  const marks = { window, ...tags };
  const ok = response.status === 200;
  failed.add(!ok, marks);
  statuses.add(1, { status: String(response.status) });
  if (!ok) {
    if (response.status === 503) {
      refused.add(response.timings.duration, marks);
      check(response, { 'a 503 says when to come back': () => /^\d+$/.test(response.headers['Retry-After'] ?? '') });
    }
    return response;
  }
  const cache = outcomeIn(response);
  duration.add(response.timings.duration, { cache, ...marks });
  hit.add(cache === 'hit', marks);
  texts.add(request.texts.length);
  if (request.expect !== 'any') asExpected.add(cache === request.expect, marks);
  verify(settings, response, request);
  return response;
}

/** Sends a request outside the measurement; ends the run when it is not answered with 200. */
export function askQuietly(settings, list) {
  const response = post(settings, JSON.stringify({ text: list }), { phase: 'warmup', expect: 'any' });
  if (response.status !== 200) {
    fail(`${settings.URL}${settings.PREDICT_PATH} answered ${response.status} ${response.error}: ${String(response.body).slice(0, 200)}`);
  }
  return response;
}

/** Asks for every text until all of them hit, at most `rounds` times. */
export function warm(settings, list, rounds = 5) {
  for (let round = 0; round < rounds; round += 1) {
    let cold = 0;
    for (let first = 0; first < list.length; first += WARM_BATCH) {
      if (outcomeIn(askQuietly(settings, list.slice(first, first + WARM_BATCH))) !== 'hit') cold += 1;
    }
    if (cold === 0) return;
  }
  fail(`the cache did not keep ${list.length} texts: after ${rounds} rounds some still miss`);
}

const MARK_SPACE = 36 ** 4;

/**
 * What setup() hands to every VU: when the measurement begins, how long it is planned, the run's mark.
 * The mark is short because every character of it costs the model tokens; it repeats after 19 days.
 */
export function startRun(settings, total_s) {
  const mark = settings.RUN_ID || (Math.floor(Date.now() / 1000) % MARK_SPACE).toString(36);
  return { started_ms: Date.now(), total_s, mark: settings.INSTANCE === '' ? mark : `${mark}${shortMark(settings.INSTANCE)}` };
}
