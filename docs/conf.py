"""Sphinx configuration: ``sphinx-build -W -b html docs docs/_build/html``."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from lowapprox import __version__

sys.path.insert(0, str(Path(__file__).parent))  # for supported_inputs.py

# The examples are small: more threads would not make them faster, and would make their times
# depend on whatever else runs. Read when NumPy is imported, which is later.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

project = "lowapprox"
author = "lowapprox developers"
copyright = "lowapprox developers"
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "supported_inputs",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "examples"]
nitpicky = False

# Links into the documentation of other projects need the network: on request only.
if os.environ.get("LOWAPPROX_DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }

autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False  # `__all__` of a package is what it offers
autodoc_typehints = "none"  # numpydoc sections say the types
numpydoc_show_class_members = False  # the class template lists them

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
}

# What the examples warn about is shown on their pages by hand or not at all; the warnings of
# libraries that they use are no business of the reader.
warnings.filterwarnings("ignore", category=DeprecationWarning)

html_theme = "pydata_sphinx_theme"
html_title = "lowapprox"
html_static_path = ["_static"]
html_css_files = ["lowapprox.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_sidebars = {
    page: [] for page in ("index", "install", "quickstart", "development", "benchmarks/*")
}
