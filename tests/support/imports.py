"""Who imports whom, read from the files.

`python -m tests.support.imports [CHECKOUT]` counts rooms, arrows and circles.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def module_of(path, root=ROOT):
    """The dotted name of a file; a package is called by its folder."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path, root=ROOT):
    """Every dotted name that a file imports, without the imports under `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    package = module_of(path, root).split(".") if path.name == "__init__.py" else module_of(path, root).split(".")[:-1]
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def graph(*folders, root=ROOT):
    """For each file below the folders, by dotted name, the files among them that it imports."""
    files = {module_of(path, root): path for folder in folders for path in sorted((root / folder).rglob("*.py"))}

    def file_of(name):
        """The file that holds an imported name: a module, or the package or module above it."""
        while name and name not in files:
            name = name.rpartition(".")[0]
        return name

    return {
        module: sorted({found for name in imports_of(path, root) if (found := file_of(name)) and found != module})
        for module, path in files.items()
    }


def circles(arrows):
    """The groups of files that import one another, directly or not: the strongly connected components of the graph."""
    reached = {start: _reachable(arrows, start) for start in arrows}
    groups = {frozenset({a, *(b for b in reached[a] if a in reached[b])}) for a in arrows if a in reached[a]}
    return sorted(map(sorted, groups))


def _reachable(arrows, start):
    found, waiting = set(), list(arrows[start])
    while waiting:
        if (module := waiting.pop()) not in found:
            found.add(module)
            waiting += arrows[module]
    return found


if __name__ == "__main__":
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    found = graph("vi", root=root)
    lines = sorted(len((path).read_text().splitlines()) for path in (root / "vi").rglob("*.py"))
    print(f"rooms on the first floor  {len(list((root / 'vi').glob('[a-z]*'))) - ((root / 'vi/conf').exists())}")
    print(f"files                     {len(found)}")
    print(f"lines, median and most    {lines[len(lines) // 2]}, {lines[-1]}")
    print(f"arrows                    {sum(map(len, found.values()))}")
    print(f"circles                   {circles(found)}")
