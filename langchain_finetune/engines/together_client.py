"""The connection to Together through its SDK, and the files there.

A file is known by its checksum: uploaded again, it is the same one (409 names it). Source: together
3.1.1, `lib/resources/files`: an upload is three requests, which may be cut between any two.
"""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from langchain_finetune.engines.access import Access, is_address
from langchain_finetune.engines.base import Engine
from langchain_finetune.engines.flow import Call, Flow, Patience, Sleep, ask
from langchain_finetune.engines.jobs import ListPage, UploadedFile
from langchain_finetune.engines.openai_compatible import account_of
from langchain_finetune.engines.together_errors import IncompleteAnswerError, explained, sdk_errors
from langchain_finetune.engines.together_records import UNUSABLE, uploaded_file
from langchain_finetune.errors import EngineError, Failure, FineTuningError
from langchain_finetune.extras import require_modules

URL = "https://api.together.ai"
_TIMEOUT_S = 60.0
_CHECKS = Patience(timeout_s=3600.0, first_s=2.0, longest_s=15.0)
"""How long Together may take to check an uploaded file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TogetherClient(Engine):
    """An engine that is reached through Together's SDK; abstract, but for its files."""

    def default_base_url(self) -> str:
        """Return the environment's address, `TOGETHER_BASE_URL`, or Together's own.

        Raises:
            FineTuningError: The environment's is not an address.
        """
        address = os.environ.get("TOGETHER_BASE_URL") or URL
        if not is_address(address):
            # Not quoted: it may hold a password.
            raise FineTuningError(
                f"TOGETHER_BASE_URL holds no address; one is needed, such as {URL}."
            )
        return address

    def client(self, access: Access) -> AbstractContextManager[Any]:
        """Open the SDK's client; the flows ask again by themselves.

        Raises:
            MissingExtraError: The SDK is not installed.
        """
        require_modules("Engine 'together'", "together", "together")
        from together import Together  # noqa: PLC0415 - an extra

        return Together(**_options(access))

    def aclient(self, access: Access) -> AbstractAsyncContextManager[Any]:
        """Open the SDK's async client; as `client` otherwise."""
        require_modules("Engine 'together'", "together", "together")
        from together import AsyncTogether  # noqa: PLC0415 - an extra

        return AsyncTogether(**_options(access))

    def account(self, access: Access, client: Any) -> str:
        """Return a hash of the address and `TOGETHER_PROJECT_ID`."""
        return account_of(access.base_url, None, client.project_id)

    def upload(self, name: str, path: Path) -> Flow[str]:
        """Upload a file, or find the one with the same content, and wait until it is checked.

        Raises:
            EngineError: Together refuses the file, or finds it invalid.
        """
        del name  # The checksum tells files apart.
        from together.lib.resources.files import FileAlreadyExistsError  # noqa: PLC0415 - an extra

        def send(client: Any) -> Any:
            return client.files.upload(
                path, purpose="fine-tune", check=False, raise_if_already_exists=True
            )

        errors = (*sdk_errors(), FileAlreadyExistsError)
        try:
            file = yield Call(send, errors)
        except FileAlreadyExistsError as error:
            yield from self._complete(error.file_id, path)
            return str(error.file_id)
        except sdk_errors() as error:
            raise explained(error, self.base_url or "") from error
        yield from self._checked(str(file.id))
        return str(file.id)

    def file_is_usable(self, file_id: str) -> Flow[bool]:
        """Return whether Together still has a file and finds no fault in it."""
        return uploaded_file((yield from self._file(file_id))).usable

    def files(self, after: str | None) -> Flow[ListPage[UploadedFile]]:
        """List the files; Together gives them all at once."""
        del after
        listed = yield from self.ask(lambda client: client.files.list(), "data")
        return ListPage([uploaded_file(file) for file in listed.data])

    def delete_file(self, file_id: str) -> Flow[None]:
        """Delete an uploaded file."""
        yield from self.ask(lambda client: client.files.delete(file_id))

    def _complete(self, file_id: str, path: Path) -> Flow[None]:
        """Bring the upload of a file to its end that another process may have begun."""
        file = yield from ask(partial(self._file, file_id), self.pace.retry)
        state = getattr(file, "processing_status", None)
        if state == "COMPLETED":
            return
        whole = getattr(file, "bytes", None) == path.stat().st_size and state != "FAILED"
        if whole and state in {None, "PENDING"}:
            whole = yield from self._preprocess(file_id)
        if not whole:
            # Its content never came: it is deleted, and the next attempt uploads it again.
            yield from self.delete_file(file_id)
            raise EngineError(
                f"An earlier upload of the file {file_id} was not finished.",
                failure=Failure(may_pass=True, reason="an earlier upload was cut off"),
            )
        yield from self._checked(file_id)

    def _preprocess(self, file_id: str) -> Flow[bool]:
        """Have a file checked; return whether Together has its content."""
        from together.types import FileResponse  # noqa: PLC0415 - an extra

        url = f"/v1/files/{file_id}/preprocess"
        try:
            yield from self.ask(lambda client: client.post(url, cast_to=FileResponse))
        except EngineError as error:
            if error.failure.may_pass:
                raise
            return False
        return True

    def _checked(self, file_id: str) -> Flow[None]:
        """Wait until a file was checked."""
        give_up = _CHECKS.clock() + _CHECKS.timeout_s
        pause = _CHECKS.first_s
        while True:
            file = yield from ask(partial(self._file, file_id), self.pace.retry)
            state = getattr(file, "processing_status", None)
            if state == "COMPLETED":
                return
            if state in UNUSABLE:
                report = getattr(file, "validation_report", None)
                reason = getattr(report, "error", None) or "it gives no reason"
                raise EngineError(
                    f"Together does not take the file {file_id} ({state}): {reason}",
                    failure=Failure(invalid=True, reason=reason),
                )
            if _CHECKS.clock() > give_up:
                raise EngineError(
                    f"Together did not check the file {file_id} within {_CHECKS.timeout_s:g} s. "
                    "Run the same again to wait on."
                )
            yield Sleep(pause)
            pause = min(pause * 1.3, _CHECKS.longest_s)

    def _file(self, file_id: str) -> Flow[Any]:
        return self.ask(lambda client: client.files.retrieve(file_id, timeout=_TIMEOUT_S), "id")

    def ask(self, request: Callable[[Any], Any], *fields: str) -> Flow[Any]:
        """Return the answer to a request, if it has the fields."""
        try:
            answer = yield Call(request, sdk_errors())
            if any(getattr(answer, field, None) is None for field in fields):
                raise IncompleteAnswerError(f"the answer lacks one of {', '.join(fields)}")
        except sdk_errors() as error:
            raise explained(error, self.base_url or "") from error
        return answer


def _options(access: Access) -> dict[str, Any]:
    key = access.api_key.get_secret_value()
    return {"base_url": access.base_url, "api_key": key, "max_retries": 0}
