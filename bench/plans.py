"""The plan that the measured runs execute: of the billing template, as RunTemplate makes it."""

from datetime import date

from common.templates.catalog import Catalog, default_configs_dir
from common.templates.resolve import resolve
from common.templates.template import TemplateName
from local_stack.sample_data import export_table
from pipeline_service.plan import Plan

PROVIDER, DOMAIN, TEMPLATE = "gcp", "cost", "bill-sample-export-template"


def billing_plan(tenant_id: str, day: str) -> Plan:
    """The plan of one day."""
    catalog = Catalog(default_configs_dir())
    catalog.load()
    sources = {"billing_export": export_table(tenant_id)}
    resolved = resolve(
        catalog.get(TemplateName(PROVIDER, DOMAIN, TEMPLATE)),
        tenant_id=tenant_id,
        sources=sources,
        date=day,
        parameters={},
        today=date.fromisoformat(day),
    )
    return Plan.of(resolved, trigger_by="bench", principal="bench")
