"""`hitproof privacy simulate|ledger|budget`: what a pool would give and cost, and what organisations paid for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from server.cli.context import JsonOption, print_result
from server.cli.ledger import set_budget, show_ledger

if TYPE_CHECKING:
    from privacy.terms import PoolTerms

app = typer.Typer(help="Differential privacy of the pool: what it would give, what it costs.", no_args_is_help=True)

_LABEL = "SIMULATION of synthetic traffic"
#: δ at which the Gaussian part of an organisation's total is stated.
_TOTAL_DELTA_ATTO = 10**12
_VOTERS_SHOWN = (1, 2, 3, 5, 8, 10, 12, 15, 20, 30, 50, 100)


@app.callback()
def privacy() -> None:
    """Keep the group a group, however few its commands."""


@app.command("simulate")
def simulate(
    organisations: Annotated[int, typer.Option(min=1, help="How many organisations vote and read.")] = 100,
    questions_per_organisation: Annotated[int, typer.Option(min=1, help="Questions of each in one epoch.")] = 300,
    topics: Annotated[int, typer.Option(min=1, help="Topics that all questions are about.")] = 100_000,
    zipf: Annotated[float, typer.Option(min=0.0, help="Zipf's exponent of the topics' popularity.")] = 1.0,
    key_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Chance that two askers share a key.")] = 0.5,
    recall: Annotated[float, typer.Option(min=0.0, max=1.0, help="Chance that a question finds its topic.")] = 0.5,
    unit: Annotated[Literal["question", "organisation"], typer.Option(help="What is protected.")] = "question",
    vector_source: Annotated[
        Literal["released_text", "dp_mean"], typer.Option(help="What stands in the index.")
    ] = "released_text",
    epsilon_micro: Annotated[int, typer.Option(min=0, help="ε · 10^6 of the unit; 0: its default.")] = 0,
    delta_atto: Annotated[int, typer.Option(min=0, help="δ · 10^18 of the unit; 0: its default.")] = 0,
    keys_max: Annotated[int, typer.Option(min=0, help="Places of an organisation in an epoch; 0: default.")] = 0,
    organisations_min: Annotated[int, typer.Option(min=1, help="No release below so many organisations.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same traffic.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show the expected yield of a pool over one period of synthetic traffic, its thresholds and its privacy."""
    from privacy.chances import release_chance
    from privacy.terms import pool_terms
    from privacy.yield_simulation import Traffic, simulate

    terms = pool_terms(
        unit=unit,
        vector_source=vector_source,
        epsilon_micro=epsilon_micro,
        delta_atto=delta_atto,
        keys_max=keys_max,
        organisations_min=organisations_min,
    )
    traffic = Traffic(organisations, questions_per_organisation, topics, zipf, key_share, recall)
    found = simulate(traffic, terms, seed)
    result: dict[str, Any] = {
        "label": _LABEL,
        "traffic": {name: getattr(traffic, name) for name in Traffic.__slots__} | {"seed": seed},
        "yield": {
            "own": round(found.own, 5),
            "incremental": round(found.incremental, 5),
            "incremental_by_epochs": [round(share, 5) for share in found.by_epochs],
            "newcomer": round(found.newcomer, 5),
            "votes": found.votes,
            "released_keys": round(found.released, 2),
            "empty_because": found.empty_because,
        },
        "terms": describe_terms(terms),
        "release_chance": {str(voters): _digits(release_chance(terms, voters)) for voters in _VOTERS_SHOWN},
        "privacy": describe_privacy(terms),
        "noised": _describe_noised(),
    }
    if as_json:
        print_result(result, as_json=True)
        return
    _print_for_people(result)


app.command("ledger")(show_ledger)
app.command("budget")(set_budget)


def describe_terms(terms: PoolTerms) -> dict[str, Any]:
    """Return *terms* as a report shows them."""
    return {
        "unit": terms.unit,
        "vector_source": terms.vector_source,
        "threshold": terms.threshold,
        "keys_max": terms.keys_max,
        "period_epochs": terms.period_epochs,
        "organisations_min": terms.organisations_min,
        "charges": [charge.to_json() for charge in terms.charges()],
    }


def describe_privacy(terms: PoolTerms) -> dict[str, Any]:
    """Return what holds for the unit and for an organisation's whole period, and what the accountants report."""
    from privacy.accountants import LABEL, report_epsilon
    from privacy.terms import total_of

    unit, total = terms.unit_guarantee(), total_of(terms.period_cost(), _TOTAL_DELTA_ATTO)
    charges = terms.charges() * terms.period_epochs
    reported = report_epsilon(charges, _TOTAL_DELTA_ATTO / 10**18)
    return {
        "unit_in_a_period": {"epsilon_micro": unit.epsilon_micro, "delta_atto": unit.delta_atto},
        "organisation_in_a_period": {"epsilon_micro": total.epsilon_micro, "delta_atto": total.delta_atto},
        "reported_for_the_organisation": {
            "label": LABEL,
            "delta": _TOTAL_DELTA_ATTO / 10**18,
            **{name: None if value is None else round(value, 4) for name, value in reported.items()},
        },
    }


def _describe_noised() -> dict[str, Any]:
    from privacy.measured import load_reidentification

    rows = load_reidentification()
    if not rows:
        return {"measured": None, "reason": "this release ships no measured re-identification"}
    names = ("epsilon_milli", "dictionary", "reidentified", "found")
    return {"measured": [{name: getattr(row, name) for name in names} for row in rows]}


def _print_for_people(result: dict[str, Any]) -> None:
    print(result["label"], flush=True)
    for name in ("traffic", "yield", "terms", "release_chance"):
        print(f"{name}:  " + "  ".join(f"{key}={value}" for key, value in result[name].items()), flush=True)
    for name, value in (*result["privacy"].items(), ("noised", result["noised"])):
        print(f"{name}:  " + "  ".join(f"{key}={found}" for key, found in value.items()), flush=True)


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
