"""The Merkle tree over the log: roots, proofs, and the checks of proofs. Pure.

The tree over n entries has one root. If any entry is changed, removed, added or moved, the root is
another. An *inclusion proof* shows that an entry stands at a position below a root; a *consistency
proof* shows that an older root is of the beginning of the same log. Both are some log2(n) hashes.

Source: RFC 9162 2.1
"""

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32

Range = tuple[int, int]
"""Entries from the first number to before the second."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry. Source: RFC 9162 2.1.1."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees. Source: RFC 9162 2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY_ROOT = hashlib.sha256(b"").digest()


class GrowingTree:
    """A tree that only grows and keeps no entries: the roots of its perfect subtrees are enough.

    A tree of 13 = 8 + 4 + 1 entries is three perfect subtrees. Adding an entry joins equal ones,
    like a carry in binary addition.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in peaks):
            raise ValueError("the peaks of a tree do not fit its size")
        self.size = size
        self._peaks = list(peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the perfect subtrees, largest first; with `size` all there is to know."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add one entry by its leaf hash."""
        carry = self.size
        while carry & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            carry >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of all entries so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    tree = GrowingTree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


# --- making proofs -----------------------------------------------------------------------------


def inclusion_ranges(position: int, size: int) -> list[Range]:
    """Return the ranges whose roots, in this order, prove that an entry is in the tree.

    Source: RFC 9162 2.1.3.1
    """
    if not 0 <= position < size:
        raise ValueError("the position is not in the tree")
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if position < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, size: int) -> list[Range]:
    """Return the ranges whose roots, in this order, prove that an older tree was the beginning.

    Source: RFC 9162 2.1.4.1
    """
    if not 0 < old_size <= size:
        raise ValueError("the older tree is empty or larger")
    ranges, start, end = [], 0, size
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    # The last subtree is wholly old. Who checks knows its root already if it is the older tree.
    own = [(start, end)] if start > 0 else []
    return own + ranges[::-1]


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


# --- checking proofs ---------------------------------------------------------------------------


def proves_inclusion(
    position: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether `proof` shows that `leaf` stands at `position` below `root`.

    Source: RFC 9162 2.1.3.2
    """
    if not 0 <= position < size or not _are_hashes(leaf, root, *proof):
        return False
    node, last, computed = position, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            node, last = _above_left_edge(node, last)
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def proves_consistency(sizes: Range, roots: tuple[bytes, bytes], proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the first tree is the beginning of the second.

    Source: RFC 9162 2.1.4.2
    """
    (old_size, size), (old_root, root) = sizes, roots
    if not 0 <= old_size <= size or not _are_hashes(*roots, *proof):
        return False
    if old_size == size:
        return not proof and old_root == root
    if old_size == 0 or not proof:
        return False  # an empty tree is the beginning of any: nothing is shown
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)  # the older tree is itself the first subtree
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    return _roots_along(path, node, last) == roots


def _roots_along(path: Sequence[bytes], node: int, last: int) -> tuple[bytes, bytes] | None:
    """Return the older and the newer root that the path leads to, or None if it ends wrongly."""
    old_root = root = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old_root, root = node_hash(sibling, old_root), node_hash(sibling, root)
            node, last = _above_left_edge(node, last)
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    return (old_root, root) if last == 0 else None


def _above_left_edge(node: int, last: int) -> tuple[int, int]:
    """Climb while the node is the last of its level and has no right sibling to join."""
    while node != 0 and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
