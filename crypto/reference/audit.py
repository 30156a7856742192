"""A bundle whose leaves are proved, and what the checks behind that need of it again and again."""

from __future__ import annotations

from dataclasses import dataclass, field

from .contents import Contents, ReleaseLine
from .errors import NotInForm
from .hashing import digest, digest_text
from .json_text import Json, write
from .model_manifest import model_version
from .records import Body, Hit, StatusList
from .signed_manifest import Manifest, Principal
from .statements import Embedding, Receipt
from .trust import Trust


@dataclass(slots=True)
class Side:
    """The tenant or the pool: one of the two whose receipts may be in a bundle."""

    principal: Principal
    #: What many receipts and hits ask for is worked out once, or a bundle could make this take for ever.
    pseudonyms: frozenset[str] = field(init=False)
    #: The leaf that first announces a policy under any of the pseudonyms.
    first: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pseudonyms = self.principal.pseudonyms()


@dataclass(slots=True)
class Audit:
    """What was read, and what was accepted of it so far."""

    trust: Trust
    manifest: Manifest
    contents: Contents
    receipts: dict[str, tuple[int, Receipt]] = field(default_factory=dict)
    embeddings: dict[str, Embedding] = field(default_factory=dict)
    #: Embedding statements that were accepted, where *embeddings* are all that are in form.
    embedded: set[str] = field(default_factory=set)
    hits: dict[str, Hit] = field(default_factory=dict)
    #: Vectors of the queries that were opened, by hit.
    queries: dict[str, tuple[int, ...]] = field(default_factory=dict)
    #: Hits that were shown to be close to what they were answered with.
    applicable: set[str] = field(default_factory=set)

    tenant: Side = field(init=False)
    pool: Side | None = field(init=False)
    #: Policies by pseudonym, in the order of the log.
    announced: dict[str, list[tuple[int, Body]]] = field(default_factory=dict)
    #: Where a policy stands among those announced to one pseudonym.
    places: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    #: Versions of the bundle's manifests, and the digests of their runtimes; None where a manifest is out of form.
    versions: dict[str, tuple[str, str] | None] = field(init=False)
    #: Releases by their digests; of two lines with the same document the earlier.
    released: dict[str, ReleaseLine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scope = self.manifest.scope
        self.tenant = Side(scope.tenant)
        self.pool = None if scope.pool is None else Side(scope.pool)
        for index, body in sorted(self.contents.bodies.items()):
            if body.kind == 5:
                self._announce(index, body)
        self.versions = {version: _version(manifest) for version, manifest in self.contents.models.items()}
        for line in self.contents.releases:
            self.released.setdefault(line.release.digest, line)

    def _announce(self, index: int, body: Body) -> None:
        tenant, policy = str(body.value["tenant"]), str(body.value["policy"])
        before = self.announced.setdefault(tenant, [])
        self.places.setdefault((tenant, policy), []).append(len(before))
        before.append((index, body))
        for side in (self.tenant, self.pool):
            if side is not None and tenant in side.pseudonyms:
                side.first.setdefault(policy, index)

    @property
    def status(self) -> StatusList:
        """The status list in force."""
        return self.contents.status

    def side(self, pseudonym: str) -> Side:
        """The pool if the pseudonym is one of its own, else the tenant, whoever it may be."""
        return self.pool if self.pool is not None and pseudonym in self.pool.pseudonyms else self.tenant


def _version(manifest: dict[str, Json]) -> tuple[str, str] | None:
    try:
        return model_version(manifest), digest_text(digest("hitproof/runtime/v1", write(manifest["runtime"])))
    except NotInForm:
        return None
