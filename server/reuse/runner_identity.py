"""Which key a runner announced, and what it may say under it: one attested version per manifest that it listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crypto.canonical import canonical_json
from crypto.ed25519 import is_valid_public_key, key_id
from crypto.errors import VerificationError
from crypto.statement import ReceiptStatement, runtime_digest
from server.ports import JsonObject, UpstreamModel


@dataclass(frozen=True, slots=True)
class AttestedModel:
    """What a receipt must say of a model whose *manifest*, in canonical JSON, its signer listed."""

    manifest: str
    name: str
    runtime: str
    openssf_digest: str | None


@dataclass(frozen=True, slots=True)
class RunnerIdentity:
    """A runner's public key (32 bytes) and, by model version, the models that it may attest."""

    public_key: bytes
    models: Mapping[str, AttestedModel]

    @property
    def key_id(self) -> str:
        """The key's id."""
        return key_id(self.public_key)

    def verify_claims(self, statement: ReceiptStatement) -> None:
        """Hold a statement's grade, runtime and signature digest to the manifest; raises `VerificationError`."""
        if statement.grade == "declared":
            return
        model = self.models.get(statement.model_version)
        if model is None:
            raise VerificationError("the runner attests a model it listed no manifest of", reason="model_not_allowed")
        if (statement.runtime, statement.openssf_digest) != (model.runtime, model.openssf_digest):
            raise VerificationError("the statement does not fit the model's manifest", reason="manifest_mismatch")


def read_identity(offered: Sequence[UpstreamModel]) -> RunnerIdentity | None:
    """Return who a runner says that it is; None when it announces no key, or no one key, or none that may be used."""
    announced = {model.signing_key for model in offered}
    text = announced.pop() if len(announced) == 1 else None
    public_key = b"" if text is None else _bytes_of(text)
    if not is_valid_public_key(public_key):
        return None
    models = {
        model.model_version: _attested(model.name, model.manifest) for model in offered if model.manifest is not None
    }
    return RunnerIdentity(public_key, models)


def _attested(name: str, manifest: JsonObject) -> AttestedModel:
    return AttestedModel(canonical_json(manifest).decode(), name, runtime_digest(manifest), manifest["openssf_digest"])


def _bytes_of(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
