"""The example images: `busybox`, and `hello`, which greets, waits and ends at once when it is asked to."""

from __future__ import annotations

from functools import cache

from hack.lab import debian
from hack.lab.image import Image
from hack.lab.image_layer import Directory, Entry, File, Symlink, layer

APPLETS = """
[ ash awk base64 basename cat chgrp chmod chown clear cmp cp cut date dd df diff dirname dmesg du echo egrep
env expr false fgrep find fold free getopt grep groups gunzip gzip head hexdump hostname httpd id ifconfig
ip kill killall less ln logger ls md5sum mkdir mkfifo mknod mktemp more mount mv nc netstat nproc nslookup
od ping printf ps pwd readlink realpath renice rm rmdir route sed seq setsid sh sha1sum sha256sum sleep sort
stat strings stty su sync tail tar tee telnet test time timeout top touch tr true truncate tty umount uname
uniq unlink usleep uptime vi watch wc wget which whoami xargs yes
"""

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
"""
GROUP = b"""\
root:x:0:
daemon:x:1:
audio:x:29:app
app:x:1000:
nogroup:x:65534:
"""
HELLO = b"""\
#!/bin/sh
# Greets, waits, and ends at once with code 0 when it is asked to.
trap 'echo "Asked to stop: goodbye."; kill $! 2>/dev/null; exit 0' TERM INT
echo "Hello from ${HOSTNAME:-a container}: ${GREETING:-the tallyman has counted me in}."
while :; do
    sleep 3600 &
    wait $!
done
"""


@cache
def busybox() -> Image:
    """Return an image with a shell and the usual small tools, users root (0) and app (1000), command `sh`."""
    return Image([layer(_base())], cmd=["sh"], env={"PATH": "/usr/local/bin:/usr/bin:/bin"})


@cache
def hello() -> Image:
    """Return the image of `examples/hello.yaml`."""
    return Image(
        [*busybox().layers, layer({"bin/hello": File(HELLO, mode=0o755)})],
        cmd=["/bin/hello"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        labels={"org.opencontainers.image.title": "hello"},
    )


def _base() -> dict[str, Entry]:
    program = (debian.package(debian.BOOKWORM, "busybox-static") / "bin/busybox").read_bytes()
    return {
        "bin": Directory(),
        "bin/busybox": File(program, mode=0o755),
        **{f"bin/{applet}": Symlink("busybox") for applet in APPLETS.split()},
        "usr/bin/env": Symlink("/bin/busybox"),
        "etc/passwd": File(PASSWD),
        "etc/group": File(GROUP),
        "home/app": Directory(0o755, 1000, 1000),
        "root": Directory(0o700),
        "tmp": Directory(0o1777),
        "var/log": Directory(),
        "www/index.html": b"Hello from Tallyman.\n",
    }
