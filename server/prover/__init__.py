"""The prover: makes algebraic commitments and the proofs that `crypto.applicability` verifies, in a process of its own."""
