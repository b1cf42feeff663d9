import assert from 'node:assert/strict';
import test from 'node:test';
import { cacheMixHitRatio, ttlHitRatio } from '../../../load/lib/expectation.js';
import { CACHE_RATE, FIXED, SHUFFLED, seedRequest, shuffled } from '../../../load/lib/seed.js';
import { cacheMix, outcomeOf, shiftSeconds, shortMark, textOfRank, traceSize, uniqueText, zipfRequest } from '../../../load/lib/workload.js';
import { zipfCdf } from '../../../load/lib/zipf.js';

const sentences = Array.from({ length: 50 }, (_, number) => `sentence ${number}`);
const mix = (index, changes = {}) => cacheMix({ sentences, seed: 255, share: 0.95, hot: 10, size: 1, mark: 'run', index, ...changes });

test('the share of expected hits is the one asked for', () => {
  let hits = 0;
  for (let index = 0; index < 20_000; index += 1) hits += mix(index).expect === 'hit' ? 1 : 0;
  assert.ok(Math.abs(hits / 20_000 - 0.95) < 0.005, `${hits}`);
});

test('which iteration hits is the same in every run, whatever the mark', () => {
  for (let index = 0; index < 500; index += 1) assert.equal(mix(index).expect, mix(index, { mark: 'other' }).expect);
});

test('a miss is a text that no other iteration and no other run asks for', () => {
  const misses = new Set();
  for (const mark of ['run', 'other']) {
    for (let index = 0; index < 2000; index += 1) {
      const { texts, expect } = mix(index, { share: 0, mark });
      assert.equal(expect, 'miss');
      misses.add(texts[0]);
    }
  }
  assert.equal(misses.size, 4000);
  for (const sentence of sentences) assert.ok(!misses.has(sentence));
});

test('a hit is one of the hot texts, and all of them are used', () => {
  const seen = new Set();
  for (let index = 0; index < 2000; index += 1) seen.add(mix(index, { share: 1 }).texts[0]);
  assert.deepEqual([...seen].sort(), sentences.slice(0, 10).sort());
});

test('texts of one request are drawn one by one, so that a request can be partial', () => {
  const outcomes = new Set();
  for (let index = 0; index < 200; index += 1) {
    const request = mix(index, { share: 0.5, size: 4 });
    assert.equal(request.texts.length, 4);
    outcomes.add(request.expect);
  }
  assert.deepEqual([...outcomes].sort(), ['hit', 'miss', 'partial']);
});

test('an outcome is hit for all, miss for none, else partial', () => {
  assert.equal(outcomeOf([true, true]), 'hit');
  assert.equal(outcomeOf([false, false]), 'miss');
  assert.equal(outcomeOf([true, false]), 'partial');
});

test('every rank has its own text', () => {
  const texts = new Set(Array.from({ length: 175 }, (_, rank) => textOfRank(sentences, rank)));
  assert.equal(texts.size, 175);
});

test('unique texts keep the sentence, so that their length stays real', () => {
  assert.match(uniqueText(sentences, 255, 'm', 7), /^sentence \d+ m-7$/);
});

test('the trace is seeded, and its sizes are 1 to 16 with 1 the most frequent', () => {
  const cdf = zipfCdf(1000, 1);
  const ask = (index, mark = '') => zipfRequest({ sentences, seed: 255, cdf, mark, index }).texts;
  assert.deepEqual(ask(3), ask(3));
  assert.notDeepEqual(ask(3, 'cold'), ask(3));
  const counts = new Map();
  for (let index = 0; index < 20_000; index += 1) {
    const size = traceSize(255, index);
    assert.ok(size >= 1 && size <= 16);
    assert.equal(ask(index % 100).length, traceSize(255, index % 100));
    counts.set(size, (counts.get(size) ?? 0) + 1);
  }
  assert.ok(Math.abs(counts.get(1) / 20_000 - 0.6) < 0.02);
  assert.ok(counts.get(16) > 0);
});

