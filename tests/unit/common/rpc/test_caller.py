"""What a caller shows of itself."""

from common.rpc.caller import Caller
from common.secret import Secret


def test_an_admins_key_is_in_no_repr_and_tells_no_two_callers_apart() -> None:
    caller = Caller("admin:12345678", None, key=Secret("convergence_admin_of_the_test"))
    assert "of_the_test" not in f"{caller!r} {caller} {caller.key!r}"
    assert caller == Caller("admin:12345678", None)
