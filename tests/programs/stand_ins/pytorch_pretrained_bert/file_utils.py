"""Where weights would be downloaded: no test does."""

CONFIG_NAME, WEIGHTS_NAME = "config.json", "pytorch_model.bin"


def cached_path(url_or_filename, cache_dir=None):
    raise RuntimeError(f"{url_or_filename} is not downloaded in a test")
