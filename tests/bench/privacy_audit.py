"""What attacks on the pool's mechanisms show: lower bounds of ε and ρ, membership, dictionaries (synthetic).

    python -m tests.bench.privacy_audit [--canaries 50000]

Seeds are fixed; noise is that of `tests/privacy/mass_noise.py`, everything else the product's code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

from crypto.privacy_arithmetic import epsilon_micro_of_rho, zcdp_rho_nano
from privacy.calibration import multiplier_squared_micro_for
from privacy.noise import NoiseSampler
from privacy.terms import pool_terms
from tests.privacy.audited import Audited, run_embedding, run_mean, run_organisations, run_selection
from tests.privacy.faulty_noise import AveragedNoise, RedrawnNoise, ScaledNoise
from tests.privacy.mass_noise import MassNoise
from tests.privacy.one_run_audit import lower_bound, rho_lower_bound
from tests.privacy.reidentification import most_reidentified
from tests.privacy.test_membership import WORLDS, attacked, interval, most
from tests.privacy.test_reidentification import DELTA, ENTRIES, rate_at

ERROR = 0.05
Make: TypeAlias = Callable[[NoiseSampler], NoiseSampler]
NOISES: dict[str, Make] = {
    "as built": lambda noise: noise,
    "scale / 2": lambda noise: ScaledNoise(noise, 2),
    "scale / 8": lambda noise: ScaledNoise(noise, 8),
    "largest of 2": lambda noise: RedrawnNoise(noise, 2),
    "mean of 4": lambda noise: AveragedNoise(noise, 4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canaries", type=int, default=50_000)
    canaries: int = parser.parse_args().canaries
    print("mechanism", "noise", "claimed eps", "bound", "claimed rho", "bound", sep="\t")
    for epsilon in (1, 2, 3):
        question = pool_terms(unit="question", epsilon_micro=epsilon * 1_000_000)
        for name, make in NOISES.items():
            print_bound(
                f"selection {epsilon}", name, run_selection(question, make(MassNoise(1)), canaries, 2), epsilon, 1e-8
            )
    organisation = pool_terms(unit="organisation")
    rho_nano = organisation.selection_charge().cost().rho_nano
    claimed = epsilon_micro_of_rho(rho_nano, 10**12) / 1e6
    for name, make in NOISES.items():
        audited = run_organisations(organisation, make(MassNoise(1)), canaries, 2)
        print_bound("selection, organisation", name, audited, claimed, 1e-6, rho_nano / 1e9)
    for mode, run in (("dp_mean", run_mean), ("noised", run_embedding)):
        for epsilon in (2, 8):
            multiplier = multiplier_squared_micro_for(epsilon * 1_000_000, 10**10)
            for name, make in NOISES.items():
                audited = run(multiplier, make(MassNoise(1)), canaries, 2)
                print_bound(f"{mode} {epsilon}", name, audited, epsilon, 1e-8, zcdp_rho_nano(multiplier) / 1e9)
    print_membership()
    print_dictionary()


def print_bound(
    mechanism: str, noise: str, audited: Audited, epsilon: float, delta: float, rho: float | None = None
) -> None:
    bound = lower_bound(audited.included, audited.scores, delta=delta, error=ERROR)
    cells = [mechanism, noise, f"{epsilon:.2f}", f"{bound:.2f}"]
    if rho is not None:
        cells += [f"{rho:.4f}", f"{rho_lower_bound(len(audited.included), audited.right(), error=ERROR):.4f}"]
    print(*cells, sep="\t", flush=True)


def print_membership() -> None:
    print("membership: eps", "AUC", "allowed", sep="\t")
    for epsilon in (1, 2, 3):
        terms = pool_terms(unit="question", epsilon_micro=epsilon * 1_000_000)
        area = attacked(terms, MassNoise(3), {"the victim's": terms.threshold - 1}, WORLDS)
        print(epsilon, f"{area:.3f}", f"{most(epsilon, 1e-8):.3f} + {interval(area, WORLDS):.3f}", sep="\t")


def print_dictionary() -> None:
    print(f"dictionary of {ENTRIES} (synthetic): eps", "found first", "no attacker above", sep="\t")
    for epsilon in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0):
        share = rate_at(epsilon, 2_000).share
        print(
            f"{epsilon:.0f}", f"{share:.4f}", f"{most_reidentified(epsilon, DELTA, ENTRIES):.4f}", sep="\t", flush=True
        )


if __name__ == "__main__":
    main()
