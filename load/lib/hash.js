// Draws that depend on the iteration's number alone, so that a run repeats whatever VU executes which iteration.

/** Mixes 32 bits (MurmurHash3's finaliser): every input bit reaches every output bit. */
export function mix32(value) {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** One number in [0, 1) for (seed, index, salt); different salts give independent streams. */
export function uniform(seed, index, salt = 0) {
  const stream = mix32((seed | 0) ^ mix32((salt + 1) * 0x9e3779b9));
  return mix32(mix32(index + 0x9e3779b9) ^ stream) / 4294967296;
}

/** An integer in [0, count) for (seed, index, salt). */
export function below(count, seed, index, salt = 0) {
  return Math.floor(uniform(seed, index, salt) * count);
}
