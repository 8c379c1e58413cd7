"""A run's names: from the id and the tenant back to the workflow, and to no other tenant's."""

import uuid

from pipeline_service.run_id import pipeline_logging_id_for, workflow_id_for, workflow_id_of

PARAMETERS = {"date": "2025-11-15", "region": "eu"}
WORKFLOW = workflow_id_for("acme", "acme-gcp-cost-bill", PARAMETERS)


def test_the_id_is_a_uuid_of_version_8() -> None:
    parsed = uuid.UUID(pipeline_logging_id_for(WORKFLOW, "engine run"))
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)


def test_the_id_leads_back_to_its_workflow() -> None:
    for number in range(100):
        workflow_id = workflow_id_for("acme", f"acme-gcp-cost-{number}", PARAMETERS)
        assert workflow_id_of("acme", pipeline_logging_id_for(workflow_id, "engine run")) == workflow_id


def test_the_id_leads_another_tenant_to_a_workflow_of_its_own() -> None:
    assert workflow_id_of("other", pipeline_logging_id_for(WORKFLOW, "engine run")) == WORKFLOW.replace("acme", "other")


def test_runs_of_one_workflow_have_different_ids() -> None:
    assert pipeline_logging_id_for(WORKFLOW, "one") != pipeline_logging_id_for(WORKFLOW, "other")


def test_the_workflow_is_the_same_whatever_the_order_of_parameters() -> None:
    assert workflow_id_for("acme", "acme-gcp-cost-bill", dict(reversed(PARAMETERS.items()))) == WORKFLOW


def test_the_workflow_differs_by_tenant_pipeline_and_every_parameter() -> None:
    others = {
        workflow_id_for("other", "acme-gcp-cost-bill", PARAMETERS),
        workflow_id_for("acme", "acme-gcp-cost-bills", PARAMETERS),
        workflow_id_for("acme", "acme-gcp-cost-bill", PARAMETERS | {"date": "2025-11-16"}),
        workflow_id_for("acme", "acme-gcp-cost-bill", {"date": "2025-11-15"}),
    }
    assert len(others | {WORKFLOW}) == 5


def test_a_uuid_of_another_version_is_no_run() -> None:
    assert workflow_id_of("acme", str(uuid.uuid4())) is None
