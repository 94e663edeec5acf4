"""The pages of the app, and what their forms do."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from instructsel.human.app.guard import Guard, Origins, read_form
from instructsel.human.app.markdown import plain, rendered
from instructsel.human.record import QUALITIES
from instructsel.human.store import LONGEST_COMMENT, Answer, Feedback, JudgmentStore

CHOICES: Final = ("A is clearly better", "A is slightly better", "Tie", "B is slightly better", "B is clearly better")
"""As PREFERENCES has them, for people."""
NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")
STATIC: Final = {"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8"}
YES_NO: Final = {"yes": True, "no": False}
INCOMPLETE: Final = "Nothing is saved yet: answer all three questions."
NOBODY: Final = "This code is nobody's. Ask for your link again."
EXPIRED: Final = "This form is not of your session any more. Sign in, and send it again."


@dataclass(frozen=True)
class Visitor:
    """Whoever is signed in."""

    session: str
    number: int
    name: str


class Pages:
    """The pages for one evaluation."""

    def __init__(self, store: JudgmentStore, origins: Origins, *, cookie: str = "instructsel_judge") -> None:
        self.store, self.origins, self.cookie = store, origins, cookie

    def app(self) -> Guard:
        """The app, behind its guard."""

        def route(path: str, page: Callable[..., Response], *, open_to_all: bool = False) -> Route:
            return Route(path, self._got(page, open_to_all=open_to_all), methods=["GET"])

        def form(path: str, action: Callable[..., Response], *, open_to_all: bool = False) -> Route:
            return Route(path, self._posted(action, open_to_all=open_to_all), methods=["POST"])

        routes = [
            route("/", self.start),
            route("/sign-in", self.sign_in, open_to_all=True),
            form("/sign-in", self.signed_in, open_to_all=True),
            form("/sign-out", self.signed_out),
            route("/done", self.done),
            route("/pairs/{position}", self.pair),
            form("/pairs/{position}", self.judged),
            form("/pairs/{position}/feedback", self.remarked),
            form("/undo", self.undone),
            route("/static/{name}", self.static, open_to_all=True),
            route("/favicon.ico", self.no_icon, open_to_all=True),
        ]
        handlers: Mapping[Any, Any] = {404: self._missing, 405: self._missing, Exception: self._failed}
        return Guard(Starlette(routes=routes, exception_handlers=handlers), self.origins)

    def _got(self, page: Callable[..., Response], *, open_to_all: bool) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            def work() -> Response:
                visitor = self.visitor(request)
                return page(request, visitor) if open_to_all or visitor else RedirectResponse("/sign-in", status_code=303)

            return await run_in_threadpool(work)

        return answer

    def _posted(self, action: Callable[..., Response], *, open_to_all: bool) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            fields = await read_form(request.receive)
            if fields is None:
                return self.page("error.html", None, 400, message="The form cannot be read.")

            def work() -> Response:
                visitor = self.visitor(request)
                if open_to_all:
                    return action(request, visitor, fields)
                token = fields.get("token", "").encode("utf-8", "replace")
                if visitor is None or not hmac.compare_digest(token, self.store.form_token(visitor.session).encode()):
                    return self.page("error.html", visitor, 403, message=EXPIRED)
                return action(request, visitor, fields)

            return await run_in_threadpool(work)

        return answer

    def visitor(self, request: Request) -> Visitor | None:
        """Who is signed in, by the cookie."""
        session = request.cookies.get(self.cookie, "")
        annotator = self.store.annotator_of(session) if 0 < len(session) <= 100 else None
        return None if annotator is None else Visitor(session, *annotator)

    def page(self, template: str, visitor: Visitor | None, status: int = 200, **values: Any) -> Response:
        """A page of a template."""
        token = None if visitor is None else self.store.form_token(visitor.session)
        text = _templates().get_template(template).render(visitor=visitor, token=token, **values)
        return HTMLResponse(text, status)

    def start(self, request: Request, visitor: Visitor) -> Response:
        """The first pair that is open."""
        return self._onward(visitor, 0, plain=False)

    def sign_in(self, request: Request, visitor: Visitor | None) -> Response:
        """The form for one's code; a link has it filled in. Looking at it changes nothing, whoever looks."""
        return self.page("sign_in.html", visitor, code=request.query_params.get("code", "")[:100], message=None)

    def signed_in(self, request: Request, visitor: Visitor | None, fields: Mapping[str, str]) -> Response:
        """Begin a session."""
        session = self.store.sign_in(fields.get("code", "").strip())
        if session is None:
            return self.page("sign_in.html", visitor, 403, code="", message=NOBODY)
        if visitor is not None:
            self.store.sign_out(visitor.session)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(self.cookie, session, max_age=90 * 86_400, path="/", httponly=True, samesite="strict", secure=self.origins.secure)
        return answer

    def signed_out(self, request: Request, visitor: Visitor, fields: Mapping[str, str]) -> Response:
        """End the session."""
        self.store.sign_out(visitor.session)
        answer = RedirectResponse("/sign-in", status_code=303)
        answer.delete_cookie(self.cookie, path="/", httponly=True, samesite="strict", secure=self.origins.secure)
        return answer

    def done(self, request: Request, visitor: Visitor) -> Response:
        """That all pairs are judged, or which one is open."""
        judged = self.store.n_judged(visitor.number)
        return self.page("done.html", visitor, judged=judged, total=self.store.n_pairs, open=self.store.next_open(visitor.number))

    def pair(self, request: Request, visitor: Visitor) -> Response:
        """One pair with its questions."""
        return self._pair(visitor, _position(request), plain_text="plain" in request.query_params)

    def _pair(
        self, visitor: Visitor, position: int | None, status: int = 200, *, plain_text: bool, fields: Mapping[str, str] | None = None
    ) -> Response:
        shown = None if position is None else self.store.shown(visitor.number, position)
        if shown is None:
            return self.page("error.html", visitor, 404, message="There is no such pair.")
        show = plain if plain_text else rendered
        answers = {} if shown.answer is None else _as_fields(shown.answer)
        return self.page(
            "pair.html",
            visitor,
            status,
            shown=shown,
            left=show(shown.left),
            right=show(shown.right),
            plain=plain_text,
            answers=answers if fields is None else fields,
            message=None if fields is None else INCOMPLETE,
            choices=CHOICES,
            qualities=QUALITIES,
            longest_comment=LONGEST_COMMENT,
            judged=self.store.n_judged(visitor.number),
            total=self.store.n_pairs,
        )

    def judged(self, request: Request, visitor: Visitor, fields: Mapping[str, str]) -> Response:
        """Save a judgment, and go on."""
        position, plain_text = _position(request), "plain" in fields
        answer = _answer_of(fields)
        if position is None or answer is None:
            return self._pair(visitor, position, 422, plain_text=plain_text, fields=fields)
        if not self.store.judge(visitor.number, position, answer):
            return self.page("error.html", visitor, 404, message="There is no such pair.")
        return self._onward(visitor, position, plain=plain_text)

    def remarked(self, request: Request, visitor: Visitor, fields: Mapping[str, str]) -> Response:
        """Save feedback, and stay."""
        position, quality = _position(request), fields.get("quality", "")
        if quality and quality not in QUALITIES:
            return self.page("error.html", visitor, 422, message="Feedback is one of the three, or none.")
        comment = fields.get("comment", "").replace("\r\n", "\n").strip()
        if position is None or not self.store.remark(visitor.number, position, Feedback(quality or None, comment)):
            return self.page("error.html", visitor, 404, message="There is no such pair.")
        return RedirectResponse(_address(position, plain="plain" in fields) + "#feedback", status_code=303)

    def undone(self, request: Request, visitor: Visitor, fields: Mapping[str, str]) -> Response:
        """Take the last judgment back, and show its pair."""
        position = self.store.undo(visitor.number)
        return RedirectResponse("/done" if position is None else _address(position, plain="plain" in fields), status_code=303)

    def static(self, request: Request, visitor: Visitor | None) -> Response:
        """Style and script."""
        name = request.path_params["name"]
        if name not in STATIC:
            return self.page("error.html", visitor, 404, message="There is no such page.")
        return Response(_file(name), media_type=STATIC[name], headers={"cache-control": "no-cache"})

    def no_icon(self, request: Request, visitor: Visitor | None) -> Response:
        """Browsers ask for one."""
        return Response(status_code=204)

    def _onward(self, visitor: Visitor, position: int, *, plain: bool) -> Response:
        following = self.store.next_open(visitor.number, position)
        return RedirectResponse("/done" if following is None else _address(following, plain=plain), status_code=303)

    async def _missing(self, request: Request, error: Any) -> Response:
        return self.page("error.html", None, error.status_code, message="There is no such page.")

    async def _failed(self, request: Request, error: Exception) -> Response:
        return self.page("error.html", None, 500, message="This did not work, and nothing was saved. Try it again.")


def _position(request: Request) -> int | None:
    text = request.path_params["position"]
    return int(text) if NUMBER.fullmatch(text) else None


def _address(position: int, *, plain: bool) -> str:
    return f"/pairs/{position}{'?plain=1' if plain else ''}"


def _answer_of(fields: Mapping[str, str]) -> Answer | None:
    """The answers of a form; None where one is missing or cannot be."""
    left, right, preference = (fields.get(name, "") for name in ("left", "right", "preference"))
    if left not in YES_NO or right not in YES_NO or preference not in {str(number) for number in range(len(CHOICES))}:
        return None
    return Answer(YES_NO[left], YES_NO[right], int(preference))


def _as_fields(answer: Answer) -> dict[str, str]:
    words = {True: "yes", False: "no"}
    return {"left": words[answer.acceptable_left], "right": words[answer.acceptable_right], "preference": str(answer.preference)}


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("instructsel.human.app"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@lru_cache(maxsize=4)
def _file(name: str) -> bytes:
    return (resources.files("instructsel.human.app") / "static" / name).read_bytes()


__all__ = ["Pages"]
