from __future__ import annotations

import threading

from server.index.locks import ReadWriteLock

WAIT_S = 5.0


def test_readers_share() -> None:
    lock = ReadWriteLock()
    both = threading.Barrier(2, timeout=WAIT_S)

    def read() -> None:
        with lock.reading():
            both.wait()

    other = threading.Thread(target=read)
    other.start()
    read()
    other.join(WAIT_S)
    assert not both.broken


def test_a_writer_waits_for_readers_and_later_readers_wait_for_the_writer() -> None:
    lock = ReadWriteLock()
    order: list[str] = []
    started = threading.Event()

    def write() -> None:
        started.set()
        with lock.writing():
            order.append("write")

    def read() -> None:
        with lock.reading():
            order.append("read")

    with lock.reading():
        writer = threading.Thread(target=write)
        writer.start()
        assert started.wait(WAIT_S)
        while not lock._waiting_writers:
            pass
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(0.05)
        assert order == []
    writer.join(WAIT_S)
    reader.join(WAIT_S)
    assert order == ["write", "read"]


def test_readers_that_wait_go_before_the_next_writer() -> None:
    """Otherwise writers that follow each other closely would keep readers out for good."""
    lock = ReadWriteLock()
    order: list[str] = []

    def write() -> None:
        with lock.writing():
            order.append("write")

    def read() -> None:
        with lock.reading():
            order.append("read")

    with lock.writing():
        writer = threading.Thread(target=write)
        writer.start()
        while not lock._waiting_writers:
            pass
        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        while lock._waiting_readers < 3:
            pass
    for thread in (writer, *readers):
        thread.join(WAIT_S)
    assert order == ["read", "read", "read", "write"]


def test_writers_exclude_each_other() -> None:
    lock = ReadWriteLock()
    inside, most = 0, 0

    def write() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock.writing():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert most == 1


def test_a_failing_reader_or_writer_lets_go() -> None:
    lock = ReadWriteLock()
    for held in (lock.reading, lock.writing):
        try:
            with held():
                raise KeyError
        except KeyError:
            pass
    with lock.writing():
        pass
