"""What health checks cost the agent, beside a bare program that makes as many connections."""

import asyncio
import time
from time import perf_counter

from bench import measure
from bench.cluster import Cluster, is_ready
from bench.world import World

AT_ONCE = 20
PORT = 8080


async def of_agent(cluster: Cluster, here: World, count: int, rate: float, seconds: float) -> float:
    """The agent's CPU share in percent of a core while it makes `rate` TCP checks a second, of so many containers."""
    names = [f"checked-{number}" for number in range(count)]
    server = {"command": ["httpd", "-f", "-p", f"127.0.0.1:{PORT}"], "terminationGracePeriodSeconds": 0}
    check = {"tcpSocket": {"port": PORT}, "intervalSeconds": count / rate}
    spec = {**measure.container(here.image), **server, "healthCheck": check}
    for some in (names[at : at + AT_ONCE] for at in range(0, count, AT_ONCE)):
        ready = [cluster.expect(name, is_ready) for name in some]
        await asyncio.gather(*(cluster.apply(name, spec) for name in some))
        await asyncio.wait_for(asyncio.gather(*ready), measure.TIMEOUT)
    await asyncio.sleep(measure.SETTLE_SECONDS)
    share = (await measure.at_rest(here.agent.pid, seconds))["cpu"]
    await measure.remove(cluster, *names)
    return share


async def bare(address: str, rate: float, seconds: float) -> float:
    """The CPU share in percent of a core of this process while it makes and closes `rate` connections a second to HOST:PORT."""
    host, _, port = address.rpartition(":")
    before, since = time.process_time(), perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, since + number / rate - perf_counter()))
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        await writer.wait_closed()
    return 100 * (time.process_time() - before) / (perf_counter() - since)
