"""The door at a real API server: what it refuses and says, and that it opens again whatever happens to webhook and certificates."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from controller.manager import certificates, pki
from controller.manager.certificates import Keyring
from tests.bad_containers import BAD_CONTAINERS, BadContainer
from tests.e2e import simulated, waiting
from tests.e2e.cluster import FINALIZER, NODE_LABEL, Cluster, Namespace
from tests.e2e.door import BAD, BAD_SAYS, HOST, SECRET, WEBHOOK, Door, DoorKeeper, apply, encoded, message, refusal
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, condition, is_refused, status
from tests.e2e.simulated import SimulatedNode, because, node_of

DENIED = f'admission webhook "{WEBHOOK}" denied the request: '
FAILED = f'Internal error occurred: failed calling webhook "{WEBHOOK}": '
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def home(cluster: Cluster) -> str:
    """The namespace of the module's webhook."""
    name = f"webhook-{datetime.now(UTC):%H%M%S%f}"
    cluster.core.create_namespace({"metadata": {"name": name}})
    return name


@pytest.fixture(scope="module")
def door(cluster: Cluster, home: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A webhook that makes its own certificates, and the API server that asks it."""
    name = f"door-{home}"
    process = DoorKeeper(
        tmp_path_factory.mktemp("webhook"),
        cluster.kubeconfig,
        namespace=home,
        settings={"TALLYMAN_WEBHOOK_CONFIGURATION": name},
    )
    made = Door(cluster, process, name)
    made.install()
    process.start()
    yield made
    process.stop()
    made.remove()


@pytest.fixture
def guarded(door: Door, namespace: Namespace) -> Namespace:
    """A namespace of the test's own whose Containers are checked."""
    door.process.start()
    door.guard(namespace)
    return namespace


@contextmanager
def down(door: Door, namespace: Namespace, policy: str) -> Iterator[None]:
    """The webhook does not answer, and the API server does what this policy says."""
    door.change(failurePolicy=policy)
    door.process.kill()
    waiting.until(lambda: bool(refusal(namespace)) == (policy == "Fail"), f"the policy {policy} is in force")
    yield
    door.process.start()
    door.change(failurePolicy="Fail")
    door.guard(namespace)


def _name(case: BadContainer) -> str:
    return re.sub(r"[^a-z0-9]+", "-", case.id.lower()).strip("-")[:63].strip("-")


def _refused(namespace: Namespace, case: BadContainer) -> str | None:
    """The webhook's message about this mistake; None when the API server's schema knows it."""
    body = namespace.manifest(_name(case))
    body["spec"] = case.spec
    with pytest.raises(ApiException) as caught:
        namespace.create_as_it_is(body)
    said = message(caught.value)
    assert caught.value.status in {400, 422}, said
    return said.removeprefix(DENIED) if said.startswith(DENIED) else None


@pytest.mark.feature("D3")
def test_every_mistake_is_refused_in_the_words_of_the_agent(guarded: Namespace, door: Door, node: Node) -> None:
    refusals = {_name(case): (case, _refused(guarded, case)) for case in BAD_CONTAINERS}
    ours = {name: (case, said) for name, (case, said) in refusals.items() if said is not None}
    assert guarded.listed() == {}
    assert len(ours) >= 20

    door.unguard(guarded)
    for name, (case, _) in ours.items():
        body = guarded.manifest(name)
        body["spec"] = case.spec
        guarded.create_as_it_is(body)
    bodies = guarded.wait_all(ours, is_refused, "all are refused by the agent")
    agents = {name: condition(body, "Accepted")["message"] for name, body in bodies.items()}
    assert {name: said for name, (_, said) in ours.items()} == agents
    assert node.left() == []


@pytest.mark.feature("D3")
def test_kubectl_shows_each_mistake_on_a_line_of_its_own(guarded: Namespace) -> None:
    manifest = guarded.manifest("web", **BAD, autoRemove=True, restartPolicy={"name": "Always"})
    for words in ([], ["--server-side"], ["--dry-run=server"]):
        code, out, said = apply(guarded, yaml.safe_dump(manifest), *words)
        assert (code, out) == (1, "")
        head, *lines = said.splitlines()
        assert head == 'The Container "web" is invalid: '
        assert sorted(lines) == [
            "* spec.autoRemove: excludes restart policy Always; set restartPolicy.name to Never",
            f"* {BAD_SAYS}",
        ]


@pytest.mark.feature("D3")
def test_kubectl_shows_warnings(guarded: Namespace) -> None:
    manifest = guarded.manifest(
        "web",
        env=[{"name": "PORT", "value": "80"}],
        args=["$(PORT)"],
        desiredState="Stopped",
        securityContext={"privileged": True, "capabilities": {"add": ["NET_ADMIN"]}},
    )
    code, out, said = apply(guarded, yaml.safe_dump(manifest))
    assert (code, out) == (0, "container.tallyman.dev/web created\n")
    assert said.splitlines() == [
        "Warning: spec.securityContext.capabilities: has no effect: a privileged container has every capability",
        "Warning: spec.args[0]: $(PORT) stays as it is written: variables are not expanded here, as they are in a Pod",
    ]
    code, out, said = apply(guarded, yaml.safe_dump(manifest))
    assert (code, out, said) == (0, "container.tallyman.dev/web unchanged\n", "")


@pytest.mark.feature("D3")
def test_a_container_lives_behind_the_door(guarded: Namespace) -> None:
    """Binding, finalizer, status, change and deletion: the agent is never held up."""
    guarded.sleeper("web")
    before = guarded.running("web")
    guarded.change("web", desiredState="Stopped")
    guarded.wait("web", lambda body: status(body)["state"] == "Exited", "is stopped")
    guarded.change("web", desiredState="Running")
    assert status(guarded.running("web"))["containerID"] == status(before)["containerID"]
    guarded.delete("web")
    guarded.wait_gone("web")


@pytest.mark.feature("D3")
@pytest.mark.parametrize("node_name", ["node-b", None], ids=["to another node", "to none"])
def test_a_container_is_not_moved(guarded: Namespace, door: Door, node_name: str | None) -> None:
    guarded.sleeper("web")
    guarded.running("web")
    with pytest.raises(ApiException) as caught:
        guarded.change("web", nodeName=node_name)
    stays = "spec.nodeName: must stay 'node-a': a container can't be moved; set it back, or delete the object and create it anew"
    assert (caught.value.status, message(caught.value)) == (422, DENIED + stays)
    assert guarded.get("web")["spec"]["nodeName"] == "node-a"

    if node_name is not None:
        door.unguard(guarded)
        guarded.change("web", nodeName=node_name)
        assert condition(guarded.wait("web", is_refused), "Accepted")["message"] == stays
        door.guard(guarded)
        guarded.change("web", nodeName="node-a")
        guarded.running("web")


@pytest.mark.feature("D3", "K2")
def test_the_moves_of_the_manager_pass_also_of_what_never_ran(guarded: Namespace, cluster: Cluster, home: str) -> None:
    guarded.create("mover", nodeName="nowhere", reschedule="WhenNodeGone")
    # NB: without a Lease that says otherwise, the usual duration counts.
    guarded.wait("mover", lambda now: because(now) == "Pending False Unbindable", "fits on no node", seconds=90)
    with simulated.fleet(cluster, home) as nodes:
        nodes.add(SimulatedNode("roomy"))
        guarded.wait("mover", lambda now: node_of(now) == ("roomy", "roomy"), "is moved")
        reasons = [event.reason for event in guarded.events("mover")]
        assert "BindError" not in reasons


@pytest.mark.feature("D3")
def test_while_the_webhook_is_away_bad_objects_go_in_and_the_agent_refuses_them(guarded: Namespace, door: Door) -> None:
    with down(door, guarded, "Ignore"):
        guarded.create("web", command=["sleep", FOREVER], **BAD)
        body = guarded.wait("web", is_refused)
        assert condition(body, "Accepted")["reason"] == "InvalidSpec"
        assert condition(body, "Accepted")["message"] == BAD_SAYS

    # What has gone in is not locked in: all that does not make it worse is let through, and says what is still wrong.
    still = f"Warning: is refused by its agent until it is corrected: {BAD_SAYS}\n"
    _, _, said = apply(guarded, yaml.safe_dump(guarded.manifest("web", **BAD, terminationGracePeriodSeconds=1)))
    assert still in said
    guarded.patch("web", {"metadata": {"labels": {"a": "b"}}})
    guarded.change("web", tty=True)
    with pytest.raises(ApiException, match="autoRemove"):
        guarded.change("web", autoRemove=True, restartPolicy={"name": "Always"})
    guarded.change("web", resources=None, tty=None, terminationGracePeriodSeconds=0)
    guarded.running("web")


@pytest.mark.feature("D3")
def test_a_bad_object_can_be_bound_and_deleted(guarded: Namespace, door: Door) -> None:
    door.unguard(guarded)
    body = guarded.manifest("web", **BAD)
    body["metadata"] |= {"labels": {NODE_LABEL: "node-z"}, "finalizers": [FINALIZER]}
    guarded.create_as_it_is(body)
    door.guard(guarded)

    guarded.change("web", nodeName="node-z")
    guarded.delete("web")
    assert guarded.get("web")["metadata"]["deletionTimestamp"]
    guarded.patch("web", {"metadata": {"finalizers": None}})
    guarded.wait_gone("web")


@pytest.mark.feature("D3")
def test_with_policy_fail_the_api_server_says_that_nobody_answers(guarded: Namespace, door: Door) -> None:
    url = f"{door.process.url}?timeout=5s"
    with down(door, guarded, "Fail"):
        _, _, said = apply(guarded, yaml.safe_dump(guarded.manifest("web")))
        refused = f'Post "{url}": dial tcp {HOST}:{door.process.webhook_port}: connect: connection refused'
        assert f"{FAILED}{refused}" in said
    assert refusal(guarded, good=True) == ""


@contextmanager
def busy(door: Door, namespace: Namespace) -> Iterator[list[str]]:
    """Somebody keeps creating Containers, on trial; every failure is noted."""
    ended, failures, count = threading.Event(), [], 0

    def create() -> None:
        nonlocal count
        while not ended.is_set():
            said = refusal(namespace, good=True)
            count += 1
            if said:
                failures.append(said)

    thread = threading.Thread(target=create)
    thread.start()
    try:
        waiting.until(lambda: count > 5, "there is traffic")
        yield failures
        before = count
        waiting.until(lambda: count > before + 20, "there still is traffic")
    finally:
        ended.set()
        thread.join()


def _in_use(door: Door) -> bool:
    """Whether Secret, API server and webhook agree."""
    keyring = door.keyring()
    if keyring.authority is None or keyring.serving is None:
        return False
    shown = door.process.serial() == keyring.serving.certificate.serial_number
    return shown and door.trusted() == pki.pem(keyring.bundle)


def _serial(keyring: Keyring, kind: str) -> int:
    pair = getattr(keyring, kind)
    assert pair is not None
    return int(pair.certificate.serial_number)


@pytest.mark.feature("K2")
def test_a_certificate_is_renewed_under_traffic(guarded: Namespace, door: Door) -> None:
    now = datetime.now(UTC)
    authority = pki.new_authority(now - 100 * DAY)
    aged = Keyring(authority, (), pki.new_serving(authority, now - DAY, door.process.hosts))
    door.store(certificates.written(aged))
    waiting.until(
        lambda: _in_use(door) and _serial(door.keyring(), "serving") == _serial(aged, "serving"), "it is used"
    )
    waiting.until(lambda: not refusal(guarded, good=True), "it is trusted")

    with busy(door, guarded) as failures:
        old = pki.new_serving(authority, now - 61 * DAY, door.process.hosts)
        door.store(certificates.written(Keyring(authority, (), old)))
        waiting.until(
            lambda: _in_use(door) and _serial(door.keyring(), "serving") != old.certificate.serial_number, "renewed"
        )
    assert failures == []
    assert _serial(door.keyring(), "authority") == authority.certificate.serial_number


@pytest.mark.feature("K2")
def test_a_ca_is_replaced_under_traffic(guarded: Namespace, door: Door) -> None:
    """Both steps that the API server notices, with the hours between them gone by already."""
    now = datetime.now(UTC)
    former, present = pki.new_authority(now - 250 * DAY), pki.new_authority(now - 2 * HOUR)
    serving = pki.new_serving(former, now - DAY, door.process.hosts)
    door.process.stop()
    door.store(certificates.written(Keyring(former, (), serving)))
    door.process.start()
    waiting.until(lambda: _in_use(door) and len(door.keyring().bundle) == 2, "a new CA is made beside the old")
    waiting.until(lambda: not refusal(guarded, good=True), "it is trusted")

    with busy(door, guarded) as failures:
        staged = door.keyring()
        assert _serial(staged, "serving") == serving.certificate.serial_number
        door.store(certificates.written(Keyring(present, (former.certificate,), serving)))
        waiting.until(
            lambda: _in_use(door) and _serial(door.keyring(), "serving") != serving.certificate.serial_number, "by it"
        )
    assert failures == []
    assert door.keyring().bundle == (present.certificate, former.certificate)


def _expired(door: Door) -> dict[str, bytes]:
    long_ago = datetime.now(UTC) - 400 * DAY
    authority = pki.new_authority(long_ago)
    return certificates.written(Keyring(authority, (), pki.new_serving(authority, long_ago, [HOST])))


@pytest.mark.feature("K2")
@pytest.mark.parametrize("harm", ["expired", "garbled", "deleted", "bundle"])
def test_certificates_heal_and_the_door_opens_again(guarded: Namespace, door: Door, harm: str) -> None:
    before = _serial(door.keyring(), "serving")
    match harm:
        case "expired":
            door.store(_expired(door))
        case "garbled":
            door.store(dict.fromkeys(("ca.crt", "ca.key", "tls.crt", "tls.key"), b"rubbish"))
        case "deleted":
            door.cluster.core.delete_namespaced_secret(SECRET, door.process.namespace)
        case _:
            door.change(clientConfig={"url": door.process.url, "caBundle": None})
            waiting.until(lambda: _in_use(door), "the API server is told again")

    def healed() -> bool:
        return _in_use(door) and (harm == "bundle") == (_serial(door.keyring(), "serving") == before)

    waiting.until(healed, "everything agrees again")
    waiting.until(lambda: not refusal(guarded, good=True), "the door opens")
    assert BAD_SAYS in refusal(guarded)


@pytest.mark.feature("K2")
def test_two_webhooks_that_start_at_once_have_one_ca(cluster: Cluster, tmp_path: Path, namespace: Namespace) -> None:
    alone = f"webhook-{datetime.now(UTC):%H%M%S%f}"
    cluster.core.create_namespace({"metadata": {"name": alone}})
    told = {"TALLYMAN_WEBHOOK_CONFIGURATION": f"door-{alone}"}
    first = DoorKeeper(tmp_path / "first", cluster.kubeconfig, "manager-a", told, namespace=alone)
    second = DoorKeeper(tmp_path / "second", cluster.kubeconfig, "manager-b", told, namespace=alone)
    made = Door(cluster, first, f"door-{alone}")
    made.install()
    try:
        for one in (first, second):
            one.begin()
        waiting.until(lambda: first.serial() is not None and first.serial() == second.serial(), "both show the same")
        assert len(made.keyring().bundle) == 1
        assert f"{first.log}{second.log}".count("made anew") == 1
        for one in (first, second):
            made.change(clientConfig={"url": one.url, "caBundle": None})
            waiting.until(lambda: _in_use(made), "the API server is told again")
            made.guard(namespace)
    finally:
        for one in (first, second):
            one.stop()
        made.remove()


@pytest.fixture
def files(cluster: Cluster, home: str, tmp_path: Path) -> Iterator[Door]:
    """A webhook whose certificate is in files, as cert-manager's are."""
    directory = tmp_path / "certificate"
    directory.mkdir()
    process = DoorKeeper(
        tmp_path / "webhook",
        cluster.kubeconfig,
        "manager-files",
        {"TALLYMAN_WEBHOOK_CERT_DIR": str(directory)},
        namespace=home,
    )
    made = Door(cluster, process)
    made.install()
    yield made
    process.stop()
    made.remove()


@pytest.mark.feature("K2")
def test_files_are_used_and_an_expired_certificate_is_named_by_the_api_server(
    files: Door, namespace: Namespace, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    authority = pki.new_authority(now - 200 * DAY)
    url = files.process.url
    files.change(clientConfig={"url": url, "caBundle": encoded(pki.pem([authority.certificate]))})
    files.mark(namespace)

    def use(made: datetime, hosts: list[str]) -> None:
        pair = pki.new_serving(authority, made, hosts)
        (tmp_path / "certificate" / "tls.crt").write_bytes(pki.pem([pair.certificate]))
        (tmp_path / "certificate" / "tls.key").write_bytes(pki.key_pem(pair.key))
        waiting.until(lambda: files.process.serial() == pair.certificate.serial_number, "it is shown")

    def said(text: str) -> None:
        waiting.until(lambda: text in refusal(namespace, good=True), text, seen=lambda: refusal(namespace, good=True))

    files.process.begin()
    said('/validate?timeout=5s": EOF')
    use(now - 100 * DAY, [HOST])
    said("x509: certificate has expired or is not yet valid: current time ")
    use(now, ["elsewhere.example.com"])
    said(f"x509: cannot validate certificate for {HOST} because it doesn't contain any IP SANs")
    use(now, [HOST])
    waiting.until(lambda: not refusal(namespace, good=True), "the door opens")
    assert BAD_SAYS in refusal(namespace)
    files.change(clientConfig={"url": url, "caBundle": encoded(pki.pem([pki.new_authority(now).certificate]))})
    said("x509: certificate signed by unknown authority")


@pytest.mark.feature("D3")
def test_a_review_of_another_version_is_told(door: Door, namespace: Namespace, cluster: Cluster) -> None:
    other = Door(cluster, door.process)
    url = door.process.url
    other.install(admissionReviewVersions=["v1beta1"], clientConfig={"url": url, "caBundle": encoded(door.trusted())})
    other.mark(namespace)
    try:
        waiting.until(lambda: refusal(namespace, good=True), "the call fails")
        assert refusal(namespace, good=True) == (
            f"{FAILED}this webhook can't answer the request: expected an AdmissionReview of admission.k8s.io/v1, "
            "got 'AdmissionReview' of 'admission.k8s.io/v1beta1'"
        )
    finally:
        other.remove()


@pytest.mark.feature("D3")
def test_a_configuration_that_sends_something_else_is_told(door: Door, namespace: Namespace, cluster: Cluster) -> None:
    """The API server then takes the call for failed, and the failure policy decides."""
    other = Door(cluster, door.process)
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    config: dict[str, Any] = {
        "url": door.process.url,
        "caBundle": encoded(door.trusted()),
    }
    other.install(rules=[rule], clientConfig=config)
    other.mark(namespace)
    try:
        seen: list[str] = []

        def refused() -> bool:
            try:
                cluster.core.create_namespaced_config_map(namespace.name, {"metadata": {"name": "x"}}, dry_run="All")
            except ApiException as error:
                seen.append(message(error))
                return True
            return False

        waiting.until(refused, "the call fails")
        assert seen[-1] == (
            f"{FAILED}this webhook can't answer the request: checks Containers of tallyman.dev only, got 'ConfigMap' of ''"
        )
    finally:
        other.remove()
