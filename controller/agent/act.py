"""Carrying out a plan's actions, one at a time and in order. The only way in which anything changes containerd.

Decides nothing: each action has one branch here and one function behind it. Every action changes what is observed, or raises.
"""

from datetime import UTC, datetime
from time import monotonic
from typing import Any, assert_never

from controller import metrics
from controller.agent.actions import (
    Action,
    AddFinalizer,
    CheckSuccessor,
    CorrectTimes,
    CreateContainer,
    DeleteObject,
    EnsureImage,
    FreeProcess,
    KillContainer,
    LookAtDependencies,
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
from controller.agent.checks.monitor import HealthMonitor
from controller.agent.creation import Creator
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.dependencies import DependencyKeeper
from controller.agent.failures import FailureBook
from controller.agent.identity import Key, StopCause
from controller.agent.images import ImageKeeper, ReadyImage
from controller.agent.observation import ObservedContainer
from controller.agent.observed import ObservedStore
from controller.agent.processes import Processes
from controller.agent.removal import Remover
from controller.agent.starter import Starter
from controller.agent.streams.hub import Streams
from controller.api.container import FINALIZER, ContainerSpec
from controller.api.signals import SIGKILL
from controller.containerd.errors import NotFound
from controller.kube import errors as kube_errors
from controller.kube.containers import Containers


class Actor:
    """Carries out actions."""

    def __init__(
        self,
        *,
        api: Containers,
        declared: DeclaredStore,
        observed: ObservedStore,
        images: ImageKeeper,
        health: HealthMonitor,
        failures: FailureBook,
        dependencies: DependencyKeeper,
        creator: Creator,
        starter: Starter,
        processes: Processes,
        remover: Remover,
        streams: Streams,
    ) -> None:
        self._api = api
        self._declared = declared
        self._observed = observed
        self._images = images
        self._health = health
        self._failures = failures
        self._dependencies = dependencies
        self._creator = creator
        self._starter = starter
        self._processes = processes
        self._remover = remover
        self._streams = streams
        self._began: dict[Key, float] = {}

    async def perform(self, action: Action, declared: Declared | None) -> None:  # noqa: C901, PLR0912
        """Carry out one action.

        Raises:
            Exception: what `failures` knows to read, or what the queue backs off for.
        """
        match action:
            case AddFinalizer():
                await self._patch(_sure(declared), [*_sure(declared).finalizers, FINALIZER])
            case RemoveFinalizer():
                await self._release(_sure(declared))
            case EnsureImage():
                await self._images.ensure(_sure(declared))
            case LookAtDependencies():
                await self._dependencies.look(_sure(declared))
            case CheckSuccessor():
                await self._check(_sure(declared))
            case CreateContainer():
                await self._create(_sure(declared))
            case StartContainer():
                await self._start(action, _sure(declared))
            case SignalStop():
                if action.cause is not None:
                    await self._processes.remember_stop(
                        action.id, action.cause, by=action.signal, because=action.because
                    )
                await self._processes.signal(action.id, action.signal)
            case KillContainer():
                if action.cause is not None:
                    await self._processes.remember_stop(action.id, action.cause, by=SIGKILL, because=action.because)
                await self._processes.kill(action.id)
            case RememberStop():
                await self._processes.remember_stop(action.id, StopCause.USER)
            case PauseContainer():
                await self._health.rest(action.id)
                await self._processes.pause(action.id)
            case ResumeContainer():
                await self._processes.resume(action.id)
            case UpdateResources():
                current = self._container(action.id)
                await self._processes.update_resources(current, _spec(_sure(declared)), _sure(declared).resources)
            case RecordExit():
                init = declared is not None and declared.spec is not None and declared.spec.init
                await self._processes.record_exit(self._container(action.id), action, init=init)
            case RecordFailedStart():
                await self._processes.record_failed_start(action)
                self._failures.forget(_sure(declared).key)
            case CorrectTimes():
                await self._processes.correct_times(self._container(action.id))
            case FreeProcess():
                await self._processes.free(action.id)
            case DeleteObject():
                await self._delete(_sure(declared))
            case RemoveContainer():
                await self._remove(action.id, declared)
            case _:
                assert_never(action)

    async def _remove(self, container_id: str, declared: Declared | None) -> None:
        """Remove the container; its logs go with its object, and stay when the container is only replaced."""
        known = self._observed.get(container_id)
        await self._remover.remove(container_id)
        if known is not None and (declared is None or declared.uid != known.uid):
            self._streams.erase(known.key, known.uid)
        if declared is None:
            metrics.orphan_removed()

    async def _check(self, declared: Declared) -> None:
        await self._creator.check(declared, _spec(declared), self._ready(declared))
        self._failures.passed(declared, datetime.now(UTC))

    def _ready(self, declared: Declared) -> ReadyImage:
        ready = self._images.ready(declared.key)
        if ready is None:
            raise NotFound("Images.Get", "the image is no longer there")
        return ready

    async def _create(self, declared: Declared) -> None:
        ready = self._ready(declared)
        self._began[declared.key] = monotonic()
        await self._creator.create(declared, _spec(declared), ready)

    async def _start(self, action: StartContainer, declared: Declared) -> None:
        await self._starter.start(self._container(action.id), _spec(declared), again=action.again)
        began = self._began.pop(declared.key, None)
        metrics.container_started(None if began is None else monotonic() - began)
        self._images.forget(declared.key)
        self._failures.forget(declared.key)
        self._dependencies.forget(declared.key)

    async def _delete(self, declared: Declared) -> None:
        """Delete the object; what the watch would bring is read at once, so that the next look sees it."""
        try:
            self._declared.put(await self._api.delete(*declared.key, declared.uid))
        except kube_errors.NotFound:
            self._declared.drop(declared.key, declared.uid)

    async def _release(self, declared: Declared) -> None:
        """Take our finalizer off; an object that is gone already is as good."""
        self._streams.erase(declared.key, declared.uid)
        try:
            await self._patch(declared, [name for name in declared.finalizers if name != FINALIZER])
        except kube_errors.NotFound:
            pass
        self._declared.drop(declared.key, declared.uid)
        self._images.forget(declared.key)
        self._failures.forget(declared.key)
        self._dependencies.forget(declared.key)
        self._began.pop(declared.key, None)

    async def _patch(self, declared: Declared, finalizers: list[str]) -> None:
        """Write the list of finalizers, if nobody has changed the object since it was read."""
        metadata: dict[str, Any] = {
            "uid": declared.uid,
            "resourceVersion": declared.resource_version,
            "finalizers": finalizers,
        }
        self._declared.put(await self._api.patch(*declared.key, {"metadata": metadata}))

    def _container(self, container_id: str) -> ObservedContainer:
        current = self._observed.get(container_id)
        if current is None:
            raise NotFound("Containers.Get", f"container {container_id[:12]} is gone")
        return current


def _sure(declared: Declared | None) -> Declared:
    if declared is None:
        raise ValueError("this action needs an object")
    return declared


def _spec(declared: Declared) -> ContainerSpec:
    if declared.spec is None:
        raise ValueError("this action needs a valid spec")
    return declared.spec
