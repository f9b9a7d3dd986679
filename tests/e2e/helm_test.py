"""What `helm test` would run: the chart's own test with the account that the chart makes for it. There is no kubelet to run its Pod."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hack.lab.command import run
from tests.chart.rendering import render
from tests.e2e.release import NAMESPACE, Release

SECONDS = 150.0


def helm_test(release: Release, values: Mapping[str, Any], directory: Path) -> str:
    """Apply the hooks of the chart with these values, run what the Pod would, and return what it says."""
    rendered = render(values)
    hooks = [one for one in rendered.objects if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    [pod] = [one for one in hooks if one["kind"] == "Pod"]
    cluster = release.cluster
    cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(one for one in hooks if one is not pod))
    token = cluster.kubectl("-n", NAMESPACE, "create", "token", pod["spec"]["serviceAccountName"])
    (directory / "token").write_text(token)
    (directory / "ca.crt").write_bytes((cluster.plane.certificates / "ca.crt").read_bytes())
    (directory / "smoke.py").write_text(rendered.one("ConfigMap", "tallyman-test")["data"]["smoke.py"])
    told = {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}
    place = {"SMOKE_SERVER": cluster.plane.address, "SMOKE_ACCOUNT": str(directory)}
    return run([sys.executable, "-I", directory / "smoke.py"], timeout=SECONDS, env={**told, **place})
