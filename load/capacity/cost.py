"""Money: what pods cost by the CPU they reserve, and what a million predictions cost.

Node prices: Azure on-demand Linux, eastus, US dollars an hour for 4 vCPU, as generated from the Retail Prices API on
2026-06-18 in Azure/karpenter-provider-azure ``pkg/providers/pricing/zz_generated.pricing.go``.
"""

import dataclasses

HOURS_PER_MONTH = 730
SECONDS_PER_HOUR = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A virtual machine size: its vCPUs and dollars an hour."""

    name: str
    vcpus: int
    dollars_per_hour: float

    @property
    def dollars_per_vcpu_hour(self) -> float:
        """Price of one vCPU for an hour."""
        return self.dollars_per_hour / self.vcpus


NODES = {
    node.name: node
    for node in (
        Node("D4ads_v6", 4, 0.228),
        Node("D4as_v7", 4, 0.182),
        Node("D4als_v7", 4, 0.161),
        Node("F4als_v7", 4, 0.242),
        Node("F4as_v7", 4, 0.273),
        Node("D4s_v6", 4, 0.202),
        Node("D4s_v7", 4, 0.265),
        Node("D4pls_v6", 4, 0.124),
    )
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """How pods become dollars.

    A pod costs its vCPU request (sidecars included) at the node's price, divided by the share of a node's vCPUs that
    pods can reserve. ``redis_dollars_per_hour`` is added once.
    """

    node: Node = NODES["D4ads_v6"]
    transformer_vcpus: float = 1.1
    predictor_vcpus: float = 2.1
    packing: float = 0.9
    redis_dollars_per_hour: float = 0.0

    def pods_per_hour(self, *, transformers: float, predictors: float) -> float:
        """Give dollars an hour for (mean) numbers of pods, Redis included."""
        vcpus = transformers * self.transformer_vcpus + predictors * self.predictor_vcpus
        return vcpus * self.node.dollars_per_vcpu_hour / self.packing + self.redis_dollars_per_hour

    def per_million(self, *, transformers: float, predictors: float, requests_per_s: float) -> float:
        """Give dollars per million requests served at a steady rate.

        Raises:
            ValueError: the rate is not above 0.
        """
        if requests_per_s <= 0:
            raise ValueError("requests_per_s must be above 0")
        hourly = self.pods_per_hour(transformers=transformers, predictors=predictors)
        return hourly / (requests_per_s * SECONDS_PER_HOUR) * 1e6
