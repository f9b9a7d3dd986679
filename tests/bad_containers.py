"""Containers that must be refused, each with the field and the rule that its user has to be told.

One table for two tests: the unit test holds the agent's own check against it; the end-to-end test applies each to a real API
server, which refuses it (naming the field) or accepts it, and then the agent sets Accepted=False with field and rule.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

BASE: Final[dict[str, Any]] = {"image": "localhost:5000/hello:latest"}
"""A spec in which nothing is wrong."""

MISSING: Final = object()
"""As the value of a change: the field is left out."""


@dataclass(frozen=True)
class BadContainer:
    """One mistake."""

    id: str
    """What is wrong, as a sentence."""
    change: dict[str, Any]
    """The fields of the spec that differ from `BASE`."""
    field: str
    """The field that must be named."""
    says: str
    """What the agent's message must contain."""

    @property
    def spec(self) -> dict[str, Any]:
        """The whole spec."""
        return {name: value for name, value in {**BASE, **self.change}.items() if value is not MISSING}

    def is_named_in(self, refusal: str) -> bool:
        """Whether the API server's message names the field. It leaves out most positions, and puts a dot before a key."""
        return _as_in_schema(self.field) in _as_in_schema(refusal)


def _as_in_schema(text: str) -> str:
    return re.sub(r"\[([^\]]+)\]", r".\1", re.sub(r"\[\d+\]", "", text))


def _bad(sentence: str, field: str, says: str, **change: Any) -> BadContainer:
    return BadContainer(id=sentence, change=change, field=f"spec.{field}", says=says)


def _limits(sentence: str, field: str, says: str, **limits: Any) -> BadContainer:
    return _bad(sentence, f"resources.limits.{field}", says, resources={"limits": limits})


def _security(sentence: str, field: str, says: str, **context: Any) -> BadContainer:
    return _bad(sentence, f"securityContext.{field}", says, securityContext=context)


def _logging(sentence: str, field: str, says: str, **logging: Any) -> BadContainer:
    return _bad(sentence, f"logging.{field}", says, logging=logging)


def _mount(sentence: str, field: str, says: str, **mount: Any) -> BadContainer:
    whole = {"mountPath": "/data", "hostPath": {"path": "/srv"}, **mount}
    mounts = [{name: value for name, value in whole.items() if value is not MISSING}]
    return _bad(sentence, f"mounts[0]{field}", says, mounts=mounts)


def _health(sentence: str, field: str, says: str, **check: Any) -> BadContainer:
    whole = {"tcpSocket": {"port": 80}, **check}
    given = {name: value for name, value in whole.items() if value is not MISSING}
    return _bad(sentence, f"healthCheck{field}", says, healthCheck=given)


def _http(sentence: str, field: str, says: str, **request: Any) -> BadContainer:
    return _health(sentence, f".httpGet{field}", says, tcpSocket=MISSING, httpGet={"port": 80, **request})


