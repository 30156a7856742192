"""Test vectors of algebraic commitments, transcripts, both proofs and their documents."""

from __future__ import annotations

from typing import Any

from crypto.applicability.blinding import commitment_blinding
from crypto.applicability.claims import Claim
from crypto.applicability.documents import Applicability, ProofDocument, WellFormedness
from crypto.applicability.encoding import encode_scalar
from crypto.applicability.setup import load_setup
from crypto.applicability.suites import SUITES
from crypto.applicability.transcript import Transcript
from server.prover.prover import Prover
from tests.applicability_examples import (
    EMBEDDING,
    ENTRY,
    SCORE,
    SEED,
    SUITE,
    applicability_example,
    verifier,
    well_formedness_statement,
)
from tests.proof_examples import HIT

Vectors = dict[str, Any]


def transcript_vectors() -> Vectors:
    """What blinds a commitment in each suite, and what a transcript draws."""
    transcript = Transcript.start("example", b"one", b"", b"two")
    transcript.absorb("B", b"\x01" * 48)
    first = transcript.challenge("gamma")
    transcript.absorb("e", encode_scalar(7))
    return {
        "blinding": [
            {
                "suite": suite.name,
                "generator_hex": encode_scalar(suite.generator).hex(),
                "seed_hex": SEED.hex(),
                "scalars_hex": [encode_scalar(scalar).hex() for scalar in commitment_blinding(suite, SEED)],
            }
            for suite in SUITES
        ],
        "transcript": {
            "label": "example",
            "fields_hex": [b"one".hex(), "", b"two".hex()],
            "steps": [
                {"absorb": "B", "hex": "01" * 48},
                {"challenge": "gamma", "hex": encode_scalar(first).hex()},
                {"absorb": "e", "hex": encode_scalar(7).hex()},
                {"challenge": "zeta", "hex": encode_scalar(transcript.challenge("zeta")).hex()},
            ],
        },
    }


def applicability_vectors() -> Vectors:
    """One entry with both of its proofs: of well-formedness, and of a hit whose threshold is the exact score."""
    statement, proof = applicability_example()
    well_formed = Prover(load_setup()).prove_well_formedness(SUITE, ENTRY, SEED)
    hit = verifier().claim_applicability(statement, proof)
    said = verifier().claim_well_formedness(well_formedness_statement(), well_formed)
    return {
        "suite": SUITE.name,
        "vector": list(ENTRY),
        "seed_hex": SEED.hex(),
        "commitment_hex": statement.commitment.hex(),
        "embedding": EMBEDDING,
        "record": statement.record.decode(),
        "query": list(statement.query),
        "tau": SCORE,
        "applicability": _document(Applicability(EMBEDDING, HIT.hit, proof, SUITE.name), hit),
        "well_formedness": _document(WellFormedness(EMBEDDING, well_formed, SUITE.name), said),
    }


def _document(document: ProofDocument, claim: Claim) -> Vectors:
    return {
        "payload": document.to_payload().decode(),
        "digest": document.digest(),
        "mu_hex": encode_scalar(claim.mark).hex(),
    }


APPLICABILITY_MAKERS = {"transcript": transcript_vectors, "applicability": applicability_vectors}
