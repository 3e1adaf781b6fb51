"""TLS in front of a PostgreSQL server that has none: answers the client's question for it, then hands everything on."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)


def certificate(folder: Path, name: str) -> Path:
    """A self-made certificate for this machine, with its key in the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.now(UTC) - timedelta(hours=1)
    built = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, begin + timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = built.sign(key, hashes.SHA256())
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{name}.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + plain)
    return path


class Front:
    """What stands in front of the server."""

    def __init__(self, server: str, pem: Path | None) -> None:
        self._server = server
        self._context: ssl.SSLContext | None = None
        if pem is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pem)
        self.serving: list[asyncio.Task[None]] = []
        self.protocols: list[str | None] = []
        """The TLS version of each connection that went through."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one connection on."""
        task = asyncio.current_task()
        assert task
        self.serving.append(task)
        opened = [writer]
        with suppress(OSError, asyncio.IncompleteReadError):
            first = await self._greeted(reader, writer)
            secured = writer.get_extra_info("ssl_object")
            self.protocols.append(secured.version() if secured else None)
            behind, before = await asyncio.open_unix_connection(self._server)
            opened.append(before)
            before.write(first)
            await asyncio.gather(copied(reader, before), copied(behind, writer))
        for each in opened:
            each.close()
            with suppress(OSError):
                await each.wait_closed()

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Agree on TLS or none; what of the client's first words is for the server."""
        first = await reader.readexactly(8)
        while first == GSS_REQUEST:
            writer.write(b"N")
            first = await reader.readexactly(8)
        if first != SSL_REQUEST:
            return first
        writer.write(b"S" if self._context else b"N")
        await writer.drain()
        if self._context is None:
            return await reader.readexactly(8)
        await writer.start_tls(self._context)
        return b""


async def copied(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """All that comes, to its end."""
    while data := await source.read(2**16):
        target.write(data)
        await target.drain()
    target.close()


@asynccontextmanager
async def fronted(server: str, pem: Path | None) -> AsyncIterator[tuple[int, Front]]:
    """A port of this machine that leads to a server's socket, with TLS if there is a certificate; and what is behind it."""
    front = Front(server, pem)
    listening = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1], front
    listening.close()
    await asyncio.wait_for(asyncio.gather(*front.serving), 10)
