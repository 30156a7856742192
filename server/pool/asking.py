"""Have one released text answered by one attesting runner, for the pool and in its name, and take nothing less.

The request is the profile's public system text and parameters with the released text, and nothing else: so neither the
answer nor its receipt can say anything of those who voted.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from crypto.errors import EncodingError, Error, VerificationError
from crypto.release import EVIDENCE_TYPE
from crypto.statement import EvidenceReference
from privacy.answers import refuse_answer
from server.pool.eligibility import Profile
from server.pool.items import Released
from server.ports import Completion, JsonObject
from server.reuse.completeness import reason_not_to_store
from server.reuse.labels import AnswerJudge, label_answers
from server.reuse.models import ModelRegistry, ResolvedModel, UnknownModel
from server.reuse.receipt_making import MadeReceipt, Receiptable, ReceiptMaker
from server.reuse.tenant_directory import TenantContext
from server.store.database import Database
from server.store.pool import PoolRepository
from server.store.pool_records import StoredItem
from server.upstream.errors import UpstreamError


@dataclass(frozen=True, slots=True)
class Subject:
    """One item under one model: what is asked, and in which release it came out."""

    pool: TenantContext
    item: StoredItem
    released: Released
    profile: Profile
    model: ResolvedModel
    evidence: tuple[EvidenceReference, ...]

    @property
    def text(self) -> str:
        """The released text."""
        return self.released.texts[0]

    @property
    def messages(self) -> list[JsonObject]:
        """The whole conversation that is sent."""
        return [*self.profile.context, {"role": "user", "content": self.text}]


@dataclass(frozen=True, slots=True)
class Answered:
    """One attested answer; *reported* is the name the model gave itself, empty for a runner."""

    completion: Completion
    receipt: MadeReceipt
    version: str
    reported: str

    @property
    def text(self) -> str:
        """What the model said."""
        return str(self.completion.response["choices"][0]["message"]["content"])


class Refused(Error):
    """An answer that the pool does not take; the message is the reason."""


class Asker:
    """Asks the runners of one gateway; *judge* compares answers of models that are not exact."""

    def __init__(self, database: Database, models: ModelRegistry, receipts: ReceiptMaker, judge: AnswerJudge) -> None:
        self._database = database
        self._models = models
        self._receipts = receipts
        self._judge = judge

    async def find_subject(
        self, pool: TenantContext, item: StoredItem, released: Released, profile: Profile, alias: str
    ) -> Subject | None:
        """Return what is to be asked of *alias*; None where no attesting runner stands behind it now."""
        try:
            model = self._models.resolve(alias)
        except (UnknownModel, UpstreamError):
            return None
        if model.kind != "runner" or model.runner is None or model.model_version not in model.runner.models:
            return None
        digest = (await self._database.read(lambda c: PoolRepository(c).get(item.release))).digest
        if digest is None:
            return None
        return Subject(pool, item, released, profile, model, (EvidenceReference(EVIDENCE_TYPE, digest),))

    async def ask(self, subject: Subject) -> Answered:
        """Have the released text answered; raises `Refused` for what the pool does not take, `UpstreamError`."""
        model, pool = subject.model, subject.pool
        body: JsonObject = {
            **subject.profile.parameters,
            "model": model.record.requested,
            "messages": subject.messages,
            "hitproof_statement": self._receipts.ask(pool, evidence=subject.evidence),
        }
        completion = await model.upstream.complete(body, tenant_salt=pool.salt)
        version, reported = await self._models.note_completion(model, completion)
        reason = reason_not_to_store(completion.response)
        if reason is not None or completion.provenance is None or model.runner is None:
            raise Refused(reason or "no_receipt")
        about = Receiptable(
            subject.messages, subject.profile.parameters, completion.response, model.record.requested, version
        )
        try:
            receipt = self._receipts.accept(pool, about, completion.provenance, model.runner, evidence=subject.evidence)
        except (VerificationError, EncodingError) as error:
            raise Refused(f"receipt_{getattr(error, 'reason', '') or 'not_statable'}") from None
        if receipt.statement.grade != "attested":
            raise Refused("not_attested")
        answered = Answered(completion, receipt, version, reported)
        reason = refuse_answer(answered.text)
        if reason is not None:
            raise Refused(reason)
        return answered

    def is_same(self, subject: Subject, before: str, answered: Answered) -> bool:
        """Say whether both answers are one: letter by letter where the model is exact, else as a judge has it."""
        runner = subject.model.runner
        manifest = None if runner is None else runner.models.get(answered.version)
        if manifest is not None and orjson.loads(manifest.manifest)["numerics"] is not None:
            return answered.text == before
        return label_answers(answered.text, before, self._judge).right is True
