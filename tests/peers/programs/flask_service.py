"""A Flask service that logs people in by JupyterHub's HubOAuth."""

from __future__ import annotations

import os
import secrets
from urllib.parse import urlsplit

from flask import Flask, abort, jsonify, redirect, request, session
from jupyterhub.services.auth import HubOAuth

PREFIX = os.environ["JUPYTERHUB_SERVICE_PREFIX"]

auth = HubOAuth(api_token=os.environ["JUPYTERHUB_API_TOKEN"], cache_max_age=1)
app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)


def _token() -> str | None:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    return value if kind.lower() in {"token", "bearer"} else session.get("token")


@app.route(PREFIX)
def page():
    token = _token()
    user = auth.user_for_token(token) if token else None
    if user and auth.check_scopes(auth.access_scopes, user):
        return jsonify(user)
    if request.headers.get("Authorization"):
        abort(403)
    state = auth.generate_state(next_url=request.path)
    answer = redirect(f"{auth.login_url}&state={state}")
    answer.set_cookie(auth.state_cookie_name, state, path=PREFIX, httponly=True)
    return answer


@app.route(f"{PREFIX}oauth_callback")
def oauth_callback():
    state = request.args.get("state", "")
    if not state or state != request.cookies.get(auth.state_cookie_name):
        abort(403)
    session["token"] = auth.token_for_code(request.args["code"])
    return redirect(auth.get_next_url(state) or PREFIX)


if __name__ == "__main__":
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    app.run(address.hostname, address.port)
