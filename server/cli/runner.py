"""`hitproof runner`: serve a model from a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crypto.errors import Error
from server.cli.context import JsonOption, say

if TYPE_CHECKING:
    from starlette.applications import Starlette


class RunnerUsageError(Error):
    """The flags do not say which model to run."""


def runner(
    demo: Annotated[bool, typer.Option("--demo", help="Run the built-in demonstration model.")] = False,
    model: Annotated[Path | None, typer.Option(help="Folder with a Hugging Face causal model.")] = None,
    name: Annotated[str | None, typer.Option(help="Name that clients call the model by.")] = None,
    device: Annotated[str, typer.Option(help="Where --model runs: cpu, cuda, cuda:1 …")] = "cpu",
    beside: Annotated[str | None, typer.Option(help="URL of an OpenAI-compatible server to stand beside.")] = None,
    beside_key: Annotated[str | None, typer.Option(help="Its key, as env:NAME or file:PATH.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the token that gateway and runner share.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8081,
    exit_with_parent: Annotated[bool, typer.Option(hidden=True, help="End when standard input ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Load a model and serve it to gateways, with its manifest, token ids and exact parameters."""
    from server.runner.process import read_token_file, run_runner

    if token_file is None:
        raise RunnerUsageError("name the file with the shared token: --token-file PATH")
    if exit_with_parent:
        threading.Thread(target=_end_with_input, daemon=True).start()
    token = read_token_file(token_file)
    app = _build(demo=demo, model=model, name=name, device=device, beside=beside, beside_key=beside_key, token=token)

    def announce(bound: int) -> None:
        if as_json:
            print(json.dumps({"port": bound}), flush=True)
        else:
            say(f"the runner listens on {host}:{bound}")

    run_runner(app, host=host, port=port, on_ready=announce)


def _build(
    *,
    demo: bool,
    model: Path | None,
    name: str | None,
    device: str,
    beside: str | None,
    beside_key: str | None,
    token: str,
) -> Starlette:
    from server.clock import SystemClock, SystemRandom
    from server.runner.app import create_app, create_runner_app
    from server.runner.limits import RunnerLimits

    chosen = [flag for flag, given in (("--demo", demo), ("--model", model), ("--beside", beside)) if given]
    if len(chosen) != 1:
        raise RunnerUsageError("choose exactly one of --demo, --model FOLDER and --beside URL")
    clock, random = SystemClock(), SystemRandom()
    if demo:
        from server.runner.demo.engine import load_demo_engine

        return create_runner_app([load_demo_engine()], token=token, clock=clock, random_source=random)
    if model is not None:
        from server.runner.huggingface import load_huggingface_engine

        engine = load_huggingface_engine(model, device=device, name=name or model.name, random_source=random)
        return create_runner_app([engine], token=token, clock=clock, random_source=random)
    from server.runner.beside import BesideAnswerer
    from server.upstream.directory import read_key
    from server.upstream.openai import OpenAIUpstream

    upstream = OpenAIUpstream(
        name or "beside",
        beside or "",
        read_key(beside_key),
        clock=clock,
        random_source=random,
        allow_private=True,
    )
    return create_app(BesideAnswerer(upstream), token=token, limits=RunnerLimits())


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
