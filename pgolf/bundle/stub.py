"""A program that unpacks itself.

The file is Python in Latin-1: one string literal holds the compressed program, each byte a character, so that only
quotes, backslashes, carriage returns and zeros cost two. Base 85 would cost a quarter more. What is run is registered
with linecache, so that tracebacks and inspect.getsource, which Triton needs, see the unpacked lines.
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
LZMA_FILTERS = "[{'id':33,'preset':2147483657,'lc':3,'pb':0}]"


def self_extracting(program: str, has_brotli: bool) -> bytes:
    """The bytes of a Python file that runs a program. Brotli is used where the program needs it anyway."""
    content = program.encode()
    if has_brotli:
        payload, library, options = bytes(brotli.compress(content, quality=11, lgwin=24)), "brotli", ""
    else:
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "pb": 0}]
        payload, library = lzma.compress(content, lzma.FORMAT_RAW, filters=filters), "lzma"
        options = f",{lzma.FORMAT_RAW},None,{LZMA_FILTERS}"
    text = STUB.format(library=library, payload=escaped(payload), options=options, name=SOURCE_NAME)
    return text.encode("latin-1")


def escaped(payload: bytes) -> str:
    """A payload as it stands between triple quotes."""
    text = payload.decode("latin-1").translate(LITERAL)
    text = re.sub("\0(?=[0-7])", r"\\000", text).replace("\0", r"\0")
    return re.sub("'(?='|$)", r"\\'", text)
