"""Every setting of the house, with its limit and its reason.

One TOML file and `HITPROOF_*` environment variables, which win over the file. Unknown names are refused in both.
docs/reference/settings.md lists them all; tests/house/test_docs.py holds it to that.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from crypto.errors import Error

ENVIRONMENT_PREFIX: Final = "HITPROOF_"
#: Read from the data folder where no other file is named, so that every command on that folder goes by the same settings.
FOLDER_FILE: Final = "hitproof.toml"


class SettingsError(Error):
    """The configuration cannot be used; the message names the key and what to change."""


class Settings(BaseSettings):
    """The configuration of one process."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True)

    # Where things are.
    data: Path = Field(Path("data"), description="folder for the database, keys and runtime files")
    database_url: str | None = Field(None, description="SQLAlchemy URL; default: SQLite in the data folder")
    host: str = Field("127.0.0.1", description="address that the gateway listens on")
    port: int = Field(8080, ge=0, le=65535, description="port of the gateway; 0 takes a free one")

    # Keys.
    key_provider: Literal["file", "env", "shamir"] = Field(
        "file", description="where the key-encryption key comes from: a file in the data folder, a variable, or shares"
    )
    key_variable: str = Field("HITPROOF_KEK", description="variable that holds the key when key_provider is env")
    previous_key_file: Path | None = Field(None, description="old key-encryption key during a rotation")

    # Embedding.
    embedder: str = Field("default", description="default, a folder, or an https URL of an embeddings API")
    embedder_model: str = Field("", description="model name to send to an embeddings URL")
    embedder_key_variable: str = Field("", description="variable that holds the key for an embeddings URL")
    embedder_device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where embeddings are computed")
    embedder_threads: int = Field(1, ge=1, le=64, description="threads per embedding batch")
    embed_batch_max: int = Field(16, ge=1, le=1024, description="texts per embedding batch")
    embed_queue_max: int = Field(1024, ge=1, le=100_000, description="texts waiting to be embedded before bypass")
    embed_timeout_s: float = Field(2.0, gt=0, le=60, description="longest wait for an embedding before bypass")

    # Index.
    index_bytes_max: int = Field(2 << 30, ge=1 << 20, description="resident vectors over all partitions")
    index_load_timeout_s: float = Field(0.5, gt=0, le=60, description="longest wait for a partition before a miss")
    index_threads: int = Field(2, ge=1, le=64, description="threads for searches and loads")
    index_device: Literal["cpu", "auto", "faiss", "torch"] = Field(
        "cpu", description="where partitions above 20,000 rows are scanned: here, or on a GPU through faiss or torch"
    )

    # Requests.
    body_bytes_max: int = Field(1 << 20, ge=1024, le=1 << 26, description="largest request body")
    json_depth_max: int = Field(32, ge=4, le=64, description="deepest nesting of a request body")
    json_nodes_max: int = Field(10_000, ge=100, le=1_000_000, description="most values in a request body")
    messages_max: int = Field(256, ge=1, le=4096, description="most messages in a conversation")
    text_bytes_max: int = Field(1 << 18, ge=1024, description="most text in a conversation")
    head_timeout_s: float = Field(10.0, gt=0, le=300, description="longest time for a request's head to arrive")
    connections_max: int = Field(900, ge=1, le=100_000, description="open connections before an idle one is closed")
    body_timeout_s: float = Field(15.0, gt=0, le=300, description="longest time for a request body to arrive")
    concurrency_max: int = Field(256, ge=1, le=100_000, description="requests in progress in one process")
    queue_wait_s: float = Field(2.0, ge=0, le=60, description="longest wait for a place before 503")
    auth_cache_s: float = Field(30.0, ge=0, le=30, description="how long a checked API key is believed without a read")
    auth_cache_max: int = Field(10_000, ge=1, description="checked API keys kept in memory")
    tenant_cache_s: float = Field(5.0, ge=0, le=30, description="how long a tenant's policy and quota are kept")
    tenant_cache_max: int = Field(10_000, ge=1, description="tenants kept in memory")

    # Upstreams.
    upstream_connect_timeout_s: float = Field(5.0, gt=0, le=60, description="longest connect to an upstream")
    upstream_read_timeout_s: float = Field(120.0, gt=0, le=3600, description="longest silence of an upstream")
    upstream_total_timeout_s: float = Field(600.0, gt=0, le=3600, description="longest answer of an upstream")
    upstream_response_bytes_max: int = Field(8 << 20, ge=1024, description="largest answer of an upstream")
    upstream_connections_max: int = Field(64, ge=1, le=10_000, description="connections to one upstream")
    flight_waiters_max: int = Field(4096, ge=1, description="requests waiting for one identical answer")
    flights_max: int = Field(1024, ge=1, description="answers being computed at once")

    # Records.
    record_flush_s: float = Field(0.25, gt=0, le=10, description="longest time a recorded lookup waits to be written")
    record_queue_max: int = Field(20_000, ge=100, description="recorded lookups waiting before new ones are dropped")
    label_queue_max: int = Field(1000, ge=1, description="answers waiting to be compared with a candidate's")
    sweep_interval_s: float = Field(30.0, gt=0, le=3600, description="how often expired rows are deleted")
    feed_poll_s: float = Field(0.2, gt=0, le=60, description="how often changes of other processes are read")
    drain_s: float = Field(30.0, ge=0, le=600, description="longest wait for requests in progress at shutdown")

    # Receipts.
    receipt_cache_max: int = Field(10_000, ge=1, description="verified receipts kept in memory")
    hit_queue_max: int = Field(20_000, ge=1, description="hits waiting to be written before new ones become misses")
    embedding_statement_interval_s: float = Field(
        5.0, gt=0, le=3600, description="how often entries without an embedding statement are looked for"
    )
    embedding_statement_batch_max: int = Field(
        16, ge=0, le=1000, description="embedding statements made in one go; 0: only where a proof needs one"
    )

    audit_retention_s: int = Field(
        157_680_000,
        ge=86_400,
        le=3_153_600_000,
        description="how long hits, and receipts of entries that are gone, are kept",
    )

    # Applicability proofs.
    srs_file: Path | None = Field(
        None,
        description="one's own copy of the ceremony's file, held to the same hash; default: the one that came along",
    )
    applicability_per_minute: int = Field(
        60, ge=0, le=1_000_000, description="applicability proofs made for one tenant in a minute, on demand"
    )
    applicability_per_entry_hour: int = Field(
        60, ge=0, le=1_000_000, description="applicability proofs of one entry's hits in an hour, on demand or behind"
    )
    applicability_queue_max: int = Field(64, ge=1, le=10_000, description="hits waiting for their proof before 503")
    applicability_background_per_minute: int = Field(
        0, ge=0, le=1_000, description="hits proved without being asked for, newest first; 0: only on demand"
    )
    applicability_export_max: int = Field(
        1_000, ge=0, le=100_000, description="missing proofs that one export makes; it leaves out what is beyond"
    )

    # The log.
    log_origin: str = Field("", description="the log's name; default: hitproof.local/ and 16 digits of its key's id")
    log_sequencer: bool = Field(True, description="whether this process may write the log, if it holds the log's key")
    log_interval_s: float = Field(1.0, gt=0, le=60, description="how often leaves are put into the log and signed")
    log_batch_max: int = Field(10_000, ge=1, le=100_000, description="leaves put into the log in one go")
    log_witnesses: tuple[str, ...] = Field(
        (),
        description="witnesses that cosign checkpoints, each as its URL and its vkey; in a variable with commas between",
    )
    log_witness_timeout_s: float = Field(2.0, gt=0, le=60, description="longest silence of a witness")
    log_status_interval_s: float = Field(
        3600.0, ge=0, le=30 * 86_400, description="how often the status list is said again; 0: only when it changes"
    )
    log_witness_quorum: int = Field(
        0, ge=0, le=32, description="cosignatures that make a receipt witnessed; 0: none do"
    )

    # The pool.
    pool_models: tuple[str, ...] = Field(
        (), description="aliases whose answers are pooled; none: the pool is off; in a variable with commas between"
    )
    pool_unit: Literal["question", "organisation"] = Field("question", description="what a pooled release protects")
    pool_vector_source: Literal["released_text", "dp_mean"] = Field(
        "released_text", description="what pooled entries are found by: their text's vector, or the noised mean"
    )
    pool_keys_max: int = Field(0, ge=0, le=1000, description="places C of an organisation per epoch; 0: the unit's own")
    pool_epsilon_micro: int = Field(
        0, ge=0, le=1_000_000_000, description="epsilon of selection, millionths; 0: the unit's own"
    )
    pool_delta_atto: int = Field(0, ge=0, le=10**15, description="delta of selection, 10^-18; 0: the unit's own")
    pool_epoch_s: int = Field(0, ge=0, le=366 * 86_400, description="length of an epoch; 0: the unit's own")
    pool_period_epochs: int = Field(0, ge=0, le=1000, description="epochs of a budget period; 0: the unit's own")
    pool_budget_epsilon_micro: int = Field(
        0,
        ge=0,
        le=10**12,
        description="pure epsilon per organisation and period, millionths; 0: what its releases take",
    )
    pool_budget_rho_nano: int = Field(
        0, ge=0, le=10**15, description="zCDP rho per organisation and period, 10^-9; 0: releases and noised allowance"
    )
    pool_budget_delta_atto: int = Field(
        0, ge=0, le=10**16, description="delta per organisation and period, 10^-18; 0: what its releases take"
    )
    pool_noised_budget_rho_nano: int = Field(
        20_000_000_000, ge=0, le=10**14, description="rho for noised entries in the default budget, 10^-9"
    )
    pool_noised_delta_atto: int = Field(
        10**12, ge=1, le=10**15, description="delta at which the epsilon of a noised entry is meant, 10^-18"
    )
    pool_organisations_min: int = Field(
        50, ge=2, le=1_000_000, description="organisations below which nothing is released"
    )
    pool_anchors: Path | None = Field(
        None, description="file of public questions that votes gather round, one per line"
    )
    pool_quarantine_s: int = Field(
        86_400, ge=0, le=90 * 86_400, description="how long a pooled answer waits to be redone"
    )
    pool_interval_s: float = Field(60.0, gt=0, le=86_400, description="how often the pool's work is looked for")
    pool_vote_queue_max: int = Field(
        10_000, ge=1, le=1_000_000, description="votes waiting before new ones are dropped"
    )
    pool_answer_batch_max: int = Field(64, ge=1, le=10_000, description="answers asked of runners in one go")
    pool_alias_model: str = Field("", description="alias of the model that writes public questions for noised entries")
    pool_clock_step_ms: int = Field(50, ge=1, le=10_000, description="step of the quantised clock of pool hits")
    pool_clock_floor_ms: int = Field(50, ge=0, le=60_000, description="earliest time of a pool hit, by its clock")
    pool_entries_max: int = Field(100_000, ge=1, le=100_000_000, description="entries of the pool before the oldest go")
    pool_ttl_s: int = Field(365 * 86_400, ge=60, le=3_650 * 86_400, description="how long an entry of the pool lives")

    log_format: Literal["json", "console"] = Field("json", description="how log lines are written")

    @field_validator("log_witnesses", "pool_models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        # A variable holds one text; neither URLs of ours nor verifier keys nor aliases have commas.
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in use."""
        return self.database_url or f"sqlite:///{self.data / 'hitproof.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values only from what `load_settings` passes in: it has merged file, environment and flags by then."""
        return (init_settings,)


#: Variables of our prefix that are not settings: secrets stay out of the settings object on purpose.
SECRET_VARIABLES: Final = frozenset({"HITPROOF_KEK", "HITPROOF_CONFIG"})


def load_settings(
    config: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the file *config*, then the environment, then *overrides* (flags); later ones win.

    Without *config* the data folder's own `hitproof.toml` is read, where there is one.
    Raises `SettingsError` that names the key, where it stands and what is wrong with it.
    """
    environ = os.environ if environ is None else environ
    config = config or (Path(environ["HITPROOF_CONFIG"]) if environ.get("HITPROOF_CONFIG") else None)
    values = _from_file(config) if config is not None else _from_folder(environ, overrides or {})
    values |= _from_environment(environ, secrets=_secret_variables(values, environ))
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"setting {name!r}: {first['msg']}; see docs/reference/settings.md") from None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"there is no configuration file at {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the configuration file {path} cannot be read: {error}") from None
    _refuse_unknown(values, where=str(path))
    return values


def _from_folder(environ: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Read the file that lies in the data folder itself; none is no settings."""
    folder = overrides.get("data") or environ.get(f"{ENVIRONMENT_PREFIX}DATA") or Settings.model_fields["data"].default
    path = Path(folder) / FOLDER_FILE
    if not path.is_file():
        return {}
    values = _from_file(path)
    if "data" in values:
        raise SettingsError(f"{path} lies in a data folder and must not name one; remove `data` from it")
    return values


def _secret_variables(values: Mapping[str, Any], environ: Mapping[str, str]) -> frozenset[str]:
    """Return the variables that hold secrets, by our own names or by those that the settings give them."""
    named = [
        environ.get(ENVIRONMENT_PREFIX + setting.upper(), values.get(setting))
        for setting in ("key_variable", "embedder_key_variable")
    ]
    return SECRET_VARIABLES | {str(name) for name in named if name}


def _from_environment(environ: Mapping[str, str], *, secrets: frozenset[str]) -> dict[str, Any]:
    values = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in secrets and not name.startswith("HITPROOF_SECRET_")
    }
    _refuse_unknown(values, where="the environment (HITPROOF_…)")
    return values


def _refuse_unknown(values: Mapping[str, Any], *, where: str) -> None:
    unknown = sorted(set(values) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(f"unknown setting {unknown[0]!r} in {where}; see docs/reference/settings.md for the names")
