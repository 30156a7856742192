"""`hitproof runner`: serve a model from a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from crypto.errors import Error
from server.cli.context import JsonOption, say

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from crypto.ed25519 import Signer
    from server.clock import SystemClock, SystemRandom
    from server.embedding.select import Device
    from server.ports import Embedder
    from server.runner.answers import Answerer
    from server.runner.embeddings import EmbedderLoader
    from server.runner.engine import Engine
    from server.runner.limits import RunnerLimits
    from server.runner.statements import StatementMaker


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
    signing_key: Annotated[
        Path | None, typer.Option(help="File with the key that statements are signed under; made if absent.")
    ] = None,
    embedder: Annotated[str, typer.Option(help="Recomputes vectors: default, a folder, or none.")] = "default",
    srs: Annotated[
        Path | None, typer.Option(help="Another copy of the ceremony's file that commitments are made under.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8081,
    exit_with_parent: Annotated[bool, typer.Option(hidden=True, help="End when standard input ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Load a model and serve it to gateways, with its manifest, token ids, exact parameters and signed statements."""
    from server.runner.process import read_token_file, run_runner
    from server.telemetry import configure_logging

    if token_file is None:
        raise RunnerUsageError("name the file with the shared token: --token-file PATH")
    if exit_with_parent:
        threading.Thread(target=_end_with_input, daemon=True).start()
    chosen = _Chosen(demo, model, name, device, beside, beside_key, signing_key, embedder, srs)
    chosen.check()
    configure_logging("json" if as_json else "console")
    app = _build(chosen, token=read_token_file(token_file))

    def announce(bound: int) -> None:
        if as_json:
            print(json.dumps({"port": bound}), flush=True)
        else:
            say(f"the runner listens on {host}:{bound}")

    run_runner(app, host=host, port=port, on_ready=announce)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the flags say about model and statements; exactly one of *demo*, *model* and *beside* is given."""

    demo: bool
    model: Path | None
    name: str | None
    device: str
    beside: str | None
    beside_key: str | None
    signing_key: Path | None
    embedder: str
    srs: Path | None

    def check(self) -> None:
        flags = (("--demo", self.demo), ("--model", self.model), ("--beside", self.beside))
        if len([flag for flag, given in flags if given]) != 1:
            raise RunnerUsageError("choose exactly one of --demo, --model FOLDER and --beside URL")
        if self.embedder not in ("default", "none") and not Path(self.embedder).is_dir():
            raise RunnerUsageError(f"--embedder is default, none or a folder, and {self.embedder!r} is no folder")
        if self.srs is not None and not self.srs.is_file():
            raise RunnerUsageError(f"--srs {str(self.srs)!r} is no file")


def _build(chosen: _Chosen, *, token: str) -> Starlette:
    from server.clock import SystemClock, SystemRandom
    from server.runner.app import create_app
    from server.runner.commitments import CeremonyCommitter
    from server.runner.limits import RunnerLimits
    from server.runner.signing import make_restatement_maker, make_statement_makers

    loaders = _embedder_loaders(chosen.embedder, chosen.device)
    clock, random, limits = SystemClock(), SystemRandom(), RunnerLimits()
    signer = _signer(chosen.signing_key, random)
    commit = CeremonyCommitter(chosen.srs)
    statements, embeddings = make_statement_makers(
        signer, loaders, clock=clock, random_source=random, limits=limits, commit=commit
    )
    if chosen.beside is not None:
        answerer = _beside(chosen, statements, clock, random)
    else:
        answerer = _engines(chosen, statements, limits, clock, random)
    restatements = make_restatement_maker(signer, clock=clock, random_source=random)
    return create_app(answerer, token=token, limits=limits, embeddings=embeddings, restatements=restatements)


def _signer(path: Path | None, random: SystemRandom) -> Signer | None:
    from server.runner.signing_key import load_or_create_signing_key

    log = structlog.get_logger()
    if path is None:
        log.warning("nothing_is_signed", reason="the runner was started without --signing-key")
        return None
    signer = load_or_create_signing_key(path, random)
    log.info("signing_key_loaded", key_id=signer.key_id)
    return signer


def _embedder_loaders(embedder: str, device: str) -> list[EmbedderLoader]:
    """Return loaders for the embedder as it runs on a CPU and, where the model has a GPU, as it runs there.

    Its digest says which of the two it is, and the gateway may run either.
    """
    if embedder == "none":
        return []
    places: tuple[Device, ...] = ("cpu", "cuda") if device.startswith("cuda") else ("cpu",)
    return [partial(_load_embedder, embedder, place) for place in places]


def _load_embedder(embedder: str, device: Device) -> Embedder:
    from server.embedding.select import EmbedderChoice, load_embedder

    if embedder == "default":
        return load_embedder(EmbedderChoice(device=device))
    return load_embedder(EmbedderChoice(kind="folder", folder=Path(embedder), device=device))


def _engines(
    chosen: _Chosen, statements: StatementMaker | None, limits: RunnerLimits, clock: SystemClock, random: SystemRandom
) -> Answerer:
    from server.runner.answers import EngineAnswerer

    engine: Engine
    if chosen.model is None:
        from server.runner.demo.engine import load_demo_engine

        engine = load_demo_engine()
    else:
        from server.runner.huggingface import load_huggingface_engine

        name = chosen.name or chosen.model.name
        engine = load_huggingface_engine(chosen.model, device=chosen.device, name=name, random_source=random)
    return EngineAnswerer([engine], limits=limits, clock=clock, random_source=random, statements=statements)


def _beside(chosen: _Chosen, statements: StatementMaker | None, clock: SystemClock, random: SystemRandom) -> Answerer:
    from server.runner.beside import BesideAnswerer
    from server.upstream.directory import read_key
    from server.upstream.openai import OpenAIUpstream

    upstream = OpenAIUpstream(
        chosen.name or "beside",
        chosen.beside or "",
        read_key(chosen.beside_key),
        clock=clock,
        random_source=random,
        allow_private=True,
    )
    return BesideAnswerer(upstream, statements=statements)


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
