"""Texts that runc 1.1.5, crun 1.8.1 and containerd 1.6.20 really printed, and what users are told instead."""

import pytest

from controller.api.reasons import Reason
from controller.oci.start_errors import StartFailure, explain, explain_output, missing_runtime

_SHIM = "failed to create shim task: OCI runtime create failed: "
_RUNC = f"{_SHIM}runc create failed: "
_START = f"{_RUNC}unable to start container process: "
_INIT = f"{_START}error during container init: "
_CGROUP = f"{_INIT}error setting cgroup config for procHooks process: "

_CASES = [
    ("runc: a name that is not in PATH", f'{_START}exec: "nosuch": executable file not found in $PATH: unknown', 127, Reason.COMMAND_NOT_FOUND, "command 'nosuch' not found"),
    ("runc: an empty command", f'{_START}exec: "": executable file not found in $PATH: unknown', 127, Reason.COMMAND_NOT_FOUND, "command '' not found"),
    ("runc: an absolute path that is not there", f'{_START}exec: "/no/such": stat /no/such: no such file or directory: unknown', 127, Reason.COMMAND_NOT_FOUND, "command '/no/such' not found"),
    ("runc: a path through a file", f'{_START}exec: "/srv/x/y": stat /srv/x/y: not a directory: unknown', 127, Reason.COMMAND_NOT_FOUND, "command '/srv/x/y' not found"),
    ("runc: a file without the x bit", f'{_START}exec: "/srv/notexec": permission denied: unknown', 126, Reason.COMMAND_NOT_EXECUTABLE, "'/srv/notexec' can't be executed: permission denied"),
    ("runc 1.2: a directory as command", f'{_START}exec: "/srv": is a directory: unknown', 126, Reason.COMMAND_NOT_EXECUTABLE, "'/srv' can't be executed"),
    ("runc: a command that is named like a shim", f'{_START}exec: "containerd-shim-x": executable file not found in $PATH: unknown', 127, Reason.COMMAND_NOT_FOUND, "command 'containerd-shim-x' not found"),
    ("crun: a name that is not in PATH", f"{_SHIM}executable file `nosuch` not found in $PATH: No such file or directory: unknown", 127, Reason.COMMAND_NOT_FOUND, "command 'nosuch' not found"),
    ("crun: a path through a file", f"{_SHIM}open executable: Not a directory: unknown", 127, Reason.COMMAND_NOT_FOUND, "not found"),
    ("crun: a file without the x bit", f"{_SHIM}open executable: Permission denied: unknown", 126, Reason.COMMAND_NOT_EXECUTABLE, "permission denied"),
    ("crun: a directory as command", f"{_SHIM}open executable: Operation not permitted: unknown", 126, Reason.COMMAND_NOT_EXECUTABLE, "permission denied"),
    ("runc: a directory mounted onto a file", f'{_INIT}error mounting "/srv/dir" to rootfs at "/etc/passwd": mount /srv/dir:/etc/passwd (via /proc/self/fd/6), flags: 0x5000: not a directory: unknown', 128, Reason.MOUNT_TYPE_MISMATCH, "/srv/dir to /etc/passwd"),
    ("runc: a file mounted onto a directory", f'{_INIT}error mounting "/srv/file" to rootfs at "/srv": mount /srv/file:/srv (via /proc/self/fd/6), flags: 0x5000: not a directory: unknown', 128, Reason.MOUNT_TYPE_MISMATCH, "/srv/file to /srv"),
    ("runc: a mount beneath a file", f'{_INIT}error mounting "/srv/file" to rootfs at "/etc/passwd/x": open o_path procfd: open /run/x/rootfs/etc/passwd/x: not a directory: unknown', 128, Reason.MOUNT_TYPE_MISMATCH, "/etc/passwd/x"),
    ("dockerd's advice after the text", f'{_INIT}error mounting "/a" to rootfs at "/b": mount /a:/b (via /proc/self/fd/6), flags: 0x5000: not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type', 128, Reason.MOUNT_TYPE_MISMATCH, "/a to /b"),
    ("crun: a directory mounted onto a file", f"{_SHIM}mount `/srv/dir` to `etc/passwd`: Not a directory: unknown", 128, Reason.MOUNT_TYPE_MISMATCH, "/srv/dir to /etc/passwd"),
    ("runc: the source of a mount is missing", f'{_INIT}error mounting "/srv/missing" to rootfs at "/data": stat /srv/missing: no such file or directory: unknown', 128, Reason.MOUNT_SOURCE_MISSING, "/srv/missing"),
    ("crun: the source of a mount is missing", f"{_SHIM}error stat'ing file `/srv/missing`: No such file or directory: unknown", 128, Reason.MOUNT_SOURCE_MISSING, "/srv/missing"),
    ("runc: a mount inside /proc", f'{_INIT}error mounting "/srv/dir" to rootfs at "/proc/sys": "/run/x/rootfs/proc/sys" cannot be mounted because it is inside /proc: unknown', 128, Reason.INVALID_SPEC, "inside /proc"),
    ("runc: a ulimit above the node's", f"{_INIT}error setting rlimits for ready process: error setting rlimit type 7: operation not permitted: unknown", 128, Reason.LIMIT_NOT_PERMITTED, "ulimit nofile is higher than this node allows"),
    ("runc: unlimited memlock", f"{_INIT}error setting rlimits for ready process: error setting rlimit type 8: operation not permitted: unknown", 128, Reason.LIMIT_NOT_PERMITTED, "ulimit memlock"),
    ("runc: soft above hard", f"{_INIT}error setting rlimits for ready process: error setting rlimit type 7: invalid argument: unknown", 128, Reason.INVALID_SPEC, "soft must not be above hard"),
    ("runc: a limit of an unknown number", f"{_INIT}error setting rlimit type 99: operation not permitted: unknown", 128, Reason.LIMIT_NOT_PERMITTED, "ulimit 99"),
    ("crun: a ulimit above the node's", f"{_SHIM}setrlimit `RLIMIT_MEMLOCK`: Operation not permitted: unknown", 128, Reason.LIMIT_NOT_PERMITTED, "ulimit memlock"),
    ("crun: the OOM score", f"{_SHIM}write to /proc/self/oom_score_adj: Permission denied: unknown", 128, Reason.LIMIT_NOT_PERMITTED, "OOM score"),
    ("runc: capabilities that the node lacks", f"{_START}unable to apply caps: operation not permitted: unknown", 128, Reason.NODE_UNFIT, "capabilities"),
    ("crun: capabilities that the node lacks", f"{_SHIM}capset: Operation not permitted: unknown", 128, Reason.NODE_UNFIT, "capabilities"),
    ("runc: a sysctl that the kernel lacks", f"{_INIT}open /proc/sys/net/core/nosuch: no such file or directory: unknown", 128, Reason.NODE_UNFIT, "net/core/nosuch"),
    ("runc: a sysctl's value is refused", f"{_INIT}write /proc/sys/net/core/somaxconn: invalid argument: unknown", 128, Reason.INVALID_SPEC, "net/core/somaxconn"),
    ("crun: a sysctl's value is refused", f"{_SHIM}write to /proc/sys/net/core/somaxconn: Invalid argument: unknown", 128, Reason.INVALID_SPEC, "net/core/somaxconn"),
    ("runc: a sysctl of the node", f'{_RUNC}sysctl "vm.swappiness" is not in a separate kernel namespace: unknown', 128, Reason.INVALID_SPEC, "vm.swappiness belongs to the node"),
    ("crun: a sysctl of the node", f"{_SHIM}the sysctl `vm.swappiness` is not namespaced: unknown", 128, Reason.INVALID_SPEC, "vm.swappiness belongs to the node"),
    ("runc: a memory limit below what is in use", f"{_CGROUP}unable to set memory limit to 65536 (current usage: 2461696, peak usage: 2777088): unknown", 128, Reason.START_ERROR, "raise resources.limits.memory"),
    ("crun: a memory limit below what is in use", f"{_SHIM}OOM: the memory limit could be too low: read from the init process: unknown", 128, Reason.START_ERROR, "raise resources.limits.memory"),
    ("runc: a cpu quota that the kernel refuses", f'{_CGROUP}failed to write "100": write /sys/fs/cgroup/cpu/tallyman/lab/0125/cpu.cfs_quota_us: invalid argument: unknown', 128, Reason.LIMIT_NOT_PERMITTED, "cpu.cfs_quota_us: invalid argument"),
    ("runc: swap below memory", f'{_CGROUP}failed to write "3145728": write /sys/fs/cgroup/memory/tallyman/lab/0125/memory.memsw.limit_in_bytes: invalid argument: unknown', 128, Reason.LIMIT_NOT_PERMITTED, "memory.memsw.limit_in_bytes"),
    ("crun: a cpu quota that the kernel refuses", f"{_SHIM}writing file `cpu.cfs_quota_us`: Invalid argument: unknown", 128, Reason.LIMIT_NOT_PERMITTED, "cpu.cfs_quota_us"),
    ("runc: a user id out of range", f"{_START}unable to setup user: uids and gids must be in range 0-2147483647: unknown", 128, Reason.INVALID_SPEC, "id is too large"),
    ("runc: the working directory is a file", f"{_INIT}mkdir /srv/notexec: not a directory: unknown", 128, Reason.START_ERROR, "working directory /srv/notexec"),
    ("runc: the user may not enter the working directory", f'{_INIT}chdir to cwd ("/root") set in config.json failed: permission denied: unknown', 128, Reason.START_ERROR, "working directory /root"),
    ("crun: the working directory is a file", f"{_SHIM}chdir `/srv/notexec`: Not a directory: unknown", 128, Reason.START_ERROR, "working directory /srv/notexec"),
    ("crun: cgroups of both versions", f"{_SHIM}cgroups in hybrid mode not supported, drop all controllers from cgroupv2: unknown", 128, Reason.NODE_UNFIT, "hybrid"),
    ("runc: seccomp profile with an unknown action", f"{_RUNC}string SCMP_ACT_BOGUS is not a valid action for seccomp: unknown", 128, Reason.INVALID_SPEC, "seccomp"),
    ("runc: AppArmor profile missing", f"{_INIT}unable to apply apparmor profile: apparmor failed to apply profile: write /proc/self/attr/exec: invalid argument: unknown", 128, Reason.NODE_UNFIT, "AppArmor"),
    ("runc: SELinux is off", f"{_RUNC}selinux label is specified in config, but selinux is disabled or not supported: unknown", 128, Reason.NODE_UNFIT, "SELinux"),
    ("the OCI runtime's path is not there", f"{_SHIM}unable to retrieve OCI runtime error (open /run/c/log.json: no such file or directory): fork/exec /no/runc: no such file or directory: unknown", 128, Reason.RUNTIME_MISSING, "OCI runtime /no/runc is not on this node"),
    ("the OCI runtime is not in PATH", f'{_SHIM}unable to retrieve OCI runtime error (open /run/c/log.json: no such file or directory): exec: "nosuchrunc": executable file not found in $PATH: unknown', 128, Reason.RUNTIME_MISSING, "OCI runtime nosuchrunc"),
    ("the OCI runtime goes before the start", "OCI runtime start failed: fork/exec /no/runc: no such file or directory: <nil>: unknown", 128, Reason.RUNTIME_MISSING, "OCI runtime /no/runc is not on this node"),
    ("the OCI runtime goes from PATH before the start", 'OCI runtime start failed: exec: "nosuchrunc": executable file not found in $PATH: <nil>: unknown', 128, Reason.RUNTIME_MISSING, "OCI runtime nosuchrunc"),
    ("the OCI runtime goes before a command is run", "OCI runtime exec failed: fork/exec /no/runc: no such file or directory: <nil>: unknown", 128, Reason.RUNTIME_MISSING, "OCI runtime /no/runc is not on this node"),
    ("the OCI runtime goes from PATH before a command is run", 'OCI runtime exec failed: exec: "nosuchrunc": executable file not found in $PATH: <nil>: unknown', 128, Reason.RUNTIME_MISSING, "OCI runtime nosuchrunc"),
    ("a command to be run is not there", 'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown', 127, Reason.COMMAND_NOT_FOUND, "command 'nosuch' not found"),
    ("the shim's program has gone", "failed to start shim: start failed: : fork/exec /usr/bin/containerd-shim-runc-v2: no such file or directory", 128, Reason.RUNTIME_MISSING, "OCI runtime /usr/bin/containerd-shim-runc-v2"),
    ("the shim is not installed", 'failed to start shim: failed to resolve runtime path: runtime "io.containerd.nosuch.v1" binary not installed "containerd-shim-nosuch-v1": file does not exist: unknown', 128, Reason.RUNTIME_MISSING, "OCI runtime io.containerd.nosuch.v1"),
    ("the shim's path is not there", "failed to start shim: failed to resolve runtime path: invalid custom binary path: stat /no/such/shim: no such file or directory: unknown", 128, Reason.RUNTIME_MISSING, "OCI runtime /no/such/shim"),
]  # fmt: skip


