"""A process that does what it is asked, line by line, and sleeps in between: it holds a model of a peer while this program has its turn.

The caller:  with Worker("torch_worker.py") as w: w.ask(do="lora", ...)      The worker:  serve({"lora": lora, ...})
Requests and answers are JSON lines. What a library prints goes to standard error, the last of which is shown where a worker fails.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile


class Failed(Exception):
    pass


class Worker:
    def __init__(self, script, *arguments, threads=2, processor=None):
        environment = dict(
            os.environ, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS=str(threads),
            PYTHONWARNINGS="ignore")
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name(script)), *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
            preexec_fn=None if processor is None else lambda: os.sched_setaffinity(0, {processor}))

    def ask(self, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.log.seek(0)
            last = [text for text in self.log.read().splitlines() if text.strip()][-1:]
            raise Failed(f"{self.process.args[1]}: ended with {self.process.wait()}: {' '.join(last) or 'nothing said'}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve(handlers):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(handlers[request.pop("do")](**request)) + "\n")
        answers.flush()
