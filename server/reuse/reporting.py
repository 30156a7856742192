"""What is said of a lookup: its account to the caller, its record to the store, its answer given back under a fresh id.

A hit is also noted in the journal of hits, by the one function that makes its record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Literal, TypeAlias

from server.identifiers import new_lookup_id
from server.ports import Clock, JsonObject, RandomSource
from server.reuse.accounting import Accounting
from server.reuse.answers import Account, Answer, LastChunk, ReceiptState, StreamedAnswer
from server.reuse.decision import WouldAccept
from server.reuse.hit_journal import HitJournal
from server.reuse.outcomes import Hit, Outcome
from server.reuse.receipts import Receipt
from server.reuse.replay import replay_chunks, replay_whole
from server.reuse.sight import Asked, Sight
from tenants.identifiers import TenantId

#: How far the leaf with that number in the outbox has got.
StateOf: TypeAlias = Callable[[int], Literal["pending", "included", "witnessed"]]


class Reporter:
    """Accounts for requests of any tenant."""

    def __init__(
        self,
        accounting: Accounting,
        journal: HitJournal,
        state_of: StateOf,
        clock: Clock,
        random: RandomSource,
    ) -> None:
        self._accounting = accounting
        self._journal = journal
        self._state_of = state_of
        self._clock = clock
        self._random = random

    @property
    def may_give_hits(self) -> bool:
        """Whether there is room to note a hit: without, none is given."""
        return not self._journal.is_full

    def account(self, asked: Asked, outcome: Outcome, sight: Sight | None, stored: Receipt | None = None) -> Account:
        """Make the account of one request that came to *outcome*; *stored* is the receipt of a fresh answer."""
        is_hit = isinstance(outcome, Hit)
        row = sight.row if sight is not None and is_hit else None
        receipt = sight.receipt if sight is not None and is_hit else stored
        near = None if sight is None else sight.near
        decision = None if near is None else near.decision
        return Account(
            outcome=outcome,
            lookup=new_lookup_id(self._random, hit=is_hit),
            model_version=asked.model.model_version if row is None else row.model_version,
            policy_version=asked.tenant.policy_version,
            explanation=None if decision is None else decision.explanation,
            guard=None if sight is None else sight.guard,
            would_hit=isinstance(decision, WouldAccept),
            saved_tokens=0 if row is None else row.prompt_tokens + row.output_tokens,
            saved_micro=0 if row is None else row.cost_micro,
            receipt=None if receipt is None else self.show_receipt(receipt.id, receipt.seq, receipt.grade),
        )

    def show_receipt(self, receipt: str, seq: int, grade: str) -> ReceiptState:
        """Return how a receipt stands whose leaf has the number *seq*."""
        return ReceiptState(receipt, self._state_of(seq), grade)

    def record(self, asked: Asked, account: Account, sight: Sight | None) -> None:
        """Count one request and queue its record; a hit is also noted for the log."""
        is_kept = not asked.request.steering.no_store
        if isinstance(account.outcome, Hit):
            if sight is None or sight.receipt is None:
                raise RuntimeError("a hit without a receipt")
            self._journal.note(
                asked.tenant,
                account.lookup,
                account.outcome,
                sight.receipt,
                asked.request.messages,
                sight.match,
                keeps_query=is_kept,
            )
        self._accounting.record(
            tenant=asked.tenant,
            key=asked.key,
            model=asked.model.record.alias,
            account=account,
            row=None if sight is None else sight.row,
            near=None if sight is None else sight.near,
            keep_lookup=is_kept,
            latency_s=self._clock.monotonic_s() - asked.started_s,
        )

    def replay(
        self, asked: Asked, response: JsonObject, account: Account, *, owner: TenantId
    ) -> Answer | StreamedAnswer:
        """Give *response* back; *owner* is whose it is by its row: the caller's own, or the pool's in the tier `pool`."""
        identifier = f"chatcmpl-{account.lookup.partition('_')[2]}"
        created_s = self._clock.now_ms() // 1000
        if not asked.request.is_streamed:
            whole = replay_whole(response, identifier=identifier, created_s=created_s)
            return Answer(owner, account, whole)
        chunks = replay_chunks(
            response, identifier=identifier, created_s=created_s, with_usage=asked.request.wants_usage
        )
        return StreamedAnswer(owner, _then(chunks, LastChunk(account)), account.headers(), account.tier)


async def _then(chunks: Iterator[JsonObject], last: LastChunk) -> AsyncIterator[JsonObject | LastChunk]:
    for chunk in chunks:
        yield chunk
    yield last
