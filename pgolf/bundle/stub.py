"""Packs a program into a self-extracting Python file.

The file is Latin-1: one string literal holds the compressed program, one character a byte, and only quotes,
backslashes, carriage returns and zeros need more. Base 85 would be a quarter larger. The unpacked source is registered
with linecache, so that tracebacks and inspect.getsource, which Triton needs, find its lines.
"""

import lzma
import re

import brotli

SOURCE_NAME = "<train_gpt>"
LITERAL = str.maketrans({"\\": "\\\\", "\r": "\\r"})
STUB = """#coding:latin-1
import linecache as l,{library} as z
s=z.decompress('''{payload}'''.encode('l1'){options}).decode();n='{name}'
l.cache[n]=len(s),None,s.splitlines(1),n
exec(compile(s,n,'exec'))
"""
# On four programs the mode for fonts takes 78 bytes less to 23 more than the generic one. A window holds a program.
BROTLI_MODE, BROTLI_WINDOW = brotli.MODE_FONT, 18
LZMA_FILTERS = "[{'id':33,'preset':2147483657,'lc':3,'pb':0}]"


def self_extracting(program: str, has_brotli: bool) -> bytes:
    """Return a Python file that unpacks and runs a program, compressed with brotli if the program needs it anyway."""
    content = program.encode()
    if has_brotli:
        payload = bytes(brotli.compress(content, BROTLI_MODE, quality=11, lgwin=BROTLI_WINDOW))
        library, options = "brotli", ""
    else:
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "pb": 0}]
        payload, library = lzma.compress(content, lzma.FORMAT_RAW, filters=filters), "lzma"
        options = f",{lzma.FORMAT_RAW},None,{LZMA_FILTERS}"
    text = STUB.format(library=library, payload=escape(payload), options=options, name=SOURCE_NAME)
    return text.encode("latin-1")


def escape(payload: bytes) -> str:
    """Escape a payload for a triple-quoted string literal."""
    text = payload.decode("latin-1").translate(LITERAL)
    text = re.sub("\0(?=[0-7])", r"\\000", text).replace("\0", r"\0")
    return re.sub("'(?='|$)", r"\\'", text)
