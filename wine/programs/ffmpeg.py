# SPDX-License-Identifier: GPL-2.0-only
"""ffmpeg.exe: pools of frames, threads, and x264's hand-written vector code.

It encodes generated pictures without loss, decodes them again and writes the
MD5 of every frame; Python's hashlib says what they are.
"""

import hashlib
import random

NAME = "ffmpeg"
FETCH = {"exe": ("@ffmpeg-installer/win32-x64", "4.1.0", "package/ffmpeg.exe",
                 "sha512-Drt5u2vzDnIONf4ZEkKtFlbvwj6rI3kxw1Ck9fpudmtgaZIHD4ucsWB2lCZBXRxJgXR+2IMSti+4rtM4C4rXgg==")}
ABOUT = "FFmpeg of December 2018: 8 frames of 320x180 through x264 and back, without loss"
WIDTH, HEIGHT, FRAMES = 320, 180, 8


def prepare(here, _files):
    """Moving stripes under a little noise, as 4:2:0 pictures; the MD5 of each."""
    rand = random.Random(4)
    want = []
    with open(here + "/raw.yuv", "wb") as file:
        for n in range(FRAMES):
            luma = bytearray()
            for y in range(HEIGHT):
                row = bytes((x * 3 + y * 2 + n * 5) % 236 + 10 for x in range(64)) * (WIDTH // 64)
                luma += row
            for _ in range(2000):
                luma[rand.randrange(len(luma))] = rand.randrange(256)
            half = WIDTH * HEIGHT // 4
            picture = bytes(luma) + bytes([(n * 9) % 256]) * half + bytes([128 + n]) * half
            file.write(picture)
            want.append(hashlib.md5(picture).hexdigest())
    return want


def steps(exe, here, out, win):
    """The command lines of one run."""
    quiet = [exe["exe"], "-nostdin", "-v", "error", "-y"]
    lossless = ["-c:v", "libx264", "-preset", "fast", "-qp", "0", "-threads", "2"]
    return [[*quiet, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}",
             "-r", "12", "-i", win(here + "/raw.yuv"), *lossless, win(out + "/video.mkv")],
            [*quiet, "-i", win(out + "/video.mkv"), "-f", "framemd5", win(out + "/frames")]]


def judge(out, want):
    """What is wrong with the answer, or nothing."""
    try:
        with open(out + "/frames", encoding="ascii") as file:
            found = [line.split(",")[-1].strip() for line in file if not line.startswith("#")]
    except OSError as error:
        return str(error)
    same = sum(a == b for a, b in zip(found, want))
    return "" if found == want else f"{len(found)} frames, {same} of {len(want)} right"
