#!/bin/sh
# SPDX-License-Identifier: MIT
# guided restore, invert, purify and img2img: what they write, the same bits whatever the threads, refusals that write nothing.
set -u
. "$(dirname "$0")/expect.sh"
same() { [ "$1" = "$2" ] || fail "$3: \"$1\", not \"$2\""; }
has() { grep -qF -- "$2" "$1" || fail "no \"$2\" in $1: $(head -c 600 "$1")"; }
there() { for f in "$@"; do [ -s "$f" ] || fail "$f is not there"; done; }

"$g" sample -n 1 --class 3 --steps ddim10 --seed 5 -o clean.png -q || fail "no image to begin with"
fast="--class 3 --steps 6 --seed 1 -q"

# samples, their mean and spread, metrics, receipt
"$g" restore --simulate clean.png -a box_down:4 --noise 0.05 -n 3 $fast -o box >out.txt || fail "restore"
there box/00000.png box/00002.png box/mean.png box/mean.npy box/std.png box/std.npy box/measurement.png box/measurement.npy \
    box/metrics.csv box/run.json
same "$(sed -n 1p box/metrics.csv)" "sample,residual_rms,psnr,ssim" "metrics"
same "$(wc -l <box/metrics.csv)" 6 "rows of metrics"
"$g" info box/00000.png >info.txt; has info.txt "guided restore"; has info.txt "--operator box_down:4"

# the same bits for any number of threads; a saved measurement is the simulated one
"$g" restore --simulate clean.png -a box_down:4 --noise 0.05 -n 3 $fast -t 1 -o box1 >/dev/null || fail "one thread"
cmp -s box/mean.npy box1/mean.npy || fail "the mean depends on the threads"
"$g" restore -y box/measurement.npy --truth clean.png -a box_down:4 --noise 0.05 -n 3 $fast -o box2 >/dev/null || fail "from the file"
cmp -s box/std.npy box2/std.npy || fail "a measurement from its file is another one"
"$g" restore -y box/measurement.png -a box_down:4 $fast --json -o box3 >out.json || fail "from the picture"
has out.json '"solver":"ddnm"'; has out.json '"residual_rms":'

# every solver and every operator runs
for solver in ddnm ddrm diffpir pigdm:weight=code dps mcg reddiff daps:mcmc_steps=5; do
    "$g" restore -y box/measurement.npy -a box_down:4 --noise 0.05 $fast --solver $solver -o s-$solver >/dev/null || fail "solver $solver"
done
for solver in repaint:jump_length=2:jump_repeat=2 blended; do
    "$g" restore --simulate clean.png -a inpaint:box=8 $fast --solver $solver -o s-$solver >/dev/null || fail "solver $solver"
done
for op in denoise inpaint:random=0.5 cubic_down:2 blur:gauss=1 blur:uniform=3:pad=circular:factor=2 hadamard:0.3 phase clip:2 \
    box_down:2,inpaint:box=4; do
    "$g" restore --simulate clean.png -a $op --noise 0.05 $fast --solver auto -o "o-$op" >/dev/null || fail "operator $op"
done
"$g" restore --simulate clean.png -a inpaint:box=8 --noise 12.75 --noise-scale 255 $fast --as-published --solver diffpir --json \
    -o p >out.json || fail "as published"
has out.json '"noise":0.1'

# a folder of measurements: a folder each, one table; resumed it makes what is missing
mkdir many && cp clean.png many/a.png && cp clean.png many/b.png
"$g" restore --simulate many -a box_down:4 --noise 0.05 $fast -o all >/dev/null || fail "a folder"
there all/a/00000.png all/b/run.json
same "$(wc -l <all/metrics.csv)" 3 "rows of the folder"
rm all/b/run.json; touch -d 2001-01-01 all/a/00000.png
"$g" restore --simulate many -a box_down:4 --noise 0.05 $fast --resume -o all >/dev/null || fail "resuming"
there all/b/run.json
same "$(date -r all/a/00000.png +%Y)" 2001 "what was done"
same "$(wc -l <all/metrics.csv)" 3 "rows after resuming"
cp all/metrics.csv rows.csv && sed -i 2d all/metrics.csv
"$g" restore --simulate many -a box_down:4 --noise 0.05 $fast --resume -o all >/dev/null || fail "resuming what is done"
cmp -s all/metrics.csv rows.csv || fail "the table of a folder is not what its results say"

# ranks share a folder: the same bytes as one process leaves
many() { OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=$1 "$g" restore --simulate many -a box_down:4 --noise 0.05 $fast -o shared; }
many 0 >/dev/null 2>&1 & first=$!
many 1 >/dev/null 2>&1 || fail "rank 1"
wait $first || fail "rank 0"
cmp -s all/metrics.csv shared/metrics.csv || fail "two ranks leave another table"
cmp -s all/b/measurement.npy shared/b/measurement.npy || fail "two ranks leave other numbers"
OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 "$g" restore --simulate clean.png -a gray $fast -o none 2>err.txt; same $? 2 "status of ranks and one measurement"

