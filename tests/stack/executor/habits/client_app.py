"""An app with the habits of third-party apps; what a message asks for is the name of one."""

import asyncio
import atexit
import concurrent.futures
import faulthandler
import json
import multiprocessing
import multiprocessing.shared_memory
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    asked = message.content.config_records["asked"]
    answer = HABITS[str(asked["do"])](Path(str(asked.get("directory", "."))))
    return Message(
        RecordDict({"answer": ConfigRecord({"json": json.dumps(answer)})}), reply_to=message
    )


# What processes of pools do.


def square(number: int) -> int:
    return int(np.square(number))


def who(_number: int) -> dict[str, Any]:
    """Tell what a child has inherited, from within it."""
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "handlers": [str(signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGINT)],
        "sockets": sockets(),
        "threads": [thread.name for thread in threading.enumerate()],
        "argv": sys.argv,
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "executor": "fedstate.executor.loop" in sys.modules,
    }


def sockets() -> list[str]:
    """Return the sockets that belong to a pair, as an executor's channel does."""
    table = Path("/proc/net/unix").read_text()
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = str(each.readlink())
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in table:
            found.append(target)
    return found


# Pools.


def pool(method: str) -> Any:
    with multiprocessing.get_context(method).Pool(2) as workers:
        squares = workers.map(square, range(6))
        return {"squares": squares, "child": workers.map(who, [0])[0], "pid": os.getpid()}


def short_pools(_directory: Path) -> Any:
    totals = []
    for number in range(40):
        with multiprocessing.get_context("fork").Pool(2) as workers:
            totals.append(sum(workers.map(square, range(number + 1))))
    return {"totals": totals}


def process_executor(_directory: Path) -> Any:
    with concurrent.futures.ProcessPoolExecutor(2) as workers:
        return {"squares": list(workers.map(square, range(6)))}


def joblib_processes(_directory: Path) -> Any:
    import joblib  # type: ignore[import-untyped]

    work = (joblib.delayed(square)(number) for number in range(6))
    return {"squares": joblib.Parallel(n_jobs=2)(work)}


def data_loader(_directory: Path) -> Any:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.arange(40, dtype=torch.float32))
    totals = []
    for _epoch in range(3):
        loader = DataLoader(data, batch_size=8, num_workers=2)
        totals.append(sum(float(batch.sum()) for (batch,) in loader))
    return {"totals": totals}


def tensorflow_data(_directory: Path) -> Any:
    import tensorflow as tf

    def double(number: Any) -> Any:
        return np.float32(2 * number.numpy())

    numbers = tf.data.Dataset.range(6)
    doubled = numbers.map(
        lambda number: tf.py_function(double, [number], tf.float32), num_parallel_calls=2
    )
    found = [float(each) for each in doubled.batch(3).prefetch(1).unbatch()]
    return {"doubled": found, "pid": os.getpid()}


def own_backend(_directory: Path) -> Any:
    from habits import torch_model  # type: ignore[import-not-found]

    return torch_model.fitted()


def queue_and_memory(_directory: Path) -> Any:
    context = multiprocessing.get_context("fork")
    queue: Any = context.Queue()
    block = multiprocessing.shared_memory.SharedMemory(create=True, size=16)
    child = context.Process(target=_fill, args=(queue, block.name))
    child.start()
    answer = queue.get(timeout=30)
    child.join()
    content = bytes(block.buf or b"")[:4]
    block.close()
    block.unlink()
    return {"answer": answer, "content": content.decode(), "code": child.exitcode}


def _fill(queue: Any, name: str) -> None:
    block = multiprocessing.shared_memory.SharedMemory(name=name)
    assert block.buf is not None
    block.buf[:4] = b"done"
    block.close()
    queue.put("filled")


# Forks and programs.


def forks(directory: Path) -> Any:
    """Fork children that end in each way there is; return their exit codes."""
    codes = {}
    for how, leave in WAYS_TO_END.items():
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            (directory / f"forked-{how}").write_text(json.dumps(who(0)))
            return leave()
        codes[how] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return codes


def _raise() -> Any:
    raise ValueError("a fork has failed")


def _exit_with(code: Any) -> Callable[[], Any]:
    return lambda: sys.exit(code)


def _interrupted() -> Any:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)


