"""The command `hitproof-verify`: reads a bundle or a proof file and a trust file, and asks nobody else.

    hitproof-verify FILE --trust FILE [--max-age 12h] [--last-seen FILE] [--query FILE] [--cross-check] [--json] …

Ends with 0 if all checks passed, 1 if one failed, 2 if a file is unreadable or the usage is wrong, 3 if all is
authentic but a model version was revoked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .applicability.setup import load_setup
from .archive import ARCHIVE_BYTES_MAX
from .embedders import AuditEmbedder, load_embedder, load_embedders
from .errors import EncodingError, Error
from .last_seen import LastSeen, read_last_seen, replace_last_seen
from .query_files import QUERY_BYTES_MAX, read_query
from .report import Report
from .report_text import describe_report
from .verify import (
    AuditOptions,
    ReplayRequest,
    SampleRequest,
    Verification,
    is_proof_file,
    verify_bundle,
    verify_proof_file,
)
from .verify.options import GivenQuery, SecondOpinion, SecondVerdict

UNREADABLE: Final = 2
TRUST_BYTES_MAX: Final = 2**22
NOTE_BYTES_MAX: Final = 2**20
COMPARED_MAX: Final = 64
QUERIES_MAX: Final = 1_024
SAMPLE_MAX: Final = 2**20
NONCE_BYTES: Final = 32

_AGE: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])", re.ASCII)
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class UsageError(Error):
    """A file that cannot be read, or options that do not go together."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; whatever goes wrong is one line and 2, never a traceback."""
    options = _make_parser().parse_args(arguments)
    try:
        return _run(options, time.time_ns() // 1_000_000)
    except (Error, OSError) as error:
        _complain(str(error))
    except RecursionError:
        _complain("a file nests too deep; nothing was verified")
    except MemoryError:
        _complain("not enough memory for this file; nothing was verified")
    except Exception as error:  # noqa: BLE001 - a fault of the verifier must never look like a verdict
        _complain(f"a fault of the verifier itself, nothing was verified: {type(error).__name__}: {error}")
    return UNREADABLE


def parse_age(text: str) -> int:
    """Read `30s`, `15m`, `12h` or `7d` as milliseconds; raises `ArgumentTypeError` for anything else."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; write 30s, 15m, 12h or 7d")
    return int(match[1]) * _UNIT_MS[match[2]]


def parse_nonce(text: str) -> bytes:
    """Read a sample's nonce, 64 hexadecimal digits; raises `ArgumentTypeError`."""
    if re.fullmatch(r"[0-9a-f]{64}", text) is None:
        raise argparse.ArgumentTypeError("a nonce is 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)


def parse_sample(text: str) -> int:
    """Read how many receipts a sample has; raises `ArgumentTypeError`."""
    if re.fullmatch(r"[1-9][0-9]{0,6}", text) is None or int(text) > SAMPLE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {SAMPLE_MAX}")
    return int(text)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hitproof-verify",
        description="Verify a bundle or a proof file of hitproof, offline.",
        epilog="exit codes: 0 passed, 1 a check failed, 2 unreadable or wrong usage, 3 authentic but a model was revoked",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("file", type=Path, help="the bundle, or the proof file of one receipt or hit")
    add("--trust", type=Path, required=True, help="the trust file, which you got some other way than the bundle")
    add("--max-age", type=parse_age, metavar="AGE", help="how old the status list may be: 30s, 15m, 12h, 7d")
    add("--last-seen", type=Path, metavar="FILE", help="read and keep the newest checkpoint seen; made if not there")
    add("--compare", type=Path, action="append", default=[], metavar="FILE", help="a checkpoint got elsewhere")
    add("--sample", type=parse_sample, metavar="N", help="verify signatures, openings and replay of N receipts only")
    add("--nonce", type=parse_nonce, metavar="HEX", help="the sample's nonce; drawn at random unless given")
    add("--model-dir", type=Path, metavar="DIR", help="the model's files, to run it again")
    add(
        "--query", type=Path, action="append", default=[], metavar="FILE", help="what a hit was asked, to compare; JSON"
    )
    add("--embedder-dir", type=Path, metavar="DIR", help="the embedder's files, for a --query that is a text")
    add("--srs", type=Path, metavar="FILE", help="your own copy of the ceremony's file, held to the same hash")
    add("--cross-check", action="store_true", help="ask a second, independent implementation as well")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


def _run(options: argparse.Namespace, now_ms: int) -> int:
    data = _read_file(options.file, ARCHIVE_BYTES_MAX)
    trust = _read_file(options.trust, TRUST_BYTES_MAX)
    is_proof = is_proof_file(data)
    _refuse_contradictions(options, is_proof)
    asked = _read_options(options, now_ms, is_proof)
    verification = verify_proof_file(data, trust, asked) if is_proof else verify_bundle(data, trust, asked)
    _print_report(verification.report, as_json=options.json)
    if options.last_seen is not None:
        _keep(options.last_seen, asked.last_seen, verification)
    return verification.report.exit_code


def _refuse_contradictions(options: argparse.Namespace, is_proof: bool) -> None:
    if options.nonce is not None and options.sample is None:
        raise UsageError("--nonce belongs to --sample")
    if options.sample is not None and options.cross_check:
        raise UsageError("--cross-check looks at everything and --sample does not; give one of them")
    if len(options.compare) > COMPARED_MAX:
        raise UsageError(f"--compare takes at most {COMPARED_MAX} checkpoints")
    if len(options.query) > QUERIES_MAX:
        raise UsageError(f"--query takes at most {QUERIES_MAX} files")
    if options.embedder_dir is not None and not options.query:
        raise UsageError("--embedder-dir belongs to --query")
    bundle_only = {
        "--max-age": options.max_age is not None,
        "--sample": options.sample is not None,
        "--model-dir": options.model_dir is not None,
    }
    given = [name for name, is_given in bundle_only.items() if is_given]
    if is_proof and given:
        raise UsageError(f"{', '.join(given)} needs a bundle: a proof file carries no status list, opening or model")


def _read_options(options: argparse.Namespace, now_ms: int, is_proof: bool) -> AuditOptions:
    nonce: bytes | None = options.nonce
    sample = None
    if options.sample is not None:
        sample = SampleRequest(options.sample, lambda: os.urandom(NONCE_BYTES) if nonce is None else nonce)
    return AuditOptions(
        now_ms=now_ms,
        max_age_ms=options.max_age,
        last_seen=None if options.last_seen is None else read_last_seen(options.last_seen),
        compared=tuple(_read_note(path) for path in options.compare),
        sample=sample,
        replay=None if options.model_dir is None else _load_replay(options.model_dir),
        second_opinion=_load_second_opinion(is_proof) if options.cross_check else None,
        queries=_read_queries(options),
        srs=_check_srs(options.srs),
    )


def _read_queries(options: argparse.Namespace) -> tuple[GivenQuery, ...]:
    """Read the queries that were given; an embedder is loaded only where one of them may need it."""
    embedder: AuditEmbedder | None = None
    if options.embedder_dir is not None:
        embedder = load_embedder(options.embedder_dir, load_embedders())
    found: list[GivenQuery] = []
    for path in options.query:
        try:
            found.append(read_query(_read_file(path, QUERY_BYTES_MAX), embedder))
        except EncodingError as error:
            raise UsageError(f"{path} is no query: {error}") from None
    return tuple(found)


def _check_srs(path: Path | None) -> Path | None:
    """Return *path*, having read the ceremony's file there, whether or not anything will need it; raises `SetupError`."""
    if path is not None:
        load_setup(path)
    return path


def _load_replay(folder: Path) -> ReplayRequest:
    """Find what is installed to run models; it may import heavy libraries, so only who asks for it pays."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    from .evidence import load_verifiers

    return ReplayRequest(folder, load_verifiers())


def _load_second_opinion(is_proof: bool) -> SecondOpinion:
    """Import the second implementation, which nothing else of this package may know."""
    if not is_proof:
        from .reference.verify import verify

        return verify
    from .reference import proof_file

    def verify_again(
        data: bytes, trust: bytes, *, now_ms: int, max_age_ms: int | None, last_seen: bytes | None
    ) -> SecondVerdict:
        return proof_file.verify_proof_file(data, trust, now_ms=now_ms)

    return verify_again


def _read_file(path: Path, bytes_max: int) -> bytes:
    """Read at most *bytes_max* bytes; raises `UsageError` for a file that is not there or larger."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > bytes_max:
                raise UsageError(f"{path} is larger than {bytes_max} bytes")
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) > bytes_max:
        raise UsageError(f"{path} is larger than {bytes_max} bytes")
    return data


def _read_note(path: Path) -> str:
    try:
        return _read_file(path, NOTE_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a checkpoint: it is not UTF-8") from None


def _print_report(report: Report, *, as_json: bool) -> None:
    text = escape_json(report.to_payload().decode("utf-8")) + "\n" if as_json else describe_report(report)
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.buffer.flush()


def escape_json(text: str) -> str:
    """Return JSON of the same value in which nothing stands that a terminal would obey."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _keep(path: Path, before: LastSeen | None, verification: Verification) -> None:
    """Remember the checkpoint of a bundle that passed or is only revoked; what failed teaches nothing."""
    found: LastSeen | None = verification.last_seen
    if found is not None:
        replace_last_seen(path, before, found)


def _complain(text: str) -> None:
    line = escape_json(" ".join(text.split())[:2_000])
    print(f"hitproof-verify: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
