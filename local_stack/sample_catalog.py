"""What the tenants of the generated export use: invented projects, Google's services with plausible SKUs and prices."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

GENERATED = {"key": "generated", "value": "true"}
"""The system label that every generated row carries."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What usage is counted in, and how much of it is one `pricing` unit."""

    name: str
    per_pricing_unit: float
    pricing: str


@dataclass(frozen=True, slots=True)
class Sku:
    """A thing to use. `hourly_cost` is what one resource costs in an ordinary hour, in USD; `price` is USD per pricing unit."""

    service_id: str
    service: str
    sku_id: str
    description: str
    hourly_cost: float
    price: float
    unit: Unit
    commitment: float = 0.0
    """Share of the cost that a committed-use discount gives back."""


COMPUTE, STORAGE = ("6F81-5844-456A", "Compute Engine"), ("95FF-2EF5-5EA1", "Cloud Storage")
BIGQUERY, SQL = ("24E6-581D-38E5", "BigQuery"), ("9662-B51E-5089", "Cloud SQL")
RUN, PUBSUB = ("152E-C115-5142", "Cloud Run"), ("A1E8-BE35-7EBC", "Cloud Pub/Sub")
LOGGING, KUBERNETES = ("5490-F7B7-8DF6", "Cloud Logging"), ("CCD8-9BF1-090E", "Kubernetes Engine")
INVOICE = ("0000-0000-0000", "Invoice")

GIB = float(1 << 30)
SECONDS = Unit("seconds", 3600.0, "hour")
GIB_OUT = Unit("bytes", GIB, "gibibyte")
TIB = Unit("bytes", GIB * 1024, "tebibyte")
REQUESTS = Unit("requests", 1.0, "count")
GIB_MONTH = Unit("byte-seconds", GIB * 3600 * 730, "gibibyte month")
SKUS = (
    Sku(*COMPUTE, "2E27-4F75-95CD", "N1 Predefined Instance Core running in Americas", 1.9, 0.031611, SECONDS, 0.37),
    Sku(*COMPUTE, "6C71-E844-38BC", "N1 Predefined Instance Ram running in Americas", 0.8, 0.004237, SECONDS, 0.37),
    Sku(*COMPUTE, "D973-5D65-BAB2", "Storage PD Capacity", 0.35, 0.04, GIB_MONTH),
    Sku(*COMPUTE, "F449-33EC-A5EF", "Network Internet Egress from Americas to Americas", 0.22, 0.085, GIB_OUT),
    Sku(*STORAGE, "E5F0-6A5D-7BAD", "Standard Storage US Multi-region", 0.4, 0.026, GIB_MONTH),
    Sku(*STORAGE, "4DBF-185F-A415", "Regional Standard Class A Operations", 0.06, 0.000005, REQUESTS),
    Sku(*BIGQUERY, "3362-E469-6BEF", "Analysis", 1.1, 6.25, TIB),
    Sku(*BIGQUERY, "947D-3B46-7781", "Active Logical Storage", 0.18, 0.02, GIB_MONTH),
    Sku(*SQL, "2F0F-E0D5-4B1F", "Cloud SQL for PostgreSQL: Zonal - vCPU in Americas", 0.7, 0.0413, SECONDS, 0.25),
    Sku(*SQL, "6DD0-4D31-9C0A", "Cloud SQL for PostgreSQL: Zonal - RAM in Americas", 0.3, 0.007, SECONDS, 0.25),
    Sku(*RUN, "AA5E-22D7-7B0C", "Services CPU (Request-based billing)", 0.25, 0.0864, SECONDS),
    Sku(*PUBSUB, "6A01-7C8B-1F4E", "Message Delivery Basic", 0.12, 40.0, TIB),
    Sku(*LOGGING, "143F-A1B0-E0BE", "Log Storage cost", 0.15, 0.5, GIB_OUT),
    Sku(*KUBERNETES, "B561-BFBD-1264", "Zonal Kubernetes Clusters", 0.1, 0.1, SECONDS),
)
TEAMS = (("",), ("web",), ("core",), ("", "data"))
"""Who owns a resource, one choice for each SKU of a project; an empty name means that nobody put a label on it."""
REGIONS = ("us-central1", "us-east1", "us-west1")


