# SPDX-License-Identifier: GPL-2.0-only
"""esbuild.exe, a Go program: its runtime reserves arenas and commits in them all day.

It bundles and minifies generated modules, with a source map. The answer is
right if both files are those of the Linux program of the same version, whose
bundle in turn, run by node on the host, prints the number that the modules were
generated to give.

0.19 is built with Go 1.20. Later ones want bcryptprimitives.dll, which Wine
8.0 does not have.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess

NAME = "esbuild"
FETCH = {
    "exe": ("@esbuild/win32-x64", "0.19.12", "package/esbuild.exe",
            "sha512-T1QyPSDCyMXaO3pzBkF96E8xMkiRYbUEZADd29SyPGabqxMViNoii+NcK7eWJAEoU6RZyEm5lVSIjTmcdoB9HA=="),
    "linux": ("@esbuild/linux-x64", "0.19.12", "package/bin/esbuild",
              "sha512-B71g1QpxfwBvNrfyJdVDexenDIt1CiDN1TIXLbhOw0KhJzE78KIFGX6OJ9MrtC0oOqMWf+0xop4qEU8JrJTwCg==")}
ABOUT = "esbuild 0.19.12 (Go 1.20): 250 modules, 0.7 MiB, bundled and minified with a source map"
MODULES = 250
OPTIONS = ["--bundle", "--minify", "--sourcemap", "--platform=node", "--log-level=warning"]


def signed(value):
    """The number as JavaScript's 32-bit operators see it."""
    value &= 0xffffffff
    return value - (value >> 31 << 32)


def generate(here):
    """Write the modules; the number that running them must print."""
    rand = random.Random(19)
    factors, functions = [], []
    os.makedirs(here + "/src", exist_ok=True)
    for i in range(MODULES):
        a, b = rand.randint(1, 1 << 30) | 1, rand.randint(0, 1 << 30)
        factors.append((a, b))
        text = [f'import {{ f as parent }} from "./m{i // 2}.js";' if i else
                "const parent = x => x;", f"// Module {i} of {MODULES}."]
        for k in range(12):
            text.append(f"""export class Unused{k} {{
\tconstructor(first, second) {{ this.first = first; this.second = second ?? {rand.randint(0, 99)}; }}
\tget sum() {{ return [this.first, this.second].map(v => v * {rand.randint(2, 99)}).reduce((p, q) => p + q, 0); }}
}}""")
        text.append(f"export const table = {[rand.randint(0, 1 << 16) for _ in range(60)]};")
        text.append(f"export function f(x) {{\n\tconst longName = Math.imul(x, {a}) + {b};\n"
                    f"\treturn parent((longName ^ table[Math.abs(longName % 60)]) | 0);\n}}")
        with open(f"{here}/src/m{i}.js", "w", encoding="ascii") as file:
            file.write("\n".join(text) + "\n")
        functions.append(text)
    tables = [eval(t[-2].split("= ")[1].rstrip(";")) for t in functions]  # a list of ours

    def f(i, x):
        while True:
            a, b = factors[i]
            # Math.imul() gives 32 bits, the sum is exact, the operators take 32 of it.
            name = signed(x * a) + b
            x = signed(name ^ tables[i][abs(name) % 60])
            if not i:
                return x
            i //= 2

    total = 0
    with open(here + "/src/main.js", "w", encoding="ascii") as file:
        file.writelines(f'import {{ f as f{i} }} from "./m{i}.js";\n' for i in range(MODULES))
        file.write("let total = 0;\n")
        for i in range(MODULES):
            file.write(f"total = (total + f{i}({i * 7919})) | 0;\n")
            total = signed(total + f(i, i * 7919))
        file.write("console.log(total);\n")
    return total


def hashes(out):
    """The two files that come out."""
    found = {}
    for name in ("bundle.js", "bundle.js.map"):
        path = os.path.join(out, name)
        if os.path.exists(path):
            with open(path, "rb") as file:
                data = file.read()
            if name.endswith(".map"):
                # Sources are named as seen from the map, which lies elsewhere each time.
                whole = json.loads(data)
                whole["sources"] = [os.path.basename(s) for s in whole["sources"]]
                data = json.dumps(whole, sort_keys=True).encode()
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def prepare(here, files):
    """Generate the modules; the hashes of what must come out."""
    total = generate(here)
    out = here + "/expected"
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([files["linux"], here + "/src/main.js", *OPTIONS,
                    "--outfile=" + out + "/bundle.js"], check=True, cwd=here)
    done = subprocess.run(["node", out + "/bundle.js"], stdout=subprocess.PIPE, text=True,
                          check=True)
    if done.stdout.strip() != str(total):
        raise RuntimeError(f"the bundle prints {done.stdout.strip()}, not {total}")
    return hashes(out)


def steps(exe, here, out, win):
    """The command lines of one run."""
    return [[exe["exe"], win(here + "/src/main.js"), *OPTIONS,
             "--outfile=" + win(out + "/bundle.js")]]


def judge(out, want):
    """What is wrong with the answer, or nothing."""
    found = hashes(out)
    wrong = [name for name in want if found.get(name) != want[name]]
    return " and ".join(wrong) + " differ from what Linux's esbuild writes" if wrong else ""
