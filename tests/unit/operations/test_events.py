"""What followers hear, and how long it is kept for those who were away."""

from __future__ import annotations

from datetime import UTC, datetime

from ktrdr.operations.events import KEPT_EVENTS, KEPT_STREAMS, Hub
from ktrdr.operations.model import Operation, Parent, Progress, Status, Waiting


def operation(name: str, status: Status = Status.RUNNING, percentage: float = 0, parent: str | None = None) -> Operation:
    return Operation(
        operation_id=name, operation_type="dummy", status=status, created_at=datetime(2026, 1, 1, tzinfo=UTC),
        progress=Progress(percentage=percentage), parent_operation_id=parent,
    )  # fmt: skip


def heard(hub: Hub, name: str) -> list[tuple[str, float]]:
    with hub.stream(name) as stream:
        return [(event.event, event.operation.progress.percentage) for event in stream.after(0)]


def test_an_end_is_told_once_and_nothing_after_it() -> None:
    ends: list[str] = []
    hub = Hub(on_end=lambda o: ends.append(o.operation_id))
    for status, percentage in (
        (Status.RUNNING, 1),
        (Status.RUNNING, 1),
        (Status.COMPLETED, 100),
        (Status.COMPLETED, 100),
        (Status.RUNNING, 2),
    ):
        hub.publish(operation("a", status, percentage))
    assert heard(hub, "a") == [("started", 1), ("completed", 100)]
    assert ends == ["a"]


def test_the_newest_events_are_kept_and_it_is_known_whether_that_is_all() -> None:
    hub = Hub()
    for percentage in range(KEPT_EVENTS + 10):
        hub.publish(operation("a", percentage=percentage))
    with hub.stream("a") as stream:
        numbers = [event.seq for event in stream.after(0)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == KEPT_EVENTS
        assert stream.knows(numbers[0])
        assert not stream.knows(numbers[0] - 1)


def test_ended_operations_that_nobody_follows_make_room_for_others() -> None:
    hub = Hub()
    hub.publish(operation("alive"))
    names = [f"op {number}" for number in range(KEPT_STREAMS - 1)]
    for name in names:
        hub.publish(operation(name, Status.COMPLETED))
    assert all(heard(hub, name) for name in ("alive", *names))
    with hub.stream(names[0]) as followed:
        for number in range(3):
            hub.publish(operation(f"one more {number}", Status.COMPLETED))
        assert followed.newest
        assert heard(hub, names[0])
    assert heard(hub, "alive")
    assert not heard(hub, names[1])


def test_a_parent_shows_the_child_that_it_waits_for_and_no_other() -> None:
    hub = Hub()
    waiting = Waiting(label="Training", begin=20, end=60, children=("child",))
    hub.park(Parent(operation("parent"), waiting, (operation("child", parent="parent"),)))
    hub.publish(operation("child", percentage=50, parent="parent"))
    hub.publish(operation("another", percentage=90, parent="parent"))
    assert heard(hub, "parent") == [("started", 20), ("progress", 40)]
    hub.unpark("parent")
    hub.publish(operation("child", percentage=60, parent="parent"))
    assert len(heard(hub, "parent")) == 2
