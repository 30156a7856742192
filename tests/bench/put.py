"""CPU time of a whole put: `Storer.store` from a fresh answer to a durable, findable entry; prints one JSON object.

    OMP_NUM_THREADS=1 python -m tests.bench.put [--rounds 5] [--puts 200]

Sealing, the quota, the group commit on SQLite (WAL, synchronous=FULL) and the index are the real ones; the question's
vector is given, since embedding is measured by itself (tests/bench/embedding.py). "alone" waits for each put before the
next, so each pays for a commit of its own; "together" has 32 puts waiting at a time. Medians of `time.process_time` of the
whole process, all threads. "seal" is `_seal` alone, "declare" the making of a receipt, which comes on top of a put where
no runner signs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from server.clock import SystemClock, SystemRandom
from server.ports import JsonObject
from server.reuse.fingerprint import Identity
from server.reuse.guards import Facts, facts_of
from server.reuse.receipt_making import Receiptable, ReceiptMaker
from server.reuse.storing import Fresh, Question, Storer
from server.reuse.tenant_directory import TenantContext
from tests.fakes import GATEWAY_KEY, Options, fake_gateway

TEXT = "How many lanterns hang in the long hall of the old observatory on a winter evening?"
DIMENSION = 384
TOGETHER = 32


def new_fresh(maker: ReceiptMaker, tenant: TenantContext, facts: Facts, number: int) -> Fresh:
    """Return an answer of 800 characters to a question of its own, with a receipt that the gateway declared."""
    vector = np.random.default_rng(number).integers(-127, 128, DIMENSION).astype(np.int8)
    response = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1,
        "model": "fake-1",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "A lantern. " * 73}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 200, "total_tokens": 220},
    }
    messages: list[JsonObject] = [{"role": "user", "content": TEXT}]
    about = Receiptable(messages, {"temperature": 0}, response, "fake-model", "sha256:" + "a" * 64)
    return Fresh(
        identity=Identity(bytes(32), os.urandom(32)),
        messages=messages,
        parameters={"temperature": 0},
        response=response,
        receipt=maker.declare(tenant, about),
        provenance=None,
        question=Question(TEXT, facts, vector),
        source="upstream",
        model="fake-model",
        model_version="sha256:" + "a" * 64,
        reported="fake-1",
        prompt_tokens=20,
        output_tokens=200,
        cost_micro=400,
        ttl_s=3_600,
        tags=("tag",),
    )


async def measure(storer: Storer, tenant: TenantContext, fresh: list[Fresh]) -> dict[str, float]:
    """Return milliseconds of CPU per put, once; *fresh* is divided between the ways to put."""
    half = len(fresh) // 2
    start = time.process_time()
    for answer in fresh[:half]:
        await storer.store(tenant, answer)
    alone_s = time.process_time() - start
    start = time.process_time()
    for first in range(half, len(fresh), TOGETHER):
        await asyncio.gather(*(storer.store(tenant, answer) for answer in fresh[first : first + TOGETHER]))
    together_s = time.process_time() - start
    start = time.process_time()
    for answer in fresh[:half]:
        storer._seal(tenant, answer)
    seal_s = time.process_time() - start
    return {
        "alone": 1000 * alone_s / half,
        "together": 1000 * together_s / (len(fresh) - half),
        "seal": 1000 * seal_s / half,
    }


async def run(folder: Path, rounds: int, puts: int) -> list[dict[str, float]]:
    """Measure *rounds* times on one gateway."""
    # The gateway's own background work would be counted too, so it sleeps.
    quiet = {"feed_poll_s": 60, "record_flush_s": 10}
    options = Options(settings=quiet, clock=SystemClock(), random=SystemRandom())  # type: ignore[arg-type]
    async with fake_gateway(folder, options) as gateway:
        tenant = await gateway.gateway.tenants.get(gateway.tenants[0].id)
        storer, facts = gateway.gateway.state.storer, facts_of(TEXT)
        maker = ReceiptMaker(GATEWAY_KEY, SystemClock(), SystemRandom())
        await measure(storer, tenant, [new_fresh(maker, tenant, facts, number) for number in range(64)])
        found = []
        for at in range(rounds):
            start = time.process_time()
            fresh = [new_fresh(maker, tenant, facts, 1000 * at + number) for number in range(2 * puts)]
            declare_s = time.process_time() - start
            found.append({**await measure(storer, tenant, fresh), "declare": 1000 * declare_s / len(fresh)})
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--puts", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds = asyncio.run(run(Path(folder), arguments.rounds, arguments.puts))
    medians = {name: round(statistics.median(found[name] for found in rounds), 3) for name in rounds[0]}
    print(json.dumps({"unit": "milliseconds of CPU per put", "rounds": arguments.rounds, **medians}))


if __name__ == "__main__":
    main()
