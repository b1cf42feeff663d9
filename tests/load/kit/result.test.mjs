import assert from 'node:assert/strict';
import test from 'node:test';
import { problemsOf } from '../../../load/lib/answer.js';
import { badInputs, bodyOf, errorProblems } from '../../../load/lib/bad_inputs.js';
import { ticksTo } from '../../../load/lib/charts.js';
import { summaryOf, LOG_PREFIX } from '../../../load/lib/output.js';
import { pageOf } from '../../../load/lib/page.js';
import { goodWindows, passed, resultOf } from '../../../load/lib/result.js';
import { readSettings } from '../../../load/lib/settings.js';
import { ms, percent, textOf } from '../../../load/lib/text.js';

const trend = (p99, count = 10) => ({ type: 'trend', values: { count, avg: 2, min: 1, med: 2, 'p(90)': 3, 'p(95)': 4, 'p(99)': p99, 'p(99.9)': p99, max: p99 } });
const rate = (passes, fails) => ({ type: 'rate', values: { passes, fails, rate: passes / (passes + fails) } });
const counter = (count) => ({ type: 'counter', values: { count, rate: 1 } });

function k6Data(changes = {}) {
  return {
    state: { testRunDurationMs: 60_000 },
    root_group: { checks: [{ name: 'sound', passes: 9, fails: 1 }], groups: [] },
    metrics: {
      predict_failed: { ...rate(1, 99), thresholds: { 'rate<=0.001': { ok: false } } },
      predict_duration: trend(9, 99),
      'predict_duration{cache:hit}': { ...trend(5, 90), thresholds: { 'max>=0': { ok: true }, 'p(99)<50': { ok: true } } },
      'predict_duration{cache:miss}': trend(30, 9),
      'predict_duration{cache:partial}': trend(0, 0),
      'predict_failed{window:0}': rate(0, 60),
      'predict_duration{window:0}': trend(4),
      'cache_hit{window:0}': rate(55, 5),
      'predict_failed{window:1}': rate(1, 39),
      'predict_duration{window:1}': trend(40),
      'predict_status{status:200}': counter(99),
      'predict_status{status:503}': counter(1),
      cache_hit: rate(90, 9),
      cache_as_expected: rate(98, 1),
      predict_texts: counter(120),
      dropped_iterations: counter(3),
      ...changes,
    },
  };
}

const run = { scenario: 'trial', total_s: 48, settings: {}, finished_at: '2026-01-01T00:00:00Z', expected_hit_share: 0.9 };

test('the result carries rates, shares, percentiles by outcome, statuses and windows', () => {
  const result = resultOf(k6Data(), run);
  assert.deepEqual(result.requests, { count: 100, per_s: 100 / 48, failed_share: 0.01, statuses: { 200: 99, 503: 1 } });
  assert.equal(result.latency.hit.p99_ms, 5);
  assert.equal(result.latency.miss.p99_ms, 30);
  assert.equal(result.latency.partial, null);
  assert.equal(result.dropped, 3);
  assert.equal(result.cache.hit_share, 90 / 99);
  assert.deepEqual(result.windows.map(({ start_s, requests }) => [start_s, requests]), [[0, 60], [2, 40]]);
  assert.equal(result.windows[1].hit_share, null);
});

test('a run cut short is divided by the time it really took', () => {
  const data = k6Data();
  data.state.testRunDurationMs = 12_000;
  assert.equal(resultOf(data, run).requests.per_s, 100 / 12);
});

test('only thresholds about the service count, and one broken fails the run', () => {
  const result = resultOf(k6Data(), run);
  assert.deepEqual(result.thresholds.map(({ expression }) => expression), ['rate<=0.001', 'p(99)<50']);
  assert.equal(passed(result), false);
  assert.equal(passed({ thresholds: [{ ok: true }] }), true);
});

test('steps that got no request are left out', () => {
  const data = k6Data({ 'predict_failed{step:a}': rate(0, 20), 'predict_duration{step:a}': trend(7) });
  const result = resultOf(data, { ...run, steps: ['a', 'b'], step_s: 10 });
  assert.deepEqual(result.steps.map(({ step, per_s }) => [step, per_s]), [['a', 2]]);
});

test('windows are good up to the first that broke the SLO by latency, failures or silence', () => {
  const window = (p99_ms, failed_share = 0) => ({ latency: { p99_ms }, failed_share });
  const slo = { p99_ms: 100, failed_share: 0.01 };
  const windows = [window(10), window(50), window(200), window(20)];
  assert.deepEqual(goodWindows({ windows }, slo), windows.slice(0, 2));
  assert.deepEqual(goodWindows({ windows: [window(500)] }, slo), []);
  assert.equal(goodWindows({ windows: [window(10), window(10, 0.5)] }, slo).length, 1);
  assert.equal(goodWindows({ windows: [window(10), { latency: null, failed_share: 1 }] }, slo).length, 1);
  assert.equal(goodWindows({ windows: [window(10), window(20)] }, slo).length, 2);
});

