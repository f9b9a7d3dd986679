"""Reviews as the API server sends them."""

from collections.abc import Mapping
from typing import Any

GOOD = {"image": "registry.example.com/shop/web:1.4"}
"""A spec in which nothing is wrong, and of which nobody is warned."""
UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
FINALIZER = "tallyman.dev/container"


def container(
    spec: Mapping[str, Any] | None = None, *, status: Mapping[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A Container as it is stored; without a spec it is a good one."""
    return {
        "apiVersion": "tallyman.dev/v1alpha1",
        "kind": "Container",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "u",
            "resourceVersion": "1",
            "generation": 1,
            **metadata,
        },
        "spec": dict(GOOD if spec is None else spec),
        **({} if status is None else {"status": dict(status)}),
    }


def review(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None = None, **request: Any) -> dict[str, Any]:
    """A review of a creation, or of an update when there is an old object."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": {"group": "tallyman.dev", "version": "v1alpha1", "kind": "Container"},
            "resource": {"group": "tallyman.dev", "version": "v1alpha1", "resource": "containers"},
            "name": "web",
            "namespace": "shop",
            "operation": "CREATE" if old is None else "UPDATE",
            "userInfo": {"username": "jane"},
            "object": new,
            "oldObject": old,
            "dryRun": False,
            **request,
        },
    }
