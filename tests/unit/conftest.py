"""What all unit tests share: hypothesis judges answers, not how long a busy machine took for them."""

import hypothesis

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")
