"""Renders pages from templates. All values are escaped."""

from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from langchain_finetune.local.auth.csrf import is_page
from langchain_finetune.local.auth.sessions import Session
from langchain_finetune.local.page.template_filters import FILTERS

NAVIGATION = (
    ("Runs", "/"),
    ("Datasets", "/ui/datasets"),
    ("Comparisons", "/ui/comparisons"),
    ("Jobs", "/ui/jobs"),
    ("Models", "/ui/models"),
    ("Playground", "/ui/playground"),
)
"""Sections and their paths."""

_TEMPLATES = Environment(
    loader=PackageLoader("langchain_finetune.local.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(FILTERS)


def render_page(
    request: Request, template: str, *, section: str = "", status: int = 200, **values: Any
) -> Response:
    """Return a page of a template that extends `base.html`, with the pending notices."""
    session = session_of(request)
    notices: list[tuple[str, str]] = []
    if session is not None:
        notices, session.notices = session.notices, []
    common = {
        "section": section,
        "navigation": NAVIGATION,
        "signed_in": session is not None,
        "notices": notices,
    }
    return HTMLResponse(render_fragment(template, **common, **values), status)


def render_fragment(template: str, **values: Any) -> str:
    """Return the HTML of a template; for a part of a page, without notices."""
    return _TEMPLATES.get_template(template).render(values)


def redirect(
    request: Request,
    path: str,
    notice: str = "",
    *,
    failed: bool = False,
    to_referer: bool = False,
    anchor: str = "",
) -> Response:
    """Return a redirect after a form, so that reloading the page does not send the form again.

    The notice is for the next page: `path`, or the form's own page with `to_referer`.
    """
    if notice:
        add_notice(request, notice, failed=failed)
    referer = urlsplit(request.headers.get("referer", ""))
    if to_referer and referer.netloc == request.headers.get("host") and is_page(referer.path):
        path = f"{referer.path}?{referer.query}" if referer.query else referer.path
    return RedirectResponse(f"{path}#{anchor}" if anchor else path, 303)


def add_notice(request: Request, notice: str, *, failed: bool = False) -> None:
    """Add a notice to the next page of a browser; it never appears in a URL."""
    session = session_of(request)
    if session is not None:
        session.notices.append(("failed" if failed else "done", notice))


def session_of(request: Request) -> Session | None:
    """Return the session of a request, or None on pages that require none."""
    session: Session | None = request.scope.get("state", {}).get("session")
    return session
