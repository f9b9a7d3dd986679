"""What an account of the release is granted, and what of it it has used, by the API server's own record."""

from collections.abc import Iterator
from typing import Any

from tests.e2e.audit import Audit
from tests.e2e.release import Release, account_name

Permission = tuple[str, str, str]
"""Namespace (empty for all), resource with its group, verb."""


def granted(release: Release, account: str) -> set[Permission]:
    """What the roles that are bound to an account allow."""
    objects = release.objects()
    roles = {(one["kind"], one["metadata"]["name"]): one for one in objects if one["kind"] in {"Role", "ClusterRole"}}
    bindings = [one for one in objects if one["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    return {
        permission
        for binding in bindings
        if any(subject["name"] == account for subject in binding["subjects"])
        for permission in _allowed(roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]])
    }


def _allowed(role: dict[str, Any]) -> Iterator[Permission]:
    namespace = role["metadata"].get("namespace", "")
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield namespace, _named(resource, group), verb


def _named(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def used(audit: Audit, account: str, permissions: set[Permission]) -> tuple[set[Permission], list[str]]:
    """Which of the permissions an account has used, and what it asked for without one of them."""
    taken, refused = set(), []
    for request in audit.requests(account_name(account)):
        named = _named(request.resource, request.group)
        wanted = {("", named, request.verb), (request.namespace, named, request.verb)} & permissions
        taken |= wanted
        if not wanted or not request.allowed:
            refused.append(f"{request.verb} {named} {request.namespace}/{request.name}")
    return taken, refused
