"""`hitproof log`: check the log, print its checkpoint, and run a witness."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer

from server.cli.context import ConfigOption, DataOption, JsonOption, opened, print_result, say, settings_from

app = typer.Typer(help="Check the transparency log, print its checkpoint, run a witness.", no_args_is_help=True)


@app.command("fsck")
def check(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Recompute the log from the database and compare tiles, state and checkpoints; exit code 1 for what does not fit."""
    from server.log.fsck import check_log
    from server.log.keys import get_log_key
    from server.log.storage import DirectoryStorage
    from server.log.transactions import DirectTransactions

    with opened(settings_from(data, config)) as house:
        log_key = house.database.read_now(get_log_key)
        found = check_log(DirectTransactions(house.database), DirectoryStorage(house.folder.log), log_key)
    counts = {"leaves": found.leaves, "checkpoints": found.checkpoints, "tiles": found.tiles}
    if as_json:
        print_result({"ok": not found.problems, **counts, "problems": found.problems}, as_json=True)
    else:
        print_result(counts, as_json=False)
        for problem in found.problems:
            say(f"WRONG  {problem}")
    if found.problems:
        raise typer.Exit(1)


@app.command("checkpoint")
def print_checkpoint(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the newest signed checkpoint: keep it elsewhere, and no rollback behind it goes unseen."""
    from server.log.errors import LogError
    from server.log.keys import get_log_key, vkey_text
    from server.store.log import LogRepository

    with opened(settings_from(data, config)) as house:
        log_key = house.database.read_now(get_log_key)
        newest = house.database.read_now(lambda connection: LogRepository(connection).latest_checkpoint())
    if newest is None:
        raise LogError("nothing is in the log yet; it begins with the first answer, a second after it")
    if not as_json:
        print(newest.note, end="", flush=True)
        return
    print_result(
        {
            "origin": log_key.name,
            "vkey": vkey_text(log_key),
            "size": newest.size,
            "root": base64.b64encode(newest.root).decode(),
            "witnesses": newest.witnesses,
            "signed_at_ms": newest.signed_at_ms,
            "note": newest.note,
        },
        as_json=True,
    )


@app.command("witness")
def witness(
    key_file: Annotated[Path, typer.Option("--key-file", help="The witness's secret key; made if there is none.")],
    state: Annotated[Path, typer.Option("--state", help="Folder for what the witness has seen; never to be set back.")],
    logs: Annotated[list[str], typer.Option("--log", help="Verifier key of a log to witness; repeat for others.")],
    name: Annotated[str, typer.Option("--name", help="The witness's name in its signature lines.")] = "witness",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes a free one.", min=0, max=65535)] = 8090,
    as_json: JsonOption = False,
) -> None:
    """Run a witness (c2sp.org/tlog-witness): best on another machine, under somebody else's hands."""
    from crypto.errors import VerificationError
    from crypto.note import parse_vkey
    from server.clock import SystemClock, SystemRandom
    from server.log.errors import LogError
    from server.log.keys import load_signing_key, vkey_text
    from server.log.storage import DirectoryStorage
    from server.log.witness import Witness
    from server.log.witness_app import run_witness
    from server.serving import listen
    from server.telemetry import configure_logging

    try:
        keys = [parse_vkey(text) for text in logs]
    except VerificationError as error:
        raise LogError(f"--log: {error}; `hitproof log checkpoint --json` on the log's side prints it") from None
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = load_signing_key(key_file, SystemRandom())
    found = Witness(name, signer, keys, DirectoryStorage(state), SystemClock())
    configure_logging("json")
    listener = listen(host, port)
    ready = {"event": "ready", "vkey": vkey_text(found.key), "url": f"http://{host}:{listener.getsockname()[1]}"}

    def on_ready() -> None:
        print_result(ready, as_json=as_json)

    run_witness(found, listener, on_ready=on_ready)
