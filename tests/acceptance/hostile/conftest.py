"""These modules run inside radiusd, which alone has the module that they import; pytest does not look at them."""

collect_ignore_glob = ["*.py"]
