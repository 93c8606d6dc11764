#!/usr/bin/env python3
"""k6 as a plugin of runsheet: `k6.run`. Speaks JSON-RPC, one message a line; see docs/plugins.md."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

# k6's own exit codes (errext/exitcodes of go.k6.io/k6).
BREACHED = 99
NOTHING_SENT = {104: "the script's options, or the inputs", 106: "the address of its API"}
# Every address but those of this machine: where an environment is confined, nothing else may be reached.
NOT_LOOPBACK = [
    "0.0.0.0/2", "64.0.0.0/3", "96.0.0.0/4", "112.0.0.0/5", "120.0.0.0/6", "124.0.0.0/7", "126.0.0.0/8", "128.0.0.0/1",
    "2000::/3", "fc00::/7", "fe80::/10",
]  # fmt: skip
# How long k6 has to end its iterations when it is told to stop, in seconds.
STOPS_WITHIN = 3

# The script's own exports stay; what the step says wins over its options.
WRAPPER = """
import * as script from %(script)s;
export * from %(script)s;
export { default } from %(script)s;
export const options = Object.assign({}, script.options, %(options)s);
export function handleSummary(data) {
  return { [%(summary)s]: JSON.stringify({ metrics: data.metrics }) };
}
"""


class Stop(Exception):
    """The step's time is over."""


lock = threading.Lock()
questions = queue.Queue()
running = None


def send(message):
    with lock:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def log(line):
    send({"method": "log", "params": {"line": line}})


def listen():
    """Reads stdin to its end; `None` stands for that."""
    for line in sys.stdin:
        questions.put(line)
    questions.put(None)


def describe(params):
    return {"protocol": 1, "plugin": "k6", "actions": ["run"]}


def seconds(text):
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", text))


def options_of(inputs, target):
    scenario = {
        "executor": "constant-arrival-rate",
        "rate": inputs["rate"],
        "timeUnit": "1s",
        "duration": inputs["duration"],
        "preAllocatedVUs": inputs.get("pre_allocated_vus", 50),
        "maxVUs": max(inputs.get("max_vus") or 0, inputs.get("pre_allocated_vus", 50)),
        "gracefulStop": f"{STOPS_WITHIN}s",
    }
    options = {
        "scenarios": {"load": scenario},
        "thresholds": inputs.get("thresholds") or {},
        "summaryTrendStats": ["avg", "med", "p(95)", "max"],
    }
    if target.get("hosts"):
        options["hosts"] = target["hosts"]
    if target.get("confined"):
        options["blacklistIPs"] = NOT_LOOPBACK
    return options


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def so_far(port):
    """What k6's API tells of the metrics so far, in words."""
    try:
        # Not by a proxy: it is this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/v1/metrics", timeout=1) as answer:
            metrics = {metric["id"]: metric["attributes"]["sample"] for metric in json.load(answer)["data"]}
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    requests, failed, took = (metrics.get(name, {}) for name in ("http_reqs", "http_req_failed", "http_req_duration"))
    return (
        f"{requests.get('count', 0):.0f} requests, {requests.get('rate', 0):.0f}/s, "
        f"{100 * failed.get('rate', 0):.1f}% failed, p95 {took.get('p(95)', 0):.0f} ms"
    )


def message_of(line):
    """What k6 says in a line of its log (`time=… level=… msg="…"`)."""
    found = re.search(r'msg=("(?:[^"\\]|\\.)*")', line)
    try:
        return json.loads(found.group(1)) if found else line
    except ValueError:
        return line


def outputs_of(code, summary):
    metrics = summary.get("metrics", {})
    thresholds = [
        {"metric": name, "threshold": text, "passed": bool(state.get("ok"))}
        for name, metric in sorted(metrics.items())
        for text, state in metric.get("thresholds", {}).items()
    ]

    def value(metric, name):
        return metrics.get(metric, {}).get("values", {}).get(name, 0) or 0

    return {
        "exit_code": code,
        "passed": code == 0 and all(threshold["passed"] for threshold in thresholds),
        "thresholds": thresholds,
        "iterations": int(value("iterations", "count")),
        "dropped_iterations": int(value("dropped_iterations", "count")),
        "requests": int(value("http_reqs", "count")),
        "request_rate": float(round(value("http_reqs", "rate"), 3)),
        "failed_share": float(round(value("http_req_failed", "rate"), 6)),
        "p95_ms": float(round(value("http_req_duration", "p(95)"), 3)),
    }


