"""Range finders shared by the families."""
