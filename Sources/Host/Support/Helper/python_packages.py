import os
import site
import sys


def find_user_packages():
    """What `pip install --user` and PYTHONPATH offer: python -I leaves it out along with the current folder, and whole paths are safe."""
    for path in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if os.path.isabs(path):
            sys.path.append(path)
    if sys.prefix == sys.base_prefix and os.path.isdir(site.getusersitepackages()):
        site.addsitedir(site.getusersitepackages())


