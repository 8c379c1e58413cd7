"""A number of bytes that several may bill together: who has reserved how many, who waits, who is refused. No time, no engine.

What is reserved counts until it is settled, then what was billed does. So nothing can pass the limit, however many bill at once.
"""

from dataclasses import dataclass

UNLIMITED = 2**62


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """A reservation of `least` bytes that is asked for under a key. With `takes_all`, for a statement of which nobody knows what it will
    bill, it is of all that is left, up to `most`, once nobody else has anything reserved."""

    key: str
    least: int
    takes_all: bool = False
    most: int = UNLIMITED


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a wish: so many bytes are reserved, or, with None, it is refused; `left` is what was not used up by then."""

    key: str
    bytes: int | None
    left: int


class Budget:
    """Grants wishes in their order. One that fits what is not used up, and only does not fit beside what others have reserved, waits, and
    those behind it: others will bill less than they have reserved. One that does not fit what is not used up is refused at once."""

    def __init__(self, limit: int, *, used: int = 0) -> None:
        self.limit = limit
        self.used = used
        self.held: dict[str, int] = {}
        self.waiting: list[ReservationRequest] = []

    @property
    def unused(self) -> int:
        """Bytes that nobody has billed; some may be reserved."""
        return max(0, self.limit - self.used)

    @property
    def left(self) -> int:
        """Bytes that nobody has billed or reserved."""
        return max(0, self.unused - sum(self.held.values()))

    def want(self, wish: ReservationRequest) -> None:
        """Take in a wish. One that is known changes nothing."""
        if wish.key not in self.held and all(wish.key != other.key for other in self.waiting):
            self.waiting.append(wish)

    def hold(self, key: str, bytes_held: int) -> None:
        """Take a reservation for given, whether or not it fits."""
        self.drop(key)
        self.held[key] = bytes_held

    def drop(self, key: str) -> None:
        """Forget a wish or a reservation, of which nothing was billed."""
        self.held.pop(key, None)
        self.waiting = [wish for wish in self.waiting if wish.key != key]

    def settle(self, key: str, bytes_used: int) -> None:
        """Count what was billed in place of what was reserved."""
        self.drop(key)
        self.used += bytes_used

    def next(self) -> list[Decision]:
        """Decide on the wishes that can be decided on."""
        decided: list[Decision] = []
        while self.waiting:
            wish = self.waiting[0]
            if wish.least > self.unused:
                decided.append(Decision(wish.key, None, self.unused))
                self.drop(wish.key)
                continue
            if wish.least > self.left or (wish.takes_all and self.held):
                break
            granted = max(wish.least, min(self.left, wish.most)) if wish.takes_all else wish.least
            decided.append(Decision(wish.key, granted, self.unused))
            self.hold(wish.key, granted)
        return decided
