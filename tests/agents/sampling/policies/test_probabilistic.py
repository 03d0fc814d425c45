"""`probabilistic`: the collector's hash and threshold, to the bit.

The tables are what the collector's own code answers.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.policies.probabilistic import (
    Probabilistic,
    fnv1a,
    fnv1a_many,
    threshold,
)
from tailrace.agents.sampling.votes import Policy, Vote
from tests.agents.sampling.policies.spans import SeenTrace, built

# trace ID, salt, percentage, whether it is sampled
SAMPLED = [
    ("9bddb455325107c9917db1245bd9f1bb", "", 10, False),
    ("cf90b50dd9b41786f1dff0dede34fd00", "test-salt", 25, True),
    ("6ef2cf9d017eb017a1ace3d879c36590", "hash-22", 33.3, False),
    ("315c043e94a70c762b020e22f48656ff", "größe", 0.1, False),
    ("69001fdc39aead47198228879e38b891", "", 50, True),
    ("d3f8375ff3e648791424798c120ecc49", "test-salt", 99.9, True),
    ("2d3fd15c0144f9f2ae283f99ea88fb06", "hash-22", 1, False),
    ("e907aea6ac85607edbcc97bf7d7ca574", "größe", 10, False),
    ("50cf2c28ecf8e9c08da9d188fa5e6f77", "", 25, False),
    ("10324a11d803016e0e0ae01c573fe7b6", "test-salt", 33.3, False),
    ("28b1d0e73f869741d077f9b08109de3b", "hash-22", 0.1, False),
    ("fe0c0ad4485a5bfd7acd904f7aae4701", "größe", 50, True),
    ("73140fdc0f5ff5fed781580d6b4f3eac", "", 99.9, True),
    ("144bf2d54f823027175a8cfcf3c452a3", "test-salt", 1, False),
    ("2cd0b135fd872ea5cdeeb32d69ae7d88", "hash-22", 10, False),
    ("be2f22d04fce5b2f2c6cc9ec8d24ced2", "größe", 25, True),
    ("0cc6f1dc71e46fe366a70dceb339c35e", "", 33.3, False),
    ("00b07c3c0fc80ad8f66a81fa9855ad23", "test-salt", 0.1, False),
    ("44797a9c9e3f3605f26c7bb5f28c1072", "hash-22", 50, False),
    ("9ba6aecc24ed8b9ac34b4fbdcac3775d", "größe", 99.9, True),
    ("10e7be94d6d10795ecf53e30da7d33c2", "", 1, False),
    ("2ce3595dfe3ddaa58f204569a2a61453", "test-salt", 10, False),
    ("d11557035afa5c880e921e1aaf107a31", "hash-22", 25, True),
    ("52d4bf989e78709cf76b1a69f058e8aa", "größe", 33.3, True),
    ("c31bdac9c17d1236bafdc1d580e13d0b", "", 0.1, False),
    ("fe865972db32555aab40440e8ded46c6", "test-salt", 50, False),
    ("f03427cf7c6ccd0ebf71d3579df3e19b", "hash-22", 99.9, True),
    ("34910da166259df9b1db4c71dfd3e571", "größe", 1, False),
    ("d8587ed8ec2e5b8cab32f6ab004eacad", "", 10, False),
    ("80eec883f1f9b315c77e79b873060ea1", "test-salt", 25, False),
    ("2d21da8851de048632708bb8e4af2bef", "hash-22", 33.3, False),
    ("5c8ef2732e10a91be3d2e3695370012c", "größe", 0.1, False),
    ("283fd7924d1e6a1cc06614636be6abee", "", 50, True),
    ("edd82c1171b1a62f9e79916879a87389", "test-salt", 99.9, True),
    ("b685c5ca3f263d9dd43572cc709e3119", "hash-22", 1, False),
    ("4bfc14f316a620aa392f8bec848fd244", "größe", 10, False),
    ("da225bb3029044892e676d6e24d1e27e", "", 25, False),
    ("3f6c3177fd4b77f8156297a13f1fee23", "test-salt", 33.3, False),
    ("eb935989ed049211d95850ba7b803190", "hash-22", 0.1, False),
    ("e1f21d6f9cdad007dd85f67d7d0085a1", "größe", 50, False),
    ("a723766c783ede3f498b3b9b67990913", "", 99.9, True),
    ("210fe02cdf6be4fb0a875a38c36702c3", "test-salt", 1, False),
    ("68cda03cf7356d8e2072e97bb11f1484", "hash-22", 10, False),
    ("91318411fec8006ab57f452bbd793803", "", 33.3, True),
    ("02add585d7efde8e8c49af551b1984a9", "größe", 99.9, True),
    ("0150fe9e045772cf2ce9064b7008da58", "hash-22", 99.9, True),
    ("7ea02d6cc3cf28514ab338b977b13c00", "", 50, True),
    ("3f00b5414dda5fddb638023ceade85fe", "test-salt", 99.9, True),
    ("fc4e5a84ecc0dc8d06416f8bb41d8be3", "", 25, True),
    ("6e6b5994fdf1447802fc15960be5be05", "größe", 50, True),
    ("962e51912acdaa3c4fcd3deedbb74ef0", "", 99.9, True),
    ("5eaae9bce2b814d7d74a7ada005b2fea", "hash-22", 50, True),
    ("a53dfdae408aea2d01336b3d5347a136", "größe", 99.9, True),
    ("90cf5d988ea7f8106a7f15045e034d5c", "test-salt", 50, True),
    ("d48fed1a407deba5d6b8f65294109de0", "hash-22", 99.9, True),
    ("ec8e59f857b76299abc8d60450b8e489", "test-salt", 25, True),
    ("29598a6e1f3b5a51a00965321a8fcf94", "test-salt", 99.9, True),
    ("3a2f76338e9b6ff543b2c1f2e0eeb6ce", "größe", 50, True),
    ("9d64505724f9c353fa5d67c3f57b4161", "", 99.9, True),
    ("d9bdb634f5a6202f941afb79c4fb1445", "hash-22", 10, True),
]

# percentage, largest hash that is sampled
THRESHOLDS = [
    (-50, 0),
    (0, 0),
    (1e-18, 0),
    (0.1, 18446744073709551),
    (1, 184467440737095519),
    (5, 922337203685477631),
    (10, 1844674407370955263),
    (12.5, 2305843009213693951),
    (25, 4611686018427387903),
    (33, 6087425544324152319),
    (33.3, 6142765776545279999),
    (50, 9223372036854775807),
    (66.67, 12298444273942159359),
    (75, 13835058055282163711),
    (90, 16602069666338596863),
    (99, 18262276632972455935),
    (99.9, 18428297329635844095),
    (99.99999999999999, 18446744073709549567),
    (100, 18446744073709551615),
    (150, 18446744073709551615),
]

# salt, trace ID, hash
HASHES = [
    ("default-hash-seed", "00000000000000000000000000000000", 16254958829412527165),
    ("default-hash-seed", "0102030405060708090a0b0c0d0e0f10", 15838989281584434349),
    ("default-hash-seed", "ffffffffffffffffffffffffffffffff", 1711019809656077869),
    ("test-salt", "00000000000000000000000000000000", 9316101679626017984),
    ("test-salt", "0102030405060708090a0b0c0d0e0f10", 643542913863792944),
    ("test-salt", "ffffffffffffffffffffffffffffffff", 5329741664083342512),
    ("größe", "00000000000000000000000000000000", 11688746052680673114),
    ("größe", "0102030405060708090a0b0c0d0e0f10", 5578124726113885002),
    ("größe", "ffffffffffffffffffffffffffffffff", 14388339189731428682),
]


def _policy(percentage: float, salt: str = "") -> Policy:
    body = {"sampling_percentage": percentage, "hash_salt": salt}
    return built({"name": "p", "type": "probabilistic", "probabilistic": body})[0]


@pytest.mark.parametrize(("trace_id", "salt", "percentage", "expected"), SAMPLED)
def test_samples_what_the_collector_samples(
    trace_id: str, salt: str, percentage: float, expected: bool
) -> None:
    trace = SeenTrace(bytes.fromhex(trace_id))
    policy = _policy(percentage, salt)
    assert (policy.vote(trace, 0) is Vote.SAMPLED) is expected
    assert policy.votes([trace] * 20, [0] * 20) == [policy.vote(trace, 0)] * 20


@pytest.mark.parametrize(("percentage", "expected"), THRESHOLDS)
def test_threshold_is_the_collectors(percentage: float, expected: int) -> None:
    assert threshold(percentage) == expected


@pytest.mark.parametrize(("salt", "trace_id", "expected"), HASHES)
def test_hash_is_the_collectors(salt: str, trace_id: str, expected: int) -> None:
    salted = fnv1a(salt.encode())
    assert fnv1a(bytes.fromhex(trace_id), salted) == expected
    assert fnv1a_many([bytes.fromhex(trace_id)], salted).tolist() == [expected]


def test_a_hash_at_the_threshold_is_sampled() -> None:
    trace = SeenTrace(bytes.fromhex("0102030405060708090a0b0c0d0e0f10"))
    salted = fnv1a(b"test-salt")
    for largest, vote in (
        (643542913863792944, Vote.SAMPLED),
        (643542913863792943, Vote.NOT_SAMPLED),
    ):
        policy = Probabilistic(salted, largest)
        assert [policy.vote(trace, 0), *policy.votes([trace] * 20, [0] * 20)] == [vote] * 21


def test_no_salt_is_the_default_salt() -> None:
    assert _policy(10) == _policy(10, "default-hash-seed")
    assert _policy(10) != _policy(10, "another")


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1), st.integers(0, 2**64 - 1))
def test_columns_hash_as_the_loop_does(trace_ids: list[bytes], salted: int) -> None:
    expected = np.array([fnv1a(trace_id, salted) for trace_id in trace_ids], np.uint64)
    assert (fnv1a_many(trace_ids, salted) == expected).all()


@pytest.mark.parametrize("percentage", [0.1, 1, 5, 10, 25, 50, 99.9, 100])
def test_share_is_the_percentage(percentage: float) -> None:
    assert _policy(percentage).share == percentage / 100


@pytest.mark.parametrize(
    ("percentage", "share"),
    [
        pytest.param(150, 1.0, id="over 100 is 100"),
        pytest.param(-50, 2.0**-64, id="under 0 is 0, but the hash 0 is sampled"),
        pytest.param(float("inf"), 1.0, id="no end is 100"),
    ],
)
def test_share_is_clamped(percentage: float, share: float) -> None:
    assert _policy(percentage).share == share
