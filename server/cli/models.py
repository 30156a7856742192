"""`hitproof upstream|model`: where misses are computed, and what clients call it.

A running gateway notices within seconds: it follows the same store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.cli.context import ACTOR, ConfigOption, DataOption, JsonOption, opened, print_result, settings_from
from server.cli.naming import NameUnknown

upstreams = typer.Typer(help="Where misses are computed.", no_args_is_help=True)
models = typer.Typer(help="Model aliases and their versions.", no_args_is_help=True)


@upstreams.command("set")
def set_upstream(
    name: str,
    base_url: str,
    kind: Annotated[
        str, typer.Option(help="openai, vllm (keeps prefix caches apart per tenant) or runner.")
    ] = "openai",
    key: Annotated[str | None, typer.Option(help="Its key, as env:NAME or file:PATH.")] = None,
    allow_private: Annotated[bool, typer.Option(help="Allow private and loopback addresses, and http.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set up an upstream: any OpenAI-compatible base URL, or a runner."""
    from server.setup import put_upstream
    from server.store.records import UpstreamRecord
    from server.upstream.directory import read_key
    from server.upstream.endpoint import read_endpoint

    if kind not in ("openai", "vllm", "runner"):
        raise NameUnknown("an upstream is of kind openai, vllm or runner")
    read_endpoint(base_url, allow_private=allow_private)
    read_key(key)
    with opened(settings_from(data, config)) as store:
        record = UpstreamRecord(name, kind, base_url, key, allow_private, store.clock.now_ms())
        store.database.write_now(lambda c: put_upstream(c, record, actor=ACTOR, now_ms=store.clock.now_ms()))
        print_result({"name": name, "kind": kind, "base_url": base_url}, as_json=as_json)


@upstreams.command("list")
def list_upstreams(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List upstreams."""
    from server.store.platform import PlatformRepository

    with opened(settings_from(data, config)) as store:
        rows = store.database.read_now(lambda c: PlatformRepository(c).list_upstreams())
        print_result([{"name": row.name, "kind": row.kind, "base_url": row.base_url} for row in rows], as_json=as_json)


@models.command("create")
@models.command("set")
def set_model(
    alias: str,
    upstream: Annotated[str, typer.Option(help="Where it leads.")],
    requested: Annotated[str | None, typer.Option(help="What the upstream calls it.")] = None,
    input_price_micro: Annotated[int, typer.Option(min=0, help="Millionths per million prompt tokens.")] = 0,
    output_price_micro: Annotated[int, typer.Option(min=0, help="Millionths per million output tokens.")] = 0,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a model alias to all tenants."""
    from server.setup import put_model
    from server.store.records import ModelRecord

    with opened(settings_from(data, config)) as store:
        now_ms = store.clock.now_ms()
        record = ModelRecord(
            alias, upstream, requested or alias, None, None, input_price_micro, output_price_micro, now_ms
        )
        store.database.write_now(lambda c: put_model(c, record, actor=ACTOR, now_ms=now_ms))
        print_result({"alias": alias, "upstream": upstream, "requested": requested or alias}, as_json=as_json)


@models.command("versions")
def list_versions(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every model version that was seen, newest first, and whether its answers may be reused."""
    from server.store.platform import PlatformRepository

    with opened(settings_from(data, config)) as store:
        rows = store.database.read_now(lambda c: PlatformRepository(c).list_model_versions())
        shown = [
            {
                "model_version": row.model_version,
                "reported": row.reported,
                "status": row.status,
                "signed_by_publisher": row.publisher is not None,
            }
            for row in rows
        ]
        print_result(shown, as_json=as_json)


def _end_version(model_version: str, status: str, data: Path | None, config: Path | None, *, as_json: bool) -> None:
    from server.standing import end_model_version

    with opened(settings_from(data, config)) as store:
        store.database.write_now(
            lambda c: end_model_version(
                c, model_version, status, actor=ACTOR, now_ms=store.clock.now_ms(), random=store.random
            )
        )
        print_result({"model_version": model_version, "status": status}, as_json=as_json)


@models.command("supersede")
def supersede_version(
    model_version: Annotated[str, typer.Argument(help="The version, sha256:…")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a model version without blame: what it answered is reused no more, and its receipts stay good."""
    _end_version(model_version, "superseded", data, config, as_json=as_json)


@models.command("revoke")
def revoke_version(
    model_version: Annotated[str, typer.Argument(help="The version, sha256:…")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a model version for good: what it answered is reused no more."""
    _end_version(model_version, "revoked", data, config, as_json=as_json)


@models.command("list")
def list_models(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List model aliases and the versions they answer with."""
    from server.store.platform import PlatformRepository

    with opened(settings_from(data, config)) as store:
        rows = store.database.read_now(lambda c: PlatformRepository(c).list_models())
        shown = [
            {"alias": row.alias, "upstream": row.upstream, "model_version": row.model_version, "reported": row.reported}
            for row in rows
        ]
        print_result(shown, as_json=as_json)
