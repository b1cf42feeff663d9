"""Token ids in, logits out: the graph, its packing, and the libraries that run it."""
