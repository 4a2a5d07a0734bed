/* SPDX-License-Identifier: MIT */
/* events.c - a TensorBoard event file: records of length, masked CRC-32C of the length, a protocol
 * buffer, masked CRC-32C of it. */
#include "train/train_private.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct bytes {
    unsigned char at[8192];
    size_t n;
} bytes;

static uint32_t crc32c(const unsigned char *p, size_t n)
{
    uint32_t crc = ~0u;

    for (; n > 0; n--, p++) {
        crc ^= *p;
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static uint32_t masked_crc(const unsigned char *p, size_t n)
{
    const uint32_t crc = crc32c(p, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* ---- protocol buffer fields ---- */

static void put_little(bytes *b, uint64_t v, int count)
{
    for (int i = 0; i < count && b->n < sizeof b->at; i++)
        b->at[b->n++] = (unsigned char)(v >> (8 * i));
}

static void put_varint(bytes *b, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        put_little(b, (v & 127) | 128, 1);
    put_little(b, v, 1);
}

static void put_double(bytes *b, int field, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_varint(b, (uint64_t)field << 3 | 1);
    put_little(b, bits, 8);
}

static void put_float(bytes *b, int field, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_varint(b, (uint64_t)field << 3 | 5);
    put_little(b, bits, 4);
}

static void put_bytes(bytes *b, int field, const void *data, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    if (b->n + n <= sizeof b->at) {
        memcpy(b->at + b->n, data, n);
        b->n += n;
    }
}

/* Event: wall_time = 1, step = 2, file_version = 3, summary = 5 */
static void begin_event(bytes *b)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    b->n = 0;
    put_double(b, 1, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
}

/* Summary: value = 1; value: tag = 1, simple_value = 2 */
static void put_summary(bytes *event, const gd_means *m)
{
    static bytes summary, value;

    summary.n = 0;
    for (int i = 0; i < m->n; i++) {
        value.n = 0;
        put_bytes(&value, 1, m->of[i].name, strlen(m->of[i].name));
        put_float(&value, 2, (float)(m->of[i].sum / (double)m->of[i].count));
        put_bytes(&summary, 1, value.at, value.n);
    }
    put_bytes(event, 5, summary.at, summary.n);
}

/* ---- the file ---- */

static gd_status write_record(const char *path, const bytes *event)
{
    static bytes record;

    record.n = 0;
    put_little(&record, event->n, 8);
    put_little(&record, masked_crc(record.at, 8), 4);
    memcpy(record.at + record.n, event->at, event->n);
    record.n += event->n;
    put_little(&record, masked_crc(event->at, event->n), 4);
    return gd_file_append(path, GD_OWN, record.at, record.n, false);
}

gd_status train_events_open(char path[GD_MAX_PATH], const char *folder)
{
    static const char version[] = "brain.Event:2";
    static bytes event;
    char host[64] = "host";

    gethostname(host, sizeof host - 1);
    snprintf(path, GD_MAX_PATH, "%.3900s/events.out.tfevents.%lld.%s", folder,
             (long long)time(NULL), host);
    begin_event(&event);
    put_bytes(&event, 3, version, sizeof version - 1);
    return write_record(path, &event);
}

gd_status train_events_add(const char *path, const gd_means *m, int64_t step)
{
    static bytes event;

    begin_event(&event);
    put_varint(&event, 2 << 3 | 0);
    put_varint(&event, (uint64_t)step);
    put_summary(&event, m);
    return write_record(path, &event);
}
