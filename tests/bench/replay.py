"""CPU time of replaying one answer of the built-in demo model with its loading; prints one line.

    python -m tests.bench.replay

The first answer pays for hashing the files and making the tables; the others only for one run.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.replay_models import answer, demo_engine, demo_folder

ANSWERS = 20


def main() -> None:
    """Print CPU time of the first answer and of each further one."""
    folder = demo_folder(Path(tempfile.mkdtemp()))
    engine = demo_engine()
    given = [answer(engine, folder, tokens_max=64, temperature="1", seed=seed) for seed in range(ANSWERS)]
    from crypto.replay.integer import IntegerVerifier

    verifier = IntegerVerifier()
    times = []
    for one in given:
        begun = time.process_time()
        verifier.replay(one.manifest, folder, **one.opened)
        times.append(time.process_time() - begun)
    tokens = sum(len(one.generated.output_token_ids) for one in given) / ANSWERS
    print(
        f"first answer with loading {times[0]:.2f} s, each further one {sum(times[1:]) / (ANSWERS - 1) * 1000:.0f} ms,"
        f" {tokens:.0f} tokens on average"
    )


if __name__ == "__main__":
    main()
