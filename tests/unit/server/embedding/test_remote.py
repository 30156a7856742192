import gzip
import json

import httpx2
import numpy as np
import pytest

from server.embedding.errors import RemoteEmbeddingError, TextError, VectorError
from server.embedding.remote import TEXTS_PER_REQUEST, Service, load_remote_embedder
from server.embedding.texts import TEXT_CHARACTERS_MAX

SERVICE = Service("https://vectors.example/v1/embeddings", "small-model", api_key="key-1")


class FakeService:
    """Answers with (length, 1, 2) for each text; `change` may spoil the answer before it is sent."""

    def __init__(self):
        self.requests = []
        self.change = lambda answer: answer
        self.client = httpx2.Client(transport=httpx2.MockTransport(self.handle))

    def handle(self, request):
        self.requests.append(request)
        texts = json.loads(request.content)["input"]
        data = [{"index": index, "embedding": [len(text), 1.0, 2.0]} for index, text in enumerate(texts)]
        changed = self.change({"data": data, "model": "small-model-2026"})
        if isinstance(changed, httpx2.Response):
            return changed
        return httpx2.Response(200, content=json.dumps(changed).encode())


@pytest.fixture
def fake():
    return FakeService()


@pytest.fixture
def embedder(fake):
    return load_remote_embedder(fake.client, SERVICE)


def unit(text):
    vector = np.array([len(text), 1, 2], np.float32)
    return vector / np.linalg.norm(vector)


def test_vectors_come_back_as_unit_rows_in_the_order_of_the_texts(fake, embedder):
    fake.change = lambda answer: {**answer, "data": answer["data"][::-1]}
    rows = embedder.embed(["a", "bbb", ""])
    np.testing.assert_allclose(rows, [unit("a"), unit("bbb"), unit("")], atol=1e-6)


def test_the_request_is_the_one_openai_documents(fake, embedder):
    embedder.embed(["a"])
    request = fake.requests[-1]
    assert (request.method, str(request.url)) == ("POST", SERVICE.url)
    assert json.loads(request.content) == {"model": "small-model", "input": ["a"], "encoding_format": "float"}
    assert request.headers["authorization"] == "Bearer key-1"
    assert request.headers["accept-encoding"] == "identity"


def test_without_a_key_no_authorization_is_sent(fake):
    load_remote_embedder(fake.client, Service(SERVICE.url, "small-model"))
    assert "authorization" not in fake.requests[-1].headers


def test_the_key_stands_in_no_text_form_of_the_settings():
    assert "key-1" not in repr(SERVICE)


def test_the_dimension_is_learned_from_the_service(embedder):
    assert embedder.dimension == 3


def test_a_dimension_other_than_stated_is_refused_at_load(fake):
    with pytest.raises(VectorError, match="3 components but the settings say 4"):
        load_remote_embedder(fake.client, SERVICE, dimension=4)


@pytest.mark.parametrize("size", [0, 1, 8193])
def test_a_dimension_that_cannot_be_indexed_is_refused_at_load(fake, size):
    fake.change = lambda answer: {**answer, "data": [{"index": 0, "embedding": [1] * size}]}
    with pytest.raises(VectorError, match="can be indexed"):
        load_remote_embedder(fake.client, SERVICE)


def test_long_lists_are_sent_in_parts(fake, embedder):
    rows = embedder.embed(["x" * size for size in range(TEXTS_PER_REQUEST + 1)])
    np.testing.assert_allclose(rows[TEXTS_PER_REQUEST], unit("x" * TEXTS_PER_REQUEST), atol=1e-6)
    assert len(fake.requests) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [("url", "https://other.example/v1/embeddings"), ("model", "other"), ("revision", "2")],
)
def test_the_digest_depends_on_what_decides_the_vectors(fake, embedder, field, value):
    settings = {"url": SERVICE.url, "model": SERVICE.model, "revision": "", field: value}
    assert load_remote_embedder(fake.client, Service(**settings)).digest != embedder.digest


def test_the_digest_depends_on_the_reported_model(fake, embedder):
    fake.change = lambda answer: {**answer, "model": "small-model-2027"}
    assert load_remote_embedder(fake.client, SERVICE).digest != embedder.digest


def test_the_digest_does_not_depend_on_key_or_timeout(fake, embedder):
    other = Service(SERVICE.url, SERVICE.model, api_key="key-2", timeout_s=3)
    assert load_remote_embedder(fake.client, other).digest == embedder.digest


def test_a_reported_model_that_changes_while_running_is_an_error(fake, embedder):
    fake.change = lambda answer: {**answer, "model": "small-model-2027"}
    with pytest.raises(RemoteEmbeddingError, match="must not be mixed"):
        embedder.embed(["a"])


@pytest.mark.parametrize(
    "vector",
    [[np.nan, 1, 2], [np.inf, 1, 2], [0, 0, 0], [1e-42, 0, 0], [1, 2], [1, 2, 3, 4], [], [10**400, 1, 2]],
)
def test_a_vector_that_is_no_direction_of_the_agreed_dimension_is_an_error(fake, embedder, vector):
    fake.change = lambda answer: {**answer, "data": [{"index": 0, "embedding": vector}]}
    with pytest.raises(VectorError):
        embedder.embed(["a"])


