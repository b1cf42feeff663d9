// The committed sentences, in memory once for all VUs.
import { SharedArray } from 'k6/data';
import { textOfRank } from './workload.js';

/** 1,000 sentences by index. */
export const sentences = new SharedArray('sentences', () => JSON.parse(open('../data/sst2_sentences.json')).sentences);

/** The texts of the `count` first ranks as a plain array. */
export function hotTexts(count) {
  return Array.from({ length: count }, (_, rank) => textOfRank(sentences, rank));
}
