"""A language model whose arithmetic is integer by definition: its definition, in numpy, and the files that hold it."""
