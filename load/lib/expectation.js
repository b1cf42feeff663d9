// The hit ratio that a cache whose entries live ttl_s, and are not renewed by hits, gives under Poisson arrivals.

/** Hit ratio of one text asked for rate_per_s times a second: of 1 + rate x ttl requests, one is a miss. */
export function ttlHitRatio(rate_per_s, ttl_s) {
  const reuses = rate_per_s * ttl_s;
  return reuses / (1 + reuses);
}

/** Hit ratio of a cache_mix run: the hot share, less the renewals of hot texts whose TTL ran out during it. */
export function cacheMixHitRatio({ share, hot, texts_per_s, ttl_s, duration_s }) {
  if (share === 0) return 0;
  if (duration_s <= ttl_s) return share;
  return share * ttlHitRatio((share * texts_per_s) / hot, ttl_s);
}
