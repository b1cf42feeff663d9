// What one iteration asks: a list of texts, and the cache outcome it should meet.
import { below, mix32, uniform } from './hash.js';
import { rankAt } from './zipf.js';

const HIT_DRAW = 1;
const HOT_DRAW = 2;
const SIZE_DRAW = 3;
const RANK_DRAW = 4;
const SENTENCE_DRAW = 5;
const SHIFT_DRAW = 6;
const MOST_SHIFT_S = 1;
const DRAWS_PER_REQUEST = 256;

/** The text of a rank: sentences first, then the same sentences with a suffix, so that every rank differs. */
export function textOfRank(sentences, rank) {
  const round = Math.floor(rank / sentences.length);
  const sentence = sentences[rank % sentences.length];
  return round === 0 ? sentence : `${sentence} (${round})`;
}

/** A text nobody has asked before: a sentence, the run's mark and the draw's number. */
export function uniqueText(sentences, seed, mark, number) {
  return `${sentences[below(sentences.length, seed, number, SENTENCE_DRAW)]} ${mark}-${number.toString(36)}`;
}

/** Three characters that stand for a name: enough to keep a handful of runners' texts apart. */
export function shortMark(name) {
  let hash = 0;
  for (const character of name) hash = mix32(hash ^ character.codePointAt(0));
  return (hash % 36 ** 3).toString(36).padStart(3, '0');
}

/** The outcome of a request whose texts are cached or not. */
export function outcomeOf(cached) {
  if (cached.every(Boolean)) return 'hit';
  return cached.some(Boolean) ? 'partial' : 'miss';
}

/** A request of `size` texts, each drawn hot with probability `share`, else unique to this run. */
export function cacheMix({ sentences, seed, share, hot, size, mark, index }) {
  const texts = [];
  const cached = [];
  for (let position = 0; position < size; position += 1) {
    const number = index * DRAWS_PER_REQUEST + position;
    const isHot = uniform(seed, number, HIT_DRAW) < share;
    cached.push(isHot);
    texts.push(
      isHot ? textOfRank(sentences, below(hot, seed, number, HOT_DRAW)) : uniqueText(sentences, seed, mark, number),
    );
  }
  return { texts, expect: outcomeOf(cached) };
}

/**
 * Seconds by which iteration `index` is sent late so that arrivals look like independent users (near Poisson): k6 sends
 * them evenly spaced, which is kinder to a queue than real traffic.
 */
export function shiftSeconds({ seed, index, jitter, rate }) {
  return uniform(seed, index, SHIFT_DRAW) * Math.min(MOST_SHIFT_S, jitter / rate);
}

/** Texts in a request of the realistic trace: 1 with 60 %, 2..4 with 30 %, 5..16 with 10 %. */
export function traceSize(seed, index) {
  const u = uniform(seed, index, SIZE_DRAW);
  if (u < 0.6) return 1;
  if (u < 0.9) return 2 + Math.floor((u - 0.6) * 10);
  return 5 + Math.floor((u - 0.9) * 120);
}

/** A request of the realistic trace: Zipf popularity, mixed sizes; whether it hits depends on the past. */
export function zipfRequest({ sentences, seed, cdf, mark, index }) {
  const size = traceSize(seed, index);
  const texts = [];
  for (let position = 0; position < size; position += 1) {
    const rank = rankAt(cdf, uniform(seed, index * DRAWS_PER_REQUEST + position, RANK_DRAW));
    texts.push(mark === '' ? textOfRank(sentences, rank) : `${textOfRank(sentences, rank)} ${mark}`);
  }
  return { texts, expect: 'any' };
}
