"""Why a container could not be made or started: from the texts of runc, crun and containerd to a reason and one sentence.

The runtimes report failures as text only. The patterns were made from what they really print (runc 1.1, crun 1.8, containerd
1.6; see the tests) and kept loose where later versions add detail. A text that matches nothing is shown as it is, without the
layers that only repeat that something failed. Pure.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from controller.api.reasons import Reason

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
OTHER: Final = 128
NEVER_RAN: Final = frozenset({NOT_FOUND, NOT_EXECUTABLE, OTHER})
"""Exit codes of a process that never ran, as shells and Docker have them."""
_EXIT_CODES: Final = {Reason.COMMAND_NOT_FOUND: NOT_FOUND, Reason.COMMAND_NOT_EXECUTABLE: NOT_EXECUTABLE}

_MAX_MESSAGE: Final = 1024
_MAX_TEXT: Final = 16384
_LAYERS: Final = re.compile(
    r"(?:ctr|runc|crun|rpc error|code = \w+ desc = .*?|OCI runtime (?:create|start|exec) failed|exec failed"
    r"|failed to (?:create (?:shim task|containerd task|task for container)|start (?:shim|task)|resolve runtime path)"
    r"|(?:runc|crun) (?:create|start|run) failed|unable to start container process|error during container init"
    r"|starting container process caused): "
)
_TAIL: Final = re.compile(r"(?:: unknown)+$")
_ROOTFS: Final = re.compile(r"/\S*?/rootfs(?=/)")
_GONE: Final = re.compile(r'fork/exec (?P<path>\S+): no such file|exec: "(?P<name>[^"]*)": executable file not found')
_LOGGED: Final = re.compile(r'\{"msg":"(?P<text>(?:[^"\\]|\\.)*)".*\}')

_RLIMIT_NAMES: Final = (
    "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime"
)
_RLIMITS: Final = tuple(_RLIMIT_NAMES.split())
"""Names of the limits by Linux's number."""


@dataclass(frozen=True, slots=True)
class StartFailure:
    """A failed create or start, as the status shows it."""

    exit_code: int
    reason: Reason
    message: str
    """One sentence for people, with the way out."""


def explain(text: str) -> StartFailure:
    """The failure behind an error text of containerd, its shim or the OCI runtime."""
    whole = " ".join(text[:_MAX_TEXT].split())
    bare = _stripped(whole)
    found = _matched(whole, _RUNTIME) or _matched(bare, (*_COMMAND, *_MOUNT, *_LIMITS, *_NODE))
    if found is not None:
        return found
    message = (
        _ROOTFS.sub("", bare)[:_MAX_MESSAGE] or "the container could not be started, and the runtime does not say why"
    )
    return StartFailure(OTHER, Reason.START_ERROR, message)


def explain_output(line: str) -> StartFailure | None:
    """The failure that a runtime could only print, because the start had been reported as done when exec failed.

    runc and crun check that the command is there and may be executed, but not that the kernel can run it (wrong
    architecture, missing interpreter). They then write one line to the container's output and exit with code 1. `line` is
    the only line of a process that ended at once with code 1; None when it says nothing of that kind.
    """
    logged = _LOGGED.fullmatch(line.strip())
    return _matched(logged["text"] if logged else line.strip(), _OUTPUT)


def plain(text: str) -> str:
    """An error text of containerd as it is, without what the layers above the failure put before and after it."""
    return _ROOTFS.sub("", _stripped(" ".join(text[:_MAX_TEXT].split())))[:_MAX_MESSAGE]


def missing_runtime(text: str) -> str | None:
    """The OCI runtime that is not on the node, when that is why something could not be done to a process that is there.

    `text` is containerd's error for anything but the making of a process, in which the same words may be about the command.
    """
    found = _GONE.search(text[:_MAX_TEXT])
    return (found["path"] or found["name"]) if found else None


def _stripped(text: str) -> str:
    """The text without what the layers above the failure put before and after it."""
    while match := _LAYERS.match(text):
        text = text[match.end() :]
    return _TAIL.sub("", text)


_Builder = Callable[[re.Match[str]], StartFailure]
_Row = tuple[re.Pattern[str], _Builder]


def _matched(text: str, rows: tuple[_Row, ...]) -> StartFailure | None:
    for pattern, build in rows:
        if match := pattern.search(text):
            return build(match)
    return None


def _row(pattern: str, reason: Reason, message: str) -> _Row:
    """A row whose message is filled with the groups of the pattern's match."""

    def build(match: re.Match[str]) -> StartFailure:
        groups = {name: value or "" for name, value in match.groupdict().items()}
        return StartFailure(_EXIT_CODES.get(reason, OTHER), reason, message.format(**groups)[:_MAX_MESSAGE])

    return re.compile(pattern), build


