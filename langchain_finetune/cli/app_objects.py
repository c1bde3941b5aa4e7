"""Objects of the user's app that options name, such as `my_app:chain`."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer


def app_object(name: str | None, option: str) -> Any:
    """Return the object of a name such as `my_app.chains:build`; None if there is no name.

    Modules are found in the current folder, too.

    Args:
        name: `module:attribute`.
        option: The option that names it, for errors.

    Raises:
        BadParameter: There is no such object, or its module can't be imported.
    """
    if name is None:
        return None
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute.isidentifier():
        raise typer.BadParameter(f"{option} must have the form module:name, not {name!r}.")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = import_module(module_name)
    except Exception as error:
        # Whatever the app's own code raises.
        raise typer.BadParameter(
            f"{option} {name}: the module can't be imported ({type(error).__name__}: {error})."
        ) from error
    if not hasattr(module, attribute):
        raise typer.BadParameter(f"{option} {name}: {module_name} has no {attribute}.")
    return getattr(module, attribute)
