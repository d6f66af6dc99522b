"""A FastAPI service that takes API tokens, and checks them by JupyterHub's HubAuth."""

from __future__ import annotations

import os
from typing import Annotated, Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from jupyterhub.services.auth import HubAuth

PREFIX = os.environ["JUPYTERHUB_SERVICE_PREFIX"]

auth = HubAuth(api_token=os.environ["JUPYTERHUB_API_TOKEN"], cache_max_age=1)
app = FastAPI()


async def caller(authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
    kind, _, token = authorization.partition(" ")
    if kind.lower() not in {"token", "bearer"}:
        raise HTTPException(401, "a token is needed")
    user = auth.user_for_token(token, sync=False)
    user = await user if hasattr(user, "__await__") else user
    if not user or not auth.check_scopes(auth.access_scopes, user):
        raise HTTPException(403, "not for this user")
    return user


@app.get(f"{PREFIX}me")
async def me(user: Annotated[dict[str, Any], Depends(caller)]) -> dict[str, Any]:
    return user


if __name__ == "__main__":
    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    uvicorn.run(app, host=address.hostname, port=address.port, log_level="warning")