IMAGE_AND_PROCESS: Final = [
    _bad("there is no image", "image", "is required", image=MISSING),
    _bad("the image is null", "image", "is required", image=None),
    _bad("the image is empty", "image", "must be an image reference", image=""),
    _bad("the image has a space in it", "image", "without spaces", image="busybox latest"),
    _bad("the image has a line break in it", "image", "without spaces", image="busybox\n"),
    _bad("the image is a number", "image", "write it in quotes", image=5),
    _bad("the image is far too long", "image", "at most 1024 characters", image="x" * 1025),
    _bad(
        "the pull policy is unknown", "imagePullPolicy", "'Always', 'IfNotPresent' or 'Never'", imagePullPolicy="Maybe"
    ),
    _bad("the desired state is unknown", "desiredState", "'Running', 'Paused' or 'Stopped'", desiredState="running"),
    _bad("the command is one text, not a list", "command", "must be a list", command="/bin/sh -c true"),
    _bad("the command names no program", "command[0]", "must not be empty", command=[""]),
    _bad("an argument is a number", "args[1]", "write it in quotes", args=["--port", 8080]),
    _bad("an argument has a NUL in it", "args[0]", "NUL", args=["a\0b"]),
    _bad("an argument is longer than the kernel takes", "args[0]", "shorter than 131072 bytes", args=["ä" * 70000]),
    _bad("the working directory is relative", "workingDir", "such as /data; got 'srv'", workingDir="srv"),
    _bad("the working directory is empty", "workingDir", "must be an absolute path", workingDir=""),
    _bad("the working directory climbs up", "workingDir", "without `..`", workingDir="/srv/../etc"),
    _bad("the working directory has a NUL in it", "workingDir", "absolute path", workingDir="/srv\0"),
    _bad("the stop signal does not exist", "stopSignal", "such as SIGTERM or TERM", stopSignal="SIGFOO"),
    _bad("the stop signal is empty", "stopSignal", "is not a signal", stopSignal=""),
    _bad("the stop signal is 0", "stopSignal", "a number from 1 to 64", stopSignal=0),
    _bad("the stop signal is beyond the last one", "stopSignal", "a number from 1 to 64", stopSignal="65"),
    _bad("the real-time signal is beyond the last one", "stopSignal", "is not a signal", stopSignal="SIGRTMIN+31"),
    _bad(
        "the grace period is negative",
        "terminationGracePeriodSeconds",
        "must be at least 0; got -1",
        terminationGracePeriodSeconds=-1,
    ),
    _bad(
        "the grace period is longer than a day",
        "terminationGracePeriodSeconds",
        "must be at most 86400",
        terminationGracePeriodSeconds=86401,
    ),
    _bad(
        "the grace period is a text",
        "terminationGracePeriodSeconds",
        "must be a whole number; got '10s'",
        terminationGracePeriodSeconds="10s",
    ),
    _bad("the restart policy is unknown", "restartPolicy.name", "must be one of", restartPolicy={"name": "Sometimes"}),
    _bad(
        "a retry limit without OnFailure",
        "restartPolicy.maximumRetryCount",
        "may be set with name OnFailure only; the name is Always",
        restartPolicy={"name": "Always", "maximumRetryCount": 3},
    ),
    _bad(
        "the retry limit is negative",
        "restartPolicy.maximumRetryCount",
        "must be at least 0; got -1",
        restartPolicy={"name": "OnFailure", "maximumRetryCount": -1},
    ),
    _bad(
        "the back-off shrinks",
        "restartPolicy.backoff.factor",
        "must be at least 1",
        restartPolicy={"name": "Always", "backoff": {"factor": 0.5}},
    ),
    _bad(
        "the first wait is longer than the longest",
        "restartPolicy.backoff.initialSeconds",
        "must not be above maxSeconds (5)",
        restartPolicy={"name": "Always", "backoff": {"initialSeconds": 10, "maxSeconds": 5}},
    ),
    _bad(
        "a success code that is no exit code",
        "restartPolicy.successExitCodes[0]",
        "must be at most 255; got 256",
        restartPolicy={"name": "Always", "successExitCodes": [256]},
    ),
    _bad(
        "a code that is success and forbids a restart",
        "restartPolicy.neverRestartExitCodes",
        "must not name 3, which is a success exit code",
        restartPolicy={"name": "Always", "successExitCodes": [3], "neverRestartExitCodes": [3]},
    ),
    _bad(
        "autoRemove with a restart policy",
        "autoRemove",
        "excludes restart policy Always",
        autoRemove=True,
        restartPolicy={"name": "Always"},
    ),
    _bad("tty is a word", "tty", "must be true or false; got 'yes'", tty="yes"),
    _bad("init is a number", "init", "must be true or false", init=1),
    _bad("the host name has a dot", "hostname", "no dots", hostname="web.example.com"),
    _bad("the host name begins with a dash", "hostname", "no `-` at either end", hostname="-web"),
    _bad("the host name is too long", "hostname", "at most 63 characters", hostname="x" * 64),
    _bad("the runtime is a path", "runtimeName", "such as runc", runtimeName="/usr/bin/runc"),
    _bad("the node's name has capitals", "nodeName", "lower-case letters", nodeName="Node-A"),
    _bad("the node's name has an empty part", "nodeName", "must be the name of a node", nodeName="a..b"),
]

