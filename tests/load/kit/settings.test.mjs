import assert from 'node:assert/strict';
import test from 'node:test';
import { headersOf, numberList, publicSettings, readSettings } from '../../../load/lib/settings.js';
import { constantRate, movingRate, rateSteps, seedStages, spikeStages, totalSeconds, waveStages } from '../../../load/lib/stages.js';
import { keepSubmetrics, isKeeper, windowAt, windowSeconds, WINDOWS } from '../../../load/lib/windows.js';

test('a scenario default gives way to the environment, and the common default to the scenario', () => {
  assert.equal(readSettings({}).RATE, 50);
  assert.equal(readSettings({}, { RATE: 7 }).RATE, 7);
  assert.equal(readSettings({ RATE: '9' }, { RATE: 7 }).RATE, 9);
  assert.equal(readSettings({ URL: 'http://a:1//' }).URL, 'http://a:1');
});

for (const [name, value] of [
  ['RATE', 'fast'], ['RATE', '-1'], ['HIT_RATE', '1.5'], ['VERIFY', '2'], ['HOT', '0'], ['SIZE', '1.5'],
  ['DURATION_S', '0'], ['URL', 'localhost:8080'], ['INSECURE', 'perhaps'],
]) {
  test(`${name}=${value} is refused with the setting's name`, () => {
    assert.throws(() => readSettings({ [name]: value }), new RegExp(name));
  });
}

test('a list of rates is numbers above 0', () => {
  assert.deepEqual(numberList('RATES', '25, 50,100'), [25, 50, 100]);
  assert.throws(() => numberList('RATES', '25,,50'), /RATES/);
  assert.throws(() => numberList('RATES', '0'), /RATES/);
});

test('Host, API key and JWT become headers only when set', () => {
  assert.deepEqual(headersOf(readSettings({})), { 'content-type': 'application/json' });
  const headers = headersOf(readSettings({ HOST: 'sentiment.example.com', API_KEY: 'k', API_KEY_HEADER: 'x-key', JWT: 't' }));
  assert.deepEqual(headers, { 'content-type': 'application/json', Host: 'sentiment.example.com', 'x-key': 'k', authorization: 'Bearer t' });
});

test('secrets never reach a result', () => {
  const shown = JSON.stringify(publicSettings(readSettings({ API_KEY: 'secret-key', JWT: 'secret-token' })));
  assert.ok(!shown.includes('secret'));
  assert.match(shown, /"RATE":50/);
});

test('the seed ramps 30 s to ten clients, holds 7 minutes and falls for 3', () => {
  assert.deepEqual(seedStages(), [{ duration: '30s', target: 10 }, { duration: '420s', target: 10 }, { duration: '180s', target: 0 }]);
  assert.equal(totalSeconds(seedStages()), 630);
});

test('rates are kept to the sixtieth of a request a second', () => {
  const load = constantRate({ rate: 0.25, duration_s: 10, max_vus: 50 });
  assert.equal(load.rate, 15);
  assert.equal(load.timeUnit, '1m');
  assert.equal(load.executor, 'constant-arrival-rate');
});

test('steps follow each other and are told apart by tag', () => {
  const steps = rateSteps({ rates: [10, 20.5], duration_s: 30, max_vus: 50 });
  assert.deepEqual(Object.values(steps).map(({ startTime }) => startTime), ['0s', '32s']);
  assert.deepEqual(Object.values(steps).map(({ tags }) => tags.step), ['10rps', '20.5rps']);
});

test('a spike jumps within a second and comes back', () => {
  const stages = spikeStages({ rate: 10, peak: 100, duration_s: 80 });
  assert.deepEqual(stages.map(({ rate }) => rate), [10, 100, 100, 10, 10]);
  assert.equal(stages[1].duration_s, 1);
  assert.equal(movingRate({ start_rate: 10, stages, max_vus: 5 }).preAllocatedVUs, 5);
});

test('the wave keeps its mean rate', () => {
  const stages = waveStages({ rate: 40, duration_s: 120 });
  const mean = stages.reduce((sum, { rate }) => sum + rate, 0) / stages.length;
  assert.ok(Math.abs(mean - 40) < 1e-9);
  assert.equal(totalSeconds(stages), 120);
});

test('windows cover the run; what runs over stays in the last', () => {
  assert.equal(windowSeconds(630), 27);
  assert.equal(windowAt(0, 630), 0);
  assert.equal(windowAt(26.9, 630), 0);
  assert.equal(windowAt(27, 630), 1);
  assert.equal(windowAt(9999, 630), WINDOWS - 1);
  assert.equal(windowAt(-1, 630), 0);
});

test('thresholds that only keep sub-metrics are told from real ones', () => {
  const kept = keepSubmetrics(['10rps']);
  assert.ok(Object.values(kept).flat().every(isKeeper));
  assert.ok('predict_duration{step:10rps}' in kept);
  assert.ok(!isKeeper('rate>=0.999'));
});
