"""CPU time of making, signing, reading and verifying one receipt, and of its leaf; prints one JSON object.

    python -m tests.bench.receipt

Figures are microseconds per call: medians of `time.process_time` over alternating rounds of one process.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from crypto.dsse import verify_envelope
from crypto.leaf import LeafKind, envelope_leaf
from crypto.statement import parse_receipt, parse_receipt_statement, sign_receipt
from tests.bench.sealing import measure
from tests.proof_examples import RUNNER, STATEMENT


def make_calls() -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    envelope = sign_receipt(STATEMENT, RUNNER)
    encoded = envelope.encode()
    return {
        "make the payload": STATEMENT.to_payload,
        "make and sign": lambda: sign_receipt(STATEMENT, RUNNER),
        "read the payload": lambda: parse_receipt_statement(envelope.payload),
        "read envelope and payload": lambda: parse_receipt(encoded),
        "verify the signature": lambda: verify_envelope(envelope, RUNNER.public_key),
        "make the leaf": lambda: envelope_leaf(LeafKind.RECEIPT, envelope, STATEMENT.issued_at_ms).encode(),
    }


def main() -> None:
    """Print sizes and microseconds."""
    envelope = sign_receipt(STATEMENT, RUNNER)
    sizes = {"payload_bytes": len(envelope.payload), "envelope_bytes": len(envelope.encode())}
    print(json.dumps(sizes | {"microseconds": measure(make_calls(), 9, 0.1)}, indent=1))


if __name__ == "__main__":
    main()
