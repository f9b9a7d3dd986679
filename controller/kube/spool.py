"""News that wait to be posted as Events: repeats are counted, floods are held back, and warnings come first. Pure: time is an argument.

The bounds are those that client-go sets a component (25 Events about an object, then one in five minutes; ten of a reason that
differ), but what is held back is not dropped: it is counted, and told by the next Event of its kind. Some of an object's
allowance is kept for news of a kind that was not told yet, so that after an hour of crashes a stop is told at once.
"""

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Literal

EventType = Literal["Normal", "Warning"]
TYPES: tuple[EventType, ...] = ("Warning", "Normal")
"""In the order in which they are posted."""

POSTS_PER_SECOND = 10.0
LINGER_SECONDS = 1.0
"""News waits so long, so that whatever it is about, and the status that tells of it, comes first."""
BURST = 25
REFILL_SECONDS = 300.0
RESERVED = 5
"""So much of an object's allowance only news of a new kind may use."""
DISTINCT = 10
"""So many kinds of news about an object may differ in nothing but what makes them alike."""
FIRST_SPACING = 5.0
LAST_SPACING = 600.0
"""How far apart Events of one kind are posted, in seconds: further each time while it goes on."""
CAPACITY = 2048
"""So many kinds of news may wait."""
REMEMBERED = 4096
MAX_MESSAGE = 1024
"""The API's own bound, in characters."""
COMBINED = "(combined from similar events): "
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Regarding:
    """The object that an event is about."""

    namespace: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class News:
    """One thing worth telling the user."""

    regarding: Regarding
    type: EventType
    reason: str
    message: str
    alike: str | None = None
    """What news with the same reason must have in common to be counted as one; None: their message."""


_Group = tuple[str, EventType, str]
_Key = tuple[str, EventType, str, str | None]


@dataclass
class Kind:
    """News about an object that are alike, and the Event that tells of them."""

    key: _Key
    name: str
    """The Event's name. Names of one object sort by age, for that is how Events of the same second are shown."""
    news: News
    first_at: datetime
    last_at: datetime
    count: int = 0
    """How often it was news, as far as the Event says."""
    waiting: int = 0
    """How often it was news since."""
    ticket: int = 0
    """Which of its places in the line is the true one."""
    spacing: float = 0.0
    posted_at: float | None = None

    @property
    def told(self) -> bool:
        """Whether there is an Event of it."""
        return self.count > 0


@dataclass(frozen=True)
class Post:
    """What is to be posted now."""

    kind: Kind
    news: News
    first_at: datetime
    last_at: datetime
    count: int
    more: int
    """How much of the count is new."""

    @property
    def fresh(self) -> bool:
        """Whether the Event is to be made, not changed."""
        return self.count == self.more


@dataclass
class _Allowance:
    left: float
    at: float


