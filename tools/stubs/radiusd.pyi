"""The module that rlm_python3 gives to Python inside FreeRADIUS, as far as hooks.py uses it (src/modules/rlm_python3)."""

config: dict[str, str]

RLM_MODULE_REJECT: int
RLM_MODULE_FAIL: int
RLM_MODULE_OK: int
RLM_MODULE_NOTFOUND: int
RLM_MODULE_NOOP: int
RLM_MODULE_UPDATED: int

L_AUTH: int
L_INFO: int
L_ERR: int

def radlog(level: int, text: str) -> int: ...
