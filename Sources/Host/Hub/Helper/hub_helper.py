"""Fetches from the hub for nano-reasoner with huggingface_hub.

Says first {"version"} or {"error"}; then answers requests, one JSON object a line: {"list": kind, "name", "revision"} with what the hub's own
interface says of a repository, {"names": kind, "owner"} with {"names"}, {"fetch": path, "kind", "name", "revision", "cache"} with {"path"}. What
fails is {"problem": "repository" | "revision" | "access" | "other", "message"}.
"""

import json
import os
import signal
import sys


def main():
    # The program tells when it stops; Ctrl-C in its terminal is not for this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    find_user_packages()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_UPDATE_CHECK"] = "1"

    output, sys.stdout = sys.stdout, sys.stderr

    def say(answer):
        print(json.dumps(answer), file=output, flush=True)

    try:
        import logging
        import warnings
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        say({"error": f"no huggingface_hub in {sys.executable} ({error}); install it with: {sys.executable} -m pip install huggingface_hub, or set NR_PYTHON to a Python that has it"})
        return 3
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # The address and the token are of the program, so that both ways ask the same hub in the same name.
    start = json.loads(sys.stdin.readline())
    endpoint, token = start["endpoint"], start["token"] or False
    api = huggingface_hub.HfApi(endpoint=endpoint, token=token)
    say({"version": huggingface_hub.__version__})

    def listing(request):
        info = api.repo_info(request["name"], repo_type=request["list"], revision=request["revision"], files_metadata=True)
        files = []
        for file in info.siblings or []:
            item = {"rfilename": file.rfilename, "size": file.size, "blobId": file.blob_id}
            if file.lfs:
                item["lfs"] = {"sha256": file.lfs["sha256"], "size": file.lfs["size"]}
            files.append(item)
        return {"sha": info.sha, "siblings": files}

    def names(request):
        found = (api.list_models if request["names"] == "model" else api.list_datasets)(author=request["owner"], limit=200)
        return {"names": [item.id for item in found]}

    def fetch(request):
        return {"path": huggingface_hub.hf_hub_download(
            request["name"], request["fetch"], repo_type=request["kind"], revision=request["revision"], cache_dir=request["cache"], endpoint=endpoint, token=token)}

    for line in sys.stdin:
        request = json.loads(line)
        try:
            say(listing(request) if "list" in request else names(request) if "names" in request else fetch(request))
        except errors.GatedRepoError:
            say({"problem": "access"})
        except errors.RevisionNotFoundError:
            say({"problem": "revision"})
        except errors.RepositoryNotFoundError as error:
            # Without the hub's own code in the answer a 401 means either.
            response = getattr(error, "response", None)
            unknown = response is not None and response.status_code == 401 and response.headers.get("X-Error-Code") != "RepoNotFound"
            say({"problem": "access" if unknown else "repository"})
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            problem = "access" if status in (401, 403) else "repository" if status == 404 else "other"
            say({"problem": problem, "message": f"{type(error).__name__}: {' '.join(str(error).split())}"})
    return 0


try:
    sys.exit(main())
except (BrokenPipeError, KeyboardInterrupt):
    os._exit(0)
