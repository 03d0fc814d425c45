from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tailrace.schemas.tracestate import (
    NOTHING_SAID,
    RANDOMNESS_END,
    Sampling,
    adjusted_count,
    composed,
    parse,
    randomness,
    sampling,
    threshold,
)

TRACE = bytes.fromhex("00112233445566778899aabbccddeeff")
LONG = "x" * 256

numbers = st.integers(0, RANDOMNESS_END - 1) | st.sampled_from([0, 1, RANDOMNESS_END - 1])
chances = st.floats(0, 1, exclude_min=True, exclude_max=True) | st.sampled_from([0.1, 0.5, 1e-18])
trace_ids = st.binary(min_size=16, max_size=16)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param("a=b", (("a", "b"),), id="one member"),
        pytest.param("b=2,a=1", (("b", "2"), ("a", "1")), id="two in their order"),
        pytest.param(" a=1 ,\tb=2\t", (("a", "1"), ("b", "2")), id="space around members"),
        pytest.param(",a=1,,b=2,", (("a", "1"), ("b", "2")), id="empty members"),
        pytest.param("a= 1", (("a", " 1"),), id="a value that begins with a space"),
        pytest.param("a=!~ +-/<>z", (("a", "!~ +-/<>z"),), id="all kinds of characters"),
        pytest.param("0t@s=1", (("0t@s", "1"),), id="a tenant that begins with a digit"),
        pytest.param("a_-*/9=1", (("a_-*/9", "1"),), id="a key of all kinds of characters"),
        pytest.param(f"a={LONG}", (("a", LONG),), id="256 characters of value"),
        pytest.param(f"{LONG}=1", ((LONG, "1"),), id="256 characters of key"),
        pytest.param(f"{'t' * 241}@{'s' * 14}=1", ((f"{'t' * 241}@{'s' * 14}", "1"),), id="tenant"),
        pytest.param(
            ",".join(f"k{number}=v" for number in range(32)),
            tuple((f"k{number}", "v") for number in range(32)),
            id="32 members",
        ),
        pytest.param(",".join(f"k{number}=v" for number in range(33)), None, id="33 members"),
        pytest.param("a", None, id="no value"),
        pytest.param("a=", None, id="an empty value"),
        pytest.param("=1", None, id="no key"),
        pytest.param(" ", None, id="only a space"),
        pytest.param("a=1, ,b=2", None, id="a member of only a space"),
        pytest.param("a=1,a=2", None, id="a key twice"),
        pytest.param("a =1", None, id="a space after the key"),
        pytest.param("a=1=2", None, id="an equals sign in the value"),
        pytest.param("a=é", None, id="a value that is not ASCII"),
        pytest.param("A=1", None, id="a key with a capital"),
        pytest.param("1=1", None, id="a key that begins with a digit"),
        pytest.param("a@1=1", None, id="a system that begins with a digit"),
        pytest.param("a@b@c=1", None, id="two signs in a key"),
        pytest.param(f"a={LONG}x", None, id="257 characters of value"),
        pytest.param(f"{LONG}x=1", None, id="257 characters of key"),
        pytest.param(f"{'t' * 242}@s=1", None, id="242 characters of tenant"),
        pytest.param(f"t@{'s' * 15}=1", None, id="15 characters of system"),
        pytest.param("a=1\n", None, id="a line end"),
    ],
)
def test_a_trace_state_is_read_as_w3c_has_it(
    text: str, members: tuple[tuple[str, str], ...] | None
) -> None:
    assert parse(text) == members


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("k=v", NOTHING_SAID, id="no entry"),
        pytest.param("ot=th:0", Sampling(0), id="everything is kept"),
        pytest.param("ot=th:8", Sampling(1 << 55), id="digits that are left out are zeros"),
        pytest.param("ot=th:00000000000001", Sampling(1), id="the smallest threshold"),
        pytest.param("ot=th:ABcd", Sampling(0xABCD << 40), id="digits in any case"),
        pytest.param("ot=rv:00000000000010", Sampling(None, 16), id="randomness alone"),
        pytest.param("k=v,ot=rv:ffffffffffffff;th:c", Sampling(3 << 54, 2**56 - 1), id="both"),
        pytest.param("ot=p:8;th:8;x:", Sampling(1 << 55, None, (("p", "8"), ("x", ""))), id="more"),
        pytest.param("ot=th:", NOTHING_SAID, id="no digits"),
        pytest.param("ot=th:000000000000000", NOTHING_SAID, id="15 digits"),
        pytest.param("ot=th:8g", NOTHING_SAID, id="no hex"),
        pytest.param("ot=rv:8", NOTHING_SAID, id="randomness of one digit"),
        pytest.param("ot=rv:xfffffffffffff;th:8", NOTHING_SAID, id="an invalid sub-key beside"),
        pytest.param("ot=th:8;", NOTHING_SAID, id="a semicolon at the end"),
        pytest.param("ot=th:8;;x:1", NOTHING_SAID, id="an empty sub-key"),
        pytest.param("ot=th:8;X:1", NOTHING_SAID, id="a sub-key with a capital"),
        pytest.param("ot=th=8", NOTHING_SAID, id="an invalid trace state"),
        pytest.param("not=th:8", NOTHING_SAID, id="another entry"),
    ],
)
def test_what_it_says_of_sampling_is_read(text: str, said: Sampling) -> None:
    assert sampling(text) == said
    assert threshold(text) == said.threshold


