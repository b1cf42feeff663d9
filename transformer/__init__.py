"""The transformer: validates texts, looks each one up in the cache, forwards only the misses, merges the answers."""
