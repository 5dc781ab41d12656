"""Formulas as MathML, which every current browser draws by itself: no script, no network, no images.

A Sphinx extension over latex2mathml. A formula that it cannot convert is a warning, and so an error of `sphinx -W`.
"""

import html
import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)

# The converter leaves what it does not know as text: better a warning than a page with backslashes.
_UNKNOWN = re.compile(r">(\\[^<]*|&)<")

# What browsers, which know MathML Core only, would draw otherwise than TeX does.
_MENDED = (
    # Bars of a norm or an absolute value do not stretch, and a slash takes no room.
    (
        re.compile(r"<mo>(&#x02016;|&#x0007C;|\|)</mo>"),
        r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>',
    ),
    (re.compile(r"<mo>(/|&#x0002F;)</mo>"), r'<mo lspace="0" rspace="0">\1</mo>'),
    (re.compile(r"<mo>(&#x02202;)</mo>"), r'<mi mathvariant="normal">\1</mi>'),  # ∂
    (re.compile(r'"negativethinmathspace"'), '"-0.167em"'),
    # A minus that begins something is a sign.
    (
        re.compile(r"(<mo[^>]*>(?:&#x00028;|&#x0003D;|&#x0002C;|&#x0005B;|\(|\[)</mo>)<mo>&#x02212;</mo>"),
        r'\1<mo form="prefix">&#x02212;</mo>',
    ),
)


def mathml(node: nodes.Element, display: str) -> str:
    """The formula of a math node."""
    latex = node.astext().strip()
    try:
        markup = convert(latex, display=display)
    except Exception as error:  # latex2mathml raises many types
        logger.warning("cannot convert the formula %r: %r", latex, error, location=node)
        return f"<code>{html.escape(latex)}</code>"
    if unknown := _UNKNOWN.search(markup):
        logger.warning("the formula %r: %s is not understood", latex, unknown[1], location=node)
    for pattern, replacement in _MENDED:
        markup = pattern.sub(replacement, markup)
    return markup


def visit_math(self, node: nodes.math) -> None:
    self.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def visit_math_block(self, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math-block"))
    self.body.append(mathml(node, "block"))
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
