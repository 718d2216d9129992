#!/usr/bin/env python3
"""Makes the first corpus of the fuzz target `eval` from the scripts of our tests: fuzz/seeds.py [folder]"""
import hashlib
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ["src/script/tests/*.rs", "src/script/**/*.rs", "src/engine/*tests.rs", "tests/server/*.rs", "docs/*.md"]
LITERAL = re.compile(r'r#"(.*?)"#|"((?:[^"\\]|\\.)*)"', re.S)
ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{2})|\n\s*|(.))", re.S)
BLOCK = re.compile(r"```lua\n(.*?)```", re.S)
LUA = re.compile(r"\breturn\b|\bredis\.|\blocal\b|\bfunction\b|\bpcall\b|^#!lua")
REGISTERED = re.compile(r"(register_function\s*\(?\s*\{?.*?['\"])(\w+)(['\"])", re.S)
LEN_MAX = 3000
SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\n": ""}
# Bits of a first byte: see `Call`.
HOWS = [0, 1, 2 + 4, 1 + 2, 4 + 8, 1 + 32, 64 + 1 + 4, 16]


def unescape(match):
    code, byte, simple = match.groups()
    if code or byte:
        return chr(int(code or byte, 16))
    return SIMPLE.get(simple, simple) if simple else ""


def scripts():
    for line in (ROOT / "tests/common/snippets.txt").read_text().split("\n"):
        if line and not line.startswith("#"):
            yield line
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text()
            if path.suffix == ".md":
                yield from BLOCK.findall(text)
                continue
            for raw, plain in LITERAL.findall(text):
                yield raw or ESCAPE.sub(unescape, plain).replace("{{", "{").replace("}}", "}")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "fuzz/corpus/eval")
    folder.mkdir(parents=True, exist_ok=True)
    bodies = dict.fromkeys(s for s in scripts() if LUA.search(s) and len(s) <= LEN_MAX)
    for number, body in enumerate(bodies):
        body = body.encode("latin-1", "replace")
        if body.startswith(b"#!lua name="):
            body = REGISTERED.sub(r"\1f\3", body.decode("latin-1"), count=1).encode("latin-1")
        arguments = b"\xff" + b"\xff".join([b"1", b'{"a":[1,2.5,null]}', b"\x93\x01\xa1a\xc0", b"a b"])
        seed = bytes([HOWS[number % len(HOWS)]]) + body + arguments
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    print(len(bodies), "seeds in", folder)


if __name__ == "__main__":
    main()
