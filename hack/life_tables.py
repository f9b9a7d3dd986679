"""The drawing and the tables of docs/lifecycle.md, made from the machine that decides: `controller.agent.life`. Pure.

The drawing leaves out what is not of the agent's doing but for the ends of processes; the table has every edge.
"""

import re
from collections.abc import Iterator
from typing import Final

from controller.agent.life import EDGES, MEANING, NODE, PROCESS, STATES, Edge, Phase

_DRAWN: Final = (PROCESS, NODE)


def with_tables(page: str) -> str:
    """The page with its drawing and its tables as they should be, between their marks."""
    for name, lines in (("drawing", _drawing()), ("phases", _phases()), ("edges", _edges()), ("states", _states())):
        page = _filled(page, name, "\n".join(lines))
    return page


def _filled(page: str, name: str, text: str) -> str:
    marks = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    return re.sub(marks, lambda found: f"{found[1]}{text}\n{found[2]}", page, flags=re.DOTALL)


def _drawing() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    direction TB"
    yield f"    [*] --> {Phase.CREATED}: CreateContainer"
    for (source, target), who in _arrows().items():
        end = "[*]" if target is Phase.ABSENT else target
        yield f"    {source} --> {end}: {', '.join(who)}"
    yield "```"


def _arrows() -> dict[tuple[Phase, Phase], list[str]]:
    """Who leads from one phase to another; first steps, and steps that were cut short, are left out."""
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for edge in EDGES:
        if _is_drawn(edge):
            arrows.setdefault((edge.source, edge.target), []).append(edge.by)
    return arrows


def _is_drawn(edge: Edge) -> bool:
    by_us = edge.by[0].isupper() or edge.by in _DRAWN
    return by_us and edge.source is not Phase.ABSENT and not edge.rare


def _phases() -> Iterator[str]:
    yield "| Phase | What it is |"
    yield "| --- | --- |"
    for phase in Phase:
        yield f"| `{phase}` | {MEANING[phase]} |"


def _edges() -> Iterator[str]:
    yield "| From | To | By | When |"
    yield "| --- | --- | --- | --- |"
    order = list(Phase)
    for edge in sorted(EDGES, key=lambda edge: (order.index(edge.source), order.index(edge.target), edge.rare)):
        yield f"| `{edge.source}` | `{edge.target}` | {edge.by} | {edge.when} |"


def _states() -> Iterator[str]:
    yield "| `status.state` | Phases |"
    yield "| --- | --- |"
    for state, phases in STATES.items():
        yield f"| `{state}` | {'any' if set(phases) == set(Phase) else ', '.join(f'`{one}`' for one in phases)} |"
