#!/usr/bin/env python3
"""A plugin of runsheet: one JSON-RPC message a line, questions on stdin, answers on stdout. Whatever else it has to say goes to stderr."""

import json
import os
import sys


def read(path):
    """What the file holds; None: there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(path, text):
    """Puts the text in place in one go, so that nobody sees half of it."""
    if text is None:
        os.remove(path)
        return
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def path_of(change):
    return change["object"].split(":", 1)[1]


def describe(params):
    return {"protocol": 1, "plugin": "example", "actions": ["text"]}


def observe(params):
    # Before an attempt it is asked by its inputs, before a rollback by what was changed.
    if "changes" in params:
        return {"fields": [{"value": read(path_of(change))} for change in params["changes"]]}
    return {"observed": {"text": read(params["inputs"]["path"])}}


def plan(params):
    inputs, prior = params["inputs"], params["observed"].get("text")
    if prior == inputs["text"]:
        return {"unchanged": {"bytes": len(inputs["text"].encode())}}
    change = {"object": "file:" + inputs["path"], "field": "text", "prior": prior, "after": inputs["text"]}
    return {"changes": [change]}


def apply(params):
    inputs = params["inputs"]
    log("writing " + inputs["path"])
    try:
        write(inputs["path"], inputs["text"])
    except OSError as error:
        # It is certain that nothing was changed. What is not certain is {"unknown": {"message": …}}.
        return {"not_applied": {"message": f"{inputs['path']} cannot be written: {error.strerror}"}}
    return {"applied": {"outputs": {"bytes": len(inputs["text"].encode())}}}


def verify(params):
    inputs = params["inputs"]
    if read(inputs["path"]) == inputs["text"]:
        return {"present": {"outputs": {"bytes": len(inputs["text"].encode())}}}
    return {"absent": {}}


def revert(params):
    for swap in params["swaps"]:
        # Only where it is still as it was read; where it is as wanted already there is nothing to do.
        if read(path_of(swap)) == swap["from"]:
            write(path_of(swap), swap["to"])
        elif read(path_of(swap)) != swap["to"]:
            return {"not_applied": {"message": f"{path_of(swap)} was changed just now"}}
    return {"applied": {}}


METHODS = {f.__name__: f for f in (describe, observe, plan, apply, verify, revert)}


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def log(line):
    send({"method": "log", "params": {"line": line}})


def main():
    # Until stdin ends: then there is nothing more to do.
    for line in sys.stdin:
        try:
            question = json.loads(line)
            method, number = question["method"], question.get("id")
        except (ValueError, KeyError, TypeError, AttributeError):
            send({"id": None, "error": {"code": -32700, "message": "this is no question"}})
            continue
        if number is None:
            continue  # A notification; `cancel` needs nothing here, every answer comes at once.
        if method not in METHODS:
            send({"id": number, "error": {"code": -32601, "message": f"there is no method {method}"}})
            continue
        try:
            send({"id": number, "result": METHODS[method](question.get("params") or {})})
        except Exception as error:
            print(f"{method}: {error!r}", file=sys.stderr)
            send({"id": number, "error": {"code": -32603, "message": f"{type(error).__name__}: {error}"}})


main()
