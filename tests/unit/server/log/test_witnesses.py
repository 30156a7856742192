"""Cosignatures: what a witness signs and refuses, and what the log makes of its answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_cosignatures
from crypto.ed25519 import SigningKey
from crypto.merkle import MemoryTree, consistency_proof, leaf_hash
from crypto.note import LOG_ALGORITHM, VerifierKey, make_vkey, parse_vkey
from server.log.errors import LogError, LogRefusal, WitnessError
from server.log.high_water import HighWater
from server.log.keys import load_signing_key
from server.log.witness import REQUEST_BYTES_MAX, Witness
from server.log.witnesses import SIZE_TYPE, WitnessAnswer, encode_request, parse_witness
from server.store.log import LogRepository
from tests.fakes import FakeClock
from tests.log_worlds import ORIGIN, LogWorld, WitnessWorld, witness_vkey

LOG = SigningKey(bytes(range(32)))
LOG_KEY = parse_vkey(make_vkey(ORIGIN, LOG_ALGORITHM, LOG.public_key))
TREE = MemoryTree(leaf_hash(b"%d" % number) for number in range(20))
FORK = MemoryTree(leaf_hash(b"fork %d" % number) for number in range(20))


@pytest.fixture
def town(tmp_path: Path) -> WitnessWorld:
    found = WitnessWorld(tmp_path, LOG_KEY, FakeClock())
    found.add("alice")
    return found


@pytest.fixture
def alice(town: WitnessWorld) -> Witness:
    return town.witnesses["alice"]


def request(
    old: int, size: int, *, tree: MemoryTree = TREE, proof: list[bytes] | None = None, signer: SigningKey = LOG
) -> bytes:
    note = sign_checkpoint(Checkpoint(ORIGIN, size, tree.root(size)), signer)
    found = consistency_proof(old, size, tree.node) if 0 < old <= size else []
    return encode_request(old, found if proof is None else proof, parse_checkpoint(note))


def test_a_checkpoint_that_continues_the_last_one_is_cosigned(alice: Witness) -> None:
    for old, size in ((0, 3), (3, 3), (3, 17), (17, 20)):
        answer = alice.add_checkpoint(request(old, size))
        assert answer.status == 200
        note = sign_checkpoint(Checkpoint(ORIGIN, size, TREE.root(size)), LOG) + answer.text
        (found,) = verify_cosignatures(parse_checkpoint(note), [alice.key], FakeClock().now_ms())
        assert found.time_s == FakeClock().now_ms() // 1000


def test_a_rollback_is_refused_with_the_size_that_was_seen(alice: Witness) -> None:
    alice.add_checkpoint(request(0, 17))
    for old in (0, 3, 5):
        answer = alice.add_checkpoint(request(old, 5))
        assert (answer.status, answer.text, answer.content_type) == (409, "17\n", SIZE_TYPE)


def test_another_tree_of_the_same_size_is_refused(alice: Witness) -> None:
    alice.add_checkpoint(request(0, 17))
    assert alice.add_checkpoint(request(17, 17, tree=FORK)).status == 409


def test_a_larger_tree_that_does_not_continue_is_refused(alice: Witness) -> None:
    alice.add_checkpoint(request(0, 5))
    assert alice.add_checkpoint(request(5, 17, tree=FORK)).status == 422
    assert alice.add_checkpoint(request(5, 17, proof=[])).status == 422
    assert alice.add_checkpoint(request(5, 17)).status == 200


def test_from_nothing_a_proof_is_refused(alice: Witness) -> None:
    assert alice.add_checkpoint(request(0, 5, proof=[bytes(32)])).status == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff", 400),
        (b"old 01\n\n" + request(0, 5).split(b"\n\n", 1)[1], 400),
        (b"new 0\n\n" + request(0, 5).split(b"\n\n", 1)[1], 400),
        (b"old 0\nnot base64\n\n" + request(0, 5).split(b"\n\n", 1)[1], 400),
        (request(0, 5, proof=[bytes(32)] * 64), 400),
        (request(7, 5), 400),
        (request(0, 5).replace(ORIGIN.encode(), b"log.example/other"), 404),
        (request(0, 5, signer=SigningKey(bytes(32))), 403),
        (request(0, 5).replace(b"\n5\n", b"\n6\n"), 403),
    ],
)
def test_what_is_no_request_of_a_known_log_is_refused(alice: Witness, body: bytes, status: int) -> None:
    assert alice.add_checkpoint(body).status == status
    assert alice.add_checkpoint(request(0, 3)).status == 200, "and nothing was remembered of it"


def test_a_witness_that_was_started_again_remembers(town: WitnessWorld) -> None:
    town.witnesses["alice"].add_checkpoint(request(0, 17))
    again = town.add("alice")
    assert again.add_checkpoint(request(0, 5)).status == 409


def test_a_witness_whose_memory_is_damaged_does_not_start(town: WitnessWorld) -> None:
    town.witnesses["alice"].add_checkpoint(request(0, 17))
    (path,) = (town.folder / "alice").iterdir()
    data = path.read_bytes()
    for damaged in (b"", data[:-1], data.replace(b"\n17\n", b"\n16\n"), data.split(b"\xe2\x80\x94 alice")[0]):
        path.write_bytes(damaged)
        with pytest.raises(LogError, match="damaged"):
            town.add("alice")


def test_a_witness_that_cannot_write_signs_nothing(tmp_path: Path) -> None:
    witness = Witness("alice", SigningKey(bytes(32)), [LOG_KEY], FullStorage(), FakeClock())
    with pytest.raises(OSError, match="space"):
        witness.add_checkpoint(request(0, 5))


def test_the_time_of_a_cosignature_never_goes_back(town: WitnessWorld, alice: Witness) -> None:
    alice.add_checkpoint(request(0, 3))
    town.clock.jump(-86_400)
    answer = alice.add_checkpoint(request(3, 5))
    note = sign_checkpoint(Checkpoint(ORIGIN, 5, TREE.root(5)), LOG) + answer.text
    (found,) = verify_cosignatures(parse_checkpoint(note), [alice.key], FakeClock().now_ms())
    assert found.time_s == FakeClock().now_ms() // 1000


def test_signatures_that_a_request_carries_along_are_not_kept(town: WitnessWorld, alice: Witness) -> None:
    bob = town.add("bob")
    line = bob.add_checkpoint(request(0, 5)).text
    assert alice.add_checkpoint(request(0, 5) + line.encode()).status == 200
    (path,) = (town.folder / "alice").iterdir()
    assert "bob" not in path.read_text()


def test_the_largest_request_fits_its_limit() -> None:
    assert len(request(0, 20, proof=[bytes(32)] * 63)) < REQUEST_BYTES_MAX


# The log's side.


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LogWorld]:
    found = LogWorld(tmp_path / "data")
    yield found
    found.close()


@pytest.fixture
def village(world: LogWorld, tmp_path: Path) -> WitnessWorld:
    found = WitnessWorld(tmp_path / "village", world.log_key, world.clock)
    for name in ("alice", "bob"):
        found.add(name)
    return found


def states(world: LogWorld, quorum: int) -> str:
    high_water = HighWater(quorum=quorum)
    high_water.update(world.database.read_now(high_water.read))
    return high_water.state_of(world.newest.through_seq)


def test_every_witness_cosigns_and_the_receipt_is_witnessed(world: LogWorld, village: WitnessWorld) -> None:
    sequencer = world.new_sequencer(witnesses=village.client())
    for count in (3, 300, 1):
        world.add_leaves(count)
        sequencer.step()
        signed = parse_checkpoint(world.newest.note)
        keys = [found.key for found in village.witnesses.values()]
        assert len(verify_cosignatures(signed, keys, world.clock.now_ms())) == world.newest.witnesses == 2
        assert world.storage.read("checkpoint") == world.newest.note.encode()
        assert states(world, 2) == "witnessed"
    assert states(world, 3) == states(world, 0) == "included"


def test_a_witness_that_is_away_costs_its_cosignature_alone(world: LogWorld, village: WitnessWorld) -> None:
    def away(_body: bytes) -> WitnessAnswer:
        raise WitnessError("it cannot be reached")

    village.instead["alice"] = away
    sequencer = world.new_sequencer(witnesses=village.client())
    world.add_leaves(3)
    sequencer.step()
    assert (world.newest.size, world.newest.witnesses) == (3, 1)
    assert (states(world, 1), states(world, 2)) == ("witnessed", "included")
    del village.instead["alice"]
    world.clock.advance(2)
    sequencer.step()
    assert (world.newest.size, world.newest.witnesses) == (3, 2)


def test_a_witness_that_is_away_is_asked_less_and_less_often(world: LogWorld, village: WitnessWorld) -> None:
    asked: list[float] = []

    def away(_body: bytes) -> WitnessAnswer:
        asked.append(world.clock.monotonic_s())
        raise WitnessError("it cannot be reached")

    village.instead = {"alice": away}
    sequencer = world.new_sequencer(witnesses=village.client())
    world.add_leaves(1)
    for _ in range(260):
        sequencer.step()
        world.clock.advance(1)
    gaps = [after - before for before, after in itertools.pairwise(asked)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60


def test_the_size_that_a_witness_tells_is_believed(world: LogWorld, village: WitnessWorld) -> None:
    world.add_leaves(3)
    world.new_sequencer(witnesses=village.client()).step()
    world.add_leaves(9)
    world.new_sequencer(witnesses=village.client()).step()  # starts anew and knows no sizes
    assert world.newest.witnesses == 2


@pytest.mark.parametrize(
    "answer",
    [
        WitnessAnswer(500, "text/plain", b""),
        WitnessAnswer(302, "text/plain", b""),
        WitnessAnswer(200, "text/plain", b""),
        WitnessAnswer(200, "text/plain", b"\xff"),
        WitnessAnswer(200, "text/plain", "— alice AAAA\n".encode()),
        WitnessAnswer(404, "text/plain", b""),
        WitnessAnswer(409, "text/html", b"<p>3</p>"),
        WitnessAnswer(409, SIZE_TYPE, b"minus one"),
    ],
)
def test_an_answer_that_is_no_cosignature_is_none(
    world: LogWorld, village: WitnessWorld, answer: WitnessAnswer
) -> None:
    village.instead["alice"] = lambda _body: answer
    world.add_leaves(3)
    assert world.new_sequencer(witnesses=village.client()).step().size == 3
    assert world.newest.witnesses == 1


def test_another_witnesss_line_is_not_taken_for_its_own(world: LogWorld, village: WitnessWorld) -> None:
    village.instead["alice"] = lambda body: as_answer(village.witnesses["bob"], body)
    world.add_leaves(3)
    sequencer = world.new_sequencer(witnesses=village.client([village.addresses[0]]))
    sequencer.step()
    assert world.newest.witnesses == 0


def as_answer(witness: Witness, body: bytes) -> WitnessAnswer:
    found = witness.add_checkpoint(body)
    return WitnessAnswer(found.status, found.content_type, found.text.encode())


def test_a_witness_that_has_seen_more_stops_the_signing(world: LogWorld, village: WitnessWorld) -> None:
    """The whole machine was set back, database and state alike: only the witness can know."""
    village.instead["alice"] = lambda _body: WitnessAnswer(409, SIZE_TYPE, b"17\n")
    world.add_leaves(3)
    with pytest.raises(LogRefusal) as refusal:
        world.new_sequencer(witnesses=village.client()).step()
    assert refusal.value.reason == "witness_ahead"


def test_a_witness_is_asked_before_anything_new_is_signed(world: LogWorld, village: WitnessWorld) -> None:
    world.add_leaves(3)
    world.new_sequencer(witnesses=village.client()).step()
    village.instead["alice"] = lambda _body: WitnessAnswer(409, SIZE_TYPE, b"17\n")
    village.witnesses["carol"] = village.add("carol")
    world.add_leaves(3)
    client = village.client([village.addresses[0], village.addresses[2]])
    take_cosignatures_off(world)
    with pytest.raises(LogRefusal):
        world.new_sequencer(witnesses=client).step()
    assert world.newest.size == 3


def take_cosignatures_off(world: LogWorld) -> None:
    """Take the cosignatures off the newest checkpoint, as a backup from before they came would."""
    bare = sign_checkpoint(
        Checkpoint(world.log_key.name, world.newest.size, world.newest.root),
        load_signing_key(world.key_file, world.random),
    )
    lease = world.read(lambda log: log.get_lease())
    world.database.write_now(
        lambda connection: LogRepository(connection).set_cosigned(
            lease.token, world.newest.size, note=bare, witnesses=0
        )
    )


@pytest.mark.parametrize("status", [409, 422])
def test_a_witness_that_has_seen_another_history_stops_the_signing(
    world: LogWorld, village: WitnessWorld, status: int
) -> None:
    world.add_leaves(3)
    sequencer = world.new_sequencer(witnesses=village.client())
    sequencer.step()
    village.instead["alice"] = lambda _body: WitnessAnswer(status, SIZE_TYPE, b"3\n")
    world.add_leaves(3)
    with pytest.raises(LogRefusal) as refusal:
        sequencer.step()
    assert refusal.value.reason == "witness_disagrees"


def test_a_cosignature_from_the_future_is_asked_for_anew_and_does_not_stop_the_log(
    world: LogWorld, village: WitnessWorld
) -> None:
    sequencer = world.new_sequencer(witnesses=village.client())
    world.clock.jump(86_400)
    world.add_leaves(1)
    sequencer.step()
    world.clock.jump(-86_400)
    world.add_leaves(1)
    assert world.new_sequencer(witnesses=village.client()).step().size == 2


def test_a_witness_is_written_as_its_url_and_its_key() -> None:
    key = witness_vkey("alice")
    text = f"https://alice.example/w/ {make_vkey(key.name, key.algorithm, key.public_key)}"
    assert parse_witness(text).url == "https://alice.example/w"
    assert parse_witness(text).key == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://alice.example",
        "ftp://alice.example x",
        "https://alice.example nonsense",
        f"https://alice.example {make_vkey(ORIGIN, LOG_ALGORITHM, LOG.public_key)}",
    ],
)
def test_a_witness_that_is_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(WitnessError, match="log_witnesses"):
        parse_witness(text)


def test_one_witness_under_two_addresses_is_refused(town: WitnessWorld) -> None:
    address = town.addresses[0]
    with pytest.raises(WitnessError, match="each under a key of its own"):
        town.client([address, replace(address, url="http://elsewhere")])


def test_a_witness_takes_log_keys_alone(tmp_path: Path, town: WitnessWorld) -> None:
    keys: list[list[VerifierKey]] = [[witness_vkey("bob")], [LOG_KEY, LOG_KEY]]
    for logs in keys:
        with pytest.raises(LogError, match="--log"):
            Witness("alice", LOG, logs, FullStorage(), town.clock)


class FullStorage:
    """An empty disk without space."""

    def read(self, name: str) -> bytes | None:
        return None

    def list_folder(self, name: str) -> list[str]:
        return []

    def write(self, files: object) -> None:
        raise OSError(28, "no space left on device")

    def remove_folder(self, name: str) -> None:
        raise AssertionError(name)