def _rlimit_row(pattern: str, reason: Reason, message: str) -> _Row:
    """A row about a ulimit, which runc names by its number and crun by its name."""

    def build(match: re.Match[str]) -> StartFailure:
        which = match["which"]
        number = int(which) if which.isdigit() and len(which) <= 3 else len(_RLIMITS)
        name = _RLIMITS[number] if number < len(_RLIMITS) else which.removeprefix("RLIMIT_").lower()
        return StartFailure(OTHER, reason, message.format(name=name))

    return re.compile(pattern), build


_NO_RUNTIME: Final = "the OCI runtime {name} is not on this node; install it, or choose another runtimeName"
_NO_COMMAND: Final = "command {name!r} not found in the container; check command, and the image's PATH"
_NO_INTERPRETER: Final = (
    "command {name!r} or the interpreter that it names is not in the container; check its #! line and its libraries"
)
_FORBIDDEN: Final = "command {name!r} can't be executed: permission denied; it must be a file with the x bit set for the container's user"
_WRONG_FORMAT: Final = (
    "command {name!r} can't be executed: not a program for this node; check its architecture and its #! line"
)
_TOO_LONG: Final = (
    "command {name!r} can't be executed: its arguments and environment are too long for the kernel; shorten them"
)
_TYPES: Final = "a directory can't be mounted onto a file, nor a file onto a directory: {source} to /{target}; make both of one kind"
_NO_SOURCE: Final = (
    "the source of a mount is not on this node: {source}; create it, or use type DirectoryOrCreate or FileOrCreate"
)
_NO_CWD: Final = "working directory {name} can't be used in the container; set workingDir to a directory that the container's user may enter"

_RUNTIME: Final = (
    _row(
        r"unable to retrieve OCI runtime error .*: fork/exec (?P<name>\S+): ",
        Reason.RUNTIME_MISSING,
        _NO_RUNTIME,
    ),
    _row(
        r'unable to retrieve OCI runtime error .*: exec: "(?P<name>[^"]*)": ',
        Reason.RUNTIME_MISSING,
        _NO_RUNTIME,
    ),
    _row(r'runtime "(?P<name>[^"]*)" binary not installed', Reason.RUNTIME_MISSING, _NO_RUNTIME),
    _row(r'failed to start shim: .*exec: "(?P<name>[^"]*)": ', Reason.RUNTIME_MISSING, _NO_RUNTIME),
    _row(r"failed to start shim: .*fork/exec (?P<name>\S+): no such file", Reason.RUNTIME_MISSING, _NO_RUNTIME),
    _row(
        r"OCI runtime (?:start|exec) failed: fork/exec (?P<name>\S+): no such file", Reason.RUNTIME_MISSING, _NO_RUNTIME
    ),
    _row(
        r'OCI runtime (?:start|exec) failed: exec: "(?P<name>[^"]*)": executable file not found in \$PATH: <nil>',
        Reason.RUNTIME_MISSING,
        _NO_RUNTIME,
    ),
    _row(r"invalid custom binary path: stat (?P<name>[^:]+): ", Reason.RUNTIME_MISSING, _NO_RUNTIME),
)
"""These come first: they look like a command that is not found."""

_COMMAND: Final = (
    _row(r'exec: "(?P<name>.*)": executable file not found', Reason.COMMAND_NOT_FOUND, _NO_COMMAND),
    _row(
        r'exec: "(?P<name>.*)": stat .*: no(?:t a| such file or) directory',
        Reason.COMMAND_NOT_FOUND,
        _NO_COMMAND,
    ),
    _row(
        r'exec: "(?P<name>.*)": (?:permission denied|is a directory)',
        Reason.COMMAND_NOT_EXECUTABLE,
        _FORBIDDEN,
    ),
    _row(r"executable file `(?P<name>.*)` not found", Reason.COMMAND_NOT_FOUND, _NO_COMMAND),
    _row(
        r"open executable: N(?:ot a|o such file or) directory",
        Reason.COMMAND_NOT_FOUND,
        "the command was not found in the container; check command, and the image's PATH",
    ),
    _row(
        r"open executable: (?:Permission denied|Operation not permitted|Is a directory)",
        Reason.COMMAND_NOT_EXECUTABLE,
        "the command can't be executed: permission denied; it must be a file with the x bit set for the container's user",
    ),
)

_RUNC_EXEC: Final = r"^exec (?P<name>\S.*): "
_CRUN_EXEC: Final = r"^exec container process .*`(?P<name>.*)`: "
_OUTPUT: Final = tuple(
    _row(f"{start}(?i:{why})$", reason, message)
    for start in (_CRUN_EXEC, _RUNC_EXEC)
    for why, reason, message in (
        ("exec format error", Reason.COMMAND_NOT_EXECUTABLE, _WRONG_FORMAT),
        ("permission denied", Reason.COMMAND_NOT_EXECUTABLE, _FORBIDDEN),
        ("argument list too long", Reason.COMMAND_NOT_EXECUTABLE, _TOO_LONG),
        ("no such file or directory", Reason.COMMAND_NOT_FOUND, _NO_INTERPRETER),
    )
)

