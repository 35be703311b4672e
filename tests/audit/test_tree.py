"""The tree, against an implementation written straight from the recursive definitions."""

import random
from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.tree import (
    EMPTY_ROOT,
    GrowingTree,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    proves_consistency,
    proves_inclusion,
    root_of,
)

ENTRIES = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43"] + [
    i.to_bytes(4, "big") for i in range(6, 300)
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def k(n: int) -> int:
    power = 1
    while power * 2 < n:
        power *= 2
    return power


def naive_root(d: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, MTH, as it is written there."""
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\x00" + d[0]).digest()
    middle = k(len(d))
    return sha256(b"\x01" + naive_root(d[:middle]) + naive_root(d[middle:])).digest()


def naive_path(m: int, d: list[bytes]) -> list[bytes]:
    """RFC 9162 2.1.3.1, PATH."""
    if len(d) == 1:
        return []
    middle = k(len(d))
    if m < middle:
        return [*naive_path(m, d[:middle]), naive_root(d[middle:])]
    return [*naive_path(m - middle, d[middle:]), naive_root(d[:middle])]


def naive_subproof(m: int, d: list[bytes], *, b: bool) -> list[bytes]:
    """RFC 9162 2.1.4.1, SUBPROOF."""
    if m == len(d):
        return [] if b else [naive_root(d)]
    middle = k(len(d))
    if m <= middle:
        return [*naive_subproof(m, d[:middle], b=b), naive_root(d[middle:])]
    return [*naive_subproof(m - middle, d[middle:], b=False), naive_root(d[:middle])]


def inclusion(position: int, size: int) -> list[bytes]:
    return [root_of(LEAVES[a:b]) for a, b in inclusion_ranges(position, size)]


def consistency(old: int, size: int) -> list[bytes]:
    return [root_of(LEAVES[a:b]) for a, b in consistency_ranges(old, size)]


def test_the_first_eight_roots_are_the_published_ones() -> None:
    """Known answers of the Certificate Transparency reference implementation."""
    entries = [
        bytes.fromhex(e)
        for e in (
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        )
    ]
    published = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    roots = [root_of(map(leaf_hash, entries[: n + 1])).hex() for n in range(8)]
    assert roots == published


@pytest.mark.parametrize("size", range(301))
def test_the_root_of_every_size_is_that_of_the_definition(size: int) -> None:
    assert root_of(LEAVES[:size]) == naive_root(ENTRIES[:size])


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert root_of([]) == EMPTY_ROOT == sha256().digest()


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_tree_continues_from_its_peaks(first: int, second: int) -> None:
    cut, size = sorted((min(first, 300), min(second, 300)))
    whole, beginning = GrowingTree(), GrowingTree()
    for leaf in LEAVES[:cut]:
        beginning.append(leaf)
    rest = GrowingTree(beginning.size, beginning.peaks)
    for leaf in LEAVES[cut:size]:
        rest.append(leaf)
    for leaf in LEAVES[:size]:
        whole.append(leaf)
    assert (rest.size, rest.root()) == (whole.size, whole.root())


@pytest.mark.parametrize(("size", "peaks"), [(1, []), (2, [b"x" * 32] * 2), (1, [b"short"])])
def test_peaks_that_do_not_fit_are_refused(size: int, peaks: list[bytes]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        GrowingTree(size, peaks)


@pytest.mark.parametrize("size", range(1, 65))
def test_every_inclusion_proof_is_that_of_the_definition_and_holds(size: int) -> None:
    root = root_of(LEAVES[:size])
    for position in range(size):
        proof = inclusion(position, size)
        assert proof == naive_path(position, ENTRIES[:size])
        assert proves_inclusion(position, size, LEAVES[position], proof, root)


@pytest.mark.parametrize("size", range(1, 65))
def test_every_consistency_proof_is_that_of_the_definition_and_holds(size: int) -> None:
    root = root_of(LEAVES[:size])
    for old in range(1, size + 1):
        proof = consistency(old, size)
        assert proof == naive_subproof(old, ENTRIES[:size], b=True)
        assert proves_consistency((old, size), (root_of(LEAVES[:old]), root), proof)


def altered(proof: list[bytes]) -> Iterator[list[bytes]]:
    """Every bit-flip place, cut, swap and addition that the public test vectors know."""
    garbage = b"\x5a" * 32
    for i, part in enumerate(proof):
        for at in (0, 13, 31):
            flipped = bytearray(part)
            flipped[at] ^= 0x10
            yield [*proof[:i], bytes(flipped), *proof[i + 1 :]]
        yield [*proof[:i], *proof[i + 1 :]]
        yield [*proof[:i], part[:-1], *proof[i + 1 :]]
    if proof:
        yield []
        yield [proof[0], *proof]
    yield [*proof, garbage]
    yield [garbage, *proof]
    yield [*proof, b""]
    if len(set(proof)) > 1:
        yield [*proof[1:], proof[0]]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 13, 16, 33, 64])
def test_no_altered_inclusion_proof_holds(size: int) -> None:
    root = root_of(LEAVES[:size])
    for position in range(size):
        proof = inclusion(position, size)
        leaf = LEAVES[position]
        for wrong in altered(proof):
            assert not proves_inclusion(position, size, leaf, wrong, root)
        for wrong in ([root, *proof], [*proof, root]):
            assert not proves_inclusion(position, size, leaf, wrong, root)
        assert not proves_inclusion(position, size, LEAVES[size], proof, root)
        assert not proves_inclusion(position, size, root, proof, leaf) or size == 1
        assert not proves_inclusion(position, size, leaf, proof, EMPTY_ROOT)
        assert not proves_inclusion(position, size, leaf[:-1], proof, root)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 13, 16, 33, 64])
def test_an_inclusion_proof_holds_at_its_own_position_alone(size: int) -> None:
    root = root_of(LEAVES[:size])
    for position in range(size):
        proof = inclusion(position, size)
        others = {-1, size, size + 1, position ^ 1, position ^ 2, position + size} - {position}
        for other in others:
            assert not proves_inclusion(other, size, LEAVES[position], proof, root)


def test_an_inclusion_proof_with_another_size_holds_only_where_the_path_is_the_same() -> None:
    """A size alone is not proven: the root is. Where the shape of the path differs, refused."""
    for size in range(1, 40):
        root = root_of(LEAVES[:size])
        for position in range(size):
            proof = inclusion(position, size)
            for other in range(position + 1, 80):
                same_shape = shape(position, other) == shape(position, size)
                held = proves_inclusion(position, other, LEAVES[position], proof, root)
                assert held == same_shape


def shape(position: int, size: int) -> list[bool]:
    """On which side of the path each sibling stands, from the leaf up."""
    return [start > position for start, _ in inclusion_ranges(position, size)]


@pytest.mark.parametrize("size", [2, 3, 5, 7, 8, 13, 16, 33, 64])
def test_no_altered_consistency_proof_holds(size: int) -> None:
    root = root_of(LEAVES[:size])
    for old in range(1, size + 1):
        proof, old_root = consistency(old, size), root_of(LEAVES[:old])
        for wrong in altered(proof):
            assert not proves_consistency((old, size), (old_root, root), wrong)
        for extra in (root, old_root):
            assert not proves_consistency((old, size), (old_root, root), [extra, *proof])
            assert not proves_consistency((old, size), (old_root, root), [*proof, extra])
        for roots in ((old_root, EMPTY_ROOT), (EMPTY_ROOT, root)):
            assert not proves_consistency((old, size), roots, proof)
        if old < size:
            assert not proves_consistency((old, size), (root, old_root), proof)


def test_a_consistency_proof_with_another_size_never_leads_to_a_false_beginning() -> None:
    """A verifier that accepted a wrong second size once shipped elsewhere."""
    for size in range(2, 34):
        root = root_of(LEAVES[:size])
        for old in range(1, size):
            proof, roots = consistency(old, size), (root_of(LEAVES[:old]), root)
            for wrong in {(old - 1, size), (old + 1, size), (old ^ 2, size), (size, old)}:
                assert not proves_consistency(wrong, roots, proof)
            for wrong in {(old, size * 2), (old, size // 2), (old, 0), (-1, size)}:
                assert not proves_consistency(wrong, roots, proof)


def test_two_trees_of_one_size_are_consistent_only_if_equal() -> None:
    root, other = root_of(LEAVES[:5]), root_of(LEAVES[1:6])
    assert proves_consistency((5, 5), (root, root), [])
    assert not proves_consistency((5, 5), (root, other), [])
    assert not proves_consistency((5, 5), (root, root), [root])


def test_nothing_is_shown_about_an_empty_tree() -> None:
    root = root_of(LEAVES[:5])
    assert proves_consistency((0, 0), (EMPTY_ROOT, EMPTY_ROOT), [])
    assert not proves_consistency((0, 5), (EMPTY_ROOT, root), [])
    assert not proves_consistency((0, 5), (EMPTY_ROOT, root), [root])


PUBLISHED = {
    # transparency-dev/merkle, testdata/consistency/1: sizes 1 and 8 of the published tree
    "roots": (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ),
    "proof": (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
}


def test_the_published_proof_of_one_in_eight_holds_and_its_mutations_do_not() -> None:
    roots = tuple(bytes.fromhex(root) for root in PUBLISHED["roots"])
    proof = [bytes.fromhex(part) for part in PUBLISHED["proof"]]
    pair = (roots[0], roots[1])
    assert proves_consistency((1, 8), pair, proof)
    for sizes in ((2, 8), (0, 8), (3, 8), (1, 16), (1, 4)):
        assert not proves_consistency(sizes, pair, proof)
    for wrong in altered(proof):
        assert not proves_consistency((1, 8), pair, wrong)


def test_a_seeded_change_of_any_entry_changes_the_root() -> None:
    chance = random.Random(7)
    root = root_of(LEAVES[:200])
    for _ in range(200):
        leaves = LEAVES[:200]
        i, j = chance.sample(range(200), 2)
        match chance.randrange(4):
            case 0:
                leaves[i] = leaf_hash(b"forged")
            case 1:
                del leaves[i]
            case 2:
                leaves[i], leaves[j] = leaves[j], leaves[i]
            case 3:
                leaves.insert(i, leaf_hash(b"added"))
        assert root_of(leaves) != root
