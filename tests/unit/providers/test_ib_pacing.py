"""IB's limits hold whatever is asked, and nothing waits for longer than they say."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.providers.ib_pacing import RULES, Asked, Pacing, Rule, SharedPacing, Wait

requests = st.lists(
    st.tuples(st.sampled_from("ABC"), st.sampled_from(["", "x", "y", "z", "v", "w"]), st.just(0.0) | st.floats(0, 30)),
    max_size=150,
)  # fmt: skip


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def group(rule: Rule, one: Asked) -> str | None:
    return {"account": "all", "contract": one.contract, "question": one.question or None}[rule.per]


@given(requests)
def test_no_window_holds_more_than_its_limit(wanted: list[tuple[str, str, float]]) -> None:
    clock = Clock()
    pacing, sent = Pacing(clock=clock), []
    for contract, word, idle in wanted:
        clock.now += idle
        question = word and f"{contract} {word}"
        while wait := pacing.take(contract, question):
            clock.now += wait.seconds
        sent.append(Asked(clock.now, contract, question))
    for rule in RULES:
        groups = defaultdict(list)
        for one in sent:
            groups[group(rule, one)].append(one.at)
        groups.pop(None, None)
        for times in groups.values():
            windows = zip(times, times[rule.most :], strict=False)
            assert all(later - earlier >= rule.seconds - 1e-6 for earlier, later in windows), rule


@given(requests)
def test_a_wait_is_long_enough_and_not_longer(wanted: list[tuple[str, str, float]]) -> None:
    clock = Clock()
    pacing = Pacing(clock=clock)
    for contract, word, idle in wanted:
        clock.now += idle
        wait = pacing.take(contract, word)
        if wait is None:
            continue
        clock.now += wait.seconds - 0.01
        assert pacing.take(contract, word), "it could have been sent earlier"
        clock.now += 0.01 + 1e-6
        assert pacing.take(contract, word) is None


def test_the_reason_is_that_of_the_longest_wait() -> None:
    clock = Clock()
    pacing = Pacing(clock=clock)
    assert pacing.take("A", "A x") is None
    assert pacing.take("A", "A x") == Wait(15.0, "IB allows the same request once in 15 s")
    assert pacing.take("A", "A y") == Wait(pytest.approx(0.4), "IB allows 5 requests about a contract in 2 s")
    for number in range(54):
        assert pacing.take(f"B{number}", "") is None
    waiting = pacing.take("C", "")
    assert waiting == Wait(600.0, "IB allows 60 requests in 10 minutes")
    clock.now += 600.0
    assert pacing.take("C", "") is None
    assert len(pacing.asked) == 1


def test_a_clock_that_was_set_back_locks_nobody_out() -> None:
    clock = Clock()
    future = [Asked(clock.now + 5000, f"A{number}", "") for number in range(55)]
    assert Pacing(future, clock=clock).take("A1", "") is None


def test_all_processes_of_a_home_count_together(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "requests.tsv"

    def ask(number: int) -> bool:
        return SharedPacing(path).take(f"contract {number}", f"question {number}") is None

    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(ask, range(80)))
    assert sum(sent) == 55
    assert SharedPacing(path).count() == 55


def test_a_line_that_was_cut_short_is_no_request(tmp_path: Path) -> None:
    path = tmp_path / "requests.tsv"
    assert SharedPacing(path).take("A", "x") is None
    path.write_text(path.read_text(encoding="utf-8") + "17321", encoding="utf-8")
    assert SharedPacing(path).count() == 1
    assert SharedPacing(path).take("B", "y") is None
    assert SharedPacing(path).count() == 2
    assert SharedPacing(tmp_path / "none.tsv").count() == 0
