"""An object store of this machine that speaks S3's API, and its clients."""

import os
from contextlib import contextmanager

from moto.server import ThreadedMotoServer
from pyarrow.fs import FileSelector, FileSystem

from langchain_finetune import remote_files


@contextmanager
def object_store():
    """Start a store, and have this process and those that it starts use it; yield its port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing-secret",
        AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
    )
    remote_files._file_system.cache_clear()
    try:
        yield port
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)
        remote_files._file_system.cache_clear()


def put(address, content=b""):
    """Write an object; of an address without a name, make the bucket."""
    scheme, _, path = address.partition("://")
    # Of the bucket alone: an address would have to quote what a name may have.
    system, _ = FileSystem.from_uri(f"{scheme}://{path.partition('/')[0]}")
    if "/" not in path:
        system.create_dir(path)
        return
    with system.open_output_stream(path) as out:
        out.write(content)


def put_folder(folder, address):
    """Write the files of a folder of this machine."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(f"{address}/{path.relative_to(folder)}", path.read_bytes())


def content_of(address):
    """Return the content of all objects below an address by their names."""
    system, path = FileSystem.from_uri(address)
    found = {}
    for info in system.get_file_info(FileSelector(path, recursive=True)):
        if info.is_file:
            with system.open_input_stream(info.path) as file:
                found[info.path.removeprefix(f"{path}/")] = file.read()
    return found
