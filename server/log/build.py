"""Make the log's part of a process from settings and a data folder."""

from __future__ import annotations

from crypto.note import VerifierKey
from server.datafolder import DataFolder
from server.log.errors import LogRefusal
from server.log.high_water import HighWater
from server.log.keys import load_log_signer
from server.log.metrics import LogTelemetry
from server.log.sequencer import Sequencer, SequencerLimits
from server.log.service import LogOptions, LogService
from server.log.storage import LogStorage
from server.log.transactions import Transactions
from server.log.witnesses import Witnesses, http_post, parse_witness
from server.ports import Clock, RandomSource
from server.settings import Settings
from server.store.database import Database
from server.telemetry import Telemetry

HOLDER_BYTES = 8


def build_log_service(
    settings: Settings,
    database: Database,
    storage: LogStorage,
    high_water: HighWater,
    *,
    log_key: VerifierKey,
    clock: Clock,
    random: RandomSource,
    telemetry: Telemetry,
) -> LogService:
    """Return what steps the log beside requests: it writes where it has the log's key and may, and follows elsewhere.

    A key or an origin that is not the log's is told by the service itself, so that the gateway serves without it.
    Raises `WitnessError` for witnesses that the settings name wrongly.
    """
    signer, refusal = None, None
    if settings.log_sequencer:
        path = DataFolder(settings.data).log_signing_key_file
        try:
            signer = load_log_signer(path, random, log_key, origin=settings.log_origin)
        except LogRefusal as found:
            refusal = found
    options = LogOptions(
        interval_s=settings.log_interval_s,
        limits=_limits(settings),
        witnesses=tuple(parse_witness(text) for text in settings.log_witnesses),
        post=http_post(settings.log_witness_timeout_s, clock),
    )
    return LogService(
        database,
        storage,
        high_water,
        log_key=log_key,
        signer=signer,
        clock=clock,
        random=random,
        options=options,
        metrics=LogTelemetry(telemetry.registry),
        refusal=refusal,
    )


def build_sequencer(
    settings: Settings,
    transactions: Transactions,
    storage: LogStorage,
    *,
    log_key: VerifierKey,
    clock: Clock,
    random: RandomSource,
) -> Sequencer | None:
    """Return a sequencer to step by hand where no gateway runs, None without the log's key. Raises `LogRefusal`."""
    path = DataFolder(settings.data).log_signing_key_file
    signer = load_log_signer(path, random, log_key, origin=settings.log_origin)
    if signer is None:
        return None
    addresses = [parse_witness(text) for text in settings.log_witnesses]
    return Sequencer(
        transactions,
        storage,
        signer=signer,
        log_key=log_key,
        witnesses=Witnesses(addresses, http_post(settings.log_witness_timeout_s, clock), clock),
        clock=clock,
        random=random,
        holder=random.token_bytes(HOLDER_BYTES).hex(),
        limits=_limits(settings),
    )


def _limits(settings: Settings) -> SequencerLimits:
    return SequencerLimits(settings.log_batch_max, int(settings.log_status_interval_s * 1000))
