"""Which model an alias means now, where it runs, and which version its answers carry.

A change of version is noticed in three ways: when the gateway asks its upstreams, when a runner's answer names another
version, and when a third party reports another model name. Each supersedes the old version: its entries stop at once,
because every hit reads the version's status with its row. What the gateway learns of a runner's signing key is written
down, and logged, before anything is stored under it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from crypto.canonical import canonical_json
from crypto.errors import Error
from crypto.manifest import declared_model_version
from server.ports import Clock, Completion, RandomSource, Upstream, UpstreamModel
from server.reuse.runner_identity import RunnerIdentity, read_identity
from server.standing import activate_model_version, note_signer
from server.store.database import Database
from server.store.errors import Conflict
from server.store.platform import PlatformRepository
from server.store.records import ModelRecord, ModelVersionRecord, UpstreamRecord
from server.upstream.directory import UpstreamDirectory
from server.upstream.errors import UpstreamError, UpstreamUnavailable

log = structlog.get_logger()


class UnknownModel(Error):
    """No model of that name for this caller; whether it exists for somebody else is not said."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model alias with all that a lookup needs of it; *runner* is who signs there, where a runner announced its key."""

    record: ModelRecord
    upstream: Upstream
    base_url: str
    kind: str
    runner: RunnerIdentity | None

    @property
    def model_version(self) -> str:
        """The version to look up under: the active one, or the declared one of an upstream never reached so far."""
        return self.record.model_version or declared_model_version(
            self.record.upstream, self.base_url, self.record.requested
        )


class ModelRegistry:
    """The aliases of the platform, in memory, backed by the store."""

    def __init__(self, database: Database, upstreams: UpstreamDirectory, clock: Clock, random: RandomSource) -> None:
        self._database = database
        self._upstreams = upstreams
        self._clock = clock
        self._random = random
        self._models: dict[str, ModelRecord] = {}
        self._records: dict[str, UpstreamRecord] = {}
        self._runners: dict[str, RunnerIdentity] = {}

    async def refresh(self) -> None:
        """Read aliases and upstreams again."""
        models, upstreams = await self._database.read(
            lambda connection: (
                PlatformRepository(connection).list_models(),
                PlatformRepository(connection).list_upstreams(),
            )
        )
        self._models = {model.alias: model for model in models}
        records = {upstream.name: upstream for upstream in upstreams}
        # Whoever answers at another address, or under another token, must say anew who it is.
        self._runners = {
            name: runner for name, runner in self._runners.items() if records.get(name) == self._records.get(name)
        }
        self._records = records
        await self._upstreams.refresh(upstreams)

    def resolve(self, alias: str) -> ResolvedModel:
        """Return what *alias* leads to; raises `UnknownModel`, or `UpstreamUnavailable` if that cannot be used now."""
        record = self._models.get(alias)
        if record is None:
            raise UnknownModel(f"the model {alias[:80]!r} does not exist or is not open to you")
        upstream = self._upstreams.get(record.upstream)
        if upstream is None:
            raise UpstreamUnavailable(f"the upstream of {alias[:80]!r} cannot be used; the operator's log says why")
        found = self._records[record.upstream]
        return ResolvedModel(record, upstream, found.base_url, found.kind, self._runners.get(record.upstream))

    @property
    def has_runners(self) -> bool:
        """Whether any upstream is a runner that announced its key."""
        return bool(self._runners)

    def list_aliases(self) -> list[ModelRecord]:
        """Return all aliases by name."""
        return [self._models[alias] for alias in sorted(self._models)]

    def list_upstreams(self) -> list[UpstreamRecord]:
        """Return all upstreams by name."""
        return [self._records[name] for name in sorted(self._records)]

    async def ask_upstreams(self) -> None:
        """Ask every runner which versions it would answer with; one that cannot be reached keeps its last known one."""
        for name, upstream in list(self._upstreams.items()):
            record = self._records.get(name)
            if record is None or record.kind != "runner":
                continue
            try:
                listed = await upstream.list_models()
            except UpstreamError as error:
                log.warning("upstream_not_reached", upstream=name, error=type(error).__name__)
                continue
            await self._note_runner(name, read_identity(listed))
            offered = {model.name: model for model in listed}
            for model in list(self._models.values()):
                if model.upstream == name and model.requested in offered:
                    await self._activate_offered(model, offered[model.requested])

    async def _note_runner(self, name: str, identity: RunnerIdentity | None) -> None:
        """Write down who signs at the upstream *name*; under a key that cannot be written down nothing is believed."""
        if identity is None:
            self._runners.pop(name, None)
            return
        if self._runners.get(name) == identity:
            return
        now_ms = self._clock.now_ms()

        def note(connection: Connection) -> None:
            models = tuple(identity.models)
            note_signer(connection, identity.public_key, "runner", name, models, now_ms=now_ms, random=self._random)
            for version, model in identity.models.items():
                # An answer may have named the version before its manifest was listed: no bundle is whole without it.
                PlatformRepository(connection).add_manifest(version, model.manifest)

        try:
            await self._database.write(note)
        except Conflict as error:
            self._runners.pop(name, None)
            log.error("signing_key_refused", upstream=name, error=str(error))
            return
        self._runners[name] = identity
        log.info("signing_key_known", upstream=name, key=identity.key_id)

    async def note_completion(self, resolved: ResolvedModel, completion: Completion) -> tuple[str, str]:
        """Return (model version, reported name) of *completion*, and supersede the old version if they changed."""
        reported = str(completion.response.get("model") or "")[:200]
        if completion.provenance is not None:
            version = completion.provenance.model_version
            reported = ""
        else:
            version = declared_model_version(resolved.record.upstream, resolved.base_url, resolved.record.requested)
        current = self._models.get(resolved.record.alias)
        if current is not None and (current.model_version, current.reported) != (version, reported):
            attested = None if resolved.runner is None else resolved.runner.models.get(version)
            manifest = None if attested is None else attested.manifest
            now_ms = self._clock.now_ms()
            await self._activate(current, ModelVersionRecord(version, reported, "active", manifest, now_ms))
        return version, reported

    async def _activate_offered(self, model: ModelRecord, offered: UpstreamModel) -> None:
        manifest = None if offered.manifest is None else canonical_json(offered.manifest).decode()
        reported = "" if offered.manifest is not None else (model.reported or "")
        if (model.model_version, model.reported) != (offered.model_version, reported):
            now_ms = self._clock.now_ms()
            await self._activate(model, ModelVersionRecord(offered.model_version, reported, "active", manifest, now_ms))

    async def _activate(self, model: ModelRecord, version: ModelVersionRecord) -> None:
        superseded = await self._database.write(
            lambda connection: activate_model_version(
                connection, model.alias, version, now_ms=self._clock.now_ms(), random=self._random
            )
        )
        await self.refresh()
        log.info("model_version_active", model=model.alias, version=version.model_version, superseded=superseded)


def manifest_of(record: ModelVersionRecord) -> dict[str, object] | None:
    """Return a stored manifest as an object."""
    return None if record.manifest is None else dict(json.loads(record.manifest))
