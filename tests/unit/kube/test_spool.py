"""What waits to be posted: no sequence of news, however hostile, breaks a bound or loses a warning."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kube import spool as spooling
from controller.kube.spool import (
    BURST,
    CAPACITY,
    COMBINED,
    DISTINCT,
    FIRST_SPACING,
    LAST_SPACING,
    LINGER_SECONDS,
    MAX_MESSAGE,
    POSTS_PER_SECOND,
    REFILL_SECONDS,
    REMEMBERED,
    EventType,
    News,
    Post,
    Regarding,
    Spool,
)

BEGIN = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOUR = 3600.0
FOREVER = 1e9


def news(message: str = "it is so", *, of: str = "web", kind: EventType = "Normal", **more: str) -> News:
    """News about an object; its reason follows its type."""
    reason = {"Normal": "Started", "Warning": "Error"}[kind]
    return News(Regarding("shop", of, f"uid of {of}", "1"), kind, reason, message, **more)


@dataclass
class Poster:
    """Posts what is due, in virtual time."""

    now: float = 0.0
    posts: list[tuple[float, Post]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        def drop(kind: EventType, count: int) -> None:
            self.dropped[kind] += count

        self.spool = Spool(drop)

    def add(self, one: News) -> bool:
        return self.spool.add(one, BEGIN + timedelta(seconds=self.now), self.now)

    def run(self, until: float) -> None:
        """Post whatever becomes due up to a moment."""
        while (due := self.spool.next_at()) <= until:
            self.now = max(self.now, due)
            post = self.spool.take(self.now)
            if post is not None:
                self.posts.append((self.now, post))
        self.now = max(self.now, until) if until < FOREVER else self.now

    def told(self) -> Counter[str]:
        """How often each message was told."""
        counts: Counter[str] = Counter()
        for _, post in self.posts:
            counts[post.news.message] += post.more
        return counts


@pytest.mark.feature("L19")
def test_one_piece_of_news_is_one_event() -> None:
    poster = Poster()
    assert poster.add(news("started"))
    poster.run(LINGER_SECONDS / 2)
    assert poster.posts == []
    poster.run(HOUR)
    [(at, post)] = poster.posts
    assert (at, post.count, post.fresh, post.news.message) == (LINGER_SECONDS, 1, True, "started")
    assert len(poster.spool) == 0


@pytest.mark.feature("L19")
def test_news_of_one_object_are_told_in_their_order_by_names_that_sort_so() -> None:
    poster = Poster()
    for message in "abcdef":
        poster.add(news(message))
    poster.run(HOUR)
    names = [post.kind.name for _, post in poster.posts]
    assert [post.news.message for _, post in poster.posts] == list("abcdef")
    assert names == sorted(names)
    assert len(set(names)) == 6


@pytest.mark.feature("L19")
def test_a_crash_loop_of_an_hour_is_a_few_posts_of_three_events() -> None:
    poster = Poster()
    for number in range(3600):
        poster.add(news(f"started, pid {number}", alike=""))
        poster.add(news(f"ended after {number} ms", kind="Warning", alike="1"))
        poster.run(number + 1.0)
    poster.run(2 * HOUR)

    assert len({post.kind.name for _, post in poster.posts}) == 2
    assert len(poster.posts) <= 40
    last = {post.news.type: post for _, post in poster.posts}
    assert {kind: post.count for kind, post in last.items()} == {"Normal": 3600, "Warning": 3600}
    assert last["Warning"].news.message == "ended after 3599 ms"
    assert (last["Warning"].last_at - last["Warning"].first_at).total_seconds() == 3599


@pytest.mark.feature("L19")
def test_after_an_hour_of_crashes_a_stop_is_told_at_once() -> None:
    poster = Poster()
    for number in range(3600):
        for differs in range(2 * DISTINCT):
            poster.add(news(f"variant {differs} of an error", kind="Warning"))
        poster.run(number + 1.0)
    before = len(poster.posts)
    poster.add(news("stopped", alike="stop"))
    poster.run(poster.now + 2 * LINGER_SECONDS)
    assert "stopped" in [post.news.message for _, post in poster.posts[before:]]


@pytest.mark.feature("L19")
def test_repeats_are_posted_further_and_further_apart_while_they_go_on() -> None:
    poster = Poster()
    for number in range(3000):
        poster.add(news())
        poster.run(number + 1.0)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(poster.posts)]
    assert gaps[0] == pytest.approx(FIRST_SPACING, abs=1)
    assert gaps == sorted(gaps)
    assert max(gaps) <= LAST_SPACING + 1


@pytest.mark.feature("L19")
def test_what_happens_now_and_then_is_told_at_once_each_time() -> None:
    poster = Poster()
    for number in range(15):
        assert poster.add(news())
        poster.run((number + 1) * 60.0)
    assert [at for at, _ in poster.posts] == [number * 60.0 + LINGER_SECONDS for number in range(15)]


@pytest.mark.feature("L19")
def test_messages_that_always_differ_are_combined() -> None:
    poster = Poster()
    for number in range(500):
        poster.add(news(f"error number {number}"))
    poster.run(24 * HOUR)
    assert len({post.kind.name for _, post in poster.posts}) == DISTINCT + 1
    assert poster.posts[-1][1].news.message == f"{COMBINED}error number 499"
    assert sum(poster.told().values()) == 500


@pytest.mark.feature("L19")
def test_warnings_come_before_what_is_normal() -> None:
    poster = Poster()
    for number in range(5):
        poster.add(news(of=f"web-{number}"))
    poster.add(news(of="web-9", kind="Warning"))
    poster.now = 10.0
    poster.run(HOUR)
    assert [post.news.type for _, post in poster.posts] == ["Warning", *5 * ["Normal"]]


@pytest.mark.feature("L19")
def test_without_room_what_is_normal_is_dropped_first() -> None:
    poster = Poster()
    for number in range(10):
        poster.add(news(of=f"calm-{number}"))
    for number in range(CAPACITY):
        poster.add(news(of=f"web-{number}", kind="Warning"))
    assert (len(poster.spool), poster.dropped) == (CAPACITY, {"Normal": 10})
    poster.add(news(of="one-more", kind="Warning"))
    assert (len(poster.spool), poster.dropped) == (CAPACITY, {"Normal": 10, "Warning": 1})
    poster.run(FOREVER)
    assert len(poster.posts) == CAPACITY


@pytest.mark.feature("L19")
def test_what_could_not_be_posted_is_posted_later_and_with_what_came_since() -> None:
    poster = Poster()
    poster.add(news())
    post = poster.spool.take(LINGER_SECONDS)
    assert post is not None
    poster.now = LINGER_SECONDS
    poster.add(news())
    poster.spool.give_back(post, poster.now)
    poster.run(HOUR)
    [(_, again)] = poster.posts
    assert (again.fresh, again.count, again.kind.name) == (True, 2, post.kind.name)


@pytest.mark.feature("L19")
def test_memory_is_bounded() -> None:
    poster = Poster()
    for number in range(REMEMBERED + 500):
        poster.add(news(of=f"web-{number}"))
        poster.run(float(number))
    assert len(poster.spool._kinds) <= REMEMBERED
    assert len(poster.spool._allowances) <= REMEMBERED
    assert len(poster.spool._groups) <= REMEMBERED
    assert len(poster.spool) + len(poster.spool._later) <= 10


@pytest.mark.feature("L19")
@pytest.mark.parametrize(
    "name", ["web", "a" * 253, f"{'a' * 199}-{'b' * 20}", f"{'a' * 198}.-{'b' * 20}".replace(".-", ".x")]
)
def test_an_events_name_is_one_that_kubernetes_takes(name: str) -> None:
    poster = Poster()
    poster.add(news("x" * 5000, of=name))
    poster.run(HOUR)
    [(_, post)] = poster.posts
    assert len(post.kind.name) <= 253
    assert not any(part.startswith("-") or part.endswith("-") or not part for part in post.kind.name.split("."))
    assert len(post.news.message) == MAX_MESSAGE


# --- whatever happens ---------------------------------------------------------------------------------------------------

SAID = st.tuples(
    st.sampled_from(["web", "db"]),
    st.sampled_from(spooling.TYPES),
    st.sampled_from(["a", "b", "c"]) | st.text(max_size=3),
    st.integers(1, 40),
)
PAUSES = st.sampled_from([0.0, 0.0, 0.05, 0.3, 1.0, 7.0, 60.0, 400.0, 4000.0])


@pytest.mark.feature("L19")
@given(st.lists(st.tuples(PAUSES, st.lists(SAID, max_size=8)), max_size=40))
def test_whatever_is_news_no_bound_is_broken_and_no_warning_is_lost(
    story: list[tuple[float, list[tuple[str, EventType, str, int]]]],
) -> None:
    poster, said = Poster(), Counter[tuple[str, EventType]]()
    for pause, batch in story:
        for name, kind, message, times in batch:
            for _ in range(times):
                poster.add(news(message, of=name, kind=kind))
            said[name, kind] += times
        poster.run(poster.now + pause)
    poster.run(FOREVER)

    assert len(poster.spool) == 0
    told = Counter[tuple[str, EventType]]()
    for _, post in poster.posts:
        told[post.news.regarding.name, post.news.type] += post.more
    assert told == said
    _judge_rates(poster)
    _judge_order(poster)


def _judge_rates(poster: Poster) -> None:
    """Within any window the posts are bounded: of all objects by the rate, of each by its allowance."""
    moments = [at for at, _ in poster.posts]
    assert all(later - earlier >= 1 / POSTS_PER_SECOND - 1e-6 for earlier, later in pairwise(moments))
    for name in ("web", "db"):
        own = [at for at, post in poster.posts if post.news.regarding.name == name]
        for first, since in enumerate(own):
            for last in range(first, len(own)):
                window = own[last] - since
                assert last - first + 1 <= BURST + window / REFILL_SECONDS + 1e-3, "an object has more than its share"


def _judge_order(poster: Poster) -> None:
    """Counts only grow, and tell of everything; a kind of news has one Event."""
    counts: dict[str, int] = {}
    for _, post in poster.posts:
        assert post.count == counts.get(post.kind.name, 0) + post.more
        assert post.fresh == (post.kind.name not in counts)
        counts[post.kind.name] = post.count


@pytest.mark.feature("L19")
@given(st.integers(0, 300), st.integers(1, 12), st.floats(0.1, 30))
def test_a_warning_of_a_new_kind_is_not_starved(noise: int, kinds: int, seconds: float) -> None:
    """However much is said about an object and others, a first warning is told soon."""
    poster = Poster()
    for number in range(noise):
        for kind in range(kinds):
            poster.add(news(f"noise {kind}", alike=str(kind)))
            poster.add(news("others", of=f"other-{kind}"))
        poster.run((number + 1) * seconds)
    poster.add(news("it broke", kind="Warning"))
    poster.run(poster.now + LINGER_SECONDS + 1 / POSTS_PER_SECOND)
    assert poster.told()["it broke"] == 1
