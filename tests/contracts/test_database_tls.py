"""What the address of a PostgreSQL database says of TLS is what happens: a real handshake of the real driver."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import make_url

from ktrdr.errors import Unavailable
from ktrdr.operations.store import NewOperation, Store
from tests.contracts.conftest import new_database
from tests.wire.tls import certificate, fronted


@pytest.fixture
def database(postgres: str) -> tuple[str, str, str]:
    """User and name of an empty database, and the socket of its server."""
    url = make_url(new_database(postgres))
    assert url.username
    assert url.database
    return url.username, url.database, f"{url.query['host']}/.s.PGSQL.5432"


def address(database: tuple[str, str, str], port: int, **tls: str) -> str:
    said = "&".join(f"{name}={quote(value, safe='')}" for name, value in tls.items())
    return f"postgresql://{database[0]}@127.0.0.1:{port}/{database[1]}?{said}"


async def submitted(url: str) -> str:
    store = await Store.open(url)
    operation = await store.submit(NewOperation("dummy", {}))
    await store.close()
    return operation.operation_id


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_is_reached_through_tls(database: tuple[str, str, str], tmp_path: Path, mode: str) -> None:
    pem = certificate(tmp_path, "server")
    async with fronted(database[2], pem) as (port, front):
        assert await submitted(address(database, port, sslmode=mode, sslrootcert=str(pem)))
        assert set(front.protocols) <= {"TLSv1.2", "TLSv1.3"}
        assert front.protocols


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_server_that_nobody_vouches_for_is_refused(database: tuple[str, str, str], tmp_path: Path, mode: str) -> None:
    pem, other = certificate(tmp_path, "server"), certificate(tmp_path, "other")
    async with fronted(database[2], pem) as (port, front):
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await Store.open(address(database, port, sslmode=mode, sslrootcert=str(other)))
        with pytest.raises(Unavailable, match="does not exist"):
            await Store.open(address(database, port, sslmode=mode, sslrootcert=str(tmp_path / "none.pem")))
        assert front.protocols == []


async def test_a_certificate_for_another_name_is_refused(database: tuple[str, str, str], tmp_path: Path) -> None:
    pem = certificate(tmp_path, "server")
    async with fronted(database[2], pem) as (port, _):
        named = address(database, port, sslmode="verify-full", sslrootcert=str(pem)).replace("@127.0.0.1:", "@localhost:")
        with pytest.raises(Unavailable, match='does not match host name "localhost"'):
            await Store.open(named)


async def test_a_server_without_tls_is_refused_where_it_is_required(database: tuple[str, str, str]) -> None:
    async with fronted(database[2], None) as (port, front):
        with pytest.raises(Unavailable, match="server does not support SSL, but SSL was required"):
            await Store.open(address(database, port, sslmode="require"))
        assert front.protocols == []
        assert await submitted(address(database, port, sslmode="disable"))
        assert set(front.protocols) == {None}


async def test_the_password_is_not_in_what_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        await Store.open("postgresql://me:hidden@127.0.0.1:1/none?sslmode=require")
    assert "hidden" not in refused.value.message