ENVIRONMENT: Final = [
    _bad("a variable has no name", "env[0].name", "is required", env=[{"value": "x"}]),
    _bad("a variable's name is empty", "env[0].name", "not empty", env=[{"name": "", "value": "x"}]),
    _bad("a variable's name has an equals sign", "env[0].name", "without `=`; got 'A=B'", env=[{"name": "A=B"}]),
    _bad("a variable's name has a NUL", "env[0].name", "the name of a variable", env=[{"name": "A\0"}]),
    _bad("a variable's value has a NUL", "env[0].value", "NUL", env=[{"name": "A", "value": "s3cret\0"}]),
    _bad("a variable's value is a number", "env[0].value", "write it in quotes", env=[{"name": "A", "value": 1}]),
    _bad("a variable is set twice", "env[1]", "set twice: 'A'", env=[{"name": "A"}, {"name": "A", "value": "x"}]),
    _bad("the environment is an object", "env", "must be a list", env={"A": "B"}),
    _bad(
        "a variable is longer than the kernel takes",
        "env[0].value",
        "shorter than 131072 bytes",
        env=[{"name": "A", "value": "x" * 131070}],
    ),
    _bad("there are too many variables", "env", "at most 1024 items", env=[{"name": f"V{n}"} for n in range(1025)]),
]

RESOURCES: Final = [
    _limits("the cpu limit is no quantity", "cpu", "such as 500m", cpu="a lot"),
    _limits("the cpu limit is negative", "cpu", "is not a quantity", cpu=-1),
    _limits("the cpu limit is nothing", "cpu", "must be from 1m", cpu=0),
    _limits("the cpu limit is below a thousandth", "cpu", "must be from 1m", cpu="0.0001"),
    _limits("the cpu limit is more than any machine has", "cpu", "must be from 1m", cpu="5M"),
    _limits("the cpu limit is a fraction without quotes", "cpu", 'write it in quotes ("0.5")', cpu=0.5),
    _limits("the cpu limit is a truth value", "cpu", "must be a quantity", cpu=True),
    _limits("the memory limit has a unit that does not exist", "memory", "64Mi or 2G", memory="64MB"),
    _limits("the memory limit is below what a container needs", "memory", "at least 6Mi", memory="4Mi"),
    _limits("the memory limit is in thousandths of a byte", "memory", "write 512Mi", memory="512m"),
    _limits("the memory limit is more than any machine has", "memory", "more than any machine has", memory="16E"),
    _limits("the pids limit is nothing", "pids", "must be at least 1", pids=0),
    _limits("the pids limit is a quantity", "pids", "must be a whole number", pids="1k"),
    _bad(
        "the cpu request is above its limit",
        "resources.requests.cpu",
        "must not be above the limit of '500m'; got 1",
        resources={"limits": {"cpu": "500m"}, "requests": {"cpu": 1}},
    ),
    _bad(
        "the memory request is above its limit",
        "resources.requests.memory",
        "must not be above the limit",
        resources={"limits": {"memory": "1G"}, "requests": {"memory": "1Gi"}},
    ),
    _bad("resources is a list", "resources", "must be an object", resources=["cpu"]),
]

