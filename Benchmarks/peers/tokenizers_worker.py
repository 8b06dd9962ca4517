"""`tokenizers` on one core: a text whole, and line by line. usage: tokenizers_worker.py tokenizer.json (worker.py speaks to it)"""

import sys
import time

from worker import serve

from tokenizers import Tokenizer


def tokenize(path, whole):
    """Seconds, by a tokeniser that has seen nothing yet (it remembers words), and the count of tokens."""
    tokenizer = Tokenizer.from_file(sys.argv[1])
    text = open(path, encoding="utf-8").read()
    texts = [text] if whole else text.splitlines(keepends=True)
    start = time.perf_counter()
    count = sum(len(e.ids) for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    return {"seconds": time.perf_counter() - start, "tokens": count}


serve({"tokenize": tokenize})
