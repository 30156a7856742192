"""The checks that an auditor's command makes, one module for each group of them; `flow` is the order they come in."""

from .flow import verify_bundle
from .options import AuditOptions, ReplayRequest, SampleRequest, Verification
from .proof_file import is_proof_file, verify_proof_file

__all__ = [
    "AuditOptions",
    "ReplayRequest",
    "SampleRequest",
    "Verification",
    "is_proof_file",
    "verify_bundle",
    "verify_proof_file",
]
