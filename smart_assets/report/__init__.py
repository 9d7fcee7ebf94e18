"""The mixture report: one self-contained HTML page, and the pictures that Dagster metadata shows too.

`content` declares what is shown, `pictures` draws it, `page.render_page` writes the page.
"""
