"""Makes pages of templates. All that is put into one is escaped."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.auth.csrf import is_page
from langchain_finetune.local.auth.sessions import Session
from langchain_finetune.local.page.template_filters import FILTERS

NAVIGATION = (
    ("Runs", "/"),
    ("Datasets", "/ui/datasets"),
    ("Jobs", "/ui/jobs"),
    ("Models", "/ui/models"),
    ("Playground", "/ui/playground"),
)
"""Sections and their addresses."""

_TEMPLATES = Environment(
    loader=PackageLoader("langchain_finetune.local.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(FILTERS)


def page(
    request: Request, template: str, *, section: str = "", status: int = 200, **values: Any
) -> Response:
    """Return a page, with the notices that wait for this browser.

    Args:
        request: Its session is in `request.state.session`, where one is.
        template: File in `templates/`; it extends `base.html`.
        section: The entry of `NAVIGATION` that the page belongs to.
        status: The answer's HTTP status.
        **values: What the template shows.
    """
    session = session_of(request)
    notices: list[tuple[str, str]] = []
    if session is not None:
        notices, session.notices = session.notices, []
    shown = {
        "section": section,
        "navigation": NAVIGATION,
        "signed_in": session is not None,
        "notices": notices,
    }
    return HTMLResponse(_TEMPLATES.get_template(template).render(shown | values), status)


def fragment(template: str, **values: Any) -> Response:
    """Return a part of a page, which a script puts in its place; notices wait for a whole page."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(values))


def back(
    request: Request,
    path: str,
    notice: str = "",
    *,
    failed: bool = False,
    came_from: bool = False,
    place: str = "",
) -> Response:
    """Return the redirect that follows a form, so that reloading does not send it again.

    Args:
        request: What sent the form.
        path: Where to go, an address of this page.
        notice: What the next page is to tell.
        failed: Whether the notice is of a failure.
        came_from: Go to where the form stood instead, if that is known.
        place: The id of the element there that the form was about.
    """
    if notice:
        tell(request, notice, failed=failed)
    referer = urlsplit(request.headers.get("referer", ""))
    if came_from and referer.netloc == request.headers.get("host") and is_page(referer.path):
        path = f"{referer.path}?{referer.query}" if referer.query else referer.path
    return RedirectResponse(f"{path}#{place}" if place else path, 303)


def tell(request: Request, notice: str, *, failed: bool = False) -> None:
    """Let the next page of this browser tell something; it never stands in an address."""
    session = session_of(request)
    if session is not None:
        session.notices.append(("failed" if failed else "done", notice))


def session_of(request: Request) -> Session | None:
    """Return the session that the guard found, or None on the pages that need none."""
    session: Session | None = request.scope.get("state", {}).get("session")
    return session


class PageRoute(APIRoute):
    """A route whose errors are pages, too."""

    def get_route_handler(self) -> Any:
        """Return the route's handler."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except ApiError as error:
                return page(request, "error.html", status=error.status, message=error.message)
            except RequestValidationError as error:
                # Only the place: the input itself may be training text.
                place = ".".join(str(part) for part in _first(error)["loc"][1:])
                return page(
                    request,
                    "error.html",
                    status=400,
                    message=f"The field {place!r} is missing or malformed.",
                )
            except HTTPException as error:
                return page(
                    request, "error.html", status=error.status_code, message=str(error.detail)
                )

        return handler


def _first(error: RequestValidationError) -> Mapping[str, Any]:
    first: Mapping[str, Any] = error.errors()[0]
    return first
