import asyncio
import threading

import numpy as np
import pytest

from server.embedding.async_embedder import AsyncEmbedder
from server.embedding.errors import EmbedderBusyError, RemoteEmbeddingError, TextError, VectorError


class FakeEmbedder:
    """Two components: the text's length and one, scaled; refuses "bad", and can be held."""

    digest = "sha256:" + "0" * 64
    dimension = 2

    def __init__(self):
        self.calls = []
        self.gate = threading.Event()
        self.gate.set()
        self.error = TextError("bad text")

    def embed(self, texts):
        self.calls.append(list(texts))
        assert self.gate.wait(30)
        if "bad" in texts:
            raise self.error
        return np.stack([direction(text) for text in texts])


def direction(text):
    return np.array([len(text), 1], np.float32) / np.float32(np.hypot(len(text), 1))


def run(fake, scenario, **options):
    async def outer():
        embedder = AsyncEmbedder(fake, **options)
        try:
            return await scenario(embedder)
        finally:
            await embedder.close()

    return asyncio.run(outer())


def test_one_text_gives_one_vector():
    vector = run(FakeEmbedder(), lambda embedder: embedder.embed("four"))
    assert vector.shape == (2,)
    np.testing.assert_array_equal(vector, direction("four"))


def test_callers_of_one_turn_share_a_run():
    fake = FakeEmbedder()

    async def scenario(embedder):
        return await asyncio.gather(*(embedder.embed("x" * size) for size in range(5)))

    vectors = run(fake, scenario)
    np.testing.assert_array_equal(vectors, [direction("x" * size) for size in range(5)])
    assert len(fake.calls) == 1


def test_many_texts_keep_their_order_over_several_runs():
    fake = FakeEmbedder()
    texts = ["x" * size for size in range(10)]
    rows = run(fake, lambda embedder: embedder.embed_many(texts), batch_max=4)
    np.testing.assert_array_equal(rows, [direction(text) for text in texts])
    assert [len(call) for call in fake.calls] == [4, 4, 2]


def test_no_texts_give_no_rows():
    assert run(FakeEmbedder(), lambda embedder: embedder.embed_many([])).shape == (0, 2)


def test_a_list_longer_than_the_queue_still_fits_through_it():
    rows = run(FakeEmbedder(), lambda embedder: embedder.embed_many(["x"] * 50), batch_max=4, queue_max=4)
    assert rows.shape == (50, 2)


def test_a_bad_text_fails_its_own_caller_only():
    async def scenario(embedder):
        return await asyncio.gather(*map(embedder.embed, ("a", "bad", "b")), return_exceptions=True)

    found = run(FakeEmbedder(), scenario)
    assert isinstance(found[1], TextError)
    np.testing.assert_array_equal([found[0], found[2]], [direction("a"), direction("b")])


def test_a_bad_text_in_a_list_fails_the_list():
    with pytest.raises(TextError):
        run(FakeEmbedder(), lambda embedder: embedder.embed_many(["a", "bad", "bad"]))


@pytest.mark.parametrize(("status", "calls"), [(None, 1), (503, 1), (429, 1), (400, 5)])
def test_a_service_that_is_down_is_not_asked_again_for_each_half(status, calls):
    fake = FakeEmbedder()
    fake.error = RemoteEmbeddingError("down", status=status)

    async def scenario(embedder):
        await asyncio.gather(*map(embedder.embed, ("bad", "a", "b", "c")), return_exceptions=True)

    run(fake, scenario)
    assert len(fake.calls) == calls


def test_a_passed_deadline_is_an_embedding_error():
    fake = FakeEmbedder()
    fake.gate.clear()

    async def scenario(embedder):
        try:
            await asyncio.wait_for(embedder.embed("a", timeout_s=0.02), 5)
        finally:
            fake.gate.set()

    with pytest.raises(EmbedderBusyError, match="no result within"):
        run(fake, scenario)


def test_a_full_queue_is_an_embedding_error():
    fake = FakeEmbedder()

    async def scenario(embedder):
        fake.gate.clear()
        tasks = [asyncio.ensure_future(embedder.embed(text)) for text in "abc"]
        await asyncio.sleep(0)
        fake.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = run(fake, scenario, batch_max=1, queue_max=2)
    assert [type(each) for each in found].count(EmbedderBusyError) == 1


def test_a_closed_embedder_gives_an_embedding_error():
    async def scenario(embedder):
        await embedder.close()
        await embedder.embed("a")

    with pytest.raises(EmbedderBusyError, match="stopping"):
        run(FakeEmbedder(), scenario)


def test_an_embedder_that_gives_another_shape_is_refused():
    fake = FakeEmbedder()
    fake.embed = lambda texts: np.ones((len(texts), 3), np.float32)
    with pytest.raises(VectorError, match="shape"):
        run(fake, lambda embedder: embedder.embed("a"))


def test_identity_is_the_embedders_own():
    fake = FakeEmbedder()
    embedder = AsyncEmbedder(fake)
    assert (embedder.digest, embedder.dimension, embedder.queue_depth) == (fake.digest, 2, 0)
