"""`hitproof trust key|draft|sign|show|publish`: make the file that auditors rely on, k of n people signing offline."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from crypto.errors import Error
from server.cli.context import (
    ACTOR,
    ConfigOption,
    DataOption,
    JsonOption,
    opened,
    print_result,
    say,
    settings_from,
)

app = typer.Typer(help="The file that auditors rely on.", no_args_is_help=True)

#: How many witnesses' cosignatures a draft asks for unless told otherwise: all that the settings name.
ALL_WITNESSES = -1
FILE_BYTES_MAX = 1 << 22


class TrustCommandError(Error):
    """The flags do not fit, or the file is no trust file."""


FileArgument = Annotated[Path, typer.Argument(help="The trust file.")]


@app.command("key")
def make_key(
    file: Annotated[Path, typer.Argument(help="Where the new root key is kept; keep it offline.")],
    as_json: JsonOption = False,
) -> None:
    """Make a root key and print its public half, which a draft names with --root."""
    from crypto.ed25519 import SigningKey
    from server.clock import SystemRandom
    from server.datafolder import write_secret

    seed = SystemRandom().token_bytes(32)
    write_secret(file, seed.hex() + "\n")
    key = SigningKey(seed)
    print_result({"file": str(file), "public_key": key.public_key.hex(), "key_id": key.key_id}, as_json=as_json)


@app.command("draft")
def draft(
    file: Annotated[Path, typer.Argument(help="Where the draft is written; it has no signature yet.")],
    root: Annotated[list[str], typer.Option(help="Public root key, 64 hexadecimal digits; repeatable.")],
    threshold: Annotated[int, typer.Option(help="How many of the root keys must sign.")],
    lasts_days: Annotated[int, typer.Option(min=1, max=3_650, help="Days until it expires.")] = 365,
    witness_threshold: Annotated[
        int, typer.Option(help="How many witnesses must cosign; all of the settings' unless given.")
    ] = ALL_WITNESSES,
    publisher: Annotated[
        list[str] | None, typer.Option(help="NAME=PEM-FILE=sha256:…,… whose model signatures count; repeatable.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a draft from what the platform knows. Compare it with what you know before anybody signs."""
    from crypto.dsse import PAYLOAD_TRUST, Envelope
    from server.cli.auditing import note_gateway_key
    from server.log.witnesses import parse_witness
    from server.trust_document import DAY_MS, TrustTerms, draft_trust, get_trust_version

    with opened(settings_from(data, config)) as store:
        note_gateway_key(store)
        witnesses = tuple(parse_witness(text).key for text in store.settings.log_witnesses)
        terms = TrustTerms(
            root_keys=tuple(_read_public_key(text) for text in root),
            root_threshold=threshold,
            lasts_ms=lasts_days * DAY_MS,
            witnesses=witnesses,
            witness_threshold=len(witnesses) if witness_threshold == ALL_WITNESSES else witness_threshold,
            publishers=tuple(_read_publisher(text) for text in publisher or ()),
        )
        trust = store.database.read_now(
            lambda c: draft_trust(c, terms, version=get_trust_version(c) + 1, now_ms=store.clock.now_ms())
        )
        _write_new(file, Envelope(PAYLOAD_TRUST, trust.to_payload(), ()).encode())
        say("a draft vouches for nothing: compare every key with what you know, then `hitproof trust sign`")
        print_result({"file": str(file), "version": trust.version, "signatures": 0}, as_json=as_json)


@app.command("sign")
def sign(
    file: FileArgument,
    key: Annotated[Path, typer.Option(help="The root key's file.")],
    as_json: JsonOption = False,
) -> None:
    """Add a root key's signature to a trust file; needs no data folder, and no network."""
    from crypto.ed25519 import SigningKey
    from crypto.trust import add_trust_signature, parse_trust

    envelope, trust = parse_trust(_read(file))
    try:
        signer = SigningKey(bytes.fromhex(key.read_text(encoding="ascii").strip()))
    except (ValueError, Error):
        raise TrustCommandError(f"{key} does not hold a root key: 64 hexadecimal digits") from None
    signed = add_trust_signature(envelope, signer)
    _replace(file, signed.encode())
    found = {"file": str(file), "version": trust.version, "signatures": len(signed.signatures)}
    print_result({**found, "needed": trust.root_threshold}, as_json=as_json)


@app.command("show")
def show(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show what a trust file says, and whether enough root keys signed it."""
    from crypto.errors import VerificationError
    from crypto.trust import parse_trust, verify_trust
    from server.clock import SystemClock

    envelope, trust = parse_trust(_read(file))
    try:
        verify_trust(envelope, trust, SystemClock().now_ms())
        state = "in force"
    except VerificationError as error:
        state = str(error)
    found: dict[str, Any] = {
        "version": trust.version,
        "state": state,
        "expires": datetime.fromtimestamp(trust.expires_at_ms / 1000, UTC).isoformat(),
        "root": f"{len(envelope.signatures)} signed, {trust.root_threshold} of {len(trust.root_keys)} needed",
        "log": trust.log.name,
        "witnesses": f"{trust.witness_threshold} of {[key.name for key in trust.witnesses]}",
        "runners": [{"name": k.name, "key_id": k.key_id, "models": list(k.models)} for k in trust.runners],
        "gateways": [{"name": k.name, "key_id": k.key_id} for k in trust.gateways],
        "publishers": [{"name": p.name, "models": list(p.models)} for p in trust.publishers],
    }
    print_result(found if as_json else [{name: value} for name, value in found.items()], as_json=as_json)


@app.command("publish")
def publish(
    file: FileArgument, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Put a signed trust file in force: from now on bundles say so, and verifiers refuse an older one."""
    from crypto.trust import parse_trust, verify_trust
    from server.trust_document import publish_trust

    content = _read(file)
    envelope, trust = parse_trust(content)
    with opened(settings_from(data, config)) as store:
        now_ms = store.clock.now_ms()
        verify_trust(envelope, trust, now_ms)
        store.database.write_now(lambda c: publish_trust(c, trust, actor=ACTOR, now_ms=now_ms, random=store.random))
        _replace(store.folder.trust_file, content)
        print_result({"version": trust.version, "file": str(store.folder.trust_file)}, as_json=as_json)


def _read_public_key(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise TrustCommandError(
            f"{text[:80]!r} is no public key: 64 hexadecimal digits, as `hitproof trust key` prints"
        )
    return found


def _read_publisher(text: str) -> Any:
    from crypto.trust import Publisher

    name, _, rest = text.partition("=")
    path, _, models = rest.partition("=")
    if not name or not path or not models:
        raise TrustCommandError("a publisher is NAME=PEM-FILE=sha256:…, with the model versions joined by commas")
    return Publisher(tuple(sorted(models.split(","))), name, Path(path).read_text(encoding="ascii"))


def _read(file: Path) -> bytes:
    with file.open("rb") as handle:
        return handle.read(FILE_BYTES_MAX)


def _write_new(file: Path, data: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)


def _replace(file: Path, data: bytes) -> None:
    """Put *data* in the place of *file* in one step."""
    beside = file.with_name(file.name + ".new")
    beside.write_bytes(data)
    beside.replace(file)
