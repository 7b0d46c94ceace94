"""``/docs`` without scripts: everything is there and escaped."""

from __future__ import annotations

import base64
import hashlib
import re

from seefit.deploy.serve.handbook import POLICY, render_handbook

SCHEMA = {
    "info": {"title": "seefit: <b>", "description": "First.\n\n    curl <x>\n\nLast."},
    "paths": {
        "/predict": {
            "post": {
                "summary": "Predict",
                "parameters": [{"name": "explain", "in": "query", "description": "a <class>"}],
                "responses": {"200": {"description": "Good"}, "422": {"description": "Bad & ugly"}},
            }
        }
    },
}


def test_everything_is_there_and_escaped() -> None:
    page = render_handbook(SCHEMA)
    for piece in (
        "seefit: &lt;b&gt;",
        "<pre>curl &lt;x&gt;</pre>",
        "<p>Last.</p>",
        "<p>Predict</p>",
        "a &lt;class&gt;",
        "Bad &amp; ugly",
        "POST",
    ):
        assert piece in page
    assert "<script" not in page


def test_the_policy_allows_this_very_style_and_nothing_else() -> None:
    style = re.search("<style>(.*?)</style>", render_handbook(SCHEMA), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert "unsafe" not in POLICY
