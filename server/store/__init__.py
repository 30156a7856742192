"""All SQL of the house."""
