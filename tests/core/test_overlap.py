"""Threads before and behind: order, errors, bounds, and that stages do overlap."""

import threading
import time

import pytest

from codeformer_core import overlap
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
    results.close()
    assert threading.active_count() == before


def test_what_waits_for_an_early_stage_is_not_begun_after_the_end():
    taken, busy, go_on = [], threading.Event(), threading.Event()

    def read(n: int) -> int:
        taken.append(n)
        if n == 1:
            busy.set()
            go_on.wait(10)
        return n

    results = ahead(range(9), read, str)
    assert next(results)[1].result() == "0"
    busy.wait(10)
    threading.Timer(0.05, go_on.set).start()  # when the end waits for what is being read
    results.close()
    assert taken == [0, 1]


def test_work_is_begun_though_nobody_looks_at_the_results():
    done = []
    with Behind[None]() as thread:
        for n in range(5):
            thread.finish(done.append, n)
        list(thread.rest())
    assert sorted(done) == list(range(5))


def test_results_before_an_error_are_not_lost():
    failing, results = threading.Event(), []

    def work(n: int) -> int:
        if n == 0:
            failing.wait(10)
        if n == 1:
            failing.set()
            raise OSError("the disk is full")
        return n

    def work_on_all():
        with Behind[int]() as thread:
            for n in range(9):
                results.extend(thread.finish(work, n))
                time.sleep(0.05 if n == 1 else 0)  # until both are done

    with pytest.raises(OSError, match="full"):
        work_on_all()
    assert results == [0]


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


@pytest.mark.parametrize(("cores", "threads"), [(1, 2), (2, 2), (6, 3), (32, 4)])
def test_more_cores_finish_more_at_a_time(monkeypatch, cores, threads):
    monkeypatch.setattr(overlap, "available_cores", lambda: cores)
    together = threading.Barrier(threads)
    with Behind[int]() as behind:
        done = [n for _ in range(threads) for n in behind.finish(together.wait, 10)]  # an error unless all run together
        assert sorted([*done, *behind.rest()]) == list(range(threads))


@pytest.mark.parametrize("waiting", [0, 1, 8])
def test_the_caller_waits_only_for_more_than_may_wait(waiting):
    go_on = threading.Event()
    with Behind[bool](waiting) as behind:
        assert [behind.finish(go_on.wait, 10) for _ in range(waiting)] == [[]] * waiting
        threading.Timer(0.05, go_on.set).start()
        assert behind.finish(go_on.wait, 10)  # one more: at least the first has come


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
