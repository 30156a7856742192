"""A disk in memory that loses power: what was not synced may be gone, cut short, or there after all, in any order."""

from __future__ import annotations

import random as chance
from dataclasses import dataclass, field
from pathlib import Path


class PowerLoss(BaseException):
    """The machine is off; nobody catches this."""


@dataclass(eq=False, slots=True)
class Inode:
    """A file's content as the process sees it, and as it is on the platter; None: never synced."""

    content: bytes
    synced: bytes | None = None


@dataclass(slots=True)
class VolatileDisk:
    """`server.log.disk.Disk`; goes off before operation number *fuse*."""

    root: Path
    fuse: int | None = None
    operations: list[str] = field(default_factory=list)
    _names: dict[Path, Inode | None] = field(default_factory=dict)  # None: a folder
    _durable: dict[Path, Inode | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for names in (self._names, self._durable):
            names[self.root] = None

    def read(self, path: Path) -> bytes | None:
        found = self._names.get(path)
        return None if found is None else found.content

    def list_folder(self, path: Path) -> list[str]:
        return sorted(name.name for name in self._names if name.parent == path and name != path)

    def write(self, path: Path, data: bytes) -> None:
        self._burn(f"write {path.name}")
        assert path.parent in self._names, f"there is no folder {path.parent}"
        self._names[path] = Inode(data)

    def sync_file(self, path: Path) -> None:
        self._burn(f"sync {path.name}")
        found = self._names[path]
        assert found is not None
        found.synced = found.content

    def rename(self, before: Path, after: Path) -> None:
        self._burn(f"rename {after.name}")
        self._names[after] = self._names.pop(before)

    def make_folder(self, path: Path) -> bool:
        if path in self._names:
            return False
        self._burn(f"make {path.name}/")
        self._names[path] = None
        return True

    def sync_folder(self, path: Path) -> None:
        self._burn(f"sync {path.name}/")
        for name in [name for name in self._durable if name.parent == path and name not in self._names]:
            del self._durable[name]
        self._durable |= {name: inode for name, inode in self._names.items() if name.parent == path}

    def remove(self, path: Path) -> None:
        self._burn(f"remove {path.name}")
        self._names.pop(path, None)

    def after_power_loss(self, seed: int | None) -> VolatileDisk:
        """Return the disk as the next start finds it: of what was not synced, chance decides; without *seed*, all goes."""
        dice = _Unlucky() if seed is None else chance.Random(seed)
        names = dict(self._durable)
        for name, inode in self._names.items():
            if (name not in names or names[name] is not inode) and dice.random() < 0.5:
                names[name] = inode
        for name in [name for name in names if name not in self._names and dice.random() < 0.5]:
            del names[name]  # a removal that was not synced may have been made, or not
        found = VolatileDisk(self.root)
        for name in sorted(names, key=lambda one: len(one.parts)):
            if name != self.root and name.parent not in found._names:
                continue  # its folder is not there, so neither is it
            inode = names[name]
            found._names[name] = found._durable[name] = None if inode is None else _survivor(inode, dice)
        return found

    def _burn(self, operation: str) -> None:
        if self.fuse is not None and len(self.operations) >= self.fuse:
            raise PowerLoss(operation)
        self.operations.append(operation)


class _Unlucky(chance.Random):
    """Nothing that was not synced survives."""

    def random(self) -> float:
        return 1.0

    def randrange(self, *_bounds: int) -> int:
        return 0


def _survivor(inode: Inode, dice: chance.Random) -> Inode:
    if inode.synced == inode.content:
        return Inode(inode.content, inode.content)
    kept = inode.content[: dice.randrange(len(inode.content) + 1)]
    return Inode(kept, kept)
