"""Continues a story of some 300 tokens by 128 more with xllamacpp (llama.cpp). The same each time: nothing is drawn.

    python generate.py MODEL.gguf [XLLAMACPP_FOLDER]

Prints the text, and on stderr the speed as the runtime itself measured it.
"""

from __future__ import annotations

import sys
import textwrap

if len(sys.argv) > 2:
    sys.path.insert(0, sys.argv[2])

import xllamacpp

PROMPT = """\
Every evening the keeper of the lighthouse climbed the two hundred steps with a can of oil in each
hand. He knew each of them: the third was loose, the ninetieth was worn in the middle, and from the
hundred and twelfth one could see the sea through a narrow window. When he reached the lamp he
cleaned the glass, trimmed the wick, filled the tank and lit the flame, and then he sat down with a
book, because a flame wants to be watched and a man who only watches falls asleep.

Ships passed far out. He wrote down their lights, the hour, and the wind. Some he knew by the way in
which they rolled, as one knows a neighbour by his step. In winter, when the fog lay on the water
for a week, nothing passed at all, and he rang the bell every two minutes, and between the strokes
he listened. Once, many years ago, somebody had answered: three strokes of a small bell, quite near,
and then three more. He had taken the boat and found a fisherman without oars, who had drifted for
two days and had eaten nothing but an onion. They became friends, and every year on that day the
fisherman brought him a basket of onions and a bottle, and they drank to the bell.

This evening the fog came early. The keeper rang the bell, waited, and listened. And then he heard"""

parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.n_ctx = 1024
parameters.n_parallel = 1
parameters.warmup = False
parameters.verbosity = -1

server = xllamacpp.Server(parameters)
# So small a model repeats itself when nothing is drawn by chance, hence the penalty.
request = {"prompt": PROMPT, "n_predict": 128, "ignore_eos": True, "temperature": 0, "repeat_penalty": 1.2}
answer = server.handle_completions(request)
if "choices" not in answer:
    raise SystemExit(f"the runtime refused: {answer}")
story = "… And then he heard " + answer["choices"][0]["text"].lstrip()
for paragraph in story.split("\n\n"):
    print(textwrap.fill(paragraph, 80))
print(flush=True)
timings = answer["timings"]
print(
    f"xllamacpp says: prompt {timings['prompt_n']} tokens, {timings['prompt_per_second']:.1f} t/s · "
    f"{timings['predicted_n']} generated, {timings['predicted_per_second']:.1f} t/s",
    file=sys.stderr,
)
