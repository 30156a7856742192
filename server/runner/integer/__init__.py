"""The integer model of `crypto.integer`, served: the same bits, in batches and with a cache."""
