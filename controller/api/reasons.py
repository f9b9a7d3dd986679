"""The one vocabulary of reasons: the same word in a condition, an event, a metric label and the documentation.

Each member carries what it means and what to do about it; the tables of reasons in docs/ are generated from here.
A reason is never renamed once released. Pure: no input or output.
"""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why something is as it is, in one CamelCase word."""

    meaning: str
    """What the word says about the container, in one sentence."""
    next_step: str
    """What its reader can do; empty when there is nothing to do."""

    def __new__(cls, word: str, meaning: str = "", next_step: str = "") -> "Reason":
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        member.next_step = next_step
        member.__doc__ = f"{meaning} {next_step}".strip()
        return member

    # The container is where its user wants it, or came to an end by itself.
    RUNNING = "Running", "The process runs."
    PAUSED = (
        "Paused",
        "The processes are frozen, as `desiredState: Paused` asks.",
        "Set `desiredState: Running` to thaw them.",
    )
    STOPPED = (
        "Stopped",
        "The process was stopped, as `desiredState: Stopped` asks.",
        "Set `desiredState: Running` to start it again.",
    )
    CREATED = "Created", "The container is made, and its process has not been started."
    STARTED = "Started", "The process was started."
    RESUMED = "Resumed", "The processes were thawed."
    UPDATED = "Updated", "New limits are in force in the running container."
    COMPLETED = "Completed", "The process ended by itself with exit code 0."
    ERROR = (
        "Error",
        "The process ended with an exit code other than 0, or by a signal.",
        "Look at `status.exitCode` and `status.signal`.",
    )
    OOM_KILLED = (
        "OOMKilled",
        "The kernel killed the process for want of memory.",
        "Raise `resources.limits.memory`, or make the program use less.",
    )

    CRASH_LOOP_BACK_OFF = (
        "CrashLoopBackOff",
        "The process has ended and is started again after a while, longer each time.",
        "The message says how it ended; `status.nextRestartAt` says when it is started again.",
    )
    RETRY_LIMIT_REACHED = (
        "RetryLimitReached",
        "The process has failed as often as `restartPolicy.maximumRetryCount` allows.",
        "Mend the cause, then restart it (see `tallyman.dev/restartedAt`), or raise the limit.",
    )
    RESTART_EXCLUDED = (
        "RestartExcluded",
        "The process ended with one of `restartPolicy.neverRestartExitCodes`.",
        "Mend the cause, then restart it (see `tallyman.dev/restartedAt`).",
    )
    RESTARTING = (
        "Restarting",
        "The process is being stopped, and then started again: the user asked for it, or its health check failed.",
    )
    NODE_REBOOTED = (
        "NodeRebooted",
        "The node was restarted while the process ran (exit code 255).",
        "The restart policy decides whether it is started again.",
    )

    # Its health.
    HEALTHY = "Healthy", "The last health check succeeded."
    HEALTH_STARTING = "HealthStarting", "The process runs; no health check has succeeded yet."
    UNHEALTHY = (
        "Unhealthy",
        "As many health checks in a row have failed as `healthCheck.retries` says.",
        "Look at `status.health.log`; `healthCheck.onFailure` says what the agent does about it.",
    )

    # The declaration.
    VALID = "Valid", "The spec is complete and consistent, and this node can run it."
    INVALID_SPEC = (
        "InvalidSpec",
        "A field of the spec breaks a rule; nothing was started.",
        "The message names field and rule: correct the spec.",
    )
    POLICY_FORBIDDEN = (
        "PolicyForbidden",
        "The node's policy does not allow this namespace what the spec asks for; nothing is started.",
        "Do without it, or ask the node's operator: the message says what would have to be added to the policy file.",
    )
    NODE_UNFIT = (
        "NodeUnfit",
        "The node lacks something that the spec needs: a device, a cgroup controller, the memory.",
        "Change the spec, or run the container on another node.",
    )
    NODE_CHANGED = (
        "NodeChanged",
        "`nodeName` was changed, which is not possible once it is set.",
        "Set it back, or delete the object and create it anew.",
    )
    RUNTIME_MISSING = (
        "RuntimeMissing",
        "The OCI runtime that `runtimeName` asks for is not on the node. What runs with it goes on and is left alone.",
        "Install it, or choose another `runtimeName`. What has ended can be removed without it.",
    )
    LIMIT_NOT_PERMITTED = (
        "LimitNotPermitted",
        "The node's kernel or the agent's own limits do not allow a ulimit, a resource limit or a sysctl.",
        "Lower the value that the message names.",
    )

    # Its node, as the cluster sees it.
    BOUND = "Bound", "The container was given to a node; the node's agent makes it."
    BIND_ERROR = (
        "BindError",
        "The API server refuses to have the container given to a node; it is tried again.",
        "The message holds its answer: somebody's admission webhook or policy may forbid it.",
    )
    UNBINDABLE = (
        "Unbindable",
        "There is no node at present that the container can be bound to; it is tried again when nodes or containers change.",
        "The message says of each node why not: free or add one, or ask for less in the spec.",
    )
    NODE_LOST = (
        "NodeLost",
        "The node's agent has not been heard of for a while. What it ran may run on.",
        "Look at the node and at its agent; once back, it reports by itself. If the node is gone for good, delete its ContainerNode.",
    )
    RESCHEDULED = (
        "Rescheduled",
        "The container's node is gone, and as `reschedule: WhenNodeGone` asks, it is bound to another one and made anew.",
    )
    MOVED = (
        "Moved",
        "The container was bound to another node while this one was away; what is left of it here is removed.",
    )
    FINALIZER_REMOVED = (
        "FinalizerRemoved",
        "The container was deleted and its node is gone or lost, so the object goes without it.",
        "Should the node return, its agent removes what still runs there.",
    )

    # A node's agent.
    AGENT_READY = "AgentReady", "The agent sees its node's containerd and the API server, and acts."
    AGENT_NOT_READY = (
        "AgentNotReady",
        "The agent runs, and does not see the node's containerd or what the API server holds.",
        "The message says which of them: look at containerd on the node, or at the agent's log.",
    )

    # What it depends on.
    DEPENDENCY_WAITING = (
        "DependencyWaiting",
        "A container that this one depends on has not come to what `dependsOn` asks for; this one is started then.",
        "The message names it: look there.",
    )
    DEPENDENCY_MISSING = (
        "DependencyMissing",
        "A container that this one depends on does not exist in the namespace; this one is started when that has come.",
        "Create it, or correct `dependsOn`.",
    )
    DEPENDENCY_FAILED = (
        "DependencyFailed",
        "A container that this one depends on has ended without success, and is not started again by itself.",
        "Mend the one that the message names, then restart it (see `tallyman.dev/restartedAt`).",
    )
    DEPENDENCY_CYCLE = (
        "DependencyCycle",
        "By `dependsOn` the container waits for itself, through others; none of them can be the first.",
        "Take one of the dependencies out of the circle that the message shows.",
    )

    # The image.
    PULLING = "Pulling", "The image is being pulled; `status.pull` shows how far it has come."
    PULLED = "Pulled", "The image was pulled and unpacked."
    UNPACKED = "Unpacked", "The image is on the node, verified and unpacked."
    INVALID_IMAGE_NAME = (
        "InvalidImageName",
        "`image` is not a reference.",
        "Write it as `host/path:tag` or `host/path@sha256:…`.",
    )
    ERR_IMAGE_PULL = "ErrImagePull", "The pull failed; it is tried again.", "The message holds the registry's answer."
    IMAGE_PULL_BACK_OFF = (
        "ImagePullBackOff",
        "The pull failed several times; the next try waits.",
        "The message holds the last failure and the time of the next try.",
    )
    ERR_IMAGE_NEVER_PULL = (
        "ErrImageNeverPull",
        "The image is not on the node, and `imagePullPolicy: Never` forbids to fetch it.",
        "Import the image on the node, or change the policy.",
    )

    # The start.
    COMMAND_NOT_FOUND = (
        "CommandNotFound",
        "The command does not exist in the container (exit code 127).",
        "Check `command`, and the image's PATH.",
    )
    COMMAND_NOT_EXECUTABLE = (
        "CommandNotExecutable",
        "The command may not be executed (exit code 126).",
        "Check the file's mode, its `#!` line and its architecture.",
    )
    MOUNT_TYPE_MISMATCH = (
        "MountTypeMismatch",
        "A directory was to be mounted onto a file, or a file onto a directory.",
        "Make source and `mountPath` of one kind.",
    )
    MOUNT_SOURCE_MISSING = (
        "MountSourceMissing",
        "The source of a mount is not on the node, not of the type asked for, or a link on its subPath leads out of it.",
        "Create or mend it, or use type DirectoryOrCreate or FileOrCreate. It is tried again.",
    )
    USER_NOT_FOUND = (
        "UserNotFound",
        "The user or group is not in the image's /etc/passwd or /etc/group.",
        "Use a number, or a name that the image has.",
    )
    CREATE_ERROR = "CreateError", "The container could not be made.", "The message holds the cause; it is tried again."
    START_ERROR = (
        "StartError",
        "The process could not be started (exit code 128).",
        "The message holds the runtime's answer.",
    )
    PAUSE_REFUSED = (
        "PauseRefused",
        "The container can't be paused as it is: it does not run, or the node has no freezer.",
        "Start it first, or leave it running.",
    )

    # What was tried on a container that is there.
    PAUSE_ERROR = (
        "PauseError",
        "The processes could not be frozen; they run on.",
        "The message holds the runtime's answer. It is tried again; `desiredState: Running` gives it up.",
    )
    RESUME_ERROR = (
        "ResumeError",
        "The processes could not be thawed; they stay frozen.",
        "The message holds the runtime's answer. It is tried again.",
    )
    UPDATE_ERROR = (
        "UpdateError",
        "Changed resources could not be applied to the running process; the former ones stay in force.",
        "The message holds the runtime's answer: correct `resources`, or restart the container with them.",
    )
    STOP_ERROR = (
        "StopError",
        "A signal that is to stop the process could not be sent.",
        "The message holds the runtime's answer. It is tried again.",
    )
    REMOVE_ERROR = (
        "RemoveError",
        "Something that the container holds could not be released; its record is kept until it is.",
        "The message says what. It is tried again.",
    )

    # What the agent is doing.
    SETTLED = "Settled", "There is nothing left to do."
    PROGRESSING = "Progressing", "The agent is working towards the spec."
    STARTING = "Starting", "The container is being made and started."
    STOPPING = "Stopping", "The stop signal was sent; SIGKILL follows after the grace period."
    KILLING = (
        "Killing",
        "The process did not end within its grace period; SIGKILL was sent.",
        "Let the program end on `stopSignal`, or raise `terminationGracePeriodSeconds`.",
    )
    REMOVING = "Removing", "The container and all that was made for it are being removed."
    REMOVED = "Removed", "The container and all that was made for it were removed."
    RECREATING = (
        "Recreating",
        "A field changed that can't change in a running container; it is replaced once.",
        "The message names the fields.",
    )
    CONTAINER_VANISHED = (
        "ContainerVanished",
        "The container was removed from containerd behind the agent's back; it is made again.",
    )
    PROCESS_LOST = (
        "ProcessLost",
        "containerd has lost sight of the process, which runs on; nothing is done with the container.",
        "Restart containerd on the node: it looks for its processes when it starts.",
    )
    CONTAINERD_UNAVAILABLE = (
        "ContainerdUnavailable",
        "The node's containerd does not answer; what is shown is what was last seen.",
        "Check containerd on the node.",
    )


OF_NODES: Final = frozenset({Reason.AGENT_READY, Reason.AGENT_NOT_READY, Reason.NODE_LOST})
"""Those of a ContainerNode."""
ONLY_OF_NODES: Final = OF_NODES - {Reason.NODE_LOST}
"""Those that no Container has."""