# a mask and a kernel as pictures: the built-in images are of their size
"$g" restore --simulate clean.png -a inpaint:clean.png $fast -o masked >/dev/null || fail "mask.png"
same "$("$g" restore --simulate clean.png -a blur:clean.png $fast -o no 2>&1 | grep -c 'both sides must be odd')" 1 "even kernel"

# invert falls with more steps; purify; img2img
r10=$("$g" invert --image clean.png --class 3 --steps ddim10 --json -o i10 | sed 's/.*"residual_rms":\([0-9.e-]*\).*/\1/')
r50=$("$g" invert --image clean.png --class 3 --steps ddim50 --json -o i50 | sed 's/.*"residual_rms":\([0-9.e-]*\).*/\1/')
awk "BEGIN { exit !($r50 < $r10) }" || fail "the error of 50 steps, $r50, is not below that of 10, $r10"
there i10/latent.npy i10/reconstruction.png i10/error.png i10/error.npy
"$g" purify --image clean.png --class 3 --t 20 --steps 5 --rounds 2 -o pure -q || fail "purify"
there pure/00000.png
"$g" img2img --image clean.png --class 7 --steps ddim10 --strength 0.5 -n 2 --seed 3 -o var -q || fail "img2img"
there var/00001.png var/mean.png

# the exact gradient through a purification: of <c, result> along c by differences of whole runs
cat >gradient.py <<'P'
import struct, sys
def read(path):
    data = open(path, "rb").read()
    n = int.from_bytes(data[8:10], "little")
    return data[:10 + n], list(struct.unpack(f"<{(len(data) - 10 - n) // 4}f", data[10 + n:]))
def write(path, head, x):
    open(path, "wb").write(head + struct.pack(f"<{len(x)}f", *x))
head, x = read(sys.argv[2])
if sys.argv[1] == "step":
    h = float(sys.argv[3])
    write("moved.npy", head, [v + h * (1 if i % 3 else -1) for i, v in enumerate(x)])
elif sys.argv[1] == "direction":
    write("c.npy", head, [1.0 if i % 2 else -0.5 for i in range(len(x))])
else:
    c, d = [1.0 if i % 2 else -0.5 for i in range(len(x))], [1 if i % 3 else -1 for i in range(len(x))]
    loss = [sum(a * b for a, b in zip(c, read(f"p{k}/result.npy")[1])) for k in "+-"]
    slope, found = (loss[0] - loss[1]) / 0.008, sum(a * b for a, b in zip(read("p0/gradient.npy")[1], d))
    sys.exit(abs(slope - found) > 0.05 * (abs(slope) + 1))
P
/usr/bin/python3 gradient.py direction i10/latent.npy
pure="--class 3 --t 100 --steps 4 --seed 2 --cotangent c.npy -q"
"$g" purify --image i10/reconstruction.npy $pure -o p0 || fail "a gradient"
there p0/gradient.npy p0/result.npy
/usr/bin/python3 gradient.py step i10/reconstruction.npy 0.004 && "$g" purify --image moved.npy $pure -o p+ || fail "a gradient"
/usr/bin/python3 gradient.py step i10/reconstruction.npy -0.004 && "$g" purify --image moved.npy $pure -o p- || fail "a gradient"
/usr/bin/python3 gradient.py compare i10/latent.npy || fail "the gradient of a purification is off"

# images larger than the model's: tiles, or the whole at once
"$g" restore -y clean.png -a box_down:2 $fast -o large --json >large.json 2>tiles.txt || fail "tiles"
"$g" restore -y clean.png -a box_down:2 $fast -o whole --whole --json >whole.json || fail "the whole at once"
cmp -s large/00000.png whole/00000.png && fail "--whole changed nothing"
for r in large whole; do
    awk -v r="$(sed 's/.*"residual_rms":\([0-9.e-]*\).*/\1/' $r.json)" 'BEGIN { exit !(r < 1e-6) }' || fail "$r: the measurement is not met"
done

# small images side by side: bits, whatever the number of threads
for t in 1 2 4; do
    OMP_NUM_THREADS=4 "$g" restore -y box/measurement.npy -a box_down:4 --noise 0.05 -n 8 $fast -t $t --solver dps -o lanes$t >/dev/null || fail "$t threads"
    cmp -s lanes1/mean.npy lanes$t/mean.npy || fail "$t threads give another mean"
    cmp -s lanes1/std.npy lanes$t/std.npy || fail "$t threads give another spread"