LIMITS_AND_DEVICES: Final = [
    _bad(
        "the ulimit is unknown",
        "ulimits[0].name",
        "must be one of 'as', 'core'",
        ulimits=[{"name": "NOFILE", "soft": 1, "hard": 1}],
    ),
    _bad(
        "the soft ulimit is above the hard one",
        "ulimits[0].soft",
        "must not be above hard (1024)",
        ulimits=[{"name": "nofile", "soft": 4096, "hard": 1024}],
    ),
    _bad(
        "the soft ulimit is unlimited and the hard one is not",
        "ulimits[0].soft",
        "got unlimited",
        ulimits=[{"name": "nofile", "soft": -1, "hard": 1024}],
    ),
    _bad("the ulimit has no hard value", "ulimits[0].hard", "is required", ulimits=[{"name": "core", "soft": 0}]),
    _bad(
        "the ulimit is below unlimited",
        "ulimits[0].hard",
        "must be at least -1",
        ulimits=[{"name": "core", "soft": 0, "hard": -2}],
    ),
    _bad(
        "the ulimit is set twice",
        "ulimits[1]",
        "set twice",
        ulimits=[{"name": "core", "soft": 0, "hard": 0}, {"name": "core", "soft": 1, "hard": 1}],
    ),
    _bad("the device's path is relative", "devices[0].hostPath", "absolute path", devices=[{"hostPath": "dev/fuse"}]),
    _bad("the device is the root directory", "devices[0].hostPath", "must be a device", devices=[{"hostPath": "/"}]),
    _bad(
        "the device is given twice",
        "devices[1]",
        "given twice",
        devices=[{"hostPath": "/dev/fuse"}, {"hostPath": "/dev/fuse", "permissions": "r"}],
    ),
    _bad(
        "two devices have one path in the container",
        "devices[1].containerPath",
        "used by an earlier device",
        devices=[{"hostPath": "/dev/null"}, {"hostPath": "/dev/zero", "containerPath": "/dev/null"}],
    ),
    _bad(
        "the device's permissions are unknown",
        "devices[0].permissions",
        "any of r (read)",
        devices=[{"hostPath": "/dev/fuse", "permissions": "rx"}],
    ),
    _bad(
        "the device's permissions are empty",
        "devices[0].permissions",
        "any of r (read)",
        devices=[{"hostPath": "/dev/fuse", "permissions": ""}],
    ),
    _bad("the sysctl belongs to the node", "sysctls[vm.swappiness]", "to the node", sysctls={"vm.swappiness": "1"}),
    _bad("the sysctl is no name", "sysctls[ / ]", "is not the name of a kernel parameter", sysctls={" / ": "1"}),
    _bad(
        "the sysctl sets the host name",
        "sysctls[kernel.hostname]",
        "use the field hostname",
        sysctls={"kernel.hostname": "web"},
    ),
    _bad(
        "the sysctl's value is a number",
        "sysctls[net.core.somaxconn]",
        "write it in quotes",
        sysctls={"net.core.somaxconn": 1024},
    ),
    _bad(
        "the sysctl's value has two lines",
        "sysctls[net.core.somaxconn]",
        "must be one line",
        sysctls={"net.core.somaxconn": "1\n2"},
    ),
    _bad(
        "the sysctl is of the network and the network is the node's",
        "sysctls[net.core.somaxconn]",
        "on the host network",
        sysctls={"net.core.somaxconn": "1024"},
        network={"mode": "host"},
    ),
    _bad(
        "the sysctl is set twice in two spellings",
        "sysctls[net/core/somaxconn]",
        "set twice",
        sysctls={"net.core.somaxconn": "1", "net/core/somaxconn": "2"},
    ),
    _bad("the network mode is unknown", "network.mode", "'host' or 'none'", network={"mode": "bridged"}),
]

SECURITY: Final = [
    _security("the user is said in two ways", "runAsUser", "excludes user", user="app", runAsUser=1000),
    _security("the group is said in two ways", "runAsGroup", "excludes a group in user", user="app:app", runAsGroup=1),
    _security("the user is empty", "user", "must be a user", user=""),
    _security("the user has no name before the colon", "user", "must be a user", user=":staff"),
    _security("the user has two colons", "user", "must be a user", user="a:b:c"),
    _security("the user is negative", "user", "must be a user", user=-1),
    _security("the user's number is beyond the last one", "user", "ids of at most 2147483647", user="2147483648"),
    _security("the numeric user is negative", "runAsUser", "must be at least 0", runAsUser=-1),
    _security("the numeric user is a name", "runAsUser", "must be a whole number; got 'root'", runAsUser="root"),
    _security("the user is beyond the last one", "runAsUser", "must be at most 2147483647", runAsUser=2147483648),
    _security("the group is beyond the last one", "runAsGroup", "must be at most 2147483647", runAsGroup=2147483648),
    _security(
        "a further group is beyond the last one",
        "supplementalGroups[0]",
        "must be at most 2147483647",
        supplementalGroups=[2147483648],
    ),
    _security("a further group is a name", "supplementalGroups[0]", "must be a whole number", supplementalGroups=["x"]),
    _security("a further group is given twice", "supplementalGroups[1]", "given twice", supplementalGroups=[7, 7]),
    _security(
        "the capability does not exist",
        "capabilities.add[0]",
        "is not a Linux capability; write ALL or one of capabilities(7), such as NET_ADMIN; got 'NET_ROOT'",
        capabilities={"add": ["NET_ROOT"]},
    ),
    _security("the dropped capability is empty", "capabilities.drop[0]", "is not a Linux", capabilities={"drop": [""]}),
    _security(
        "the capability is given twice in two spellings",
        "capabilities.add[1]",
        "given twice",
        capabilities={"add": ["NET_ADMIN", "CAP_NET_ADMIN"]},
    ),
    _security("the capabilities are a list", "capabilities", "must be an object", capabilities=["NET_ADMIN"]),
    _security("privileged is a word", "privileged", "must be true or false", privileged="true"),
    _security(
        "a privileged container forbids escalation",
        "allowPrivilegeEscalation",
        "for a privileged container",
        privileged=True,
        allowPrivilegeEscalation=False,
    ),
    _security(
        "a container with SYS_ADMIN forbids escalation",
        "allowPrivilegeEscalation",
        "when SYS_ADMIN is added",
        capabilities={"add": ["SYS_ADMIN"]},
        allowPrivilegeEscalation=False,
    ),
    _security(
        "the seccomp type is unknown", "seccompProfile.type", "must be one of", seccompProfile={"type": "Strict"}
    ),
    _security(
        "the seccomp profile's file is not named",
        "seccompProfile.localhostProfile",
        "is required with type Localhost",
        seccompProfile={"type": "Localhost"},
    ),
    _security(
        "the seccomp profile's file climbs up",
        "seccompProfile.localhostProfile",
        "without `..`",
        seccompProfile={"type": "Localhost", "localhostProfile": "../profile.json"},
    ),
    _security(
        "the seccomp profile's file is absolute",
        "seccompProfile.localhostProfile",
        "relative path",
        seccompProfile={"type": "Localhost", "localhostProfile": "/etc/profile.json"},
    ),
    _security(
        "a seccomp profile's file is named and not used",
        "seccompProfile.localhostProfile",
        "with type Localhost only",
        seccompProfile={"type": "Unconfined", "localhostProfile": "profile.json"},
    ),
]

