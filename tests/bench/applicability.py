"""What commitments and both proofs about them cost: processor time and bytes, beside a prototype's in the same process.

    OMP_NUM_THREADS=1 python -m tests.bench.applicability [--dimension 384] [--rounds 7] [--prototype FOLDER] [--json]

FOLDER holds the module `simkzg.py`, whose domain has 512 points whatever the dimension. Product and prototype take turns;
a figure is the least of its rounds. Every round proves afresh, and verifies with a verifier that has seen no point yet; a
batch is of 64 different hits of one entry. Set-up of a suite happens once per process and is told apart. The exit status
says whether all bounds are met; without a prototype, those that are no ratio.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from crypto.applicability import setup as setup_module
from crypto.applicability.arkworks import Arkworks
from crypto.applicability.setup import load_setup
from crypto.applicability.statement import ApplicabilityStatement, WellFormednessStatement
from crypto.applicability.suites import suite_for
from crypto.applicability.verifier import Verifier
from crypto.reference import applicability as reference
from crypto.reference.ceremony import load_ceremony
from crypto.reference.pairing import SlowCurve
from crypto.similarity import NORM_BOUND_SQUARED, inner_product
from server.prover.commitment import commit
from server.prover.prover import Prover
from tests.applicability_examples import EMBEDDING, pair
from tests.fakes import SystemLikeRandom
from tests.proof_examples import HIT

SEED = bytes(range(32))
BATCH = 64
SLACK = 1_000
CEREMONY = Path(setup_module.__file__).with_name("trusted_setup.txt")


@dataclass(frozen=True)
class Example:
    """One entry, a query close to it, and a threshold that the two meet."""

    entry: tuple[int, ...]
    query: tuple[int, ...]
    tau: int


class Side(Protocol):
    """What is measured; each operation returns what it made, or raises where something does not hold."""

    def commit(self) -> object: ...
    def prove_hit(self) -> bytes: ...
    def prove_well_formedness(self) -> bytes: ...
    def forget(self) -> None: ...
    def verify_hit(self, proof: bytes) -> None: ...
    def verify_well_formedness(self, proof: bytes) -> None: ...
    def verify_batch(self, proofs: Sequence[bytes]) -> None: ...


class Product:
    """This repository's prover and verifier."""

    def __init__(self, example: Example) -> None:
        self.suite, self.entry = suite_for(len(example.entry)), example.entry
        self._setup = load_setup()
        self._prover = Prover(self._setup)
        started_s = time.process_time()
        commitment = self._prover.commit(self.suite, self.entry, SEED)
        self.preparing_s = time.process_time() - started_s
        self.hit = ApplicabilityStatement(
            self.suite, EMBEDDING, HIT.to_payload(), commitment, example.query, example.tau, len(example.query)
        )
        self.form = WellFormednessStatement(self.suite, commitment)
        self.forget()

    def commit(self) -> bytes:
        return self._prover.commit(self.suite, self.entry, SEED)

    def commit_alone(self) -> bytes:
        return commit(self._setup, self.suite, self.entry, SEED)

    def prove_hit(self) -> bytes:
        return self._prover.prove_applicability(self.hit, self.entry, SEED, SystemLikeRandom())

    def prove_well_formedness(self) -> bytes:
        return self._prover.prove_well_formedness(self.suite, self.entry, SEED)

    def forget(self) -> None:
        self._verifier = Verifier(Arkworks(), self._setup)

    def verify_hit(self, proof: bytes) -> None:
        self._verifier.verify_applicability(self.hit, proof)

    def verify_well_formedness(self, proof: bytes) -> None:
        self._verifier.verify_well_formedness(self.form, proof)

    def verify_batch(self, proofs: Sequence[bytes]) -> None:
        claims = [self._verifier.claim_applicability(self.hit, proof) for proof in proofs]
        if self._verifier.find_invalid(claims):
            raise AssertionError("a proof of the batch does not hold")

    def verify_slowly(self, hit: bytes, form: bytes) -> None:
        """Verify both with the second implementation."""
        committed = reference.Commitment(self.suite.name, self.hit.commitment, self.hit.dimension)
        stated = reference.Closeness(committed, EMBEDDING, self.hit.record, self.hit.query, self.hit.tau)
        equations = [reference.hit_equation(stated, hit), reference.form_equation(committed, form)]
        for equation in equations:
            if reference.find_invalid([equation], SlowCurve(), load_ceremony(CEREMONY)):
                raise AssertionError("a proof does not hold")


class Prototype:
    """The module `simkzg` with the same ceremony's file."""

    def __init__(self, folder: Path, example: Example) -> None:
        sys.path.insert(0, str(folder))
        self._module: Any = importlib.import_module("simkzg")
        sys.path.remove(str(folder))
        self._example = example
        self._prover = self._module.Prover(CEREMONY)
        self._embedded = self._prover.embed(example.entry)
        self.forget()

    def commit(self) -> object:
        return self._prover.embed(self._example.entry)

    def prove_hit(self) -> bytes:
        return bytes(self._prover.prove_hit(self._embedded, self._example.query, self._example.tau))

    def prove_well_formedness(self) -> bytes:
        return bytes(self._prover.prove_wf(self._embedded, NORM_BOUND_SQUARED))

    def forget(self) -> None:
        self._verifier = self._module.Verifier(self._module.Ark(), CEREMONY)

    def verify_hit(self, proof: bytes) -> None:
        self.verify_batch([proof])

    def verify_well_formedness(self, proof: bytes) -> None:
        self._require([self._verifier.claim_wf(self._embedded[2], NORM_BOUND_SQUARED, proof)])

    def verify_batch(self, proofs: Sequence[bytes]) -> None:
        stated = (self._embedded[2], self._example.query, self._example.tau)
        self._require([self._verifier.claim_hit(*stated, proof) for proof in proofs])

    def _require(self, claims: list[Any]) -> None:
        if not self._verifier.batch(claims):
            raise AssertionError("the prototype refuses a proof of its own")


