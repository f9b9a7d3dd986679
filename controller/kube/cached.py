"""Lists from the API server's cache, for kopf, which asks for those from its storage.

For a list with a selector the server reads and decodes every object of the kind, whoever's it is: among ten thousand Containers, an agent
with a hundred of its own would wait for many seconds, and keep a core of the server busy meanwhile, at each start. Its cache answers
at once. What it answers may be a moment old, so it is for those who take it for a hint (`controller.agent.hearsay`).
"""

import aiohttp
import kopf

from controller.kube.client import tls


def session(info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """What kopf is to send its requests with: those credentials, and lists from the cache. kopf closes it."""
    made = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls(info), limit=0),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        middlewares=(_from_cache,),
    )
    return kopf.AiohttpSession(server=info.server, default_namespace=info.default_namespace, aiohttp_session=made)


async def _from_cache(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Any version will do for a list that is asked for by pages: then the cache has it, all of it at once."""
    if request.method == "GET" and "limit" in request.url.query and "continue" not in request.url.query:
        request.url = request.url.without_query_params("limit").update_query(resourceVersion="0")
    return await handler(request)
