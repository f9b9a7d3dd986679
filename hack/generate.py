"""Writes the files that are made from others: CRDs from the models, tables of the pages in docs/, dashboards, and what the chart has of these.

python -m hack.generate            # write them
python -m hack.generate --check    # write nothing; show the difference and fail if there is one
"""

import difflib
import sys
from pathlib import Path
from typing import Final

import yaml

from controller.api.crd import definition
from controller.api.kinds import GROUP, KINDS, Kind
from hack import agent_tables, chart_files, dashboards, life_tables, monitoring_tables
from hack.reference_tables import with_tables

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = (Path("docs") / "container.md", Path("docs") / "containernode.md")
AGENT_PAGE: Final = Path("docs") / "agent.md"
MANAGER_PAGE: Final = Path("docs") / "manager.md"
LIFE_PAGE: Final = Path("docs") / "lifecycle.md"
MONITORING_PAGE: Final = Path("docs") / "monitoring.md"
_HEADER: Final = "# Generated from the models in controller/api by `python -m hack.generate`; do not edit.\n"


def generated() -> dict[Path, str]:
    """Every generated file, by its path in the tree, as it should be."""
    made = {
        **{Path("crds") / f"{GROUP}_{kind.plural}.yaml": _definition(kind) for kind in KINDS},
        **{page: with_tables((ROOT / page).read_text()) for page in PAGES},
        AGENT_PAGE: agent_tables.with_tables((ROOT / AGENT_PAGE).read_text()),
        MANAGER_PAGE: agent_tables.with_manager_tables((ROOT / MANAGER_PAGE).read_text()),
        LIFE_PAGE: life_tables.with_tables((ROOT / LIFE_PAGE).read_text()),
        MONITORING_PAGE: monitoring_tables.with_table((ROOT / MONITORING_PAGE).read_text()),
        **dashboards.generated(),
    }
    return made | chart_files.generated(ROOT, made)


def _definition(kind: Kind) -> str:
    return _HEADER + yaml.safe_dump(definition(kind), sort_keys=False, allow_unicode=True, width=120)


def differences(root: Path = ROOT) -> str:
    """The tree against what it should be, as a unified diff; empty when all is up to date."""
    found: list[str] = []
    for path, wanted in generated().items():
        present = (root / path).read_text() if (root / path).exists() else ""
        found += difflib.unified_diff(
            present.splitlines(keepends=True), wanted.splitlines(keepends=True), str(path), f"{path} (generated)"
        )
    return "".join(found)


def write(root: Path = ROOT) -> None:
    """Brings the tree up to date."""
    for path, text in generated().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m hack.generate [--check]\n")
        return 2
    if arguments:
        difference = differences()
        sys.stdout.write(difference and f"{difference}\nOut of date; run `python -m hack.generate`.\n")
        return 1 if difference else 0
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
