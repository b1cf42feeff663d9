// The seed's scenario: what it sends and how often. Its flaws are kept on purpose and named in README.md.

export const CACHE_RATE = 0.95;

/** The request that 95 % of the iterations send. */
export const FIXED = ['This is wonderful!', 'This is horrible!', 'I am a container in a pod!'];

/** The ten texts that the other 5 % send, in a random order each time. */
export const SHUFFLED = [
  ...FIXED,
  'We walked to the market',
  'Everybody in this course did very well',
  'Marking papers on a Sunday evening is painful',
  'Can a canner can as many cans as another canner can can, if that canner can can cans?',
  'A canner can can as many cans as another canner can can, for as long as that canner can can any cans at all',
  'Lunch was delicious',
  'Come in and enjoy the show',
];

/** A shuffled copy (Fisher and Yates); `random` gives numbers in [0, 1). */
export function shuffled(items, random) {
  const copy = [...items];
  for (let last = copy.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other], copy[last]];
  }
  return copy;
}

/** One request of the seed. A cache by whole request misses the shuffled ones; a cache by text soon hits them. */
export function seedRequest(random) {
  const texts = random() > CACHE_RATE ? shuffled(SHUFFLED, random) : FIXED;
  return { texts, expect: 'any', branch: texts === FIXED ? 'fixed' : 'random' };
}