test('the text names the verdict, the numbers and every broken rule', () => {
  const text = textOf(resultOf(k6Data(), run));
  assert.match(text, /trial: FAILED/);
  assert.match(text, /BROKEN predict_failed rate<=0.001/);
  assert.match(text, /BROKEN check "sound": 1 of 10/);
  assert.match(text, /200: 99, 503: 1/);
});

test('numbers are short and a missing one is a dash', () => {
  assert.deepEqual([ms(0.1234), ms(12.345), ms(1234.5), ms(null)], ['0.12', '12.3', '1235', '-']);
  assert.deepEqual([percent(0.5), percent(0.00012), percent(0), percent(null)], ['50.0 %', '0.012 %', '0.0 %', '-']);
});

test('the page stands alone and escapes what it shows', () => {
  const page = pageOf(resultOf(k6Data(), { ...run, scenario: '<script>alert(1)</script>' }));
  assert.ok(page.startsWith('<!doctype html>'));
  assert.ok(!page.includes('<script'));
  assert.ok(!/(src|href)=|url\(|@import/.test(page));
  assert.ok((page.match(/<svg /g) ?? []).length >= 4);
});

test('ticks are round and cover the highest value', () => {
  assert.deepEqual(ticksTo(9), [0, 2, 4, 6, 8, 10]);
  assert.ok(ticksTo(137).at(-1) >= 137);
  assert.deepEqual(ticksTo(0), [0, 1]);
});

test('files and the log line are written only when asked for', () => {
  const plain = summaryOf(readSettings({}), run)(k6Data());
  assert.deepEqual(Object.keys(plain), ['stdout']);
  assert.ok(!plain.stdout.includes(LOG_PREFIX));
  const full = summaryOf(readSettings({ OUT: 'there/x', JSON_LOG: '1' }), { ...run, conclude: () => ['said'] })(k6Data());
  assert.deepEqual(Object.keys(full).sort(), ['stdout', 'there/x.html', 'there/x.json']);
  const line = full.stdout.split('\n').find((each) => each.startsWith(LOG_PREFIX));
  assert.deepEqual(JSON.parse(line.slice(LOG_PREFIX.length)), JSON.parse(full['there/x.json']));
  assert.deepEqual(JSON.parse(full['there/x.json']).notes, ['said']);
});

const sound = [{ label: 'POSITIVE', score: 0.75 }, { label: 'NEGATIVE', score: 0.25 }];

test('a sound answer has no problems', () => {
  assert.deepEqual(problemsOf(JSON.stringify({ predictions: [sound] }), 1), []);
});

for (const [flaw, body, count] of [
  ['not JSON', 'oops', 1],
  ['no predictions', '{}', 1],
  ['too few predictions', JSON.stringify({ predictions: [sound] }), 2],
  ['one label only', JSON.stringify({ predictions: [[sound[0]]] }), 1],
  ['worst label first', JSON.stringify({ predictions: [[...sound].reverse()] }), 1],
  ['scores that do not add up', JSON.stringify({ predictions: [[sound[0], { label: 'NEGATIVE', score: 0.5 }]] }), 1],
  ['a score above 1', JSON.stringify({ predictions: [[{ label: 'A', score: 1.5 }, sound[1]]] }), 1],
  ['a number as label', JSON.stringify({ predictions: [[{ label: 1, score: 0.75 }, sound[1]]] }), 1],
]) {
  test(`an answer with ${flaw} is a problem`, () => assert.equal(problemsOf(body, count).length > 0, true));
}

test('every bad input differs, and most carry the text that must not come back', () => {
  const cases = badInputs('/predict');
  assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length);
  const sent = cases.map(bodyOf);
  assert.ok(sent.filter((body) => typeof body === 'string' && body.includes('do-not-echo')).length >= 12);
  assert.ok(sent.some((body) => body.length > 2 ** 20));
  assert.ok(sent.some((body) => body instanceof ArrayBuffer));
});

test('an error body without code, with the input or with its insides is a problem', () => {
  assert.deepEqual(errorProblems('{"error": "No.", "code": "no"}', 'x'), []);
  assert.equal(errorProblems('{"error": "No."}', 'x').length, 1);
  assert.equal(errorProblems('{"error": "do-not-echo-this-text", "code": "no"}', 'do-not-echo-this-text').length, 1);
  assert.equal(errorProblems('{"error": "http://10.0.0.1 failed", "code": "no"}', 'x').length, 1);
  assert.equal(errorProblems('<html>', 'x').length, 1);
});