def watch(process, port, total):
    """Waits for k6's end, and tells how far it is. Raises Stop when the step does not want it any more."""
    began = time.monotonic()
    told = 0
    while process.poll() is None:
        try:
            line = questions.get(timeout=0.1)
            if line is None or json.loads(line).get("method") == "cancel":
                raise Stop
        except queue.Empty:
            pass
        except (ValueError, AttributeError):
            log("a line that is no question was passed over")
        elapsed = time.monotonic() - began
        if int(elapsed) > told:
            told = int(elapsed)
            done = min(told, int(total))
            send({"method": "progress", "params": {"done": done, "total": max(int(total), 1), "message": so_far(port)}})


def stop(process):
    """Lets k6 end its iterations and write its summary; one that does not is killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def apply(params):
    global running
    inputs, target = params["inputs"], params.get("target") or {}
    script = os.path.abspath(inputs["script"])
    if not os.path.isfile(script):
        return {"not_applied": {"message": f"there is no script {inputs['script']}", "hint": "name a file from the root on"}}
    with tempfile.TemporaryDirectory(prefix="k6-") as folder:
        wrapper, summary = os.path.join(folder, "run.js"), os.path.join(folder, "summary.json")
        parts = {"script": "file://" + script, "options": options_of(inputs, target), "summary": summary}
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(WRAPPER % {name: json.dumps(part) for name, part in parts.items()})
        port = free_port()
        words = ["k6", "run", "--quiet", "--no-color", "--no-usage-report", "--address", f"127.0.0.1:{port}", wrapper]
        # The variables are in no argument list. No extension may be fetched in the middle of an event.
        environment = {**os.environ, **(inputs.get("env") or {}), "K6_AUTO_EXTENSION_RESOLUTION": "false"}
        running = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        errors = []

        def pass_on():
            for line in running.stderr:
                errors.append(line.strip())
                del errors[:-20]
                log(line.rstrip())

        reader = threading.Thread(target=pass_on, daemon=True)
        reader.start()
        stopped = False
        try:
            watch(running, port, seconds(inputs["duration"]))
        except Stop:
            stopped = True
            stop(running)
        code = running.returncode
        reader.join(1)
        found = {}
        if os.path.exists(summary):
            with open(summary, encoding="utf-8") as file:
                found = json.load(file)
    outputs = outputs_of(code, found)
    last = message_of(next((line for line in reversed(errors) if line), ""))
    if stopped:
        return {"failed": {"message": f"k6 was told to stop after {outputs['requests']} requests", "outputs": outputs}}
    if code == 0:
        return {"applied": {"outputs": outputs}}
    if code in NOTHING_SENT:
        return {"not_applied": {"message": f"k6 refuses {NOTHING_SENT[code]}: {last}"}}
    if code == BREACHED:
        breached = [f"{one['metric']} {one['threshold']}" for one in outputs["thresholds"] if not one["passed"]]
        message = f"{', '.join(breached)} breached: {outputs['requests']} requests, p95 {outputs['p95_ms']} ms, failed {outputs['failed_share']:.1%}"
        return {"failed": {"message": message, "hint": "the service does not carry this rate", "outputs": outputs}}
    return {"failed": {"message": f"k6 ended with exit code {code}: {last}", "outputs": outputs}}


def ended(*_):
    """Told to end, it takes k6 along; what is left then, the supervisor ends."""
    if running is not None and running.poll() is None:
        stop(running)
    os._exit(1)


METHODS = {"describe": describe, "apply": apply}


def main():
    signal.signal(signal.SIGTERM, ended)
    threading.Thread(target=listen, daemon=True).start()
    while (line := questions.get()) is not None:
        try:
            question = json.loads(line)
            method, number = question["method"], question.get("id")
        except (ValueError, KeyError, TypeError, AttributeError):
            send({"id": None, "error": {"code": -32700, "message": "this is no question"}})
            continue
        if number is None:
            continue
        if method not in METHODS:
            send({"id": number, "error": {"code": -32601, "message": f"there is no method {method}"}})
            continue
        try:
            send({"id": number, "result": METHODS[method](question.get("params") or {})})
        except Exception as error:
            print(f"{method}: {error!r}", file=sys.stderr)
            send({"id": number, "error": {"code": -32603, "message": f"{type(error).__name__}: {error}"}})


main()
