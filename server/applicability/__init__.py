"""Applicability proofs of hits: made behind the answers, once per hit, and handed to whoever was answered or audits."""
