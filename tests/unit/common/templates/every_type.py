"""A template with a parameter of every type, in every place that takes it, and how tests resolve one."""

from datetime import date

from common.templates.resolve import resolve
from common.templates.resolved import ResolvedStatement, ResolvedTemplate
from common.templates.template import Template
from common.warehouse.warehouse import TableRef

PLACES = {"shared.samples": "gs://bucket/samples"}
SOURCES = {"billing_export": TableRef("exports", "billing", "their-project"), "rates": TableRef("shared", "rates")}
TODAY = date(2025, 11, 20)
EVERY_TYPE = """\
description: Of {tenant_id}
parameters:
  date: {type: date, required: true}
  text: {type: string, default: none}
  count: {type: integer, default: 3}
  ratio: {type: number, default: 0.5}
  flag: {type: boolean, default: true}
  kind: {type: enum, values: [a, b], default: a}
  source: {type: table, default: other}
  column: {type: identifier, default: amount}
  note: {type: string}
steps:
  - id: only
    type: query
    sql: |
      SELECT {column} AS amount, '{text}' AS text, @count AS n, @ratio AS r, @flag AS f, '{kind}' AS k, @note AS note, '{source}' AS s
      FROM {source} JOIN `{tenant_id}.{column}` USING (day) WHERE day = '{date}'
    destination: {table: out, write: replace_partition, partition: {column: day, value: "{date}"}}
    max_attempts: "{count}"
    checks:
      - {type: reconcile, measure: "SUM({column})", with: "SELECT SUM({column}) FROM {source} WHERE day = @date AND x = '{text}'"}
      - {type: accepted_values, column: k, values: ["{kind}", "{text}", fixed]}
      - {type: range, column: n, min: "{count}", max: "{ratio}"}
      - {type: row_count, min: "{count}", max_change: 0.5}
      - {type: relationships, column: s, to: "{source}", field: "{column}"}
      - {type: expression, sql: "text = '{text}' OR amount > @count"}
""".replace("AS amount,", "AS amount, day,")


def run(template: Template, day: str = "2025-11-15", /, **parameters: str) -> ResolvedTemplate:
    return run_on(TODAY, template, day, **parameters)


def run_on(today: date, template: Template, day: str, /, **parameters: str) -> ResolvedTemplate:
    return resolve(
        template, tenant_id="acme", sources=SOURCES, date=day, parameters=parameters, today=today, places=PLACES
    )


def statements(resolved: ResolvedTemplate) -> list[ResolvedStatement]:
    found = [step.query.select for step in resolved.steps if step.query]
    for step in resolved.steps:
        found += [statement for check in step.checks for statement in (check.measure, check.sample) if statement]
    return found
