"""The two functions that the models ask for, of a file that draws pictures."""


def _log_api_usage_once(obj):
    pass


def _make_ntuple(x, n):
    return tuple(x) if hasattr(x, "__iter__") else (x,) * n
