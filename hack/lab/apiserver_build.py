"""Builds a real kube-apiserver from Debian's source package, for a machine that no release download reaches.

Everything happens in a scratch directory of the cache: Go and rsync are unpacked there from Debian's packages, and so is
the source. Debian's patches are left out because they touch only kubectl. Two changes make it work when built with a newer
Go than it was written for: the vendored reflect2, which crashes, is replaced by Debian's current one; and kube-openapi's test for
a zero value, which compared pointers that happened to differ and now are the same, no longer takes every empty string for null.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from pathlib import Path

from hack.lab import apt, cache, debian
from hack.lab.command import run_logged
from hack.lab.errors import LabError

BUILD_TIMEOUT = 3600.0
RSYNC_LIBRARIES = ("libpopt0", "libxxhash0", "liblz4-1", "libzstd1", "libacl1", "zlib1g", "libssl3")
REFLECT2 = "github.com/modern-go/reflect2"
VERSION = "1.20.2"
TYPE_CHECK = "k8s.io/kube-openapi/pkg/validation/validate/type.go"
ZERO_TEST = "data == nil || reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data))"
REVISION = 3
"""Changes with the changes below, so that a cached build without them is not used."""


NAME = f"debian-{VERSION}-{REVISION}"
"""Where in the cache the build is."""


def log_path() -> Path:
    """Return the log of the latest build."""
    return cache.root() / "kube-apiserver-build.log"


def built_apiserver() -> Path:
    """Return the kube-apiserver built from Debian's source package, building it (minutes) when it is not cached."""
    return cache.artefact(f"kubernetes/{NAME}/kube-apiserver", _build)


def _build(target: Path) -> None:
    work = target.parent
    tree = _source_tree(work)
    _replace_reflect2(work, tree)
    _mend_zero_test(tree / "vendor" / TYPE_CHECK)
    gopath = tree / ".go/src/k8s.io"
    gopath.mkdir(parents=True)
    (gopath / "kubernetes").symlink_to("../../..")
    log_path().unlink(missing_ok=True)
    run_logged(
        ["make", "WHAT=cmd/kube-apiserver"],
        timeout=BUILD_TIMEOUT,
        log=log_path(),
        env=_environment(work, tree),
        cwd=tree,
    )
    (tree / "_output/bin/kube-apiserver").resolve().rename(target)


def _replace_reflect2(work: Path, tree: Path) -> None:
    shutil.rmtree(tree / "vendor" / REFLECT2)
    debian.unpack(debian.BOOKWORM, "golang-github-modern-go-reflect2-dev", work / "reflect2")
    (work / "reflect2/usr/share/gocode/src" / REFLECT2).rename(tree / "vendor" / REFLECT2)


def _mend_zero_test(source: Path) -> None:
    text = source.read_text()
    if text.count(ZERO_TEST) != 1:
        raise LabError(f"{TYPE_CHECK} is not what this build was tried with; look at its test for a zero value")
    source.write_text(text.replace(ZERO_TEST, "data == nil"))


def _source_tree(work: Path) -> Path:
    """Unpack the upstream archive of the source package below the scratch directory."""
    downloads = work / "source"
    downloads.mkdir()
    apt.download_source(debian.BOOKWORM, "kubernetes", downloads)
    archive = next(downloads.glob("kubernetes_*.orig.tar.*"))
    found = re.search(r"really([\d.]+)\.orig", archive.name)
    if found is None or found[1] != VERSION:
        raise LabError(
            f"Debian's kubernetes source is now {archive.name}; this build was tried with {VERSION}. Point"
            " KUBEBUILDER_ASSETS at a directory with a kube-apiserver, or change VERSION in apiserver_build.py"
        )
    with tarfile.open(archive) as files:  # apt has checked it against the signed index
        files.extractall(work / "tree")
    (top,) = (work / "tree").iterdir()
    return top


def _environment(work: Path, tree: Path) -> dict[str, str]:
    tools = work / "tools"
    tools.mkdir()
    rsync = debian.executable(debian.BOOKWORM, "rsync", "usr/bin/rsync", libraries=RSYNC_LIBRARIES)
    (tools / "rsync").symlink_to(rsync)
    goroot = _goroot(work)
    version = work / "version.sh"
    major, minor, _ = VERSION.split(".")
    version.write_text(
        f"KUBE_GIT_COMMIT='debian'\nKUBE_GIT_TREE_STATE='archive'\nKUBE_GIT_VERSION='v{VERSION}'\n"
        f"KUBE_GIT_MAJOR='{major}'\nKUBE_GIT_MINOR='{minor}'\n"
    )
    return {
        "PATH": f"{tools}:{goroot}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(work),
        "GOROOT": str(goroot),
        "GOPATH": str(tree / ".go"),
        "GOCACHE": str(work / "gocache"),
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "KUBE_GIT_VERSION_FILE": str(version),
        "LC_ALL": "C",
    } | ({"TMPDIR": os.environ["TMPDIR"]} if "TMPDIR" in os.environ else {})


def _goroot(work: Path) -> Path:
    """Put the two packages that make up Go 1.19 together, because they fill one tree."""
    for package in ("golang-1.19-go", "golang-1.19-src"):
        debian.unpack(debian.BOOKWORM, package, work / "go")
    return work / "go/usr/lib/go-1.19"
