"""Optional dependencies: which are missing, and the command that installs them."""

import importlib.util
import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from langchain_finetune.errors import MissingExtraError

PACKAGE = "langchain-finetune"


def missing_modules(modules: Iterable[str]) -> list[str]:
    """Return the modules that are not installed, without importing them."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def require_modules(what: str, extra: str, *modules: str) -> None:
    """Refuse what needs modules that are not installed.

    Args:
        what: What needs them, such as `The embedded engine`.
        extra: The extra that they belong to.
        modules: Their names.

    Raises:
        MissingExtraError: One is missing.
    """
    if missing := missing_modules(modules):
        raise MissingExtraError(f"{what} needs {', '.join(missing)}: run {install_command(extra)}")


def missing_extra(what: str, extra: str) -> str:
    """Return the sentence that something needs an extra."""
    return f"{what} needs the extra {extra}: run {install_command(extra)}"


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation, from an index or a clone.

    Example:
        >>> install_command("local").startswith("pip install ")
        True
    """
    source, is_editable = _source()
    if source is None:
        return f"pip install '{PACKAGE}[{extra}]'"
    if source.startswith("git+"):
        return f"pip install '{PACKAGE}[{extra}] @ {source}'"
    return f"pip install {'-e ' if is_editable else ''}'{source}[{extra}]'"


def _source() -> tuple[str | None, bool]:
    """Return the folder or repository that the package was installed from, and if it is editable.

    Source: PEP 610, `direct_url.json`; packages from an index have none.
    """
    try:
        origin = json.loads(distribution(PACKAGE).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None, False
    url = str(origin.get("url", ""))
    if origin.get("vcs_info", {}).get("vcs") == "git":
        return f"git+{url}", False
    folder = unquote(urlsplit(url).path) if url.startswith("file:") else ""
    if not folder or not Path(folder).is_dir():
        return None, False
    return folder, bool(origin.get("dir_info", {}).get("editable"))
