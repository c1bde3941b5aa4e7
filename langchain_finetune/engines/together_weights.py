"""Fetches the weights of a model from Together, and unpacks them.

The archive is a tar, compressed with zstd or gzip (together 3.1.1, `lib/resources/files`, whose
download goes on where it was cut).
"""

import tarfile
from pathlib import Path
from typing import Any

from langchain_finetune.durable import flush_tree
from langchain_finetune.engines.flow import Call, Do, Flow
from langchain_finetune.engines.together_errors import explained, sdk_errors
from langchain_finetune.errors import EngineError, Failure

_ZSTD = b"\x28\xb5\x2f\xfd"


def fetch(job_id: str, kind: str, step: int | None, folder: Path, base_url: str) -> Flow[None]:
    """Write the weights of a job, or of a step of it, into a folder.

    Args:
        job_id: Id of the job.
        kind: `merged`, `adapter`, or `model_output_path` where all weights were trained.
        step: Step of the checkpoint; None for the final model.
        folder: The folder.
        base_url: Address of the engine.

    Raises:
        EngineError: Together has no such weights, or they came incomplete.
    """
    archive = folder / "weights.part"
    url = f"/v1/finetune/download?ft_id={job_id}&checkpoint={kind}"
    if step is not None:
        url += f"&checkpoint_step={step}"

    def download(client: Any) -> Any:
        from together import AsyncTogether  # noqa: PLC0415 - an extra
        from together.lib import AsyncDownloadManager, DownloadManager  # noqa: PLC0415

        is_async = isinstance(client, AsyncTogether)
        manager: Any = (AsyncDownloadManager if is_async else DownloadManager)(client)
        return manager.download(url, archive, fetch_metadata=True)

    # The SDK asserts that an answer tells the size.
    errors = (*sdk_errors(), AssertionError)
    try:
        yield Call(download, errors)
    except AssertionError as error:
        raise EngineError(
            f"{base_url} did not tell how large the weights of {job_id} are.",
            failure=Failure(may_pass=True, reason="the answer did not come whole"),
        ) from error
    except sdk_errors() as error:
        raise explained(error, base_url) from error
    yield Do(lambda: _unpack(archive, folder, job_id))


def _unpack(archive: Path, folder: Path, job_id: str) -> None:
    """Unpack an archive of weights; nothing is written outside the folder."""
    from zstandard import ZstdDecompressor, ZstdError  # noqa: PLC0415 - an extra

    try:
        with archive.open("rb") as raw:
            packed = raw.read(len(_ZSTD)) == _ZSTD
            raw.seek(0)
            stream: Any = ZstdDecompressor().stream_reader(raw) if packed else raw
            with tarfile.open(fileobj=stream, mode="r|" if packed else "r|*") as tar:
                tar.extractall(folder, filter="data")
    except (tarfile.TarError, ZstdError, EOFError) as error:
        raise EngineError(
            f"The weights of job {job_id} are not a valid archive (truncated?). Download them "
            "again.",
            failure=Failure(may_pass=True, reason="the archive is broken"),
        ) from error
    archive.unlink()
    _lift(folder)
    flush_tree(folder)


def _lift(folder: Path) -> None:
    """Move what lies in the only folder of the archive up."""
    found = list(folder.iterdir())
    if len(found) != 1 or not found[0].is_dir():
        return
    inner = found[0].rename(folder / ".unpacked")
    for each in inner.iterdir():
        each.rename(folder / each.name)
    inner.rmdir()