_MOUNT: Final = (
    _row(
        r'"(?P<target>[^"]*)" cannot be mounted because it is inside /proc',
        Reason.INVALID_SPEC,
        "nothing can be mounted inside /proc; choose another mountPath",
    ),
    _row(
        r'error mounting "(?P<source>[^"]*)" to rootfs at "/?(?P<target>[^"]*)": .*(?:not|is) a directory',
        Reason.MOUNT_TYPE_MISMATCH,
        _TYPES,
    ),
    _row(
        r'error mounting "(?P<source>[^"]*)" to rootfs at "[^"]*": .*no such file or directory',
        Reason.MOUNT_SOURCE_MISSING,
        _NO_SOURCE,
    ),
    _row(
        r"mount `(?P<source>.*)` to `/?(?P<target>.*)`: (?:Not|Is) a directory",
        Reason.MOUNT_TYPE_MISMATCH,
        _TYPES,
    ),
    _row(r"error stat'ing file `(?P<source>.*)`: No such file", Reason.MOUNT_SOURCE_MISSING, _NO_SOURCE),
    _row(
        r"(?:mkdir|chdir to cwd \(|chdir) ?[`\"]?(?P<name>/[^`\":)]*)[`\"]?\)?(?: set in config.json failed)?: (?:[Nn]ot a directory|[Pp]ermission denied|[Nn]o such file)",
        Reason.START_ERROR,
        _NO_CWD,
    ),
)

_LIMITS: Final = (
    _rlimit_row(
        r"(?i)(?:setting rlimit type |setrlimit `)(?P<which>\w+)`?: operation not permitted",
        Reason.LIMIT_NOT_PERMITTED,
        "ulimit {name} is higher than this node allows; lower it",
    ),
    _rlimit_row(
        r"(?i)(?:setting rlimit type |setrlimit `)(?P<which>\w+)`?: invalid argument",
        Reason.INVALID_SPEC,
        "ulimit {name} is invalid: soft must not be above hard",
    ),
    _row(
        r"oom_score_adj: (?:[Pp]ermission denied|[Oo]peration not permitted)",
        Reason.LIMIT_NOT_PERMITTED,
        "this node does not allow to lower the container's OOM score",
    ),
    _row(
        r"unable to set memory limit to (?P<limit>\d+)|memory limit (?:could be )?too low|container init was OOM-killed",
        Reason.START_ERROR,
        "the memory limit is too low to start a process; raise resources.limits.memory",
    ),
    _row(
        r"(?i)(?:write \S*/|writing file `)(?P<file>(?:memory|cpu|pids)[\w.]*)`?: (?P<why>.*)$",
        Reason.LIMIT_NOT_PERMITTED,
        "the kernel refused a resource limit ({file}: {why}); change resources",
    ),
    _row(
        r"/proc/sys/(?P<name>\S+): [Nn]o such file or directory",
        Reason.NODE_UNFIT,
        "this node's kernel has no parameter {name}; remove it from sysctls",
    ),
    _row(
        r"/proc/sys/(?P<name>\S+): [Ii]nvalid argument",
        Reason.INVALID_SPEC,
        "the kernel refused the value of sysctl {name}; correct it",
    ),
    _row(
        r"/proc/sys/(?P<name>\S+): (?:[Pp]ermission denied|[Oo]peration not permitted|[Rr]ead-only file system)",
        Reason.LIMIT_NOT_PERMITTED,
        "this node does not allow to set sysctl {name}; remove it",
    ),
    _row(
        r"sysctl [\"`](?P<name>[^\"`]*)[\"`] is not ",
        Reason.INVALID_SPEC,
        "sysctl {name} belongs to the node, not to the container; remove it",
    ),
)

_NODE: Final = (
    _row(
        r"unable to apply caps: operation not permitted|capset: Operation not permitted",
        Reason.NODE_UNFIT,
        "this node can't give one of the capabilities asked for; remove it from securityContext.capabilities.add",
    ),
    _row(
        r"uids and gids must be in range",
        Reason.INVALID_SPEC,
        "a user or group id is too large; OCI runtimes accept 0 to 2147483647",
    ),
    _row(
        r"unable to find (?P<kind>user|group) (?P<name>[^:]+)",
        Reason.USER_NOT_FOUND,
        "{kind} {name} is not in the image; use a name that it has, or a number",
    ),
    _row(
        r"(?P<what>cgroups in hybrid mode not supported|cgroup mountpoint does not exist|no cgroup mount found)",
        Reason.NODE_UNFIT,
        "the node's cgroups are not set up as the OCI runtime needs them: {what}",
    ),
    _row(
        r"(?i)(?P<what>[^:]*app ?armor.*)",
        Reason.NODE_UNFIT,
        "the AppArmor profile could not be applied: {what}",
    ),
    _row(r"(?P<what>selinux .*)", Reason.NODE_UNFIT, "the SELinux label could not be applied: {what}"),
    _row(
        r"(?P<what>.*(?:SCMP_|seccomp).*)",
        Reason.INVALID_SPEC,
        "the runtime refused the seccomp profile: {what}",
    ),
)
