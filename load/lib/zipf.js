// Popularity of texts in real traffic: rank r is asked for in proportion to 1 / r^exponent.

/** Cumulative popularity of ranks 0..count-1, last entry exactly 1. */
export function zipfCdf(count, exponent) {
  const cdf = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank += 1) {
    sum += (rank + 1) ** -exponent;
    cdf[rank] = sum;
  }
  for (let rank = 0; rank < count; rank += 1) cdf[rank] /= sum;
  cdf[count - 1] = 1;
  return cdf;
}

/** The rank that a draw u in [0, 1) selects: the first whose cumulative popularity exceeds u. */
export function rankAt(cdf, u) {
  let low = 0;
  let high = cdf.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cdf[middle] > u) high = middle;
    else low = middle + 1;
  }
  return low;
}
