"""What is known of the machines of a cluster, the same on every database, and how an old database comes to know it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from ktrdr.api.app import PREFIX, create_app
from ktrdr.errors import NotFound
from ktrdr.operations.claims import Place
from ktrdr.operations.database import HEAD, MIGRATIONS
from ktrdr.operations.fleet import Node
from ktrdr.operations.store import NewOperation, Store
from ktrdr.operations.tables import metadata
from ktrdr.services.fleet import cluster_slots
from ktrdr.settings import Settings
from tests.conftest import ROOT
from tests.contracts.conftest import new_database
from tests.contracts.serving import served

LEASE = timedelta(seconds=20)
FIRST = ROOT / "tests" / "golden" / "schema"


def node(name: str, **given: object) -> Node:
    whole = Node(name, "10.0.0.1", "ray", cpus=4, gpus=1, cpus_free=4, gpus_free=1, labels={"gpu_mem_gb": "24"})
    return replace(whole, **given)


async def at_work(store: Store, place: Place | None, **fields: str) -> str:
    """An operation whose attempt runs at a place."""
    operation_id = (await store.submit(NewOperation("dummy", {}, profile="none", **fields))).operation_id
    await store.claim("none", 1, LEASE, "me")
    if place is not None:
        await store.begin(operation_id, 1, 4242, place)
    return operation_id


# --- machines


async def test_what_was_reported_last_is_what_there_is(store: Store) -> None:
    fleet = store.fleet()
    assert await fleet.nodes() == []
    await fleet.report([node("b"), node("a"), node("a", cpus_free=3.5)])
    await fleet.report([node("b", cpus_free=1, gpus_free=0.25, address="10.0.0.9", labels={}), node("a")])
    first, second = await fleet.nodes()
    assert replace(first, seen_at=None) == node("a")
    assert replace(second, seen_at=None) == node("b", cpus_free=1, gpus_free=0.25, address="10.0.0.9", labels={})
    assert first.seen_at is not None
    assert first.seen_at.tzinfo is not None


async def test_what_is_not_reported_is_gone_after_a_while_and_so_is_its_dispatcher(store: Store, database_url: str) -> None:
    begin, ahead = datetime.now(UTC), timedelta(0)
    watching = await Store.open(database_url, now=lambda: begin + ahead)
    fleet = watching.fleet()
    assert (await fleet.whole()).silent
    await fleet.report([node("a"), node("b")])
    ahead = timedelta(seconds=20)
    await fleet.report([node("b")])
    ahead = timedelta(seconds=31)
    assert [each.name for each in await fleet.nodes()] == ["b"]
    assert not (await fleet.whole()).silent
    ahead = timedelta(seconds=51)
    assert await fleet.nodes() == []
    whole = await fleet.whole()
    assert (whole.silent, whole.reported_at) == (True, begin + timedelta(seconds=20))
    await fleet.drain("a")  # it is away for repair
    ahead = timedelta(days=31)
    await fleet.report([])
    assert await fleet.draining() == set()  # nobody remembers it
    await watching.close()


async def test_a_machine_drains_until_that_is_undone_whatever_is_reported(store: Store) -> None:
    fleet = store.fleet()
    await fleet.report([node("a"), node("b")])
    assert [(each.name, each.draining) for each in await fleet.drain("a")] == [("a", True)]
    await fleet.report([node("a"), node("b", draining=True)])
    assert [each.draining for each in await fleet.nodes()] == [True, False]
    assert await fleet.draining() == {"a"}
    assert not (await fleet.whole()).draining
    assert [(each.name, each.draining) for each in await fleet.undrain("a")] == [("a", False)]
    assert await fleet.draining() == set()


async def test_when_all_drain_those_that_join_do_too(store: Store) -> None:
    fleet = store.fleet()
    assert await fleet.drain(None) == []  # no dispatcher was ever there
    await fleet.report([node("a")])
    assert await fleet.draining() == {"a"}
    await fleet.undrain(None)
    await fleet.report([node("a"), node("b")])
    assert [each.name for each in await fleet.drain(None)] == ["a", "b"]
    await fleet.undrain("b")
    await fleet.report([node(name) for name in "abc"])
    assert await fleet.draining() == {"a", "c"}
    assert (await fleet.whole()).draining
    await fleet.undrain(None)
    assert await fleet.draining() == set()
    assert not (await fleet.whole()).draining


async def test_a_machine_that_never_was_is_not_drained(store: Store) -> None:
    fleet = store.fleet()
    await fleet.report([node("worker-1")])
    for unknown, hint in (("worker-l", "did you mean 'worker-1'?"), ("*", "ktrdr workers lists them"), ("", "ktrdr workers lists them")):
        for ask in (fleet.drain, fleet.undrain):
            with pytest.raises(NotFound) as refused:
                await ask(unknown)
            assert refused.value.hint == hint
    assert await fleet.draining() == set()


async def test_two_that_report_at_once_agree(store: Store, database_url: str) -> None:
    other = await Store.open(database_url)
    reports = [each.fleet().report([node(f"n{number}", cpus_free=i) for number in range(20)]) for i in range(4) for each in (store, other)]
    await asyncio.gather(*reports, store.fleet().drain(None))
    assert len(await store.fleet().nodes()) == 20
    assert await other.fleet().draining() == {f"n{number}" for number in range(20)}
    await other.close()


async def test_what_runs_where(store: Store) -> None:
    fleet = store.fleet()
    await fleet.report([node("a", cpus_free=1.5, gpus_free=0), node("b", cpus_free=2, gpus_free=1)])
    on_gpu = await at_work(store, Place("a", "NVIDIA L4"))
    on_cpu = await at_work(store, Place("a"))
    away, starting = await at_work(store, Place("gone")), await at_work(store, None)
    ended = await at_work(store, Place("b"))
    await store.give_back(ended, 1)
    shown = [(slot.worker, slot.profile, slot.operation_id, slot.gpu, slot.node) for slot in
             cluster_slots(await fleet.nodes(), await store.placed())]  # fmt: skip
    assert shown == [
        ("a-1", "gpu", on_gpu, "NVIDIA L4", "a"), ("a-2", "none", on_cpu, None, "a"), ("a-3", "cpu", None, None, "a"),
        ("b-1", "gpu", None, None, "b"), ("b-2", "cpu", None, None, "b"), ("b-3", "cpu", None, None, "b"),
        ("gone-1", "none", away, None, "gone"), ("unplaced-2", "none", starting, None, None),
    ]  # fmt: skip
    started = [happening for happening in await store.history(on_gpu) if happening.event == "started"]
    assert [happening.detail for happening in started] == [{"pid": 4242, "node": "a", "device": "NVIDIA L4"}]


async def test_what_must_leave_is_what_runs_on_machines_that_drain(store: Store) -> None:
    fleet = store.fleet()
    await fleet.report([node("a"), node("b")])
    leaving = [await at_work(store, Place("a")) for _ in range(2)]
    await at_work(store, Place("b"))
    assert await fleet.to_be_drained() == []
    await fleet.drain("a")
    assert sorted(await fleet.to_be_drained()) == sorted((operation_id, 1) for operation_id in leaving)
    await store.give_back(leaving[0], 1)
    assert await fleet.to_be_drained() == [(leaving[1], 1)]


# --- an older database


@pytest.fixture
async def old(database_url: str) -> str:
    """A database of the first version, with an operation that has run and one that waits."""
    engine = create_async_engine(database_url)
    written = (FIRST / f"0001_{engine.dialect.name}.sql").read_text(encoding="utf-8")
    statements = [*written.split(";\n"), "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
                  "INSERT INTO alembic_version VALUES ('0001')"]  # fmt: skip
    columns = ("operation_id, operation_type, status, state, profile, needs, priority, path, parameters, metadata, attempt, fruitless, "
               "queue_at, created_at, warnings")  # fmt: skip
    for name, status, state, attempt in (("op_a", "completed", "ended", 1), ("op_b", "pending", "queued", 0)):
        now = "'2026-01-01 00:00:00+00:00'" if engine.dialect.name == "postgresql" else "'2026-01-01 00:00:00.000000'"
        said = f"'dummy', '{status}', '{state}', 'light', 'cpu', 0"
        values = f"'{name}', {said}, '/{name}/', '{{}}', '{{}}', {attempt}, 0, {now}, {now}, '[]'"
        statements.append(f"INSERT INTO operations ({columns}) VALUES ({values})")
    statements.append(f"INSERT INTO operation_attempts (operation_id, attempt, pid, started_at) VALUES ('op_a', 1, 17, {now})")
    async with engine.begin() as connection:
        for statement in statements:
            if statement.strip():
                await connection.execute(text(statement))
    await engine.dispose()
    return database_url


def differences(connection: Connection) -> list[object]:
    """What a database has that its tables do not say, or lacks."""
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


async def looked_at(url: str) -> tuple[list[object], str]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        differing = await connection.run_sync(differences)
        version = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    await engine.dispose()
    return differing, version


async def test_an_old_database_is_brought_up_to_date_and_keeps_what_it_has(old: str) -> None:
    store = await Store.open(old)
    assert (await store.get("op_a")).status == "completed"
    assert [claim.operation.operation_id for claim in await store.claim("light", 5, LEASE, "me")] == ["op_b"]
    await store.begin("op_b", 1, 4242, Place("a", "GPU 0"))
    await store.fleet().report([node("a")])
    assert [(row.operation_id, row.node, row.device) for row in await store.placed()] == [("op_b", "a", "GPU 0")]
    await store.close()
    assert await looked_at(old) == ([], HEAD)


async def test_two_that_open_an_old_database_at_once_agree(old: str) -> None:
    first, second = await asyncio.gather(Store.open(old), Store.open(old))
    await asyncio.gather(first.fleet().report([node("a")]), second.fleet().report([node("b")]))
    assert [each.name for each in await first.fleet().nodes()] == ["a", "b"]
    await asyncio.gather(first.close(), second.close())


async def test_a_new_database_is_made_as_the_migrations_would_leave_it(database_url: str) -> None:
    await (await Store.open(database_url)).close()
    assert await looked_at(database_url) == ([], HEAD)
    assert sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("0*.py"))[-1] == HEAD


# --- over HTTP


@pytest.mark.process
def test_the_api_shows_a_cluster_and_empties_it(postgres: str, tmp_path: Path) -> None:
    url = new_database(postgres)
    settings = Settings(home=tmp_path / "home", engine="ray", database_url=url, ray_address="127.0.0.1:6379")
    with served(create_app(settings, "the home's id")) as base, httpx.Client(base_url=f"{base}{PREFIX}", trust_env=False) as api:
        nobody = api.get("/workers").json()["data"]
        assert (nobody["engine"], nobody["nodes"], nobody["workers"], nobody["draining"]) == ("ray", [], [], False)
        assert nobody["dispatcher"] == "none has ever been there: ktrdr dispatcher starts one"
        working = asyncio.run(reported(url))
        found = api.get("/workers").json()["data"]
        assert (found["dispatcher"], [(each["name"], each["draining"]) for each in found["nodes"]]) == ("ok", [("a", False), ("b", False)])
        assert [(each["worker"], each["status"], each["operation_id"]) for each in found["workers"]] == [
            ("a-1", "busy", working), ("a-2", "idle", None), ("b-1", "idle", None)
        ]  # fmt: skip
        met = api.post("/workers/drain", json={"node": "a"}).json()["data"]
        assert met == {"draining": True, "nodes": ["a"], "told": [working], "left": []}  # nobody is there who could give it back
        assert [each["status"] for each in api.get("/workers").json()["data"]["workers"]] == ["busy", "draining", "idle"]
        unknown = api.post("/workers/drain", json={"node": "c"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
        asyncio.run(gave_back(url, working))
        assert api.post("/workers/drain", json={}).json()["data"] == {"draining": True, "nodes": ["a", "b"], "told": [], "left": []}
        assert api.get("/workers").json()["data"]["draining"] is True
        assert api.post("/workers/undrain", json={}).json()["data"] == {"draining": False, "nodes": ["a", "b"], "told": [], "left": []}
        assert {each["status"] for each in api.get("/workers").json()["data"]["workers"]} == {"idle"}


async def reported(url: str) -> str:
    """Two machines, and an operation at work on the first."""
    store = await Store.open(url)
    await store.fleet().report([node("a", cpus_free=1, gpus_free=0), node("b", cpus_free=1, gpus_free=0)])
    working = await at_work(store, Place("a"))
    await store.close()
    return working


async def gave_back(url: str, operation_id: str) -> None:
    store = await Store.open(url)
    await store.give_back(operation_id, 1)
    await store.close()
