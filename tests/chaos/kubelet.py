"""What Kubernetes does to a pod of a Deployment that is deleted, without queue-proxy: endpoints, preStop, SIGTERM.

At once and at the same time: the endpoint is marked as leaving, which every gateway and node learns some time later;
and the kubelet waits out `preStop`, sends SIGTERM, and SIGKILL when the grace has passed since the beginning.
"""
# ruff: noqa: ASYNC110  # another process gives no event

import asyncio
import signal
import time

from chaos.queue_proxy import Ending
from chaos.service import Service
from support.processes import Server


class Kubelet:
    """Ends pods behind one Service.

    Args:
        service: what has to learn that a pod leaves.
        learns_after_s: how long that takes it.
        pre_stop_s: `lifecycle.preStop.sleep`.
        grace_s: `terminationGracePeriodSeconds`.
    """

    def __init__(self, *, service: Service, learns_after_s: float, pre_stop_s: float, grace_s: float) -> None:
        self._service = service
        self._learns_after_s = learns_after_s
        self._pre_stop_s = pre_stop_s
        self._grace_s = grace_s

    async def end_pod(self, pod: Server) -> Ending:
        """Do what happens when the pod is deleted."""
        told_s = time.monotonic()
        endpoint = asyncio.create_task(self._forget(pod.port))
        await asyncio.sleep(self._pre_stop_s)
        sigterm_s = time.monotonic()
        pod.process.send_signal(signal.SIGTERM)
        killed = False
        try:
            async with asyncio.timeout(told_s + self._grace_s - time.monotonic()):
                while pod.process.poll() is None:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pod.process.kill()
            killed = True
        status = await asyncio.to_thread(pod.process.wait, 10)
        await endpoint
        return Ending(
            last_request_s=0.0,
            sigterm_s=sigterm_s - told_s,
            ended_s=time.monotonic() - told_s,
            status=status,
            killed=killed,
        )

    async def _forget(self, port: int) -> None:
        await asyncio.sleep(self._learns_after_s)
        self._service.remove(port)
