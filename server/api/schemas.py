"""Bodies at the HTTP edge. Unknown fields are refused by name, because a field that is silently dropped is a wrong answer.

A chat body is checked here and then used as it came: the fingerprint and the upstream see what the client sent.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")]
#: Anything that goes into a query as it is: control characters have no business there, and NUL breaks PostgreSQL.
Printable = r"^[^\x00-\x1f\x7f]*$"
Identifier = Annotated[str, StringConstraints(max_length=80, pattern=Printable)]
#: Strict, because the body goes upstream as it came: "1" or true would travel as text or as a truth value.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Body(BaseModel):
    """A body whose unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Alias = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=Printable)]


class ShareOptions(Body):
    """How an entry is to be shared: by these public questions, and at this ε or the policy's, whichever is smaller."""

    aliases: list[Alias] = Field(default_factory=list, max_length=16, description="public questions that it answers")
    epsilon: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}(\.[0-9]{1,3})?$")] | None = Field(
        None, description="of the question's embedding, as a decimal text"
    )


class CacheOptions(Body):
    """The optional `hitproof` object of a request; each field but `share` makes reuse stricter or storage shorter."""

    tags: list[Tag] = Field(default_factory=list, max_length=16, description="labels of the entry that may be stored")
    ttl: StrictInt | None = Field(None, ge=1, le=315_360_000, description="seconds that the entry may live")
    threshold: Number | None = Field(None, ge=0, le=1, description="cosine; raises the policy's, never lowers it")
    share: StrictBool | ShareOptions | None = Field(
        None, description="whether the entry is published by consent, and how; needs a policy that shares as noised"
    )


class Message(Body):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    tool_calls: list[dict[str, Any]] | None = Field(None, max_length=128)
    tool_call_id: Annotated[str, StringConstraints(max_length=200)] | None = None
    function_call: dict[str, Any] | None = None
    refusal: str | None = None
    audio: dict[str, Any] | None = None
    reasoning_content: str | None = None
    annotations: list[dict[str, Any]] | None = Field(None, max_length=128)


class StreamOptions(Body):
    """How a stream is sent."""

    include_usage: StrictBool | None = None
    include_obfuscation: StrictBool | None = None


class ChatBody(Body):
    """`POST /v1/chat/completions`: OpenAI's fields and `hitproof`."""

    model: Name
    messages: list[Message] = Field(min_length=1)
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    temperature: Number | None = Field(None, ge=0, le=2)
    top_p: Number | None = Field(None, ge=0, le=1)
    n: StrictInt | None = Field(None, ge=1, le=4)
    max_tokens: StrictInt | None = Field(None, ge=1, le=1_000_000)
    max_completion_tokens: StrictInt | None = Field(None, ge=1, le=1_000_000)
    stop: (
        Annotated[str, StringConstraints(max_length=1000)]
        | Annotated[list[Annotated[str, StringConstraints(max_length=1000)]], Field(max_length=4)]
        | None
    ) = None
    seed: StrictInt | None = None
    frequency_penalty: Number | None = Field(None, ge=-2, le=2)
    presence_penalty: Number | None = Field(None, ge=-2, le=2)
    logit_bias: dict[Annotated[str, StringConstraints(max_length=20)], Number] | None = Field(None, max_length=300)
    logprobs: StrictBool | None = None
    top_logprobs: StrictInt | None = Field(None, ge=0, le=20)
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = Field(None, max_length=128)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: StrictBool | None = None
    functions: list[dict[str, Any]] | None = Field(None, max_length=128)
    function_call: str | dict[str, Any] | None = None
    modalities: list[str] | None = Field(None, max_length=4)
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    reasoning_effort: Annotated[str, StringConstraints(max_length=40)] | None = None
    verbosity: Annotated[str, StringConstraints(max_length=40)] | None = None
    web_search_options: dict[str, Any] | None = None
    user: Annotated[str, StringConstraints(max_length=512)] | None = None
    safety_identifier: Annotated[str, StringConstraints(max_length=512)] | None = None
    metadata: (
        dict[Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]] | None
    ) = Field(None, max_length=16)
    store: StrictBool | None = None
    service_tier: Annotated[str, StringConstraints(max_length=40)] | None = None
    hitproof: CacheOptions | None = None


class EmbeddingsBody(Body):
    """`POST /v1/embeddings` with the gateway's own embedder."""

    input: str | Annotated[list[str], Field(min_length=1, max_length=256)]
    model: Name | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: StrictInt | None = None
    user: Annotated[str, StringConstraints(max_length=512)] | None = None


class PutEntryBody(Body):
    """`POST /v1/cache/entries`: store an answer of the client's own; its grade is and stays `declared`."""

    model: Name
    messages: list[Message] = Field(min_length=1)
    answer: Annotated[str, StringConstraints(min_length=1, max_length=262_144)]
    tags: list[Tag] = Field(default_factory=list, max_length=16)
    ttl: StrictInt | None = Field(None, ge=1, le=315_360_000)


class InvalidateBody(Body):
    """`POST /v1/cache/invalidate`: a dry run unless `dry_run` is false."""

    entry: Identifier | None = None
    tag: Tag | None = None
    model_version: Identifier | None = None
    older_than_s: StrictInt | None = Field(None, ge=0, le=315_360_000)
    all: StrictBool = False
    dry_run: StrictBool = True
    confirm: Annotated[str, StringConstraints(max_length=100)] | None = None


class FeedbackBody(Body):
    """`POST /v1/cache/feedback`: was this hit the right answer?"""

    hit: Identifier
    verdict: Literal["good", "bad"]


class AuditExportBody(Body):
    """`POST /v1/audit/export`: hits and receipts from `since_ms` to before `until_ms`; `open` names what is opened.

    `open` takes kinds of commitments, of all receipts or of those that `receipts` names; `from_sizes` are checkpoints
    that the auditor has seen; `applicability` opens the query vectors of hits by meaning, with their proofs, and first has
    those made that they lack.
    """

    since_ms: StrictInt | None = Field(None, ge=0, le=9_007_199_254_740_991)
    until_ms: StrictInt | None = Field(None, ge=0, le=9_007_199_254_740_991)
    model_version: Identifier | None = None
    open: list[
        Literal["commitment", "output", "output_tokens", "prompt", "prompt_tokens", "query_vector", "text", "vector"]
    ] = Field(default_factory=list, max_length=8)
    receipts: list[Identifier] | None = Field(None, max_length=1000)
    from_sizes: list[Annotated[StrictInt, Field(ge=1, le=9_007_199_254_740_991)]] = Field(
        default_factory=list, max_length=64
    )
    applicability: StrictBool = False