done

# the commands of the documentation's gallery, with few steps
docs=$(dirname "$0")/../../docs
ln -s "$(cd "$docs" && pwd)" docs
sed -n '/^## Gallery/,/^## Inv/s/^guided restore //p' "$docs/restoration.md" >gallery.txt
same "$(wc -l <gallery.txt)" 5 "commands of the gallery"
while read -r line; do
    GUIDED_STEPS=4 "$g" restore $line -q </dev/null || fail "restore $line"
    there "${line##*-o }00003.png" "${line##*-o }mean.png" "${line##*-o }std.png"
done <gallery.txt

# pictures that do not fit, as files
/usr/bin/python3 - <<'P'
import struct, zlib
def png(path, w, h, colour, value):
    part = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes([value, 255 - value, 7][:3 if colour else 1]) * w) * h
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2 if colour else 0, 0, 0, 0)) +
                           part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))
png("black.png", 5, 5, False, 0)
png("colour.png", 8, 8, True, 200)
png("wide.png", 9, 5, False, 90)
P
head -c 1000000 "$(dirname "$0")/../../models/fashion32/diffusion.safetensors" >short.safetensors
"$g" convert "$(dirname "$0")/../../models/fashion32/classifier.safetensors" other.safetensors || fail "a classifier"

# refused in one line and a hint, with nothing written
refuse() { # STATUS TEXT WORDS...
    want=$1; text=$2; shift 2
    case " $* " in *" -o "*) out= ;; *) out="-o none" ;; esac
    rm -rf none; "$g" "$@" $out >out.txt 2>err.txt; same $? "$want" "status of $*"
    has err.txt "$text"
    [ -e none ] && fail "$* wrote something"
    return 0
}
y="-y box/measurement.png"
refuse 2 "--operator" restore $y --class 3
refuse 2 "no measurement" restore -a gray --class 3
refuse 2 "did you mean box_down" restore $y -a box_dwon:4 --class 3
refuse 2 "did you mean ddnm" restore $y -a box_down:4 --class 3 --solver ddmn
refuse 2 "has no parameter" restore $y -a box_down:4 --class 3 --solver ddnm:lambda=4
refuse 2 "expected one of code" restore $y -a box_down:4 --class 3 --solver pigdm:weight=x
refuse 2 "--class" restore $y -a box_down:4
refuse 2 "expected one of pm1" restore $y -a box_down:4 --class 3 --noise-scale 256
refuse 2 "images lie in" restore $y -a box_down:4 --class 3 --noise 12
refuse 2 "not a folder" restore $y -a box_down:4 --class 3 --resume
refuse 2 "linear operator" restore $y -a clip:2 --class 3 --solver ddnm
refuse 2 "for inpainting" restore $y -a box_down:4 --class 3 --solver repaint
refuse 2 "lr must be below" restore $y -a box_down:4 --class 3 --noise 0.05 --solver daps:lr=1
refuse 3 "black all over" restore --simulate clean.png -a blur:black.png --class 3
refuse 3 "3 channels" restore -y colour.png -a box_down:4 --class 3
refuse 3 "the size at which it was measured" restore -y wide.png -a hadamard:0.5 --class 3
refuse 3 "short.safetensors" restore -m short.safetensors $y -a box_down:4 --class 3
refuse 3 "not a classifier" restore -m other.safetensors $y -a box_down:4 --class 3
refuse 2 "from 0 to 255" restore $y -a box_down:4 --class 3 --noise -1
refuse 2 "the model has" restore $y -a box_down:4 --class 3 --solver ddnm --steps 5000
refuse 2 "does not divide" restore --simulate clean.png -a box_down:5 --class 3
refuse 3 "a mask of 8x8" restore --simulate clean.png -a inpaint:box/measurement.png --class 3
"$g" restore --simulate clean.png -a blur:gauss=1:factor=5 $fast --solver reddiff -o small >/dev/null || fail "a reduction by 5"
refuse 3 "multiples of" restore -y small/measurement.png -a denoise --class 3
refuse 3 "no-such.png" restore -y no-such.png -a box_down:4 --class 3
refuse 3 "the restored image is" restore $y -a box_down:2 --class 3 --truth clean.png
refuse 2 "exists already" restore $y -a box_down:4 --class 3 -o box
refuse 2 "--image" invert --class 3
refuse 2 "t 5000" purify --image clean.png --class 3 --t 5000
refuse 3 "the image is" purify --image clean.png --class 3 --cotangent box/measurement.npy
refuse 2 "one image" purify --image clean.png --class 3 --cotangent c.npy -n 2
refuse 2 "--sampler" img2img --image clean.png --class 3 --sampler euler
exit $((failures > 0))
