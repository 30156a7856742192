"""A language model whose arithmetic is integer by definition: one semantics, two implementations, the same bits."""
