"""Uploads an exported folder to the Hugging Face Hub."""

from pathlib import Path

from langchain_finetune.errors import FineTuningError


def push(folder: Path, repository: str, *, public: bool) -> str:
    """Upload a folder as one commit; return the repository's address.

    A new repository is private unless `public`; one that is there stays as it is. The Hub's
    address and key are those of `hf auth login`, `HF_TOKEN` and `HF_ENDPOINT`.

    Raises:
        FineTuningError: The Hub refused, or is not reachable.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415 - slow
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    hub = HfApi(library_name="langchain-finetune")
    try:
        url = hub.create_repo(repository, private=not public, exist_ok=True)
        hub.upload_folder(
            repo_id=url.repo_id, folder_path=folder, commit_message="Upload the model"
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise FineTuningError(
            f"The Hugging Face Hub did not take {repository!r} ({said[0]}): check the name and"
            f" 'hf auth login', then push {folder} again by hf upload {repository} {folder}."
        ) from error
    return str(url)
