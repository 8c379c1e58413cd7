"""Tells how often the caches of authentication had what was looked for. Counted by the caches, asked for when metrics are sent."""

from collections.abc import Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Observation

from common.lookups import Lookups
from common.telemetry.telemetry import Telemetry


def tell_lookups(telemetry: Telemetry | None, caches: Mapping[str, Lookups]) -> None:
    """Tell of these caches, by their names, from now on; nobody where `telemetry` is None."""
    if telemetry is None:
        return

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        for name, lookups in caches.items():
            for result, count in (("hit", lookups.hits), ("miss", lookups.misses)):
                yield Observation(count, {"convergence.cache": name, "convergence.cache.result": result})

    telemetry.meter.create_observable_counter(
        "convergence.auth.lookups", [observe], "{lookup}", "Look-ups of API keys and tenants: a miss waits for a read"
    )
