"""`hitproof quickstart`: from nothing to a working gateway with two organisations and a small model, in one command."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer
from sqlalchemy import Connection

from crypto.errors import Error
from server.cli.context import ACTOR, ConfigOption, DataOption, JsonOption, Opened, locked, opened, say, settings_from
from server.cli.quickstart_pool import simulate_organisations
from server.cli.quickstart_trust import make_demo_trust
from server.datafolder import DataFolder, read_or_create_secret, write_secret
from server.settings import Settings
from server.setup import create_key, create_organisation, create_tenant, put_model, put_upstream
from server.store.records import ModelRecord, UpstreamRecord
from tenants.identifiers import TenantId
from tenants.quotas import Quota

DEMO_UPSTREAM: Final = "demo-runner"
DEMO_MODEL: Final = "hitproof-demo"
#: (organisation, tenant): two, so that it can be seen that neither learns of the other.
DEMO_TENANTS: Final = (("northwind", "support"), ("southbay", "helpdesk"))
#: Prices of the demo model in micro-units per million tokens: invented, so that savings are not all zero.
DEMO_INPUT_PRICE_MICRO: Final = 150_000
DEMO_OUTPUT_PRICE_MICRO: Final = 600_000
#: Wide, so that whoever tries the demonstration with a load generator meets the cache and not a limit.
DEMO_QUOTA: Final = Quota(
    requests_per_minute=600_000,
    tokens_per_minute=100_000_000,
    concurrent_requests_max=512,
    concurrent_requests_per_key_max=512,
)
RUNNER_START_S: Final = 120.0


class QuickstartError(Error):
    """The quickstart could not go on; the message says why."""


def quickstart(
    data: DataOption = None,
    config: ConfigOption = None,
    port: Annotated[int | None, typer.Option(help="Port of the gateway; 0 takes a free one.")] = None,
    organisations: Annotated[
        int | None,
        typer.Option(min=2, max=500, help="First simulate some months of so many organisations that share a pool."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set up and serve a demonstration: database, keys, two organisations, a runner with a small model, the gateway."""
    from server.index.faiss_setup import require_one_faiss
    from server.serving import build_outside, listen, load_configured_embedder, run_gateway
    from server.telemetry import configure_logging

    settings = settings_from(data, config, port=port)
    configure_logging(settings.log_format)
    require_one_faiss()
    simulation = None
    if organisations is not None:
        simulation = simulate_organisations(settings.data, organisations)
        settings = settings_from(data, config, port=port)  # the simulation left its own in the folder
    with locked(settings):
        listener = listen(settings.host, settings.port)
        with opened(settings) as store:
            demo = _read_or_create_demo(store)
            read_or_create_secret(store.folder.runner_token_file, store.random)
        say("starting the runner with the demo model …")
        with _runner(store.folder) as runner_port:
            say("loading the embedder …")
            embedder = load_configured_embedder(settings)
            with opened(settings) as store:
                store.database.write_now(lambda connection: _point_at_runner(connection, store, runner_port()))
                provider = store.provider
            url = f"http://{settings.host}:{listener.getsockname()[1]}"
            ready = {"url": url, "tenants": demo["tenants"], "console": None}
            if simulation is not None:
                ready["simulation"] = simulation
            run_gateway(
                settings,
                build_outside(settings, embedder, provider),
                listener,
                on_ready=lambda: _announce(ready, settings, as_json=as_json),
            )


def _announce(found: dict[str, Any], settings: Settings, *, as_json: bool) -> None:
    with opened(settings) as store:
        ready = {**found, "trust": str(make_demo_trust(store).resolve())}
    if as_json:
        print(json.dumps(ready), flush=True)
        return
    print(f"hitproof is ready at {ready['url']}\n")
    for tenant in ready["tenants"]:
        print(f"  {tenant['organisation']}/{tenant['name']}  {tenant['api_key']}")
    print(f"\nPoint any OpenAI client at it: base_url={ready['url']}/v1, model={DEMO_MODEL}")
    print(
        f"An auditor trusts what {ready['trust']} says; its root key lies beside it, as it must only in a demonstration."
    )
    for line in ready.get("simulation", {}).get("told", ()):
        print(f"  {line}")
    print(f"The platform operator's own key is in {DataFolder(settings.data).platform_key_file}.")
    print(f"Everything is kept in {settings.data}. Stop with Ctrl-C.", flush=True)


