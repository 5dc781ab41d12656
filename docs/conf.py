"""Sphinx: `python -m sphinx -W --keep-going -b html docs docs/_build/html`."""

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the extension `mathml`

project = "Horosphere"
author = "the Horosphere authors"
project_copyright = author
release = version = installed_version("horosphere")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "mathml"]
exclude_patterns = ["_build"]

# Formulas: $…$ in the text, and MathML in the page (mathml.py), so that they need no script and no network.
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# Docstrings.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# Docstrings write code as `name`, in Markdown's way.
default_role = "code"

html_theme = "furo"
html_title = "Horosphere"
html_static_path = ["_static"]
html_css_files = ["horosphere.css"]
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


# Docstrings hold Markdown's fenced code, and plain indented code after a line that ends in a colon.
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_REFERENCE = re.compile(r"^(?! *[*-] )( *\S.*[^:]):\n\n(?=( *)    \S)", re.MULTILINE)


def _as_rst(app, what, name, target, options, lines: list[str]) -> None:
    text = "\n".join(lines)
    text = _FENCE.sub(lambda m: f"{m[1]}.. code-block:: {m[2]}\n\n" + re.sub("^", "    ", m[3], flags=re.MULTILINE), text)
    lines[:] = _REFERENCE.sub(r"\1::\n\n", text).split("\n")


def setup(app) -> None:
    app.connect("autodoc-process-docstring", _as_rst, priority=400)  # before napoleon
