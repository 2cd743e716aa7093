"""Measures `highwater attach`: what it says of pipelines whose shares are known, what it costs, and what it costs them.

    python3 benches/attach.py target/release/highwater cases [SECONDS]
    python3 benches/attach.py target/release/highwater cost [SECONDS]
    python3 benches/attach.py target/release/highwater ratio [PAIRS]

It needs Linux, gzip and pv, and root with version 1 of the block device controller for a disk that is slow. The shares of `cases` are those that the stages measure of themselves.
"""

import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

STAGE = f"{sys.executable} {os.path.abspath(__file__)} - stage"
PIECE = 65536
CONTROL_GROUPS = "/sys/fs/cgroup/blkio"
GROUP = CONTROL_GROUPS + "/highwater-benchmark"

# Name, script, stages that may be named. A stage is its number, what it does with each piece, and for how long.
CASES = [
    ("slow source", "S 0 make sleep 0.1 | S 1 pass | S 2 take", {0}),
    ("slow filter on the processor", "S 0 make | S 1 pass spin 0.02 | S 2 take", {1}),
    ("slow filter asleep", "S 0 make | S 1 pass sleep 0.02 | S 2 take", {1}),
    ("filter at 40 %", "S 0 make sleep 0.05 | S 1 pass sleep 0.02 | S 2 take", {0}),
    ("slow sink", "S 0 make | S 1 pass | S 2 take sleep 0.05", {2}),
    ("slow disk", "S 0 make | S 1 pass | S 2 take sync 0", {2}),
    ("slow TCP peer", "S 2 listen sleep 0.05 & S 0 make | S 1 connect; wait", {2}),
    ("two equal", "S 0 make | S 1 pass sleep 0.02 | S 2 take sleep 0.02", {1, 2}),
]


def stage(number, role, work="none", seconds="0"):
    """Moves pieces for ever, and notes the time that it has spent in reading, in its work and in writing."""
    seconds, spent, port = float(seconds), [0.0, 0.0, 0.0], os.environ["PORT_FILE"]
    log = os.open(os.environ["LOGS"] + number, os.O_WRONLY | os.O_CREAT, 0o600)
    if work == "sync":
        scratch = os.open(os.environ["LOGS"] + "disk", os.O_WRONLY | os.O_CREAT, 0o600)
        slow_down(os.fstat(scratch).st_dev)
    if role == "listen":
        server = socket.create_server(("127.0.0.1", 0))
        with open(port + ".new", "w") as file:
            file.write(str(server.getsockname()[1]))
        os.rename(port + ".new", port)
        os.dup2(server.accept()[0].detach(), 0)
    if role == "connect":
        while not os.path.exists(port):
            time.sleep(0.01)
        with open(port) as file:
            os.dup2(socket.create_connection(("127.0.0.1", int(file.read()))).detach(), 1)
    piece, last = b"x" * PIECE, time.monotonic()
    os.pwrite(log, json.dumps([last, *spent]).ljust(120).encode(), 0)

    def account(part):
        nonlocal last
        now = time.monotonic()
        spent[part] += now - last
        last = now

    while True:
        if role != "make" and not (piece := os.read(0, PIECE)):
            return
        account(0)
        if work == "sleep":
            time.sleep(seconds)
        elif work == "spin":
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                pass
        elif work == "sync":
            os.pwrite(scratch, piece, 0)
            os.fsync(scratch)
        account(1)
        if role not in ("take", "listen"):
            os.write(1, piece)
        account(2)
        os.pwrite(log, json.dumps([last, *spent]).ljust(120).encode(), 0)


def slow_down(device):
    """Lets this process write 2 MB/s, so that a fast disk is a slow one."""
    if not os.path.isdir(CONTROL_GROUPS):
        sys.exit(f"the slow disk needs {CONTROL_GROUPS}")
    os.makedirs(GROUP, exist_ok=True)
    for name, value in (
        ("blkio.throttle.write_bps_device", f"{os.major(device)}:{os.minor(device)} 2000000"),
        ("tasks", str(os.getpid())),
    ):
        with open(f"{GROUP}/{name}", "w") as file:
            file.write(value)


def start(script, folder):
    environment = {**os.environ, "LOGS": folder + "/", "PORT_FILE": folder + "/port"}
    script = script.replace("S ", STAGE + " ")
    return subprocess.Popen(["sh", "-c", script], env=environment, start_new_session=True)


def stop(shell):
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


def logged(folder, number):
    with open(f"{folder}/{number}") as file:
        return json.loads(file.read())


