"""Sign-in and sign-out."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import SecretStr

from langchain_finetune.local.auth.csrf import SIGN_IN, TICKETS, cookie_name, is_page
from langchain_finetune.local.auth.sessions import TICKET_S, PageSessions, Session
from langchain_finetune.local.page.render_html import render_page, session_of


def create_sign_in_pages(sessions: PageSessions, key: SecretStr) -> APIRouter:
    """Return the routes that start and end sessions."""
    router = APIRouter()

    @router.get(SIGN_IN)
    def show_form(request: Request, ticket: str = "", next: str = "/") -> Response:  # noqa: A002 - name of the field
        if not ticket:
            return _form(request, next)
        session = sessions.redeem(ticket)
        if session is None:
            return _form(request, next, "This link has already been used or has expired.", 403)
        # Not a redirect, which would lack the cookie if another site contained the link.
        return _signed_in(request, render_page(request, "signed_in.html"), session)

    @router.post(SIGN_IN)
    def sign_in(
        request: Request,
        api_key: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "/",  # noqa: A002 - name of the field
    ) -> Response:
        if not secrets.compare_digest(api_key.strip().encode(), key.get_secret_value().encode()):
            return _form(request, next, "This is not the key of this engine.", 403)
        return _signed_in(request, RedirectResponse(_own_path(next), 303), sessions.start())

    @router.post("/ui/sign-out")
    def sign_out(request: Request) -> Response:
        session = session_of(request)
        if session is not None:
            sessions.end(session)
        response = RedirectResponse(SIGN_IN, 303)
        response.delete_cookie(_cookie(request), path="/", httponly=True, samesite="strict")
        return response

    @router.post(TICKETS)
    def make_ticket() -> dict[str, str | int]:
        return {"ticket": sessions.ticket(), "expires_in": TICKET_S}

    return router


def _form(request: Request, target: str, message: str = "", status: int = 200) -> Response:
    return render_page(
        request, "sign_in.html", status=status, target=_own_path(target), message=message
    )


def _own_path(target: str) -> str:
    """Return a path if it belongs to the page, otherwise the start page."""
    return target if is_page(target) and "\\" not in target else "/"


def _signed_in(request: Request, response: Response, session: Session) -> Response:
    response.set_cookie(
        _cookie(request),
        session.token,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


def _cookie(request: Request) -> str:
    return cookie_name(request.headers.get("host", ""))
