"""Never ends by itself: ignores every signal that can be ignored, and leaves a double-forked child that does the same.

Its time limit is held from outside: the verdict is `agent_timeout`, and nothing of it is left.
"""

import os
import signal
import time


def ignore_signals():
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass


ignore_signals()
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    # The grandchild belongs to no session of ours and holds stdout open.
    while True:
        time.sleep(60)

print("hang: here to stay", flush=True)
while True:
    time.sleep(60)
