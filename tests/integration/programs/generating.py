"""Has SmolLM2 generate again and again until standard input ends, and ends well.

    generating.py MODEL FOLDER-OF-XLLAMACPP TIMES

With TIMES that are not 0, only so often; then it says so, and waits for that end.
"""

import sys
import threading

model, binding, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.path.insert(0, binding)
import xllamacpp  # noqa: E402

parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.n_ctx, parameters.n_parallel = model, 1024, 1
parameters.warmup, parameters.verbosity = False, -1
server = xllamacpp.Server(parameters)
ended = threading.Event()
waiting = threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True)
waiting.start()
done = 0
while not ended.is_set() and (times == 0 or done < times):
    server.handle_completions({"prompt": "Once upon a time", "n_predict": 100, "ignore_eos": True, "temperature": 0})
    done += 1
print("generated", flush=True)
waiting.join()
