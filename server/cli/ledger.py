"""`hitproof privacy ledger|budget`: what organisations spent of their privacy, and how much they may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli.context import ACTOR, ConfigOption, DataOption, JsonOption, opened, print_result, settings_from
from server.cli.naming import find_organisation_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from server.store.records import OrganisationRecord


def show_ledger(
    organisation: Annotated[str | None, typer.Option(help="Only this one, by name.")] = None,
    accountants: Annotated[
        bool, typer.Option("--accountants", help="Ask opacus' RDP and PRV accountants too; takes seconds.")
    ] = False,
    delta_atto: Annotated[int, typer.Option(min=1, help="δ · 10^18 at which Gaussian noise is stated.")] = 10**12,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each organisation spent, period by period: the numbers that decide, and what they mean as (ε, δ)."""
    from server.pool.ledger_report import LedgerQuestion, report_ledger
    from server.pool.terms import rules_of

    ask = None
    if accountants:
        from privacy.accountants import LABEL, report_epsilon

        ask = report_epsilon
    settings = settings_from(data, config)
    with opened(settings) as store:
        question = LedgerQuestion(rules_of(settings), store.clock.now_ms(), delta_atto, ask)
        chosen = store.database.read_now(lambda c: _choose(c, organisation))
        reports = [store.database.read_now(lambda c, row=row: report_ledger(c, row, question)) for row in chosen]  # type: ignore[misc]
    if as_json:
        result: dict[str, Any] = {"period": question.period.number, "organisations": reports}
        print_result(result | ({"accountants": LABEL} if accountants else {}), as_json=True)
        return
    for report in reports:
        _print_for_people(report)


def set_budget(
    organisation: Annotated[str, typer.Argument(help="The organisation, by name.")],
    from_period: Annotated[int, typer.Option(min=0, help="From this period on; `privacy ledger` numbers them.")],
    epsilon_micro: Annotated[int, typer.Option(min=0, help="ε · 10^6 of Laplace noise in a period.")],
    rho_nano: Annotated[int, typer.Option(min=0, help="ρ · 10^9 (zCDP) of Gaussian noise in a period.")],
    delta_atto: Annotated[int, typer.Option(min=0, help="δ · 10^18 of thresholds in a period.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an organisation a budget of its own from a period on; one that has begun to be spent keeps its budget."""
    from crypto.spending import Budget
    from server.store.ledger import LedgerRepository
    from server.store.maintenance import AuditEvent, append_audit

    budget = Budget(epsilon_micro, rho_nano, delta_atto)
    caps = {"epsilon_micro": epsilon_micro, "rho_nano": rho_nano, "delta_atto": delta_atto}
    with opened(settings_from(data, config)) as store:

        def write(connection: Connection) -> None:
            identifier = find_organisation_id(connection, organisation)
            event = AuditEvent(ACTOR, None, "privacy.budget", identifier, {"from_period": from_period, **caps})
            append_audit(connection, event, at_ms=store.clock.now_ms())
            LedgerRepository(connection).set_budget(identifier, from_period, budget)

        store.database.write_now(write)
    print_result({"organisation": organisation, "from_period": from_period, **caps}, as_json=as_json)


def _choose(connection: Connection, name: str | None) -> list[OrganisationRecord]:
    from server.pool.principal import list_customer_organisations
    from server.store.platform import PlatformRepository

    if name is None:
        return list_customer_organisations(connection)
    return [PlatformRepository(connection).get_organisation(find_organisation_id(connection, name))]


def _print_for_people(report: dict[str, Any]) -> None:
    print(f"{report['name']}  spendings={report['spendings']}  {_show('ever', report['means'])}", flush=True)
    for period in report["periods"]:
        left = "" if period["releases_left"] is None else f"  releases_left={period['releases_left']}"
        state = {True: "exhausted", False: "open", None: "over"}[period["is_exhausted"]]
        figures = f"{_show('spent', period['spent_means'])}  {_show('budget', period['budget_means'])}"
        print(f"  period={period['period']}  {state}  {figures}{left}", flush=True)
        for spending in period["spendings"]:
            cost = "  ".join(f"{name}={value}" for name, value in spending["cost"].items())
            where = "not in the log yet" if spending["leaf_index"] is None else f"leaf={spending['leaf_index']}"
            print(f"    spending={spending['number']}  release={spending['release']}  {cost}  {where}", flush=True)
        if "accountants" in period:
            found = "  ".join(f"{name}={value}" for name, value in period["accountants"].items())
            print(f"    continuous reference: {found}", flush=True)


def _show(name: str, meaning: dict[str, int]) -> str:
    return f"{name}=(ε {meaning['epsilon_micro'] / 10**6:g}, δ {meaning['delta_atto'] / 10**18:.3g})"