@pytest.mark.parametrize(
    ("rejected", "digits"),
    [(0, "0"), (1 << 55, "8"), (1, "00000000000001"), (0xFD70A3D70A3D70, "fd70a3d70a3d7")],
    ids=["of nothing rejected", "of one half", "of one in 2^56", "of one in a hundred"],
)
def test_zeros_at_the_end_are_not_written(rejected: int, digits: str) -> None:
    assert Sampling(rejected).written() == f"th:{digits}"


@given(st.none() | numbers, st.none() | numbers)
def test_what_is_written_is_read(rejected: int | None, drawn: int | None) -> None:
    for others in ((), (("p", "8"),)):
        said = Sampling(rejected, drawn, others)
        text = f"ot={said.written()}" if said != NOTHING_SAID else ""
        assert sampling(text) == said
        assert threshold(text) == rejected


def test_the_adjusted_count_is_the_reciprocal_of_the_probability() -> None:
    assert adjusted_count(0) == 1
    assert adjusted_count(3 << 54) == 4
    assert adjusted_count(1 << 54) == Fraction(4, 3)
    assert adjusted_count(RANDOMNESS_END - 1) == RANDOMNESS_END


@pytest.mark.parametrize(
    ("text", "inclusion", "expected"),
    [
        pytest.param("", 1.0, "", id="certain, nothing said: nothing is said"),
        pytest.param("K=,", 1.0, "K=,", id="certain: untouched, even if invalid"),
        pytest.param("", 0.5, "ot=rv:ccd55de66ef77f;th:8", id="one half of the trace id's"),
        pytest.param("ot=rv:80000000000000", 0.5, "ot=rv:c0000000000000;th:8", id="of a given rv"),
        pytest.param(
            "k=v,ot=x:1;th:8;rv:c0000000000000",
            0.5,
            "ot=rv:e0000000000000;th:c;x:1,k=v",
            id="of one half: a quarter, first, others stay",
        ),
        pytest.param("ot=th:0", 0.25, "ot=rv:e66aaef3377bc0;th:c", id="a quarter of everything"),
        pytest.param("", 0.1, "ot=rv:f5c445fae2fe4d;th:e6666666666666", id="a tenth"),
        pytest.param("ot=th:f,k=v", 0.5, "k=v", id="a threshold that the trace id contradicts"),
        pytest.param(
            "ot=th:8;rv:70000000000000", 0.5, "ot=rv:70000000000000", id="one that rv contradicts"
        ),
        pytest.param("ot=th:8", None, "", id="unknown: no threshold"),
        pytest.param(
            "k=v,ot=th:8;rv:90000000000000;x:1",
            None,
            "ot=rv:90000000000000;x:1,k=v",
            id="unknown: randomness and others stay",
        ),
        pytest.param("a = b", None, "a = b", id="unknown, no threshold: untouched"),
        pytest.param("a = b", 0.5, "ot=rv:ccd55de66ef77f;th:8", id="an invalid one is replaced"),
        pytest.param("ot=!,k=v", 0.5, "ot=rv:ccd55de66ef77f;th:8,k=v", id="an invalid entry is"),
        pytest.param("", 1e-30, "ot=rv:ffffffffffffff;th:ffffffffffffff", id="the least chance"),
    ],
)
def test_a_chance_is_composed_with_what_came(
    text: str, inclusion: float | None, expected: str
) -> None:
    assert composed(text, TRACE, inclusion) == expected


