"""Run every measurement, or some, and print the table: `python -m bench [--quick] [--only LETTERS]`."""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import checking, fleet, measure, output, raw, restarting, scraping
from bench.cluster import Cluster, connected
from bench.table import Row, percentile, print_rows
from bench.world import World, control_plane, world
from controller.containerd.client import Containerd

LETTERS = "abcdefghi"
AT_ONCE = 8
ROUNDS = 3
"""What is short is measured in turns with its baseline, for the speed of a machine is not the same all the time."""
REST_SECONDS = 30.0
PRINTERS = (1, 50)
CHECK_RATE = 200.0
CHECK_SECONDS = 20.0
SCRAPES = 30


async def _rows(cluster: Cluster, client: Containerd, here: World, only: str, count: int, burst: int) -> list[Row]:
    rows: list[Row] = []
    await measure.start(cluster, "template", here.image)
    made_from = await raw.template(client, cluster.statuses["template"]["containerID"])
    if "a" in only:
        rows += await _latency(cluster, client, here, made_from, count)
    if "b" in only or "e" in only:
        rows += await _burst_and_rest(cluster, client, here, made_from, burst)
    if "c" in only:
        rows.append(await _exits(cluster, client, here, made_from, count))
    if "d" in only:
        rows.append(await _writes(cluster, here))
    await measure.remove(cluster, "template")
    if "f" in only:
        rows += [await _output(cluster, client, here, printers) for printers in PRINTERS]
    if "g" in only:
        rows.append(await _restarts(cluster, client, here, made_from, count))
    if "h" in only:
        rows.append(await _adoption(cluster, here, 2 * burst))
    if "i" in only:
        rows.append(await _checks(cluster, here, 2 * burst))
    return rows


async def _burst_and_rest(
    cluster: Cluster, client: Containerd, here: World, made_from: raw.Template, count: int
) -> list[Row]:
    names = [f"burst-{number}" for number in range(count)]
    rows = [
        await _burst(cluster, client, here, made_from, names),
        await _rest(here, count),
        await _scrape(here, count),
    ]
    await measure.remove(cluster, *names)
    return rows


async def _latency(cluster: Cluster, client: Containerd, here: World, made_from: raw.Template, count: int) -> list[Row]:
    await measure.serial(cluster, here.image, 3)
    await raw.serial(client, made_from, 3)
    floor, ours = [], []
    for _ in range(count):
        floor += await raw.serial(client, made_from, 1)
        ours += await measure.serial(cluster, here.image, 1)
    p50, p95, raw50, raw95 = percentile(ours, 50), percentile(ours, 95), percentile(floor, 50), percentile(floor, 95)
    return [
        Row(
            "(a) apply → Ready, p50",
            f"{p50:.1f} ms",
            f"raw {raw50:.1f} ms",
            f"{p50 / raw50:.2f} x",
            "≤ 1.6 x",
            p50 <= 1.6 * raw50,
        ),
        Row("(a) apply → Ready, p95", f"{p95:.1f} ms", f"raw {raw95:.1f} ms", f"{p95 / raw95:.2f} x", "", True),
    ]


async def _burst(cluster: Cluster, client: Containerd, here: World, made_from: raw.Template, names: list[str]) -> Row:
    """The last burst is left running."""
    floors, rates = [], []
    for number in range(ROUNDS):
        if number:
            await measure.remove(cluster, *names)
            await asyncio.wait_for(measure.all_told(here.metrics), measure.TIMEOUT)
        floors.append(await raw.burst(client, made_from, len(names), AT_ONCE))
        rates.append(await measure.burst(cluster, here.image, names))
    floor, ours = statistics.median(floors), statistics.median(rates)
    name = f"(b) burst of {len(names)}, {AT_ONCE} at once"
    return Row(name, f"{ours:.1f}/s", f"raw {floor:.1f}/s", f"{ours / floor:.2f} x", "≥ 0.7 x", ours >= 0.7 * floor)


async def _exits(cluster: Cluster, client: Containerd, here: World, made_from: raw.Template, count: int) -> Row:
    floor = percentile(await raw.exits(client, made_from, count), 50)
    p50 = percentile(await measure.exits(cluster, here.image, count), 50)
    ratio = f"{p50 / floor:.2f} x"
    return Row("(c) exit → status, p50", f"{p50:.1f} ms", f"exit event {floor:.1f} ms", ratio, "≤ 50 ms", p50 <= 50)


async def _writes(cluster: Cluster, here: World) -> Row:
    lives = 5
    before = await measure.writes(cluster)
    for number in range(lives):
        await measure.start(cluster, f"life-{number}", here.image)
        await measure.remove(cluster, f"life-{number}")
    per_life = (await measure.writes(cluster) - before) / lives
    return Row(
        "(d) API writes per life", f"{per_life:.1f}", "user's own 2", f"{per_life / 2:.2f} x", "≤ 4", per_life <= 4
    )


