# SPDX-License-Identifier: GPL-2.0-only
"""7za.exe, a native C++ program: large allocations that come and go, threads.

It packs a set of files as 7z and as zip and unpacks the first. The answer is
right if what it unpacked has the hashes of what was generated, and if Python's
own reader finds the same contents in the zip file.
"""

import hashlib
import os
import random
import zipfile

NAME = "7za"
FETCH = {"exe": ("7zip-bin", "5.2.0", "package/win/x64/7za.exe",
                 "sha512-ukTPVhqG4jNzMro2qA9HSCSSVJN3aN7tlb+hfqYCt3ER0yWroeA2VR38MNrOHLQ/cVj+DaIMad0kFCtWWowh/A==")}
ABOUT = "7-Zip 21.07: 1.5 MiB in 40 files packed as 7z and zip, and unpacked"


def prepare(here, _files):
    """Generate the set; what must come out of it, as names and hashes."""
    rand = random.Random(7)
    words = ["".join(rand.choices("abcdefghijklmnopqrstuvwxyz", k=rand.randint(2, 9)))
             for _ in range(2000)]
    want = {}
    for i in range(40):
        name = f"set/part{i % 5}/file{i:02}"
        size = rand.randint(1000, 78000)
        if i % 4 == 0:
            data = rand.randbytes(size)
        elif i % 4 == 1:
            data = bytes(size)
        else:
            data = " ".join(rand.choices(words, k=size // 6)).encode()
        os.makedirs(os.path.join(here, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(here, name), "wb") as file:
            file.write(data)
        want[name] = hashlib.sha256(data).hexdigest()
    return want


def steps(exe, here, out, win):
    """The command lines of one run."""
    source, seven, zipped = win(here + "/set"), win(out + "/set.7z"), win(out + "/set.zip")
    return [[exe["exe"], "a", "-bd", "-mx=5", "-mmt=2", seven, source],
            [exe["exe"], "x", "-bd", "-o" + win(out + "/back"), seven],
            [exe["exe"], "a", "-bd", "-tzip", "-mx=5", "-mmt=2", zipped, source]]


def judge(out, want):
    """What is wrong with the answer, or nothing."""
    found = {}
    back = out + "/back"
    for base, _, names in os.walk(back):
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, back)] = hashlib.sha256(file.read()).hexdigest()
    if found != want:
        return f"unpacked {len(found)} files, {len(set(found.items()) & set(want.items()))} right"
    with zipfile.ZipFile(out + "/set.zip") as archive:
        found = {i.filename: hashlib.sha256(archive.read(i)).hexdigest()
                 for i in archive.infolist() if not i.is_dir()}
    if found != want:
        return "the zip file has other contents"
    return ""
