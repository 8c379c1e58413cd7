"""Values in the engine."""

from pipeline_service.plan import Plan
from pipeline_service.temporal_payloads import DATA_CONVERTER, Payloads
from tests.unit.pipeline_service.plans import plan


async def test_a_plan_comes_back_as_it_went_in() -> None:
    wanted = plan("acme")
    (payload,) = await DATA_CONVERTER.encode([wanted])
    assert payload.metadata["encoding"] == b"json/plain"
    assert await DATA_CONVERTER.decode([payload], [Plan]) == [wanted]


def test_the_converters_of_all_workflows_share_what_reads_a_type() -> None:
    first, second = Payloads(), Payloads()
    assert first.converters[b"json/plain"] is second.converters[b"json/plain"]
