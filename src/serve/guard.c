/* SPDX-License-Identifier: MIT */
/* guard.c - who may ask: a Host that is this machine, no pages of other origins, the token. */
#include "serve/serve_private.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the token ---- */

gd_status serve_token_make(serve *s)
{
    uint8_t bytes[16];

    if (s->o->token) {
        const size_t n = strlen(s->o->token);
        if (n < 8 || n >= sizeof s->token ||
            strspn(s->o->token,
                   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != n)
            return gd_fail(GD_EUSAGE, "--token: 8 to %d letters, digits, - and _ are expected",
                           (int)sizeof s->token - 1);
        memcpy(s->token, s->o->token, n + 1);
    } else if (s->o->listen) {
        if (!gd_random(bytes, sizeof bytes))
            return gd_fail(GD_EIO, "no random numbers from the system");
        for (int i = 0; i < COUNT(bytes); i++)
            snprintf(s->token + 2 * i, 3, "%02x", bytes[i]);
    }
    return GD_OK;
}

/* In a time that does not depend on where they differ */
bool serve_token_equal(const serve *s, const char *token)
{
    const size_t n = strlen(s->token);
    unsigned different = 0;

    if (!token || strlen(token) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        different |= (unsigned char)(s->token[i] ^ token[i]);
    return different == 0;
}

static bool has_token(const serve *s, struct MHD_Connection *c)
{
    const char *header = mhd.lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");

    if (header && strncmp(header, "Bearer ", 7) == 0)
        return serve_token_equal(s, header + 7);
    return serve_token_equal(s, mhd.lookup_connection_value(c, MHD_COOKIE_KIND, "guided_token"));
}

/* ---- Host and Origin ---- */

static bool is_address(const char *host)
{
    unsigned char out[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, out) == 1 || inet_pton(AF_INET6, host, out) == 1;
}

/* A page of another site can make its own name lead here, but it cannot be called by an address
 * (DNS rebinding). */
static bool host_is_ours(const serve *s, const char *header)
{
    char host[256] = "", own[256] = "";
    const char *end;

    if (!header || strlen(header) >= sizeof host)
        return false;
    if (*header == '[') {
        end = strchr(header, ']');
        if (!end)
            return false;
        memcpy(host, header + 1, (size_t)(end - header - 1));
        end++;
    } else {
        end = header + strcspn(header, ":");
        memcpy(host, header, (size_t)(end - header));
    }
    if (*end && (*end != ':' || strtol(end + 1, NULL, 10) != s->port))
        return false;
    if (!strcmp(host, "localhost") || !strcmp(host, "127.0.0.1") || !strcmp(host, "::1"))
        return true;
    if (!s->any_host)
        return false;
    return is_address(host) || (gethostname(own, sizeof own - 1) == 0 && !strcmp(host, own));
}

static bool origin_is_ours(const char *origin, const char *host)
{
    return strncmp(origin, "http://", 7) == 0 && strcmp(origin + 7, host) == 0;
}

int serve_guard(const serve *s, struct MHD_Connection *c, const char *method, const char *url,
                const char **why)
{
    const char *host = mhd.lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    const char *origin = mhd.lookup_connection_value(c, MHD_HEADER_KIND, "Origin");
    const char *site = mhd.lookup_connection_value(c, MHD_HEADER_KIND, "Sec-Fetch-Site");
    const bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    *why = "the Host header names another server";
    if (!host_is_ours(s, host))
        return MHD_HTTP_FORBIDDEN;
    *why = "pages of other origins may not ask";
    if (origin && !origin_is_ours(origin, host))
        return MHD_HTTP_FORBIDDEN;
    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0 &&
        (!reads || strncmp(url, "/api/", 5) == 0))
        return MHD_HTTP_FORBIDDEN;
    *why = "a token is needed: open the address that guided serve printed, or send "
           "\"Authorization: Bearer TOKEN\"";
    if (*s->token && !has_token(s, c))
        return MHD_HTTP_UNAUTHORIZED;
    return 0;
}
