"""The process that runs a model and says which one produced what."""
