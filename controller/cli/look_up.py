"""`tallyman find`: a Container by name, by container id, or by a unique beginning of its id."""

import asyncio

import click

from controller.kube.client import Client
from controller.kube.containers import Body, Containers
from controller.kube.errors import KubeError


class NotOne(click.ClickException):
    """The look-up found nothing, or more than one."""


@click.command()
@click.argument("name_or_id")
@click.option("--namespace", "-n", default=None, help="Look in this namespace only.")
@click.option("--output", "-o", type=click.Choice(["name", "id", "wide"]), default="wide", show_default=True)
def find(name_or_id: str, namespace: str | None, output: str) -> None:
    """Find a Container by name, by container id, or by a unique prefix of its id."""
    try:
        body = asyncio.run(_find(name_or_id, namespace))
    except KubeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(_shown(body, output))


async def _find(name_or_id: str, namespace: str | None) -> Body:
    async with Client() as client:
        return pick(await Containers(client).list(namespace), name_or_id)


def pick(bodies: list[Body], wanted: str) -> Body:
    """The one object that `wanted` names: a full id first, then a name, then the prefix of an id.

    Raises:
        NotOne: there is none, or more than one; the message lists them.
    """
    if not wanted.strip():
        raise NotOne("the name or id is empty; give a name, an id, or the beginning of an id")
    for matching in (_is_id, _is_name, _is_prefix):
        found = [body for body in bodies if matching(body, wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(sorted(f"{_where(body)} ({_id(body)[:12] or 'no id'})" for body in found)[:10])
            raise NotOne(f"{wanted!r} is ambiguous, it may mean: {shown}; give more of the id, or --namespace")
    raise NotOne(f"no container has the name {wanted!r}, nor an id that begins so")


def _is_id(body: Body, wanted: str) -> bool:
    return _id(body) == wanted


def _is_name(body: Body, wanted: str) -> bool:
    return wanted in (body["metadata"]["name"], _where(body))


def _is_prefix(body: Body, wanted: str) -> bool:
    return _id(body).startswith(wanted)


def _id(body: Body) -> str:
    return str((body.get("status") or {}).get("containerID") or "")


def _where(body: Body) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _shown(body: Body, output: str) -> str:
    if output == "id":
        return _id(body)
    if output == "name":
        return _where(body)
    status = body.get("status") or {}
    return f"{_where(body)}  {status.get('state', 'Pending')}  {status.get('nodeName', '-')}  {_id(body) or '-'}"