def cases(binary, seconds="20"):
    print("| construction | named | stage: busy idle backpressured (of itself) | largest difference |\n|---|---|---|---:|")
    for name, script, right in CASES:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            shell = start(script, folder)
            time.sleep(2)
            before = [logged(folder, number) for number in range(3)]
            pid = str(shell.pid)
            command = [binary, "attach", pid, "--once", "--interval", seconds + "s", "--progress", "json"]
            sample = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            after = [logged(folder, number) for number in range(3)]
            stop(shell)
        rows, worst = [], 0
        for stage in sample["stages"]:
            number = stage["text"].split(" - stage ")[1][0]
            b, a = before[int(number)], after[int(number)]
            idle, busy, full = (100 * (new - old) / (a[0] - b[0]) for new, old in zip(a[1:], b[1:]))
            seen = [100 * stage[part] for part in ("busy", "idle", "backpressured")]
            worst = max(worst, *(abs(x - y) for x, y in zip(seen, (busy, idle, full))))
            outside = f", {stage['outside']} {100 * stage['waiting_outside']:.0f}" if "outside" in stage else ""
            rows.append(f"{number}: {' '.join(f'{x:.0f}' for x in seen)}{outside} ({busy:.0f} {idle:.0f} {full:.0f})")
        named = int(sample["stages"][sample["bottleneck"]["stage"]]["text"].split(" - stage ")[1][0])
        mark = "" if named in right else " WRONG"
        print(f"| {name} | {named}{mark} | {' · '.join(rows)} | {worst:.1f} |", flush=True)
    if os.path.isdir(GROUP):
        os.rmdir(GROUP)
    alternating(binary)


def alternating(binary):
    with tempfile.TemporaryDirectory() as folder:
        turns = "while b := os.read(0, 65536):\n if int(time.time() / 10) % 2 == {}: time.sleep(.02)\n os.write(1, b)"
        stages = [f"{sys.executable} -c 'import os, time\n{turns.format(turn)}'" for turn in (0, 1)]
        shell = start(f"yes | {stages[0]} | {stages[1]} > /dev/null", folder)
        command = [binary, "attach", str(shell.pid), "--progress", "json", "--interval", "1s"]
        looking = subprocess.Popen(command, stderr=subprocess.PIPE)
        late, last = [], None
        for line in looking.stderr:
            named, now = json.loads(line)["bottleneck"]["stage"], time.time()
            if last is not None and named != last:
                late.append(now % 10)
            last = named
            if len(late) == 5:
                break
        looking.kill()
        looking.wait()
        stop(shell)
    print(f"| alternating every ten seconds | named anew {statistics.median(late):.1f} s after each change, at most {max(late):.1f} | | |")


def used(command, seconds):
    """Processor time of a command that is interrupted after so long."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cost(binary, seconds="40"):
    shell = start("yes | cat | cat | cat | cat | cat | cat | cat | cat | pv -qL 50M > /dev/null", "/tmp")
    command = [binary, "attach", str(shell.pid), "--progress", "none"]
    time.sleep(1)
    for _ in range(3):
        begin = used(command, 2)
        whole = used(command, 2 + float(seconds))
        share = 100 * (whole - begin) / float(seconds)
        print(f"{1000 * begin:.0f} ms in the first 2 s, then {share:.2f} % of a core; load {os.getloadavg()[0]:.1f}", flush=True)
    stop(shell)


def ratio(binary, pairs="40"):
    def run(watched):
        command = "head -c 60M /dev/zero | gzip -9 | cat > /dev/null"
        begun = time.monotonic()
        shell = subprocess.Popen(["sh", "-c", command])
        looking = [binary, "attach", str(shell.pid), "--progress", "none"]
        looking = subprocess.Popen(looking, stderr=subprocess.DEVNULL) if watched else None
        _, _, use = os.wait4(shell.pid, 0)
        wall = time.monotonic() - begun
        if looking:
            looking.wait()
        return wall, use.ru_utime + use.ru_stime

    ratios = []
    for turn in range(int(pairs)):
        order = (True, False) if turn % 2 else (False, True)
        seen = {watched: run(watched) for watched in order}
        ratios.append([with_it / without for with_it, without in zip(seen[True], seen[False])])
    for name, values in zip(("wall time", "user+sys"), zip(*ratios)):
        quarters = statistics.quantiles(values, n=4)
        error = 1.57 * (quarters[2] - quarters[0]) / len(values) ** 0.5
        print(f"{name} with attach / without, median of {pairs} pairs: {statistics.median(values):.3f} ± {error:.3f}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    binary, what, *rest = sys.argv[1:]
    {"stage": stage, "cases": cases, "cost": cost, "ratio": ratio}[what](*([] if what == "stage" else [os.path.abspath(binary)]), *rest)
