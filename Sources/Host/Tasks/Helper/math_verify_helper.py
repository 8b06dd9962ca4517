"""Grades answers for nano-reasoner with math-verify (PyPI), which a run chooses with --reward math-verify.

Says first {"version"} or {"error"}; then reads one JSON array [answer, gold] a line and answers {"correct", "reason"} in order. Both
are parsed as math-verify asks for, as the content of a \\boxed{}.
"""

import json
import signal
import sys


def main():
    # The run tells when it stops; Ctrl-C in its terminal is not for this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def say(answer):
        print(json.dumps(answer), flush=True)

    find_user_packages()
    try:
        from importlib.metadata import version
        import logging
        from math_verify import parse, verify
        from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig
    except ImportError as error:
        say({"error": f"no math-verify in {sys.executable} ({error}); install it with: {sys.executable} -m pip install 'math-verify[antlr4_13_2]', or set NR_PYTHON"})
        return 3
    logging.disable(logging.CRITICAL)
    config = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    say({"version": version("math-verify")})
    for line in sys.stdin:
        answer, gold = json.loads(line)
        try:
            read, expected = parse(f"\\boxed{{{answer}}}", config), parse(f"\\boxed{{{gold}}}", config)
            say({"correct": bool(verify(expected, read)), "reason": f"math-verify read {str(read[:1])[:80]}, expected {str(expected[:1])[:80]}"})
        except Exception as error:
            say({"correct": False, "reason": f"math-verify: {type(error).__name__}"})
    return 0


sys.exit(main())