test('a cold trace hits as often as theory says for its popularity', () => {
  const cdf = zipfCdf(1000, 1);
  const seen = new Set();
  let asked = 0;
  let hits = 0;
  for (let index = 0; asked < 5000; index += 1) {
    for (const text of zipfRequest({ sentences, seed: 255, cdf, mark: 'm', index }).texts) {
      hits += seen.has(text) ? 1 : 0;
      seen.add(text);
      asked += 1;
    }
  }
  assert.ok(Math.abs(hits / asked - 0.85) < 0.02, `${hits / asked}`);
});

test('the seed sends its fixed request in 95 % of the iterations and ten shuffled texts in the others', () => {
  const low = seedRequest(() => 0.5);
  assert.equal(low.texts, FIXED);
  assert.equal(FIXED.length, 3);
  const draws = [0.951, ...Array(9).fill(0.999999)];
  const high = seedRequest(() => draws.shift() ?? 0.1);
  assert.equal(high.branch, 'random');
  assert.deepEqual([...high.texts].sort(), [...SHUFFLED].sort());
  assert.equal(new Set(SHUFFLED).size, 10);
  assert.equal(CACHE_RATE, 0.95);
});

test('shuffling keeps the items and leaves the original alone', () => {
  const items = [1, 2, 3, 4];
  const draws = [0.1, 0.6, 0.3];
  assert.deepEqual([...shuffled(items, () => draws.shift())].sort(), items);
  assert.deepEqual(items, [1, 2, 3, 4]);
});

test('a cached text asked r times in its life gives r hits in r + 1 requests', () => {
  assert.equal(ttlHitRatio(0, 180), 0);
  assert.equal(ttlHitRatio(1 / 180, 180), 0.5);
  assert.ok(ttlHitRatio(10, 180) > 0.999);
});

test('a short mix run hits its share; a long one loses the renewals of expired texts', () => {
  const settings = { share: 0.9, hot: 100, texts_per_s: 10, ttl_s: 180 };
  assert.equal(cacheMixHitRatio({ ...settings, duration_s: 60 }), 0.9);
  const long = cacheMixHitRatio({ ...settings, duration_s: 3600 });
  assert.ok(Math.abs(long - (0.9 * 16.2) / 17.2) < 1e-9);
  assert.equal(cacheMixHitRatio({ ...settings, share: 0, duration_s: 3600 }), 0);
});

test('scattered arrivals bunch as independent ones do: counts per interval have a variance near their mean', () => {
  const rate = 50;
  const counts = new Array(1000).fill(0);
  for (let index = 0; index < 1000; index += 1) {
    const shift_s = shiftSeconds({ seed: 255, index, jitter: 20, rate });
    assert.ok(shift_s >= 0 && shift_s <= 20 / rate);
    counts[Math.min(999, Math.floor((index / rate + shift_s) * rate))] += 1;
  }
  const inner = counts.slice(50, 950);
  const mean = inner.reduce((sum, count) => sum + count, 0) / inner.length;
  const variance = inner.reduce((sum, count) => sum + (count - mean) ** 2, 0) / inner.length;
  assert.ok(variance / mean > 0.75 && variance / mean < 1.25, `${variance / mean}`);
});

test('a shift is never more than a second, and none without jitter', () => {
  assert.ok(shiftSeconds({ seed: 1, index: 3, jitter: 20, rate: 0.1 }) <= 1);
  assert.equal(shiftSeconds({ seed: 1, index: 3, jitter: 0, rate: 10 }), 0);
});

test('runners of one test get different short marks', () => {
  const marks = new Set(Array.from({ length: 20 }, (_, number) => shortMark(`sentiment-load-smoke-${number}-x7k2p`)));
  assert.equal(marks.size, 20);
  for (const mark of marks) assert.match(mark, /^[0-9a-z]{3}$/);
});
