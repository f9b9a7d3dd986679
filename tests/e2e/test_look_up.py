"""`tallyman find`: a Container by its name, its id, or a unique beginning of its id."""

import os
import subprocess

import pytest

from tests.e2e.agent_process import PROGRAM
from tests.e2e.cluster import Namespace
from tests.e2e.objects import container_id, is_running


def _find(namespace: Namespace, *words: str) -> tuple[int, str]:
    """Run it; returns the exit code and all that it printed."""
    done = subprocess.run(
        [str(PROGRAM), "find", *words],
        env={**os.environ, "KUBECONFIG": namespace.cluster.kubeconfig},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.mark.feature("L6")
def test_a_container_is_found_by_name_id_and_unique_beginning(namespace: Namespace) -> None:
    # By the pigeonhole principle two of seventeen ids begin with the same digit.
    names = [f"box-{number}" for number in range(17)]
    for name in names:
        namespace.sleeper(name)
    bodies = namespace.wait_all(names, is_running)
    ids = {name: container_id(body) for name, body in bodies.items()}
    own = ["-n", namespace.name]
    full = ids["box-3"]

    assert _find(namespace, full, "-o", "name") == (0, f"{namespace.name}/box-3")
    assert _find(namespace, "box-3", "-o", "id", *own) == (0, full)
    assert _find(namespace, f"{namespace.name}/box-3", "-o", "id") == (0, full)
    code, shown = _find(namespace, "box-3", *own)
    assert (code, shown.split()) == (0, [f"{namespace.name}/box-3", "Running", "node-a", full])

    shortest = next(
        full[:length] for length in range(1, 65) if sum(one.startswith(full[:length]) for one in ids.values()) == 1
    )
    assert _find(namespace, shortest, "-o", "name", *own) == (0, f"{namespace.name}/box-3")

    digits = [one[0] for one in ids.values()]
    ambiguous = next(digit for digit in digits if digits.count(digit) > 1)
    code, said = _find(namespace, ambiguous, *own)
    assert code != 0
    assert "ambiguous" in said
    meant = [name for name, one in ids.items() if one.startswith(ambiguous)]
    assert all(name in said for name in meant[:5])

    code, said = _find(namespace, "", *own)
    assert (code != 0, "empty" in said) == (True, True)
    code, said = _find(namespace, "no-such-name", *own)
    assert (code != 0, "no container" in said) == (True, True)
