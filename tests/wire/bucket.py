"""An object store that speaks S3 over HTTP on this machine, each bucket empty."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ACCESS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Bucket:
    """An empty bucket."""

    def __init__(self, endpoint: str) -> None:
        import s3fs

        self.name = f"b{secrets.token_hex(8)}"
        self.url = f"s3://{self.name}/team"
        self.options: dict[str, Any] = {"endpoint_url": endpoint}
        self.files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True, **self.options)
        self.files.mkdir(self.name)

    @property
    def environment(self) -> dict[str, str]:
        """What a process finds in its environment that works with it."""
        return {**ACCESS, "KTRDR_ARTEFACTS": self.url, "KTRDR_ARTEFACTS_OPTIONS": json.dumps(self.options)}


@contextmanager
def serving_buckets() -> Iterator[str]:
    """The address of such a store."""
    from moto.server import ThreadedMotoServer

    os.environ.update(ACCESS)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
