"""The part of GoogleSQL that templates may use: one SELECT built of the constructs and functions listed here, and of nothing else.

A list of what is allowed, by sqlglot's node classes, so that what sqlglot cannot classify, or learns to parse one day, is refused until
somebody adds it. Left out on purpose: whatever writes, reads files or the network, calls models or functions of anyone's own (ML, AI,
remote, JavaScript, `p.d.f(x)`), table functions, `@@` variables, sampling, and what is not the same twice (RAND, CURRENT_DATE, ...).
"""

import sqlglot
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.bigquery import BigQueryParser

from common.templates.keywords import is_bare_keyword
from common.templates.placeholders import TextRefused

_CONSTRUCTS = """
    Select From Join Where Group Having Qualify Order Ordered Limit Offset Distinct With CTE Subquery Union Except Intersect
    Table TableAlias Alias Aliases Column Identifier Star Literal RawString Null Boolean Parameter Var Version
    Unnest Struct Array Bracket Slice Dot PropertyEQ Paren Tuple Cube Rollup GroupingSets Window WindowSpec IgnoreNulls RespectNulls
    HavingMax DataType DataTypeParam ColumnDef Interval IntervalSpan WeekStart AtTimeZone
    Add Sub Mul Div Mod Neg IntDiv DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift BitwiseRightShift
    EQ NEQ GT GTE LT LTE And Or Xor Not Is In Between Like NullSafeEQ NullSafeNEQ Exists Case If
    JSONPath JSONPathRoot JSONPathKey JSONPathSubscript JSONPathWildcard
"""

_FUNCTIONS = """
    AnyValue ApproxDistinct ArgMax ArgMin ArrayAgg ArrayConcatAgg Avg Corr Count CountIf GroupConcat LogicalAnd LogicalOr Max Min
    Stddev StddevPop StddevSamp Sum Variance VariancePop CovarPop CovarSamp ApproxQuantiles
    CumeDist DenseRank FirstValue Lag LastValue Lead NthValue Ntile PercentRank PercentileCont PercentileDisc Rank RowNumber
    Cast TryCast SafeFunc Coalesce Nullif Greatest Least
    Abs Ceil Exp Floor Ln Log Pow Round SafeAdd SafeDivide SafeMultiply SafeNegate SafeSubtract Sign Sqrt Trunc
    ArrayConcat ArrayFirst ArrayLast ArrayReverse ArraySize ArrayToString GenerateDateArray GenerateSeries GenerateTimestampArray
    Date DateAdd DateDiff DateFromUnixDate DateSub DateTrunc Datetime DatetimeAdd DatetimeDiff DatetimeSub DatetimeTrunc Extract LastDay
    ParseDatetime ParseTime StrToDate StrToTime Time TimeToStr Timestamp TimestampAdd TimestampDiff TimestampSub TimestampTrunc
    TsOrDsToDate TsOrDsToDatetime TsOrDsToTimestamp UnixDate UnixMicros UnixMillis UnixSeconds UnixToTime
    ByteLength Concat Contains EndsWith Format Initcap Left Length Lower LowerHex MD5Digest Normalize Pad RegexpExtract RegexpExtractAll
    RegexpLike RegexpReplace Repeat Replace Reverse Right SHA2Digest Split StartsWith StrPosition String Substring Translate Trim Upper
    JSONExtract JSONExtractArray JSONExtractScalar JSONFormat ParseJSON JSONBool Int64 Float64
"""


class _GoogleSql(BigQuery):
    """BigQuery's dialect, but `FROM a, a.b` is the table b of the dataset a, as BigQuery reads a quoted path and as we must fear of any:
    sqlglot would take it for an array of a, and nobody would check the table."""

    class Parser(BigQueryParser):
        SUPPORTS_IMPLICIT_UNNEST = False


_ALLOWED = frozenset(getattr(exp, name) for name in f"{_CONSTRUCTS} {_FUNCTIONS}".split())


def parse_select(sql: str) -> exp.Query:
    """Parse one SELECT (or a UNION, INTERSECT or EXCEPT of some) and check everything in it. Raises TextRefused.

    Which tables it reads is for `tables.py` to judge.
    """
    try:
        statements = sqlglot.parse(sql, read=_GoogleSql)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        description = str(first.get("description", "")).partition(" but got <")[0]
        raise TextRefused(f"is not GoogleSQL: {description}", int(first.get("line") or 1) - 1) from None
    except (TokenError, RecursionError):
        raise TextRefused("is not GoogleSQL") from None
    if len(statements) != 1:
        raise TextRefused("must be one statement")
    query = statements[0]
    if not isinstance(query, exp.Select | exp.SetOperation):
        raise TextRefused("must be a SELECT")
    for node in query.walk():
        if (reason := _refusal(node)) is not None:
            raise TextRefused(reason, _line(node))
    return query


def parse_scalar(sql: str, *, aggregate_of: str | None = None) -> exp.Query:
    """As parse_select, for a SELECT of exactly one column. With `aggregate_of`, `sql` is an expression over the rows of that table."""
    query = parse_select(sql if aggregate_of is None else f"SELECT {sql}\nFROM {aggregate_of}")
    if len(query.selects) != 1 or query.is_star:
        raise TextRefused("must yield one column")
    clauses = {name for name, value in query.args.items() if value}
    if aggregate_of is not None and not clauses <= {"expressions", "from_"}:
        raise TextRefused("must be one expression")
    return query


def parse_condition(sql: str, *, of: str) -> exp.Query:
    """As parse_scalar, for a condition on one row of the table `of`. Whether it is boolean, the warehouse judges."""
    query = parse_scalar(sql, aggregate_of=of)
    if isinstance(query.selects[0], exp.Alias):
        raise TextRefused("must be one expression")
    for node in query.find_all(exp.AggFunc, exp.Window):
        if node.parent_select is query:
            raise TextRefused("is about one row: aggregates and window functions are for reconcile", _line(node))
    return query


def _refusal(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Anonymous):
        return f"the function {_name(node)} is not allowed"
    if type(node) not in _ALLOWED:
        what = "function" if isinstance(node, exp.Func) else "construct"
        return f"the {what} {_name(node)} is not allowed"
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        return "qualified functions are not allowed"
    if isinstance(node, exp.Identifier) and is_bare_keyword(node):
        return f"{node.name} is a reserved keyword: as a name it must be in backquotes"
    if isinstance(node, exp.Parameter) and not (isinstance(node.this, exp.Var) and node.arg_key != "alias"):
        return "variables are not allowed"
    return None


def _name(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.name).upper()
    return node.sql_name() if isinstance(node, exp.Func) else node.key.upper()


def _line(node: exp.Expr) -> int:
    """The line of the first name in `node`, from 0; sqlglot keeps positions of identifiers only."""
    return next((int(line) - 1 for child in node.walk() if (line := child.meta.get("line"))), 0)
