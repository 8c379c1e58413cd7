"""Templates that load files, for tests."""

_EXPORT_COLUMNS = "\n".join(
    f"      - {{name: {name}, type: {kind}}}"
    for name, kind in (
        *((name, "STRING") for name in ("billing_account_id", "service_id", "service", "sku_id", "sku")),
        ("usage_start_time", "TIMESTAMP"),
        ("usage_end_time", "TIMESTAMP"),
        *(
            (name, "STRING")
            for name in ("project_id", "project", "project_labels", "ancestry", "labels", "system_labels")
        ),
        *((name, "STRING") for name in ("location", "country", "region", "zone")),
        ("export_time", "TIMESTAMP"),
        ("cost", "NUMERIC"),
        ("currency", "STRING"),
        ("currency_conversion_rate", "FLOAT64"),
        ("usage_amount", "FLOAT64"),
        ("usage_unit", "STRING"),
        ("usage_amount_in_pricing_units", "FLOAT64"),
        ("usage_pricing_unit", "STRING"),
        ("credits", "STRING"),
        ("invoice_month", "STRING"),
        ("cost_type", "STRING"),
        ("partition_date", "TIMESTAMP"),
    )
)
_COSTS = """
description: Loads the costs of a day
parameters:
  date: {type: date, required: true}
  part: {type: identifier, default: costs}
steps:
  - id: load
    type: load
    uri: "{location.inbox}/{tenant_id}/{date}/{part}*.csv"
    format: csv
    csv: {skip_leading_rows: 1}
    columns:
      - {name: day, type: DATE}
      - {name: service, type: STRING}
      - {name: cost, type: NUMERIC}
    destination: {table: loaded, DESTINATION}
    checks:
      - {type: not_null, column: service}
      - {type: range, column: cost, min: 0, severity: warn}
    timeout: 1m
"""
_DAILY = 'write: replace_partition, partition: {column: day, value: "{date}"}, clustering: [service]'
TEMPLATES = {
    "daily": _COSTS.replace("DESTINATION", _DAILY),
    "merged": _COSTS.replace("DESTINATION", "write: merge, keys: [service]").replace("table: loaded", "table: latest"),
    "chained": _COSTS.replace("DESTINATION", "write: replace_table")
    .replace("table: loaded", "table: whole")
    .replace(
        "    timeout: 1m\n", "    timeout: 1m\n    when: SELECT @date > DATE '2025-01-01'\n    on_failure: continue\n"
    )
    + """
  - id: sum
    type: query
    sql: SELECT service, SUM(cost) AS cost FROM `{tenant_id}.whole` GROUP BY service
    destination: {table: summed, write: replace_table}
""",
    "elsewhere": _COSTS.replace("DESTINATION", "write: replace_table").replace("location.inbox", "location.other"),
    "rates": """
description: Loads what all tenants share, in two formats
steps:
  - id: json
    type: load
    uri: "{shared.rates}/rates.ndjson"
    format: ndjson
    columns: [{name: currency, type: STRING}, {name: rate, type: NUMERIC}, {name: tags, type: STRING, mode: REPEATED}]
    destination: {table: rates, write: replace_table}
  - id: verify
    type: dq
    table: rates
    checks: [{type: unique, columns: [currency]}]
""",
    "real": f"""
description: Loads a real export
steps:
  - id: load
    type: load
    uri: "{{location.inbox}}/{{tenant_id}}/export.csv"
    format: csv
    csv: {{skip_leading_rows: 1}}
    columns:
{_EXPORT_COLUMNS}
    destination: {{table: export, write: replace_table, partition: {{column: usage_start_time}}}}
""",
}
