"""Scores completions for nano-reasoner with a function of the user's, called as TRL's GRPOTrainer calls its reward functions.

Reads first {"path", "function", "columns"} and says {"name"} or {"error"}; then reads {"rows"}, one JSON object a line, and answers
{"rewards"}, a number, null or {"error"} for each row, or {"error"} for all. {"where"} is answered at once with {"place"}, the line that the
function is at; a crash leaves the interpreter's own traceback. All of it goes over a descriptor of its own: what the function prints, and
what its children print, goes to standard error.
"""


def main():
    import asyncio
    import atexit
    import faulthandler
    import importlib.util
    import inspect
    import json
    import queue
    import signal
    import threading
    import time

    own = os.getpid()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable(answers, all_threads=False)

    def say(answer):
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    def end_group():
        """Nothing that was started here outlives the run; a child that ends by itself ends alone."""
        if os.getpid() == own == os.getpgrp():
            sys.stdout.flush()
            sys.stderr.flush()
            os.killpg(own, signal.SIGKILL)

    atexit.register(end_group)
    lines = queue.SimpleQueue()
    path = None

    def place_of(frames):
        """The last of some frames that is in the user's file, or else the last."""
        places = [(code.co_filename, line) for code, line in frames]
        places = [place for place in places if place[0] == path] or places
        return f"{os.path.basename(places[-1][0])}:{places[-1][1]}" if places and places[-1][0] != "<string>" else None

    def where():
        frame, frames = sys._current_frames().get(threading.main_thread().ident), []
        while frame:
            frames.insert(0, (frame.f_code, frame.f_lineno))
            frame = frame.f_back
        return place_of(frames)

    def listen():
        for line in requests:
            if line.startswith(b'{"where"'):
                say({"place": where()})
            else:
                lines.put(json.loads(line))
        lines.put(None)
        # Whoever asked is gone. A function that goes on has a moment to end.
        time.sleep(2)
        end_group()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()

    def flat(text):
        return " ".join(str(text).split())[:300]

    def cause(error):
        """What an exception says, and the line of the user's file that it came through last."""
        trace, frames = error.__traceback__, []
        while trace:
            frames.append((trace.tb_frame.f_code, trace.tb_lineno))
            trace = trace.tb_next
        place = place_of(frames)
        if isinstance(error, SyntaxError) and error.filename:
            place = f"{os.path.basename(error.filename)}:{error.lineno}"
        text = flat(f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}")
        return f"{text} ({place})" if place else text

    find_user_packages()
    first = lines.get()
    if first is None:
        return 0
    path, wanted = os.path.abspath(first["path"]), first["function"]
    try:
        sys.path.insert(0, os.path.dirname(path))
        stem = os.path.splitext(os.path.basename(path))[0]
        name = f"reward_{stem}" if stem in sys.modules or stem in getattr(sys, "stdlib_module_names", ()) else stem
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except BaseException as error:
        say({"error": cause(error)})
        return 3

    own_functions = [key for key, value in vars(module).items() if not key.startswith("_") and inspect.isfunction(value) and value.__module__ == name]
    if wanted is None:
        if callable(getattr(module, "reward", None)):
            wanted = "reward"
        elif len(own_functions) == 1:
            wanted = own_functions[0]
        else:
            found = ", ".join(own_functions) or "none"
            say({"error": f"expected one function, or one called reward; found {found}: name one behind a colon"})
            return 3
    function = getattr(module, wanted, None)
    if not callable(function):
        found = ", ".join(own_functions) or "none"
        say({"error": f"expected a function {wanted}, found {'none' if function is None else type(function).__name__} (functions there: {found})"})
        return 3
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None
    if signature is not None:
        try:
            signature.bind(prompts=[], completions=[], completion_ids=[], **{key: [] for key in first["columns"]})
        except TypeError as error:
            given = ", ".join(["prompts", "completions", "completion_ids"] + first["columns"])
            say({"error": flat(f"{wanted}{signature} does not take what it is called with ({given}): {error}; end its parameters with **kwargs")})
            return 3
    say({"name": wanted})

    class Turn(str):
        """The first character of a text, which functions for dialogues take for its turn: turn["content"] is the whole text."""

        def __new__(cls, character, text):
            turn = super().__new__(cls, character)
            turn.text = text
            return turn

        def __getitem__(self, key):
            if key == "content":
                return str(self.text)
            return self.text.role if key == "role" else super().__getitem__(key)

    class Text(str):
        """A text that functions for dialogues, such as TRL's own, can read too: text[0]["content"] is all of it."""

        def __new__(cls, content, role):
            text = super().__new__(cls, content)
            text.role = role
            return text

        def __getitem__(self, key):
            if isinstance(key, int) and key in (0, -1):
                return Turn(super().__getitem__(key) if self else "", self)
            return super().__getitem__(key)

    def prompt(row):
        return row["prompt"] if isinstance(row["prompt"], list) else Text(row["prompt"], "user")

    def completion(row):
        is_dialogue = isinstance(row["prompt"], list)
        return [{"role": "assistant", "content": row["completion"]}] if is_dialogue else Text(row["completion"], "assistant")

    async def awaited(value):
        return await value

    def number(value):
        if value is None:
            return None
        try:
            if isinstance(value, (str, bytes)):
                raise TypeError
            value = float(value)
        except (TypeError, ValueError, OverflowError):
            return {"error": flat(f"{wanted} gave {value!r}, expected a number or None")}
        return value if value - value == 0 else {"error": f"{wanted} gave {value}, expected a finite number or None"}

    def scores(rows):
        columns = {key: [row["columns"][key] for row in rows] for key in rows[0]["columns"]}
        result = function(
            prompts=[prompt(row) for row in rows], completions=[completion(row) for row in rows],
            completion_ids=[row["completion_ids"] for row in rows], **columns)
        if inspect.isawaitable(result):
            result = asyncio.run(awaited(result))
        if os.getpid() != own:
            # A child that the function left behind is not asked.
            os._exit(0)
        try:
            result = list(result)
        except TypeError:
            return {"error": flat(f"{wanted} gave {result!r}, expected a list with a number for each of the {len(rows)} completions")}
        if len(result) != len(rows):
            return {"error": f"{wanted} gave {len(result)} rewards for {len(rows)} completion{'' if len(rows) == 1 else 's'}"}
        return {"rewards": [number(value) for value in result]}

    while True:
        line = lines.get()
        if line is None:
            return 0
        try:
            answer = scores(line["rows"])
        except BaseException as error:
            if os.getpid() != own:
                os._exit(1)
            answer = {"error": cause(error)}
        say(answer)


sys.exit(main())