MOUNTS: Final = [
    _mount("the mount path is missing", ".mountPath", "is required", mountPath=MISSING),
    _mount("the mount path is relative", ".mountPath", "such as /data; got 'data'", mountPath="data"),
    _mount("the mount path is empty", ".mountPath", "absolute path", mountPath=""),
    _mount("the mount path is the root directory", ".mountPath", "must not be /", mountPath="/"),
    _mount("the mount path is the root directory in disguise", ".mountPath", "must not be /", mountPath="//./"),
    _mount("the mount path is /proc", ".mountPath", "must not be in /proc", mountPath="/proc"),
    _mount("the mount path is in /proc", ".mountPath", "must not be in /proc", mountPath="/proc/sys"),
    _mount("the mount path climbs up", ".mountPath", "without `..`", mountPath="/data/../etc"),
    _mount("the mount path is too long", ".mountPath", "at most 4096 characters", mountPath="/" + "x" * 4096),
    _mount("the mount has no source", "", "add hostPath", hostPath=MISSING),
    _mount("the source has no path", ".hostPath.path", "is required", hostPath={"type": "File"}),
    _mount("the source is one text", ".hostPath", "must be an object", hostPath="/srv"),
    _mount("the source's path is relative", ".hostPath.path", "absolute path", hostPath={"path": "./srv"}),
    _mount("the source's path climbs up", ".hostPath.path", "without `..`", hostPath={"path": "/srv/.."}),
    _mount("the source's path has a NUL in it", ".hostPath.path", "absolute path", hostPath={"path": "/srv\0"}),
    _mount("the source's type is unknown", ".hostPath.type", "one of", hostPath={"path": "/srv", "type": "Folder"}),
    _mount("the sub path is absolute", ".subPath", "relative path", subPath="/web"),
    _mount("the sub path climbs up", ".subPath", "without `..`", subPath="web/../../etc"),
    _mount("the propagation is unknown", ".mountPropagation", "must be one of", mountPropagation="rshared"),
    _mount(
        "the propagation goes both ways without privilege",
        ".mountPropagation",
        "in a privileged container only",
        mountPropagation="Bidirectional",
    ),
    _mount("readOnly is a word", ".readOnly", "must be true or false", readOnly="ro"),
    _bad(
        "two mounts have one place",
        "mounts[1]",
        "used by an earlier mount",
        mounts=[
            {"mountPath": "/data", "hostPath": {"path": "/srv"}},
            {"mountPath": "/data", "hostPath": {"path": "/var"}},
        ],
    ),
    _bad(
        "two mounts have one place in two spellings",
        "mounts[1]",
        "used by an earlier mount: '/data'",
        mounts=[
            {"mountPath": "/data", "hostPath": {"path": "/srv"}},
            {"mountPath": "/data/", "hostPath": {"path": "/var"}},
        ],
    ),
]