WAYS_TO_END: dict[str, Callable[[], Any]] = {
    "returns": lambda: {"from": "a fork"},
    "raises": _raise,
    "exits": _exit_with(7),
    "exits-none": _exit_with(None),
    "exits-text": _exit_with("with a word"),
    "leaves": lambda: os._exit(9),
    "terminated": _interrupted,
}


def programs(_directory: Path) -> Any:
    script = "import signal, sys; print(signal.getsignal(signal.SIGTERM).name, sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, "argument"], capture_output=True, text=True, check=True
    )
    stopped = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stopped.terminate()
    return {
        "output": done.stdout.strip(),
        "stopped": stopped.wait(30),
        "shell": os.waitstatus_to_exitcode(os.system("ls -l /proc/self/fd | grep -c socket >&2")),  # noqa: S605
    }


# The event loop and threads.


def event_loop(_directory: Path) -> Any:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(6 * 7)", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await child.communicate()
        in_thread = await asyncio.to_thread(square, 5)
        in_process = None
        with concurrent.futures.ProcessPoolExecutor(1) as workers:
            in_process = await loop.run_in_executor(workers, square, 4)
        return [output.decode().strip(), child.returncode, in_thread, in_process]

    return {"answers": asyncio.run(main())}


def process_as_such(_directory: Path) -> Any:
    return {
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "main": vars(sys.modules["__main__"]).get("__file__"),
        "stdin": sys.stdin.read(),
        "main thread": threading.current_thread() is threading.main_thread(),
        "faulthandler": faulthandler.is_enabled(),
        "child handler": str(signal.getsignal(signal.SIGCHLD)),
        "blocked": [str(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "start method": multiprocessing.get_start_method(),
        "key": multiprocessing.current_process().authkey.hex(),
        "dont_write_bytecode": sys.dont_write_bytecode,
        "warnings": [each[0] for each in warnings.filters if each[2] is DeprecationWarning],
    }


# What happens after the reply.

kept: list[Any] = []


class Destroyed:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __del__(self) -> None:
        self.file.write_text("destroyed")


def at_the_end(directory: Path) -> Any:
    unclosed = (directory / "unclosed").open("w")
    unclosed.write("flushed")
    kept.append(unclosed)
    kept.append(Destroyed(directory / "destroyed"))
    atexit.register(lambda: (directory / "atexit").write_text("called"))
    kept.append(weakref.finalize(app, (directory / "finalized").write_text, "called"))

    def late() -> None:
        # Somebody makes it who has the reply; threads have five seconds after that.
        until = time.monotonic() + 4
        while not (directory / "go").exists() and time.monotonic() < until:
            time.sleep(0.02)
        (directory / "thread").write_text("ended")

    threading.Thread(target=late).start()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.submit(time.sleep, 1)
    executor.submit((directory / "executor").write_text, "ended")
    child = multiprocessing.get_context("fork").Process(target=_write_late, args=(directory,))
    child.start()
    kept.append(child)
    print("printed without a line's end", end="")  # noqa: T201
    return {"pid": os.getpid()}


def _write_late(directory: Path) -> None:
    time.sleep(1)
    (directory / "child").write_text("ended")


def never_ends(_directory: Path) -> Any:
    threading.Thread(target=time.sleep, args=(600,), name="the endless one").start()
    return {"pid": os.getpid()}


def hangs_in_a_destructor(_directory: Path) -> Any:
    class Hanging:
        def __del__(self) -> None:
            while True:
                pass

    kept.append(Hanging())
    return {"pid": os.getpid()}


HABITS: dict[str, Callable[[Path], Any]] = {
    "fork pool": lambda _: pool("fork"),
    "spawn pool": lambda _: pool("spawn"),
    "forkserver pool": lambda _: pool("forkserver"),
    "short pools": short_pools,
    "process executor": process_executor,
    "joblib": joblib_processes,
    "data loader": data_loader,
    "tf.data": tensorflow_data,
    "own backend": own_backend,
    "queue and memory": queue_and_memory,
    "forks": forks,
    "programs": programs,
    "event loop": event_loop,
    "process": process_as_such,
    "end": at_the_end,
    "never ends": never_ends,
    "hangs": hangs_in_a_destructor,
    "exit 3": lambda _: sys.exit(3),
    "exit": lambda _: sys.exit(),
    "exit with words": lambda _: sys.exit("no data today"),
    "interrupt": lambda _: (_ for _ in ()).throw(KeyboardInterrupt()),
    "leave": lambda _: os._exit(4),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
}
