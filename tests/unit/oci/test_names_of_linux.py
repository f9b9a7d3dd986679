"""Signals, capabilities and kernel parameters under the names that users write."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api import capabilities, signals
from controller.api.sysctls import canonical, sysctl_problem


@pytest.mark.feature("D2")
@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGTERM", 15), ("TERM", 15), ("15", 15), ("term", 15), ("sigint", 2), ("1", 1), ("64", 64), ("SIGRTMIN", 34),
     ("SIGRTMIN+3", 37), ("rtmin+30", 64), ("RTMAX", 64), ("SIGRTMAX-2", 62), ("SIGPOLL", 29), ("CLD", 17), ("09", 9)],
)  # fmt: skip
def test_signals_are_read_in_every_form(text: str, number: int) -> None:
    assert signals.parse_signal(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "0", "65", "-1", "SIGFOO", "SIG", "15.0", " TERM", "RTMIN-1", "RTMIN+31", "RTMAX+1", "٣", "115", "RTMIN+"],
)
def test_other_texts_are_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(ValueError, match=r"SIGTERM|SIGRTMIN"):
        signals.parse_signal(text)


@pytest.mark.parametrize("number", range(1, 65))
def test_every_number_has_a_name_that_leads_back(number: int) -> None:
    name = signals.signal_name(number)
    if number in (32, 33):
        assert name == f"signal {number}"
    else:
        assert signals.parse_signal(name) == number


def test_the_table_is_linux_own() -> None:
    assert {name: getattr(signal, name).value for name in signals.SIGNALS} == dict(signals.SIGNALS)


@given(st.text(max_size=20))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        assert 1 <= signals.parse_signal(text) <= 64
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("NET_ADMIN", "CAP_NET_ADMIN"),
        ("CAP_NET_ADMIN", "CAP_NET_ADMIN"),
        ("net_admin", "CAP_NET_ADMIN"),
        ("ALL", "ALL"),
        ("cap_all", "ALL"),
    ],
)
def test_capabilities_are_read_with_and_without_prefix(name: str, full: str) -> None:
    assert capabilities.normalise(name) == full


@pytest.mark.parametrize("name", ["", "CAP_", "NET_ADMIN ", "CAP_CAP_NET_ADMIN", "ROOT"])
def test_unknown_capabilities_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a Linux capability"):
        capabilities.normalise(name)


@pytest.mark.parametrize(
    ("name", "host_network", "problem"),
    [
        pytest.param("net.core.somaxconn", False, None, id="the network's, of its own"),
        pytest.param("net/core/somaxconn", False, None, id="written with slashes"),
        pytest.param("net.core.somaxconn", True, "on the host network", id="the network's, of the node"),
        pytest.param("net/core/somaxconn", True, "on the host network", id="of the node, with slashes"),
        pytest.param("kernel.shmmax", True, None, id="shared memory"),
        pytest.param("kernel.shm_rmid_forced", False, None, id="shared memory's removal"),
        pytest.param("kernel.msgmax", False, None, id="message queues"),
        pytest.param("kernel.sem", False, None, id="semaphores"),
        pytest.param("fs.mqueue.msg_max", False, None, id="POSIX message queues"),
        pytest.param("kernel.hostname", False, "use the field hostname", id="the host name"),
        pytest.param("kernel.domainname", False, "can't be set", id="the domain name"),
        pytest.param("kernel.core_pattern", False, "belongs to the node", id="a way to root"),
        pytest.param("kernel.shmmax_x", False, "belongs to the node", id="a name that only begins alike"),
        pytest.param("vm.swappiness", False, "belongs to the node", id="memory"),
        pytest.param("net", False, "is not the name", id="a group of parameters"),
        pytest.param("", False, "is not the name", id="nothing"),
        pytest.param("net.../../kernel.core_pattern", False, "is not the name", id="a way out of the directory"),
        pytest.param("net..core", False, "is not the name", id="an empty part"),
        pytest.param("net." + "a" * 260, False, "is not the name", id="too long"),
    ],
)
def test_only_parameters_of_the_container_may_be_set(name: str, host_network: bool, problem: str | None) -> None:
    found = sysctl_problem(name, host_network)

    assert found is None if problem is None else problem in (found or "")


def test_slashes_and_dots_change_places() -> None:
    assert canonical("net/ipv4/conf/eth0.1/forwarding") == "net.ipv4.conf.eth0/1.forwarding"
    assert canonical("net.core.somaxconn") == "net.core.somaxconn"
