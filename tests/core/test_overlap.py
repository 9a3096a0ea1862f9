"""Threads before and behind: order, errors, bounds, and that stages do overlap."""

import threading
import time

import pytest

from codeformer_core.overlap import AT_ONCE, Behind, ahead


def test_what_is_ahead_comes_in_order_with_its_errors():
    def half(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n // 2

    def text(n: int) -> str:
        return f"{n}"

    pairs = list(ahead(range(6), half, text))
    assert [item for item, _ in pairs] == list(range(6))
    assert isinstance(pairs[3][1].exception(), ValueError)
    assert [result.result() for item, result in pairs if item != 3] == ["0", "0", "1", "2", "2"]


def test_no_more_is_taken_ahead_than_allowed_and_nothing_is_left_running():
    taken = []
    before = threading.active_count()
    results = ahead(iter(lambda: len(taken), None), taken.append)  # without an end
    for _ in range(5):
        next(results)[1].result()
    time.sleep(0.01)
    assert len(taken) <= 5 + AT_ONCE
    results.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert threading.active_count() == before


def test_what_is_behind_comes_in_order_and_is_dropped_after_an_error():
    done = []

    def work(n: int) -> int:
        time.sleep(0.001)
        if n == 4:
            raise OSError("the disk is full")
        done.append(n)
        return n

    results = []

    def work_on_all():
        with Behind[int]() as thread:
            for n in range(20):
                results.extend(thread.finish(work, n))

    with pytest.raises(OSError, match="full"):
        work_on_all()
    assert results == list(range(len(results)))
    assert set(results) <= set(done)
    assert len(done) < 20


def test_stages_overlap():
    """Four stages of 10 ms for each of 12 items: one after another 480 ms, together little more than 120."""

    def stage(n: int) -> int:
        time.sleep(0.01)
        return n

    began = time.perf_counter()
    with Behind[int]() as thread:
        results = []
        for _, prepared in ahead(range(12), stage, stage):
            results += thread.finish(stage, stage(prepared.result()))
        results += thread.rest()
    assert results == list(range(12))
    assert time.perf_counter() - began < 0.3
