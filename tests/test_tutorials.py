"""The tutorials: they run, and their pages show the cells as they are."""

import importlib.util

import pytest

from tests.support.documents import ROOT

spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
notebooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(notebooks)
SOURCES = sorted(notebooks.TUTORIALS.glob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_page_of_a_tutorial_is_as_new_as_its_cells(source):
    page = source.with_suffix(".md").read_text()
    notebook = notebooks.jupytext.read(source, fmt="py:percent")
    assert page.endswith(notebooks.mark(notebook)), f"make tutorials NAMES={source.stem} writes the page again"
    pictures = {f"{source.stem}/{file.name}" for file in source.with_suffix("").glob("*")}
    assert all(f'src="{each}"' in page or f"({each})" in page for each in pictures)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_tutorial_is_short_and_in_the_navigation(source):
    assert len(source.read_text().splitlines()) <= 140
    assert f"tutorials/{source.stem}.md" in (ROOT / "mkdocs.yml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_tutorial_runs_and_its_sentences_hold(source, tmp_path):
    notebook = notebooks.run(source, tmp_path)
    assert [cell.source for cell in notebook.cells if "check" in cell.metadata.get("tags", [])]


def test_a_page_has_the_text_and_the_pictures_of_the_outputs(tmp_path):
    source = tmp_path / "one.py"
    source.write_text('# %% [markdown]\n# # One\n\n# %%\n1 + 1\n\n# %% tags=["check"]\nassert True\n')
    notebook = notebooks.jupytext.read(source, fmt="py:percent")
    data = {"text/plain": "2", "text/html": '<style scoped>\n\n</style><img src="data:image/webp;base64,YWI=">'}
    notebook.cells[1].outputs = [
        {"output_type": "stream", "text": "\x1b[31mred\x1b[0m  \n"},
        {"output_type": "execute_result", "data": data},
        {"output_type": "display_data", "data": {"text/plain": "", "image/png": "Y2Q="}},
    ]
    notebooks.write(source, notebook)
    cells, mark = source.with_suffix(".md").read_text().split("\n\n<!--")
    assert cells == (
        "# One\n\n```python\n1 + 1\n```\n\n```text\nred\n```\n\n"
        '<img src="one/1.webp">\n\n![What the cell draws](one/2.png)'
    )
    assert f"<!--{mark}" == notebooks.mark(notebook)
    assert (tmp_path / "one" / "1.webp").read_bytes() == b"ab"
    assert (tmp_path / "one" / "2.png").read_bytes() == b"cd"
