"""`hitproof serve`: the gateway on a data folder that is set up already."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.context import ConfigOption, DataOption, JsonOption, locked, opened, print_result, say, settings_from


def serve(
    data: DataOption = None,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the gateway until it is told to stop."""
    from server.index.faiss_setup import require_one_faiss
    from server.serving import build_outside, listen, load_configured_embedder, run_gateway
    from server.telemetry import configure_logging

    settings = settings_from(data, config, host=host, port=port)
    configure_logging(settings.log_format)
    require_one_faiss()
    with locked(settings):
        listener = listen(settings.host, settings.port)
        with opened(settings) as store:
            outside_provider = store.provider
        say("loading the embedder …")
        embedder = load_configured_embedder(settings)
        url = f"http://{settings.host}:{listener.getsockname()[1]}"
        run_gateway(
            settings,
            build_outside(settings, embedder, outside_provider),
            listener,
            on_ready=lambda: print_result({"url": url}, as_json=as_json),
        )
