"""For all unit tests: hypothesis checks answers and has no time limit, because the machine may be busy."""

import hypothesis

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")
