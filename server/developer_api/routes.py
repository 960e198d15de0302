"""The routes of the API of developers."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from graph.engine.execution.engine import Engine
from server.developer_api.answers import RestRefusal, new_request_id, refused
from server.developer_api.asking import DeveloperApi, Endpoint
from server.developer_api.openapi import openapi_document
from server.developer_api.standing import DeveloperStanding
from server.developer_api.whitelists import Whitelists
from server.services import Services

PREFIX = "/v1/"
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


def routes(services: Services, engine: Engine) -> list[Route]:
    """Every route under /v1/."""
    api = DeveloperApi(services, engine)
    found = [
        Route(path, _by_method(methods), methods=ALL_METHODS)
        for path, methods in endpoints(api).items()
    ]
    document = openapi_document(services.settings.base_url)

    async def describe(_: Request) -> Response:
        return JSONResponse(document, headers={"Cache-Control": "public, max-age=300"})

    return [
        *found,
        Route("/v1/openapi.json", _by_method({"GET": describe}), methods=ALL_METHODS),
        Route("/v1/{path:path}", _nothing_there, methods=ALL_METHODS),
    ]


def endpoints(api: DeveloperApi) -> Mapping[str, Mapping[str, Endpoint]]:
    whitelists, standing, key, session = (
        Whitelists(api),
        DeveloperStanding(api),
        api.by_key,
        api.by_session,
    )
    return {
        "/v1/verify": {
            "GET": key("/v1/verify", whitelists.verify),
            "POST": key("/v1/verify", whitelists.verify),
        },
        "/v1/whitelist": {
            "GET": key("/v1/whitelist", whitelists.list_entries),
            "POST": key("/v1/whitelist", whitelists.set_entry),
        },
        "/v1/whitelist/bulk-remove": {
            "POST": key("/v1/whitelist/bulk-remove", whitelists.remove_entries)
        },
        "/v1/whitelist/{id}": {"DELETE": key("/v1/whitelist/{id}", whitelists.remove_entry)},
        "/v1/products": {
            "GET": key("/v1/products", whitelists.list_products),
            "POST": key("/v1/products", whitelists.create_product),
        },
        "/v1/products/{id}": {
            "GET": key("/v1/products/{id}", whitelists.get_product),
            "DELETE": key("/v1/products/{id}", whitelists.delete_product),
        },
        "/v1/products/{id}/prove": {
            "POST": key("/v1/products/{id}/prove", whitelists.prove_product)
        },
        "/v1/keys": {
            "GET": session("/v1/keys", standing.list_keys),
            "POST": session("/v1/keys", standing.create_key),
        },
        "/v1/keys/{id}": {"DELETE": session("/v1/keys/{id}", standing.revoke_key)},
        "/v1/credits": {
            "GET": key("/v1/credits", standing.credits),
            "POST": key("/v1/credits", standing.buy_credits),
        },
        "/v1/subscription": {
            "GET": key("/v1/subscription", standing.subscription),
            "POST": key("/v1/subscription", standing.subscribe),
            "DELETE": key("/v1/subscription", standing.cancel),
        },
        "/v1/usage": {"GET": key("/v1/usage", standing.usage)},
        "/v1/obfuscations": {"POST": key("/v1/obfuscations", standing.record_obfuscation)},
    }


def _by_method(methods: Mapping[str, Endpoint]) -> Endpoint:
    # What can be asked for can be asked about: the server sends no body for HEAD.
    answered = {**methods, "HEAD": methods["GET"]} if "GET" in methods else methods
    allowed = ", ".join((*answered, "OPTIONS"))
    headers = {"Allow": allowed}

    async def answer(request: Request) -> Response:
        endpoint = answered.get(request.method)
        if endpoint is not None:
            return await endpoint(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        refusal = RestRefusal(
            "METHOD_NOT_ALLOWED", 405, f"This address takes {allowed}.", headers=headers
        )
        return refused(refusal, new_request_id(), {})

    return answer


async def _nothing_there(_: Request) -> Response:
    message = "There is nothing at this address; see /v1/openapi.json."
    return refused(RestRefusal("NOT_FOUND", 404, message), new_request_id(), {})
