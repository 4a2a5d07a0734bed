/* SPDX-License-Identifier: MIT */
/* fuzz_records.c - the record file of a run that is gone on with: finished with the right pictures,
 * whatever it held, or refused and left as it is. */
#define _GNU_SOURCE
#include "fuzz_folder.h"
#include "records/records.h"

enum { N = 3, SIDE = 2, PIXELS = SIDE * SIDE * 3 };
static const char recipe[] =
    "{\"seed\":\"5\",\"steps\":\"250\",\"model\":\"a.pt\",\"model_hash\":\"77\"}";
static const gd_records_layout layout = {
    .n = N, .n_parts = 1, .part = { { SIDE, SIDE, 3 } }, .labelled = true
};

static gd_status make(gd_records *r, int64_t image, int n)
{
    uint8_t pixels[PIXELS];
    const uint8_t *const part = pixels;

    for (int i = 0; i < n; i++) {
        memset(pixels, (int)(image + i + 1), sizeof pixels);
        GD_TRY(gd_records_put(r, image + i, &part));
    }
    return GD_OK;
}

static gd_status work(gd_records *r)
{
    bool finished = gd_records_finished(r);
    gd_claim what;
    int64_t image;
    int n;

    for (int rounds = 0; !finished; rounds++) {
        require(rounds < 100);
        GD_TRY(gd_records_claim(r, 2, &what, &image, &n));
        require(what != GD_CLAIM_WAIT);
        GD_TRY(what == GD_CLAIM_IMAGE ? make(r, image, n)
                                      : gd_records_pack(r, &finished, NULL, NULL, 0));
    }
    return GD_OK;
}

/* A record counts by its hash: what was packed is what was made. */
static void check_result(void)
{
    uint8_t pixels[N * PIXELS];
    gd_bundle *b;

    require(gd_bundle_open(&b, inside("run/samples_3x2x2x3.npz")) == GD_OK);
    require(gd_bundle_read(b, gd_bundle_find(b, "arr_0"), pixels) == GD_OK);
    for (int i = 0; i < N * PIXELS; i++)
        require(pixels[i] == i / PIXELS + 1);
    gd_bundle_close(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char folder[128];
    gd_records *r;

    need_folder();
    snprintf(folder, sizeof folder, "%s", inside("run"));
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    require(gd_os.mkdir(folder, 0700) == 0);
    put_file("run/samples.records", data, bytes);
    put_file("run/run.json", recipe, sizeof recipe - 1);
    require(gd_records_join(&r, folder, false) == GD_OK);
    if (gd_records_begin(r, recipe, NULL, &layout) == GD_OK) {
        require(work(r) == GD_OK);
        check_result();
    } else {
        require(*gd_error() != '\0');
    }
    gd_records_leave(r);
    return 0;
}