def test_an_entry_that_is_new_takes_the_place_of_the_oldest_of_32() -> None:
    text = ",".join(f"k{number}=v" for number in range(32))
    members = parse(composed(text, TRACE, 0.5)) or ()
    assert [key for key, _ in members] == ["ot", *(f"k{number}" for number in range(31))]


def test_sub_keys_for_which_there_is_no_room_are_left_out() -> None:
    text = f"ot=a:1;b:{'x' * 230};c:2"
    said = sampling(composed(text, TRACE, 0.5))
    assert said.others == (("a", "1"),)
    assert said.threshold == 1 << 55


@given(numbers, numbers, chances)
def test_the_probability_is_the_product_to_the_last_of_56_bits(
    rejected: int, drawn: int, inclusion: float
) -> None:
    assume(drawn >= rejected)
    said = sampling(composed(f"ot={Sampling(rejected, drawn).written()}", TRACE, inclusion))
    assert said.threshold is not None
    exact = (RANDOMNESS_END - rejected) * Fraction(inclusion)
    assert abs(RANDOMNESS_END - said.threshold - max(exact, 1)) <= Fraction(1, 2)


@given(numbers, numbers, trace_ids, chances, st.booleans())
def test_randomness_agrees_with_the_threshold_and_is_one_a_trace(
    rejected: int, other: int, trace_id: bytes, inclusion: float, is_explicit: bool
) -> None:
    drawn = randomness(trace_id)
    explicit = drawn if is_explicit else None
    states = [Sampling(each, explicit).written() for each in (rejected, other, None)]
    said = [
        sampling(composed(f"ot={each}" if each else "", trace_id, inclusion)) for each in states
    ]
    for before, after in zip((rejected, other, 0), said, strict=True):
        if drawn < before:
            assert after == Sampling(None, explicit)
        else:
            assert after.threshold is not None
            assert after.randomness is not None
            assert after.threshold <= after.randomness
            assert after.randomness >= drawn
            assert after.randomness == said[2].randomness


@given(st.lists(numbers, min_size=2), chances)
def test_randomness_keeps_its_order(drawn: list[int], inclusion: float) -> None:
    moved = [
        sampling(composed(f"ot=rv:{each:014x}", TRACE, inclusion)).randomness or 0
        for each in sorted(drawn)
    ]
    assert moved == sorted(moved)


def test_randomness_stays_uniform_from_the_threshold_on() -> None:
    tenths = [0] * 10
    count = 10_000
    for number in range(count):
        drawn = (RANDOMNESS_END * number + count // 2) // count
        said = sampling(composed(f"ot=rv:{drawn:014x}", TRACE, 0.1))
        assert said.threshold is not None
        assert said.randomness is not None
        width = RANDOMNESS_END - said.threshold
        tenths[(said.randomness - said.threshold) * 10 // width] += 1
    assert max(tenths) - min(tenths) <= 2
