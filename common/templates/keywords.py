"""Names that BigQuery takes for none unless they are quoted, though sqlglot does."""

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery


def is_bare_keyword(name: exp.Identifier) -> bool:
    """Whether a name is a reserved keyword without backquotes. After a dot any word is a name.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords
    """
    if name.args.get("quoted") or name.name.lower() not in BigQuery.Generator.RESERVED_KEYWORDS:
        return False
    path = name.parent
    if isinstance(path, exp.Dot):
        return path.expression is not name
    return not (isinstance(path, exp.Column | exp.Table) and path.parts[0] is not name)