@pytest.mark.feature("L4")
@pytest.mark.parametrize(("text", "code", "reason", "part"), [pytest.param(*case[1:], id=case[0]) for case in _CASES])
def test_a_failed_start_is_explained(text: str, code: int, reason: Reason, part: str) -> None:
    failure = explain(text)

    assert (failure.exit_code, failure.reason) == (code, reason)
    assert part in failure.message
    assert "runc create failed" not in failure.message
    assert "\n" not in failure.message


@pytest.mark.parametrize("prefix", ["", "ctr: ", "rpc error: code = Unknown desc = "])
def test_a_text_that_nobody_knows_is_shown_without_its_layers(prefix: str) -> None:
    failure = explain(f"{prefix}{_INIT}error creating device nodes: mknod /run/c/x/rootfs/dev/x: bad thing: unknown")

    assert failure == StartFailure(128, Reason.START_ERROR, "error creating device nodes: mknod /dev/x: bad thing")


def test_a_failure_without_a_text_says_that_there_is_none() -> None:
    assert explain("").reason is Reason.START_ERROR
    assert "does not say why" in explain("").message


_OUTPUT_CASES = [
    ("runc: not a program", "exec /srv/badelf: exec format error", 126, "check its architecture"),
    ("runc: the interpreter is missing", "exec /srv/run: no such file or directory\n", 127, "interpreter"),
    ("runc: arguments too long", "exec /bin/true: argument list too long", 126, "too long"),
    ("crun: not a program", "exec container process `/srv/badelf`: Exec format error", 126, "check its architecture"),
    ("crun: the interpreter is missing", "exec container process (missing dynamic library?) `/srv/run`: No such file or directory", 127, "interpreter"),
    ("crun under containerd", '{"msg":"exec container process `/srv/badelf`: Exec format error","level":"error","time":"2026-11-22T20:16:00.328337Z"}', 126, "'/srv/badelf' can't be executed"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code", "part"), [pytest.param(*case[1:], id=case[0]) for case in _OUTPUT_CASES])
def test_a_failed_exec_is_read_from_the_output(line: str, code: int, part: str) -> None:
    failure = explain_output(line)

    assert failure is not None
    assert failure.exit_code == code
    assert part in failure.message


@pytest.mark.parametrize("line", ["", "hello", "exec x", "sh: exec /bin/x: exec format error", '{"msg":"x"}', '{"msg'])
def test_other_output_says_nothing(line: str) -> None:
    assert explain_output(line) is None


@pytest.mark.feature("L18")
@pytest.mark.parametrize(
    ("text", "runtime"),
    [
        ("unknown error after kill: fork/exec /no/runc: no such file or directory: <nil>: unknown", "/no/runc"),
        ("OCI runtime pause failed: fork/exec /no/runc: no such file or directory: <nil>", "/no/runc"),
        ('unknown error after kill: exec: "crun": executable file not found in $PATH: <nil>: unknown', "crun"),
        ('failed to delete task: failed to delete task: exec: "crun": executable file not found in $PATH', "crun"),
        ('exec: "crun": executable file not found in $PATH: <nil>: unknown', "crun"),
        ("OCI runtime resume failed: unable to thaw: unknown", None),
        ("failed to delete task: cannot delete a running process: unknown", None),
        ("", None),
    ],
)
def test_a_runtime_that_is_gone_is_known_by_what_could_not_be_done(text: str, runtime: str | None) -> None:
    assert missing_runtime(text) == runtime
