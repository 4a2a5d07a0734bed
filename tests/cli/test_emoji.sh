#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/prepare-emoji on ten pictures: group, part and name, white corners, colours where a person expects them, the same bytes
# twice, and what is missing.  Passed over where the packages are not installed.
set -u
. "$(dirname "$0")/expect.sh"
prepare=$GUIDED_SOURCE_DIR/scripts/prepare-emoji
if ! /usr/bin/python3 -c "import fontTools, PIL" 2>/dev/null || [ ! -e /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf ] ||
    [ ! -e /usr/share/unicode/emoji/emoji-test.txt ]; then
    echo "passed over: scripts/setup --emoji was not run"
    exit 0
fi
ten=1F600,1F602,1F44B-1F3FF,1F436,1F34E,1F30D,26BD,1F511,2764-FE0F,1F1E9-1F1EA

expect 0 "" "$prepare" --only $ten --held-out 0 --repeat 2 one
expect 0 "" "$prepare" --only $ten --held-out 0 --repeat 2 two
diff -r one two >/dev/null || fail "not the same bytes twice"
[ ! -e one/test ] || fail "pictures held out with --held-out 0"
[ "$(find one -name '*.png' | wc -l)" -eq 19 ] || fail "not all but the hand twice"
for name in smileys-emotion/0000-1F600 smileys-emotion/*-1F602 smileys-emotion/*-2764-FE0F people-body/*-1F44B-1F3FF \
    animals-nature/*-1F436 food-drink/*-1F34E travel-places/*-1F30D activities/*-26BD objects/*-1F511 flags/*-1F1E9-1F1EA; do
    [ -e "$(echo one/train/$name.png)" ] || fail "no $name"
done

# A tone goes where its family goes.
expect 0 "" "$prepare" --only 1F44B,1F44B-1F3FB,1F44B-1F3FF,1F600 --held-out 2 parts
[ "$(find parts/test parts/train/people-body -name '*-1F44B*' 2>/dev/null | xargs -n 1 dirname | sort -u | wc -l)" -eq 1 ] ||
    fail "a hand's tones are in both parts"
[ -e parts/train/smileys-emotion/0000-1F600.png ] || fail "the first family is held out"

# Of the pixels: colours of a place, by its share of width and height
/usr/bin/python3 - <<'EOF' || fail "colours"
import glob, sys
from PIL import Image

def near(name, x, y, colour):
    image = Image.open(glob.glob(f"one/train/*/*-{name}.png")[0])
    assert image.size == (64, 64) and image.mode == "RGB", (name, image.size, image.mode)
    assert all(c > 250 for c in image.getpixel((0, 0))), (name, "corner", image.getpixel((0, 0)))
    found = image.getpixel((int(64 * x), int(64 * y)))
    assert all(abs(a - b) < 60 for a, b in zip(found, colour)), (name, found, colour)

near("1F600", 0.5, 0.22, (255, 205, 50))       # a face is yellow
near("26BD", 0.5, 0.03, (255, 255, 255))       # above the ball is the white it is drawn on
near("2764-FE0F", 0.5, 0.5, (244, 67, 54))     # the heart is red
near("1F1E9-1F1EA", 0.5, 0.25, (40, 40, 40))   # Germany's flag is black, red and gold
near("1F1E9-1F1EA", 0.5, 0.5, (220, 30, 30))
near("1F1E9-1F1EA", 0.5, 0.75, (255, 215, 0))
near("1F44B-1F3FF", 0.5, 0.65, (95, 70, 55))   # the hand has its tone
EOF

# The command reads it, with the groups as classes.
expect 0 "19 images, 8 classes" "$g" train --data one/train --image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 \
    --attention_resolutions 8 --class_cond True --batch-size 2 --iterations 1 --out run

# bad input
expect 1 "has not all of --only" "$prepare" --only 1F600,FFFF bad
expect 1 "no nowhere.ttf: package fonts-noto-color-emoji has it" "$prepare" --font nowhere.ttf bad
expect 2 "--size is 1 to 1024" "$prepare" --size 0 bad
expect 2 "--held-out" "$prepare" --held-out 1 bad
exit $((failures > 0))