class Spool:
    """What waits. Times without a date are seconds of any clock that never goes back."""

    def __init__(self, on_drop: Callable[[EventType, int], None] = lambda _type, _count: None) -> None:
        self._on_drop = on_drop
        self._kinds: OrderedDict[_Key, Kind] = OrderedDict()
        self._groups: Counter[_Group] = Counter()
        self._waiting: dict[EventType, OrderedDict[_Key, None]] = {name: OrderedDict() for name in TYPES}
        self._later: list[tuple[float, int, _Key]] = []
        self._ready: dict[EventType, deque[tuple[int, _Key]]] = {name: deque() for name in TYPES}
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()
        self._tickets = 0
        self._last_name = 0
        self._next_post = -inf

    def __len__(self) -> int:
        """How many kinds of news wait."""
        return sum(len(keys) for keys in self._waiting.values())

    # --- in -------------------------------------------------------------------------------------------------------------

    def add(self, news: News, at: datetime, now: float) -> bool:
        """Take news in; returns whether it is told soon, and not only counted for later."""
        key = self._key(news)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._remember(key, news, at)
        self._kinds.move_to_end(key)
        kind.news, kind.last_at = news, at
        kind.waiting += 1
        if kind.waiting > 1:
            return False
        soon = now + LINGER_SECONDS
        due = soon if kind.posted_at is None else max(soon, kind.posted_at + kind.spacing)
        self._wait_until(due, kind)
        self._make_room()
        return due <= soon

    def _key(self, news: News) -> _Key:
        group = (news.regarding.uid, news.type, news.reason)
        alike = news.message[:MAX_MESSAGE] if news.alike is None else news.alike
        if (*group, alike) in self._kinds or self._groups[group] < DISTINCT:
            return (*group, alike)
        return (*group, None)

    def _remember(self, key: _Key, news: News, at: datetime) -> Kind:
        self._last_name = max(int(at.timestamp() * 1e6) * 1000, self._last_name + 1)
        name = f"{news.regarding.name[:200].rstrip('-.')}.{self._last_name:x}"
        kind = self._kinds[key] = Kind(key, name, news, at, at)
        if key[3] is not None:
            self._groups[key[:3]] += 1
        while len(self._kinds) > REMEMBERED:
            oldest = next(iter(self._kinds.values()))
            if oldest.waiting:
                self._kinds.move_to_end(oldest.key)
            else:
                self._forget(oldest)
        return kind

    def _forget(self, kind: Kind) -> None:
        del self._kinds[kind.key]
        group = kind.key[:3]
        if kind.key[3] is not None:
            self._groups[group] -= 1
            if not self._groups[group]:
                del self._groups[group]

    def _make_room(self) -> None:
        """Too much waits: the oldest is dropped, and what is normal before what is not."""
        if len(self) <= CAPACITY:
            return
        type_: EventType = "Normal" if self._waiting["Normal"] else "Warning"
        dropped = self._kinds[next(iter(self._waiting[type_]))]
        self._on_drop(type_, dropped.waiting)
        self._no_longer_waits(dropped)
        if not dropped.told:
            self._forget(dropped)

    # --- the line -------------------------------------------------------------------------------------------------------

    def _wait_until(self, due: float, kind: Kind) -> None:
        self._tickets += 1
        kind.ticket = self._tickets
        heapq.heappush(self._later, (due, kind.ticket, kind.key))
        self._waiting[kind.news.type].setdefault(kind.key)

    def _no_longer_waits(self, kind: Kind) -> None:
        kind.waiting = kind.ticket = 0
        self._waiting[kind.news.type].pop(kind.key, None)

    def _holder(self, ticket: int, key: _Key) -> Kind | None:
        """Whose place in the line this is; None when it was given up."""
        kind = self._kinds.get(key)
        return kind if kind is not None and kind.ticket == ticket else None

    def next_at(self) -> float:
        """When there may be something to post."""
        if any(self._ready.values()):
            return self._next_post
        return max(self._later[0][0], self._next_post) if self._later else inf

    # --- out ------------------------------------------------------------------------------------------------------------

    def take(self, now: float) -> Post | None:
        """What is to be posted now, if anything may be. It counts as posted, unless it is given back."""
        if now < self._next_post:
            return None
        while self._later and self._later[0][0] <= now:
            _, ticket, key = heapq.heappop(self._later)
            if self._holder(ticket, key) is not None:
                self._ready[key[1]].append((ticket, key))
        for ready in self._ready.values():
            while ready:
                kind = self._holder(*ready.popleft())
                if kind is not None and self._allowed(kind, now):
                    self._next_post = now + 1 / POSTS_PER_SECOND
                    return self._posted(kind, now)
        return None

    def _allowed(self, kind: Kind, now: float) -> bool:
        """Whether the object's allowance suffices; if not, the news waits until it will."""
        uid = kind.key[0]
        allowance = self._allowances.setdefault(uid, _Allowance(BURST, now))
        self._allowances.move_to_end(uid)
        if len(self._allowances) > REMEMBERED:
            self._allowances.popitem(last=False)
        allowance.left = min(allowance.left + (now - allowance.at) / REFILL_SECONDS, BURST)
        allowance.at = now
        needed = 1 + RESERVED if kind.told else 1
        if allowance.left + _ROUNDING < needed:
            self._wait_until(now + (needed - allowance.left) * REFILL_SECONDS, kind)
            return False
        allowance.left -= 1
        return True

    def _posted(self, kind: Kind, now: float) -> Post:
        goes_on = kind.posted_at is not None and now - kind.posted_at <= 2 * kind.spacing
        kind.spacing = min(2 * kind.spacing, LAST_SPACING) if goes_on else FIRST_SPACING
        kind.posted_at = now
        kind.count += kind.waiting
        post = Post(kind, _worded(kind), kind.first_at, kind.last_at, kind.count, kind.waiting)
        self._no_longer_waits(kind)
        return post

    def give_back(self, post: Post, now: float) -> None:
        """It could not be posted: it waits again, with what has come to it meanwhile."""
        kind = post.kind
        if self._kinds.get(kind.key) is not kind:
            self._on_drop(kind.news.type, post.more)
            return
        kind.count -= post.more
        kind.waiting += post.more
        self._wait_until(now, kind)


def _worded(kind: Kind) -> News:
    news = kind.news
    combined = COMBINED if kind.key[3] is None else ""
    return News(news.regarding, news.type, news.reason, (combined + news.message)[:MAX_MESSAGE], news.alike)