@pytest.mark.parametrize("vector", [None, "AACAPw==", ["1", "2", "3"], [True, 1, 2], [[1, 2, 3]], {"0": 1}, [None] * 3])
def test_a_vector_that_is_no_list_of_numbers_is_an_error(fake, embedder, vector):
    fake.change = lambda answer: {**answer, "data": [{"index": 0, "embedding": vector}]}
    with pytest.raises(RemoteEmbeddingError, match="no list of numbers"):
        embedder.embed(["a"])


@pytest.mark.parametrize("indexes", [(0, 0), (1, 2), (-1, 0), (0, None), (0, True), (0, "1"), (0, 1.0)])
def test_vectors_that_are_numbered_wrongly_are_an_error(fake, embedder, indexes):
    fake.change = lambda answer: {**answer, "data": [{"index": index, "embedding": [1, 2, 3]} for index in indexes]}
    with pytest.raises(RemoteEmbeddingError, match="numbered"):
        embedder.embed(["a", "b"])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_vectors_than_texts_is_an_error(fake, embedder, count):
    rows = [{"index": index, "embedding": [1, 2, 3]} for index in range(count)]
    fake.change = lambda answer: {**answer, "data": rows}
    with pytest.raises(RemoteEmbeddingError, match=f"{count} vectors for 2 texts"):
        embedder.embed(["a", "b"])


def test_vectors_of_different_dimensions_in_one_answer_are_an_error(fake, embedder):
    rows = [{"index": 0, "embedding": [1, 2, 3]}, {"index": 1, "embedding": [1, 2]}]
    fake.change = lambda answer: {**answer, "data": rows}
    with pytest.raises(VectorError, match="different dimensions"):
        embedder.embed(["a", "b"])


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"{}"])
def test_an_answer_that_is_not_the_documented_object_is_an_error(fake, embedder, content):
    fake.change = lambda answer: httpx2.Response(200, content=content)
    with pytest.raises(RemoteEmbeddingError):
        embedder.embed(["a"])


@pytest.mark.parametrize("status", [204, 302, 400, 401, 429, 500, 503])
def test_another_status_than_200_is_an_error_that_carries_it_and_not_the_body(fake, embedder, status):
    headers = {"location": "https://elsewhere.example/"}
    fake.change = lambda answer: httpx2.Response(status, content=b"inner workings", headers=headers)
    with pytest.raises(RemoteEmbeddingError) as caught:
        embedder.embed(["a"])
    assert caught.value.status == status
    assert "inner workings" not in str(caught.value)
    assert len(fake.requests) == 2


def test_a_compressed_answer_is_refused_unread(fake, embedder):
    content = gzip.compress(json.dumps({"data": [{"index": 0, "embedding": [1, 2, 3]}], "model": "m"}).encode())
    headers = {"content-encoding": "gzip"}
    fake.change = lambda answer: httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(content))
    with pytest.raises(RemoteEmbeddingError, match="compressed"):
        embedder.embed(["a"])


def test_an_endless_answer_is_cut_off_at_the_limit(fake, embedder):
    sent = []

    def endless():
        while True:
            sent.append(1)
            yield b" " * 65_536

    fake.change = lambda answer: httpx2.Response(200, content=endless())
    with pytest.raises(RemoteEmbeddingError, match="more than"):
        embedder.embed(["a"])
    assert len(sent) < 10


def test_an_answer_that_drips_is_cut_off_at_the_timeout(fake):
    now_s = [0.0]

    def drip():
        while True:
            now_s[0] += 1
            yield b" "

    embedder = load_remote_embedder(fake.client, SERVICE, monotonic_s=lambda: now_s[0])
    fake.change = lambda answer: httpx2.Response(200, content=drip())
    with pytest.raises(RemoteEmbeddingError, match="longer than 10 s"):
        embedder.embed(["a"])


@pytest.mark.parametrize("error", [httpx2.ConnectError("no"), httpx2.ReadTimeout("slow")])
def test_a_service_that_cannot_be_reached_is_an_error_without_retries(fake, embedder, error):
    def fail(answer):
        raise error

    fake.change = fail
    with pytest.raises(RemoteEmbeddingError, match=type(error).__name__):
        embedder.embed(["a"])
    assert len(fake.requests) == 2


@pytest.mark.parametrize("text", ["a\ud800", "x" * (TEXT_CHARACTERS_MAX + 1)])
def test_a_text_that_cannot_be_sent_is_refused_before_any_is(fake, embedder, text):
    with pytest.raises(TextError):
        embedder.embed(["fine", text])
    assert len(fake.requests) == 1


def test_a_text_is_covered_up_to_the_length_that_is_sent(embedder):
    assert embedder.covers("x" * TEXT_CHARACTERS_MAX)
    assert not embedder.covers("x" * (TEXT_CHARACTERS_MAX + 1))