LOGGING: Final = [
    _logging("the logging driver is unknown", "driver", "'cri', 'file' or 'none'", driver="json-file"),
    _logging("the size of a log is no quantity", "maxSize", "is not a quantity", maxSize="10MB"),
    _logging("the size of a log is a fraction", "maxSize", "write it in quotes", maxSize=0.5),
    _logging("the log would hold only a few lines", "maxSize", "at least 64Ki; got '10k'", maxSize="10k"),
    _logging("the size of a log is in thousandths", "maxSize", "write 10Mi", maxSize="10m"),
    _logging("the size of a log is negative", "maxSize", "is not a quantity", maxSize="-1Mi"),
    _logging("no log is kept at all", "maxFiles", "must be at least 1; got 0", maxFiles=0),
    _logging("the number of logs has no bound to speak of", "maxFiles", "must be at most 100", maxFiles=101),
    _logging("the number of logs is a text", "maxFiles", "must be a whole number", maxFiles="3"),
    _bad("logging is one text", "logging", "must be an object", logging="cri"),
]

DEPENDENCIES: Final = [
    _bad("a dependency has no name", "dependsOn[0].name", "is required", dependsOn=[{"condition": "Started"}]),
    _bad("a dependency's name is empty", "dependsOn[0].name", "name of an object", dependsOn=[{"name": ""}]),
    _bad("a dependency's name is none", "dependsOn[0].name", "name of an object", dependsOn=[{"name": "My DB"}]),
    _bad(
        "a dependency is in another namespace", "dependsOn[0].name", "name of an object", dependsOn=[{"name": "a/db"}]
    ),
    _bad("a dependency is a plain name", "dependsOn[0]", "must be an object", dependsOn=["db"]),
    _bad("the dependencies are one name", "dependsOn", "must be a list", dependsOn="db"),
    _bad(
        "a dependency's condition is unknown",
        "dependsOn[0].condition",
        "must be one of",
        dependsOn=[{"name": "db", "condition": "Ready"}],
    ),
    _bad(
        "a dependency is named twice",
        "dependsOn[1]",
        "is given twice: 'db'",
        dependsOn=[{"name": "db"}, {"name": "db", "condition": "Healthy"}],
    ),
    _bad(
        "there are too many dependencies",
        "dependsOn",
        "at most 64 items, and has 65",
        dependsOn=[{"name": f"db-{number}"} for number in range(65)],
    ),
]

PLACEMENT: Final = [
    _bad("the node's labels are a list", "nodeSelector", "must be an object", nodeSelector=["disk"]),
    _bad("a node's label is a number", "nodeSelector.disk", "write it in quotes", nodeSelector={"disk": 1}),
    _bad(
        "a node's label has a space in it",
        "nodeSelector.disk",
        "must be the value of a label",
        nodeSelector={"disk": "very fast"},
    ),
    _bad("a node's label is too long", "nodeSelector.disk", "at most 63 characters", nodeSelector={"disk": "x" * 64}),
    _bad(
        "the key of a node's label is none",
        "nodeSelector[-disk]",
        "must be the key of a label, such as disk or example.com/disk",
        nodeSelector={"-disk": "ssd"},
    ),
    _bad(
        "a node is to have too many labels",
        "nodeSelector",
        "may hold at most 64 items",
        nodeSelector={f"label-{number}": "" for number in range(65)},
    ),
    _bad("a toleration is a plain name", "tolerations[0]", "must be an object", tolerations=["gpu"]),
    _bad(
        "a toleration's key is none", "tolerations[0].key", "must be the key of a label", tolerations=[{"key": "a/b/c"}]
    ),
    _bad(
        "a toleration has no key and compares values",
        "tolerations[0].key",
        "is required with operator Equal",
        tolerations=[{"value": "yes"}],
    ),
    _bad(
        "a toleration's operator is unknown",
        "tolerations[0].operator",
        "'Exists' or 'Equal'",
        tolerations=[{"key": "gpu", "operator": "In"}],
    ),
    _bad(
        "a toleration of the key alone has a value",
        "tolerations[0].value",
        "excludes operator Exists; got 'yes'",
        tolerations=[{"key": "gpu", "operator": "Exists", "value": "yes"}],
    ),
    _bad(
        "a toleration's effect is unknown",
        "tolerations[0].effect",
        "must be one of 'NoSchedule'",
        tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}],
    ),
    _bad(
        "there are too many tolerations",
        "tolerations",
        "at most 64 items, and has 65",
        tolerations=[{"operator": "Exists"}] * 65,
    ),
    _bad("the container moves sometimes", "reschedule", "'Never' or 'WhenNodeGone'", reschedule="Always"),
]