class Stopwatch:
    """The least processor time of each operation, in milliseconds."""

    def __init__(self) -> None:
        self.least_ms: dict[str, float] = {}

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """Do *work* and return what it made."""
        started_s = time.process_time()
        made = work()
        taken_ms = (time.process_time() - started_s) * 1_000
        self.least_ms[name] = min(taken_ms, self.least_ms.get(name, taken_ms))
        return made


def measure(side: Side, watch: Stopwatch, batch: Sequence[bytes]) -> dict[str, int]:
    """Do everything once and return the sizes of both proofs."""
    watch.time("commit", side.commit)
    hit = watch.time("prove hit", side.prove_hit)
    form = watch.time("prove well-formedness", side.prove_well_formedness)
    side.forget()
    watch.time("verify hit", lambda: side.verify_hit(hit))
    side.forget()
    watch.time("verify well-formedness", lambda: side.verify_well_formedness(form))
    side.forget()
    watch.time("verify batch", lambda: side.verify_batch(batch))
    return {"hit": len(hit), "well-formedness": len(form)}


@dataclass(frozen=True)
class Bound:
    """What one figure may be at most, of its own or as a share of the prototype's."""

    name: str
    most: float
    is_ratio: bool


BOUNDS = (
    Bound("prove hit", 0.5, True),
    Bound("prove well-formedness", 0.5, True),
    Bound("verify hit", 1.0, True),
    Bound("verify well-formedness", 1.0, True),
    Bound("batch, per hit", 2.1, False),
)


def main() -> int:
    """Measure and print; return 1 where a bound is exceeded."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prototype", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    entry, query = pair(options.dimension, 1, 0.3)
    example = Example(entry, query, inner_product(entry, query) - SLACK)
    product = Product(example)
    sides: dict[str, Side] = {"product": product}
    if options.prototype is not None and options.dimension <= 512:
        sides["prototype"] = Prototype(options.prototype, example)
    watches = {name: Stopwatch() for name in sides}
    batches = {name: [side.prove_hit() for _ in range(BATCH)] for name, side in sides.items()}
    sizes = {name: measure(side, Stopwatch(), batches[name]) for name, side in sides.items()}  # to warm up
    for _ in range(options.rounds):
        for name, side in sides.items():
            measure(side, watches[name], batches[name])
        watches["product"].time("commit without a basis", product.commit_alone)
    watches["product"].time(
        "verify both by reference",
        lambda: product.verify_slowly(product.prove_hit(), product.prove_well_formedness()),
    )
    figures = {name: dict(watch.least_ms) for name, watch in watches.items()}
    for found in figures.values():
        found["batch, per hit"] = found.pop("verify batch") / BATCH
    checks = check(figures)
    report = {
        "dimension": options.dimension,
        "suite": product.suite.name,
        "preparing_ms": round(product.preparing_s * 1_000, 1),
        "cpu_ms": {name: {key: round(value, 2) for key, value in found.items()} for name, found in figures.items()},
        "bytes": sizes,
        "bounds": checks,
        "processors": os.cpu_count(),
    }
    print(json.dumps(report, indent=2) if options.json else table(report))
    return 0 if all(met["met"] for met in checks) else 1


def check(figures: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Return each bound that can be told, and whether it is met."""
    found = []
    for bound in BOUNDS:
        value = figures["product"][bound.name]
        if bound.is_ratio:
            if "prototype" not in figures:
                continue
            value /= figures["prototype"][bound.name]
        unit = "of the prototype" if bound.is_ratio else "ms"
        met = value <= bound.most
        found.append({"name": bound.name, "is": round(value, 3), "most": bound.most, "unit": unit, "met": met})
    return found


def table(report: dict[str, Any]) -> str:
    """Return the report as lines of text."""
    product, prototype = report["cpu_ms"]["product"], report["cpu_ms"].get("prototype", {})
    lines = [
        f"{report['suite']}, dimension {report['dimension']}; preparing the suite: {report['preparing_ms']} ms",
        "",
    ]
    lines.append(f"{'CPU ms':28}{'product':>10}{'prototype':>11}{'ratio':>8}")
    for name, value in product.items():
        other = prototype.get(name)
        tail = "" if other is None else f"{other:>11.2f}{value / other:>8.2f}"
        lines.append(f"{name:28}{value:>10.2f}{tail}")
    lines += ["", *(f"bytes, {name}: {sizes}" for name, sizes in report["bytes"].items()), ""]
    for met in report["bounds"]:
        verdict = "met" if met["met"] else "MISSED"
        lines.append(f"{verdict:7}{met['name']}: {met['is']} {met['unit']}, at most {met['most']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