async def _output(cluster: Cluster, client: Containerd, here: World, count: int) -> Row:
    made_from = await output.template(cluster, client, here)
    floor = await output.of_cat(client, made_from, here.directory / f"cat-{count}", count)
    ours = await output.of_agent(cluster, here, count)
    name = f"(f) output of {count} container{'s' if count > 1 else ''}"
    value, baseline = (f"{rate.megabytes:.0f} MB/s at {rate.cpu:.0f} % CPU" for rate in (ours, floor))
    ratio = f"{ours.megabytes / floor.megabytes:.2f} x"
    target = "≥ 100 MB/s" if count == 1 else ""
    return Row(name, value, f"cat {baseline}", ratio, target, not target or ours.megabytes >= 100)


async def _restarts(cluster: Cluster, client: Containerd, here: World, made_from: raw.Template, count: int) -> Row:
    floors, ours, turn = [], [], -(-count // ROUNDS)
    for _ in range(ROUNDS):
        floors += await raw.serial(client, made_from, turn)
        ours += await restarting.restarts(cluster, here.image, turn)
    floor, p50 = percentile(floors, 50), percentile(ours, 50)
    name = "(g) exit → running again, p50"
    ratio = f"{p50 / floor:.2f} x"
    return Row(name, f"{p50:.1f} ms", f"raw start {floor:.1f} ms", ratio, "≤ 1.6 x", p50 <= 1.6 * floor)


async def _adoption(cluster: Cluster, here: World, count: int) -> Row:
    floor = await restarting.adopted(cluster, here, 0)
    names = [f"running-{number}" for number in range(count)]
    await measure.burst(cluster, here.image, names)
    ours = await restarting.adopted(cluster, here, count)
    await measure.remove(cluster, *names)
    value = f"{ours.seconds:.2f} s, {ours.writes:.0f} writes"
    ratio = f"{ours.seconds / floor.seconds:.2f} x"
    name = f"(h) agent restart over {count} containers"
    met = ours.seconds <= 3 and ours.writes == 0 and ours.repeated == 0
    if ours.repeated:
        value += f", {ours.repeated:.0f} looks repeated"
    return Row(name, value, f"over none {floor.seconds:.2f} s", ratio, "≤ 3 s, no write", met)


async def _checks(cluster: Cluster, here: World, count: int) -> Row:
    floor = await checking.bare(here.metrics, CHECK_RATE, CHECK_SECONDS)
    share = await checking.of_agent(cluster, here, count, CHECK_RATE, CHECK_SECONDS)
    name = f"(i) {CHECK_RATE:g} TCP checks/s, {count} containers"
    baseline = f"bare connections {floor:.1f} %"
    return Row(name, f"{share:.1f} % of a core", baseline, f"{share / floor:.2f} x", "≤ 15 %", share <= 15)


async def _rest(here: World, count: int) -> Row:
    await asyncio.wait_for(measure.all_told(here.metrics), measure.TIMEOUT)
    rest = await measure.at_rest(here.agent.pid, REST_SECONDS)
    containerd = await measure.at_rest(here.node.daemon.pid, 5.0)
    value = f"{rest['cpu']:.2f} % of a core, {rest['rss']:.0f} MB"
    baseline = f"containerd {containerd['cpu']:.2f} %, {containerd['rss']:.0f} MB"
    met = rest["cpu"] <= 1 and rest["rss"] <= 120
    ratio = f"{rest['rss'] / containerd['rss']:.2f} x"
    return Row(f"(e) agent at rest, {count} containers", value, baseline, ratio, "≤ 1 %, ≤ 120 MB", met)


async def _scrape(here: World, count: int) -> Row:
    cost, floor = 1000 * await scraping.of_agent(here, SCRAPES), 1000 * await scraping.bare(here, SCRAPES)
    name = f"(s) scrape of {count} containers, CPU"
    baseline = f"writing it down {floor:.1f} ms"
    return Row(name, f"{cost:.1f} ms", baseline, f"{cost / floor:.2f} x", "≤ 3 x", cost <= 3 * floor)


async def _run(here: World, only: str, count: int, burst: int) -> list[Row]:
    async with connected() as cluster, Containerd(here.node.address, here.node.namespace) as client:
        return await _rows(cluster, client, here, only, count, burst)


def _one_node(only: str, *, quick: bool) -> list[Row]:
    """The rows about one agent that stands alone."""
    with (
        tempfile.TemporaryDirectory(prefix="tallyman-bench-") as directory,
        control_plane(Path(directory)) as plane,
        world(Path(directory), plane) as here,
    ):
        return asyncio.run(_run(here, only, 5 if quick else 40, 10 if quick else 100))


def _tables(only: str, *, quick: bool) -> Iterator[list[Row]]:
    """Each is shown as it comes: what takes long and fails in the end must not take the others with it."""
    if set(only) & set(LETTERS):
        yield _one_node(only, quick=quick)
    yield from fleet.tables(only, fleet.QUICK if quick else fleet.WHOLE)


def main() -> int:
    """Run the bench; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: to see that it runs, not to compare")
    parser.add_argument(
        "--only", default=LETTERS + fleet.LETTERS, metavar="LETTERS", help="these rows, by their letters"
    )
    given = parser.parse_args()
    met = True
    for rows in _tables(given.only, quick=given.quick):
        print_rows(rows)
        met = met and all(row.met for row in rows)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
