"""Words and their numbers."""


class Dictionary(list):
    pass
