import assert from 'node:assert/strict';
import test from 'node:test';
import { below, mix32, uniform } from '../../../load/lib/hash.js';
import { rankAt, zipfCdf } from '../../../load/lib/zipf.js';

test('mix32 is a bijection on a sample and leaves 32 unsigned bits', () => {
  const seen = new Set();
  for (let value = 0; value < 100_000; value += 1) {
    const mixed = mix32(value);
    assert.ok(mixed >= 0 && mixed <= 0xffffffff && Number.isInteger(mixed));
    seen.add(mixed);
  }
  assert.equal(seen.size, 100_000);
});

test('a draw depends on seed, index and salt, and on nothing else', () => {
  assert.equal(uniform(255, 17, 1), uniform(255, 17, 1));
  assert.notEqual(uniform(255, 17, 1), uniform(255, 18, 1));
  assert.notEqual(uniform(255, 17, 1), uniform(256, 17, 1));
  assert.notEqual(uniform(255, 17, 1), uniform(255, 17, 2));
});

test('draws are spread evenly: every tenth of the unit interval gets a tenth', () => {
  const buckets = new Array(10).fill(0);
  for (let index = 0; index < 100_000; index += 1) buckets[below(10, 255, index)] += 1;
  for (const count of buckets) assert.ok(Math.abs(count - 10_000) < 400, `${buckets}`);
});

test('two salts of one index are not correlated', () => {
  let sum = 0;
  const count = 50_000;
  for (let index = 0; index < count; index += 1) sum += (uniform(255, index, 1) - 0.5) * (uniform(255, index, 2) - 0.5);
  assert.ok(Math.abs(sum / count) * 12 < 0.02);
});

test('zipf popularity falls as 1 / rank and adds up to 1', () => {
  const cdf = zipfCdf(1000, 1);
  assert.equal(cdf[999], 1);
  const second = cdf[1] - cdf[0];
  const tenth = cdf[9] - cdf[8];
  assert.ok(Math.abs(cdf[0] / second - 2) < 1e-9);
  assert.ok(Math.abs(cdf[0] / tenth - 10) < 1e-9);
});

test('exponent 0 asks every text alike', () => {
  const cdf = zipfCdf(4, 0);
  assert.deepEqual(Array.from(cdf), [0.25, 0.5, 0.75, 1]);
});

test('rankAt picks the first rank whose cumulative popularity exceeds the draw', () => {
  const cdf = zipfCdf(4, 0);
  assert.deepEqual([0, 0.2499, 0.25, 0.5, 0.75, 0.999999].map((u) => rankAt(cdf, u)), [0, 0, 1, 2, 3, 3]);
});
