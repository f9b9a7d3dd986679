"""A world in memory for the plan: one API object, one containerd, one agent that may be killed at any line.

containerd's half keeps what the real one keeps: records with labels, tasks, exit times. The agent's half executes actions in
the order and with the crash points of `act`, `processes` and `removal`, and reads everything back through `from_records`;
what lives in its memory only (when a process was started or killed, failures, the image) is gone with the agent. Laws that
hold at every moment are checked where something changes: every step of a container's life is an edge of `life.EDGES`, a restart
by the policy comes no sooner than declared and no more often, and nothing is started against the user's stop.

Two clocks: the true time that passes, and the node's, which may be set forward and back.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from controller.agent import identity, life
from controller.agent.actions import (
    Action,
    AddFinalizer,
    Again,
    CheckSuccessor,
    CorrectTimes,
    CreateContainer,
    DeleteObject,
    EnsureImage,
    FreeProcess,
    KillContainer,
    PauseContainer,
    RecordExit,
    RecordFailedStart,
    RememberStop,
    RemoveContainer,
    RemoveFinalizer,
    ResumeContainer,
    SignalStop,
    StartContainer,
    UpdateResources,
)
from controller.agent.decision import is_ahead, is_due
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.facts import Facts
from controller.agent.failures import FailureBook, StartFailed
from controller.agent.identity import ExitRecord, StopCause, StopMark
from controller.agent.observation import ImagePhase, Observation, ObservedContainer, ObservedImage, past_ends
from controller.agent.observed import from_records
from controller.agent.plan import Plan, plan
from controller.agent.publish import LONGEST_WAIT
from controller.agent.runtimes import RuntimeMissing
from controller.agent.status import difference, summarize
from controller.api.container import FINALIZER, RESTARTED_AT_ANNOTATION, DesiredState
from controller.api.lifecycle import RestartPolicyName
from controller.api.reasons import Reason
from controller.containerd.containers import ContainerRecord
from controller.containerd.tasks import TaskRecord, TaskStatus
from controller.oci import exits, fingerprint
from controller.oci.errors import NodeUnfit
from controller.oci.start_errors import StartFailure
from tests.unit.agent.objects import FOREIGN, KEY, NODE, body

BEGIN = datetime(2026, 11, 22, 10, tzinfo=UTC)
MOST_STEPS = 16
"""As in `reconcile`: more plans in a row than that count as no convergence."""

StartFault = Literal["not found", "node unfit", "busy", "made only", "answer lost"]
SIGKILL = 9


class Killed(Exception):
    """The agent dies here."""


class Unavailable(Exception):
    """Something does not answer; the queue tries again."""


@dataclass
class Task:
    """A process."""

    status: TaskStatus
    polite: bool
    """Whether it obeys the stop signal."""
    exit_status: int = 0
    exited_at: datetime | None = None
    pending: int | None = None
    """A signal that waits for the thaw."""
    unsure: bool = False
    """Whether containerd can't tell how it is."""


@dataclass
class Record:
    """A container in containerd."""

    labels: dict[str, str]
    created_at: datetime
    task: Task | None = None


@dataclass(frozen=True)
class Moment:
    """A moment by both clocks: the true time since the beginning, and how far the node's clock was set forward by then."""

    elapsed: timedelta
    forward: timedelta


@dataclass
class Life:
    """What a container of one object and spec went through, for the judgement in the end."""

    starts: int = 0
    restarts_by_policy: int = 0
    """Since it was started first, or by the user."""
    short_runs: int = 0
    """At least so many of its last runs were short."""
    began: Moment | None = None
    ended: Moment | None = None
    last_exit: int | None = None
    refused: int | None = None
    """The exit code of a start that failed for good."""
    exit_was_asked_for: bool = False
    touched: bool = False
    """Whether somebody removed things behind the agent's back, or an answer was lost."""


@dataclass
class Agent:
    """All that dies with the agent."""

    started_at: dict[str, datetime] = field(default_factory=dict)
    signalled: set[str] = field(default_factory=set)
    killed_at: dict[str, datetime] = field(default_factory=dict)
    shims_unsure: dict[str, bool] = field(default_factory=dict)
    image: ObservedImage | None = None
    failures: FailureBook = field(default_factory=FailureBook)


