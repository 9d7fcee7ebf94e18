"""A server on localhost that speaks S3, named by the variables that s3fs reads."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest


@contextmanager
def s3_server(bucket: str) -> Generator[None]:
    """Start a server with one empty bucket, and stop it."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().makedirs(bucket, exist_ok=True)  # moto keeps what is in it while the process lives
        yield
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
