"""An object store in memory that speaks as much of S3's API as pyarrow uses, and its clients."""

import io
import os
import re
import threading
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from pyarrow.fs import FileSelector, FileSystem

from langchain_finetune import remote_files


class Store(BaseHTTPRequestHandler):
    """Answers requests for `/BUCKET/KEY`, of path style."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    buckets: dict = {}  # noqa: RUF012 - of a server's own subclass
    parts: dict = {}  # noqa: RUF012
    requests: list = []  # noqa: RUF012

    def log_message(self, *_):
        pass

    def answer(self, status=200, body=b"", **headers):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        length = headers.pop("length", len(body))
        for name, value in {**headers, "Content-Length": length}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>")

    def asked(self):
        """Return the objects of the bucket that is asked for; None if there is none."""
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        self.bucket, self.key = bucket, key
        self.query = {name: value[0] for name, value in parse_qs(parts.query, True).items()}
        return self.buckets.get(bucket)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raw = b"".join(self.chunks(self.rfile))
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            raw = b"".join(self.chunks(io.BytesIO(raw)))
        return raw

    @staticmethod
    def chunks(file):
        """Yield chunks that have their sizes, up to the trailers."""
        while size := int(file.readline().partition(b";")[0], 16):
            yield file.read(size)
            file.readline()
        while file.readline().strip():
            pass

    def do_GET(self):
        objects = self.asked()
        self.requests.append(f"{self.command} {self.path}")
        if objects is None:
            self.fail(404, "NoSuchBucket")
        elif not self.key:
            self.list(objects) if self.command == "GET" else self.answer()
        elif self.key not in objects:
            self.fail(404, "NoSuchKey")
        else:
            data, status, headers = objects[self.key], 200, {}
            if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, last = int(found[1]), int(found[2] or len(data) - 1)
                headers["Content_Range"] = f"bytes {first}-{last}/{len(data)}"
                data, status = data[first : last + 1], 206
            tag = f'"{md5(data).hexdigest()}"'
            date = formatdate(0, usegmt=True)
            self.answer(status, data, ETag=tag, Last_Modified=date, **headers)

    do_HEAD = do_GET  # noqa: N815 - the server's names

    def list(self, objects):
        prefix, until = self.query.get("prefix", ""), self.query.get("delimiter")
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        most = min(int(self.query.get("max-keys", 1000)), 1000)
        entries = {}
        for key in sorted(objects):
            if key.startswith(prefix) and key > after:
                rest = key.removeprefix(prefix)
                if until and until in rest:
                    folder = f"{prefix}{rest.partition(until)[0]}{until}"
                    entries.setdefault(folder, None)
                else:
                    entries[key] = len(objects[key])
        some = dict(list(entries.items())[:most])
        answer = f"<ListBucketResult><Name>{self.bucket}</Name><KeyCount>{len(some)}</KeyCount>"
        if len(some) < len(entries):
            answer += "<IsTruncated>true</IsTruncated>"
            answer += f"<NextContinuationToken>{escape(list(some)[-1])}</NextContinuationToken>"
        for key, size in some.items():
            name = escape(key)
            date = "<LastModified>2026-11-30T00:00:00.000Z</LastModified>"
            if size is None:
                answer += f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"
            else:
                answer += f"<Contents><Key>{name}</Key><Size>{size}</Size>{date}</Contents>"
        self.answer(200, answer + "</ListBucketResult>", Content_Type="application/xml")

    def do_PUT(self):
        objects, data = self.asked(), self.body()
        tag = f'"{md5(data).hexdigest()}"'
        if not self.key:
            self.buckets.setdefault(self.bucket, {})
            self.answer()
        elif objects is None:
            self.fail(404, "NoSuchBucket")
        elif "uploadId" in self.query:
            self.parts[self.key, int(self.query["partNumber"])] = data
            self.answer(ETag=tag)
        else:
            objects[self.key] = data
            self.answer(ETag=tag)

    def do_POST(self):
        objects, body = self.asked(), self.body()
        if "delete" in self.query:
            for key in re.findall(rb"<Key>(.*?)</Key>", body):
                objects.pop(key.decode(), None)
            self.answer(200, "<DeleteResult/>")
        elif "uploads" in self.query:
            self.answer(
                200,
                f"<InitiateMultipartUploadResult><Bucket>{self.bucket}</Bucket>"
                f"<Key>{escape(self.key)}</Key><UploadId>one</UploadId>"
                "</InitiateMultipartUploadResult>",
            )
        else:
            numbers = sorted(number for key, number in self.parts if key == self.key)
            objects[self.key] = b"".join(self.parts.pop((self.key, each)) for each in numbers)
            self.answer(
                200,
                f"<CompleteMultipartUploadResult><Key>{escape(self.key)}</Key>"
                '<ETag>"many"</ETag></CompleteMultipartUploadResult>',
            )

    def do_DELETE(self):
        objects = self.asked()
        if objects is not None:
            objects.pop(self.key, None)
        self.answer(204)


@contextmanager
def object_store():
    """Start a store, and have this process and those that it starts use it."""
    kind = type("OwnStore", (Store,), {"buckets": {}, "parts": {}, "requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = dict(os.environ)
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing-secret",
        AWS_REGION="us-east-1",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}",
    )
    remote_files._file_system.cache_clear()
    try:
        yield kind
    finally:
        server.shutdown()
        server.server_close()
        os.environ.clear()
        os.environ.update(before)
        remote_files._file_system.cache_clear()


def put(address, content=b""):
    """Write an object; of an address without a name, make the bucket."""
    scheme, _, path = address.partition("://")
    # Of the bucket alone: an address would have to quote what a name may have.
    system, _ = FileSystem.from_uri(
        f"{scheme}://{path.partition('/')[0]}?allow_bucket_creation=true"
    )
    if "/" not in path:
        system.create_dir(path)
        return
    with system.open_output_stream(path, compression=None) as out:
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
            with system.open_input_stream(info.path, compression=None) as file:
                found[info.path.removeprefix(f"{path}/")] = file.read()
    return found