@dataclass
class World:
    """Everything there is."""

    elapsed: timedelta = timedelta()
    """The true time since the beginning."""
    offset: timedelta = timedelta()
    """How wrong the node's clock is."""
    forward: timedelta = timedelta()
    """How far it was ever set forward, all in all."""
    travelled: set[tuple[life.Phase, life.Phase, str]] = field(default_factory=set)
    """The edges of `life.EDGES` that some container has gone along."""
    meddled: set[str] = field(default_factory=set)
    """Objects of which somebody took something, or an answer was lost."""
    ends: dict[str, list[int]] = field(default_factory=dict)
    """The exit codes of all runs of each object, the latest last."""
    object: dict[str, Any] | None = None
    records: dict[str, Record] = field(default_factory=dict)
    agent: Agent = field(default_factory=Agent)
    lives: dict[tuple[str, str], Life] = field(default_factory=dict)
    _store: DeclaredStore = field(default_factory=lambda: DeclaredStore(NODE))
    uids: int = 0
    version: int = 100
    polite: bool = True
    start_faults: list[StartFault] = field(default_factory=list)
    lost_writes: int = 0
    lost_patches: int = 0
    kills_ignored: int = 0
    stuck_removals: int = 0
    lost_at: datetime | None = None
    """Since when containerd is away."""
    runtime_gone: bool = False
    """Whether the OCI runtime is not on the node, as the agent knows."""
    unfit: bool = False
    """Whether the node lacks what a changed spec needs."""
    die_after: int | None = None
    """How many more lines the agent lives."""
    writes: int = 0
    excused: set[str] = field(default_factory=set)
    """Ids that somebody removed while a status named them."""

    # --- time -----------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """What the node's clock shows."""
        return BEGIN + self.elapsed + self.offset

    def wait(self, seconds: float) -> None:
        self.elapsed += timedelta(seconds=seconds)

    def wait_until(self, moment: datetime) -> None:
        self.elapsed += max(moment - self.now, timedelta())

    def set_clock(self, seconds: float) -> None:
        """Somebody sets the node's clock, forward or back."""
        step = timedelta(seconds=seconds)
        self.offset += step
        self.forward += max(step, timedelta())

    def _moment(self) -> Moment:
        return Moment(self.elapsed, self.forward)

    def _passed(self, since: Moment) -> timedelta:
        """How long ago it was, as true time and the steps of the clock could make it seem at most."""
        return self.elapsed - since.elapsed + self.forward - since.forward

    # --- the user -------------------------------------------------------------------------------------------------------

    def ask_for_restart(self) -> None:
        """`kubectl annotate --overwrite … tallyman.dev/restartedAt=…`."""
        if self.object is not None and "deletionTimestamp" not in self.object["metadata"]:
            self.object["metadata"]["annotations"] = {RESTARTED_AT_ANNOTATION: f"request {self.version}"}
            self._touch()

    def apply(self, finalizers: tuple[str, ...] = (), **spec: Any) -> None:
        """`kubectl apply` of a whole manifest."""
        if self.object is None:
            self.uids += 1
            self.object = body(uid=f"uid-{self.uids}", finalizers=finalizers, **spec)
        elif "deletionTimestamp" not in self.object["metadata"]:
            wanted = body(**spec)["spec"]
            if wanted != self.object["spec"]:
                self.object["spec"] = wanted
                self.object["metadata"]["generation"] += 1
        self._touch()

    def delete(self) -> None:
        """`kubectl delete --wait=false`."""
        if self.object is not None:
            self.object["metadata"].setdefault("deletionTimestamp", "2026-11-22T10:00:00Z")
            self._touch()

    def release_foreign_finalizers(self) -> None:
        if self.object is not None:
            kept = [name for name in self.object["metadata"].get("finalizers", []) if name == FINALIZER]
            self.object["metadata"]["finalizers"] = kept
            self._touch()

    def tear_off_finalizers(self) -> None:
        """Somebody removes all finalizers by force."""
        if self.object is not None:
            self.object["metadata"]["finalizers"] = []
            self._touch()

    def _touch(self) -> None:
        """A write: a new version, and the object goes when nothing holds it any more."""
        if self.object is None:
            return
        self.version += 1
        metadata = self.object["metadata"]
        metadata["resourceVersion"] = str(self.version)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self.object = None

    # --- containerd -----------------------------------------------------------------------------------------------------

    def process_ends(self, code: int) -> None:
        """Every process that runs ends by itself."""
        with self._step(life.PROCESS):
            for container_id, record in self.records.items():
                if record.task is not None and record.task.status is TaskStatus.RUNNING:
                    self._end(container_id, record.task, code)

    def task_is_removed(self) -> None:
        """The processes and their shims are gone."""
        with self._step(life.NODE):
            for container_id, record in self.records.items():
                if record.task is not None:
                    record.task = None
                    self._meddled_with(container_id)

    def reboots(self) -> None:
        """The node is restarted."""
        self.task_is_removed()
        self.restart_agent()

    def containerd_is_unsure(self, *, unsure: bool) -> None:
        """containerd can't tell how the processes are, or can again."""
        with self._step(life.CONTAINERD):
            for record in self.records.values():
                if record.task is not None and record.task.status is not TaskStatus.STOPPED:
                    record.task.unsure = unsure

    def somebody_freezes(self, *, frozen: bool) -> None:
        """Somebody pauses or resumes the processes over containerd."""
        usual, other = TaskStatus.RUNNING, TaskStatus.PAUSED
        with self._step(life.SOMEBODY):
            for container_id, record in self.records.items():
                task = record.task
                if task is not None and task.status is (usual if frozen else other):
                    task.status = other if frozen else usual
                    if not frozen and task.pending is not None:
                        self._signal(container_id, task.pending)

    def records_are_removed(self) -> None:
        """Somebody removes the containers from containerd."""
        with self._step(life.SOMEBODY):
            for container_id in list(self.records):
                self._meddled_with(container_id)
                self.excused.add(container_id)
                self._forget(container_id)

    def _forget(self, container_id: str) -> None:
        del self.records[container_id]
        self.agent.shims_unsure.pop(container_id, None)
        self.agent.started_at.pop(container_id, None)
        self.agent.signalled.discard(container_id)
        self.agent.killed_at.pop(container_id, None)

    def _end(self, container_id: str, task: Task, status: int) -> None:
        was_asked = self._mark(container_id) is not None
        self.wait(1)  # no two runs end in the same second, which is all that a status tells of
        task.status, task.exit_status, task.exited_at, task.unsure = TaskStatus.STOPPED, status, self.now, False
        mine = self._life(container_id)
        mine.last_exit, mine.exit_was_asked_for, mine.ended = status, was_asked, self._moment()
        self.ends.setdefault(self.records[container_id].labels[identity.UID], []).append(status)

    def _mark(self, container_id: str) -> StopMark | None:
        return identity.read_stop(self.records[container_id].labels)

    def _life(self, container_id: str) -> Life:
        labels = self.records[container_id].labels
        return self.lives.setdefault((labels[identity.UID], labels[identity.SPEC_HASH]), Life())

    def _meddled_with(self, container_id: str) -> None:
        self._life(container_id).touched = True
        self.meddled.add(self.records[container_id].labels[identity.UID])

    def _label(self, container_id: str, labels: Mapping[str, str]) -> None:
        kept = self.records[container_id].labels
        kept.update(labels)
        for name in [name for name, value in kept.items() if value == "" and name in labels]:
            del kept[name]

    # --- the agent ------------------------------------------------------------------------------------------------------

    def restart_agent(self) -> None:
        self.agent = Agent()
        self.die_after = None

    def declared(self) -> Declared | None:
        """The object as the agent's store has it: parsed when it is new, then kept up to date."""
        if self.object is None:
            self._store.drop(KEY)
        else:
            self._store.put(self.object)
        return self._store.get(KEY)

    def observation(self) -> Observation:
        containers = [self._observed(container_id) for container_id in sorted(self.records)]
        gone = {"": "runc"} if self.runtime_gone else {}
        return Observation(
            tuple(containers),
            self.agent.image,
            self.agent.failures.of(KEY),
            self.lost_at,
            missing_runtimes=gone,
            checked=self.agent.failures.checked(KEY),
        )

    def _observed(self, container_id: str) -> ObservedContainer:
        seen = self._seen(container_id)
        unsure = self.agent.shims_unsure.setdefault(container_id, seen.task is None and seen.exit is not None)
        return replace(seen, shim_unsure=unsure and seen.task is None)

    def _seen(self, container_id: str) -> ObservedContainer:
        """The container as containerd tells it, and as this agent remembers it."""
        record = self.records[container_id]
        known = ContainerRecord(container_id, record.labels, "", "", "", "", b"{}", record.created_at, None)
        task = record.task
        process = None
        if task is not None:
            status = TaskStatus.UNKNOWN if task.unsure else task.status
            process = TaskRecord(container_id, status, 4711, task.exit_status, task.exited_at)
        seen = from_records(known, process)
        assert seen is not None
        return replace(
            seen,
            started_at=self.agent.started_at.get(container_id),
            signalled=container_id in self.agent.signalled and process is not None,
            killed_at=self.agent.killed_at.get(container_id) if process else None,
        )

    @contextmanager
    def _step(self, by: str) -> Iterator[None]:
        """What happens within is one step of each container's life, and must be among those that there are."""
        before = self._phases()
        try:
            yield
        finally:
            after = self._phases()
            for one in before.keys() | after.keys():
                edge = (before.get(one, life.Phase.ABSENT), after.get(one, life.Phase.ABSENT), by)
                if edge[0] is not edge[1]:
                    assert edge in life.KNOWN, f"no edge of a life: {edge}"
                    self.travelled.add(edge)

    def _phases(self) -> dict[str, life.Phase]:
        declared = self.declared()
        return {one: life.phase(declared, self._seen(one)) for one in self.records}

    def decide(self) -> Plan:
        declared, observation = self.declared(), self.observation()
        return plan(declared, observation, self.now)

    def look(self) -> datetime | None:
        """One look of the queue: plans and acts until there is nothing to do; returns when to look again.

        Raises:
            Unavailable: the queue is to try again.
        """
        try:
            return self._look()
        except Killed:
            self.restart_agent()
            raise Unavailable from None

    def _look(self) -> datetime | None:
        history = []
        for _ in range(MOST_STEPS):
            decided = self.decide()
            assert self.lost_at is None or not decided.actions, "something is done without containerd"
            if decided.forget_failure:
                self.agent.failures.forget(KEY)
            if decided.say_first and decided.facts is not None:
                self._publish(decided.facts)
            if not decided.actions:
                later = None if decided.facts is None else self._publish(decided.facts)
                return min((moment for moment in (decided.look_again, later) if moment is not None), default=None)
            history.append(decided.actions)
            self._act(decided)
        raise AssertionError(f"still to do after {MOST_STEPS} plans: {history[-4:]}")

    def _act(self, decided: Plan) -> None:
        for action in decided.actions:
            self._line()
            declared = self.declared()
            try:
                with self._step(type(action).__name__):
                    self._perform(action, declared)
            except (Killed, Unavailable):
                raise
            except Exception as error:
                if declared is None or not isinstance(action, CheckSuccessor | CreateContainer | StartContainer):
                    raise
                self.agent.failures.note(declared, error, self.now)
                return
            self._check_laws()

    def _line(self) -> None:
        """A point at which the agent may be killed."""
        if self.die_after is not None:
            if self.die_after == 0:
                raise Killed
            self.die_after -= 1

    def _check_laws(self) -> None:
        by_uid: dict[str, int] = {}
        for record in self.records.values():
            uid = record.labels[identity.UID]
            by_uid[uid] = by_uid.get(uid, 0) + 1
        assert all(count == 1 for count in by_uid.values()), "two containers for one object"
        named = (self.object or {}).get("status", {}).get("containerID")
        assert named is None or named in self.records or named in self.excused, "a status names what is not registered"

    def _publish(self, facts: Facts) -> datetime | None:
        declared = self.declared()
        if declared is None or self.object is None:
            return None
        if facts.publish_after is not None and not is_due(facts.publish_after, LONGEST_WAIT, self.now):
            return facts.publish_after
        named = facts.container.id if facts.container is not None else None
        assert named is None or named in self.records, "a status would name what is not registered"
        patch = difference(declared.status, summarize(declared, facts, NODE, self.now))
        if not patch:
            return None
        self._line()
        if self.lost_writes > 0:
            self.lost_writes -= 1
            raise Unavailable
        self.writes += 1
        self.object["status"] = merge_patch(self.object["status"], patch)
        self._touch()
        self._line()
        after = self.declared()
        assert after is not None
        assert not difference(after.status, summarize(after, facts, NODE, self.now)), "the same status is written twice"
        return None

    def _perform(self, action: Action, declared: Declared | None) -> None:
        self._check_runtime(action)
        match action:
            case AddFinalizer() | RemoveFinalizer():
                self._patch_finalizers(add=isinstance(action, AddFinalizer))
            case EnsureImage():
                self._ensure_image(sure(declared))
            case CheckSuccessor():
                self._check(sure(declared))
            case CreateContainer():
                self._create(sure(declared))
            case StartContainer():
                self._start(action, sure(declared))
            case SignalStop():
                wanted_for_nothing = self.unfit and action.cause is StopCause.RECREATE and not self._believed()
                assert not wanted_for_nothing, "it is stopped for what can't be made"
                if action.cause is not None:
                    self._remember_stop(action.id, action.cause)
                    self._line()
                self._signal(action.id, action.signal)
            case KillContainer():
                if action.cause is not None:
                    self._remember_stop(action.id, action.cause)
                    self._line()
                self._kill(action.id)
            case RememberStop():
                self._remember_stop(action.id, StopCause.USER)
            case PauseContainer():
                task = self._task(action.id)
                assert task.status is TaskStatus.RUNNING
                task.status = TaskStatus.PAUSED
            case ResumeContainer():
                self._resume(action.id)
            case UpdateResources():
                self._label(action.id, {identity.RESOURCES: sure(declared).resources})
            case RecordExit():
                self._record_exit(action)
            case RecordFailedStart():
                self._record_failed_start(action)
            case CorrectTimes():
                self._correct_times(action.id)
            case DeleteObject():
                self.delete()
            case FreeProcess():
                ended = self.records[action.id].task
                assert ended is None or ended.status is TaskStatus.STOPPED
                assert self._observed(action.id).exit is not None, "a process is freed before its end is remembered"
                self.records[action.id].task = None
                self.agent.shims_unsure[action.id] = False
            case RemoveContainer():
                self._remove(action.id)

    def _check_runtime(self, action: Action) -> None:
        """Without its runtime only what has ended is touched."""
        record = self.records.get(getattr(action, "id", ""))
        if not self.runtime_gone or record is None:
            return
        state = record.task.status if record.task is not None else None
        match action:
            case RemoveContainer():
                assert state in (None, TaskStatus.STOPPED), "a live container is removed without its runtime"
            case UpdateResources():
                assert state in (None, TaskStatus.STOPPED), "limits are changed without the runtime"
            case FreeProcess():
                assert state is None, "a process is freed without its runtime"
            case _:
                harmless = isinstance(action, RecordExit | RecordFailedStart | RememberStop | CorrectTimes)
                assert harmless, f"{action} without the runtime"

    def _patch_finalizers(self, *, add: bool) -> None:
        if self.object is None:
            return
        if self.lost_patches > 0:
            self.lost_patches -= 1
            raise Unavailable
        if not add:
            uid = self.object["metadata"]["uid"]
            left = [record for record in self.records.values() if record.labels[identity.UID] == uid]
            assert not left, "the object is released before its container is gone"
        metadata = self.object["metadata"]
        others = [name for name in metadata.get("finalizers", []) if name != FINALIZER]
        metadata["finalizers"] = [*others, FINALIZER] if add else others
        if not add:
            self.agent.image = None
            self.agent.failures.forget(KEY)
        self._touch()

    def _ensure_image(self, declared: Declared) -> None:
        self.agent.image = ObservedImage(
            declared.image_wanted, ImagePhase.PULLING, started_at=self.now, message="pulling"
        )

    def pull_ends(self, *, well: bool) -> None:
        """The pull that is under way ends."""
        image = self.agent.image
        if image is None or image.phase is not ImagePhase.PULLING:
            return
        if well:
            self.agent.image = ObservedImage(image.wanted, ImagePhase.PRESENT, image_id="sha256:1")
        else:
            self.agent.image = ObservedImage(
                image.wanted,
                ImagePhase.FAILED,
                reason=Reason.ERR_IMAGE_PULL,
                message="no such image",
                retry_at=self.now + timedelta(seconds=5),
            )

    def _believed(self) -> bool:
        """Whether the agent found the changed spec to be good not long ago."""
        known, declared = self.agent.failures.checked(KEY), self.declared()
        return known is not None and declared is not None and known.spec_hash == declared.spec_hash

    def _check(self, declared: Declared) -> None:
        if self.unfit:
            raise NodeUnfit("it lacks something")
        if self.runtime_gone:
            raise RuntimeMissing("it is not on this node")
        self.agent.failures.passed(declared, self.now)

    def _create(self, declared: Declared) -> None:
        assert declared.spec is not None, "an invalid spec is made"
        assert declared.spec.desired_state is not DesiredState.STOPPED, "a container is made against the user's stop"
        assert declared.ours, "a container is made without our finalizer"
        assert self.agent.image is not None
        assert self.agent.image.phase is ImagePhase.PRESENT
        assert self.agent.image.wanted == declared.image_wanted
        container_id = identity.container_id(declared.uid, declared.spec_hash)
        if self.runtime_gone:
            raise RuntimeMissing("it is not on this node")
        if container_id in self.records:
            return
        labels = {
            identity.NAMESPACE: KEY[0],
            identity.NAME: KEY[1],
            identity.UID: declared.uid,
            identity.SPEC_HASH: declared.spec_hash,
            identity.FINGERPRINT: fingerprint.encode(declared.fingerprint),
            identity.RESOURCES: declared.resources,
            identity.STOP_SIGNAL: "15",
            identity.GRACE: str(declared.spec.termination_grace_period_seconds),
            identity.RESTARTS: "0",
        }
        self.records[container_id] = Record(labels, self.now)
        self.lives[declared.uid, declared.spec_hash] = Life()
        self.agent.shims_unsure[container_id] = False
        self._check_laws()
        self._line()

    def _start(self, action: StartContainer, declared: Declared) -> None:
        assert declared.spec is not None, "an invalid spec is started"
        assert declared.spec.desired_state is not DesiredState.STOPPED, "a start against the user's stop"
        record = self.records[action.id]
        assert record.task is None or record.task.status is TaskStatus.CREATED
        assert record.labels[identity.SPEC_HASH] == declared.spec_hash, "a container of another spec is started"
        if action.again is not None:
            self._begin_again(action.id, action.again)
        else:
            assert self._mark(action.id) is None, "a container is started that is to be stopped"
            assert self._observed(action.id).exit is None, "an end is forgotten"
        fault = self.start_faults.pop(0) if self.start_faults else None
        if fault == "busy":
            raise Unavailable
        if record.task is None:
            record.task = Task(TaskStatus.CREATED, self.polite)
            self._line()
        if fault == "made only":
            raise Unavailable
        if fault in ("not found", "node unfit"):
            record.task = None
            mine = self._life(action.id)
            mine.refused, mine.ended = 127 if fault == "not found" else None, self._moment()
            reason = Reason.COMMAND_NOT_FOUND if fault == "not found" else Reason.RUNTIME_MISSING
            raise StartFailed(StartFailure(127 if fault == "not found" else 128, reason, fault))
        self._run(action.id, record.task)
        if fault == "answer lost":
            self._meddled_with(action.id)
            raise Unavailable
        self._line()
        self.agent.started_at[action.id] = self.now
        self.agent.signalled.discard(action.id)
        self.agent.killed_at.pop(action.id, None)
        self.agent.image = None
        self.agent.failures.forget(KEY)

    def _begin_again(self, container_id: str, again: Again) -> None:
        restarts = str(self._observed(container_id).restarts + 1)
        mine = self._life(container_id)
        if again.retries > 0:
            self._check_policy(mine)
            mine.restarts_by_policy += 1
        else:
            asked = again.restarted_at != self.records[container_id].labels.get(identity.RESTARTED_AT, "")
            assert asked or self._mark(container_id) is not None, "a restart that nobody asked for"
            mine.restarts_by_policy = mine.short_runs = 0
        assert again.retries == mine.restarts_by_policy, "restarts by the policy are miscounted"
        mine.last_exit, mine.exit_was_asked_for = None, False
        remembered = {
            identity.EXIT: "",
            identity.STOP: "",
            identity.RESTARTS: restarts,
            identity.RETRIES: str(again.retries),
            identity.SHORT_RUNS: str(again.short_runs),
            identity.RESTARTED_AT: again.restarted_at,
            **identity.history_label(past_ends(self._seen(container_id))),
        }
        self._label(container_id, remembered)
        self.agent.started_at.pop(container_id, None)
        self.agent.signalled.discard(container_id)
        self.agent.killed_at.pop(container_id, None)
        self._line()

    def _check_policy(self, mine: Life) -> None:
        """The laws of a restart by the policy, in the words of FEATURES: allowed, not too soon, not too often."""
        declared = self.declared()
        assert declared is not None
        assert declared.spec is not None
        policy, backoff = declared.spec.restart_policy, declared.spec.restart_policy.backoff
        assert policy.name is not RestartPolicyName.NEVER
        assert mine.last_exit not in policy.never_restart_exit_codes
        assert not (policy.name is RestartPolicyName.ON_FAILURE and mine.last_exit in policy.success_exit_codes)
        limit = policy.maximum_retry_count
        assert limit is None or mine.restarts_by_policy < limit, "it is started again too often"
        wait = min(backoff.initial_seconds * backoff.factor ** max(mine.short_runs - 1, 0), backoff.max_seconds)
        assert mine.ended is not None
        assert self._passed(mine.ended).total_seconds() >= wait - 1e-3, "it is started again too soon"

    def _run(self, container_id: str, task: Task) -> None:
        task.status = TaskStatus.RUNNING
        mine = self._life(container_id)
        mine.starts += 1
        mine.refused = None
        mine.last_exit, mine.exit_was_asked_for = None, False
        mine.began = self._moment()

    def _remember_stop(self, container_id: str, cause: StopCause) -> None:
        self._label(container_id, identity.stop_label(StopMark(cause, self.now)))

    def _signal(self, container_id: str, number: int) -> None:
        task = self.records[container_id].task
        if task is None:
            return
        self.agent.signalled.add(container_id)
        if task.status is TaskStatus.PAUSED:
            task.pending = number
        elif task.status is TaskStatus.RUNNING and task.polite:
            self._end(container_id, task, 128 + number)

    def _kill(self, container_id: str) -> None:
        self.agent.killed_at[container_id] = self.now
        task = self.records[container_id].task
        if task is None or task.status is TaskStatus.STOPPED:
            return
        if self.kills_ignored > 0:
            self.kills_ignored -= 1
            return
        self._end(container_id, task, 128 + SIGKILL)

    def _resume(self, container_id: str) -> None:
        task = self._task(container_id)
        assert task.status is TaskStatus.PAUSED
        task.status = TaskStatus.RUNNING
        if task.pending is not None:
            self._signal(container_id, task.pending)
            task.pending = None

    def _record_exit(self, action: RecordExit) -> None:
        task = self.records[action.id].task
        assert (action.vanished is not None) == (task is None)
        status = exits.UNKNOWN_EXIT if task is None else task.exit_status
        ended = exits.describe(status)
        at = (task.exited_at if task is not None else None) or self.now
        record = ExitRecord(
            ended.code, ended.signal, at, False, ended.reason, ended.message, action.started_at, action.short_runs
        )
        self._label(action.id, identity.exit_label(record))
        mine = self._life(action.id)
        if task is None:
            mine.last_exit, mine.ended = status, self._moment()
        self._count_run(mine)

    def _count_run(self, mine: Life) -> None:
        """One more short run, unless it may have been stable."""
        declared = self.declared()
        if mine.began is None or mine.ended is None or declared is None or declared.spec is None:
            mine.short_runs = 0
            return
        ran = self._passed(mine.began) - self._passed(mine.ended)
        stable = ran.total_seconds() >= declared.spec.restart_policy.backoff.reset_after_seconds
        mine.short_runs = 0 if stable else mine.short_runs + 1

    def _record_failed_start(self, action: RecordFailedStart) -> None:
        record = ExitRecord(
            action.code, None, action.at, False, action.reason, action.message, short_runs=action.short_runs
        )
        assert self.records[action.id].task is None
        self._label(action.id, identity.exit_label(record))
        self.agent.failures.forget(KEY)
        mine = self._life(action.id)
        mine.last_exit, mine.refused = action.code, None
        mine.short_runs += 1
        self.ends.setdefault(self.records[action.id].labels[identity.UID], []).append(action.code)

    def _correct_times(self, container_id: str) -> None:
        seen = self._seen(container_id)
        if seen.stop is not None and is_ahead(seen.stop.at, self.now):
            self._label(container_id, identity.stop_label(replace(seen.stop, at=self.now)))
        if seen.exit is not None and seen.task is None and is_ahead(seen.exit.finished_at, self.now):
            self._label(container_id, identity.exit_label(replace(seen.exit, finished_at=self.now)))
        if is_ahead(seen.killed_at, self.now):
            del self.agent.killed_at[container_id]
        if is_ahead(seen.started_at, self.now):
            self.agent.started_at[container_id] = self.now

    def _remove(self, container_id: str) -> None:
        record = self.records[container_id]
        assert record.task is None or record.task.status not in (TaskStatus.RUNNING, TaskStatus.PAUSED)
        record.task = None
        self._line()
        if self.stuck_removals > 0:
            self.stuck_removals -= 1
            raise Unavailable
        self._forget(container_id)

    def _task(self, container_id: str) -> Task:
        task = self.records[container_id].task
        assert task is not None
        return task

    # --- the end --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let the agent run, with faults as they come, until it has nothing to do and nothing to wait for."""
        for _ in range(60):
            try:
                again = self.look()
            except Unavailable:
                continue
            if self.agent.image is not None and self.agent.image.phase is ImagePhase.PULLING:
                self.pull_ends(well=True)
                continue
            if again is None:
                return
            self.wait_until(again)
        unsure = any(record.task is not None and record.task.unsure for record in self.records.values())
        if self.runtime_gone or self.unfit or unsure:
            return  # what is to be made is tried for ever, and so is what containerd can't tell
        raise AssertionError(f"no rest: {self.decide()}")

    def settle(self) -> None:
        """Let the agent run with everything working."""
        self.die_after = self.lost_at = None
        self.containerd_is_unsure(unsure=False)
        self.runtime_gone = self.unfit = False
        self.start_faults.clear()
        self.lost_writes = self.lost_patches = self.kills_ignored = self.stuck_removals = 0
        self.run()


def sure(declared: Declared | None) -> Declared:
    assert declared is not None
    return declared


def merge_patch(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    after = dict(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, Mapping):
            inner = after.get(name)
            after[name] = merge_patch(inner if isinstance(inner, Mapping) else {}, value)
        else:
            after[name] = value
    return after


def foreign_finalizers(world: World) -> list[str]:
    return [] if world.object is None else [f for f in world.object["metadata"].get("finalizers", []) if f == FOREIGN]
