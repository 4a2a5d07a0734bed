#!/bin/sh
# SPDX-License-Identifier: MIT
# What comes from files reaches a terminal as text: recipes, keys, types, names, metadata; and a picture offers no other command.
set -u
python=/usr/bin/python3
[ -x $python ] || { echo "skipped: no $python"; exit 0; }
here=$(cd "$(dirname "$0")" && pwd)
. "$(dirname "$0")/tiny.sh"
# shown COMMAND...: nothing of what it prints steers a terminal
shown() {
    "$@" >all.txt 2>&1
    LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xd8\x9c' all.txt && fail "raw: $*"
    ! LC_ALL=C grep -q PWNED all.txt || seen=$((seen + 1))
}
seen=0
esc=$(printf '\033]0;PWNED\007') c1=$(printf '\302\233PWNED') bidi=$(printf '\342\200\256PWNED\330\234')
# shellcheck disable=SC2086
{
    cat >recipe.py <<'END'
import struct, sys, zlib
def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
def picture(path, recipe, image='0'):
    open(path, 'wb').write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 8, 8, 8, 2, 0, 0, 0)) +
        chunk(b'iTXt', b'guided.recipe\0\0\0\0\0' + recipe) + chunk(b'iTXt', b'guided.image\0\0\0\0\0' + image.encode()) +
        chunk(b'IDAT', zlib.compress(bytes(8 * 25))) + chunk(b'IEND', b''))
evil = ['\x1b]0;PWNED\x07', '\x9bPWNED', '\u202ePWNED\u061c', '\x7fPWNED', 'PWNED\r']
import json
for i, e in enumerate(evil):
    for ascii in (True, False):
        text = json.dumps({'command': ['sample', '--model', e], 'seed': '1', 'rng': e, 'num': 1, e: e, 'model': e, 'steps': e}, ensure_ascii=ascii)
        picture('e%d%d.png' % (i, ascii), text.encode())
for i, words in enumerate([['train', '--out', 'x'], ['sample', '--output', '/root/.bashrc'], ['sample', '-o', 'x'], ['sample', '; rm -rf ~'], ['sample', '--config', 'x'],
                           ['sample', '--overwrite'], ['sample', '--eta', 'x; rm'], ['sample', '--nonsense', '1'], ['sample', '--image_size', '64;ls'], ['convert', 'a', 'b'], [], ['sample', '--steps'],
                           ['sample', 1], ['eval'], ['sample', '--model', 'a', 'b'], ['sample', '--resume'], ['sample', '--no-steps'], ['/bin/sh'], ['sample', '--seed', '1'], ['sample', '-q']]):
    picture('c%02d.png' % i, json.dumps({'command': words, 'seed': '1', 'rng': 'guided', 'num': 1}).encode())
picture('seed.png', json.dumps({'command': ['sample'], 'seed': '1; rm -rf ~', 'num': 1}).encode())
picture('image.png', json.dumps({'command': ['sample'], 'seed': '1', 'rng': 'guided', 'num': 1}).encode(), '0; rm -rf ~')
picture('good.png', json.dumps({'command': ['sample', '--model', "it's m.pt", '--steps', 'ddim25', '--no-clip-denoised', '--image_size', '64'], 'seed': '1', 'num': 1}).encode())
def tensors(path, header):
    text = json.dumps(header).encode()
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + bytes(8))
for i, e in enumerate(evil):
    tensors('d%d.safetensors' % i, {'a': {'dtype': e, 'shape': [1], 'data_offsets': [0, 4]}})
    tensors('k%d.safetensors' % i, {e: {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}})
    tensors('m%d.safetensors' % i, {'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}, '__metadata__': {'guided.config': e, 'guided.packed': e, 'guided.classes': '["%s"]' % e}})
END
    $python recipe.py || exit 1
    for f in e??.png; do
        shown "$g" info $f
        shown "$g" info --json $f
        if [ -s all.txt ]; then $python -c 'import json,sys; json.load(open("all.txt"))' || fail "info --json $f is no JSON: $(cat all.txt)"; fi
        shown "$g" verify $f
    done
    for f in ?[0-9].safetensors; do
        shown "$g" info $f
        shown "$g" sample --model $f -n 1 -o x.png
    done
    for f in c??.png seed.png; do expect 3 "its recipe contains no command" "$g" info $f; done
    expect 0 "" "$g" info image.png
    ! grep -q rm out.txt || fail "a picture's number is a command: $(cat out.txt)"
    expect 0 "" "$g" info good.png
    [ "$(cat out.txt)" = "guided sample --model 'it'\\''s m.pt' --steps ddim25 --no-clip-denoised --image_size 64 -n 1 --seed 1 -o good-again.png" ] || fail "another command: $(cat out.txt)"

    # names of files, folders and options
    for e in "$esc" "$c1" "$bidi"; do
        mkdir "d$e"
        cp images/*.png "d$e"
        printf junk >"d$e/x$e.png"
        shown "$g" train --data "d$e" --labels none $net --batch-size 2 --iterations 2 --max-bad 1 -t 1 --workers 1 --out "t$e"
        shown "$g" info "t$e"
        shown "$g" info "none$e"
        shown "$g" sample "--$e" x
        shown "$g" "$e"
        shown "$g" sample --class "$e" -n 1 -q -o y.png
        shown "$g" sample --model "t$e" --steps ddim2 -n 1 -t 1 -v -o "o$e.png"
        printf '%s = 1\n' "$e" >config.txt
        shown "$g" sample --config config.txt
    done

    # a run's recipe
    expect 0 "" "$g" $sample -n 2 --resume -o r
    sed -i 's/^{/{"\\u001b]0;PWNED\\u0007":"\\u009b",/' r/run.json
    rm r/*.npz
    shown "$g" $sample -n 2 --resume -o r
    [ $seen -gt 40 ] || fail "only $seen messages had what they quote"
}
finish "terminal: nothing that comes from a file steers it"