HEALTH: Final = [
    _health(
        "there is no way to check", "", "exactly one of exec, httpGet, tcpSocket and grpc; got none", tcpSocket=MISSING
    ),
    _health("there are two ways to check", "", "got httpGet and tcpSocket", httpGet={"port": 80}),
    _health(
        "the check's command is empty", ".exec.command", "must not be empty", tcpSocket=MISSING, exec={"command": []}
    ),
    _health(
        "the check's command is one text",
        ".exec.command",
        "must be a list",
        tcpSocket=MISSING,
        exec={"command": "true"},
    ),
    _health(
        "the check's command names no program",
        ".exec.command[0]",
        "must not be empty",
        tcpSocket=MISSING,
        exec={"command": [""]},
    ),
    _health("the check's command is missing", ".exec.command", "is required", tcpSocket=MISSING, exec={}),
    _health("the check has no port", ".tcpSocket.port", "is required", tcpSocket={}),
    _health("the check's port is 0", ".tcpSocket.port", "must be at least 1", tcpSocket={"port": 0}),
    _health(
        "the check's port is beyond the last one",
        ".grpc.port",
        "at most 65535",
        tcpSocket=MISSING,
        grpc={"port": 65536},
    ),
    _health("the check's port is a name", ".tcpSocket.port", "must be a whole number", tcpSocket={"port": "http"}),
    _http("the check's path is relative", ".path", "from the root", path="healthz"),
    _http("the check's path has a line break in it", ".path", "without spaces", path="/a HTTP/1.1\r\nX: y"),
    _http("the check's host is a name", ".host", "must be an IP address", host="localhost"),
    _http("the check's scheme is in small letters", ".scheme", "'HTTP' or 'HTTPS'", scheme="http"),
    _http("a header of the check has no name", ".httpHeaders[0].name", "is required", httpHeaders=[{"value": "x"}]),
    _http("a header's name has a colon", ".httpHeaders[0].name", "such as Host", httpHeaders=[{"name": "A:"}]),
    _http(
        "a header's value has two lines",
        ".httpHeaders[0].value",
        "one line",
        httpHeaders=[{"name": "A", "value": "1\nB: 2"}],
    ),
    _health(
        "the interval is below a millisecond", ".intervalSeconds", "must be at least 0.001", intervalSeconds=0.0001
    ),
    _health("the interval is negative", ".intervalSeconds", "must be at least 0.001", intervalSeconds=-1),
    _health("the interval is a text", ".intervalSeconds", "must be a number", intervalSeconds="10s"),
    _health("the timeout is nothing", ".timeoutSeconds", "must be at least 0.001", timeoutSeconds=0),
    _health("the start interval is nothing", ".startIntervalSeconds", "must be at least 0.001", startIntervalSeconds=0),
    _health("the start period is negative", ".startPeriodSeconds", "must be at least 0", startPeriodSeconds=-1),
    _health("the retries are negative", ".retries", "must be at least 0", retries=-1),
    _health("the retries are a fraction", ".retries", "must be a whole number", retries=1.5),
    _health(
        "what follows a failure is unknown", ".onFailure", "'None', 'Restart', 'Stop' or 'Kill'", onFailure="Reboot"
    ),
    _bad(
        "the object goes with the process that is to be restarted",
        "autoRemove",
        "excludes healthCheck.onFailure Restart",
        autoRemove=True,
        healthCheck={"tcpSocket": {"port": 80}, "onFailure": "Restart"},
    ),
]

BAD_CONTAINERS: Final = [
    *DEPENDENCIES,
    *PLACEMENT,
    *IMAGE_AND_PROCESS,
    *ENVIRONMENT,
    *RESOURCES,
    *LIMITS_AND_DEVICES,
    *SECURITY,
    *MOUNTS,
    *LOGGING,
    *HEALTH,
]