@dataclass(frozen=True, slots=True)
class Profile:
    """A tenant of the sample. `scale` multiplies every cost; projects with `promotion` get that share back."""

    tenant_id: str
    seed: int
    scale: float
    billing_account_id: str
    organization: str
    projects: tuple[tuple[str, float], ...]


PROFILES = (
    Profile(
        "acmeinc_23xv2",
        2342,
        1.0,
        "01ACME-23A5B2-5AMP1E",
        "acmeinc.example",
        (("shop", 0.0), ("search", 0.0), ("payments", 0.0), ("analytics", 0.0), ("staging", 0.15), ("sandbox", 1.0)),
    ),
    Profile(
        "techcorp_99zx4",
        9994,
        2.6,
        "01TECH-99C0A4-5AMP1E",
        "techcorp.example",
        (("platform", 0.0), ("ml", 0.0), ("edge", 0.0), ("warehouse", 0.0), ("ci", 0.1), ("research", 0.4)),
    ),
)


@dataclass(frozen=True, slots=True)
class Resource:
    """A SKU in use by a project: one row an hour. `columns` are the values that are the same in every one of its rows; `refunds` are
    its credits: (name, type, share of the cost)."""

    sku: Sku
    hourly_cost: float
    columns: dict[str, Any]
    refunds: tuple[tuple[str, str, float], ...]


def resources(profile: Profile) -> Iterator[Resource]:
    """Everything that a tenant uses, the same every time."""
    chance = random.Random(profile.seed)  # noqa: S311  a sample, not a secret
    for place, (name, promotion) in enumerate(profile.projects):
        number = str(chance.randrange(10**11, 10**12))
        environment = "dev" if promotion else "prod"
        folder = str(chance.randrange(10**11, 10**12))
        project = {
            "id": f"{profile.tenant_id.partition('_')[0]}-{name}",
            "number": number,
            "name": name,
            "labels": [{"key": "env", "value": environment}, {"key": "cost_center", "value": f"cc-{100 + place}"}],
            "ancestry_numbers": f"/{profile.seed}/{folder}/",
            "ancestors": [
                {"resource_name": f"projects/{number}", "display_name": name},
                {"resource_name": f"folders/{folder}", "display_name": environment},
                {"resource_name": f"organizations/{profile.seed}", "display_name": profile.organization},
            ],
        }
        for sku in SKUS:
            refunds = tuple(_refunds(sku, promotion))
            for team in chance.choice(TEAMS):
                hourly_cost = sku.hourly_cost * profile.scale * chance.uniform(0.2, 1.8)
                yield Resource(sku, hourly_cost, _columns(sku, project, team, chance), refunds)


def _refunds(sku: Sku, promotion: float) -> Iterator[tuple[str, str, float]]:
    if sku.commitment:
        yield f"Committed usage discount: {sku.service}", "COMMITTED_USAGE_DISCOUNT", sku.commitment
    if promotion:
        yield "Generated promotion", "PROMOTION", promotion * (1 - sku.commitment)


def _columns(sku: Sku, project: dict[str, Any], team: str, chance: random.Random) -> dict[str, Any]:
    region = chance.choice(REGIONS)
    system = [GENERATED]
    if sku.commitment:
        system.append({"key": "compute.googleapis.com/cores", "value": str(chance.choice((2, 4, 8)))})
    return {
        "service": {"id": sku.service_id, "description": sku.service},
        "sku": {"id": sku.sku_id, "description": sku.description},
        "project": project,
        "labels": [{"key": "team", "value": team}, {"key": "app", "value": project["name"]}] if team else [],
        "system_labels": system,
        "location": {
            "location": region,
            "country": "US",
            "region": region,
            "zone": f"{region}-a" if sku.commitment else None,
        },
    }
