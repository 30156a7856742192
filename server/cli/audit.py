"""`hitproof audit export`: write a tenant's bundle for an auditor, beside a running gateway or without one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli.context import (
    ACTOR,
    ConfigOption,
    DataOption,
    JsonOption,
    Opened,
    opened,
    print_result,
    say,
    settings_from,
)
from server.cli.naming import TenantArgument, find_tenant_id
from tenants.identifiers import TenantId

if TYPE_CHECKING:
    from server.audit.export import Progress

app = typer.Typer(help="What an auditor gets.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """What an auditor gets."""


@app.command("export")
def export_bundle(
    tenant: TenantArgument,
    file: Annotated[Path, typer.Argument(help="Where to write the bundle.")],
    since: Annotated[str | None, typer.Option(help="From this time on: 2026-11-24, or with T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to before this time.")] = None,
    model_version: Annotated[str | None, typer.Option(help="Only this model version, sha256:…")] = None,
    open_receipts: Annotated[
        list[str] | None, typer.Option("--open", help="Open this receipt, rcp_…, or all; repeatable.")
    ] = None,
    kinds: Annotated[
        str,
        typer.Option(
            "--open-kinds", help="What of them, joined by commas; also text, vector, commitment, query_vector."
        ),
    ] = "output,output_tokens,prompt,prompt_tokens",
    applicability: Annotated[
        bool, typer.Option("--applicability", help="Open queries, with proofs of their hits, made where they lack.")
    ] = False,
    from_size: Annotated[
        list[int] | None, typer.Option(help="A checkpoint the auditor has seen, by its size; repeatable.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one file that `hitproof-verify` checks without a network: receipts, hits, log proofs, status, policies."""
    from server.audit.export import Exporter
    from server.audit.request import ExportRequest
    from server.audit.settling import settle
    from server.cli.auditing import advance_log, export_keys, make_missing_proofs, open_log_storage, parse_time

    _refuse_existing(file)
    chosen = set(open_receipts or ())
    request = ExportRequest(
        since_ms=parse_time(since),
        until_ms=parse_time(until),
        model_version=model_version,
        kinds=tuple(kind for kind in kinds.split(",") if kind) if chosen else (),
        opened=_opened(chosen, applicability=applicability),
        from_sizes=tuple(from_size or ()),
        applicability=applicability,
    )
    with opened(settings_from(data, config)) as store:
        identifier = store.database.read_now(lambda c: find_tenant_id(c, tenant))
        _note(store, identifier, request.to_json())
        keys = export_keys(store, identifier)
        if request.applicability:
            made = make_missing_proofs(store, identifier, request)
            if not as_json:
                say(f"made {made} applicability proofs")
        checkpoint = settle(
            store.database,
            identifier,
            clock=store.clock,
            random=store.random,
            quorum=store.settings.log_witness_quorum,
            advance=advance_log(store),
        )
        exporter = Exporter(store.database, open_log_storage(store), identifier, keys, store.clock)
        exported = exporter.export(request, checkpoint, _progress(as_json=as_json))
        _write(file, exported.data)
        result: dict[str, Any] = {
            "tenant": tenant,
            "file": str(file),
            "bytes": len(exported.data),
            **exported.counts.to_json(),
            "unproved": exported.unproved,
            "log_size": exported.size,
        }
        print_result(result, as_json=as_json)


def _opened(chosen: set[str], *, applicability: bool) -> frozenset[str] | None:
    """Return the receipts that are opened, None for all of them; with proofs their queries, where none is named."""
    return None if "all" in chosen or (applicability and not chosen) else frozenset(chosen)


def _progress(*, as_json: bool) -> Progress:
    """Return what tells a person how far an export is; for programs it says nothing."""
    shown: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        if not as_json and shown[-1:] != [(done, total)]:
            shown.append((done, total))
            say(f"read {done} of {total} rows")

    return tell


def _note(store: Opened, tenant: TenantId, scope: dict[str, Any]) -> None:
    from server.store.maintenance import AuditEvent, append_audit

    event = AuditEvent(ACTOR, tenant, "audit.export", tenant, scope)
    store.database.write_now(lambda c: append_audit(c, event, at_ms=store.clock.now_ms()))


def _refuse_existing(file: Path) -> None:
    """Said before the work, and before the audit log says that something left."""
    if file.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))


def _write(file: Path, data: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
