"""`hitproof kek`: the key-encryption key that everything private hangs on."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from server.cli.context import (
    ACTOR,
    ConfigOption,
    DataOption,
    JsonOption,
    locked,
    opened,
    print_result,
    say,
    settings_from,
)

app = typer.Typer(help="Rotate the key-encryption key, or put it into shares.", no_args_is_help=True)

STEPS = {
    "made": "made a new key",
    "kept": "kept the old key beside it",
    "switched": "switched to the new key",
    "rewrapped": "rewrapped the data keys",
}


@app.command("rotate")
def rotate(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Put a new key in place and rewrap every data key; run it again if it was interrupted."""
    from server.key_rotation import rotate_key_encryption_key

    settings = settings_from(data, config)
    with locked(settings), opened(settings) as store:
        done = rotate_key_encryption_key(
            settings,
            store.folder,
            store.database,
            store.random,
            actor=ACTOR,
            now_ms=store.clock.now_ms(),
            on_step=lambda step: say(STEPS[step]),
        )
        say("Copy the new key to where you keep it. Backups of the database from before need the old one.")
        result = {"key": done.key_id, "rewrapped": done.rewrapped, "old_keys": list(done.old_keys)}
        print_result(result, as_json=as_json)


@app.command("split")
def split(
    threshold: Annotated[int, typer.Option(help="How many shares open the store.")],
    shares: Annotated[int, typer.Option(help="How many shares are made.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the key in shares, this once: each for another person to keep."""
    from server.store.maintenance import AuditEvent, append_audit
    from tenants.errors import KeyFormError
    from tenants.key_files import read_key_file
    from tenants.key_shares import split_key
    from tenants.key_wrapping import parse_kek_hex

    settings = settings_from(data, config)
    with opened(settings) as store:
        if settings.key_provider == "shamir":
            raise KeyFormError("the key is in shares already; put it together with 'hitproof kek join' first")
        if settings.key_provider == "env":
            text = os.environ.get(settings.key_variable, "")
            key = parse_kek_hex(text, where=f"the variable {settings.key_variable}")
        else:
            key = read_key_file(store.folder.key_file)
        made = split_key(key.secret, threshold, shares)
        event = AuditEvent(ACTOR, None, "kek.split", key.key_id, {"threshold": threshold, "shares": shares})
        store.database.write_now(lambda c: append_audit(c, event, at_ms=store.clock.now_ms()))
    if as_json:
        print_result({"key": key.key_id, "threshold": threshold, "shares": list(made)}, as_json=True)
    else:
        print("\n".join(made), flush=True)
    say(
        f"Any {threshold} of these {shares} shares open the store; they are not shown again. Try them, then set "
        'key_provider = "shamir" and delete the key itself.'
    )


@app.command("join")
def join(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Read shares, one per line, from standard input, and put the key back into its file: to rotate it, say."""
    from server.datafolder import write_secret
    from tenants.errors import KeyFormError
    from tenants.key_shares import SHARES_MAX, Share, combine_shares, parse_share

    settings = settings_from(data, config)
    with opened(settings) as store:
        say("Give the shares, one per line, and end with an empty line.")
        given: list[Share] = []
        while (line := sys.stdin.readline().strip()) and len(given) < SHARES_MAX:
            given.append(parse_share(line))
        key = combine_shares(given)
        try:
            write_secret(store.folder.key_file, key.secret.hex() + "\n")
        except FileExistsError:
            raise KeyFormError(f"there is a key at {store.folder.key_file} already; it is never overwritten") from None
    print_result({"key": key.key_id, "file": str(store.folder.key_file)}, as_json=as_json)