def _read_or_create_demo(store: Opened) -> dict[str, Any]:
    if store.folder.quickstart_file.exists():
        found: dict[str, Any] = json.loads(store.folder.quickstart_file.read_text(encoding="utf-8"))
        return found
    demo, platform_key = store.database.write_now(lambda connection: _create_demo(connection, store))
    if not store.folder.platform_key_file.exists():
        write_secret(store.folder.platform_key_file, platform_key + "\n")
    write_secret(store.folder.quickstart_file, json.dumps(demo, indent=2) + "\n")
    return demo


def _create_demo(connection: Connection, store: Opened) -> tuple[dict[str, Any], str]:
    now_ms = store.clock.now_ms()
    made = []
    for organisation_name, tenant_name in DEMO_TENANTS:
        tenant = _find_or_create_tenant(connection, store, organisation_name, tenant_name, now_ms)
        _, text = create_key(
            connection,
            tenant,
            role="owner",
            scopes=None,
            label="quickstart",
            expires_at_ms=None,
            pepper=store.pepper,
            actor=ACTOR,
            now_ms=now_ms,
            random=store.random,
        )
        made.append({"organisation": organisation_name, "name": tenant_name, "api_key": text})
    _, platform_key = create_key(
        connection,
        None,
        role="platform-operator",
        scopes=None,
        label="quickstart",
        expires_at_ms=None,
        pepper=store.pepper,
        actor=ACTOR,
        now_ms=now_ms,
        random=store.random,
    )
    return {"tenants": made}, platform_key


def _find_or_create_tenant(
    connection: Connection, store: Opened, organisation_name: str, name: str, now_ms: int
) -> TenantId:
    """Return the tenant, which is there already when a first start ended before it had written its keys down."""
    from server.store.platform import PlatformRepository

    platform = PlatformRepository(connection)
    organisation = platform.find_organisation(organisation_name) or create_organisation(
        connection, organisation_name, actor=ACTOR, now_ms=now_ms, random=store.random
    )
    for tenant in platform.list_tenants():
        if (tenant.organisation_id, tenant.name) == (organisation.id, name):
            return tenant.id
    made = create_tenant(
        connection,
        organisation.id,
        name,
        quota=DEMO_QUOTA,
        provider=store.provider,
        actor=ACTOR,
        now_ms=now_ms,
        random=store.random,
    )
    return made.id


def _point_at_runner(connection: Connection, store: Opened, port: int) -> None:
    from server.store.platform import PlatformRepository

    now_ms = store.clock.now_ms()
    token = f"file:{store.folder.runner_token_file.resolve()}"
    upstream = UpstreamRecord(DEMO_UPSTREAM, "runner", f"http://127.0.0.1:{port}", token, True, now_ms)
    put_upstream(connection, upstream, actor=ACTOR, now_ms=now_ms)
    known = {model.alias: model for model in PlatformRepository(connection).list_models()}
    if DEMO_MODEL not in known:
        model = ModelRecord(
            DEMO_MODEL,
            DEMO_UPSTREAM,
            DEMO_MODEL,
            None,
            None,
            DEMO_INPUT_PRICE_MICRO,
            DEMO_OUTPUT_PRICE_MICRO,
            now_ms,
        )
        put_model(connection, model, actor=ACTOR, now_ms=now_ms)


@contextlib.contextmanager
def _runner(folder: DataFolder) -> Iterator[Any]:
    """Run the runner as a process of its own, which ends when we do, however we end: it watches its standard input."""
    command = [
        sys.executable, "-m", "server.cli", "runner", "--demo", "--port", "0", "--exit-with-parent", "--json",
        "--token-file", str(folder.runner_token_file), "--signing-key", str(folder.runner_signing_key_file),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(process.stdout.readline() if process.stdout else ""))
    reader.start()

    def wait_for_port() -> int:
        reader.join(RUNNER_START_S)
        if not found or not found[0]:
            raise QuickstartError("the runner did not start; its own message stands above")
        return int(json.loads(found[0])["port"])

    try:
        yield wait_for_port
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
