/* SPDX-License-Identifier: MIT */
/* paths.c - which files a job may use: those of its own folder, of the state folder's uploads and
 * results, and of the folders that the server was given. */
#define _GNU_SOURCE
#include "serve/serve_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

gd_status serve_paths_open(serve *s)
{
    const char *from = s->o->folders;

    for (size_t n; from && *from; from += n + (from[n] == ',')) {
        char path[SERVE_PATH];
        n = strcspn(from, ",");
        if (n == 0)
            continue;
        if (s->n_folders == SERVE_MAX_FOLDERS)
            return gd_fail(GD_EUSAGE, "--folders: at most %d", SERVE_MAX_FOLDERS);
        snprintf(path, sizeof path, "%.*s", (int)n, from);
        if (!gd_path_is_folder(path) || !realpath(path, s->folder[s->n_folders]))
            return gd_fail(GD_EUSAGE, "--folders: %s is no folder", path);
        s->n_folders++;
    }
    return GD_OK;
}

static bool is_below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == 0);
}

/* A part of the path is "..", whatever stands between: it is never needed. */
static bool climbs(const char *text)
{
    for (const char *at = strstr(text, ".."); at; at = strstr(at + 1, ".."))
        if ((at == text || strchr("/,:=", at[-1])) && strchr("/,:=", at[2]))
            return true;
    return false;
}

/* The path with links resolved, of what exists of it */
static bool resolve_links(const char *path, char out[SERVE_PATH])
{
    char head[SERVE_PATH];
    size_t n = strlen(path);

    if (n >= sizeof head)
        return false;
    memcpy(head, path, n + 1);
    while (!realpath(head, out)) {
        char *slash = strrchr(head, '/');
        if (errno != ENOENT || !slash || slash == head)
            return false;
        *slash = 0;
    }
    const char *rest = path + strlen(head);
    if (strlen(out) + strlen(rest) >= SERVE_PATH)
        return false;
    strcat(out, rest);
    return true;
}

/* "uploads/" and "jobs/ID/files/" are the state folder's; its other files are nobody's business */
static bool is_state_path(const char *word)
{
    if (strncmp(word, "uploads/", 8) == 0)
        return true;
    if (strncmp(word, "jobs/", 5) != 0)
        return false;
    word += 5 + strspn(word + 5, "0123456789");
    return strncmp(word, "/files", 6) == 0 && (word[6] == '/' || word[6] == 0);
}

static gd_status resolve_word(const serve *s, const char *word, char out[SERVE_PATH])
{
    char path[SERVE_PATH], below[SERVE_PATH];
    bool fine = false;

    if (strlen(word) > 1000)
        return gd_fail(GD_EUSAGE, "%.60s...: too long for a path", word);
    if (is_state_path(word)) {
        snprintf(path, sizeof path, "%.3000s/%s", s->state, word);
        snprintf(below, sizeof below, "%.3000s/%s", s->state, *word == 'u' ? "uploads" : "jobs");
        fine = resolve_links(path, out) && is_below(out, below);
    } else if (*word == '/' && resolve_links(word, out)) {
        for (int i = 0; i < s->n_folders; i++)
            fine = fine || is_below(out, s->folder[i]);
    }
    if (fine)
        return GD_OK;
    return gd_fail(
        GD_EUSAGE,
        "%s: outside the folders of this server\nhint: guided serve --folders FOLDER, or "
        "upload it",
        word);
}

/* Lists and specifications ("blur:kernel.png") have more than one path. */
gd_status serve_path_resolve(const serve *s, const char *text, char **out)
{
    char *word = NULL, path[SERVE_PATH];
    size_t bytes = 0;
    FILE *to;
    gd_status status = GD_OK;

    if (climbs(text))
        return gd_fail(GD_EUSAGE, "%s: \"..\" is not allowed here", text);
    to = open_memstream(out, &bytes);
    for (const char *from = text; to && status == GD_OK;) {
        const size_t n = strcspn(from, ",:=");
        free(word);
        word = strndup(from, n);
        if (word && strchr(word, '/')) {
            status = resolve_word(s, word, path);
            if (status == GD_OK)
                fputs(path, to);
        } else if (word) {
            fputs(word, to);
        } else {
            status = gd_fail(GD_ENOMEM, "a path: out of memory");
        }
        if (from[n] == 0)
            break;
        fputc(from[n], to);
        from += n + 1;
    }
    free(word);
    if (!to || fclose(to) != 0)
        return gd_fail(GD_ENOMEM, "a path: out of memory");
    if (status != GD_OK)
        free(*out);
    return status;
}

int serve_open_below(const char *folder, const char *relative)
{
    int at = open(folder, O_DIRECTORY | O_PATH | O_CLOEXEC);
    struct stat st;

    while (at >= 0) {
        char part[256];
        const size_t n = strcspn(relative, "/");
        const bool last = relative[n] == 0;
        int next = -1;
        if (n > 0 && n < sizeof part && *relative != '.') {
            memcpy(part, relative, n);
            part[n] = 0;
            next = openat(at, part,
                          O_NOFOLLOW | O_CLOEXEC |
                              (last ? O_RDONLY | O_NONBLOCK : O_DIRECTORY | O_PATH));
        }
        close(at);
        at = next;
        if (last)
            break;
        relative += n + 1;
    }
    if (at >= 0 && (fstat(at, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(at);
        at = -1;
    }
    return at;
}

/* ---- lists ---- */

enum { MAX_DEPTH = 3, MAX_LISTED = 5000 };

static void list(json_t *to, const char *folder, const char *before, int depth)
{
    struct dirent **names = NULL;
    const int n = scandir(folder, &names, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        char path[SERVE_PATH], shown[SERVE_PATH];
        struct stat st;
        const bool fits = snprintf(path, sizeof path, "%s/%s", folder, name) < SERVE_PATH &&
                          snprintf(shown, sizeof shown, "%s%s", before, name) < 1000;
        if (*name != '.' && fits && lstat(path, &st) == 0 && json_array_size(to) < MAX_LISTED) {
            if (S_ISREG(st.st_mode))
                json_array_append_new(
                    to, json_pack("{s:s, s:I}", "name", shown, "bytes", (json_int_t)st.st_size));
            if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH && strlen(shown) < 900) {
                strcat(shown, "/");
                list(to, path, shown, depth + 1);
            }
        }
        free(names[i]);
    }
    free(names);
}

json_t *serve_list_below(const char *folder)
{
    json_t *all = json_array();

    if (all)
        list(all, folder, "", 0);
    return all;
}
