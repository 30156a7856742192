"""Applicability: that a stored vector is close to a new query's, shown without showing it (docs/proofs/applicability.md)."""
