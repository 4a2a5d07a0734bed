# SPDX-License-Identifier: MIT
# A thin front for CMake and the scripts.
GOLDEN ?= ../shared/golden

.PHONY: all demo check check-nightly golden bench fuzz format lint install clean
all:
	@scripts/build
demo:
	@scripts/demo
check:
	@scripts/check
check-nightly:
	@scripts/check-nightly
golden: all
	@build/tests/golden-runner $(GOLDEN)
bench: all
	@build/guided bench --preset 64x64_diffusion --classifier 64x64_classifier
SECONDS ?= 60
fuzz:
	@scripts/fuzz $(SECONDS)
# The layout is that of clang-format 14; later versions differ in few lines.
format:
	@$$(command -v clang-format-14 || command -v clang-format) -i $$(git ls-files '*.c' '*.h')
lint:
	@clang-tidy -p build --quiet $$(git ls-files 'src/*.c')
	@sh tests/house/layers.sh .
PREFIX ?= /usr/local
install: all
	@cmake --install build --prefix "$(abspath $(PREFIX))"
clean:
	@rm -rf build
